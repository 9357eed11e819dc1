/* options.c - reads flags in any order: -x V, -xV, -xyz, --name V, --name=V, --. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "options.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "command.h"
#include "str.h"
#include "xalloc.h"

const struct flag common_flags[] = {
	{ 0, "json", FLAG_SWITCH, offsetof(struct options, json), NULL,
		"print JSON, for programs" },
	{ 'q', "quiet", FLAG_SWITCH, offsetof(struct options, quiet), NULL,
		"only what was asked for, no comments" },
	{ 0, "address", FLAG_TEXT, offsetof(struct options, address), "HOST:PORT",
		"the server (default 127.0.0.1:50051)" },
	{ 0, "token", FLAG_TEXT, offsetof(struct options, token), "TOKEN",
		"refused until the server has authentication" },
	{ 'V', "version", FLAG_SWITCH, offsetof(struct options, version), NULL,
		"print the version and end" },
	{ 'h', "help", FLAG_SWITCH, offsetof(struct options, help), NULL, "this text" },
	{ 0 },
};

/* A walk over argv by the tables of flags that count here. */
struct reader {
	char **argv;
	int argc, at;
	const struct flag *tables[2];
	struct options *out;
	const char *elsewhere; /* what to do with an option that resembles none */
};

void options_init(struct options *o)
{
	*o = (struct options){
		.gpu_hundredths = 50,
		.duration_s = 600,
		.devices = "auto",
		.listen = "127.0.0.1:50051",
		.http = "127.0.0.1:8080",
	};
}

void options_fini(struct options *o)
{
	free(o->env.at);
	free(o->labels.at);
	free(o->operands.at);
	free(o->job_args.at);
	*o = (struct options){ 0 };
}

static void words_add(struct words *w, const char *word)
{
	w->at = xreallocarray(w->at, w->count + 1, sizeof(*w->at));
	w->at[w->count++] = word;
}

static const struct flag *find_long(const struct reader *r, const char *name, size_t len)
{
	for (size_t t = 0; t < 2; t++)
		for (const struct flag *f = r->tables[t]; f && f->name; f++)
			if (strlen(f->name) == len && memcmp(f->name, name, len) == 0)
				return f;
	return NULL;
}

size_t typing_distance(const char *word, const char *name)
{
	size_t len = strlen(word), distance;

	if (len > 1 && str_starts(name, word))
		return 0;
	distance = str_distance(word, name);
	return distance <= len / 3 ? distance : SIZE_MAX;
}

/* The option that was most likely meant; NULL: none is near. */
static const struct flag *nearest_flag(const struct reader *r, const char *name)
{
	const struct flag *best = NULL;
	size_t least = SIZE_MAX;

	for (size_t t = 0; t < 2; t++)
		for (const struct flag *f = r->tables[t]; f && f->name; f++) {
			size_t distance = typing_distance(name, f->name);

			if (distance < least) {
				least = distance;
				best = f;
			}
		}
	return best;
}

static int unknown_flag(
	const struct reader *r, const char *word, size_t len, struct err *e)
{
	CLEANUP(free_ptr) char *name = str_fmt("%.*s", (int)len, word + 2);
	const struct flag *meant = nearest_flag(r, name);
	char quoted[STR_QUOTE_SIZE];

	str_quote(quoted, word, strlen(word));
	if (meant)
		return err_set(e, ERR_INVALID, "unknown option %s; did you mean --%s?",
			quoted, meant->name);
	return err_set(e, ERR_INVALID, "unknown option %s; %s", quoted, r->elsewhere);
}

static const struct flag *find_letter(const struct reader *r, char letter)
{
	for (size_t t = 0; t < 2; t++)
		for (const struct flag *f = r->tables[t]; f && f->name; f++)
			if (f->letter == letter)
				return f;
	return NULL;
}

static int parse_number(const char *text, double *out, struct err *e)
{
	char *end = NULL;
	double n = strtod(text, &end);

	if (end == text || *end || !isfinite(n) || n <= 0)
		return err_set(e, ERR_INVALID, "\"%.40s\" is not a number above 0", text);
	*out = n;
	return 0;
}

static int assign(
	const struct flag *f, const char *text, struct options *o, struct err *e)
{
	void *field = (char *)o + f->offset;

	switch (f->type) {
	case FLAG_SWITCH:
		*(bool *)field = true;
		return 0;
	case FLAG_TEXT:
	case FLAG_LIST:
		*(const char **)field = text;
		return 0;
	case FLAG_WORDS:
		words_add(field, text);
		return 0;
	case FLAG_SECONDS:
		return parse_duration_s(text, field, e);
	case FLAG_BYTES:
		return parse_bytes(text, field, e);
	case FLAG_COUNT:
		return parse_i64(text, 0, INT32_MAX, field, e);
	case FLAG_INTEGER:
		return parse_i64(text, INT32_MIN, INT32_MAX, field, e);
	case FLAG_HUNDREDTHS:
		return parse_hundredths(text, field, e);
	case FLAG_NUMBER:
		return parse_number(text, field, e);
	}
	return err_set(e, ERR_INTERNAL, "a flag without a type");
}

