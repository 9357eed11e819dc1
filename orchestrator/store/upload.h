/* upload.h - packages that come in pieces, under their name only once they are whole.
 *
 * Thread: loop, but for wake(), which the worker (a thread named "uploads") calls.  It has
 * a thread of its own since hashing and syncing 2 GiB must not hold up anybody's output.
 *
 * The pieces grow D/orchestrator/packages/<hex>.part, which survives a restart, so that an
 * upload goes on where it stopped; the last one checks the SHA-256, syncs and renames.
 * Then store_add_package() makes the package known.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "digest.h"
#include "err.h"

#define UPLOAD_PIECE_MAX (1024 * 1024)

struct uploads;

struct uploads_config {
	/* D/orchestrator, borrowed for the call; packages/ is made in it. */
	int dirfd;
	void *ctx;
	/* From the worker's thread: there is something to deliver. Must not block. */
	void (*wake)(void *ctx);
	/* A file cannot be trusted (EIO, failed fsync).  Once, on the loop; the daemon
	 * exits. */
	void (*on_failed)(void *ctx, const struct err *why);
	/* From the worker's thread: is this whole file a package?  ERR_INVALID when it is
	 * none; then it is removed.  Any other error fails the worker.  NULL: whatever has
	 * the right digest is. */
	int (*check)(int fd, int64_t size, struct err *e);
};

struct uploads *uploads_open(
	const struct uploads_config *config, struct err *e) MUST_CHECK;
struct upload_stats { /* since the start, by what was delivered */
	uint64_t bytes, packages, refused;
};
struct upload_stats uploads_stats(const struct uploads *u);
/* Call what has come back.  The callbacks may ask again, but not close. */
void uploads_deliver(struct uploads *u);
/* Do all that was asked and join the worker; uploads_deliver() gives out the rest. */
void uploads_stop(struct uploads *u);
/* Stop if need be, and free.  What was not delivered is dropped.  NULL is fine. */
void uploads_close(struct uploads *u);

/* How far the file is: at `end` = size it is complete and stands durably under its name.
 * failed: ERR_EXHAUSTED, the disk is full and nothing was added; ERR_INVALID, more bytes
 * than the stated size, or all are there and have another SHA-256 or are no package: then
 * the partial file is gone. */
typedef void upload_on_end(void *ctx, int64_t end, const struct err *failed);

/* Add bytes (taken; malloc'ed, at most UPLOAD_PIECE_MAX; NULL and 0 ask how far it is) at
 * an offset.  What is there already is left out; an offset past the end adds nothing.
 * The caller has checked size against its limit. */
void upload_append(struct uploads *u, const struct digest *digest, int64_t size,
	int64_t offset, uint8_t *bytes, size_t len, upload_on_end *on_end, void *ctx);

/* Look into the file of a complete package on the worker's thread.  look() gets it open for
 * reading and appends what it found; ERR_NOT_FOUND when there is no such file. */
typedef int upload_look_at(int fd, int64_t size, struct buf *found, struct err *e);
typedef void upload_on_seen(void *ctx, const struct buf *found, const struct err *failed);
void upload_look(struct uploads *u, const struct digest *digest, upload_look_at *look,
	upload_on_seen *on_seen, void *ctx);
