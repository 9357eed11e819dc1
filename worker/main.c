/* main.c - cumulus-worker: runs jobs on this machine for a cumulusd. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hangup.h"
#include "log.h"
#include "notify.h"
#include "options.h"
#include "worker.h"

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_CONFIG = 2 };

/* Before there is a log, to whoever typed it. */
static int refuse(const struct err *e)
{
	fprintf(stderr, "cumulus-worker: %s\n", e->text);
	return EXIT_CONFIG;
}

static int complain(int code, const struct err *e)
{
	log_error("cannot run", "why", e->text, NULL);
	return code;
}

/* A descriptor 0, 1 or 2 that is closed would become somebody's file. */
static void fill_standard_files(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	while (fd >= 0 && fd <= 2);
	if (fd > 2)
		close(fd);
}

static int run(struct options *o)
{
	struct worker w;
	struct err e = { 0 };

	if (geteuid() != 0) {
		err_set(&e, ERR_DENIED,
			"cumulus-worker makes containers and control groups, and needs "
			"root "
			"for it: sudo cumulus-worker --connect %s",
			o->connect);
		return complain(EXIT_FAILED, &e);
	}
	if (worker_open(&w, o, &e) < 0)
		return complain(EXIT_FAILED, &e);
	worker_run(&w);
	worker_close(&w);
	return EXIT_DONE;
}

int main(int argc, char **argv)
{
	struct options o;
	struct err e = { 0 };
	enum settings_ask ask;
	int code = EXIT_DONE;

	fill_standard_files();
	umask(022);
	signal(SIGPIPE, SIG_IGN);
	notify_init();
	hangup_init();
	if (options_load(&o, argc, argv, &ask, &e) < 0)
		return refuse(&e);
	options_answer(&o, ask);
	if (ask == SETTINGS_RUN) {
		log_init("cumulus-worker", o.level, o.log_json);
		if (o.log_file && log_open(o.log_file, &e) < 0)
			code = refuse(&e);
		else
			code = run(&o);
	}
	options_fini(&o);
	return code;
}
