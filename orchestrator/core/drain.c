/* drain.c - what operators decide of workers: no more runs there, or none ever again. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "inside.h"
#include "str.h"
#include "xalloc.h"

static void record_worker(struct core *c, const struct worker *w)
{
	struct record *r = xcalloc(1, sizeof(*r));

	r->kind = RECORD_WORKER;
	r->number = ++c->issued;
	r->input = c->input;
	memcpy(r->worker, w->said.worker, ID_SIZE);
	r->draining = w->draining;
	gate_push(c, &(struct effect){ .kind = EFFECT_RECORD, .record = r }, 0);
}

static void set_draining(struct core *c, struct worker *w, bool draining)
{
	if (w->draining == draining)
		return;
	w->draining = draining;
	record_worker(c, w);
	/* What is reserved there is looked for anew. */
	c->fleet.epoch++;
	worker_changed(c, w);
}

/* How the run ended may never be known, and its code may run still: no retry. */
static void give_up(struct core *c, struct job *job)
{
	if (job->run->ended) {
		run_close_output(c, job, job->run->output_durable);
		return;
	}
	if (!job_state_final(job->facts.state))
		job_outcome_unknown(c, job, "the worker was forgotten", false);
	job_release_late(c, job);
}

static void forget(struct core *c, struct worker *w)
{
	set_draining(c, w, false);
	list_each_safe(it, &w->leases)
	{
		struct job *job = list_entry(it, struct run, on_worker)->job;

		/* One that is not durable yet was only promised its devices: it waits. */
		if (job->fresh)
			lease_release(c, job);
		else
			give_up(c, job);
	}
	fleet_remove(c, w);
}

static void grant(struct core *c, struct worker *w, enum worker_wish wish, struct err *e)
{
	if (wish != WORKER_FORGET)
		set_draining(c, w, wish == WORKER_DRAIN);
	else if (w->down)
		forget(c, w);
	else
		err_set(e, ERR_CONFLICT,
			"worker %s is not down: only one that is can be forgotten",
			w->said.worker);
}

void core_wish_worker(struct core *c, const struct core_time *now, core_token token,
	const char *worker, enum worker_wish wish)
{
	struct effect answer = { .kind = EFFECT_ANSWER, .token = token };
	struct worker *w;

	core_begin(c, now);
	w = fleet_find(&c->fleet, worker);
	if (w) {
		grant(c, w, wish, &answer.error);
	} else {
		char quoted[STR_QUOTE_SIZE];

		err_set(&answer.error, ERR_NOT_FOUND, "worker \"%s\" is not known",
			str_quote(quoted, worker, strlen(worker)));
	}
	gate_push(c, &answer, c->issued);
	core_finish(c);
}
