/* show.c - what chronos prints: badges, tables and JSON. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"

#include <inttypes.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GREEN            "\033[32m"
#define YELLOW           "\033[33m"
#define RED              "\033[31m"
#define BLUE             "\033[34m"
#define PLAIN            "\033[0m"

#define ENFORCEMENT_NOTE "for programs that do not join; see chronos doctor"

static bool in_colour(FILE *out)
{
	const char *no_color = getenv("NO_COLOR");

	return isatty(fileno(out)) && !(no_color && *no_color);
}

static void print_coloured(FILE *out, const char *colour, const char *text)
{
	if (in_colour(out))
		fprintf(out, "%s%s" PLAIN, colour, text);
	else
		fputs(text, out);
}

/* ---- badges and failures ---- */

static const struct {
	const char *plain;
	const char *sign; /* on a terminal */
	const char *colour;
} badges[] = {
	[BADGE_OK] = { "[OK]", "✓", GREEN },
	[BADGE_INFO] = { "[INFO]", "ℹ", BLUE },
	[BADGE_WARNING] = { "[WARNING]", "⚠", YELLOW },
	[BADGE_ERROR] = { "[ERROR]", "✗", RED },
};

__attribute__((format(printf, 2, 0))) static void show_list(
	enum badge badge, const char *format, va_list args)
{
	FILE *out = badge >= BADGE_WARNING ? stderr : stdout;
	bool terminal = isatty(fileno(out));

	print_coloured(out, badges[badge].colour,
		terminal ? badges[badge].sign : badges[badge].plain);
	fputc(' ', out);
	vfprintf(out, format, args);
	fputc('\n', out);
}

void show(enum badge badge, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	show_list(badge, format, args);
	va_end(args);
}

static const enum exit_code exit_codes[] = {
	[CHRONOS_OK] = EXIT_DONE,
	[CHRONOS_INVALID] = EXIT_USAGE,
	[CHRONOS_NOT_FOUND] = EXIT_NOT_FOUND,
	[CHRONOS_CONFLICT] = EXIT_REFUSED,
	[CHRONOS_EXHAUSTED] = EXIT_REFUSED,
	[CHRONOS_DENIED] = EXIT_PERMISSION,
	[CHRONOS_UNAVAILABLE] = EXIT_INTERNAL,
	[CHRONOS_TIMEOUT] = EXIT_INTERNAL,
	[CHRONOS_SYSTEM] = EXIT_INTERNAL,
	[CHRONOS_INTERNAL] = EXIT_INTERNAL,
};

enum exit_code show_error(const struct cli *cli, const char *code, const char *text,
	enum exit_code exit_code)
{
	if (!cli->json) {
		show(BADGE_ERROR, "%s", text);
		return exit_code;
	}
	json_t *error = json_pack("{s:{s:s, s:s, s:i}}", "error", "code", code, "message",
		text, "exit_code", (int)exit_code);
	if (error)
		json_dumpf(error, stderr, JSON_COMPACT);
	fputc('\n', stderr);
	json_decref(error);
	return exit_code;
}

enum exit_code show_failure(const struct cli *cli, const struct chronos_error *e)
{
	return show_error(cli, chronos_code_name(e->code), e->text, exit_codes[e->code]);
}

enum exit_code show_usage_error(const struct cli *cli, const char *format, ...)
{
	char text[256];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	return show_error(cli, "usage", text, EXIT_USAGE);
}

/* ---- words for values ---- */

struct duration_text duration_text(uint64_t ns)
{
	uint64_t s = ns / 1000000000;
	struct duration_text t;

	if (s < 60)
		snprintf(t.text, sizeof t.text, "%" PRIu64 "s", s);
	else if (s < 3600)
		snprintf(t.text, sizeof t.text, "%" PRIu64 "m %" PRIu64 "s", s / 60,
			s % 60);
	else
		snprintf(t.text, sizeof t.text, "%" PRIu64 "h %" PRIu64 "m", s / 3600,
			s % 3600 / 60);
	return t;
}

struct user_text user_text(uint32_t uid)
{
	const struct passwd *user = getpwuid(uid);
	struct user_text t;

	if (user)
		snprintf(t.text, sizeof t.text, "%s", user->pw_name);
	else
		snprintf(t.text, sizeof t.text, "%" PRIu32, uid);
	return t;
}

static uint64_t megabytes(uint64_t bytes)
{
	return bytes >> 20;
}

/* ---- JSON ---- */

/* A driver may name its device in anything but UTF-8. */
static json_t *json_of_text(const char *text)
{
	json_t *value = json_string(text);

	return value ? value : json_string("?");
}

enum exit_code show_json(json_t *value)
{
	int rc = value ? json_dumpf(value, stdout, JSON_COMPACT | JSON_REAL_PRECISION(12))
		       : -1;

