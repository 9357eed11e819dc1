/* columns.h - columns of text, fitted to the width that there is.
 *
 * Thread: the one.  Cells are ASCII, or what is shown for it: no terminal obeys what a
 * driver calls its device.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum { TABLE_COLUMNS_MAX = 16 };

struct column {
	const char *heading;
	/* Where the table is too wide, columns go, the highest of these first; 0 stays. */
	int spare;
	bool right;    /* aligned */
	bool optional; /* goes where every cell is empty */
};

struct table {
	const struct column *columns; /* borrowed */
	size_t column_count;
	char **cells; /* owned, row after row; the first row is the headings' */
	size_t cell_count, room;
	bool failed; /* no memory: cells are missing */
};

void table_init(struct table *t, const struct column *columns, size_t count);
void table_fini(struct table *t);
/* The next cell. */
void table_add(struct table *t, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* With rules and bars, and a rule below the headings.  columns: of the terminal; 0: as
 * wide as it comes.  -1: memory ran out, nothing was printed. */
int table_print_boxed(struct table *t, FILE *out, size_t columns);
/* Without, two blanks between the columns, each line behind a prefix. */
int table_print_plain(struct table *t, FILE *out, size_t columns, const char *prefix);

/* Changes bytes that are not printable ASCII to '?'. */
void make_printable(char *text);
