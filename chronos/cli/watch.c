/* watch.c - chronos watch: the devices and partitions, anew each second. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"
#include "screen.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_MS UINT64_C(1000000)

enum { PERIOD_MS = 1000, BAR_MAX = 40, BAR_MIN = 10, BAR_REST = 60 };

/* What one partition had of one device when it was last looked at. */
struct reading {
	char id[16];
	uint32_t device;
	uint64_t time_ns;
};

struct device_use {
	uint64_t used_bytes;
	double time; /* part of the time since the look before, of those that are timed */
};

struct look {
	struct chronos_device devices[CHRONOS_DEVICES_MAX];
	struct device_use use[CHRONOS_DEVICES_MAX];
	size_t device_count;
	struct chronos_partition *partitions; /* owned */
	struct usage_sum *usage;              /* owned; of each partition */
	double *time; /* owned; of each partition, as above; below 0: not known */
	size_t partition_count;
	struct reading *readings; /* owned, in the order of the partitions */
	size_t reading_count;
	uint64_t at_ns;
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000 * NS_PER_MS + (uint64_t)t.tv_nsec;
}

static void look_fini(struct look *l)
{
	chronos_partitions_free(l->partitions);
	free(l->usage);
	free(l->time);
	free(l->readings);
	*l = (struct look){ 0 };
}

/* ---- looking ---- */

/* Partitions keep their order, so the search goes on where the last one ended. */
static const struct reading *reading_before(
	const struct look *before, size_t *from, const struct reading *r)
{
	for (size_t i = 0; i < before->reading_count; i++) {
		size_t at = (*from + i) % before->reading_count;
		const struct reading *old = &before->readings[at];
		if (old->device == r->device && strcmp(old->id, r->id) == 0) {
			*from = at + 1;
			return old;
		}
	}
	return NULL;
}

/* Of the time since the look before; below 0 when that is not known. */
static double part_of_time(const struct look *l, const struct look *before, size_t *from,
	const struct reading *r)
{
	const struct reading *old = reading_before(before, from, r);

	if (!old || l->at_ns <= before->at_ns || r->time_ns < old->time_ns)
		return -1;
	return (double)(r->time_ns - old->time_ns) / (double)(l->at_ns - before->at_ns);
}

static void look_at_partition(struct chronos *c, struct look *l, size_t i,
	const struct look *before, size_t *from)
{
	const struct chronos_partition *p = &l->partitions[i];
	double sum = 0;

	l->usage[i] = usage_none();
	for (size_t d = 0; d < p->device_count; d++) {
		struct reading *r = &l->readings[l->reading_count];
		struct chronos_usage u;

		if (!usage_add(c, p, d, &l->usage[i], &u))
			continue;
		snprintf(r->id, sizeof r->id, "%s", p->id);
		r->device = p->devices[d];
		r->time_ns = u.time_ns;
		l->reading_count++;
		double part = part_of_time(l, before, from, r);
		sum = part < 0 || sum < 0 ? -1 : sum + part;
		if (r->device < CHRONOS_DEVICES_MAX) {
			l->use[r->device].used_bytes += u.used_bytes;
			l->use[r->device].time += part > 0 ? part : 0;
		}
	}
	/* Nobody counts the time of who has the devices whole. */
	bool whole = p->hundredths == CHRONOS_WHOLE;
	l->time[i] = whole || sum < 0 ? -1 : sum / (double)p->device_count;
}

static int no_memory(struct chronos_error *e)
{
	e->code = CHRONOS_SYSTEM;
	snprintf(e->text, sizeof e->text, "there is not enough memory");
	return -1;
}

static int look_at(struct chronos *c, struct look *l, const struct look *before,
	struct chronos_error *e)
{
	size_t from = 0, readings = 1;

	if (chronos_devices(c, l->devices, CHRONOS_DEVICES_MAX, &l->device_count, e) <
			0 ||
		chronos_list(c, &l->partitions, &l->partition_count, e) < 0)
		return -1;
	l->at_ns = now_ns();
	for (size_t i = 0; i < l->partition_count; i++)
		readings += l->partitions[i].device_count;
	l->usage = calloc(l->partition_count + 1, sizeof *l->usage);
	l->time = calloc(l->partition_count + 1, sizeof *l->time);
	l->readings = calloc(readings, sizeof *l->readings);
	if (!l->usage || !l->time || !l->readings)
		return no_memory(e);
	for (size_t i = 0; i < l->partition_count; i++)
		look_at_partition(c, l, i, before, &from);
	return 0;
}

/* ---- the picture ---- */

