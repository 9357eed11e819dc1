/* translate.h - jobs and events as the wire says them.
 *
 * Thread: loop.  What is filled in borrows from its sources but for what is listed.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "core.h"
#include "orchestrator.pb-c.h"

static inline Cumulus__Orchestrator__JobState wire_state(enum job_state s)
{
	return (Cumulus__Orchestrator__JobState)(s - JOB_SCHEDULING);
}

/* A status and what of it is on the heap. */
struct status_message {
	Cumulus__Orchestrator__JobStatus m;
	Cumulus__Orchestrator__Timing timing;
	Cumulus__Orchestrator__GpuUsage gpu;
	Cumulus__Orchestrator__JobStatus__LabelsEntry **labels;
	int32_t *devices;
	char digest[DIGEST_TEXT_SIZE];
	char waits_text[256];
};

struct status_source {
	const char *id;
	const struct job_facts *facts;
	const struct submission *submission;
	const char *error; /* NULL = none */
	float progress;
	const char *progress_text;   /* NULL = none */
	int64_t present_output;      /* bytes, of the attempt that is not over */
	const struct gpu_usage *gpu; /* of its run; NULL = of the facts */
	/* waits: the queue knows better than its facts for what it waits now. */
	bool waits;
	enum job_reason waits_reason;
	char waits_text[256];
};

void status_message_init(struct status_message *s, const struct status_source *from);
void status_message_fini(struct status_message *s);

/* The event without output and result. */
Cumulus__Orchestrator__JobEvent event_message(
	const char *job, const struct job_state_event *ev);
