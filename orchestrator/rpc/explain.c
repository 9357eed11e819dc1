/* explain.c - ExplainJob: why a job is where it is. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "explain.h"

#include <string.h>

#include "clock.h"
#include "internal.h"
#include "str.h"
#include "submission.h"
#include "translate.h"

typedef Cumulus__Orchestrator__Explanation Explanation;
typedef Cumulus__Orchestrator__Blocker Blocker;
typedef Cumulus__Orchestrator__Alternative Alternative;

/* An answer and all that it points to. */
struct answer {
	Explanation m;
	char text[1024];
	Blocker blockers[EXPLAIN_BLOCKERS];
	Blocker *blocker_list[EXPLAIN_BLOCKERS];
	Alternative alternatives[EXPLAIN_ALTERNATIVES];
	Alternative *alternative_list[EXPLAIN_ALTERNATIVES];
	char alternative_texts[EXPLAIN_ALTERNATIVES][160];
};

static char *text(const char *s)
{
	return (char *)(uintptr_t)(s ? s : "");
}

/* Rounded up: at the latest. */
static int64_t seconds(int64_t wall_ns)
{
	return wall_ns ? (wall_ns + NS_PER_S - 1) / NS_PER_S : 0;
}

static const Cumulus__Orchestrator__BlockerKind blocker_kinds[] = {
	[BLOCKER_LEASE] = CUMULUS__ORCHESTRATOR__BLOCKER_KIND__HOLDS_SHARE,
	[BLOCKER_BEFORE_IT] = CUMULUS__ORCHESTRATOR__BLOCKER_KIND__COMES_BEFORE,
	[BLOCKER_FOREIGN] = CUMULUS__ORCHESTRATOR__BLOCKER_KIND__FOREIGN_SHARE,
};

static void add_blocker(struct answer *a, const struct core_blocker *from)
{
	Blocker *b = &a->blockers[a->m.n_blockers];

	cumulus__orchestrator__blocker__init(b);
	b->kind = blocker_kinds[from->kind];
	/* Another tenant's job is in the way, but not named. */
	if (strcmp(from->owner, RPC_OWNER) == 0)
		b->job_id = text(from->job);
	b->worker_id = text(from->worker);
	b->gpu_device = from->device;
	b->gpu_memory = (float)(from->amount.devices * from->amount.hundredths) / 100.0f;
	if (from->kind != BLOCKER_FOREIGN)
		b->state = wire_state(from->state);
	b->latest_end = seconds(from->latest_end_ns);
	a->blocker_list[a->m.n_blockers++] = b;
}

static const char *const changes[] = {
	[ALTERNATIVE_SHORTER] = "duration",
	[ALTERNATIVE_MORE_URGENT] = "priority",
	[ALTERNATIVE_SMALLER] = "gpu_memory",
};

static void say_alternative(char *out, size_t size, const struct core_alternative *from)
{
	char amount[32];

	switch (from->kind) {
	case ALTERNATIVE_SHORTER:
		str_put(out, size, "with a duration of %d s it would start now",
			from->duration_s);
		return;
	case ALTERNATIVE_MORE_URGENT:
		str_put(out, size, "with priority %d it would start now", from->priority);
		return;
	case ALTERNATIVE_SMALLER:
		str_put(out, size, "%s would start now",
			amount_text(amount, from->amount));
		return;
	}
}

static void add_alternative(struct answer *a, const struct core_alternative *from)
{
	Alternative *b = &a->alternatives[a->m.n_alternatives];
	char *said = a->alternative_texts[a->m.n_alternatives];

	cumulus__orchestrator__alternative__init(b);
	say_alternative(said, sizeof(a->alternative_texts[0]), from);
	b->change = text(changes[from->kind]);
	b->gpu_memory = amount_to_float(from->amount);
	b->duration = from->duration_s;
	b->priority = from->priority;
	b->message = said;
	a->alternative_list[a->m.n_alternatives++] = b;
}

static void answer_init(struct answer *a, const char *job)
{
	memset(a, 0, sizeof(*a));
	cumulus__orchestrator__explanation__init(&a->m);
	a->m.job_id = text(job);
	a->m.message = a->text;
	a->m.blockers = a->blocker_list;
	a->m.alternatives = a->alternative_list;
}

