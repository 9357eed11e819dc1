/* workers.h - the service that workers dial: control, packages down, output up.
 *
 * Thread: loop.  Serves proto/worker.proto.  What workers say goes into the core, what the
 * core commands goes to them; a command for a worker that is not there is dropped, since
 * its next Hello makes the core say it again.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "engine.h"
#include "relay.h"
#include "wire.h"

struct workers;

struct workers_config {
	struct relay *relay;
	const struct engine *engine;
	const char *cluster_id; /* borrowed, as is all here */
	uint64_t epoch;
	int32_t setup_limit_s;
	int32_t grace_s;
	/* Limits of a run whose submission names none; 0 = the worker's default. */
	int64_t memory_bytes, disk_bytes, output_bytes, result_bytes;
	int32_t pids;
};

/* Adds its methods to the server and takes the relay's commands. */
struct workers *workers_new(
	struct wire_server *server, const struct workers_config *config);
/* Later runs get these limits of runs, set-up time and grace; the rest is not looked at. */
void workers_set_limits(struct workers *w, const struct workers_config *from);
/* After the server is closed.  NULL is fine. */
void workers_free(struct workers *w);

/* Tell all workers to stop their runs and to end, also those that dial from now on. */
void workers_shut_down(struct workers *w);
struct worker_figures { /* see Figures in proto/worker.proto */
	int64_t environments, environment_bytes;
	int64_t built, refused, broken, reused;
	int64_t package_bytes;
};
/* What a worker that is here said last; false: nothing, or it is not. */
bool workers_figures(
	const struct workers *w, const char *worker, struct worker_figures *out);
/* How many streams are open. */
size_t workers_connected(const struct workers *w);
/* Call when the last stream is over. */
void workers_when_gone(struct workers *w, void (*gone)(void *ctx), void *ctx);
