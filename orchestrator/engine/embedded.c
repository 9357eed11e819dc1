/* embedded.c - starts this machine's worker and keeps it running. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "embedded.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "file.h"
#include "log.h"
#include "str.h"
#include "wire.h"

#define IDLE_END_S   "30"
#define EXIT_CONFIG  2
#define PAUSE_MS     100
#define PAUSE_MAX_MS 30000
#define STEADY_MS    5000 /* a worker that lived so long has not failed at its start */
#define FAILURES_MAX 6    /* starts that fail while there is no cumulusd to serve */
#define GO_FD        4
#define LOCK_FD      3 /* of the keeper: D/worker/keeper */

/* The lock's descriptor, -1 when somebody has it (*held) or on failure. */
static int try_lock(int dir, const char *name, bool *held, struct err *e)
{
	int fd = lock_file(dir, name, e);

	*held = fd < 0 && e->code == ERR_CONFLICT;
	return fd;
}

/* Take D/worker/keeper.  *running: a keeper has it, and so a worker at least soon; or there
 * is a worker without a keeper. */
static int lock_keeper(int data_dir, bool *running, struct err *e)
{
	CLEANUP(close_fd) int dir = dir_open(data_dir, "worker", 0700, e);

	if (dir < 0)
		return -1;

	CLEANUP(close_fd) int keeper = try_lock(dir, "keeper", running, e);
	if (keeper < 0)
		return -1;
	CLEANUP(close_fd) int worker = try_lock(dir, "lock", running, e);
	return worker < 0 ? -1 : take_fd(&keeper);
}

static pid_t spawn(const struct embedded_worker *w)
{
	const char *argv[] = { w->program, "--connect", NULL, "--data", w->data,
		"--devices", w->devices, "--exit-when-idle", IDLE_END_S, "--log-level",
		w->log_level, w->log_json ? "--log-json" : "--log-json=no",
		w->log_file ? "--log-file" : NULL, w->log_file, NULL };
	CLEANUP(free_ptr) char *address = str_fmt("unix:%s", w->socket);
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	argv[2] = address;
	execv(w->program, (char *const *)argv);
	_exit(EXIT_CONFIG);
}

/* Wait for the worker; SIGTERM to the keeper goes on to it and ends both. */
static volatile sig_atomic_t stopping;
static volatile sig_atomic_t worker_pid;

static void pass_on(int signal)
{
	stopping = 1;
	if (worker_pid > 0)
		kill((pid_t)worker_pid, signal);
}

static int wait_for(pid_t pid)
{
	int status = 0;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -1;
	return status;
}

static void pause_ms(int64_t ms)
{
	nanosleep(
		&(struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 },
		NULL);
}

/* Never returns.  A clean end or a bad configuration is not repeated; a crash is, after a
 * pause that doubles while the worker fails early: for ever while there is a cumulusd, else
 * until it is plain that it cannot be started.  The next cumulusd starts another keeper. */
static void keep(const struct embedded_worker *w)
{
	unsigned failures = 0;

	while (!stopping) {
		int64_t began = clock_boot_ns();
		pid_t pid = spawn(w);

		if (pid < 0) {
			log_error("worker cannot be started", NULL);
			_exit(1);
		}
		worker_pid = pid;
		if (stopping)
			kill(pid, SIGTERM);

		int status = wait_for(pid);
		worker_pid = 0;
		if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
			_exit(0);
		if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_CONFIG) {
			log_error("worker refused its settings and is not started again",
				NULL);
			_exit(1);
		}
		if (clock_boot_ns() - began > STEADY_MS * NS_PER_MS)
			failures = 0;
		if (++failures >= FAILURES_MAX && !wire_is_listening_unix(w->socket)) {
			log_error("worker cannot be started, and nobody wants it", NULL);
			_exit(1);
		}

		int64_t ms = PAUSE_MS << (failures < 10 ? failures - 1 : 9);
		CLEANUP(free_ptr)
		char *why = WIFSIGNALED(status) ? str_fmt("signal %d", WTERMSIG(status))
						: str_fmt("exit %d", WEXITSTATUS(status));
		CLEANUP(free_ptr) char *after = str_fmt("%" PRId64, ms);
		log_warn("worker died and is started again", "why", why, "after_ms",
			after, NULL);
		if (!stopping)
			pause_ms(ms < PAUSE_MAX_MS ? ms : PAUSE_MAX_MS);
	}
	_exit(0);
}

