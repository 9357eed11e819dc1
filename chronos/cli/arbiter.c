/* arbiter.c - chronos arbiter: gives the turns of the devices until it is told to end. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S UINT64_C(1000000000)

enum { IDLE_MAX_S = 365 * 86400, READY_FD = STDERR_FILENO + 1 };

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

/* As sd_notify(3) does; who does not listen is not waited for. */
static void tell_manager(const char *words)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	size_t n = path ? strlen(path) : 0;

	if (n == 0 || n >= sizeof to.sun_path)
		return;
	memcpy(to.sun_path, path, n);
	if (*path == '@')
		to.sun_path[0] = '\0'; /* an abstract name */
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	(void)!sendto(fd, words, strlen(words), MSG_NOSIGNAL, (struct sockaddr *)&to,
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
	close(fd);
}

/* Without partitions for so long, it ends; 0: it never does.  *why: what ended it. */
static enum exit_code serve(const struct cli *cli, struct chronos_arbiter *a,
	int signal_fd, uint64_t idle_limit_ns, const char **why)
{
	uint64_t idle_since_ns = monotonic_ns();
	struct chronos_error e = { 0 };

	for (;;) {
		uint64_t wait_ns;
		if (chronos_arbiter_serve(a, &wait_ns, &e) < 0)
			return show_failure(cli, &e);
		uint64_t now_ns = monotonic_ns();
		*why = "no partition can be joined";
		if (chronos_arbiter_partitions(a) > 0)
			idle_since_ns = now_ns;
		else if (idle_limit_ns && now_ns - idle_since_ns >= idle_limit_ns)
			return EXIT_DONE;
		else if (idle_limit_ns) {
			uint64_t left_ns = idle_since_ns + idle_limit_ns - now_ns;
			wait_ns = left_ns < wait_ns ? left_ns : wait_ns;
		}
		*why = "it was told to";
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
	tell_manager("READY=1");
	return rc;
}

static void show_end(const struct cli *cli, const char *why)
{
	tell_manager("STOPPING=1");
	if (cli->json)
		show_json(json_pack("{s:b, s:s}", "serving", 0, "why", why));
	else
		show(BADGE_INFO, "Arbiter ends: %s", why);
}

/* From here on nobody waits for it, and it keeps nobody's folder. */
static void leave_caller(int ready_fd)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	(void)!chdir("/");
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	dup2(null, STDERR_FILENO);
	close(null);
	(void)!write(ready_fd, "", 1);
	close(ready_fd);
}

/* Until it is told to end.  ready_fd: one byte when it serves; -1: nobody waits. */
static enum exit_code arbitrate(const struct cli *cli, int ready_fd)
{
	struct chronos_error e = { 0 };
	uint64_t idle_s = 0;
	const char *why = "";

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
	if (rc == EXIT_DONE && ready_fd >= 0)
		leave_caller(ready_fd);
	if (rc == EXIT_DONE)
		rc = serve(cli, a, signal_fd, idle_s * NS_PER_S, &why);
	chronos_arbiter_close(a);
	close(signal_fd);
	if (rc == EXIT_DONE)
		show_end(cli, why);
	return rc;
}

/* The child's part: its own session, and of the caller's files only those on which it says
 * that it serves, or why it does not. */
static _Noreturn void become_arbiter(const struct cli *cli, int ready_fd)
{
	setsid();
	dup2(ready_fd, READY_FD);
	fcntl(READY_FD, F_SETFD, FD_CLOEXEC);
	close_range(READY_FD + 1, ~0u, 0);
	enum exit_code rc = arbitrate(cli, READY_FD);
	fflush(NULL);
	_exit((int)rc);
}

/* Start it once more, so that it outlives who started it; back when it serves, or ends. */
static enum exit_code start_in_background(const struct cli *cli)
{
	int ready[2], status;
	char byte;

	if (pipe2(ready, O_CLOEXEC) < 0)
		return show_error(cli, "system", "Cannot make a pipe", EXIT_INTERNAL);
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0)
		become_arbiter(cli, ready[1]);
	close(ready[1]);
	ssize_t n = pid > 0 ? read(ready[0], &byte, 1) : -1;
	close(ready[0]);
	if (n == 1)
		return EXIT_DONE;
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return show_error(
			cli, "system", "The arbiter did not start", EXIT_INTERNAL);
	return (enum exit_code)WEXITSTATUS(status);
}

enum exit_code run_arbiter(const struct cli *cli)
{
	return cli->background ? start_in_background(cli) : arbitrate(cli, -1);
}
