/* show.c - what chronos prints: badges, tables and JSON. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"
#include "screen.h"
#include "columns.h"

#include <ctype.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ENFORCEMENT_NOTE "for programs that do not join; see chronos doctor"

static void print_coloured(FILE *out, const char *colour, const char *text)
{
	if (screen_in_colour(out))
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
	bool moves = screen_moves(out);

	print_coloured(out, badges[badge].colour,
		moves ? badges[badge].sign : badges[badge].plain);
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

enum exit_code exit_code_of(const struct chronos_error *e)
{
	return exit_codes[e->code];
}

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
	char text[sizeof e->text];

	snprintf(text, sizeof text, "%s", e->text);
	/* The library's texts are parts of sentences; those of a program are whole ones. */
	if (islower((unsigned char)text[0]) && isalpha((unsigned char)text[1]))
		text[0] = (char)toupper((unsigned char)text[0]);
	return show_error(cli, chronos_code_name(e->code), text, exit_code_of(e));
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

static struct user_text look_up_user(uint32_t uid)
{
	const struct passwd *user = getpwuid(uid);
	struct user_text t;

	if (user)
		snprintf(t.text, sizeof t.text, "%s", user->pw_name);
	else
		snprintf(t.text, sizeof t.text, "%" PRIu32, uid);
	return t;
}

/* Remembered: the name service is asked once, not for each of ten thousand partitions. */
struct user_text user_text(uint32_t uid)
{
	static struct {
		uint32_t uid;
		struct user_text name; /* "": none yet */
	} known[64];
	const size_t i = uid % (sizeof known / sizeof *known);

	if (!*known[i].name.text || known[i].uid != uid) {
		known[i].uid = uid;
		known[i].name = look_up_user(uid);
	}
	return known[i].name;
}

struct devices_text devices_text(const struct chronos_partition *p)
{
	struct devices_text t = { "" };
	size_t at = 0;

	for (size_t i = 0; i < p->device_count; i++) {
		size_t first = i;
		while (i + 1 < p->device_count && p->devices[i + 1] == p->devices[i] + 1)
			i++;
		at += (size_t)snprintf(t.text + at, sizeof t.text - at, "%s%" PRIu32,
			first ? "," : "", p->devices[first]);
		if (i > first)
			at += (size_t)snprintf(t.text + at, sizeof t.text - at,
				"%c%" PRIu32, i > first + 1 ? '-' : ',', p->devices[i]);
	}
	return t;
}

uint64_t megabytes(uint64_t bytes)
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
	return json_pack("{s:i, s:s, s:o, s:o, s:o, s:o, s:b, s:I, s:i, s:i, s:i}",
		"index", (int)d->index, "kind", chronos_kind_name(d->kind), "uuid",
		json_of_text(d->uuid), "name", json_of_text(d->name), "pci",
		json_of_text(d->pci), "instance", json_of_text(d->instance), "present",
		d->present, "memory_bytes", (json_int_t)d->memory_bytes,
		"free_hundredths", (int)d->free_hundredths, "draining_hundredths",
		(int)d->draining_hundredths, "partitions", (int)d->partitions);
}

/* ---- what partitions have ---- */

struct usage_sum usage_none(void)
{
	return (struct usage_sum){ .known = true, .enforcement = "off" };
}

bool usage_add(struct chronos *c, const struct chronos_partition *p, size_t i,
	struct usage_sum *sum, struct chronos_usage *u)
{
	if (chronos_usage(c, p, p->devices[i], u, NULL) < 0) {
		*sum = (struct usage_sum){ .enforcement = "unknown" };
		return false;
	}
	sum->quota_bytes += u->quota_bytes;
	sum->used_bytes += u->used_bytes;
	sum->time_ns += u->time_ns;
	sum->refusals += u->refusals;
	sum->overruns += u->overruns;
	sum->overrun_ns += u->overrun_ns;
	sum->clients += u->clients;
	sum->uncounted |= u->uncounted;
	if (sum->known)
		sum->enforcement = u->enforcement;
	return true;
}

struct usage_sum usage_of(struct chronos *c, const struct chronos_partition *p)
{
	struct usage_sum sum = usage_none();
	struct chronos_usage u;

	for (size_t i = 0; i < p->device_count && usage_add(c, p, i, &sum, &u); i++)
		continue;
	return sum;
}

static json_t *json_if(bool known, json_int_t value)
{
	return known ? json_integer(value) : json_null();
}

void json_add_usage(json_t *partition, const struct usage_sum *u)
{
	json_object_set_new(partition, "enforce", json_string(u->enforcement));
	if (!u->known)
		return;
	json_object_set_new(
		partition, "quota_bytes", json_integer((json_int_t)u->quota_bytes));
	json_object_set_new(partition, "used_bytes",
		json_if(!u->uncounted, (json_int_t)u->used_bytes));
	json_object_set_new(partition, "time_ns", json_integer((json_int_t)u->time_ns));
	json_object_set_new(partition, "refusals", json_integer((json_int_t)u->refusals));
	json_object_set_new(partition, "overruns", json_integer((json_int_t)u->overruns));
	json_object_set_new(
		partition, "overrun_ns", json_integer((json_int_t)u->overrun_ns));
	json_object_set_new(
		partition, "clients", json_if(!u->uncounted, (json_int_t)u->clients));
}

/* ---- tables of partitions ---- */

