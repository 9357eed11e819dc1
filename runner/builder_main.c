/* builder_main.c - cumulus-builder: builds one environment for cumulus-worker. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "builder.h"
#include "cleanup.h"
#include "id.h"
#include "log.h"
#include "settings.h"
#include "str.h"

#define FIELD(name) offsetof(struct builder_options, name)

static const struct setting table[] = {
	{ "environments", SETTING_TEXT, FIELD(environments), NULL, 0, 0, "DIR",
		"the worker's folder of environments" },
	{ "build", SETTING_TEXT, FIELD(build), NULL, 0, 0, "ID",
		"the build's folder in it" },
	{ "root-folder", SETTING_TEXT, FIELD(root_folder), NULL, 0, 0, "DIR",
		"the root that all jobs of this machine share" },
	{ "runtime", SETTING_TEXT, FIELD(runtime), "auto", 0, 0, "NAME",
		"crun, runc, or auto: crun where it is, else runc" },
	{ "wheels", SETTING_TEXT, FIELD(wheels), NULL, 0, 0, "DIR",
		"take wheels from here and nothing from the network" },
	{ "uid-base", SETTING_INT, FIELD(uid_base), NULL, 65536, UINT32_MAX - 65535, "N",
		"the first of the host's user ids that are pip's" },
	{ "time", SETTING_DURATION, FIELD(time_s), "10m", 1, 86400, "TIME",
		"how long it may take" },
	{ "disk", SETTING_BYTES, FIELD(disk_bytes), "10G", 1, INT64_C(1) << 50, "SIZE",
		"how much disk it may take meanwhile" },
	{ "worker-pid", SETTING_INT, FIELD(worker_pid), "0", 0, INT32_MAX, "PID",
		"end when this parent does" },
	{ "log-level", SETTING_TEXT, FIELD(log_level), "info", 0, 0, "LEVEL",
		"error, warn, info or debug" },
	{ "log-json", SETTING_BOOL, FIELD(log_json), NULL, 0, 0, NULL, "log JSON lines" },
	{ 0 },
};

static int check_path(const char *name, const char *path, struct err *e)
{
	return str_empty(path) || *path != '/'
		       ? err_set(e, ERR_INVALID, "--%s needs an absolute path", name)
		       : 0;
}

static int check_options(const struct builder_options *o, struct err *e)
{
	enum log_level level;

	if (log_level_parse(o->log_level, &level, e) < 0)
		return -1;
	log_init("cumulus-builder", level, o->log_json);
	if (check_path("environments", o->environments, e) < 0 ||
		check_path("root-folder", o->root_folder, e) < 0 ||
		(o->wheels && check_path("wheels", o->wheels, e) < 0))
		return -1;
	if (!o->build || !id_valid(o->build, BUILD_ID_KIND))
		return err_set(e, ERR_INVALID, "--build is no id of a build");
	return 0;
}

/* Nobody would take the environment of a worker that is gone, nor clean up. */
static int end_with_worker(const struct builder_options *o, struct err *e)
{
	if (!o->worker_pid)
		return 0;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return err_sys(e, "prctl");
	return getppid() == (pid_t)o->worker_pid
		       ? 0
		       : err_set(e, ERR_CONFLICT, "the worker is gone");
}

static enum build_end run(const struct builder_options *o)
{
	struct err e = { 0 };
	enum build_end end = BUILD_BROKEN;

	signal(SIGPIPE, SIG_IGN);
	if (end_with_worker(o, &e) == 0)
		end = builder_run(o, &e);
	if (end == BUILD_BROKEN)
		log_error("cannot build", "build", o->build, "error", e.text, NULL);
	return end;
}

int main(int argc, char **argv)
{
	struct builder_options o = { 0 };
	enum settings_ask ask;
	struct err e;
	enum build_end end = BUILD_DONE;

	if (settings_load(table, argc, argv, &o, &ask, &e) < 0) {
		fprintf(stderr, "cumulus-builder: %s\n", e.text);
		return BUILD_USAGE;
	}
	if (ask == SETTINGS_HELP) {
		printf("usage: cumulus-builder --environments DIR --build ID "
		       "--root-folder DIR --uid-base N\n"
		       "Started by cumulus-worker, one for each environment.\n\n");
		settings_help(table, stdout);
	} else if (ask == SETTINGS_VERSION) {
		printf("cumulus-builder " CUMULUS_VERSION "\n");
	} else if (check_options(&o, &e) < 0) {
		fprintf(stderr, "cumulus-builder: %s\n", e.text);
		end = BUILD_USAGE;
	} else if (ask != SETTINGS_CHECK) {
		end = run(&o);
	}
	settings_fini(table, &o);
	return (int)end;
}
