/* reports.h - which reports of one run are still to be sent.
 *
 * Thread: loop.  Numbers only: the reports themselves are in the run folder, which has
 * 1 to `last`.  What was sent but not committed is sent again on the next stream.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

struct reports {
	int64_t last;      /* the highest that there is; 0: none */
	int64_t sent;      /* on this stream */
	int64_t committed; /* as cumulusd says */
};

/* There are reports up to this one; fewer than before is ignored. */
static inline void reports_found(struct reports *r, int64_t last)
{
	if (last > r->last)
		r->last = last;
}

/* The number to send next; 0: none. */
static inline int64_t reports_next(const struct reports *r)
{
	int64_t known = r->sent > r->committed ? r->sent : r->committed;

	return known < r->last ? known + 1 : 0;
}

static inline void reports_sent(struct reports *r, int64_t number)
{
	if (number > r->sent)
		r->sent = number;
}

/* Never goes back: what is committed once is. */
static inline void reports_committed(struct reports *r, int64_t number)
{
	if (number > r->committed)
		r->committed = number;
}

/* A new stream, or a question about the run: everything that is not committed again. */
static inline void reports_send_again(struct reports *r)
{
	r->sent = r->committed;
}
