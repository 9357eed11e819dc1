/* tally.c - counts what jobs did since the start. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "tally.h"

#include "clock.h"

static const double wait_bounds[] = { 0.005, 0.05, 0.5, 1, 5, 15, 60, 300, 900, 3600,
	14400, 86400 };
static const double setup_bounds[] = { 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
	0.5, 1, 5, 30, 120, 600 };
static const double run_bounds[] = { 0.1, 1, 5, 15, 60, 300, 900, 3600, 14400, 43200,
	86400 };

const char *tally_phase_name(enum tally_phase phase)
{
	static const char *const names[TALLY_PHASE_COUNT] = {
		[TALLY_ENVIRONMENT] = "environment",
		[TALLY_PARTITION] = "partition",
		[TALLY_CONTAINER] = "container",
		[TALLY_PYTHON] = "python",
	};

	return names[phase];
}

void tally_init(struct tally *t)
{
	*t = (struct tally){ 0 };
	t->wait_seconds = HISTOGRAM(wait_bounds);
	t->run_seconds = HISTOGRAM(run_bounds);
	for (int i = 0; i < TALLY_PHASE_COUNT; i++)
		t->setup_seconds[i] = HISTOGRAM(setup_bounds);
}

static void add_ns(struct histogram *h, int64_t ns)
{
	if (ns > 0) /* 0: it did not come to that */
		histogram_add(h, (double)ns / (double)NS_PER_S);
}

static void add_end(struct tally *t, const struct job_facts *f)
{
	const int64_t phases[TALLY_PHASE_COUNT] = {
		[TALLY_ENVIRONMENT] = f->timing.environment,
		[TALLY_PARTITION] = f->timing.partition,
		[TALLY_CONTAINER] = f->timing.container,
		[TALLY_PYTHON] = f->timing.python,
	};

	for (int i = 0; i < TALLY_PHASE_COUNT; i++)
		add_ns(&t->setup_seconds[i], phases[i]);
	if (f->started_ns)
		add_ns(&t->run_seconds, f->completed_ns - f->started_ns);
}

static void add_usage(struct tally *t, const struct gpu_usage *u)
{
	t->gpu.time_ns += u->time_ns;
	t->gpu.refusals += u->refusals;
	t->gpu.overruns += u->overruns;
	t->gpu.overrun_ns += u->overrun_ns;
}

void tally_moved(struct tally *t, const struct core *core, const struct effect *moved)
{
	enum job_reason why =
		moved->reason < JOB_REASON_COUNT ? moved->reason : REASON_NONE;
	struct job_view job;

	if (moved->to == JOB_SCHEDULING && moved->from == JOB_NONE)
		t->submitted++;
	if (moved->to == JOB_SCHEDULING && moved->from != JOB_NONE)
		t->requeued[why]++;
	if (job_state_final(moved->to))
		t->ended[moved->to][why]++;
	/* A later move of the same input is in the facts already: of use are only those
	 * that the move itself made final. */
	if (core_job(core, moved->job, &job, NULL) < 0)
		return;
	if (moved->to == JOB_CREATING_PARTITION && moved->attempt == 1)
		histogram_add(&t->wait_seconds,
			(double)job.facts->timing.queued / (double)NS_PER_S);
	if (job_state_final(moved->to))
		add_end(t, job.facts);
	if (job_state_final(moved->to) || moved->to == JOB_SCHEDULING)
		add_usage(t, &job.facts->gpu);
}
