/* settings.h - one table decides a program's settings: flag, variable, YAML key, default.
 *
 * A setting `worker-wait` is the flag --worker-wait, the variable CUMULUS_WORKER_WAIT and
 * the key worker-wait of the file that --config names, in falling precedence.  Errors name
 * the source: the flag, the variable, or file and line.
 *
 * Thread: any, before threads; settings_move() by whoever owns the struct.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "err.h"

enum setting_type {
	SETTING_TEXT,     /* char *, owned */
	SETTING_CHOICE,   /* the same; one of the words of `argument`: "leave|stop" */
	SETTING_INT,      /* int64_t */
	SETTING_BYTES,    /* int64_t, "64M" */
	SETTING_DURATION, /* int64_t seconds, "10m" */
	SETTING_BOOL,     /* bool; a flag without a value means yes */
};

struct setting {
	const char *name;
	enum setting_type type;
	size_t offset;        /* of the field in the struct that is filled */
	const char *fallback; /* text as a person would write it; NULL = NULL or 0 */
	int64_t min, max;     /* numbers only; both 0 = any that is not negative */
	const char *argument; /* "HOST:PORT" */
	const char *help;
};

enum settings_ask {
	SETTINGS_RUN,
	SETTINGS_CHECK,
	SETTINGS_HELP,
	SETTINGS_VERSION,
	SETTINGS_EXAMPLE,   /* --print-config: a file with every setting, commented out */
	SETTINGS_REFERENCE, /* --print-reference: the table of the documentation */
};

/* Fill *out from argv, the environment, --config FILE and the defaults.  The table ends
 * with a NULL name.  --help and --version are found even beside wrong settings.  Positional
 * arguments are ERR_INVALID.  On failure *out holds nothing to free. */
int settings_load(const struct setting *table, int argc, char **argv, void *out,
	enum settings_ask *ask, struct err *e) MUST_CHECK;
/* The FILE of --config, borrowed from argv; NULL where there is none. */
const char *settings_file(int argc, char **argv);
/* Say on stdout that --check-config found nothing. */
void settings_say_fine(int argc, char **argv);

/* Move what may change while the program runs from a later *fresh to *current; live names
 * those settings and ends with NULL.  What changed is logged, from and to; what did change
 * but needs a restart is a warning.  Returns how many were moved. */
size_t settings_move(
	const struct setting *table, const char *const *live, void *current, void *fresh);

/* Free every text of *out. */
void settings_fini(const struct setting *table, void *out);
/* The list of flags for --help. */
void settings_help(const struct setting *table, FILE *to);
/* Every setting as a commented line of a file; live as above. */
void settings_example(const struct setting *table, const char *const *live, FILE *to);
/* The same as a table in Markdown. */
void settings_reference(const struct setting *table, const char *const *live, FILE *to);
