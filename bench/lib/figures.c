/* figures.c - what a bench measured: the table for people, the JSON for programs. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "figures.h"

#include <assert.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "cleanup.h"
#include "samples.h"
#include "str.h"
#include "xalloc.h"

enum { CELL = 40, WHAT_WIDTH = 58, CELL_WIDTH = 26 };

struct column {
	double values[FIGURES_ROUNDS_MAX];
	size_t count, discarded;
};

struct row {
	const char *group;
	const struct figure *figure;
	struct column columns[FIGURES_COLUMNS_MAX];
};

struct figures {
	const char *names[FIGURES_COLUMNS_MAX];
	size_t columns;
	const char *group;
	struct row *rows;
	size_t count;
};

struct figures *figures_new(const char *const names[], size_t columns)
{
	assert(columns >= 2 && columns <= FIGURES_COLUMNS_MAX);
	struct figures *f = xcalloc(1, sizeof *f);

	memcpy(f->names, names, columns * sizeof *names);
	f->columns = columns;
	return f;
}

void figures_free(struct figures *f)
{
	if (f)
		free(f->rows);
	free(f);
}

void figures_group(struct figures *f, const char *group)
{
	f->group = group;
}

static struct column *column_of(
	struct figures *f, const struct figure *figure, size_t column)
{
	assert(column < f->columns);
	for (size_t i = 0; i < f->count; i++) {
		if (f->rows[i].figure == figure)
			return &f->rows[i].columns[column];
	}
	f->rows = xreallocarray(f->rows, f->count + 1, sizeof *f->rows);
	struct row *row = &f->rows[f->count++];
	*row = (struct row){ .group = f->group, .figure = figure };
	return &row->columns[column];
}

void figures_add(
	struct figures *f, const struct figure *what, size_t column, double value)
{
	struct column *c = column_of(f, what, column);

	assert(c->count < FIGURES_ROUNDS_MAX);
	c->values[c->count++] = value;
}

void figures_discard(struct figures *f, const struct figure *what, size_t column)
{
	column_of(f, what, column)->discarded++;
}

/* ---- what a column says ---- */

static bool is_met(const struct figure *figure, const struct column *c)
{
	double value = samples_median(c->values, c->count);

	switch (figure->kind) {
	case AT_MOST:
		return value <= figure->aim;
	case AT_LEAST:
		return value >= figure->aim;
	case WITHIN:
		return fabs(value - figure->aim) <= figure->tolerance;
	case NO_AIM:
		break;
	}
	return true;
}

size_t figures_missed(const struct figures *f)
{
	size_t n = 0;

	for (size_t i = 0; i < f->count; i++) {
		for (size_t k = 1; k < f->columns; k++) {
			const struct column *c = &f->rows[i].columns[k];
			n += c->count && !is_met(f->rows[i].figure, c);
		}
	}
	return n;
}

size_t figures_without_value(const struct figures *f)
{
	size_t n = 0;

	for (size_t i = 0; i < f->count; i++) {
		for (size_t k = 0; k < f->columns; k++) {
			const struct column *c = &f->rows[i].columns[k];
			n += !c->count && c->discarded;
		}
	}
	return n;
}

/* ---- the table ---- */

/* Three digits that mean something, and no more. */
static void put_number(char out[CELL], double value)
{
	if (fabs(value) >= 999.5)
		str_put(out, CELL, "%.0f", value);
	else if (value >= 0.99 && value < 1)
		str_put(out, CELL, "%.4g", value);
	else
		str_put(out, CELL, "%.3g", value);
}

static void put_cell(char out[2 * CELL], const struct row *row, size_t k)
{
	const struct column *c = &row->columns[k];
	char middle[CELL], least[CELL], greatest[CELL];
	const char *missed = k && c->count && !is_met(row->figure, c) ? " MISSED" : "";

	if (!c->count) {
		str_put(out, 2 * CELL, "%s", c->discarded ? "DISCARDED" : "-");
		return;
	}
	put_number(middle, samples_median(c->values, c->count));
	put_number(least, samples_least(c->values, c->count));
	put_number(greatest, samples_greatest(c->values, c->count));
	if (strcmp(least, greatest) == 0)
		str_put(out, 2 * CELL, "%s%s", middle, missed);
	else
		str_put(out, 2 * CELL, "%s (%s..%s)%s", middle, least, greatest, missed);
}

static void put_aim(char out[CELL], const struct figure *figure)
{
	switch (figure->kind) {
	case AT_MOST:
		str_put(out, CELL, "<= %g", figure->aim);
		return;
	case AT_LEAST:
		str_put(out, CELL, ">= %g", figure->aim);
		return;
	case WITHIN:
		str_put(out, CELL, "%g +- %g", figure->aim, figure->tolerance);
		return;
	case NO_AIM:
		break;
	}
	out[0] = '\0';
}

