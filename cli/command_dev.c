/* command_dev.c - dev: cumulusd and its worker in the foreground, for this machine. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "command.h"
#include "file.h"
#include "str.h"

#define DATA_OF_ROOT "/var/lib/cumulus/dev"
#define PATIENCE     3 /* interrupts until a cumulusd that does not end is killed */

/* Where a user's or root's data lives when nothing was said; the caller frees it. */
static char *default_data(struct err *e)
{
	const char *state = getenv("XDG_STATE_HOME");
	const char *home = getenv("HOME");

	if (geteuid() == 0)
		return str_fmt("%s", DATA_OF_ROOT);
	if (!str_empty(state))
		return str_fmt("%s/cumulus", state);
	if (!str_empty(home))
		return str_fmt("%s/.local/state/cumulus", home);
	err_set(e, ERR_INVALID, "HOME is not set: say --data DIR");
	return NULL;
}

/* In the child.  Its own process group: Ctrl-C is ours to translate, and must reach
 * neither the worker nor the jobs. */
static void become(const char *program, char *const *argv, const sigset_t *mask)
{
	setpgid(0, 0);
	signal(SIGPIPE, SIG_DFL);
	sigprocmask(SIG_SETMASK, mask, NULL);
	execv(program, argv);
	_exit(127);
}

static pid_t start(const struct options *o, const char *program, const char *data,
	const sigset_t *mask, struct err *e)
{
	const char *const argv[] = { "cumulusd", "--listen", o->listen, "--http", o->http,
		"--data", data, "--devices", o->devices, "--on-exit", "stop", NULL };
	pid_t pid = fork();

	if (pid == 0)
		become(program, (char *const *)argv, mask);
	if (pid < 0)
		err_sys(e, "fork");
	return pid;
}

static enum exit_code code_of(int status)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return EXIT_DONE;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 2)
		return EXIT_USAGE;
	if (WIFSIGNALED(status))
		fprintf(stderr, "cumulus: cumulusd was killed by signal %d\n",
			WTERMSIG(status));
	return EXIT_JOB_FAILED;
}

/* Until the child has ended: turn what asks us to end into a clean end of it. */
static enum exit_code attend(pid_t child, const sigset_t *signals, bool quiet)
{
	unsigned interrupts = 0;

	for (;;) {
		int status = 0;
		int number = sigwaitinfo(signals, NULL);

		if (number < 0)
			continue;
		if (number == SIGCHLD) {
			if (waitpid(child, &status, WNOHANG) == child)
				return code_of(status);
			continue;
		}
		if (++interrupts == 1 && !quiet)
			fputs("cumulus: stopping, and the jobs that run\n", stderr);
		kill(child, interrupts < PATIENCE ? SIGTERM : SIGKILL);
	}
}

enum exit_code command_dev(struct cli *cli)
{
	const struct options *o = cli->options;
	struct err e = { 0 };
	CLEANUP(free_ptr) char *program = file_find_sibling("cumulusd", &e);
	CLEANUP(free_ptr)
	char *data = o->data ? str_fmt("%s", o->data) : default_data(&e);
	sigset_t signals, before;

	if (!program || !data)
		return fail(&e);
	/* cumulusd becomes its own user, who must be able to pass. */
	if (dir_make_path(data, 0711, &e) < 0)
		return fail(&e);
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGHUP);
	sigaddset(&signals, SIGCHLD);
	sigprocmask(SIG_BLOCK, &signals, &before);

	pid_t child = start(o, program, data, &before, &e);
	if (child < 0)
		return fail(&e);
	return attend(child, &signals, o->quiet);
}