static const struct column list_columns[] = {
	{ "ID", 0, false, false },
	{ "Device", 0, false, false },
	{ "Memory", 0, false, false },
	{ "Time Left", 0, false, false },
	{ "Owner", 4, false, false },
	{ "Status", 5, false, false },
	{ "Used", 2, false, false },
	{ "Enforce", 1, false, false },
	{ "Key", 3, false, true },
};

static void add_used(struct table *t, const struct usage_sum *u)
{
	if (!u->known)
		table_add(t, "?");
	else if (u->uncounted)
		table_add(t, "? of %" PRIu64 " MB", megabytes(u->quota_bytes));
	else
		table_add(t, "%" PRIu64 " of %" PRIu64 " MB", megabytes(u->used_bytes),
			megabytes(u->quota_bytes));
}

static void add_list_row(
	struct table *t, const struct chronos_partition *p, const struct usage_sum *u)
{
	table_add(t, "%s", p->id);
	table_add(t, "GPU %s", devices_text(p).text);
	table_add(t, "%" PRIu32 "%%", p->hundredths);
	table_add(t, "%s", duration_text(p->left_ns).text);
	table_add(t, "%s", user_text(p->owner).text);
	table_add(t, "ACTIVE");
	add_used(t, u);
	table_add(t, "%s", u->enforcement);
	table_add(t, "%s", p->key);
}

static enum exit_code no_memory(void)
{
	show(BADGE_ERROR, "There is not enough memory for this table");
	return EXIT_INTERNAL;
}

enum exit_code show_partition_table(
	struct chronos *c, const struct chronos_partition *list, size_t count)
{
	struct table t;

	table_init(&t, list_columns, sizeof list_columns / sizeof *list_columns);
	for (size_t i = 0; i < count; i++) {
		struct usage_sum u = usage_of(c, &list[i]);
		add_list_row(&t, &list[i], &u);
	}
	puts("Active Partitions");
	int rc = table_print_boxed(&t, stdout, screen_columns(stdout));
	table_fini(&t);
	if (rc < 0)
		return no_memory();
	show(BADGE_INFO, "Total: %zu partition(s)", count);
	return EXIT_DONE;
}

static const struct column usage_columns[] = {
	{ "ID", 0, false, false },
	{ "Device", 0, false, false },
	{ "Share", 0, true, false },
	{ "Memory", 0, true, false },
	{ "Device time", 0, true, false },
	{ "Time Left", 5, true, false },
	{ "Processes", 4, true, false },
	{ "Refusals", 3, true, false },
	{ "Overruns", 3, true, false },
	{ "Enforce", 1, false, false },
	{ "Owner", 6, false, false },
	{ "Key", 2, false, true },
};

void usage_table_init(struct table *t)
{
	table_init(t, usage_columns, sizeof usage_columns / sizeof *usage_columns);
}

void usage_table_add(struct table *t, const struct chronos_partition *p,
	const struct usage_sum *u, const char *time)
{
	table_add(t, "%s", p->id);
	table_add(t, "%s", devices_text(p).text);
	table_add(t, "%" PRIu32 "%%%s", p->hundredths, p->burst ? " burst" : "");
	add_used(t, u);
	table_add(t, "%s", time);
	table_add(t, "%s", duration_text(p->left_ns).text);
	if (u->known && !u->uncounted)
		table_add(t, "%" PRIu32, u->clients);
	else
		table_add(t, "?");
	table_add(t, "%" PRIu64, u->refusals);
	if (u->overruns)
		table_add(t, "%" PRIu64 " (%.3f s)", u->overruns,
			(double)u->overrun_ns / 1e9);
	else
		table_add(t, "0");
	table_add(t, "%s", u->enforcement);
	table_add(t, "%s", user_text(p->owner).text);
	table_add(t, "%s", p->key);
}

enum exit_code show_usages(
	struct chronos *c, const struct chronos_partition *list, size_t count)
{
	struct table t;

	if (count == 0)
		return EXIT_DONE;
	usage_table_init(&t);
	for (size_t i = 0; i < count; i++) {
		struct usage_sum u = usage_of(c, &list[i]);
		char time[32];
		snprintf(time, sizeof time, "%.3f s", (double)u.time_ns / 1e9);
		usage_table_add(&t, &list[i], &u, u.known ? time : "?");
	}
	puts("\nPartitions");
	int rc = table_print_plain(&t, stdout, screen_columns(stdout), "  ");
	table_fini(&t);
	return rc < 0 ? no_memory() : EXIT_DONE;
}

/* ---- devices ---- */

const char *printable(char *out, size_t size, const char *text)
{
	snprintf(out, size, "%s", text);
	make_printable(out);
	return out;
}

static void show_device(const struct chronos_device *d)
{
	uint64_t available = chronos_share_bytes(d->memory_bytes, d->free_hundredths);
	uint32_t used = CHRONOS_WHOLE - d->free_hundredths;

	char name[sizeof d->name], uuid[sizeof d->uuid], pci[sizeof d->pci];
	char instance[sizeof d->instance];

	printf("\nDevice %" PRIu32 ": %s%s\n", d->index,
		printable(name, sizeof name, d->name), d->present ? "" : " (absent)");
	printf("  Type: %s\n", chronos_kind_name(d->kind));
	printf("  UUID: %s\n", printable(uuid, sizeof uuid, d->uuid));
	if (*d->pci)
		printf("  PCI: %s%s%s\n", printable(pci, sizeof pci, d->pci),
			*d->instance ? ", instance " : "",
			printable(instance, sizeof instance, d->instance));
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
	if (isatty(STDOUT_FILENO))
		printf(" available on GPU %" PRIu32, d->index);
	putchar('\n');
}
