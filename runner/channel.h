/* channel.h - what a job says over its channel: progress, a result, or a failure. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The job can send what it likes: each packet is bounded, nothing is believed about its
 * order, and what comes after a complete document is ignored.  The packets are described in
 * harness.py.
 *
 * Thread: any; no I/O.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "exits.h"
#include "runfolder.h"

#define CHANNEL_PACKET_MAX  ((size_t)65536)
#define CHANNEL_FAILURE_MAX ((size_t)(1 << 20))

struct channel {
	size_t result_limit;
	enum result_kind kind;
	bool complete;        /* the document is whole */
	bool invalid;         /* the failure is that of a result that JSON cannot hold */
	struct buf document;  /* owned */
	int64_t main_boot_ns; /* when main() was about to be called; 0 not yet */
	bool progress_new;    /* not written yet */
	float fraction;
	char text[RUN_PROGRESS_MAX + 1];
};

void channel_init(struct channel *c, size_t result_limit);
void channel_fini(struct channel *c);

void channel_take(struct channel *c, const uint8_t *packet, size_t len, int64_t boot_ns);

struct channel_end {
	enum result_kind kind;
	char message[RUN_MESSAGE_MAX + 1]; /* FAILURE, INVALID */
	char *traceback;                   /* owned by the caller, or NULL */
};

/* What it comes to, once nothing more can come. */
void channel_finish(const struct channel *c, struct channel_end *out);