/* Give f its value: inline (NULL: none there) or the next word. */
static int take_value(
	struct reader *r, const struct flag *f, const char *inline_value, struct err *e)
{
	const char *value = inline_value;

	if (!f->argument && inline_value)
		return err_set(e, ERR_INVALID, "--%s takes no value", f->name);
	if (f->argument && !value) {
		if (r->at >= r->argc)
			return err_set(
				e, ERR_INVALID, "--%s wants %s", f->name, f->argument);
		value = r->argv[r->at++];
	}
	if (assign(f, value, r->out, e) < 0)
		return err_wrap(e, "--%s", f->name);
	return 0;
}

static int take_long(struct reader *r, const char *word, struct err *e)
{
	const char *equals = strchr(word, '=');
	size_t len = equals ? (size_t)(equals - word) - 2 : strlen(word) - 2;
	const struct flag *f = find_long(r, word + 2, len);

	if (!f)
		return unknown_flag(r, word, len, e);
	return take_value(r, f, equals ? equals + 1 : NULL, e);
}

static int take_letters(struct reader *r, const char *word, struct err *e)
{
	for (const char *c = word + 1; *c; c++) {
		const struct flag *f = find_letter(r, *c);

		if (!f)
			return err_set(e, ERR_INVALID,
				"unknown option -%.1s in %.64s; %s", c, word,
				r->elsewhere);
		if (f->argument)
			return take_value(r, f, c[1] ? c + 1 : NULL, e);
		if (take_value(r, f, NULL, e) < 0)
			return -1;
	}
	return 0;
}

/* The flag at r->at, which begins with a dash. */
static int take_flag(struct reader *r, struct err *e)
{
	const char *word = r->argv[r->at++];

	return str_starts(word, "--") ? take_long(r, word, e) : take_letters(r, word, e);
}

static bool is_flag(const char *word)
{
	return word[0] == '-' && word[1];
}

int options_parse_leading(
	int argc, char **argv, int *at, struct options *o, struct err *e)
{
	struct reader r = { argv, argc, 1, { common_flags }, o,
		"options of a command stand behind it; see cumulus help" };

	while (r.at < argc && is_flag(argv[r.at]))
		if (take_flag(&r, e) < 0)
			return -1;
	*at = r.at;
	return 0;
}

static int check_operands(const struct command *c, const struct options *o, struct err *e)
{
	if (o->help || o->version)
		return 0;
	if (o->operands.count < c->operands_min)
		return err_set(e, ERR_INVALID, "%s wants %s; see cumulus %s --help",
			c->name, c->operands, c->name);
	if (o->operands.count > c->operands_max)
		return err_set(e, ERR_INVALID, "%s: unexpected \"%.64s\"%s", c->name,
			o->operands.at[c->operands_max],
			c->job_args ? "; arguments of the job stand after --" : "");
	return 0;
}

int options_parse(const struct command *command, int argc, char **argv, struct options *o,
	struct err *e)
{
	struct reader r = { argv, argc, 0, { command->flags, common_flags }, o,
		command->job_args ? "arguments of the job stand after --"
				  : "see its --help" };
	struct words *rest = command->job_args ? &o->job_args : &o->operands;

	while (r.at < argc && strcmp(argv[r.at], "--") != 0) {
		if (!is_flag(argv[r.at]))
			words_add(&o->operands, argv[r.at++]);
		else if (take_flag(&r, e) < 0)
			return err_wrap(e, "%s", command->name);
	}
	for (r.at++; r.at < argc; r.at++)
		words_add(rest, argv[r.at]);
	return check_operands(command, o, e);
}

const struct flag *flag_find(const struct flag *table, const char *word)
{
	const struct reader r = { .tables = { table, common_flags } };
	const struct flag *f = NULL;

	if (str_starts(word, "--"))
		return find_long(&r, word + 2, strcspn(word + 2, "="));
	for (const char *c = word + 1; *c; c++) {
		f = find_letter(&r, *c);
		if (!f || f->argument)
			return f;
	}
	return f;
}

bool flag_has_value(const struct flag *f, const char *word)
{
	const char *letter = f->letter ? strchr(word + 1, f->letter) : NULL;

	return word[1] != '-' && f->argument && letter && letter[1];
}

void flags_print(const struct flag *flags, FILE *to)
{
	for (const struct flag *f = flags; f && f->name; f++) {
		char letter[5] = { f->letter ? '-' : ' ', f->letter ? f->letter : ' ',
			f->letter ? ',' : ' ', ' ' };
		CLEANUP(free_ptr)
		char *left = str_fmt("%s--%s%s%s", letter, f->name,
			f->argument ? " " : "", f->argument ? f->argument : "");

		fprintf(to, "  %-27s %s\n", left, f->help);
	}
}
