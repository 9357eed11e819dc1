/* gate.c - lets an effect out when all that it rests on is on disk, first in first out. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "inside.h"
#include "xalloc.h"

struct entry {
	struct list link;
	struct list waiter; /* in its job's waiters, while that is fresh */
	uint64_t rests_on;
	int64_t sequence;     /* JOB_MOVED: what is committed then; 0 = only look at it */
	struct effect effect; /* owned */
};

void gate_init(struct gate *g)
{
	list_init(&g->open);
	list_init(&g->closed);
	g->woken_ns = NEVER;
}

static void entry_free(struct entry *en)
{
	list_remove(&en->link);
	list_remove(&en->waiter);
	effect_fini(&en->effect);
	free(en);
}

void gate_fini(struct gate *g)
{
	list_each_safe(it, &g->open) entry_free(list_entry(it, struct entry, link));
	list_each_safe(it, &g->closed) entry_free(list_entry(it, struct entry, link));
}

static struct entry *push(struct list *to, const struct effect *effect, uint64_t rests_on)
{
	struct entry *en = xcalloc(1, sizeof(*en));

	en->effect = *effect;
	en->rests_on = rests_on;
	list_init(&en->waiter);
	list_append(to, &en->link);
	return en;
}

void gate_push(struct core *c, const struct effect *effect, uint64_t rests_on)
{
	bool open = effect->kind == EFFECT_RECORD || effect->kind == EFFECT_LOG;

	push(open ? &c->gate.open : &c->gate.closed, effect, rests_on);
}

void gate_push_waiter(struct core *c, const struct effect *effect, struct job *job)
{
	struct entry *en = push(&c->gate.closed, effect, job->last_record);

	list_append(&job->waiters, &en->waiter);
}

void gate_refuse_waiters(struct job *job, const struct err *why)
{
	list_each_safe(it, &job->waiters)
	{
		struct entry *en = list_entry(it, struct entry, waiter);

		list_remove(&en->waiter);
		en->effect.error = *why;
		en->effect.existed = false;
		en->effect.state = JOB_NONE;
	}
}

void gate_push_moved(struct core *c, const struct job *job, int64_t sequence)
{
	struct effect effect = { .kind = EFFECT_JOB_MOVED };

	memcpy(effect.job, job->id, ID_SIZE);
	push(&c->gate.closed, &effect, job->last_record)->sequence = sequence;
}

static bool take_open(struct core *c, struct effect *out)
{
	if (list_empty(&c->gate.open))
		return false;

	struct entry *en = list_entry(c->gate.open.next, struct entry, link);
	*out = en->effect;
	en->effect = (struct effect){ 0 };
	entry_free(en);
	return true;
}

/* What happens inside as it leaves; false: nobody outside is to see it. */
static bool leaves(struct core *c, struct entry *en)
{
	struct effect *ef = &en->effect;
	struct job *job = *ef->job ? job_find(c, ef->job) : NULL;
	struct worker *w = *ef->worker ? fleet_find(&c->fleet, ef->worker) : NULL;

	switch (ef->kind) {
	case EFFECT_JOB_MOVED:
		if (job && en->sequence)
			job->committed_sequence = en->sequence;
		if (job)
			job_settle(c, job);
		return en->sequence > 0;
	case EFFECT_PROGRESS:
		if (!job || !job->run)
			return false;
		job->run->progress_told = false;
		return true;
	case EFFECT_WELCOME:
	case EFFECT_START:
	case EFFECT_STOP:
	case EFFECT_COMMITTED:
	case EFFECT_FORGET:
		/* A later Hello has made good for what its older streams did not get. */
		return w && w->present && w->said.session == ef->session;
	default:
		return true;
	}
}

static bool take_closed(struct core *c, struct effect *out)
{
	while (!list_empty(&c->gate.closed)) {
		struct entry *en = list_entry(c->gate.closed.next, struct entry, link);

		if (en->rests_on > c->committed)
			return false;
		if (leaves(c, en)) {
			*out = en->effect;
			en->effect = (struct effect){ 0 };
			entry_free(en);
			return true;
		}
		entry_free(en);
	}
	return false;
}

/* A wake-up too many does no harm, so a wish that has become later is not told. */
static bool take_wake(struct core *c, struct effect *out)
{
	const struct timer *first = timer_queue_first(&c->timers);

	if (!first || first->at_ns >= c->gate.woken_ns)
		return false;
	c->gate.woken_ns = first->at_ns;
	*out = (struct effect){ .kind = EFFECT_WAKE_AT, .boot_ns = first->at_ns };
	return true;
}

bool core_next_effect(struct core *c, struct effect *out)
{
	return take_open(c, out) || take_closed(c, out) || take_wake(c, out);
}

void effect_fini(struct effect *e)
{
	record_free(e->record);
	free(e->devices);
	free(e->wanted);
	free(e->text);
	*e = (struct effect){ 0 };
}
