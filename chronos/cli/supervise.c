/* supervise.c - stays beside a command, and ends it when its partition has ended. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_MS UINT64_C(1000000)

/* It is looked this often whether somebody released or renewed the partition. */
enum { LOOK_MS = 500, GRACE_MS = 10000 };

struct supervised {
	struct chronos *c; /* borrowed */
	const char *id;
	pid_t pid;
	int signal_fd;
	bool kill_at_once;
	bool told;        /* SIGTERM was sent, as the partition has ended */
	uint64_t kill_ns; /* when SIGKILL follows */
};

static uint64_t boot_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000 * NS_PER_MS + (uint64_t)t.tv_nsec;
}

static void end_command(struct supervised *s)
{
	if (s->kill_at_once) {
		show(BADGE_WARNING, "Partition %s has ended: SIGKILL", s->id);
		kill(s->pid, SIGKILL);
	} else {
		show(BADGE_WARNING,
			"Partition %s has ended: SIGTERM, and SIGKILL after %d s", s->id,
			GRACE_MS / 1000);
		kill(s->pid, SIGTERM);
	}
	s->told = true;
	s->kill_ns = boot_ns() + GRACE_MS * NS_PER_MS;
}

/* How long nothing has to be done; what cannot be found out now is looked for again. */
static int look(struct supervised *s)
{
	struct chronos_error e = { 0 };
	struct chronos_partition p;

	if (s->told && boot_ns() >= s->kill_ns) {
		kill(s->pid, SIGKILL);
		return LOOK_MS;
	}
	if (s->told)
		return (int)((s->kill_ns - boot_ns()) / NS_PER_MS) + 1;
	if (chronos_find(s->c, s->id, &p, &e) == 0)
		return p.left_ns < LOOK_MS * NS_PER_MS ? (int)(p.left_ns / NS_PER_MS) + 1
						       : LOOK_MS;
	if (e.code == CHRONOS_NOT_FOUND)
		end_command(s);
	return LOOK_MS;
}

/* What a terminal sends reaches the command by itself; what somebody sends to this process
 * is meant for the command. */
static void pass_on(const struct supervised *s)
{
	struct signalfd_siginfo got;

	while (read(s->signal_fd, &got, sizeof got) == (ssize_t)sizeof got) {
		if (got.ssi_signo != SIGCHLD && got.ssi_code <= SI_USER)
			kill(s->pid, (int)got.ssi_signo);
	}
}

static int wait_for_end(struct supervised *s)
{
	int status;

	for (;;) {
		struct pollfd p = { .fd = s->signal_fd, .events = POLLIN };
		int wait_ms = look(s);

		if (waitpid(s->pid, &status, WNOHANG) == s->pid)
			return status;
		poll(&p, 1, wait_ms);
		pass_on(s);
	}
}

/* Who waits for this program learns how the command ended. */
static enum exit_code end_like(int status)
{
	if (WIFEXITED(status))
		return (enum exit_code)WEXITSTATUS(status);
	signal(WTERMSIG(status), SIG_DFL);
	raise(WTERMSIG(status));
	return (enum exit_code)(128 + WTERMSIG(status));
}

enum exit_code supervise(const struct cli *cli, struct chronos *c,
	const struct chronos_partition *p, bool kill_at_once)
{
	static const int passed[] = { SIGCHLD, SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1,
		SIGUSR2 };
	struct supervised s = { .c = c, .id = p->id, .kill_at_once = kill_at_once };
	sigset_t before, signals;

	sigemptyset(&signals);
	for (size_t i = 0; i < sizeof passed / sizeof *passed; i++)
		sigaddset(&signals, passed[i]);
	sigprocmask(SIG_BLOCK, &signals, &before);
	s.signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	fflush(NULL);
	s.pid = s.signal_fd < 0 ? -1 : fork();
	if (s.pid == 0) {
		sigprocmask(SIG_SETMASK, &before, NULL);
		enum exit_code rc = start_command(cli);
		fflush(NULL);
		_exit((int)rc);
	}
	if (s.pid < 0)
		return show_error(cli, "system", strerror(errno), EXIT_INTERNAL);
	int status = wait_for_end(&s);
	close(s.signal_fd);
	sigprocmask(SIG_SETMASK, &before, NULL);
	return end_like(status);
}