/* "########==......": taken, draining, free. */
static void print_bar(const struct chronos_device *d, int width, bool colour, FILE *out)
{
	int draining = (int)d->draining_hundredths * width / CHRONOS_WHOLE;
	int gone = (int)(CHRONOS_WHOLE - d->free_hundredths) * width / CHRONOS_WHOLE;
	int taken = gone > draining ? gone - draining : 0;

	fputs(colour ? "[" GREEN : "[", out);
	for (int i = 0; i < taken; i++)
		fputc('#', out);
	if (colour)
		fputs(YELLOW, out);
	for (int i = taken; i < gone; i++)
		fputc('=', out);
	if (colour)
		fputs(PLAIN, out);
	for (int i = gone; i < width; i++)
		fputc('.', out);
	fputc(']', out);
}

static int bar_width(size_t columns)
{
	int room = (int)columns - BAR_REST;

	return !columns || room > BAR_MAX ? BAR_MAX : room < BAR_MIN ? BAR_MIN : room;
}

/* columns 0: as wide as it comes.  Cut at the end: the last is what one can do without. */
static void print_device(
	const struct look *l, size_t i, size_t columns, bool colour, FILE *out)
{
	const struct chronos_device *d = &l->devices[i];
	const struct device_use *u = &l->use[d->index];
	char name[sizeof d->name], rest[sizeof d->name + 128];
	int before = fprintf(out, "GPU %-2" PRIu32 " ", d->index);

	printable(name, sizeof name, d->name);
	if (!d->present) {
		fprintf(out, "absent: %s\n", name);
		return;
	}
	print_bar(d, bar_width(columns), colour, out);
	snprintf(rest, sizeof rest,
		" %3" PRIu32 "%% taken  time %3.0f%%  memory %" PRIu64 " of %" PRIu64
		" MB  %s, %" PRIu32 " partition%s",
		CHRONOS_WHOLE - d->free_hundredths, 100 * u->time,
		megabytes(u->used_bytes), megabytes(d->memory_bytes), name, d->partitions,
		d->partitions == 1 ? "" : "s");
	int room = (int)columns - before - bar_width(columns) - 2;
	fprintf(out, "%.*s\n", columns ? room > 0 ? room : 0 : (int)strlen(rest), rest);
}

static void print_partitions(const struct look *l, size_t columns, FILE *out)
{
	struct table t;

	usage_table_init(&t);
	for (size_t i = 0; i < l->partition_count; i++) {
		char time[16] = "-";
		if (l->time[i] >= 0)
			snprintf(time, sizeof time, "%.1f%%", 100 * l->time[i]);
		usage_table_add(&t, &l->partitions[i], &l->usage[i], time);
	}
	if (table_print_plain(&t, out, columns, "") < 0)
		fputs("There is not enough memory for the table\n", out);
	table_fini(&t);
}

static void print_picture(const struct look *l, size_t columns, bool colour, FILE *out)
{
	for (size_t i = 0; i < l->device_count; i++)
		print_device(l, i, columns, colour, out);
	if (l->device_count == 0)
		fputs("No devices\n", out);
	if (l->partition_count > 0) {
		fputc('\n', out);
		print_partitions(l, columns, out);
	}
}

static void print_title(struct chronos *c, FILE *out)
{
	fprintf(out, "chronos: arbiter %s\n",
		chronos_arbiter_serves(c) ? "serves" : "none");
}

/* ---- on a terminal ---- */

struct view {
	struct chronos *c;
	struct look now, before;
	size_t top; /* the first line shown of what is below the title */
};

static size_t count_lines(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += *text == '\n';
	return n;
}

static const char *skip_lines(const char *text, size_t n)
{
	while (n-- > 0 && strchr(text, '\n'))
		text = strchr(text, '\n') + 1;
	return text;
}

static int clip(size_t columns, const char *line)
{
	size_t n = strlen(line);

	return (int)(n < columns ? n : columns);
}

/* Title, as much of the body as fits, and what keys do. */
static int draw_lines(struct view *v, const char *body, size_t columns, size_t rows)
{
	size_t lines = count_lines(body), fit = rows > 2 ? rows - 2 : 1;
	char *picture, title[128], foot[128], when[16];
	time_t seconds = time(NULL);
	struct tm local;
	size_t size;

	v->top = lines <= fit ? 0 : v->top > lines - fit ? lines - fit : v->top;
	const char *first = skip_lines(body, v->top), *end = skip_lines(first, fit);
	strftime(when, sizeof when, "%H:%M:%S", localtime_r(&seconds, &local));
	snprintf(title, sizeof title, "chronos  %s  arbiter %s  %zu partition%s", when,
		chronos_arbiter_serves(v->c) ? "serves" : "none", v->now.partition_count,
		v->now.partition_count == 1 ? "" : "s");
	if (lines > fit)
		snprintf(foot, sizeof foot,
			"lines %zu to %zu of %zu: arrow keys   q: quit", v->top + 1,
			v->top + fit, lines);
	else
		snprintf(foot, sizeof foot, "q: quit");
	FILE *out = open_memstream(&picture, &size);
	if (!out)
		return -1;
	fprintf(out, "%.*s\n%.*s%.*s\n", clip(columns, title), title, (int)(end - first),
		first, clip(columns, foot), foot);
	fclose(out);
	int rc = screen_draw(picture, size);
	free(picture);
	return rc;
}

