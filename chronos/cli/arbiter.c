/* arbiter.c - chronos arbiter: gives the turns of the devices until it is told to end. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S UINT64_C(1000000000)

enum { IDLE_MAX_S = 365 * 86400 };

static uint64_t monotonic_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

/* A file is open for each partition; and what is waited for is shorter than the kernel's
 * usual slack. */
static void set_limits(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	prctl(PR_SET_TIMERSLACK, 1000UL);
}

static int ending_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -1;
	return signalfd(-1, &set, SFD_CLOEXEC);
}

/* Waits for what comes first.  True: a signal asks to end. */
static bool wait_for_work(int arbiter_fd, int signal_fd, uint64_t wait_ns)
{
	const struct timespec limit = { (time_t)(wait_ns / NS_PER_S),
		(long)(wait_ns % NS_PER_S) };
	struct pollfd fds[] = { { .fd = arbiter_fd, .events = POLLIN },
		{ .fd = signal_fd, .events = POLLIN } };

	int n = ppoll(fds, 2, wait_ns == UINT64_MAX ? NULL : &limit, NULL);
	return n > 0 && fds[1].revents;
}

/* Without partitions for so long, it ends; 0: it never does. */
static enum exit_code serve(const struct cli *cli, struct chronos_arbiter *a,
	int signal_fd, uint64_t idle_limit_ns)
{
	uint64_t idle_since_ns = monotonic_ns();
	struct chronos_error e = { 0 };

	for (;;) {
		uint64_t wait_ns;
		if (chronos_arbiter_serve(a, &wait_ns, &e) < 0)
			return show_failure(cli, &e);
		uint64_t now_ns = monotonic_ns();
		if (chronos_arbiter_partitions(a) > 0)
			idle_since_ns = now_ns;
		else if (idle_limit_ns && now_ns - idle_since_ns >= idle_limit_ns)
			return EXIT_DONE;
		else if (idle_limit_ns) {
			uint64_t left_ns = idle_since_ns + idle_limit_ns - now_ns;
			wait_ns = left_ns < wait_ns ? left_ns : wait_ns;
		}
		if (wait_for_work(chronos_arbiter_fd(a), signal_fd, wait_ns))
			return EXIT_DONE;
	}
}

static enum exit_code show_ready(const struct cli *cli)
{
	enum exit_code rc = EXIT_DONE;
	int pid = (int)getpid();

	if (cli->json)
		rc = show_json(json_pack("{s:b, s:i}", "serving", 1, "pid", pid));
	else
		show(BADGE_OK, "Arbiter serves, process %d", pid);
	fflush(stdout);
	return rc;
}

/* Until it is told to end. */
static enum exit_code arbitrate(const struct cli *cli)
{
	struct chronos_error e = { 0 };
	uint64_t idle_s = 0;

	if (cli->idle_exit && !read_number(cli->idle_exit, 1, IDLE_MAX_S, &idle_s))
		return show_usage_error(cli,
			"--idle-exit \"%.32s\" is not a whole number of seconds from 1 to "
			"%d",
			cli->idle_exit, IDLE_MAX_S);
	struct chronos *c = open_with_devices(cli, &e);
	if (!c)
		return show_failure(cli, &e);
	chronos_close(c);
	set_limits();
	int signal_fd = ending_signals();
	struct chronos_arbiter *a = chronos_arbiter_open(cli->dir, &e);
	if (!a)
		return show_failure(cli, &e);
	enum exit_code rc = show_ready(cli);
	if (rc == EXIT_DONE)
		rc = serve(cli, a, signal_fd, idle_s * NS_PER_S);
	chronos_arbiter_close(a);
	close(signal_fd);
	return rc;
}

/* Start it once more, in its own session and away from the caller's files, so that it
 * outlives who started it; say what it says when it is ready, or how it failed. */
static enum exit_code start_in_background(const struct cli *cli)
{
	char line[1024];
	int fds[2], status;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return show_error(cli, "system", "cannot make a pipe", EXIT_INTERNAL);
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		setsid();
		int null = open("/dev/null", O_RDWR);
		dup2(null, STDIN_FILENO);
		dup2(fds[1], STDOUT_FILENO);
		dup2(fds[1], STDERR_FILENO);
		close_range(STDERR_FILENO + 1, ~0u, 0);
		enum exit_code rc = arbitrate(cli);
		fflush(NULL);
		_exit((int)rc);
	}
	close(fds[1]);
	/* One line: that it is ready, or why it is not. */
	FILE *said = fdopen(fds[0], "r");
	bool spoke = pid > 0 && said && fgets(line, sizeof line, said);
	if (said)
		fclose(said);
	if (!spoke)
		return show_error(
			cli, "system", "the arbiter did not start", EXIT_INTERNAL);
	pid_t ended = 0;
	bool failed = strstr(line, cli->json ? "\"error\"" : "ERROR") != NULL;
	if (failed)
		ended = waitpid(pid, &status, 0);
	fputs(line, failed ? stderr : stdout);
	if (ended != pid)
		return EXIT_DONE;
	return WIFEXITED(status) ? (enum exit_code)WEXITSTATUS(status) : EXIT_INTERNAL;
}

enum exit_code run_arbiter(const struct cli *cli)
{
	return cli->background ? start_in_background(cli) : arbitrate(cli);
}
