/* settings.c - fills a struct from flags, variables and a YAML file by one table. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "settings.h"

#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include "cleanup.h"
#include "log.h"
#include "str.h"
#include "xalloc.h"

#define VARIABLE_PREFIX "CUMULUS_"

static void *field(const struct setting *s, void *out)
{
	return (char *)out + s->offset;
}

static const struct setting *find(const struct setting *table, const char *name)
{
	for (const struct setting *s = table; s->name; s++)
		if (strcmp(s->name, name) == 0)
			return s;
	return NULL;
}

/* The setting that was most likely meant by an unknown name; NULL when none is near. */
static const struct setting *nearest(const struct setting *table, const char *name)
{
	const struct setting *best = NULL;
	size_t least = strlen(name) / 3 + 2;

	for (const struct setting *s = table; s->name; s++) {
		size_t distance = str_distance(s->name, name);

		if (distance < least) {
			least = distance;
			best = s;
		}
	}
	return best;
}

/* what: a setting or a flag, with its dashes */
static int unknown(const struct setting *table, const char *what, const char *dashes,
	const char *name, struct err *e)
{
	const struct setting *meant = nearest(table, name);
	char quoted[STR_QUOTE_SIZE];

	str_quote(quoted, name, strlen(name));
	if (!meant)
		return err_set(
			e, ERR_INVALID, "unknown %s \"%s%s\"", what, dashes, quoted);
	return err_set(e, ERR_INVALID, "unknown %s \"%s%s\"; did you mean %s%s?", what,
		dashes, quoted, dashes, meant->name);
}

/* Is value one of the words of "a|b|c"? */
static int check_choice(const struct setting *s, const char *value, struct err *e)
{
	size_t len = strlen(value);
	const char *word = s->argument;

	while (word) {
		const char *bar = strchr(word, '|');
		size_t n = bar ? (size_t)(bar - word) : strlen(word);

		if (n == len && memcmp(word, value, n) == 0)
			return 0;
		word = bar ? bar + 1 : NULL;
	}

	char quoted[STR_QUOTE_SIZE];
	return err_set(e, ERR_INVALID, "\"%s\" is not one of %s",
		str_quote(quoted, value, len), s->argument);
}

static int parse_bool(const char *text, bool *value, struct err *e)
{
	static const char *const yes[] = { "yes", "true", "on", "1" };
	static const char *const no[] = { "no", "false", "off", "0" };

	for (size_t i = 0; i < sizeof(yes) / sizeof(*yes); i++) {
		if (strcmp(text, yes[i]) == 0 || strcmp(text, no[i]) == 0) {
			*value = strcmp(text, yes[i]) == 0;
			return 0;
		}
	}

	char quoted[STR_QUOTE_SIZE];
	return err_set(e, ERR_INVALID, "\"%s\" is neither yes nor no",
		str_quote(quoted, text, strlen(text)));
}

/* A number as a person would write it: 600 s as 10m, 2048 bytes as 2K. */
static void write_number(char *out, size_t size, enum setting_type type, int64_t n)
{
	static const struct unit {
		int64_t factor;
		enum setting_type type;
		char name;
	} units[] = {
		{ 86400, SETTING_DURATION, 'd' },
		{ 3600, SETTING_DURATION, 'h' },
		{ 60, SETTING_DURATION, 'm' },
		{ 1, SETTING_DURATION, 's' },
		{ INT64_C(1) << 40, SETTING_BYTES, 'T' },
		{ 1 << 30, SETTING_BYTES, 'G' },
		{ 1 << 20, SETTING_BYTES, 'M' },
		{ 1 << 10, SETTING_BYTES, 'K' },
	};

	for (size_t i = 0; n && i < sizeof(units) / sizeof(*units); i++) {
		if (units[i].type == type && n % units[i].factor == 0) {
			str_put(out, size, "%" PRId64 "%c", n / units[i].factor,
				units[i].name);
			return;
		}
	}
	str_put(out, size, "%" PRId64, n);
}

