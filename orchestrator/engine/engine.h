/* engine.h - how a run gets onto a worker, and which workers there are.
 *
 * Thread: loop.  All engines share the worker's one stream (workers.h); what differs is
 * how workers are found and what has to happen beside the stream for a run to start.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "err.h"

struct engine {
	const char *name; /* local */
	void *ctx;

	/* Is the engine itself reachable?  A local one always is. */
	bool (*is_connected)(void *ctx);
	/* Does a run need a ticket beside its Start (proto/worker.proto)? */
	bool needs_tickets;
	/* Make sure that run (job, attempt) may live on this worker, or take that away.
	 * Idempotent by (job, attempt).  NULL where nothing is needed. */
	int (*bring)(void *ctx, const char *worker, const char *job, int32_t attempt,
		struct err *e);
	void (*take_away)(void *ctx, const char *job, int32_t attempt);
};

/* This machine is the worker. */
extern const struct engine engine_local;
