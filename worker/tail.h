/* tail.h - what of a growing output file goes up now: in order, in time, not too soon.
 *
 * Thread: loop.  Frames are read when they are sent; nothing is kept here but positions.
 * Output is sent at most every TAIL_PACE_MS, or as soon as TAIL_PIECE bytes wait; the
 * first after a quiet time goes at once.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

#include "buf.h"
#include "err.h"

#define TAIL_PACE_MS     50
#define TAIL_PIECE       ((int64_t)(64 << 10))
#define TAIL_MESSAGE_MAX ((size_t)(256 << 10))

struct tail {
	int dirfd;       /* borrowed: the run folder */
	int64_t at;      /* everything before was sent on this stream */
	int64_t durable; /* everything before is on cumulusd's disk */
	int64_t sent_ms; /* when something went out last; far in the past at first */
};

void tail_init(struct tail *t, int dirfd);
/* A new stream, whose other side has this much, be it less than it had before; 0 where it
 * has not said. */
void tail_begin(struct tail *t, int64_t durable);
/* The other side has this much by now: nothing before it needs to be sent. */
void tail_durable(struct tail *t, int64_t durable);

/* The size of the file now; 0 when there is none. */
int64_t tail_file_end(const struct tail *t);

enum tail_now {
	TAIL_NOTHING, /* nothing new before `end` */
	TAIL_LATER,   /* *wait_ms until it is worth a message */
	TAIL_SEND,    /* *frames, from *offset on; tail_sent() once they are off */
};

/* Look at what lies between `at` and `end`, a position where frames meet or beyond the
 * file's end.  frames is emptied first.  A torn or bad frame is the end of the file. */
int tail_next(struct tail *t, int64_t end, int64_t now_ms, enum tail_now *what,
	int64_t *wait_ms, struct buf *frames, struct err *e) MUST_CHECK;
void tail_sent(struct tail *t, int64_t len, int64_t now_ms);
