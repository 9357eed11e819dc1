/* minder.c - waits for the end of one child process. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "minder.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "xalloc.h"

struct minder {
	uv_poll_t poll;
	struct child child;
	minder_exited exited;
	void *user;
};

static void on_readable(uv_poll_t *poll, int status, int events)
{
	struct minder *m = poll->data;
	int how = 0;

	(void)status;
	(void)events;
	/* A pidfd is readable for a zombie; WNOHANG for a poll that woke without one. */
	if (waitpid(m->child.pid, &how, WNOHANG) != m->child.pid)
		return;

	minder_exited exited = m->exited;
	void *user = m->user;
	minder_close(m);
	exited(user, how);
}

struct minder *minder_new(
	uv_loop_t *loop, const struct child *child, minder_exited exited, void *user)
{
	struct minder *m = xcalloc(1, sizeof(*m));

	m->child = *child;
	m->exited = exited;
	m->user = user;
	m->poll.data = m;
	uv_poll_init(loop, &m->poll, child->pidfd);
	uv_poll_start(&m->poll, UV_READABLE, on_readable);
	return m;
}

static void on_closed(uv_handle_t *h)
{
	struct minder *m = h->data;

	close(m->child.pidfd);
	free(m);
}

void minder_close(struct minder *m)
{
	if (m)
		uv_close((uv_handle_t *)&m->poll, on_closed);
}
