/* options.c - what cumulus-worker can be told, by flag, variable or file. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "options.h"

#include <stdio.h>
#include <string.h>

#include "str.h"

#define FIELD(f) offsetof(struct options, f)

static const struct setting table[] = {
	{ "connect", SETTING_TEXT, FIELD(connect), "unix:/run/cumulus/worker.sock", 0, 0,
		"ADDRESS",
		"where cumulusd is: unix:PATH (HOST:PORT needs TLS, which is not there "
		"yet)" },
	{ "data", SETTING_TEXT, FIELD(data), "/var/lib/cumulus", 0, 0, "DIR",
		"the data folder; the worker's part of it is DIR/worker" },
	{ "devices", SETTING_TEXT, FIELD(devices), "auto", 0, 0, "WHICH",
		"auto, simulated:N, opencl-cpu or none" },
	{ "chronos-dir", SETTING_TEXT, FIELD(chronos_dir), NULL, 0, 0, "DIR",
		"where partitions are kept; by default Chronos's own folder, and "
		"DATA/chronos "
		"for simulated devices" },
	{ "runner", SETTING_TEXT, FIELD(runner), NULL, 0, 0, "FILE",
		"the program that runs one job; by default cumulus-runner beside this "
		"one" },
	{ "chronos", SETTING_TEXT, FIELD(chronos), NULL, 0, 0, "FILE",
		"the program whose arbiter gives jobs their turns; by default chronos "
		"beside this one" },
	{ "init", SETTING_TEXT, FIELD(init), NULL, 0, 0, "FILE",
		"process 1 of every job; by default cumulus-init beside this program" },
	{ "harness", SETTING_TEXT, FIELD(harness), NULL, 0, 0, "FILE",
		"what calls a job's main(); by default ../lib/cumulus/harness.py" },
	{ "job-library", SETTING_TEXT, FIELD(job_library), NULL, 0, 0, "FILE",
		"what a job imports as cumulus; by default ../lib/cumulus/cumulus.py" },
	{ "builder", SETTING_TEXT, FIELD(builder), NULL, 0, 0, "FILE",
		"the program that builds one environment; by default cumulus-builder "
		"beside this one" },
	{ "runtime", SETTING_CHOICE, FIELD(runtime), "auto", 0, 0, "auto|crun|runc",
		"what makes containers; auto: crun where it is, else runc" },
	{ "run-slots", SETTING_INT, FIELD(run_slots), "64", 1, 1024, "N",
		"how many runs to hold at once" },
	{ "package-cache", SETTING_BYTES, FIELD(package_cache_bytes), "10G", 0, 0,
		"BYTES", "how many bytes of packages to keep" },
	{ "wheels", SETTING_TEXT, FIELD(wheels), NULL, 0, 0, "DIR",
		"take requirements from the wheels in this folder, and nothing from the "
		"network" },
	{ "environment-cache", SETTING_BYTES, FIELD(environment_cache_bytes), "20G", 0, 0,
		"BYTES", "how many bytes of environments to keep" },
	{ "environment-time", SETTING_DURATION, FIELD(environment_time_s), "10m", 1,
		86400, "TIME", "how long building one environment may take" },
	{ "environment-disk", SETTING_BYTES, FIELD(environment_disk_bytes), "10G", 1,
		INT64_C(1) << 50, "SIZE",
		"how much disk building one environment may take" },
	{ "no-start-check", SETTING_BOOL, FIELD(no_start_check), NULL, 0, 0, NULL,
		"trust this machine: do not run an empty container before the first "
		"job" },
	{ "exit-when-idle", SETTING_DURATION, FIELD(exit_when_idle_s), "0", 0, 0,
		"SECONDS",
		"end after so long with neither runs nor a cumulusd; 0: never" },
	{ "log-level", SETTING_CHOICE, FIELD(log_level), "info", 0, 0,
		"error|warn|info|debug", "the least important lines that are logged" },
	{ "log-json", SETTING_BOOL, FIELD(log_json), NULL, 0, 0, NULL,
		"write the log as JSON lines" },
	{ "log-file", SETTING_TEXT, FIELD(log_file), NULL, 0, 0, "FILE",
		"append the log to this file instead of stderr; SIGHUP opens it again" },
	{ 0 },
};

static const char *const live[] = { "log-level", "log-json", "package-cache",
	"environment-cache", "environment-time", "environment-disk", NULL };

static int check_address(const char *address, struct err *e)
{
	if (str_starts(address, "unix:/"))
		return 0;
	if (str_starts(address, "unix:"))
		return err_set(e, ERR_INVALID, "connect: \"%s\" needs an absolute path",
			address);
	return err_set(e, ERR_UNSUPPORTED,
		"connect: \"%s\" is no unix: address; other machines are reached by TLS, "
		"which "
		"is not there yet",
		address);
}

static int check(struct options *o, struct err *e)
{
	struct chronos_error why = { 0 };

	if (check_address(o->connect, e) < 0)
		return -1;
	if (str_empty(o->data))
		return err_set(e, ERR_INVALID, "data: names no folder");
	if (o->log_file && *o->log_file != '/')
		return err_set(e, ERR_INVALID, "log-file: \"%s\" needs to be absolute",
			o->log_file);
	if (o->chronos_dir && *o->chronos_dir != '/')
		return err_set(e, ERR_INVALID, "chronos-dir: \"%s\" needs to be absolute",
			o->chronos_dir);
	if (o->wheels && *o->wheels != '/')
		return err_set(
			e, ERR_INVALID, "wheels: \"%s\" needs to be absolute", o->wheels);
	if (chronos_devices_parse(o->devices, &o->device_spec, &why) < 0)
		return err_set(e, ERR_INVALID, "%s", why.text);
	return log_level_parse(o->log_level, &o->level, e);
}

int options_load(
	struct options *o, int argc, char **argv, enum settings_ask *ask, struct err *e)
{
	*o = (struct options){ .argc = argc, .argv = argv };
	if (settings_load(table, argc, argv, o, ask, e) < 0)
		return -1;
	if (*ask != SETTINGS_RUN && *ask != SETTINGS_CHECK)
		return 0;
	if (check(o, e) < 0) {
		options_fini(o);
		return -1;
	}
	return 0;
}

int options_reload(struct options *o, struct err *e)
{
	struct options fresh;
	enum settings_ask ask;

	if (options_load(&fresh, o->argc, o->argv, &ask, e) < 0)
		return -1;
	settings_move(table, live, o, &fresh);
	o->level = fresh.level;
	options_fini(&fresh);
	return 0;
}

void options_fini(struct options *o)
{
	settings_fini(table, o);
}

void options_answer(const struct options *o, enum settings_ask ask)
{
	switch (ask) {
	case SETTINGS_HELP:
		printf("Usage: cumulus-worker [--setting VALUE]...\n"
		       "Runs jobs on this machine for a cumulusd; needs root.\n\n");
		settings_help(table, stdout);
		return;
	case SETTINGS_VERSION:
		printf("cumulus-worker %s\n", CUMULUS_VERSION);
		return;
	case SETTINGS_EXAMPLE:
		settings_example(table, live, stdout);
		return;
	case SETTINGS_REFERENCE:
		settings_reference(table, live, stdout);
		return;
	case SETTINGS_CHECK:
		settings_say_fine(o->argc, o->argv);
		return;
	case SETTINGS_RUN:
		return;
	}
}
