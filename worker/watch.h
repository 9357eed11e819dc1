/* watch.h - tells when something in a folder changes.
 *
 * Thread: loop.  One inotify instance for all folders.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <uv.h>

#include "err.h"
#include "table.h"

struct watcher;

struct watch { /* embedded in its user; zeroed is unused */
	struct table_entry by_wd;
	struct watcher *watcher; /* NULL while unused */
	int wd;
	/* name changed in the folder; NULL: something, look at everything. */
	void (*changed)(struct watch *w, const char *name);
};

struct watcher *watcher_new(uv_loop_t *loop, struct err *e) MUST_CHECK;
/* All watches are unused then.  The memory goes when the loop has run once more. */
void watcher_close(struct watcher *w);

/* w->changed is set by the caller.  What happened before is not told: look once after. */
int watch_start(
	struct watch *w, struct watcher *watcher, int dirfd, struct err *e) MUST_CHECK;
void watch_stop(struct watch *w);
