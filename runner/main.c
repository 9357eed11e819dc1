/* main.c - cumulus-runner: runs one job in its container, and says how it went. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "cleanup.h"
#include "log.h"
#include "runner.h"
#include "settings.h"
#include "str.h"

/* sysexits would do, but nobody reads more than these. */
enum { END_WELL = 0, END_BADLY = 1, END_USAGE = 2 };

#define FIELD(name) offsetof(struct options, name)

static const struct setting table[] = {
	{ "run-folder", SETTING_TEXT, FIELD(run_folder), NULL, 0, 0, "DIR",
		"the run's folder, runs/<job>.<attempt>" },
	{ "root-folder", SETTING_TEXT, FIELD(root_folder), NULL, 0, 0, "DIR",
		"the root that all jobs of this machine share" },
	{ "chronos-dir", SETTING_TEXT, FIELD(chronos_dir), NULL, 0, 0, "DIR",
		"where partitions are kept; default $CHRONOS_DIR, then /run/chronos" },
	{ "runtime", SETTING_TEXT, FIELD(runtime), "auto", 0, 0, "NAME",
		"crun, runc, or auto: crun where it is, else runc" },
	{ "check", SETTING_BOOL, FIELD(check), NULL, 0, 0, NULL,
		"run one empty container and say whether that works" },
	{ "log-level", SETTING_TEXT, FIELD(log_level), "info", 0, 0, "LEVEL",
		"error, warn, info or debug" },
	{ "log-json", SETTING_BOOL, FIELD(log_json), NULL, 0, 0, NULL, "log JSON lines" },
	{ 0 },
};

static int check_options(const struct options *o, struct err *e)
{
	enum log_level level;

	if (log_level_parse(o->log_level, &level, e) < 0)
		return -1;
	log_init("cumulus-runner", level, o->log_json);
	if (str_empty(o->root_folder) || *o->root_folder != '/')
		return err_set(e, ERR_INVALID, "--root-folder needs an absolute path");
	if (!o->check && str_empty(o->run_folder))
		return err_set(e, ERR_INVALID, "--run-folder is missing");
	return 0;
}

/* The runner is ended by `stop`, never by a signal meant for a terminal or a service. */
static void ignore_signals(void)
{
	static const int ignored[] = { SIGHUP, SIGINT, SIGPIPE, SIGTERM };

	for (size_t i = 0; i < sizeof(ignored) / sizeof(*ignored); i++)
		signal(ignored[i], SIG_IGN);
}

static int run(const struct options *o)
{
	struct runner r;
	struct err e;

	if (runner_open(&r, o, &e) < 0) {
		bool not_ours = e.code == ERR_CONFLICT || e.code == ERR_NOT_FOUND;

		if (not_ours)
			log_info("nothing to run", "folder", o->run_folder, "why", e.text,
				NULL);
		else
			log_error("cannot run", "folder", o->run_folder, "error", e.text,
				NULL);
		return not_ours ? END_WELL : END_BADLY;
	}

	int rc = 0;
	if (runner_set_up(&r) == 0)
		rc = runner_supervise(&r, &e);
	if (rc == 0)
		rc = runner_finish(&r, &e);
	if (rc < 0 && runfolder_gone(r.dirfd))
		runner_abandon(&r);
	else if (rc < 0)
		log_error("run left to the worker", "run", r.name, "error", e.text, NULL);
	runner_close(&r);
	return rc < 0 ? END_BADLY : END_WELL;
}

int main(int argc, char **argv)
{
	struct options o = { 0 };
	enum settings_ask ask;
	struct err e;
	int rc = END_WELL;

	if (settings_load(table, argc, argv, &o, &ask, &e) < 0) {
		fprintf(stderr, "cumulus-runner: %s\n", e.text);
		return END_USAGE;
	}
	if (ask == SETTINGS_HELP) {
		printf("usage: cumulus-runner --run-folder DIR --root-folder DIR\n"
		       "Started by cumulus-worker, one for each job.\n\n");
		settings_help(table, stdout);
	} else if (ask == SETTINGS_VERSION) {
		printf("cumulus-runner " CUMULUS_VERSION "\n");
	} else if (check_options(&o, &e) < 0) {
		fprintf(stderr, "cumulus-runner: %s\n", e.text);
		rc = END_USAGE;
	} else if (ask != SETTINGS_CHECK) {
		ignore_signals();
		if (!o.check) {
			rc = run(&o);
		} else if (runner_check(&o, &e) < 0) {
			fprintf(stderr, "%s\n", e.text);
			rc = END_BADLY;
		}
	}
	settings_fini(table, &o);
	return rc;
}
