/* text.c - escapes, measures and lays out text for people. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <wchar.h>

#include "cleanup.h"
#include "clock.h"
#include "str.h"
#include "xalloc.h"

/* Decode one character of valid UTF-8. */
static uint32_t next_char(const char **at)
{
	const unsigned char *s = (const unsigned char *)*at;
	size_t more = s[0] < 0x80 ? 0 : s[0] < 0xe0 ? 1 : s[0] < 0xf0 ? 2 : 3;
	uint32_t c = more ? s[0] & (0x3fu >> more) : s[0];

	for (size_t i = 1; i <= more; i++)
		c = c << 6 | (s[i] & 0x3fu);
	*at += more + 1;
	return c;
}

static bool turns_direction(uint32_t c)
{
	return (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) ||
	       c == 0x200e || c == 0x200f || c == 0x061c;
}

static bool breaks_line(uint32_t c)
{
	return c == 0x2028 || c == 0x2029;
}

char *text_escape(const char *text)
{
	CLEANUP(free_ptr) char *valid = utf8_replace(text, strlen(text), NULL);
	struct buf out = { 0 };

	for (const char *at = valid; *at;) {
		const char *from = at;
		uint32_t c = next_char(&at);

		if (c < 0x20 || (c >= 0x7f && c < 0xa0))
			buf_addf(&out, "\\x%02x", c);
		else if (turns_direction(c) || breaks_line(c))
			buf_addf(&out, "\\u{%04x}", c);
		else
			buf_add(&out, from, (size_t)(at - from));
	}
	return buf_take_str(&out);
}

static size_t char_width(uint32_t c)
{
	int width = wcwidth((wchar_t)c);

	return width < 0 ? 1 : (size_t)width;
}

size_t text_width(const char *text)
{
	size_t width = 0;

	while (*text)
		width += char_width(next_char(&text));
	return width;
}

size_t text_fit(const char *text, size_t columns)
{
	const char *at = text;
	size_t width = 0;

	while (*at) {
		const char *next = at;

		width += char_width(next_char(&next));
		if (width > columns)
			break;
		at = next;
	}
	return (size_t)(at - text);
}

char *text_span(char out[SPAN_SIZE], int64_t seconds)
{
	long long s = seconds;

	if (s < 0)
		snprintf(out, SPAN_SIZE, "-");
	else if (s < 60)
		snprintf(out, SPAN_SIZE, "%llds", s);
	else if (s < 3600)
		snprintf(out, SPAN_SIZE, "%lldm%02llds", s / 60, s % 60);
	else if (s < 86400)
		snprintf(out, SPAN_SIZE, "%lldh%02lldm", s / 3600, s / 60 % 60);
	else
		snprintf(out, SPAN_SIZE, "%lldd%02lldh", s / 86400, s / 3600 % 24);
	return out;
}

char *text_bytes(char out[SPAN_SIZE], int64_t bytes)
{
	static const char *const units[] = { "KiB", "MiB", "GiB", "TiB" };
	double n = (double)bytes / 1024;
	size_t unit = 0;

	if (bytes < 1024) {
		snprintf(out, SPAN_SIZE, "%lld B", (long long)bytes);
		return out;
	}
	for (; n >= 1024 && unit < 3; unit++)
		n /= 1024;
	snprintf(out, SPAN_SIZE, "%.1f %s", n, units[unit]);
	return out;
}

char *text_refusals(char out[EXCESS_SIZE], int64_t refusals)
{
	*out = '\0';
	if (refusals)
		snprintf(out, EXCESS_SIZE, ", %lld allocation%s refused",
			(long long)refusals, refusals == 1 ? "" : "s");
	return out;
}

char *text_overruns(char out[EXCESS_SIZE], int64_t overruns, int64_t ns)
{
	*out = '\0';
	if (overruns)
		snprintf(out, EXCESS_SIZE, ", %lld overrun%s of %.1f s",
			(long long)overruns, overruns == 1 ? "" : "s",
			(double)ns / (double)NS_PER_S);
	return out;
}

static struct tm local_time(int64_t unix_s)
{
	time_t t = (time_t)unix_s;
	struct tm tm = { .tm_mday = 1 };

	return localtime_r(&t, &tm) ? tm : (struct tm){ .tm_mday = 1 };
}

char *text_time(char out[TIME_SIZE], int64_t unix_s)
{
	struct tm tm = local_time(unix_s);

	if (unix_s == 0 || strftime(out, TIME_SIZE, "%Y-%m-%d %H:%M:%S", &tm) == 0)
		snprintf(out, TIME_SIZE, "-");
	return out;
}

