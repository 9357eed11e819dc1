/* job_state.c - the table of job states and the events that move between them. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "job_state.h"

#include <assert.h>

static const enum job_state next_state[JOB_STATE_COUNT][JOB_EVENT_COUNT] = {
	[JOB_SCHEDULING] = {
		[EV_PLACED] = JOB_CREATING_PARTITION,
		[EV_ENDED_BADLY] = JOB_FAILED, /* can never fit */
		[EV_ENDED_CANCELLED] = JOB_CANCELLED,
	},
	[JOB_CREATING_PARTITION] = {
		[EV_PLACEMENT_REFUSED] = JOB_SCHEDULING,
		[EV_STARTED] = JOB_RUNNING,
		[EV_ENDED_BADLY] = JOB_FAILED,
		[EV_ENDED_CANCELLED] = JOB_CANCELLED,
	},
	[JOB_RUNNING] = {
		[EV_REQUEUED] = JOB_SCHEDULING, /* a retry or a pause */
		[EV_ENDED_WELL] = JOB_COMPLETED,
		[EV_ENDED_BADLY] = JOB_FAILED,
		[EV_ENDED_CANCELLED] = JOB_CANCELLED,
	},
	/* Rows left out are final: no event leaves them. */
};

static const char *const state_names[JOB_STATE_COUNT] = {
	[JOB_NONE] = "NONE",
	[JOB_SCHEDULING] = "SCHEDULING",
	[JOB_CREATING_PARTITION] = "CREATING_PARTITION",
	[JOB_RUNNING] = "RUNNING",
	[JOB_COMPLETED] = "COMPLETED",
	[JOB_FAILED] = "FAILED",
	[JOB_CANCELLED] = "CANCELLED",
};

static const char *const event_names[JOB_EVENT_COUNT] = {
	[EV_PLACED] = "placed",
	[EV_PLACEMENT_REFUSED] = "placement refused",
	[EV_STARTED] = "started",
	[EV_ENDED_WELL] = "ended well",
	[EV_ENDED_BADLY] = "ended badly",
	[EV_ENDED_CANCELLED] = "ended cancelled",
	[EV_REQUEUED] = "requeued",
};

static const char *const reason_names[] = {
	[REASON_NONE] = "",
	[REASON_WAITING_FOR_GPU] = "WAITING_FOR_GPU",
	[REASON_WAITING_FOR_WORKER] = "WAITING_FOR_WORKER",
	[REASON_WAITING_FOR_QUOTA] = "WAITING_FOR_QUOTA",
	[REASON_PAUSED] = "PAUSED",
	[REASON_ENVIRONMENT_FAILED] = "ENVIRONMENT_FAILED",
	[REASON_CODE_FAILED] = "CODE_FAILED",
	[REASON_EXITED] = "EXITED",
	[REASON_SIGNALED] = "SIGNALED",
	[REASON_OUT_OF_MEMORY] = "OUT_OF_MEMORY",
	[REASON_DURATION_EXCEEDED] = "DURATION_EXCEEDED",
	[REASON_RESULT_INVALID] = "RESULT_INVALID",
	[REASON_RESULT_TOO_LARGE] = "RESULT_TOO_LARGE",
	[REASON_PARTITION_FAILED] = "PARTITION_FAILED",
	[REASON_CONTAINER_FAILED] = "CONTAINER_FAILED",
	[REASON_SETUP_TIMED_OUT] = "SETUP_TIMED_OUT",
	[REASON_WORKER_LOST] = "WORKER_LOST",
	[REASON_OUTCOME_UNKNOWN] = "OUTCOME_UNKNOWN",
	[REASON_CANCELLED_BY_USER] = "CANCELLED_BY_USER",
	[REASON_DISK_LIMIT] = "DISK_LIMIT",
	[REASON_CHECK_FAILED] = "CHECK_FAILED",
	[REASON_RUNNER_LOST] = "RUNNER_LOST",
};

int job_state_next(
	enum job_state from, enum job_event ev, enum job_state *to, struct err *e)
{
	assert(from < JOB_STATE_COUNT && ev < JOB_EVENT_COUNT);

	enum job_state next = next_state[from][ev];
	if (next == JOB_NONE)
		return err_set(e, ERR_CONFLICT, "event \"%s\" is not valid in state %s",
			event_names[ev], state_names[from]);
	*to = next;
	return 0;
}

const char *job_state_name(enum job_state s)
{
	return s < JOB_STATE_COUNT ? state_names[s] : "NONE";
}

const char *job_reason_name(enum job_reason r)
{
	if (r >= sizeof(reason_names) / sizeof(*reason_names) || !reason_names[r])
		return "UNKNOWN";
	return reason_names[r];
}