static int check_range(
	const struct setting *s, const char *text, int64_t value, struct err *e)
{
	char quoted[STR_QUOTE_SIZE], min[32], max[32];

	if (s->min == 0 && s->max == 0)
		return value >= 0 ? 0 : err_set(e, ERR_INVALID, "must not be negative");
	if (value >= s->min && value <= s->max)
		return 0;
	write_number(min, sizeof(min), s->type, s->min);
	write_number(max, sizeof(max), s->type, s->max);
	return err_set(e, ERR_INVALID, "%s is not in %s..%s",
		str_quote(quoted, text, strlen(text)), min, max);
}

static int assign(const struct setting *s, const char *text, void *out, struct err *e)
{
	int64_t value = 0;
	bool yes = false;

	switch (s->type) {
	case SETTING_CHOICE:
		if (check_choice(s, text, e) < 0)
			return -1;
		/* fall through */
	case SETTING_TEXT:
		free(*(char **)field(s, out));
		*(char **)field(s, out) = xstrdup(text);
		return 0;
	case SETTING_BOOL:
		if (parse_bool(text, &yes, e) < 0)
			return -1;
		*(bool *)field(s, out) = yes;
		return 0;
	case SETTING_INT:
		if (parse_i64(text, INT64_MIN, INT64_MAX, &value, e) < 0)
			return -1;
		break;
	case SETTING_BYTES:
		if (parse_bytes(text, &value, e) < 0)
			return -1;
		break;
	case SETTING_DURATION:
		if (parse_duration_s(text, &value, e) < 0)
			return -1;
		break;
	}
	if (check_range(s, text, value, e) < 0)
		return -1;
	*(int64_t *)field(s, out) = value;
	return 0;
}

static int apply_defaults(const struct setting *table, void *out, struct err *e)
{
	for (const struct setting *s = table; s->name; s++)
		if (s->fallback && assign(s, s->fallback, out, e) < 0)
			return err_wrap(e, "default of %s", s->name);
	return 0;
}

static void close_parser(yaml_parser_t *p)
{
	yaml_parser_delete(p);
}

static void close_document(yaml_document_t *d)
{
	yaml_document_delete(d);
}

static const char *text_of(const yaml_node_t *node)
{
	return (const char *)node->data.scalar.value;
}

/* Has an earlier line of the file the same name?  0: none. */
static size_t earlier_line(
	yaml_document_t *doc, const yaml_node_t *root, const yaml_node_pair_t *pair)
{
	const char *name = text_of(yaml_document_get_node(doc, pair->key));

	for (yaml_node_pair_t *p = root->data.mapping.pairs.start; p < pair; p++) {
		yaml_node_t *key = yaml_document_get_node(doc, p->key);

		if (strcmp(text_of(key), name) == 0)
			return key->start_mark.line + 1;
	}
	return 0;
}

