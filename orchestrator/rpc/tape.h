/* tape.h - reads a job's output in order, attempt after attempt, in pieces fit to send.
 *
 * Thread: loop.  Holds at most one slice of the file; asks for the next one when told.  All
 * tapes of a shelf together hold few: the one that was used longest ago loses its slice
 * and reads it again when its reader goes on, so that who lags costs no memory.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "buf.h"
#include "frame.h"
#include "list.h"
#include "relay.h"
#include "job.h"

#define TAPE_PIECE_MAX                                                                   \
	(64 * 1024) /* bytes of data in one piece, or one frame's if more */

#define TAPE_PIECE_NS                                                                    \
	(10 * 1000 *                                                                     \
		1000) /* of time in one piece, so that its time is true of all of it */

#define TAPE_SLICES_MAX 64 /* in memory, of one shelf */

struct tape_shelf {
	struct list slices; /* the one used latest is the last */
	size_t count;
};

void tape_shelf_init(struct tape_shelf *shelf);

struct tape_slice; /* opaque */

struct tape {
	struct relay *relay;
	struct tape_shelf *shelf;
	struct tape_slice *slice; /* what was read of the file; NULL: nothing */
	int64_t at;               /* absolute offset of the next frame */
	int64_t asked_limit;      /* of the last tape_fill() */
	int64_t dry_end; /* nothing was at `at` when the file ended here; -1 = not known */
	char job[ID_SIZE];
};

/* One or more frames of one stream, one after the other, written at about the same time. */
struct tape_piece {
	enum frame_stream stream;
	int64_t offset, next_offset;
	int64_t wall_ns;     /* of the first frame */
	const uint8_t *data; /* borrowed until the next tape_ call */
	size_t len;
};

enum tape_found {
	TAPE_PIECE,
	TAPE_END,  /* all below the limit is read */
	TAPE_MORE, /* ask with tape_fill() */
	TAPE_DRY,  /* nothing is there now below the limit, though there should be */
};

/* at 0 is the beginning of the first attempt.  t must not move. */
void tape_init(struct tape *t, struct tape_shelf *shelf, struct relay *relay,
	const char *job, int64_t at);
void tape_fini(struct tape *t);

/* The next piece that lies below the absolute offset `limit`. */
enum tape_found tape_next(struct tape *t, int64_t limit, struct tape_piece *out);

/* Up to where a run's output can be asked for now, as an absolute offset.  Where nobody
 * knows (after a restart), a first slice's worth: its reading tells. */
int64_t tape_live_end(struct relay *relay, const char *job, int32_t attempt);

/* Read on; `on_bytes` must pass what it gets to tape_filled(). */
void tape_fill(struct tape *t, int64_t limit, output_on_bytes *on_bytes, void *ctx);
void tape_filled(struct tape *t, const uint8_t *bytes, size_t len, int64_t end);
