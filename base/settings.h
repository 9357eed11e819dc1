/* settings.h - one table decides a program's settings: flag, variable, YAML key, default.
 *
 * A setting `worker-wait` is the flag --worker-wait, the variable CUMULUS_WORKER_WAIT and
 * the key worker-wait of the file that --config names, in falling precedence.  Errors name
 * the source: the flag, the variable, or file and line.
 *
 * Thread: any, before threads.
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

enum settings_ask { SETTINGS_RUN, SETTINGS_CHECK, SETTINGS_HELP, SETTINGS_VERSION };

/* Fill *out from argv, the environment, --config FILE and the defaults.  The table ends
 * with a NULL name.  --help and --version are found even beside wrong settings.  Positional
 * arguments are ERR_INVALID.  On failure *out holds nothing to free. */
int settings_load(const struct setting *table, int argc, char **argv, void *out,
	enum settings_ask *ask, struct err *e) MUST_CHECK;
/* Free every text of *out. */
void settings_fini(const struct setting *table, void *out);
/* The list of flags for --help. */
void settings_help(const struct setting *table, FILE *to);