static int draw(struct view *v)
{
	size_t columns = screen_columns(stdout), rows = screen_rows(stdout), size;
	char *body;
	FILE *out = open_memstream(&body, &size);

	if (!out)
		return -1;
	print_picture(&v->now, columns, screen_in_colour(stdout), out);
	fclose(out);
	int rc = draw_lines(v, body, columns, rows);
	free(body);
	return rc;
}

static void scroll(struct view *v, enum key key)
{
	const size_t rows = screen_rows(stdout), page = rows > 3 ? rows - 3 : 1;

	switch (key) {
	case KEY_UP:
		v->top -= v->top > 0;
		break;
	case KEY_DOWN:
		v->top++;
		break;
	case KEY_PAGE_UP:
		v->top -= v->top < page ? v->top : page;
		break;
	case KEY_PAGE_DOWN:
		v->top += page;
		break;
	case KEY_HOME:
		v->top = 0;
		break;
	case KEY_END:
		v->top = SIZE_MAX;
		break;
	case KEY_NONE:
	case KEY_QUIT:
		break;
	}
}

/* Shows one look until it is a second old.  False: it is over. */
static bool show_until_old(struct view *v)
{
	for (;;) {
		if (draw(v) < 0)
			return false;
		uint64_t age_ms = (now_ns() - v->now.at_ns) / NS_PER_MS;
		if (age_ms >= PERIOD_MS)
			return true;
		enum key key = screen_wait((int)(PERIOD_MS - age_ms));
		if (key == KEY_QUIT)
			return false;
		scroll(v, key);
	}
}

static int watch_live(struct chronos *c, struct chronos_error *e)
{
	struct view v = { .c = c };
	int rc;

	while ((rc = look_at(c, &v.now, &v.before, e)) == 0 && show_until_old(&v)) {
		look_fini(&v.before);
		v.before = v.now;
		v.now = (struct look){ 0 };
	}
	look_fini(&v.now);
	look_fini(&v.before);
	return rc;
}

/* ---- in a pipe ---- */

static json_t *json_of_look(struct chronos *c, const struct look *l)
{
	json_t *devices = json_array(), *partitions = json_array();
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	for (size_t i = 0; i < l->device_count; i++)
		json_array_append_new(devices, json_of_device(&l->devices[i]));
	for (size_t i = 0; i < l->partition_count; i++) {
		json_t *one = json_of_partition(&l->partitions[i]);
		json_add_usage(one, &l->usage[i]);
		json_array_append_new(partitions, one);
	}
	return json_pack("{s:f, s:b, s:o, s:o}", "unix_seconds",
		(double)t.tv_sec + (double)t.tv_nsec / 1e9, "arbiter",
		(int)chronos_arbiter_serves(c), "devices", devices, "partitions",
		partitions);
}

static enum exit_code print_look(
	const struct cli *cli, struct chronos *c, const struct look *l)
{
	if (cli->json)
		return show_json(json_of_look(c, l));
	print_title(c, stdout);
	print_picture(l, screen_columns(stdout), screen_in_colour(stdout), stdout);
	putchar('\n');
	return EXIT_DONE;
}

/* Until it is interrupted, or nobody reads any more. */
static enum exit_code watch_printed(const struct cli *cli, struct chronos *c)
{
	const struct timespec period = { PERIOD_MS / 1000, 0 };
	struct look now = { 0 }, before = { 0 };
	struct chronos_error e = { 0 };
	enum exit_code rc = EXIT_DONE;

	while (rc == EXIT_DONE) {
		if (look_at(c, &now, &before, &e) < 0)
			rc = show_failure(cli, &e);
		else
			rc = print_look(cli, c, &now);
		if (rc != EXIT_DONE || fflush(stdout) != 0)
			break;
		look_fini(&before);
		before = now;
		now = (struct look){ 0 };
		nanosleep(&period, NULL);
	}
	look_fini(&now);
	look_fini(&before);
	return rc;
}

enum exit_code run_watch(const struct cli *cli)
{
	struct chronos_error e = { 0 };

	CHRONOS_GUARD c = open_with_devices(cli, &e);
	if (!c)
		return show_failure(cli, &e);
	if (cli->json || !screen_enter())
		return watch_printed(cli, c);
	int rc = watch_live(c, &e);
	screen_leave();
	return rc < 0 ? show_failure(cli, &e) : EXIT_DONE;
}