char *text_utc(char out[TIME_SIZE], int64_t unix_ns)
{
	time_t t = (time_t)(unix_ns / NS_PER_S);
	struct tm tm;
	size_t len = 0;

	if (unix_ns > 0 && gmtime_r(&t, &tm))
		len = strftime(out, TIME_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
	if (len == 0)
		snprintf(out, TIME_SIZE, "-");
	else
		snprintf(out + len, TIME_SIZE - len, ".%03dZ",
			(int)(unix_ns % NS_PER_S / NS_PER_MS));
	return out;
}

char *text_clock(char out[TIME_SIZE], int64_t unix_ns)
{
	struct tm tm = local_time(unix_ns / NS_PER_S);
	size_t len = strftime(out, TIME_SIZE, "%H:%M:%S", &tm);

	snprintf(out + len, TIME_SIZE - len, ".%03d",
		(int)(unix_ns % NS_PER_S / NS_PER_MS));
	return out;
}

/* How many cells show this fraction: at least one for anything at all. */
static size_t cells_of(double fraction, size_t room)
{
	if (!(fraction > 0))
		return 0;

	size_t cells = (size_t)((fraction < 1 ? fraction : 1) * BAR_CELLS + 0.5);

	cells = cells == 0 ? 1 : cells;
	return cells < room ? cells : room;
}

static char *fill_bar(char out[BAR_SIZE], size_t first, size_t second, char rest)
{
	memset(out + 1, rest, BAR_CELLS);
	memset(out + 1, '#', first);
	memset(out + 1 + first, 'x', second);
	out[0] = '[';
	out[BAR_CELLS + 1] = ']';
	out[BAR_CELLS + 2] = '\0';
	return out;
}

char *text_bar(char out[BAR_SIZE], double fraction)
{
	return fill_bar(out, cells_of(fraction, BAR_CELLS), 0, '.');
}

char *text_gpu_bar(char out[BAR_SIZE], double allocated, double foreign)
{
	size_t ours = cells_of(allocated, BAR_CELLS);

	return fill_bar(out, ours, cells_of(foreign, BAR_CELLS - ours), '-');
}

void grid_fini(struct grid *g)
{
	for (size_t i = 0; i < g->count; i++)
		free(g->cells[i]);
	free(g->cells);
	*g = (struct grid){ 0 };
}

void grid_add(struct grid *g, const char *text)
{
	g->cells = xreallocarray(g->cells, g->count + 1, sizeof(*g->cells));
	g->cells[g->count++] = text_escape(str_empty(text) ? "-" : text);
}

static size_t column_width(const struct grid *g, size_t column)
{
	size_t width = 0;

	for (size_t i = column; i < g->count; i += g->columns) {
		size_t cell = text_width(g->cells[i]);

		width = cell > width ? cell : width;
	}
	return width;
}

void grid_shorten(struct grid *g, size_t columns)
{
	for (size_t i = 0; i < g->count; i++) {
		char *cell = g->cells[i];

		if (i % g->columns + 1 == g->columns || text_width(cell) <= columns)
			continue;
		cell[text_fit(cell, columns - 2)] = '\0';
		g->cells[i] = str_fmt("%s..", cell);
		free(cell);
	}
}

void grid_drop(struct grid *g, size_t column)
{
	size_t kept = 0;

	for (size_t i = 0; i < g->count; i++) {
		if (i % g->columns == column)
			free(g->cells[i]);
		else
			g->cells[kept++] = g->cells[i];
	}
	g->count = kept;
	g->columns--;
}

size_t grid_front(const struct grid *g)
{
	size_t front = 0;

	for (size_t c = 0; c + 1 < g->columns; c++)
		front += column_width(g, c) + 2;
	return front;
}

/* One row as a line without its end. */
static char *row_line(const struct grid *g, size_t row, const size_t *widths)
{
	struct buf line = { 0 };

	for (size_t c = 0; c < g->columns && row + c < g->count; c++) {
		const char *cell = g->cells[row + c];

		buf_add(&line, cell, strlen(cell));
		if (c + 1 < g->columns)
			buf_addf(&line, "%*s", (int)(widths[c] - text_width(cell) + 2),
				"");
	}
	return buf_take_str(&line);
}

void grid_print(const struct grid *g, size_t max, struct buf *out)
{
	CLEANUP(free_ptr) size_t *widths = xcalloc(g->columns + 1, sizeof(*widths));

	for (size_t c = 0; c < g->columns; c++)
		widths[c] = column_width(g, c);
	for (size_t row = 0; row < g->count; row += g->columns) {
		CLEANUP(free_ptr) char *line = row_line(g, row, widths);
		size_t len = max ? text_fit(line, max) : strlen(line);

		while (len > 0 && line[len - 1] == ' ')
			len--;
		buf_add(out, line, len);
		buf_add(out, "\n", 1);
	}
}
