/* options.h - what cumulus-worker can be told, by flag, variable or file.
 *
 * Thread: loop, before anything else.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "chronos.h"
#include "err.h"
#include "log.h"
#include "settings.h"

struct options {
	char *connect;
	char *data;
	char *devices;
	char *chronos_dir; /* NULL: D/chronos for simulated devices, else Chronos's own */
	char *runner;      /* these four NULL: found beside this program */
	char *init;
	char *chronos;
	char *harness;
	char *job_library;
	char *builder; /* NULL like those */
	char *wheels;  /* NULL: from the index */
	char *runtime; /* crun, runc or auto */
	char *log_level;
	char *log_file; /* NULL: stderr */
	bool log_json;
	bool no_start_check; /* run no container at the start to see whether one can be run */
	int64_t exit_when_idle_s; /* 0: never */
	int64_t run_slots;
	int64_t package_cache_bytes;
	int64_t environment_cache_bytes;
	int64_t environment_time_s;
	int64_t environment_disk_bytes;

	/* What the texts mean. */
	struct chronos_device_spec device_spec;
	enum log_level level;

	int argc; /* what it was loaded from, for the next time; borrowed */
	char **argv;
};

/* Fill and check *o.  On failure it holds nothing. */
int options_load(struct options *o, int argc, char **argv, enum settings_ask *ask,
	struct err *e) MUST_CHECK;
/* The same again, after SIGHUP: what may change while the worker runs does, and is logged;
 * what may not is warned of.  On failure nothing has changed. */
int options_reload(struct options *o, struct err *e) MUST_CHECK;
void options_fini(struct options *o);
/* Answer what was asked instead of running: help, an example file ... */
void options_answer(const struct options *o, enum settings_ask ask);