	json_decref(value);
	if (rc < 0) {
		show(BADGE_ERROR, "cannot write the answer as JSON");
		return EXIT_INTERNAL;
	}
	putchar('\n');
	return EXIT_DONE;
}

json_t *json_of_partition(const struct chronos_partition *p)
{
	json_t *devices = json_array();

	for (size_t i = 0; i < p->device_count; i++)
		json_array_append_new(devices, json_integer(p->devices[i]));
	return json_pack("{s:s, s:s*, s:I, s:s, s:i, s:f, s:o, s:I, s:f, s:b}", "id",
		p->id, "key", *p->key ? p->key : NULL, "owner", (json_int_t)p->owner,
		"user", user_text(p->owner).text, "hundredths", (int)p->hundredths,
		"share", p->hundredths / 100.0, "devices", devices, "memory_bytes",
		(json_int_t)p->memory_bytes, "seconds_left", (double)p->left_ns / 1e9,
		"burst", p->burst);
}

json_t *json_of_device(const struct chronos_device *d)
{
	return json_pack("{s:i, s:s, s:o, s:o, s:o, s:b, s:I, s:i, s:i, s:i}", "index",
		(int)d->index, "kind", chronos_kind_name(d->kind), "uuid",
		json_of_text(d->uuid), "name", json_of_text(d->name), "pci",
		json_of_text(d->pci), "present", d->present, "memory_bytes",
		(json_int_t)d->memory_bytes, "free_hundredths", (int)d->free_hundredths,
		"draining_hundredths", (int)d->draining_hundredths, "partitions",
		(int)d->partitions);
}

/* ---- what partitions have ---- */

struct usage_sum usage_of(struct chronos *c, const struct chronos_partition *p)
{
	struct usage_sum sum = { .known = true, .enforcement = "off" };

	for (size_t i = 0; i < p->device_count; i++) {
		struct chronos_usage u;
		if (chronos_usage(c, p, p->devices[i], &u, NULL) < 0)
			return (struct usage_sum){ .enforcement = "unknown" };
		sum.quota_bytes += u.quota_bytes;
		sum.used_bytes += u.used_bytes;
		sum.time_ns += u.time_ns;
		sum.refusals += u.refusals;
		sum.clients += u.clients;
		sum.enforcement = u.enforcement;
	}
	return sum;
}

void json_add_usage(json_t *partition, const struct usage_sum *u)
{
	json_object_set_new(partition, "enforce", json_string(u->enforcement));
	if (!u->known)
		return;
	json_object_set_new(
		partition, "quota_bytes", json_integer((json_int_t)u->quota_bytes));
	json_object_set_new(
		partition, "used_bytes", json_integer((json_int_t)u->used_bytes));
	json_object_set_new(partition, "time_ns", json_integer((json_int_t)u->time_ns));
	json_object_set_new(partition, "refusals", json_integer((json_int_t)u->refusals));
	json_object_set_new(partition, "clients", json_integer((json_int_t)u->clients));
}

void show_usages(struct chronos *c, const struct chronos_partition *list, size_t count)
{
	if (count > 0)
		puts("\nPartitions");
	for (size_t i = 0; i < count; i++) {
		struct usage_sum u = usage_of(c, &list[i]);
		printf("  %s: %" PRIu32 "%%%s, %" PRIu64 " of %" PRIu64 " MB, %" PRIu32
		       " processes, %.3f s of device time, %" PRIu64
		       " refusals, enforce: %s\n",
			list[i].id, list[i].hundredths, list[i].burst ? " burst" : "",
			megabytes(u.used_bytes), megabytes(u.quota_bytes), u.clients,
			(double)u.time_ns / 1e9, u.refusals, u.enforcement);
	}
}

/* ---- the table of partitions ---- */

enum { COLUMNS = 9, CELL_BYTES = 160 };

struct row {
	char cell[COLUMNS][CELL_BYTES];
};

static const char *const headings[COLUMNS] = { "ID", "Device", "Memory", "Time Left",
	"Owner", "Status", "Used", "Enforce", "Key" };

static void fill_row(
	struct row *row, const struct chronos_partition *p, const struct usage_sum *u)
{
	char *device = row->cell[1];
	size_t at = (size_t)snprintf(device, CELL_BYTES, "GPU ");

	for (size_t i = 0; i < p->device_count && at < CELL_BYTES; i++)
		at += (size_t)snprintf(device + at, CELL_BYTES - at, "%s%" PRIu32,
			i ? "," : "", p->devices[i]);
	snprintf(row->cell[0], CELL_BYTES, "%s", p->id);
	snprintf(row->cell[2], CELL_BYTES, "%" PRIu32 "%%", p->hundredths);
	snprintf(row->cell[3], CELL_BYTES, "%s", duration_text(p->left_ns).text);
	snprintf(row->cell[4], CELL_BYTES, "%s", user_text(p->owner).text);
	snprintf(row->cell[5], CELL_BYTES, "ACTIVE");
	if (u->known)
		snprintf(row->cell[6], CELL_BYTES, "%" PRIu64 " of %" PRIu64 " MB",
			megabytes(u->used_bytes), megabytes(u->quota_bytes));
	else
		snprintf(row->cell[6], CELL_BYTES, "?");
	snprintf(row->cell[7], CELL_BYTES, "%s", u->enforcement);
	snprintf(row->cell[8], CELL_BYTES, "%s", p->key);
}

