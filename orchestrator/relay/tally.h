/* tally.h - what jobs did since the start, in numbers: how they ended, how long they took.
 *
 * Thread: loop.  Fed with every state change; survives no restart, as counters of
 * Prometheus need not.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "core.h"
#include "histogram.h"

enum tally_phase { /* of getting a run to its first line of main() */
	TALLY_ENVIRONMENT,
	TALLY_PARTITION,
	TALLY_CONTAINER,
	TALLY_PYTHON,
	TALLY_PHASE_COUNT
};

struct tally {
	uint64_t submitted;
	uint64_t ended[JOB_STATE_COUNT][JOB_REASON_COUNT]; /* final states only */
	uint64_t requeued[JOB_REASON_COUNT]; /* back to SCHEDULING, by why */
	struct histogram wait_seconds;       /* from submission to the first placement */
	struct histogram
		setup_seconds[TALLY_PHASE_COUNT]; /* of those that had the phase */
	struct histogram run_seconds; /* from RUNNING to the end, all final states */
	struct gpu_usage gpu; /* time, refusals and overruns of attempts that are over */
};

const char *tally_phase_name(enum tally_phase phase);
void tally_init(struct tally *t);
/* An EFFECT_LOG, taken from this core just now. */
void tally_moved(struct tally *t, const struct core *core, const struct effect *moved);
