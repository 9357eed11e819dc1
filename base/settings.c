/* settings.c - fills a struct from flags, variables and a YAML file by one table. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "settings.h"

#include <assert.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include "cleanup.h"
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
	return err_set(e, ERR_INVALID, "\"%.40s\" is neither yes nor no", text);
}

static int check_range(const struct setting *s, int64_t value, struct err *e)
{
	if (s->min == 0 && s->max == 0)
		return value >= 0 ? 0 : err_set(e, ERR_INVALID, "must not be negative");
	if (value < s->min || value > s->max)
		return err_set(e, ERR_INVALID, "%lld is not in %lld..%lld",
			(long long)value, (long long)s->min, (long long)s->max);
	return 0;
}

static int assign(const struct setting *s, const char *text, void *out, struct err *e)
{
	int64_t value = 0;
	bool yes = false;

	switch (s->type) {
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
	if (check_range(s, value, e) < 0)
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

static int apply_pair(const struct setting *table, yaml_document_t *doc,
	const yaml_node_pair_t *pair, const char *path, void *out, struct err *e)
{
	yaml_node_t *key = yaml_document_get_node(doc, pair->key);
	yaml_node_t *value = yaml_document_get_node(doc, pair->value);
	size_t line = key->start_mark.line + 1;

	if (key->type != YAML_SCALAR_NODE || value->type != YAML_SCALAR_NODE)
		return err_set(
			e, ERR_INVALID, "%s:%zu: expected `name: value`", path, line);

	const char *name = (const char *)key->data.scalar.value;
	const struct setting *s = find(table, name);
	if (!s)
		return err_set(e, ERR_INVALID, "%s:%zu: unknown setting \"%.64s\"", path,
			line, name);
	if (assign(s, (const char *)value->data.scalar.value, out, e) < 0)
		return err_wrap(e, "%s:%zu: %s", path, line, name);
	return 0;
}

static int apply_file(
	const struct setting *table, const char *path, void *out, struct err *e)
{
	CLEANUP(close_file) FILE *f = fopen(path, "re");
	CLEANUP(close_parser) yaml_parser_t parser;
	CLEANUP(close_document) yaml_document_t doc = { 0 };

	if (!yaml_parser_initialize(&parser))
		abort();
	if (!f)
		return err_sys(e, "open %s", path);
	yaml_parser_set_input_file(&parser, f);
	if (!yaml_parser_load(&parser, &doc))
		return err_set(e, ERR_INVALID, "%s:%zu: %s", path,
			parser.problem_mark.line + 1,
			parser.problem ? parser.problem : "not YAML");

	yaml_node_t *root = yaml_document_get_root_node(&doc);
	if (!root)
		return 0;
	if (root->type != YAML_MAPPING_NODE)
		return err_set(
			e, ERR_INVALID, "%s: expected lines of `name: value`", path);
	for (yaml_node_pair_t *p = root->data.mapping.pairs.start;
		p < root->data.mapping.pairs.top; p++)
		if (apply_pair(table, &doc, p, path, out, e) < 0)
			return -1;
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
		return err_set(e, ERR_INVALID, "unknown flag --%.64s", name);

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
	if (*ask == SETTINGS_HELP || *ask == SETTINGS_VERSION)
		return 0;
	if (load(table, left, rest, file, out, e) < 0) {
		settings_fini(table, out);
		return -1;
	}
	return 0;
}

void settings_fini(const struct setting *table, void *out)
{
	for (const struct setting *s = table; s->name; s++) {
		if (s->type != SETTING_TEXT)
			continue;
		free(*(char **)field(s, out));
		*(char **)field(s, out) = NULL;
	}
}

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
	fprintf(to, "  %-28s print the version and end\n", "--version");
	fprintf(to, "  %-28s print this and end\n", "--help");

	CLEANUP(free_ptr) char *variable = variable_name(table->name);
	fprintf(to,
		"\nEach setting is also a variable: --%s is %s. Flags win over\n"
		"variables, variables over the file.\n",
		table->name, variable);
}