static void print_rule(const int width[COLUMNS], int columns)
{
	for (int c = 0; c < columns; c++) {
		putchar('+');
		for (int i = 0; i < width[c] + 2; i++)
			putchar('-');
	}
	puts("+");
}

static void print_row(const struct row *row, const int width[COLUMNS], int columns)
{
	for (int c = 0; c < columns; c++)
		printf("| %-*s ", width[c], row->cell[c]);
	puts("|");
}

static void print_rows(const struct row *rows, size_t count)
{
	int width[COLUMNS] = { 0 };
	/* Keys have a column only where there is one. */
	int columns = COLUMNS - 1;

	for (size_t i = 0; i < count; i++) {
		for (int c = 0; c < COLUMNS; c++) {
			int n = (int)strlen(rows[i].cell[c]);
			width[c] = n > width[c] ? n : width[c];
		}
		if (i > 0 && *rows[i].cell[COLUMNS - 1])
			columns = COLUMNS;
	}
	print_rule(width, columns);
	for (size_t i = 0; i < count; i++) {
		print_row(&rows[i], width, columns);
		if (i == 0)
			print_rule(width, columns);
	}
	print_rule(width, columns);
}

void show_partition_table(
	struct chronos *c, const struct chronos_partition *list, size_t count)
{
	struct row *rows = calloc(count + 1, sizeof *rows);

	if (!rows)
		return show(BADGE_ERROR, "no memory for %zu partitions", count);
	for (int i = 0; i < COLUMNS; i++)
		snprintf(rows[0].cell[i], CELL_BYTES, "%s", headings[i]);
	for (size_t i = 0; i < count; i++) {
		struct usage_sum u = usage_of(c, &list[i]);
		fill_row(&rows[i + 1], &list[i], &u);
	}
	puts("Active Partitions");
	print_rows(rows, count + 1);
	show(BADGE_INFO, "Total: %zu partition(s)", count);
	free(rows);
}

/* ---- devices ---- */

static void show_device(const struct chronos_device *d)
{
	uint64_t available = chronos_share_bytes(d->memory_bytes, d->free_hundredths);
	uint32_t used = CHRONOS_WHOLE - d->free_hundredths;

	printf("\nDevice %" PRIu32 ": %s%s\n", d->index, d->name,
		d->present ? "" : " (absent)");
	printf("  Type: %s\n", chronos_kind_name(d->kind));
	printf("  UUID: %s\n", d->uuid);
	if (*d->pci)
		printf("  PCI: %s\n", d->pci);
	printf("  Memory Total: %" PRIu64 " MB\n", megabytes(d->memory_bytes));
	if (d->present) {
		printf("  Memory Used: %" PRIu64 " MB\n",
			megabytes(d->memory_bytes - available));
		printf("  Memory Available: %" PRIu64 " MB\n", megabytes(available));
		printf("  Usage: %" PRIu32 ".00%%\n", used);
	}
	if (d->draining_hundredths > 0)
		printf("  Draining: %" PRIu32 "%% of the memory, held by programs of "
		       "partitions that have ended\n",
			d->draining_hundredths);
	printf("  Active partitions: %" PRIu32 "\n", d->partitions);
}

void show_devices(const struct chronos *c, const struct chronos_stats *stats,
	const struct chronos_device *devices, size_t count)
{
	puts("GPU Device Statistics");
	puts("==================================================");
	printf("Enforcement: ");
	print_coloured(stdout, YELLOW, stats->enforcement);
	printf(" (%s)\n", ENFORCEMENT_NOTE);
	printf("Arbiter: %s\n", chronos_arbiter_serves(c) ? "serves" : "none");
	printf("Directory: %s\n", stats->dir);
	printf("Active partitions: %" PRIu32 "\n", stats->partitions);
	for (size_t i = 0; i < count; i++)
		show_device(&devices[i]);
	if (count == 0)
		puts("\nNo devices");
}

void show_available(const struct chronos_device *d)
{
	uint32_t free_percent = d->free_hundredths;
	const char *colour = free_percent >= 70   ? GREEN
			     : free_percent >= 30 ? YELLOW
						  : RED;
	char percent[16];

	snprintf(percent, sizeof percent, "%" PRIu32 ".0%%", free_percent);
	print_coloured(stdout, colour, percent);
	if (isatty(fileno(stdout)))
		printf(" available on GPU %" PRIu32, d->index);
	putchar('\n');
}
