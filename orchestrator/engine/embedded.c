/* embedded.c - starts this machine's worker and keeps it running. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "embedded.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
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

#define IDLE_END_S  "30"
#define EXIT_CONFIG 2
#define PAUSE_MAX_S 30
#define STEADY_S    60 /* a worker that lived so long has not failed at its start */

/* Does somebody hold D/worker/lock? */
static int is_running(int data_dir, bool *running, struct err *e)
{
	struct err held = { 0 };
	CLEANUP(close_fd) int dir = dir_open(data_dir, "worker", 0700, e);

	if (dir < 0)
		return -1;

	CLEANUP(close_fd) int lock = lock_file(dir, "lock", &held);
	*running = lock < 0 && held.code == ERR_CONFLICT;
	if (lock < 0 && !*running) {
		*e = held;
		return -1;
	}
	return 0;
}

static pid_t spawn(const struct embedded_worker *w)
{
	const char *argv[] = { w->program, "--connect", NULL, "--data", w->data,
		"--devices", w->devices, "--exit-when-idle", IDLE_END_S, "--log-level",
		w->log_level, w->log_json ? "--log-json" : NULL, NULL };
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

/* Is there still a cumulusd that wants this worker?  Its lock names its pid. */
static bool is_wanted(const struct embedded_worker *w)
{
	CLEANUP(free_ptr) char *path = str_fmt("%s/orchestrator/lock", w->data);
	CLEANUP(buf_fini) struct buf text = { 0 };
	uint64_t pid;

	if (file_read(AT_FDCWD, path, 32, &text, NULL) < 0)
		return false;
	buf_add(&text, "", 1);
	text.data[strcspn((char *)text.data, "\n")] = '\0';
	return parse_u64((char *)text.data, 2, INT32_MAX, &pid, NULL) == 0 &&
	       (kill((pid_t)pid, 0) == 0 || errno == EPERM);
}

/* Never returns.  A clean end or a bad configuration is not repeated; a crash is, after a
 * pause that doubles while the worker fails early. */
static void keep(const struct embedded_worker *w)
{
	unsigned pause_s = 1;

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
		if (clock_boot_ns() - began > STEADY_S * NS_PER_S)
			pause_s = 1;
		else if (!is_wanted(w))
			_exit(1); /* it fails at its start, and nobody waits for it */

		CLEANUP(free_ptr)
		char *why = WIFSIGNALED(status) ? str_fmt("signal %d", WTERMSIG(status))
						: str_fmt("exit %d", WEXITSTATUS(status));
		CLEANUP(free_ptr) char *seconds = str_fmt("%u", pause_s);
		log_warn("worker died and is started again", "why", why, "after_s",
			seconds, NULL);
		if (!stopping)
			sleep(pause_s);
		pause_s = pause_s * 2 > PAUSE_MAX_S ? PAUSE_MAX_S : pause_s * 2;
	}
	_exit(0);
}

static void become_keeper(void)
{
	struct sigaction act = { .sa_handler = pass_on };

	/* Not ours any more: the lock of D/orchestrator above all, which would outlive us. */
	close_range(3, ~0U, 0);
	/* stderr stays: it is the log.  A reader of our stdout must see its end with us. */
	CLEANUP(close_fd) int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0)
		_exit(1);
	setsid();
	prctl(PR_SET_NAME, "cumulus-keeper");
	sigaction(SIGTERM, &act, NULL);
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
}

int embedded_start(const struct embedded_worker *w, bool *started, struct err *e)
{
	bool running = false;

	if (is_running(w->data_dir, &running, e) < 0)
		return err_wrap(e, "look at the worker's lock");
	*started = !running;
	if (running)
		return 0;

	/* Twice, so that the keeper is nobody's zombie when cumulusd ends or execs. */
	pid_t pid = fork();
	if (pid < 0)
		return err_sys(e, "fork the worker's keeper");
	if (pid == 0) {
		pid_t keeper = fork();

		if (keeper != 0)
			_exit(keeper < 0);
		become_keeper();
		keep(w);
	}
	if (wait_for(pid) != 0)
		return err_set(e, ERR_SYSTEM, "fork the worker's keeper");
	return 0;
}
