/* output.h - cumulusd's own copy of what each run prints: one append-only file per attempt.
 *
 * Thread: loop, but for wake(), which the file worker (a thread named "files") calls.
 * Questions are served in the order in which they were asked; output_deliver() calls
 * their callbacks on the loop in that order.
 *
 * D/orchestrator/output/<job>.<attempt> is a verbatim copy of the run folder's file: the
 * bytes are opaque here, but positions continue exactly, and after a crash a torn tail is
 * cut back to whole frames.  Only output_sync() promises durability.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "digest.h"
#include "err.h"

#define OUTPUT_APPEND_MAX (1024 * 1024) /* bytes in one append */
#define OUTPUT_READ_MAX   (256 * 1024)  /* bytes in one answer */

struct output;

struct output_config {
	/* D/orchestrator, borrowed for the call; output/ is made in it. */
	int dirfd;

	/* How many of these bytes, which start at a frame's start, are whole, sound frames;
	 * 0: not even one.  A frame must be shorter than OUTPUT_READ_MAX.  NULL: any byte
	 * is as good as a frame.  *data: what they hold without their headers.  Called on the
	 * worker's thread; must be pure. */
	size_t (*whole_frames)(const uint8_t *bytes, size_t len, size_t *data);

	int64_t file_bytes_max; /* one attempt's file; 0 = 1 TiB, what an offset can say */
	uint32_t open_files_max; /* 0 = 256 */

	void *ctx;
	/* From the worker's thread: there is something to deliver. Must not block. */
	void (*wake)(void *ctx);
	/* A file failed in a way that makes it untrustworthy (EIO, failed fsync).  Once, on
	 * the loop; nothing is delivered after it.  The daemon exits. */
	void (*on_failed)(void *ctx, const struct err *why);
};

/* Makes the folder if need be and starts the worker. */
struct output *output_open(const struct output_config *config, struct err *e) MUST_CHECK;

/* Do all that was asked, join the worker; output_deliver() then gives out the rest. */
void output_stop(struct output *o);
/* Stop if need be, and free.  What was not delivered is dropped.  NULL is fine. */
void output_close(struct output *o);

/* Call what has come back.  The callbacks may ask again, but not stop or close. */
void output_deliver(struct output *o);

/* Where the file ends now.  failed: NULL, or ERR_EXHAUSTED when the disk or the file's
 * limit is full: nothing was added, ask the worker to send again from `end` later;
 * ERR_INVALID when job or attempt are none; ERR_SYSTEM when this file cannot be opened. */
typedef void output_on_end(void *ctx, int64_t end, const struct err *failed);

/* Add bytes (taken; malloc'ed, at most OUTPUT_APPEND_MAX) that belong at this position.
 * What is there already is left out; a position past the end adds nothing: the answer's
 * `end` says from where to send again.  Makes the file when it is absent. */
void output_append(struct output *o, const char *job, int32_t attempt, int64_t position,
	uint8_t *bytes, size_t len, output_on_end *on_end, void *ctx);

/* As above, answered when everything up to `end` is durable.  Cheap when it is already.
 * An absent file is an empty one: end = 0. */
void output_sync(struct output *o, const char *job, int32_t attempt,
	output_on_end *on_end, void *ctx);

/* Up to max (cut to OUTPUT_READ_MAX) bytes from a position, which are borrowed for the
 * callback; fewer only at the end, none at or past it.  The last frame may be cut: read
 * on from its start.  An absent file is an empty one. */
typedef void output_on_bytes(void *ctx, const uint8_t *bytes, size_t len, int64_t end,
	const struct err *failed);
void output_read(struct output *o, const char *job, int32_t attempt, int64_t position,
	size_t max, output_on_bytes *on_bytes, void *ctx);

/* Remove the files of attempts 1 .. attempts.  Absent is fine. */
typedef void output_on_removed(void *ctx, const struct err *failed);
void output_remove(struct output *o, const char *job, int32_t attempts,
	output_on_removed *on_removed, void *ctx);

/* The end of this file as last delivered on the loop, from memory; -1: nothing was
 * appended to, synced or read from it lately. */
int64_t output_end(const struct output *o, const char *job, int32_t attempt);

/* What the file holds up to there without the headers of its frames; 0 when unknown. */
int64_t output_data(const struct output *o, const char *job, int32_t attempt);

/* Bytes of appends not delivered yet: past a bound of its own choice the caller stops
 * reading from workers. */
size_t output_queued_bytes(const struct output *o);
