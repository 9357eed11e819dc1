/* record.h - what the core asks the store to remember.
 *
 * Thread: made on the loop, then owned by the store's thread.  Records are applied in the
 * order of their numbers; those with one `input` number are never split over two commits.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "job.h"

enum record_kind {
	RECORD_NEW_JOB, /* the only one that the store may refuse */
	RECORD_CHANGE,  /* a job's facts changed, perhaps with a state event */
	RECORD_WORKER,  /* what an operator decided of a worker; no job */
};

struct record {
	enum record_kind kind;
	uint64_t number; /* the journal's: 1, 2, 3 ... of this process */
	uint64_t input;  /* records of one input share it */
	char job[ID_SIZE];
	struct job_facts facts; /* owned: the job as it is now */

	/* RECORD_WORKER */
	char worker[ID_SIZE];
	bool draining;

	/* RECORD_NEW_JOB: owned. */
	struct submission *submission;

	/* RECORD_CHANGE: the state that the row must have; else a bug, and the store stops. */
	enum job_state from;

	/* A state event comes with it when event.sequence > 0. */
	struct job_state_event event;

	/* Only with a terminal state; owned, NULL = none. */
	uint8_t *result;
	size_t result_len;
	char *error;
};

void record_free(struct record *r); /* NULL is fine */
