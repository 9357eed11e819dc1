/* keeper.c - runs the bench in a child and removes what is left of it, however it ends. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "file.h"

static void remove_folder(const char *path)
{
	struct err e = { 0 };

	if (tree_remove(AT_FDCWD, path, &e) < 0)
		fprintf(stderr, "%s: %s\n", path, e.text);
}

/* Before other work of the machine, where that is permitted: a session is what the kernel
 * divides the processors among. */
static void go_first(void)
{
	int fd = open("/proc/self/autogroup", O_WRONLY | O_CLOEXEC);

	if (fd >= 0) {
		(void)!write(fd, "-20", 3);
		close(fd);
	}
}

static _Noreturn void be_child(int (*work)(void *arg), void *arg, const sigset_t *before)
{
	setsid();
	go_first();
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigprocmask(SIG_SETMASK, before, NULL);
	exit(work(arg));
}

/* The exit status that a shell would show. */
static int shown(int status)
{
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int keep(const char *dir, int (*work)(void *arg), void *arg)
{
	sigset_t watched, before;
	int status, signal_no, rc = -1;

	/* What the child has started is this process's to wait for once the child is gone. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	sigemptyset(&watched);
	sigaddset(&watched, SIGINT);
	sigaddset(&watched, SIGTERM);
	sigaddset(&watched, SIGHUP);
	sigaddset(&watched, SIGCHLD);
	sigprocmask(SIG_BLOCK, &watched, &before);
	fflush(NULL);
	pid_t child = fork();
	if (child < 0) {
		perror("fork");
		remove_folder(dir);
		return 1;
	}
	if (child == 0)
		be_child(work, arg, &before);
	while (rc < 0) {
		signal_no = sigwaitinfo(&watched, NULL);
		if (signal_no == SIGCHLD && waitpid(child, &status, WNOHANG) == child)
			rc = shown(status);
		else if (signal_no > 0 && signal_no != SIGCHLD)
			rc = 128 + signal_no;
	}
	/* By its id too: it may not have come as far as its own group. */
	kill(child, SIGKILL);
	kill(-child, SIGKILL);
	while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
		;
	remove_folder(dir);
	return rc;
}
