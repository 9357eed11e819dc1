/* child.c - starts programs that outlive the worker. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "str.h"

/* One end of a pipe whose other end is closed: reading gives the end of file, writing
 * EPIPE.  want 0: the reading end, 1: the writing end. */
static int dead_pipe(int want, struct err *e)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(e, "make a pipe");
	close(ends[!want]);
	return ends[want];
}

static int set_up_attributes(posix_spawnattr_t *a, struct err *e)
{
	sigset_t none, all;

	sigemptyset(&none);
	sigfillset(&all);
	errno = posix_spawnattr_setflags(
		a, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	if (!errno)
		errno = posix_spawnattr_setsigmask(a, &none);
	if (!errno)
		errno = posix_spawnattr_setsigdefault(a, &all);
	return errno ? err_sys(e, "prepare a process") : 0;
}

static int set_up_files(posix_spawn_file_actions_t *f, const int std[3], struct err *e)
{
	for (int i = 0; i < 3; i++) {
		errno = posix_spawn_file_actions_adddup2(f, std[i], i);
		if (errno)
			return err_sys(e, "prepare a process");
	}
	/* Every fd of ours is close-on-exec; this is for those of libraries. */
	errno = posix_spawn_file_actions_addclosefrom_np(f, 3);
	return errno ? err_sys(e, "prepare a process") : 0;
}

static int spawn_with(const struct child_program *s, const int std[3],
	posix_spawnattr_t *a, posix_spawn_file_actions_t *f, pid_t *pid, struct err *e)
{
	if (set_up_attributes(a, e) < 0 || set_up_files(f, std, e) < 0)
		return -1;
	errno = posix_spawn(
		pid, s->argv[0], f, a, (char *const *)s->argv, (char *const *)s->envp);
	return errno ? err_sys(e, "start %s", s->argv[0]) : 0;
}

int child_start(const struct child_program *s, struct child *out, struct err *e)
{
	CLEANUP(close_fd) int in = dead_pipe(0, e);
	CLEANUP(close_fd) int to = in < 0 ? -1 : dead_pipe(1, e);
	posix_spawnattr_t a;
	posix_spawn_file_actions_t f;
	pid_t pid = -1;

	if (in < 0 || to < 0)
		return -1;
	posix_spawnattr_init(&a);
	posix_spawn_file_actions_init(&f);
	const int std[3] = { in, s->says ? s->stderr_fd : to, s->stderr_fd };
	int rc = spawn_with(s, std, &a, &f, &pid, e);
	posix_spawn_file_actions_destroy(&f);
	posix_spawnattr_destroy(&a);
	if (rc < 0)
		return -1;

	/* It is not reaped yet, so the pid is still its own. */
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0) {
		err_sys(e, "pidfd_open");
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		return -1;
	}
	*out = (struct child){ pid, pidfd };
	return 0;
}
