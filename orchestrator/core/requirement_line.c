/* requirement_line.c - parses one requirement line: PEP 508 by name, nothing else.
 *
 *   line    = name [extras] [versions | "(" versions ")"] [";" marker]
 *   marker  = and { "or" and };  and = term { "and" term }
 *   term    = "(" marker ")" | value op value
 *
 * A line ends up in a resolver's arguments, so what this does not know is refused.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "str.h"
#include "submission.h"

#define MARKER_DEPTH 16 /* of parentheses */

struct line {
	const char *at;
	const char *fault; /* what is wrong; NULL = nothing so far */
	int depth;
};

static bool fail(struct line *l, const char *fault)
{
	if (!l->fault)
		l->fault = fault;
	return false;
}

static bool is_word(char ch)
{
	return isalnum((unsigned char)ch) || ch == '-' || ch == '_' || ch == '.';
}

static void skip_space(struct line *l)
{
	l->at += strspn(l->at, " \t");
}

static bool take_char(struct line *l, char ch)
{
	skip_space(l);
	if (*l->at != ch)
		return false;
	l->at++;
	return true;
}

/* Letters and digits at both ends; . _ - between. */
static bool take_name(struct line *l, const char *fault)
{
	skip_space(l);

	const char *start = l->at;
	while (is_word(*l->at))
		l->at++;
	if (l->at == start || !isalnum((unsigned char)*start) ||
		!isalnum((unsigned char)l->at[-1]))
		return fail(l, fault);
	return true;
}

static bool take_extras(struct line *l)
{
	if (!take_char(l, '[') || take_char(l, ']'))
		return true;
	do {
		if (!take_name(l, "an extra is not a name"))
			return false;
	} while (take_char(l, ','));
	return take_char(l, ']') || fail(l, "its extras do not end with ]");
}

static bool take_comparison(struct line *l)
{
	static const char *const all[] = { "===", "~=", "==", "!=", "<=", ">=", "<",
		">" };

	skip_space(l);
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
		if (str_starts(l->at, all[i])) {
			l->at += strlen(all[i]);
			return true;
		}
	}
	return false;
}

static bool take_version(struct line *l)
{
	const char *start;

	skip_space(l);
	start = l->at;
	while (is_word(*l->at) || (*l->at && strchr("*+!", *l->at)))
		l->at++;
	return l->at > start || fail(l, "a version is missing");
}

static bool take_versions(struct line *l)
{
	do {
		if (!take_comparison(l))
			return fail(l, "a comparison such as == or >= is missing");
		if (!take_version(l))
			return false;
	} while (take_char(l, ','));
	return true;
}

static bool starts_comparison(struct line *l)
{
	skip_space(l);
	return *l->at && strchr("<>=!~", *l->at);
}

static bool take_specifier(struct line *l)
{
	if (take_char(l, '('))
		return take_versions(l) &&
		       (take_char(l, ')') || fail(l, "a ) is missing"));
	return !starts_comparison(l) || take_versions(l);
}

/* ---- markers */

static bool take_keyword(struct line *l, const char *word)
{
	size_t len = strlen(word);

	skip_space(l);
	if (!str_starts(l->at, word) || is_word(l->at[len]))
		return false;
	l->at += len;
	return true;
}

static bool take_variable(struct line *l)
{
	static const char *const all[] = { "python_version", "python_full_version",
		"os_name", "sys_platform", "platform_release", "platform_system",
		"platform_version", "platform_machine", "platform_python_implementation",
		"implementation_name", "implementation_version", "extra" };

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		if (take_keyword(l, all[i]))
			return true;
	return fail(l, "its marker compares what is no marker variable");
}

static bool take_value(struct line *l)
{
	char quote;

	skip_space(l);
	quote = *l->at;
	if (quote != '"' && quote != '\'')
		return take_variable(l);

	const char *end = strchr(l->at + 1, quote);
	if (!end)
		return fail(l, "a quote in its marker is not closed");
	l->at = end + 1;
	return true;
}

static bool take_operator(struct line *l)
{
	if (take_keyword(l, "in"))
		return true;
	if (take_keyword(l, "not"))
		return take_keyword(l, "in") || fail(l, "\"not\" without \"in\"");
	return take_comparison(l) || fail(l, "its marker lacks a comparison");
}

static bool take_marker(struct line *l);

static bool take_term(struct line *l)
{
	if (!take_char(l, '('))
		return take_value(l) && take_operator(l) && take_value(l);
	if (++l->depth > MARKER_DEPTH)
		return fail(l, "its marker is nested too deep");
	if (!take_marker(l))
		return false;
	l->depth--;
	return take_char(l, ')') || fail(l, "a ) is missing in its marker");
}

static bool take_and(struct line *l)
{
	do {
		if (!take_term(l))
			return false;
	} while (take_keyword(l, "and"));
	return true;
}

static bool take_marker(struct line *l)
{
	do {
		if (!take_and(l))
			return false;
	} while (take_keyword(l, "or"));
	return true;
}

/* ---- the line */

/* What people write by mistake is named as what it is. */
static bool known_fault(struct line *l, const char *line)
{
	if (line[strspn(line, " \t")] == '\0')
		return fail(l, "it is empty");
	if (strpbrk(line, "\r\n"))
		return fail(l, "it has a line break");
	for (const char *at = line; *at; at++)
		if ((unsigned char)*at >= 0x7f || (*at < ' ' && *at != '\t'))
			return fail(l, "it has characters that are not plain ASCII");
	if (line[strspn(line, " \t")] == '-')
		return fail(l, "options are not taken");
	if (strchr(line, '#'))
		return fail(l, "comments are not taken");
	if (strstr(line, "://") || strchr(line, '@'))
		return fail(l, "URLs are not taken");
	if (strchr(line, '/') || line[strspn(line, " \t")] == '.')
		return fail(l, "paths are not taken");
	return true;
}

static bool take_line(struct line *l)
{
	if (!known_fault(l, l->at) || !take_name(l, "it does not begin with a name") ||
		!take_extras(l) || !take_specifier(l))
		return false;
	if (take_char(l, ';') && !take_marker(l))
		return false;
	skip_space(l);
	return !*l->at ||
	       fail(l, "there is more than a name, extras, versions and a marker");
}

int requirement_check(const struct submission_limits *l, const char *line, struct err *e)
{
	struct line parsed = { .at = line };
	char quoted[STR_QUOTE_SIZE];
	size_t len = strlen(line);

	if (len > l->requirement_bytes)
		return err_set(e, ERR_INVALID,
			"requirements \"%s\" is not allowed: it has %zu bytes, at most "
			"%zu are allowed",
			str_quote(quoted, line, len), len, l->requirement_bytes);
	if (!take_line(&parsed))
		return err_set(e, ERR_INVALID,
			"requirements \"%s\" is not allowed: %s; a line is a name with "
			"extras, versions and a marker (PEP 508), such as numpy>=1.24",
			str_quote(quoted, line, len), parsed.fault);
	return 0;
}