static void reply_live(struct inquiry *q, const struct core_explanation *x)
{
	struct answer a;

	answer_init(&a, q->job);
	a.m.state = wire_state(x->state);
	a.m.reason = (Cumulus__Orchestrator__Reason)x->reason;
	str_put(a.text, sizeof(a.text), "%s", x->text);
	a.m.queue_position = (int32_t)x->position;
	a.m.waiting_jobs = (int32_t)x->waiting_jobs;
	a.m.latest_start = seconds(x->latest_start_ns);
	a.m.latest_end = seconds(x->latest_end_ns);
	a.m.next_try = seconds(x->next_try_ns);
	a.m.worker_id = text(x->worker);
	for (size_t i = 0; i < x->blocker_count; i++)
		add_blocker(&a, &x->blockers[i]);
	a.m.more_blockers = (int32_t)x->more_blockers;
	for (size_t i = 0; i < x->alternative_count; i++)
		add_alternative(&a, &x->alternatives[i]);
	wire_call_reply(q->asker.call, &a.m);
}

/* ---- of one that is over: how, and where its time went */

static double in_seconds(int64_t ns)
{
	return (double)ns / (double)NS_PER_S;
}

static void reply_finished(struct inquiry *q, const struct job_facts *f)
{
	const struct job_timing *t = &f->timing;
	char message[600], times[256] = "", setup_text[64] = "", run_text[64] = "";
	int64_t setup = t->environment + t->partition + t->container + t->python;
	struct answer a;

	answer_init(&a, q->job);
	a.m.state = wire_state(f->state);
	a.m.reason = (Cumulus__Orchestrator__Reason)f->reason;
	a.m.worker_id = text(f->worker);
	a.m.latest_end = f->completed_ns / NS_PER_S;
	/* A phase without a time was not reached, or nobody is left who knows it. */
	if (setup > 0)
		str_put(setup_text, sizeof(setup_text), ", was set up in %.1f s",
			in_seconds(setup));
	if (t->run > 0)
		str_put(run_text, sizeof(run_text), ", ran %.1f s", in_seconds(t->run));
	if (f->attempt > 0)
		str_put(times, sizeof(times), "; attempt %d waited %.1f s%s%s",
			f->attempt, in_seconds(t->queued), setup_text, run_text);
	str_join(message, sizeof(message), f->message ? f->message : "", "", "");
	str_trim_utf8(message);
	str_put(a.text, sizeof(a.text), "%s: %s%s", job_state_name(f->state), message,
		times);
	wire_call_reply(q->asker.call, &a.m);
}

static void on_stored(void *ctx, struct store_job *job, const struct err *failed)
{
	struct inquiry *q = ctx;

	if (!asker_is_back(&q->asker))
		return;
	if (failed)
		inquiry_fail(q, failed);
	else
		reply_finished(q, &job->facts);
}

/* ---- the call */

static void explain(struct inquiry *q);

static void on_committed(void *ctx, const struct effect *effect)
{
	struct inquiry *q = ctx;

	(void)effect;
	if (asker_is_back(&q->asker))
		explain(q);
}

static void explain(struct inquiry *q)
{
	struct relay *relay = q->asker.rpc->config.relay;
	struct core_explanation x;
	struct job_view view;

	if (core_job(relay_core(relay), q->job, &view, NULL) < 0 ||
		core_explain(relay_core(relay), relay_now(relay), q->job, &x, NULL) < 0) {
		q->asker.asked = true;
		store_get_job(relay_store(relay), q->job, false, on_stored, q);
	} else if (!core_is_committed(relay_core(relay), view.last_record)) {
		q->asker.asked = true;
		relay_await(relay, view.last_record, on_committed, q);
	} else {
		reply_live(q, &x);
	}
}

/* Other jobs are shown too: it rests on the last record there is when it is asked. */
static void on_explain(struct wire_call *call, ProtobufCMessage *message)
{
	struct inquiry *q = inquiry_new(
		call, ((Cumulus__Orchestrator__ExplainJobRequest *)message)->job_id);

	if (q) {
		q->asker.asked = true;
		relay_await(q->asker.rpc->config.relay, 0, on_committed, q);
	}
	wire_message_free(message);
}

const struct wire_handlers rpc_explain_job = {
	.message = on_explain,
	.gone = asker_on_gone,
};
