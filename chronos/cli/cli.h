/* cli.h - the parts of the program chronos. */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "chronos.h"
#include "columns.h"

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
	const char *on_expire; /* NULL: refuse */
	bool background;
	bool burst;
	bool json;
	bool help;
	bool version;
};

/* What a command takes beside what all take. */
enum takes {
	TAKES_USER = 1,
	TAKES_KEY = 2,
	TAKES_BURST = 4,
	TAKES_BACKGROUND = 8,
	TAKES_IDLE_EXIT = 16,
	TAKES_COMMAND = 32,  /* arguments: those of a command to start */
	TAKES_ONE_MORE = 64, /* argument, or not */
	TAKES_ON_EXPIRE = 128,
};

struct command {
	const char *name;
	size_t args;
	const char *needs;    /* "'create' command requires ..."; NULL: takes none */
	const char *grammar;  /* what follows the name in the usage, without options */
	const char *purpose;  /* one line */
	const char *details;  /* lines of at most 88; NULL: there is no more to say */
	const char *examples; /* lines, each with its newline; NULL: none */
	unsigned takes;
	enum exit_code (*run)(const struct cli *cli);
};

struct option_text {
	const char *name, *argument, *purpose;
	enum takes takes; /* of which commands; 0: of all */
};

/* ---- help.c ---- */

extern const struct command commands[];
extern const size_t command_count;
extern const struct option_text option_texts[];
extern const size_t option_count;

/* NULL: there is none of that name. */
const struct command *find_command(const char *name);
/* All commands in short. */
void show_usage(FILE *out);
/* One command, or all where it is NULL. */
enum exit_code show_help(const struct cli *cli, const struct command *about);
enum exit_code show_no_command(const struct cli *cli, const char *name);
enum exit_code run_help(const struct cli *cli);

/* ---- commands.c ---- */

void close_chronos(struct chronos **c);
#define CHRONOS_GUARD __attribute__((cleanup(close_chronos))) struct chronos *

/* Open the directory; open_with_devices() tells a new one its devices. */
struct chronos *open_directory(const struct cli *cli, struct chronos_error *e);
struct chronos *open_with_devices(const struct cli *cli, struct chronos_error *e);

/* Decimal digits and nothing else, from min to max. */
bool read_number(const char *text, uint64_t min, uint64_t max, uint64_t *n);

/* Is it something that could name a partition? */
enum exit_code check_partition(const struct cli *cli, const char *name);

json_t *json_of_list(
	struct chronos *c, const struct chronos_partition *list, size_t count);

enum exit_code run_create(const struct cli *cli);
enum exit_code run_list(const struct cli *cli);
enum exit_code run_renew(const struct cli *cli);
enum exit_code run_release(const struct cli *cli);
enum exit_code run_stats(const struct cli *cli);
enum exit_code run_available(const struct cli *cli);

/* ---- arbiter.c ---- */

enum exit_code run_arbiter(const struct cli *cli);

/* ---- watch.c ---- */

enum exit_code run_watch(const struct cli *cli);

/* ---- run.c ---- */

enum layer { LAYER_OPENCL, LAYER_CUDA };

/* A file by its path from this program's folder; false when it is not there. */
bool find_beside(const char *from_here, char *path, size_t size);
/* Beside this program, in ../lib; false when it is not there. */
bool find_layer(enum layer layer, char *path, size_t size);
enum exit_code run_run(const struct cli *cli);
/* Become the command; only an error comes back. */
enum exit_code start_command(const struct cli *cli);

/* ---- supervise.c ---- */

/* Start the command beside this process, and end it when the partition has ended: by
 * SIGKILL, or by SIGTERM and 10 s later SIGKILL.  Ends as the command does. */
enum exit_code supervise(const struct cli *cli, struct chronos *c,
	const struct chronos_partition *p, bool kill_at_once);

/* ---- doctor.c ---- */

enum exit_code run_doctor(const struct cli *cli);

/* ---- show.c ---- */

enum badge { BADGE_OK, BADGE_INFO, BADGE_WARNING, BADGE_ERROR };

/* One line behind a badge: errors and warnings to stderr, the rest to stdout. */
void show(enum badge badge, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

enum exit_code exit_code_of(const struct chronos_error *e);
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
	bool uncounted; /* used_bytes and clients are not known */
	uint64_t quota_bytes, used_bytes, time_ns, refusals, overruns, overrun_ns;
	uint32_t clients;
	const char *enforcement;
};
struct usage_sum usage_of(struct chronos *c, const struct chronos_partition *p);
/* The same, device by device: begins with usage_none(), and adds the i-th device of the
 * partition, which *u then tells of alone.  False: it could not be found out. */
struct usage_sum usage_none(void);
bool usage_add(struct chronos *c, const struct chronos_partition *p, size_t i,
	struct usage_sum *sum, struct chronos_usage *u);
/* Add it to the JSON of its partition. */
void json_add_usage(json_t *partition, const struct usage_sum *u);

enum exit_code show_partition_table(
	struct chronos *c, const struct chronos_partition *list, size_t count);

/* The table of what partitions have; `time` is what they had of their devices' time. */
void usage_table_init(struct table *t);
void usage_table_add(struct table *t, const struct chronos_partition *p,
	const struct usage_sum *u, const char *time);
enum exit_code show_usages(
	struct chronos *c, const struct chronos_partition *list, size_t count);
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

/* "0-3,5" */
struct devices_text {
	char text[CHRONOS_DEVICES_MAX * 3];
};
struct devices_text devices_text(const struct chronos_partition *p);

uint64_t megabytes(uint64_t bytes);

/* A copy without what a terminal would obey. */
const char *printable(char *out, size_t size, const char *text);
