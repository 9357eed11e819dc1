/* watch.c - tells when something in a folder changes. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "watch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "log.h"
#include "str.h"
#include "xalloc.h"

#define EVENTS (IN_CREATE | IN_MODIFY | IN_MOVED_TO | IN_ONLYDIR)

struct watcher {
	uv_poll_t poll;
	int fd;
	struct table table; /* watch by wd */
};

static void tell_all(struct watcher *w)
{
	size_t n = 0;
	int *wds = xcalloc(w->table.count + 1, sizeof(*wds));

	/* A callback may stop watches: walk over a copy of their numbers. */
	for (struct table_entry *it = NULL; (it = table_next(&w->table, it));)
		wds[n++] = table_value(it, struct watch, by_wd)->wd;
	for (size_t i = 0; i < n; i++) {
		struct table_entry *it = table_find(&w->table, &wds[i], sizeof(wds[i]));
		struct watch *watch = it ? table_value(it, struct watch, by_wd) : NULL;

		if (watch)
			watch->changed(watch, NULL);
	}
	free(wds);
}

static void tell(struct watcher *w, const struct inotify_event *ev)
{
	struct table_entry *it = table_find(&w->table, &ev->wd, sizeof(ev->wd));
	struct watch *watch = it ? table_value(it, struct watch, by_wd) : NULL;

	if (ev->mask & IN_Q_OVERFLOW)
		tell_all(w);
	else if (watch && ev->len)
		watch->changed(watch, ev->name);
}

static void on_events(uv_poll_t *poll, int status, int events)
{
	struct watcher *w = poll->data;
	_Alignas(struct inotify_event) char bytes[16384];
	ssize_t n;

	(void)events;
	if (status < 0) {
		log_error("inotify", "why", uv_strerror(status), NULL);
		return;
	}
	/* One read per turn: others want the loop too, and the poll is level-triggered. */
	n = read(w->fd, bytes, sizeof(bytes));
	for (ssize_t at = 0; at < n;) {
		const struct inotify_event *ev = (const void *)(bytes + at);

		at += (ssize_t)(sizeof(*ev) + ev->len);
		tell(w, ev);
	}
}

struct watcher *watcher_new(uv_loop_t *loop, struct err *e)
{
	int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

	if (fd < 0) {
		err_sys(e, "inotify");
		return NULL;
	}

	struct watcher *w = xcalloc(1, sizeof(*w));
	w->fd = fd;
	w->poll.data = w;
	uv_poll_init(loop, &w->poll, fd);
	uv_poll_start(&w->poll, UV_READABLE, on_events);
	return w;
}

static void on_closed(uv_handle_t *h)
{
	struct watcher *w = h->data;

	close(w->fd);
	table_fini(&w->table);
	free(w);
}

void watcher_close(struct watcher *w)
{
	if (!w)
		return;
	for (struct table_entry *it; (it = table_next(&w->table, NULL));)
		watch_stop(table_value(it, struct watch, by_wd));
	uv_close((uv_handle_t *)&w->poll, on_closed);
}

int watch_start(struct watch *w, struct watcher *watcher, int dirfd, struct err *e)
{
	char path[64];

	str_put(path, sizeof(path), "/proc/self/fd/%d", dirfd);
	w->wd = inotify_add_watch(watcher->fd, path, EVENTS);
	if (w->wd < 0)
		return err_sys(e, "watch a run folder");
	w->watcher = watcher;
	table_add(&watcher->table, &w->by_wd, &w->wd, sizeof(w->wd));
	return 0;
}

void watch_stop(struct watch *w)
{
	if (!w->watcher)
		return;
	table_remove(&w->watcher->table, &w->by_wd);
	/* Fails where the folder is gone already, and then there is nothing to undo. */
	inotify_rm_watch(w->watcher->fd, w->wd);
	w->watcher = NULL;
}
