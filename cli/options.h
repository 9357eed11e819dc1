/* options.h - what the words of a command line say, read by a command's table of flags.
 *
 * Thread: any, one at a time.  Texts are borrowed from argv.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "err.h"

struct command;

struct words {
	const char **at; /* the array is owned, its texts are borrowed */
	size_t count;
};

/* Of all commands; a command sets only those that its table names. */
struct options {
	bool help, version, json, quiet;
	const char *address, *token; /* NULL: not given as flags */

	const char *name, *requirements, *key; /* run, submit */
	const char *result_file;               /* run, result; "-" is stdout */
	uint32_t gpu_hundredths;
	int64_t duration_s;
	struct words env, labels; /* "K=V" */
	int64_t priority;
	bool no_wait, parsable;
	int64_t retries;
	double cpus;
	int64_t memory_bytes, disk_bytes, pids;

	bool all, watch; /* ps, workers, cancel */
	int64_t since_s;
	const char *states;
	const char *columns; /* ps */

	bool follow, timestamps; /* logs */
	int64_t tail_lines;
	const char *stream;

	bool forget; /* drain */

	const char *devices, *listen, *http, *data; /* dev */

	struct words operands;
	struct words job_args; /* after "--" */
};

enum flag_type {
	FLAG_SWITCH,     /* bool */
	FLAG_TEXT,       /* const char * */
	FLAG_LIST,       /* const char *, "a,b" of the words that help lists */
	FLAG_WORDS,      /* struct words; may be given again */
	FLAG_SECONDS,    /* int64_t, "10m" */
	FLAG_BYTES,      /* int64_t, "4G" */
	FLAG_COUNT,      /* int64_t, not negative */
	FLAG_INTEGER,    /* int64_t */
	FLAG_HUNDREDTHS, /* uint32_t, "0.25" */
	FLAG_NUMBER,     /* double, above 0 */
};

struct flag {
	char letter; /* 0: only the long form */
	const char *name;
	enum flag_type type;
	size_t offset; /* in struct options */
	const char
		*argument; /* "TIME", or all that it may be: "a|b"; NULL for a switch */
	const char *help;
};

/* The flags of every command; ends with a NULL name. */
extern const struct flag common_flags[];

/* The defaults of every option; nothing to free until something is parsed. */
void options_init(struct options *o);
void options_fini(struct options *o);

/* The common flags before a command's name: *at moves from 1 to the first other word. */
int options_parse_leading(
	int argc, char **argv, int *at, struct options *o, struct err *e) MUST_CHECK;
/* The words after a command's name.  With --help or --version the number of operands
 * is not checked. */
int options_parse(const struct command *command, int argc, char **argv, struct options *o,
	struct err *e) MUST_CHECK;

/* The flag that a word "--name", "--name=value", "-x" or "-xyz" ends with, of this table or
 * the common ones; NULL: none. */
const struct flag *flag_find(const struct flag *table, const char *word);
/* Does a word that ends with this flag bring its value, as "-t10m" does? */
bool flag_has_value(const struct flag *f, const char *word);

/* How far a word that is no name is from a name that may be meant: 0 for its beginning, else
 * the letters that differ; SIZE_MAX for too many of them. */
size_t typing_distance(const char *word, const char *name);

/* The lines of --help for these flags. */
void flags_print(const struct flag *flags, FILE *to);