/* The value of a pair whose key is a text. */
static int apply_value(const struct setting *table, const char *name,
	const yaml_node_t *value, void *out, struct err *e)
{
	const struct setting *s = find(table, name);

	if (!s)
		return unknown(table, "setting", "", name, e);
	if (value->type != YAML_SCALAR_NODE)
		return err_set(e, ERR_INVALID, "%s: expected one value", name);
	/* `name:` alone is more likely a slip than a wish for an empty text. */
	if (!*text_of(value) && value->data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
		return err_set(e, ERR_INVALID, "%s: has no value", name);
	if (strlen(text_of(value)) != value->data.scalar.length)
		return err_set(e, ERR_INVALID, "%s: has a NUL in its value", name);
	return assign(s, text_of(value), out, e) < 0 ? err_wrap(e, "%s", name) : 0;
}

static int apply_pair(const struct setting *table, yaml_document_t *doc,
	const yaml_node_t *root, const yaml_node_pair_t *pair, void *out, struct err *e)
{
	const yaml_node_t *key = yaml_document_get_node(doc, pair->key);

	if (key->type != YAML_SCALAR_NODE)
		return err_set(e, ERR_INVALID, "expected `name: value`");

	size_t earlier = earlier_line(doc, root, pair);
	if (earlier)
		return err_set(e, ERR_INVALID, "%.64s: is set in line %zu already",
			text_of(key), earlier);
	return apply_value(
		table, text_of(key), yaml_document_get_node(doc, pair->value), out, e);
}

static int apply_document(const struct setting *table, const char *path,
	yaml_document_t *doc, void *out, struct err *e)
{
	const yaml_node_t *root = yaml_document_get_root_node(doc);

	if (!root)
		return 0;
	if (root->type != YAML_MAPPING_NODE)
		return err_set(e, ERR_INVALID, "%s:%zu: expected lines of `name: value`",
			path, root->start_mark.line + 1);
	for (yaml_node_pair_t *p = root->data.mapping.pairs.start;
		p < root->data.mapping.pairs.top; p++)
		if (apply_pair(table, doc, root, p, out, e) < 0)
			return err_wrap(e, "%s:%zu", path,
				yaml_document_get_node(doc, p->key)->start_mark.line + 1);
	return 0;
}

static int load_document(
	yaml_parser_t *parser, const char *path, yaml_document_t *doc, struct err *e)
{
	if (yaml_parser_load(parser, doc))
		return 0;
	return err_set(e, ERR_INVALID, "%s:%zu: %s", path, parser->problem_mark.line + 1,
		parser->problem ? parser->problem : "not YAML");
}

static int apply_file(
	const struct setting *table, const char *path, void *out, struct err *e)
{
	CLEANUP(close_file) FILE *f = fopen(path, "re");
	CLEANUP(close_parser) yaml_parser_t parser;
	CLEANUP(close_document) yaml_document_t doc = { 0 };
	CLEANUP(close_document) yaml_document_t more = { 0 };

	if (!yaml_parser_initialize(&parser))
		abort();
	if (!f)
		return err_sys(e, "open %s", path);
	yaml_parser_set_input_file(&parser, f);
	if (load_document(&parser, path, &doc, e) < 0 ||
		apply_document(table, path, &doc, out, e) < 0 ||
		load_document(&parser, path, &more, e) < 0)
		return -1;
	if (yaml_document_get_root_node(&more))
		return err_set(e, ERR_INVALID, "%s:%zu: a second document begins", path,
			more.start_mark.line + 1);
	return 0;
}

static char *variable_name(const char *name)
{
	char *variable = str_fmt("%s%s", VARIABLE_PREFIX, name);

	for (char *c = variable; *c; c++)
		*c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
	return variable;
}

static int apply_variables(const struct setting *table, void *out, struct err *e)
{
	for (const struct setting *s = table; s->name; s++) {
		CLEANUP(free_ptr) char *variable = variable_name(s->name);
		const char *value = getenv(variable);

		if (value && assign(s, value, out, e) < 0)
			return err_wrap(e, "%s", variable);
	}
	return 0;
}

/* One flag of argv[*at], advanced past its value. */
static int apply_flag(const struct setting *table, int argc, char **argv, int *at,
	void *out, struct err *e)
{
	const char *flag = argv[*at];

	assert(flag);
	if (!str_starts(flag, "--"))
		return err_set(e, ERR_INVALID, "unexpected argument \"%.64s\"", flag);

	const char *equals = strchr(flag, '=');
	size_t len = equals ? (size_t)(equals - flag) - 2 : strlen(flag) - 2;
	CLEANUP(free_ptr) char *name = xstrndup(flag + 2, len);
	const struct setting *s = find(table, name);
	if (!s)
		return unknown(table, "flag", "--", name, e);

	const char *value = equals ? equals + 1 : NULL;
	if (!value && s->type == SETTING_BOOL)
		value = "yes";
	else if (!value && *at + 1 < argc)
		value = argv[++*at];
	if (!value)
		return err_set(e, ERR_INVALID, "--%s wants %s", name, s->argument);
	if (assign(s, value, out, e) < 0)
		return err_wrap(e, "--%s", name);
	return 0;
}

/* What stands apart from the table; the rest of argv is packed to *argc. */
static int take_questions(
	int *argc, char **argv, const char **file, enum settings_ask *ask, struct err *e)
{
	int kept = 0;

	for (int i = 1; i < *argc; i++) {
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			*ask = SETTINGS_HELP;
		} else if (strcmp(argv[i], "--version") == 0) {
			*ask = *ask == SETTINGS_HELP ? *ask : SETTINGS_VERSION;
		} else if (strcmp(argv[i], "--print-config") == 0) {
			*ask = SETTINGS_EXAMPLE;
		} else if (strcmp(argv[i], "--print-reference") == 0) {
			*ask = SETTINGS_REFERENCE;
		} else if (strcmp(argv[i], "--check-config") == 0) {
			*ask = *ask == SETTINGS_RUN ? SETTINGS_CHECK : *ask;
		} else if (str_starts(argv[i], "--config=")) {
			*file = argv[i] + strlen("--config=");
		} else if (strcmp(argv[i], "--config") == 0) {
			if (i + 1 >= *argc)
				return err_set(e, ERR_INVALID, "--config wants FILE");
			*file = argv[++i];
		} else {
			argv[kept++] = argv[i];
		}
	}
	*argc = kept;
	return 0;
}

