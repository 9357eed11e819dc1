/* cli.h - the parts of the program chronos. */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "chronos.h"

#include <jansson.h>
#include <stdio.h>

enum exit_code {
	EXIT_DONE = 0,
	EXIT_USAGE = 2,
	EXIT_REFUSED = 3, /* no room, or the key has something else */
	EXIT_PERMISSION = 4,
	EXIT_NOT_FOUND = 5,
	EXIT_INTERNAL = 6, /* the state or the system failed */
	/* Of chronos run, as env(1) and nohup(1) end. */
	EXIT_CANNOT_START = 126,
	EXIT_NO_COMMAND = 127,
};

struct cli {
	const char *verb;
	const char *const *args; /* what follows the verb and is no option */
	size_t arg_count;
	const char *dir;       /* NULL: $CHRONOS_DIR or the default */
	const char *devices;   /* NULL: what the directory knows */
	const char *user;      /* NULL: the caller */
	const char *key;       /* NULL: none */
	const char *idle_exit; /* NULL: never */
	bool background;
	bool burst;
	bool json;
	bool help;
	bool version;
};

struct command {
	const char *name;
	size_t args;
	const char *needs; /* "'create' command requires ..."; NULL when it takes none */
	const char *grammar; /* what follows the name in the usage */
	const char *purpose;
	bool takes_user_and_key; /* and --burst */
	bool takes_more;         /* arguments: those of a command to start */
	bool takes_background;   /* and --idle-exit */
	enum exit_code (*run)(const struct cli *cli);
};

extern const struct command commands[];
extern const size_t command_count;

/* ---- commands.c ---- */

void close_chronos(struct chronos **c);
#define CHRONOS_GUARD __attribute__((cleanup(close_chronos))) struct chronos *

/* Open the directory; open_with_devices() tells a new one its devices. */
struct chronos *open_directory(const struct cli *cli, struct chronos_error *e);
struct chronos *open_with_devices(const struct cli *cli, struct chronos_error *e);

/* Decimal digits and nothing else, from min to max. */
bool read_number(const char *text, uint64_t min, uint64_t max, uint64_t *n);

json_t *json_of_list(
	struct chronos *c, const struct chronos_partition *list, size_t count);

/* ---- arbiter.c ---- */

enum exit_code run_arbiter(const struct cli *cli);

/* ---- watch.c ---- */

enum exit_code run_watch(const struct cli *cli);

/* ---- run.c ---- */

enum layer { LAYER_OPENCL, LAYER_CUDA };

/* Beside this program, in ../lib; false when it is not there. */
bool find_layer(enum layer layer, char *path, size_t size);
enum exit_code run_run(const struct cli *cli);

/* ---- doctor.c ---- */

enum exit_code run_doctor(const struct cli *cli);

/* ---- show.c ---- */

enum badge { BADGE_OK, BADGE_INFO, BADGE_WARNING, BADGE_ERROR };

/* One line behind a badge: errors and warnings to stderr, the rest to stdout. */
void show(enum badge badge, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Tell of a failure in the form that was asked for, and give the code to end with. */
enum exit_code show_failure(const struct cli *cli, const struct chronos_error *e);
enum exit_code show_usage_error(const struct cli *cli, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

enum exit_code show_error(const struct cli *cli, const char *code, const char *text,
	enum exit_code exit_code);

/* Print a value, taking it; NULL means that memory ran out. */
enum exit_code show_json(json_t *value);
json_t *json_of_partition(const struct chronos_partition *p);
json_t *json_of_device(const struct chronos_device *d);

/* What a partition has of all its devices; `known` is false where it could not be found
 * out. */
struct usage_sum {
	bool known;
	uint64_t quota_bytes, used_bytes, time_ns, refusals;
	uint32_t clients;
	const char *enforcement;
};
struct usage_sum usage_of(struct chronos *c, const struct chronos_partition *p);
/* Add it to the JSON of its partition. */
void json_add_usage(json_t *partition, const struct usage_sum *u);

void show_usage(FILE *out);
void show_partition_table(
	struct chronos *c, const struct chronos_partition *list, size_t count);
void show_usages(struct chronos *c, const struct chronos_partition *list, size_t count);
void show_devices(const struct chronos *c, const struct chronos_stats *stats,
	const struct chronos_device *devices, size_t count);
/* "75.0%", and in words and colour on a terminal. */
void show_available(const struct chronos_device *d);

/* "45s", "1m 0s", "8h 0m". */
struct duration_text {
	char text[32];
};
struct duration_text duration_text(uint64_t ns);

struct user_text {
	char text[64];
};
struct user_text user_text(uint32_t uid); /* its name, or its number */
