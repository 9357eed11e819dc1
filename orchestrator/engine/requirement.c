/* requirement.c - judges requirement lines against what is installed. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "requirement.h"

#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "xalloc.h"

#define RELEASE_PARTS 8

struct release {
	uint32_t part[RELEASE_PARTS]; /* missing ones are 0, as PEP 440 compares */
	int count;
	bool wildcard; /* ended in .* */
};

static void skip_spaces(const char **s)
{
	while (**s == ' ' || **s == '\t')
		(*s)++;
}

/* "1.24.2" or "1.24.*" at *s; false for anything else, such as 1.0rc1. */
static bool read_release(const char **s, struct release *r)
{
	*r = (struct release){ 0 };
	while (isdigit((unsigned char)**s)) {
		uint64_t n = 0;

		if (r->count == RELEASE_PARTS)
			return false;
		for (; isdigit((unsigned char)**s); (*s)++) {
			n = n * 10 + (uint64_t)(**s - '0');
			if (n > UINT32_MAX)
				return false;
		}
		r->part[r->count++] = (uint32_t)n;
		if (**s != '.')
			return true;
		(*s)++;
		if (**s == '*') {
			(*s)++;
			r->wildcard = true;
			return true;
		}
	}
	return false; /* nothing, or a dot with no number after it */
}

static int compare(const struct release *a, const struct release *b, int parts)
{
	for (int i = 0; i < parts; i++)
		if (a->part[i] != b->part[i])
			return a->part[i] < b->part[i] ? -1 : 1;
	return 0;
}

static bool holds(const char *op, const struct release *have, const struct release *want)
{
	int order = compare(have, want, want->wildcard ? want->count : RELEASE_PARTS);

	if (want->wildcard && strcmp(op, "==") && strcmp(op, "!="))
		return false;
	if (!strcmp(op, "=="))
		return order == 0;
	if (!strcmp(op, "!="))
		return order != 0;
	if (!strcmp(op, ">="))
		return order >= 0;
	if (!strcmp(op, "<="))
		return order <= 0;
	if (!strcmp(op, ">"))
		return order > 0;
	if (!strcmp(op, "<"))
		return order < 0;
	/* ~= 2.2 means >= 2.2, == 2.* */
	return !strcmp(op, "~=") && want->count >= 2 && order >= 0 &&
	       compare(have, want, want->count - 1) == 0;
}

/* One "<op> <release>" at *s. */
static bool specifier_holds(const char **s, const struct release *have)
{
	struct release want;
	char op[4] = "";

	for (int i = 0; i < 3 && **s && strchr("<>=!~", **s); i++)
		op[i] = *(*s)++;
	skip_spaces(s);
	return read_release(s, &want) && holds(op, have, &want);
}

static bool specifiers_hold(const char *s, const char *version)
{
	struct release have;
	const char *v = version;

	skip_spaces(&s);
	if (!*s)
		return true;
	if (!read_release(&v, &have) || *v || have.wildcard)
		return false;
	for (;;) {
		if (!specifier_holds(&s, &have))
			return false;
		skip_spaces(&s);
		if (!*s)
			return true;
		if (*s++ != ',')
			return false;
		skip_spaces(&s);
	}
}

/* Lower case, and runs of - _ . as one dash: the form that PEP 503 compares. */
static char *normal_name(const char *s, size_t len)
{
	char *name = xmalloc(len + 1);
	size_t at = 0;

	for (size_t i = 0; i < len; i++) {
		bool dash = strchr("-_.", s[i]) != NULL;

		if (dash && at && name[at - 1] == '-')
			continue;
		name[at++] = dash ? '-' : (char)tolower((unsigned char)s[i]);
	}
	name[at] = '\0';
	return name;
}

bool requirement_satisfied(const char *line, installed_version *version_of, void *ctx)
{
	skip_spaces(&line);

	size_t len = 0;
	while (isalnum((unsigned char)line[len]) ||
		(line[len] && strchr("-_.", line[len])))
		len++;

	CLEANUP(free_ptr) char *name = normal_name(line, len);
	const char *version = len ? version_of(ctx, name) : NULL;
	return version && specifiers_hold(line + len, version);
}
