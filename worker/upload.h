/* upload.h - sends a run's output to cumulusd, on a stream of its own.
 *
 * Thread: loop.  A stream is opened when there is output, and ended when the run is over
 * and cumulusd has all of it on disk.  A stream that fails is opened again and goes on from
 * what is on disk there.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "list.h"
#include "tail.h"
#include "wire.h"

struct uploads;
struct upload_call;

struct upload { /* embedded in its run */
	struct uploads *owner;
	const char *job; /* borrowed from the run */
	int32_t attempt;
	struct tail tail;
	struct upload_call *call; /* NULL: none is open */
	struct list later;        /* in owner's list while it waits for due_ms */
	uint64_t due_ms;
	bool live; /* cumulusd knows the run on this connection */
	/* Up to where may output go, given that the file ends at `end`?  Looks at the log
	 * after `end` was read, so that nothing of behind *started* passes for before it. */
	int64_t (*limit)(struct upload *u, int64_t end);
	/* Will no more output come? */
	bool (*over)(struct upload *u);
};

struct uploads *uploads_new(uv_loop_t *loop);
/* After every upload's fini.  The memory goes when the loop has run once more. */
void uploads_close(struct uploads *u);
/* The connection to send on; NULL when it is lost, after its calls are gone. */
void uploads_use(struct uploads *u, struct wire_client *client);

/* limit and over are set by the caller. */
void upload_init(struct upload *u, struct uploads *owner, const char *job,
	int32_t attempt, int dirfd);
void upload_fini(struct upload *u);
/* cumulusd knows the run on this connection and has so much of its output. */
void upload_begin(struct upload *u, int64_t durable);
/* The connection is lost. */
void upload_stop(struct upload *u);
/* Something may have changed: the file, the limit, whether it is over. */
void upload_poke(struct upload *u);
