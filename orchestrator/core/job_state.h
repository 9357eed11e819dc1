/* job_state.h - which job states exist and which events move between them. */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>

#include "err.h"

/* The wire's JobState plus one; stored in the database: append, never renumber. */
enum job_state {
	JOB_NONE = 0, /* not a state; an empty table cell reads as this */
	JOB_SCHEDULING = 1,
	JOB_CREATING_PARTITION = 2,
	JOB_RUNNING = 3,
	JOB_COMPLETED = 4,
	JOB_FAILED = 5,
	JOB_CANCELLED = 6,
	JOB_STATE_COUNT
};

enum job_event {
	EV_PLACED,            /* a lease was taken */
	EV_PLACEMENT_REFUSED, /* the worker had no such share, or was lost before the start */
	EV_STARTED,
	EV_ENDED_WELL,
	EV_ENDED_BADLY,
	EV_ENDED_CANCELLED,
	EV_REQUEUED, /* a retry or a pause */
	JOB_EVENT_COUNT
};

/* Why a job is in its state: the wire's Reason, number for number. */
enum job_reason {
	REASON_NONE = 0,
	REASON_WAITING_FOR_GPU = 1,
	REASON_WAITING_FOR_WORKER = 2,
	REASON_WAITING_FOR_QUOTA = 3,
	REASON_PAUSED = 4,
	REASON_ENVIRONMENT_FAILED = 16,
	REASON_CODE_FAILED = 17,
	REASON_EXITED = 18,
	REASON_SIGNALED = 19,
	REASON_OUT_OF_MEMORY = 20,
	REASON_DURATION_EXCEEDED = 21,
	REASON_RESULT_INVALID = 22,
	REASON_RESULT_TOO_LARGE = 23,
	REASON_PARTITION_FAILED = 24,
	REASON_CONTAINER_FAILED = 25,
	REASON_SETUP_TIMED_OUT = 26,
	REASON_WORKER_LOST = 27,
	REASON_OUTCOME_UNKNOWN = 28,
	REASON_CANCELLED_BY_USER = 29,
	REASON_DISK_LIMIT = 30,
	REASON_CHECK_FAILED = 31,
	REASON_RUNNER_LOST = 32,
	JOB_REASON_COUNT
};

/* On refusal returns -1 with ERR_CONFLICT and leaves *to alone.  Both arguments must be
 * in range: states read from the database are checked by the store. */
int job_state_next(enum job_state from, enum job_event ev, enum job_state *to,
	struct err *e) MUST_CHECK;

static inline bool job_state_final(enum job_state s)
{
	return s >= JOB_COMPLETED;
}

/* "SCHEDULING" ...; "NONE" for what is no state. */
const char *job_state_name(enum job_state s);
/* "OUT_OF_MEMORY" ...; "" for REASON_NONE, "UNKNOWN" for what is no reason. */
const char *job_reason_name(enum job_reason r);
