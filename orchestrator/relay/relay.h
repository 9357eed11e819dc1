/* relay.h - where the pure core meets the world: it feeds inputs in and carries effects out.
 *
 * Thread: loop.  Owns the core, the store, the output files and the uploads.  Records go to the store,
 * answers to whoever asked, commands to the engine, wake-ups to watchers.  It decides
 * nothing.
 *
 * Whoever calls a core_ function on relay_core() calls relay_turn() right after it.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <uv.h>

#include "core.h"
#include "err.h"
#include "list.h"
#include "output.h"
#include "store.h"
#include "tally.h"
#include "upload.h"

struct relay;

/* Who brings commands to workers; filled in by the engine. */
struct relay_commands {
	void *ctx;
	/* WELCOME, STOP, COMMITTED and FORGET; borrowed for the call. */
	void (*command)(void *ctx, const struct effect *effect);
	/* START, with what the store keeps for it; both borrowed. */
	void (*start)(
		void *ctx, const struct effect *effect, const struct store_spec *spec);
};

struct relay_config {
	uv_loop_t *loop;
	const char *folder; /* D/orchestrator */
	int folder_fd;
	struct core_config core; /* cluster_id is filled in from the store */
	struct store_config store;
	int64_t output_bytes_max; /* of one attempt */
	/* Is an uploaded file a package?  See uploads_config. */
	int (*package_check)(int fd, int64_t size, struct err *e);
	/* The disk or the file cannot be trusted: end the process; nothing untold is lost. */
	void (*on_failed)(void *ctx, const struct err *why);
	void *ctx;
};

/* Open the store, restore the core from it, start the threads. */
struct relay *relay_open(const struct relay_config *config, struct err *e) MUST_CHECK;
/* Commit all that is under way and close.  No callback is made any more.  NULL is fine. */
void relay_close(struct relay *relay);

void relay_set_commands(struct relay *relay, const struct relay_commands *commands);

struct core *relay_core(struct relay *relay);
struct store *relay_store(struct relay *relay);
struct output *relay_output(struct relay *relay);
struct uploads *relay_uploads(struct relay *relay);
const struct tally *relay_tally(const struct relay *relay);
const struct core_time *relay_now(struct relay *relay); /* of this turn of the loop */
/* Carry out what the last input left. */
void relay_turn(struct relay *relay);

/* ---- requests: on_answer is called exactly once, unless the relay closes first */

typedef void relay_on_answer(void *ctx, const struct effect *answer);
/* A checked submission, which is taken. */
void relay_submit(
	struct relay *relay, struct submission *s, relay_on_answer *on_answer, void *ctx);
void relay_cancel(
	struct relay *relay, const char *job, relay_on_answer *on_answer, void *ctx);
/* What an operator decides of a worker; see core_wish_worker(). */
void relay_wish_worker(struct relay *relay, const char *worker, enum worker_wish wish,
	relay_on_answer *on_answer, void *ctx);
/* Once record `number` is committed. */
void relay_await(
	struct relay *relay, uint64_t number, relay_on_answer *on_answer, void *ctx);

/* ---- reports and output of runs */

/* core_report(), and for *ended* the sync of the output that it waits for. */
void relay_report(struct relay *relay, const struct core_report *r);
/* Append output of a run (bytes are taken) and wake its watchers. */
void relay_output_append(struct relay *relay, const char *job, int32_t attempt,
	int64_t position, uint8_t *bytes, size_t len, output_on_end *on_end, void *ctx);

/* No more output comes for now: tell the core how much is durable, in case no report ever
 * says where it ends. */
void relay_output_settle(struct relay *relay, const char *job, int32_t attempt);

/* ---- watchers */

struct audience;

struct relay_watch {               /* embedded by the watcher */
	struct audience *audience; /* NULL = watches nothing */
	struct list link;
	void *ctx;
	void (*wake)(void *ctx); /* something of the job may be new; called in any turn */
};

size_t relay_watchers(const struct relay *relay); /* how many there are */
void relay_watch(struct relay *relay, const char *job, struct relay_watch *w);
/* Harmless for one that is zeroed or watches nothing. */
void relay_unwatch(struct relay_watch *w);
