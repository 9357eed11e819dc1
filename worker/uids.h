/* uids.h - gives each run a range of host user ids that nobody else has.
 *
 * Thread: loop.  Nothing is written down: what is taken is read back from the run
 * folders' specs at start.  A range is free again once its run has ended, for by then
 * all files and processes with its ids are gone.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "err.h"

#define UIDS_PER_RUN UINT32_C(65536)

struct uids {
	uint32_t first; /* host id where the ranges begin; a multiple of UIDS_PER_RUN */
	uint32_t count; /* how many ranges there are */
	uint32_t next;  /* where the search goes on, so that a range rests before reuse */
	uint8_t *taken; /* owned; one byte for each range, 0 or 1 */
};

/* Lay out at most `most` ranges above everything that subuid and subgid (texts of
 * /etc/subuid and /etc/subgid; "" when absent) hand out, within the ids that uid_map and
 * gid_map (texts of /proc/self/...) show.  ERR_EXHAUSTED when there is no room for one. */
int uids_init(struct uids *u, uint32_t most, const char *subuid, const char *subgid,
	const char *uid_map, const char *gid_map, struct err *e) MUST_CHECK;
/* The same from this machine's files. */
int uids_init_host(struct uids *u, uint32_t most, struct err *e) MUST_CHECK;
void uids_fini(struct uids *u);

/* ERR_EXHAUSTED when all are taken. */
int uids_take(struct uids *u, uint32_t *base, struct err *e) MUST_CHECK;
/* Mark the range of a run that is there already.  One outside the table (the table has
 * moved since) needs no mark: it is never handed out. */
void uids_adopt(struct uids *u, uint32_t base);
/* Give a range back; one that is not taken or outside the table is fine. */
void uids_release(struct uids *u, uint32_t base);
