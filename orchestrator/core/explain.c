/* explain.c - why a job is where it is: for what it waits, behind whom, until when.
 *
 * What could be otherwise is asked of the scheduler itself, with a job that differs in one
 * thing.  Work: bounded by the devices that there are and by FORECAST_JOBS.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "explain.h"
#include "inside.h"
#include "str.h"
#include "submission.h"

#define FORECAST_JOBS 1000 /* of more that wait only the first one's start is foretold */

static bool is_share(struct amount a)
{
	return a.hundredths < 100;
}

static uint32_t at_most(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* ---- what there is */

struct supply {
	uint32_t ready; /* workers */
	uint32_t
		most; /* healthy devices of one of them, as far as a job could have them */
	uint32_t share; /* the most hundredths free on one device */
	uint32_t whole; /* the most entirely free devices of one worker */
};

static void add_worker(struct supply *s, const struct worker *w)
{
	uint32_t healthy = 0, whole = 0;

	for (size_t i = 0; i < w->device_count; i++) {
		uint32_t room = device_free(w->devices[i]);

		healthy += w->devices[i]->listed && w->devices[i]->info.healthy;
		whole += room == 100;
		s->share = room > s->share ? room : s->share;
	}
	s->ready++;
	s->whole = whole > s->whole ? whole : s->whole;
	if (w->said.run_slots && healthy > s->most)
		s->most = at_most(healthy, JOB_DEVICES_MAX);
}

static struct supply supply_of(const struct core *c)
{
	struct supply s = { 0 };

	for (size_t i = 0; i < c->fleet.count; i++)
		if (worker_is_ready(c->fleet.sorted[i]))
			add_worker(&s, c->fleet.sorted[i]);
	return s;
}

static bool is_free(const struct supply *s, struct amount a)
{
	return is_share(a) ? s->share >= a.hundredths : s->whole >= a.devices;
}

/* ---- for what it waits */

static void say_what_is_free(
	char *out, size_t size, const char *want, const struct supply *s, struct amount a)
{
	char most[16];

	if (is_share(a) && !s->share) {
		str_put(out, size, "waiting for %s: nothing is free", want);
	} else if (is_share(a)) {
		format_hundredths(most, sizeof(most), s->share);
		str_put(out, size,
			"waiting for %s: the most that is free on one device is %s", want,
			most);
	} else if (a.devices == 1) {
		str_put(out, size, "waiting for %s: no device is entirely free", want);
	} else {
		str_put(out, size,
			"waiting for %s: of one worker at most %u %s entirely free", want,
			s->whole, s->whole == 1 ? "is" : "are");
	}
}

/* No worker that is there could ever have it. */
static bool never_fits(const struct supply *s, struct amount a)
{
	return a.devices > s->most;
}

struct waiting job_waits_for(struct core *c, const struct job *job)
{
	struct amount a = job->submission->amount;
	struct supply s = supply_of(c);
	struct waiting w = { .reason = REASON_WAITING_FOR_WORKER };
	struct placement at;
	char want[32];

	amount_text(want, a);
	if (!s.ready) {
		str_put(w.text, sizeof(w.text), "waiting for a worker: none is ready%s",
			core_count(c).draining_workers ? ", one is draining" : "");
	} else if (never_fits(&s, a)) {
		str_put(w.text, sizeof(w.text),
			"waiting for a worker with %s: the most that one has now is %u",
			want, s.most);
	} else if (scheduler_would_start(c, job, &at)) {
		/* One that could have started has not been looked at. */
		w.reason = job->node.queued && !c->dirty ? REASON_WAITING_FOR_GPU
							 : REASON_NONE;
		str_put(w.text, sizeof(w.text), "waiting for its turn for %s", want);
	} else if (scheduler_find(c, job, false, &at)) {
		w.reason = REASON_WAITING_FOR_GPU;
		str_put(w.text, sizeof(w.text),
			"waiting for %s: what is free is kept for a job before it", want);
	} else if (is_free(&s, a)) {
		str_put(w.text, sizeof(w.text),
			"waiting for %s: where it is free the worker takes no more runs",
			want);
	} else {
		w.reason = REASON_WAITING_FOR_GPU;
		say_what_is_free(w.text, sizeof(w.text), want, &s, a);
	}
	return w;
}

/* It is in the queue: neither placed nor waiting for another try. */
static bool is_queued(const struct job *job)
{
	return job->facts.state == JOB_SCHEDULING && job->node.queued;
}

bool core_waits_for(
	struct core *c, const char *id, enum job_reason *reason, char text[256])
{
	const struct job *job = job_find(c, id);
	struct waiting w;

	if (!job || job->fresh || !is_queued(job))
		return false;
	w = job_waits_for(c, job);
	*reason = w.reason;
	str_put(text, 256, "%s", w.reason ? w.text : "about to start");
	return true;
}

/* ---- when it starts at the latest */

static int64_t longest_run(const struct core *c, const struct job *job)
{
	return c->config.setup_limit_ns + job->submission->duration_s * NS +
	       2 * c->config.grace_ns;
}

static int64_t later_of(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static int64_t plus(int64_t at, int64_t ns)
{
	return at == NEVER ? NEVER : at + ns;
}

struct walk {
	const struct core *c;
	struct queue_node *heads[AMOUNT_KINDS];
};

static void walk_init(struct walk *w, const struct core *c)
{
	w->c = c;
	for (size_t k = 0; k < AMOUNT_KINDS; k++)
		w->heads[k] = queue_next(&c->queue, k, NULL);
}

/* The waiting jobs in their order; NULL at the end. */
static const struct job *walk_next(struct walk *w)
{
	size_t k = queue_first_kind(w->heads);
	struct queue_node *node;

	if (k == AMOUNT_KINDS)
		return NULL;
	node = w->heads[k];
	w->heads[k] = queue_next(&w->c->queue, k, node);
	return list_entry(node, struct job, node);
}

/* Of all that waits but for this one. */
static int64_t longest_other(const struct core *c, const struct job *job)
{
	const struct job *other;
	struct walk w;
	int64_t longest = 0;

	walk_init(&w, c);
	while ((other = walk_next(&w)))
		if (other != job)
			longest = later_of(longest, longest_run(c, other));
	return longest;
}

/* Nothing is kept for what cannot start as things are. */
static bool never_reserved(struct core *c, const struct job *job)
{
	return scheduler_earliest(c, job->submission->amount, scheduler_lease_ends)
		       .at_ns == NEVER;
}

/* One job after the other becomes the first, and the first starts at the latest when all
 * is over that ran when it became so: what runs now, the jobs before it, and one that was
 * filled in just before.  A reservation is made by declared durations, so it may stand
 * where a set-up takes its whole limit. */
static int64_t start_in_turn(struct core *c, const struct job *job)
{
	int64_t filled_in = longest_other(c, job);
	int64_t busy_until = 0, at = c->now.boot_ns;
	const struct job *turn;
	struct walk w;

	walk_init(&w, c);
	while ((turn = walk_next(&w))) {
		struct reservation r = scheduler_earliest(
			c, turn->submission->amount, scheduler_lease_ends_latest);

		if (turn == c->reserved.job) {
			at = scheduler_reserved_latest(c);
		} else if (r.at_ns != NEVER) {
			at = plus(later_of(r.at_ns, later_of(busy_until, at + filled_in)),
				c->config.setup_limit_ns);
		} else if (turn != job && never_reserved(c, turn)) {
			continue;
		} else {
			at = NEVER;
		}
		if (turn == job || at == NEVER)
			return at;
		busy_until = later_of(busy_until, at + longest_run(c, turn));
	}
	return NEVER;
}

static int64_t latest_start(struct core *c, const struct job *job)
{
	if (c->reserved.job == job)
		return scheduler_reserved_latest(c);
	return c->queue.count > FORECAST_JOBS ? NEVER : start_in_turn(c, job);
}

/* Boot time as people see it; 0 = cannot be told. */
static int64_t wall(const struct core *c, int64_t boot_ns)
{
	return boot_ns == NEVER ? 0 : c->now.wall_ns + (boot_ns - c->now.boot_ns);
}

/* ---- who is in the way */

static struct core_blocker *new_blocker(struct core_explanation *x)
{
	if (x->blocker_count < EXPLAIN_BLOCKERS)
		return &x->blockers[x->blocker_count++];
	x->more_blockers++;
	return NULL;
}

static void fill_job(struct core_blocker *b, const struct job *job)
{
	memcpy(b->job, job->id, ID_SIZE);
	str_put(b->owner, sizeof(b->owner), "%s",
		job->submission->owner ? job->submission->owner : "");
	b->amount = job->submission->amount;
	b->state = job->facts.state;
}

static void add_lease(const struct core *c, struct core_explanation *x,
	const struct device *d, const struct job *job)
{
	struct core_blocker *b = new_blocker(x);

	if (!b)
		return;
	fill_job(b, job);
	b->kind = BLOCKER_LEASE;
	memcpy(b->worker, d->worker->said.worker, ID_SIZE);
	b->device = d->info.index;
	b->amount = (struct amount){ 1, job->submission->amount.hundredths };
	b->latest_end_ns = wall(c, scheduler_lease_ends_latest(c, job));
}

static void add_foreign(struct core_explanation *x, const struct device *d)
{
	struct core_blocker *b = d->info.foreign ? new_blocker(x) : NULL;

	if (!b)
		return;
	b->kind = BLOCKER_FOREIGN;
	memcpy(b->worker, d->worker->said.worker, ID_SIZE);
	b->device = d->info.index;
	b->amount = (struct amount){ 1, d->info.foreign };
}

static void add_first_in_line(
	struct core *c, struct core_explanation *x, const struct job *job)
{
	const struct job *first = c->reserved.job;
	struct core_blocker *b;

	if (!first || first == job || !queue_before(&first->node, &job->node))
		return;
	b = new_blocker(x);
	if (!b)
		return;
	fill_job(b, first);
	b->kind = BLOCKER_BEFORE_IT;
	memcpy(b->worker, c->reserved.devices[0]->worker->said.worker, ID_SIZE);
	b->device = c->reserved.devices[0]->info.index;
}

/* What holds the devices that would come free for it first. */
static void add_blockers(
	struct core *c, struct core_explanation *x, const struct job *job)
{
	struct reservation r = scheduler_earliest(
		c, job->submission->amount, scheduler_lease_ends_latest);

	if (c->reserved.job == job)
		r = c->reserved;
	add_first_in_line(c, x, job);
	for (uint32_t i = 0; r.at_ns != NEVER && i < r.count; i++) {
		const struct device *d = r.devices[i];

		for (uint32_t k = 0; k < d->lease_count; k++)
			add_lease(c, x, d, d->leases[k]);
		add_foreign(x, d);
	}
}

/* ---- what would start now */

/* The same job with one thing changed; lives as long as both are on the stack. */
struct if_only {
	struct job job;
	struct submission submission;
};

static void if_only_init(struct if_only *other, const struct job *job)
{
	other->job = *job;
	other->submission = *job->submission;
	other->job.submission = &other->submission;
}

static bool starts_now(struct core *c, const struct if_only *other)
{
	struct placement at;

	return scheduler_would_start(c, &other->job, &at);
}

static void add_alternative(struct core_explanation *x, const struct if_only *other,
	enum alternative_kind kind)
{
	x->alternatives[x->alternative_count++] = (struct core_alternative){
		.kind = kind,
		.amount = other->submission.amount,
		.duration_s = other->submission.duration_s,
		.priority = other->submission.priority,
	};
}

static bool smaller(struct amount *a)
{
	if (a->devices > 1)
		a->devices--;
	else if (a->hundredths == 100)
		a->hundredths = 90;
	else if (a->hundredths > 10)
		a->hundredths--;
	else
		return false;
	return true;
}

static void try_smaller(struct core *c, struct core_explanation *x, const struct job *job)
{
	struct if_only other;

	if_only_init(&other, job);
	while (smaller(&other.submission.amount)) {
		if (!starts_now(c, &other))
			continue;
		add_alternative(x, &other, ALTERNATIVE_SMALLER);
		return;
	}
}

/* It must be over before the devices are wanted. */
static void try_shorter(struct core *c, struct core_explanation *x, const struct job *job)
{
	int64_t left = c->reserved.at_ns - c->now.boot_ns - 2 * c->config.grace_ns;
	struct if_only other;

	if (!c->reserved.job || left < NS || left / NS >= job->submission->duration_s)
		return;
	if_only_init(&other, job);
	other.submission.duration_s = (int32_t)(left / NS);
	if (starts_now(c, &other))
		add_alternative(x, &other, ALTERNATIVE_SHORTER);
}

static void try_more_urgent(
	struct core *c, struct core_explanation *x, const struct job *job)
{
	struct err e;
	struct if_only other;

	if (!c->reserved.job || c->reserved.job == job)
		return;
	if_only_init(&other, job);
	other.submission.priority = c->reserved.job->node.priority + 1;
	other.job.node.priority = other.submission.priority;
	if (priority_check(other.submission.priority, &e) == 0 && starts_now(c, &other))
		add_alternative(x, &other, ALTERNATIVE_MORE_URGENT);
}

static void add_alternatives(
	struct core *c, struct core_explanation *x, const struct job *job)
{
	try_shorter(c, x, job);
	try_more_urgent(c, x, job);
	try_smaller(c, x, job);
}

/* ---- the whole */

static uint32_t position(const struct core *c, const struct job *job)
{
	uint32_t before = 0;

	for (size_t k = 0; k < AMOUNT_KINDS; k++)
		before += queue_before_count(&c->queue, k, &job->node);
	return before + 1;
}

static void explain_queued(
	struct core *c, struct core_explanation *x, const struct job *job)
{
	struct waiting waits = job_waits_for(c, job);
	int64_t at = waits.reason ? latest_start(c, job) : c->now.boot_ns;

	x->reason = waits.reason;
	str_put(x->text, sizeof(x->text), "%s",
		waits.reason ? waits.text : "about to start");
	x->position = position(c, job);
	x->latest_start_ns = wall(c, at);
	x->latest_end_ns = wall(c, plus(at, longest_run(c, job)));
	if (!waits.reason)
		return;
	add_blockers(c, x, job);
	add_alternatives(c, x, job);
}

static void explain_placed(
	const struct core *c, struct core_explanation *x, const struct job *job)
{
	memcpy(x->worker, job->facts.worker, ID_SIZE);
	x->latest_end_ns = wall(c, scheduler_lease_ends_latest(c, job));
}

int core_explain(struct core *c, const struct core_time *now, const char *id,
	struct core_explanation *x, struct err *e)
{
	const struct job *job = job_find(c, id);

	if (!job || job->fresh || job_state_final(job->facts.state))
		return err_set(e, ERR_NOT_FOUND, "there is no such job that is not over");
	c->now = *now;
	*x = (struct core_explanation){
		.state = job->facts.state,
		.reason = job->facts.reason,
		.waiting_jobs = c->counts.waiting,
	};
	str_put(x->text, sizeof(x->text), "%s",
		job->facts.message ? job->facts.message : "");
	if (is_queued(job))
		explain_queued(c, x, job);
	else if (job->run)
		explain_placed(c, x, job);
	else if (job->timer.slot)
		x->next_try_ns = wall(c, job->timer.at_ns);
	return 0;
}