/* Show people what this process is, and of which folder: its arguments are still
 * cumulusd's.  What does not fit into their room is cut. */
static void write_name(const struct embedded_worker *w)
{
	const char *const words[] = { "cumulus-keeper", "--data", w->data };
	char *at = w->argv[0];
	char *end = at;

	assert(at); /* the kernel gives every program a name */
	for (char **a = w->argv; *a; a++)
		end = *a + strlen(*a);
	memset(at, 0, (size_t)(end - at));
	for (size_t i = 0; i < 3 && at < end; i++) {
		str_put(at, (size_t)(end - at) + 1, "%s", words[i]);
		at += strlen(at) + 1;
	}
	prctl(PR_SET_NAME, "cumulus-keeper");
}

static void become_keeper(const struct embedded_worker *w, int lock, int go)
{
	struct sigaction act = { .sa_handler = pass_on };
	int kept = fcntl(go, F_DUPFD_CLOEXEC, GO_FD + 1);

	/* Not ours any more: the lock of D/orchestrator above all, which would outlive us. */
	if (kept < 0 || (lock != LOCK_FD && dup3(lock, LOCK_FD, O_CLOEXEC) < 0) ||
		dup3(kept, GO_FD, O_CLOEXEC) < 0)
		_exit(1);
	close_range(GO_FD + 1, ~0U, 0);
	/* stderr stays: it is the log.  A reader of our stdout must see its end with us. */
	CLEANUP(close_fd) int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0)
		_exit(1);
	setsid();
	write_name(w);
	sigaction(SIGTERM, &act, NULL);
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
}

/* Its end without a word: cumulusd could not start, and needs no worker. */
static void wait_for_go(void)
{
	char word;
	ssize_t n;

	do
		n = read(GO_FD, &word, 1);
	while (n < 0 && errno == EINTR && !stopping);
	if (n != 1)
		_exit(0);
	/* It stays open: its end is how cumulusd sees ours. */
}

static int fork_keeper(const struct embedded_worker *w, int lock, int go, struct err *e)
{
	/* Twice, so that the keeper is nobody's zombie when cumulusd ends or execs. */
	pid_t pid = fork();

	if (pid < 0)
		return err_sys(e, "fork the worker's keeper");
	if (pid == 0) {
		pid_t keeper = fork();

		if (keeper != 0)
			_exit(keeper < 0);
		become_keeper(w, lock, go);
		wait_for_go();
		keep(w);
	}
	if (wait_for(pid) != 0)
		return err_set(e, ERR_SYSTEM, "fork the worker's keeper");
	return 0;
}

int embedded_start(const struct embedded_worker *w, int *go, struct err *e)
{
	bool running = false;
	CLEANUP(close_fd) int lock = lock_keeper(w->data_dir, &running, e);
	int pipe_ends[2];

	if (lock < 0 && !running)
		return err_wrap(e, "look at the worker's locks");
	*go = -1;
	if (running)
		return 0;
	if (pipe2(pipe_ends, O_CLOEXEC) < 0)
		return err_sys(e, "pipe");

	CLEANUP(close_fd) int for_keeper = pipe_ends[0];
	CLEANUP(close_fd) int ours = pipe_ends[1];
	if (fork_keeper(w, lock, for_keeper, e) < 0)
		return -1;
	*go = take_fd(&ours);
	return 0;
}

void embedded_go(int *go)
{
	/* A keeper that died meanwhile needs no word; the next start makes another. */
	if (*go >= 0 && write(*go, "", 1) < 0) {
		log_warn("the worker's keeper is gone", NULL);
		close_fd(go);
	}
}

bool embedded_is_gone(int go)
{
	struct pollfd p = { .fd = go };

	/* Nobody can read any more. */
	return go < 0 || (poll(&p, 1, 0) == 1 && p.revents & POLLERR);
}
