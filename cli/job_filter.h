/* job_filter.h - which jobs are meant: --filter, --label, --name and --since as a request.
 *
 * Thread: any; pure, but for the time of day.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "err.h"
#include "options.h"
#include "orchestrator.pb-c.h"

#define JOB_STATE_WORDS 6
/* What --filter takes. */
#define JOB_STATE_CHOICES "waiting,starting,running,completed,failed,cancelled"

struct job_filter {
	Cumulus__Orchestrator__ListJobsRequest message; /* borrows from here and o */
	Cumulus__Orchestrator__JobState states[JOB_STATE_WORDS];
};

void job_filter_fini(struct job_filter *f);
/* Without --filter or --all only jobs that have not ended are meant.  f must not move. */
int job_filter_init(
	struct job_filter *f, const struct options *o, struct err *e) MUST_CHECK;
