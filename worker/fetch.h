/* fetch.h - brings packages from cumulusd: resumed, checked, once however many wait.
 *
 * Thread: loop; the digest is taken on a pool thread.  Survives the loss of the
 * connection: what has come stays, and the rest is asked for on the next one.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <uv.h>

#include "digest.h"
#include "err.h"
#include "list.h"
#include "packages.h"
#include "wire.h"

#define PACKAGE_SIZE_MAX (INT64_C(2) << 30)

struct fetcher;
struct fetch;

/* Somebody who waits for a package; embedded in its user. */
struct fetch_wait {
	struct list link;    /* in fetch's waiters; list_init() before the first use */
	struct fetch *fetch; /* NULL while it waits for nothing */
	/* The package is there (why NULL), or it cannot be had.  ERR_INVALID, ERR_NOT_FOUND:
	 * never; others: trying again may help.  Not called inside fetcher_want(). */
	void (*done)(struct fetch_wait *w, const struct err *why);
};

struct fetcher *fetcher_new(uv_loop_t *loop, struct packages *packages);
/* After its connection is closed.  Waiters are forgotten, not called.  The memory goes once the loop has done its checks;
 * packages must live until then.  NULL is fine. */
void fetcher_close(struct fetcher *f);

/* Wait for a package of this size that is not there yet.  w->done is set by the caller. */
void fetcher_want(
	struct fetcher *f, const struct digest *d, int64_t size, struct fetch_wait *w);
/* Stop waiting; harmless when it does not. */
void fetcher_leave(struct fetch_wait *w);

/* A connection to ask on; NULL when it is lost (after its calls are gone). */
void fetcher_use(struct fetcher *f, struct wire_client *client);