static int load(const struct setting *table, int argc, char **argv, const char *file,
	void *out, struct err *e)
{
	if (apply_defaults(table, out, e) < 0)
		return -1;
	if (file && apply_file(table, file, out, e) < 0)
		return -1;
	if (apply_variables(table, out, e) < 0)
		return -1;
	for (int i = 0; i < argc; i++)
		if (apply_flag(table, argc, argv, &i, out, e) < 0)
			return -1;
	return 0;
}

int settings_load(const struct setting *table, int argc, char **argv, void *out,
	enum settings_ask *ask, struct err *e)
{
	CLEANUP(free_ptr) char **rest = xmemdup(argv, (size_t)argc * sizeof(*argv));
	const char *file = NULL;
	int left = argc;

	*ask = SETTINGS_RUN;
	if (take_questions(&left, rest, &file, ask, e) < 0)
		return -1;
	if (*ask != SETTINGS_RUN && *ask != SETTINGS_CHECK)
		return 0;
	if (load(table, left, rest, file, out, e) < 0) {
		settings_fini(table, out);
		return -1;
	}
	return 0;
}

const char *settings_file(int argc, char **argv)
{
	CLEANUP(free_ptr) char **rest = xmemdup(argv, (size_t)argc * sizeof(*argv));
	enum settings_ask ask = SETTINGS_RUN;
	const char *file = NULL;

	return take_questions(&argc, rest, &file, &ask, NULL) < 0 ? NULL : file;
}

void settings_say_fine(int argc, char **argv)
{
	const char *file = settings_file(argc, argv);

	printf("%s%sconfiguration is fine\n", file ? file : "", file ? ": " : "");
}

static bool is_text(const struct setting *s)
{
	return s->type == SETTING_TEXT || s->type == SETTING_CHOICE;
}

void settings_fini(const struct setting *table, void *out)
{
	for (const struct setting *s = table; s->name; s++) {
		if (!is_text(s))
			continue;
		free(*(char **)field(s, out));
		*(char **)field(s, out) = NULL;
	}
}

/* ---- changing at run time */

static char *value_dup(const struct setting *s, void *of)
{
	char number[32];

	if (is_text(s))
		return xstrdup(*(char **)field(s, of) ? *(char **)field(s, of) : "");
	if (s->type == SETTING_BOOL)
		return xstrdup(*(bool *)field(s, of) ? "yes" : "no");
	write_number(number, sizeof(number), s->type, *(int64_t *)field(s, of));
	return xstrdup(number);
}

static void swap_values(const struct setting *s, void *a, void *b)
{
	size_t size = is_text(s)                ? sizeof(char *)
		      : s->type == SETTING_BOOL ? sizeof(bool)
						: sizeof(int64_t);
	uint8_t kept[sizeof(int64_t)];

	_Static_assert(sizeof(kept) >= sizeof(char *), "every value fits");
	memcpy(kept, field(s, a), size);
	memcpy(field(s, a), field(s, b), size);
	memcpy(field(s, b), kept, size);
}

static bool is_live(const char *const *live, const char *name)
{
	for (; *live; live++)
		if (strcmp(*live, name) == 0)
			return true;
	return false;
}

