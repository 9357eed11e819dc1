/* columns.c - a table: keeps cells, drops columns that do not fit, prints. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "columns.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void make_printable(char *text)
{
	for (; *text; text++) {
		if (*text < ' ' || *text > '~')
			*text = '?';
	}
}

static void add_text(struct table *t, char *text)
{
	if (text && t->cell_count == t->room) {
		size_t room = t->room ? 2 * t->room : 256;
		char **cells = reallocarray(t->cells, room, sizeof *cells);

		if (cells) {
			t->cells = cells;
			t->room = room;
		}
	}
	if (!text || t->cell_count == t->room) {
		t->failed = true;
		free(text);
		return;
	}
	make_printable(text);
	t->cells[t->cell_count++] = text;
}

void table_init(struct table *t, const struct column *columns, size_t count)
{
	*t = (struct table){ .columns = columns, .column_count = count };
	for (size_t i = 0; i < count; i++)
		add_text(t, strdup(columns[i].heading));
}

void table_fini(struct table *t)
{
	for (size_t i = 0; i < t->cell_count; i++)
		free(t->cells[i]);
	free(t->cells);
	*t = (struct table){ 0 };
}

void table_add(struct table *t, const char *format, ...)
{
	char *text;
	va_list args;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	add_text(t, text);
}

/* ---- which columns, and how wide ---- */

/* Width 0: the column is left out. */
struct layout {
	size_t width[TABLE_COLUMNS_MAX];
	size_t between, around; /* what a column takes besides, and a line */
};

static void measure(const struct table *t, struct layout *l)
{
	bool filled[TABLE_COLUMNS_MAX] = { false };

	for (size_t i = 0; i < t->cell_count; i++) {
		size_t column = i % t->column_count, n = strlen(t->cells[i]);
		if (n > l->width[column])
			l->width[column] = n;
		filled[column] |= i >= t->column_count && n > 0;
	}
	for (size_t c = 0; c < t->column_count; c++) {
		if (t->columns[c].optional && !filled[c])
			l->width[c] = 0;
	}
}

static size_t whole_width(const struct table *t, const struct layout *l)
{
	size_t width = l->around;

	for (size_t c = 0; c < t->column_count; c++)
		width += l->width[c] ? l->width[c] + l->between : 0;
	return width;
}

/* The column that can be spared most; NULL when none can. */
static size_t *least_needed(const struct table *t, struct layout *l)
{
	size_t *least = NULL;
	int spare = 0;

	for (size_t c = 0; c < t->column_count; c++) {
		if (l->width[c] && t->columns[c].spare > spare) {
			spare = t->columns[c].spare;
			least = &l->width[c];
		}
	}
	return least;
}

/* Columns go until it fits; then those of them come back that there is room for, the most
 * needed first: one wide column may have been all that was too much. */
static void fit(const struct table *t, struct layout *l, size_t columns)
{
	size_t *gone[TABLE_COLUMNS_MAX], width[TABLE_COLUMNS_MAX], n = 0;

	measure(t, l);
	while (columns && whole_width(t, l) > columns && (gone[n] = least_needed(t, l))) {
		width[n] = *gone[n];
		*gone[n++] = 0;
	}
	while (n-- > 0) {
		*gone[n] = width[n];
		if (whole_width(t, l) > columns)
			*gone[n] = 0;
	}
}

/* ---- printing ---- */

static void print_cell(
	const struct table *t, const struct layout *l, size_t i, bool last, FILE *out)
{
	size_t c = i % t->column_count;
	int width = (int)l->width[c];

	if (t->columns[c].right)
		fprintf(out, "%*s", width, t->cells[i]);
	else
		fprintf(out, "%-*s", last ? 0 : width, t->cells[i]);
}

static void print_rule(const struct table *t, const struct layout *l, FILE *out)
{
	for (size_t c = 0; c < t->column_count; c++) {
		if (!l->width[c])
			continue;
		fputc('+', out);
		for (size_t i = 0; i < l->width[c] + 2; i++)
			fputc('-', out);
	}
	fputs("+\n", out);
}

static void print_boxed_row(
	const struct table *t, const struct layout *l, size_t first, FILE *out)
{
	for (size_t c = 0; c < t->column_count; c++) {
		if (!l->width[c])
			continue;
		fputs("| ", out);
		print_cell(t, l, first + c, false, out);
		fputc(' ', out);
	}
	fputs("|\n", out);
}

int table_print_boxed(struct table *t, FILE *out, size_t columns)
{
	struct layout l = { .between = 3, .around = 1 };

	if (t->failed)
		return -1;
	fit(t, &l, columns);
	print_rule(t, &l, out);
	for (size_t i = 0; i < t->cell_count; i += t->column_count) {
		print_boxed_row(t, &l, i, out);
		if (i == 0)
			print_rule(t, &l, out);
	}
	print_rule(t, &l, out);
	return 0;
}

static size_t last_column(const struct table *t, const struct layout *l)
{
	size_t last = t->column_count - 1;

	while (last > 0 && !l->width[last])
		last--;
	return last;
}

int table_print_plain(struct table *t, FILE *out, size_t columns, const char *prefix)
{
	struct layout l = { .between = 2, .around = strlen(prefix) };

	if (t->failed)
		return -1;
	fit(t, &l, columns ? columns + l.between : 0);
	size_t last = last_column(t, &l);
	for (size_t i = 0; i < t->cell_count; i++) {
		size_t c = i % t->column_count;
		if (c == 0)
			fputs(prefix, out);
		if (l.width[c]) {
			print_cell(t, &l, i, c == last, out);
			fputs(c == last ? "" : "  ", out);
		}
		if (c == t->column_count - 1)
			fputc('\n', out);
	}
	return 0;
}