static void print_row(const struct figures *f, const struct row *row, FILE *out)
{
	const struct figure *figure = row->figure;
	CLEANUP(free_ptr)
	char *what =
		str_fmt("%s%s%s", figure->what, *figure->unit ? ", " : "", figure->unit);
	char cell[2 * CELL], aim[CELL];
	size_t discarded = 0;

	put_aim(aim, figure);
	fprintf(out, "  %-*s %-10s", WHAT_WIDTH, what, aim);
	for (size_t k = 1; k <= f->columns; k++) {
		put_cell(cell, row, k % f->columns);
		fprintf(out, " %-*s", CELL_WIDTH, cell);
		discarded += row->columns[k % f->columns].discarded;
	}
	if (figure->beside && row->columns[0].count)
		fprintf(out, " %s", figure->beside);
	if (figure->quoted)
		fprintf(out, " not measured here: %s", figure->quoted);
	if (discarded)
		fprintf(out, " (%zu rounds discarded)", discarded);
	fputc('\n', out);
}

void figures_print(const struct figures *f, FILE *out)
{
	const char *group = NULL;

	fprintf(out, "  %-*s %-10s", WHAT_WIDTH, "", "aim");
	for (size_t k = 1; k <= f->columns; k++)
		fprintf(out, " %-*s", CELL_WIDTH, f->names[k % f->columns]);
	fputc('\n', out);
	for (size_t i = 0; i < f->count; i++) {
		const struct row *row = &f->rows[i];
		if (row->group && (!group || strcmp(row->group, group) != 0))
			fprintf(out, "%s\n", row->group);
		group = row->group;
		print_row(f, row, out);
	}
}

/* ---- the JSON ---- */

static void set_values(json_t *json, const char *prefix, const struct column *c)
{
	const struct {
		const char *name;
		double (*of)(const double *samples, size_t n);
	} kinds[] = { { "value", samples_median }, { "min", samples_least },
		{ "max", samples_greatest } };

	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		CLEANUP(free_ptr) char *name = str_fmt("%s%s", prefix, kinds[i].name);
		json_object_set_new(json, name,
			c->count ? json_real(kinds[i].of(c->values, c->count))
				 : json_null());
	}
}

static json_t *text_or_null(const char *text)
{
	return text ? json_string(text) : json_null();
}

static void set_aim(json_t *json, const struct figure *figure, const struct column *c)
{
	static const char *const names[] = {
		[AT_MOST] = "at most", [AT_LEAST] = "at least", [WITHIN] = "within"
	};

	if (figure->kind == NO_AIM) {
		json_object_set_new(json, "aim", json_null());
		json_object_set_new(json, "met", json_null());
		return;
	}
	json_object_set_new(json, "aim", json_real(figure->aim));
	json_object_set_new(json, "aim_kind", json_string(names[figure->kind]));
	if (figure->kind == WITHIN)
		json_object_set_new(json, "tolerance", json_real(figure->tolerance));
	json_object_set_new(
		json, "met", c->count ? json_boolean(is_met(figure, c)) : json_null());
}

static json_t *json_of(const struct figures *f, const struct row *row, size_t k)
{
	const struct figure *figure = row->figure;
	const struct column *ours = &row->columns[k], *beside = &row->columns[0];
	json_t *json = json_object();
	bool compared = ours->count && beside->count;
	double theirs = compared ? samples_median(beside->values, beside->count) : 0;

	json_object_set_new(json, "group", text_or_null(row->group));
	json_object_set_new(json, "what", json_string(figure->what));
	if (f->columns > 2)
		json_object_set_new(json, "mode", json_string(f->names[k]));
	set_values(json, "", ours);
	json_object_set_new(json, "unit", json_string(figure->unit));
	json_object_set_new(json, "rounds", json_integer((json_int_t)ours->count));
	json_object_set_new(json, "discarded",
		json_integer(
			(json_int_t)ours->discarded + (json_int_t)beside->discarded));
	json_object_set_new(
		json, "beside", text_or_null(beside->count ? figure->beside : NULL));
	set_values(json, "beside_", beside);
	json_object_set_new(json, "ratio",
		theirs != 0
			? json_real(samples_median(ours->values, ours->count) / theirs)
			: json_null());
	set_aim(json, figure, ours);
	json_object_set_new(json, "quoted", text_or_null(figure->quoted));
	return json;
}

int figures_write_json(const struct figures *f, const char *path, struct err *e)
{
	json_t *list = json_array();

	for (size_t i = 0; i < f->count; i++) {
		for (size_t k = 1; k < f->columns; k++) {
			const struct column *c = &f->rows[i].columns[k];
			if (c->count || c->discarded)
				json_array_append_new(list, json_of(f, &f->rows[i], k));
		}
	}
	int rc = json_dump_file(list, path, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
	json_decref(list);
	return rc == 0 ? 0 : err_sys(e, "write %s", path);
}
