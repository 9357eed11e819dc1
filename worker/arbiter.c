/* arbiter.c - keeps a `chronos arbiter` at work for this worker's devices. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "arbiter.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "cleanup.h"
#include "clock.h"
#include "log.h"
#include "minder.h"
#include "str.h"
#include "xalloc.h"

#define LOG_NAME  "arbiter.log"
#define LOOK_MS   250      /* at one that another worker has started */
#define STEADY_NS NS_PER_S /* one that lived so long is started again at once */
#define WAIT_MS   1000
/* Seconds without a partition.  One that no worker tells to end goes by itself; a worker
 * that is there starts the next. */
#define IDLE_EXIT "30"

struct arbiter {
	struct arbiter_config config;
	char *program;
	char *chronos_dir;
	struct minder *minder; /* NULL: none of ours runs */
	pid_t pid;
	int64_t began_ns;
	bool failing; /* that was said */
	uv_timer_t timer;
};

static void look(uv_timer_t *t);

static void look_in(struct arbiter *a, uint64_t ms)
{
	uv_timer_start(&a->timer, look, ms, 0);
}

static void on_ended(void *user, int status)
{
	struct arbiter *a = user;
	bool steady = clock_boot_ns() - a->began_ns >= STEADY_NS;
	char how[64];

	a->minder = NULL;
	str_put(how, sizeof(how), WIFSIGNALED(status) ? "signal %d" : "status %d",
		WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	if (status != 0 && (steady || !a->failing))
		log_warn("the arbiter ended", "with", how, "log", LOG_NAME, NULL);
	a->failing = !steady;
	look_in(a, steady ? 0 : WAIT_MS);
}

static int start(struct arbiter *a, struct err *e)
{
	const char *const argv[] = { a->program, "arbiter", "--idle-exit", IDLE_EXIT,
		a->chronos_dir ? "--dir" : NULL, a->chronos_dir, NULL };
	static const char *const envp[] = { "PATH=/usr/bin:/bin", "LANG=C.UTF-8", NULL };
	CLEANUP(close_fd)
	int log_fd = openat(a->config.log_dir, LOG_NAME,
		O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	const struct child_program how = { argv, envp, log_fd, true };
	struct child child;

	if (log_fd < 0)
		return err_sys(e, "create " LOG_NAME);
	if (child_start(&how, &child, e) < 0)
		return -1;
	a->pid = child.pid;
	a->minder = minder_new(a->config.loop, &child, on_ended, a);
	return 0;
}

static void look(uv_timer_t *t)
{
	struct arbiter *a = t->data;
	struct err e;

	if (chronos_arbiter_serves(a->config.chronos)) {
		look_in(a, LOOK_MS);
		return;
	}
	a->began_ns = clock_boot_ns();
	if (start(a, &e) == 0)
		return;
	if (!a->failing)
		log_error("the arbiter cannot be started", "why", e.text, NULL);
	a->failing = true;
	look_in(a, WAIT_MS);
}

struct arbiter *arbiter_new(const struct arbiter_config *config)
{
	struct arbiter *a = xcalloc(1, sizeof(*a));

	a->config = *config;
	a->program = xstrdup(config->program);
	a->chronos_dir = config->chronos_dir ? xstrdup(config->chronos_dir) : NULL;
	uv_timer_init(config->loop, &a->timer);
	a->timer.data = a;
	look(&a->timer);
	return a;
}

static void on_closed(uv_handle_t *h)
{
	struct arbiter *a = h->data;

	free(a->program);
	free(a->chronos_dir);
	free(a);
}

void arbiter_close(struct arbiter *a, bool end)
{
	if (!a)
		return;
	/* Not reaped yet, so the pid is its own. */
	if (a->minder && end)
		kill(a->pid, SIGTERM);
	minder_close(a->minder);
	uv_close((uv_handle_t *)&a->timer, on_closed);
}
