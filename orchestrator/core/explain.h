/* explain.h - why a job is where it is, as the scheduler sees it.
 *
 * Thread: loop.  Reads the core and changes nothing that matters to anybody: no effect comes
 * of it.  Bounded in what it costs and in what it returns.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "core.h"

#define EXPLAIN_BLOCKERS     32
#define EXPLAIN_ALTERNATIVES 3

enum blocker_kind {
	BLOCKER_LEASE,     /* a job holds a share that this one could have */
	BLOCKER_BEFORE_IT, /* a job that is before it, for which devices are kept */
	BLOCKER_FOREIGN,   /* strangers hold a share there */
};

struct core_blocker {
	enum blocker_kind kind;
	char job[ID_SIZE]; /* "" = none */
	char owner[257];   /* of that job */
	char worker[ID_SIZE];
	int32_t device; /* its index there */
	struct amount amount;
	enum job_state state;
	int64_t latest_end_ns; /* wall clock; 0 = cannot be told */
};

enum alternative_kind {
	ALTERNATIVE_SHORTER,     /* it would be over before the devices are wanted */
	ALTERNATIVE_MORE_URGENT, /* it would come before the one for which they are kept */
	ALTERNATIVE_SMALLER,     /* so much is free */
};

struct core_alternative { /* the same job with one thing changed would start now */
	enum alternative_kind kind;
	struct amount amount;
	int32_t duration_s;
	int32_t priority;
};

struct core_explanation {
	enum job_state state;
	enum job_reason reason;
	char text[512];
	uint32_t position; /* in the queue, from 1; 0 = not in it */
	uint32_t waiting_jobs;
	char worker[ID_SIZE]; /* "" = none */

	/* Wall clock, 0 = cannot be told.  They hold as long as workers and devices stay as
	 * they are and runs end as they are told to; for the first in the queue whatever else
	 * of no higher priority is submitted, for the others if nothing else is. */
	int64_t latest_start_ns; /* of one that waits */
	int64_t latest_end_ns;
	int64_t next_try_ns; /* it came back, and is not tried before */

	struct core_blocker blockers[EXPLAIN_BLOCKERS];
	size_t blocker_count;
	uint32_t more_blockers;
	struct core_alternative alternatives[EXPLAIN_ALTERNATIVES];
	size_t alternative_count;
};

/* Of a job that is not over; ERR_NOT_FOUND: ask the store. */
int core_explain(struct core *c, const struct core_time *now, const char *job,
	struct core_explanation *out, struct err *e) MUST_CHECK;

/* For what a job in the queue waits now; false: what its facts say holds. */
bool core_waits_for(
	struct core *c, const char *job, enum job_reason *reason, char text[256]);
