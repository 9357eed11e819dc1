/* text.h - text for people: safe, measured in columns, in tables and bars.
 *
 * Thread: any; pure.  Widths are columns of a terminal; the locale's character set must
 * be UTF-8 (main sees to it).
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "buf.h"

/* A copy without anything that a terminal would obey: control characters (C0, DEL, C1),
 * line breaks and marks that turn the reading direction become \xNN or \u{NNNN}.  The
 * caller frees it. */
char *text_escape(const char *text);

/* Columns that this text takes; it holds no control characters. */
size_t text_width(const char *text);
/* How many bytes of text fit in this many columns, in whole characters. */
size_t text_fit(const char *text, size_t columns);

#define SPAN_SIZE 32
/* 7 -> "7s", 64 -> "1m04s", 7500 -> "2h05m", 270000 -> "3d03h"; negative -> "-". */
char *text_span(char out[SPAN_SIZE], int64_t seconds);
/* 900 -> "900 B", 1536 -> "1.5 KiB". */
char *text_bytes(char out[SPAN_SIZE], int64_t bytes);
#define EXCESS_SIZE 64
/* What a job tried beyond its share, to go on a line with: ", 2 allocations refused"; 0 -> "". */
char *text_refusals(char out[EXCESS_SIZE], int64_t refusals);
/* ", 3 overruns of 1.2 s"; 0 -> "". */
char *text_overruns(char out[EXCESS_SIZE], int64_t overruns, int64_t ns);
#define TIME_SIZE 32
/* Local time, "2026-03-01 12:00:07"; 0 -> "-". */
char *text_time(char out[TIME_SIZE], int64_t unix_s);
/* UTC by RFC 3339, "2026-03-01T12:00:07.042Z"; 0 -> "-". */
char *text_utc(char out[TIME_SIZE], int64_t unix_ns);
/* Local time of day with milliseconds, "12:00:07.042". */
char *text_clock(char out[TIME_SIZE], int64_t unix_ns);

#define BAR_CELLS 20
#define BAR_SIZE  (BAR_CELLS + 3)
/* "[#####...............]", of a fraction 0..1. */
char *text_bar(char out[BAR_SIZE], double fraction);
/* A GPU: ours as #, strangers' as x, free as '-'.  Anything above nothing shows. */
char *text_gpu_bar(char out[BAR_SIZE], double allocated, double foreign);

/* Cells in columns, two spaces apart, the last column as it is. */
struct grid {
	size_t columns;
	char **cells; /* owned, escaped */
	size_t count; /* of cells */
};

void grid_fini(struct grid *g);
/* Add the next cell; it is escaped here.  "" shows as "-". */
void grid_add(struct grid *g, const char *text);
/* Cut every cell but those of the last column to so many columns, with ".." at its end. */
void grid_shorten(struct grid *g, size_t columns);
/* Take one column out of every row. */
void grid_drop(struct grid *g, size_t column);
/* Where the last column begins. */
size_t grid_front(const struct grid *g);
/* Append all lines; with max > 0 each is cut to so many columns. */
void grid_print(const struct grid *g, size_t max, struct buf *out);