size_t settings_move(
	const struct setting *table, const char *const *live, void *current, void *fresh)
{
	size_t moved = 0;

	for (const struct setting *s = table; s->name; s++) {
		CLEANUP(free_ptr) char *from = value_dup(s, current);
		CLEANUP(free_ptr) char *to = value_dup(s, fresh);

		if (strcmp(from, to) == 0)
			continue;
		if (!is_live(live, s->name)) {
			log_warn("setting needs a restart to change", "setting", s->name,
				"from", from, "to", to, NULL);
			continue;
		}
		log_info("setting changed", "setting", s->name, "from", from, "to", to,
			NULL);
		swap_values(s, current, fresh);
		moved++;
	}
	return moved;
}

/* ---- telling people */

void settings_help(const struct setting *table, FILE *to)
{
	for (const struct setting *s = table; s->name; s++) {
		CLEANUP(free_ptr)
		char *left = str_fmt("--%s%s%s", s->name, s->argument ? " " : "",
			s->argument ? s->argument : "");

		fprintf(to, "  %-28s %s", left, s->help);
		if (s->fallback)
			fprintf(to, " (default %s)", s->fallback);
		fputc('\n', to);
	}
	fprintf(to, "  %-28s settings as YAML, `name: value` a line\n", "--config FILE");
	fprintf(to, "  %-28s check the settings and end\n", "--check-config");
	fprintf(to, "  %-28s print a file with every setting and end\n",
		"--print-config");
	fprintf(to, "  %-28s print the version and end\n", "--version");
	fprintf(to, "  %-28s print this and end\n", "--help");

	CLEANUP(free_ptr) char *variable = variable_name(table->name);
	fprintf(to,
		"\nEach setting is also a variable: --%s is %s. Flags win over\n"
		"variables, variables over the file.\n",
		table->name, variable);
}

/* What may be given: the argument, and the range where there is one. */
static char *allowed_dup(const struct setting *s)
{
	char min[32], max[32];

	if (s->type == SETTING_BOOL)
		return xstrdup("yes or no");
	if (is_text(s) || (s->min == 0 && s->max == 0))
		return xstrdup(s->argument);
	write_number(min, sizeof(min), s->type, s->min);
	write_number(max, sizeof(max), s->type, s->max);
	return str_fmt("%s, %s to %s", s->argument, min, max);
}

static const char *fallback_of(const struct setting *s)
{
	return s->fallback ? s->fallback : s->type == SETTING_BOOL ? "no" : "";
}

void settings_example(const struct setting *table, const char *const *live, FILE *to)
{
	fprintf(to, "# Every setting with its default; take away the # to change one.\n"
		    "# Flags win over variables, variables over this file.\n");
	for (const struct setting *s = table; s->name; s++) {
		CLEANUP(free_ptr) char *allowed = allowed_dup(s);

		fprintf(to, "\n# %s\n# %s%s\n#%s:%s%s\n", s->help, allowed,
			is_live(live, s->name) ? "; SIGHUP changes it" : "", s->name,
			*fallback_of(s) ? " " : "", fallback_of(s));
	}
}

/* A bar would end the cell. */
static void write_cell(FILE *to, const char *text)
{
	for (; *text; text++)
		fprintf(to, "%s%c", *text == '|' ? "\\" : "", *text);
	fprintf(to, " |");
}

void settings_reference(const struct setting *table, const char *const *live, FILE *to)
{
	fprintf(to, "| setting | variable | default | allowed | SIGHUP | what it does "
		    "|\n|---|---|---|---|---|---|\n");
	for (const struct setting *s = table; s->name; s++) {
		CLEANUP(free_ptr) char *variable = variable_name(s->name);
		CLEANUP(free_ptr) char *allowed = allowed_dup(s);

		fprintf(to, "| `%s` | `%s` | %s%s%s | ", s->name, variable,
			*fallback_of(s) ? "`" : "", fallback_of(s),
			*fallback_of(s) ? "`" : "");
		write_cell(to, allowed);
		fprintf(to, " %s | ", is_live(live, s->name) ? "changes" : "restart");
		write_cell(to, s->help);
		fputc('\n', to);
	}
}
