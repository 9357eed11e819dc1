/* init.c - cumulus-init, process 1 of a job's container: starts the job, reaps, says how it ended. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * usage: init FILTER PROGRAM ARGS...
 *
 * FILTER holds the system call filter (struct sock_filter, as many as there are).
 * fd 3: the job's channel to the runner, inherited by the job.
 * fd 4: the exit record, a file opened for appending, ours alone.
 * fd 5: the lifeline; its end of file means that the runner died.
 *
 * A process 1 of its own is needed: Python there would survive its own SIGKILL and
 * SIGTERM, and whoever dies with the job's last process would report a wrong status.
 * When this process ends, for whatever reason, the kernel kills all others of the
 * container.  Statically linked, so nothing of the job can be loaded into it.
 *
 * The record is one line: "exited N" or "signaled N" when the job ended; "guard N" when
 * it was not started because the container is not the one that was asked for; "filter N",
 * "fork N" or "exec N" (an errno) when it could not be; "lifeline 0" when the runner died.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FD_RECORD = 4, FD_LIFELINE = 5 };

enum {
	EXIT_GUARD = 124,
	EXIT_LIFELINE = 125,
	EXIT_START = 126,
	EXIT_RECORD = 127,
};

/* The badness of the job to the OOM killer: before its init, before the runner. */
#define JOB_OOM_SCORE "500"

static void record(const char *what, int n)
{
	char line[64];
	int len = snprintf(line, sizeof(line), "%s %d\n", what, n);

	if (write(FD_RECORD, line, (size_t)len) != len)
		_exit(EXIT_RECORD);
}

/* A runtime that may not mount a fresh sysfs quietly binds the host's, writable and with
 * its cgroups in it: look before the job does. */
static bool sys_is_ours(void)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	char line[4096], root[2048], at[2048], options[256];
	bool ours = f != NULL;

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%*d %*d %*s %2047s %2047s %255s", root, at, options) !=
			3)
			ours = false;
		else if (strcmp(at, "/sys") == 0 &&
			 (strncmp(options, "ro,", 3) != 0 || strcmp(root, "/") != 0))
			ours = false;
		else if (strncmp(at, "/sys/fs/cgroup/", 15) == 0)
			ours = false;
	}
	if (f)
		fclose(f);
	return ours;
}

/* For this process and, inherited, for all of the job.  -1 with errno. */
static int load_filter(const char *path)
{
	static struct sock_filter code[BPF_MAXINSNS];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, code, sizeof(code));

	if (fd >= 0)
		close(fd);
	if (n < 0)
		return -1;
	if (n == 0 || (size_t)n % sizeof(*code)) {
		errno = EINVAL;
		return -1;
	}
	struct sock_fprog program = {
		.len = (unsigned short)((size_t)n / sizeof(*code)),
		.filter = code,
	};
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

static void raise_oom_score(void)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	/* Refused where the score is already higher: then it is high enough. */
	if (write(fd, JOB_OOM_SCORE, strlen(JOB_OOM_SCORE)) < 0)
		errno = 0;
	close(fd);
}

/* Never returns. */
static void become_job(char **argv, const sigset_t *mask)
{
	prctl(PR_SET_DUMPABLE, 1); /* or /proc/self would not be ours to write */
	raise_oom_score();
	setpgid(0, 0);
	sigprocmask(SIG_SETMASK, mask, NULL);
	execv(argv[0], argv);
	record("exec", errno);
	_exit(EXIT_START);
}

/* Reap all that ended; exits when the job is among them. */
static void reap(pid_t job)
{
	siginfo_t info;

	for (;;) {
		info.si_pid = 0;
		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG) < 0 || info.si_pid == 0)
			return;
		if (info.si_pid != job)
			continue;
		record(info.si_code == CLD_EXITED ? "exited" : "signaled",
			info.si_status);
		_exit(info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status);
	}
}

static void take_signals(int signals, pid_t job)
{
	struct signalfd_siginfo got;

	while (read(signals, &got, sizeof(got)) == sizeof(got)) {
		if (got.ssi_signo == SIGTERM)
			kill(-job, SIGTERM);
	}
}

/* Has the runner died?  Nothing is ever written to the lifeline. */
static void look_at_lifeline(const struct pollfd *lifeline)
{
	if (!lifeline->revents)
		return;
	record("lifeline", 0);
	_exit(EXIT_LIFELINE);
}

int main(int argc, char **argv)
{
	sigset_t all, old;
	struct pollfd polled[2] = {
		{ FD_LIFELINE, POLLIN, 0 },
		{ -1, POLLIN, 0 },
	};

	if (argc < 3)
		return EXIT_START;
	if (fcntl(FD_RECORD, F_SETFD, FD_CLOEXEC) < 0 ||
		fcntl(FD_LIFELINE, F_SETFD, FD_CLOEXEC) < 0)
		return EXIT_START;
	if (!sys_is_ours()) {
		record("guard", 1);
		return EXIT_GUARD;
	}
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &old);
	polled[1].fd = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
	if (load_filter(argv[1]) < 0) {
		record("filter", errno);
		return EXIT_START;
	}
	/* A runner that died before this process began must not leave a job behind. */
	if (poll(polled, 1, 0) > 0)
		look_at_lifeline(&polled[0]);
	/* The job has our user id: keep it out of /proc/1/fd and from tracing us.  Before
	 * there is a job, which could be quicker than we are. */
	prctl(PR_SET_DUMPABLE, 0);

	pid_t job = fork();
	if (job < 0) {
		record("fork", errno);
		return EXIT_START;
	}
	if (job == 0)
		become_job(argv + 2, &old);
	for (;;) {
		poll(polled, 2, -1);
		look_at_lifeline(&polled[0]);
		take_signals(polled[1].fd, job);
		reap(job);
	}
}
