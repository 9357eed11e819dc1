/* core.c - takes inputs one at a time: restores, admits, commits, keeps the time. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "inside.h"
#include "str.h"
#include "xalloc.h"

struct refused {
	struct list link;
	uint64_t number;
};

struct core *core_new(const struct core_config *config)
{
	struct core *c = xcalloc(1, sizeof(*c));

	c->config = *config;
	fleet_init(&c->fleet);
	gate_init(&c->gate);
	list_init(&c->fresh);
	list_init(&c->refused);
	list_init(&c->early);
	c->first_workers.kind = TIMER_FIRST_WORKERS;
	return c;
}

static void early_free(struct early *e)
{
	list_remove(&e->link);
	submission_free(e->submission);
	free(e);
}

/* All jobs in one array that the caller frees: the table must stay as it is in a walk. */
static struct job **all_jobs(const struct core *c)
{
	struct job **jobs = xcalloc(c->jobs.count, sizeof(*jobs));
	size_t n = 0;

	for (struct table_entry *it = table_next(&c->jobs, NULL); it;
		it = table_next(&c->jobs, it))
		jobs[n++] = table_value(it, struct job, by_id);
	return jobs;
}

static void free_jobs(struct core *c)
{
	CLEANUP(free_ptr) struct job **jobs = all_jobs(c);

	memset(&c->queue, 0, sizeof(c->queue));
	for (size_t i = 0, n = c->jobs.count; i < n; i++) {
		jobs[i]->node.queued = false;
		job_free(c, jobs[i]);
	}
}

void core_free(struct core *c)
{
	if (!c)
		return;
	gate_fini(&c->gate); /* first: its entries hang on the jobs that they wait for */
	free_jobs(c);
	list_each_safe(at, &c->early) early_free(list_entry(at, struct early, link));
	list_each_safe(at, &c->refused) free(list_entry(at, struct refused, link));
	fleet_fini(c);
	timer_queue_fini(&c->timers);
	table_fini(&c->jobs);
	table_fini(&c->keys);
	free(c);
}

void core_set_limits(struct core *c, const struct core_config *from)
{
	c->config.setup_limit_ns = from->setup_limit_ns;
	c->config.grace_ns = from->grace_ns;
	c->config.waiting_jobs_max = from->waiting_jobs_max;
}

void core_log(struct core *c, const struct job *job, enum job_state from,
	enum job_state to, enum job_reason reason, const char *text)
{
	struct effect effect = { .kind = EFFECT_LOG,
		.from = from,
		.to = to,
		.reason = reason,
		.text = text ? xstrdup(text) : NULL };

	if (job) {
		memcpy(effect.job, job->id, ID_SIZE);
		memcpy(effect.worker, job->facts.worker, ID_SIZE);
		effect.attempt = job->facts.attempt;
	}
	gate_push(c, &effect, 0);
}

/* ---- around each input */

void core_begin(struct core *c, const struct core_time *now)
{
	c->now = *now;
	c->input++;
	if (c->gate.woken_ns <= now->boot_ns)
		c->gate.woken_ns = NEVER;
}

static void unpark(struct core *c);

static void strike(struct core *c, struct timer *timer)
{
	switch (timer->kind) {
	case TIMER_RUN:
		job_overdue(c, list_entry(timer, struct job, timer));
		return;
	case TIMER_BACKOFF:
		job_ready(c, list_entry(timer, struct job, timer));
		return;
	case TIMER_SILENCE:
		worker_silent(c, list_entry(timer, struct worker, silence));
		return;
	case TIMER_PAUSE:
		timer_clear(&c->timers, timer);
		c->fleet.epoch++;
		worker_changed(c, list_entry(timer, struct worker, pause));
		return;
	case TIMER_FIRST_WORKERS:
		unpark(c);
		return;
	}
}

void core_finish(struct core *c)
{
	struct timer *first;

	while ((first = timer_queue_first(&c->timers)) && first->at_ns <= c->now.boot_ns)
		strike(c, first);
	if (c->dirty) {
		c->dirty = false;
		scheduler_run(c);
		c->dirty = false;
	}
}

void core_tick(struct core *c, const struct core_time *now)
{
	core_begin(c, now);
	/* The wish is used up, also when its tick comes a little early. */
	c->gate.woken_ns = NEVER;
	core_finish(c);
}

/* ---- new jobs */

static char *key_of(const struct submission *s, size_t *len)
{
	size_t owner = s->owner ? strlen(s->owner) : 0;
	char *key;

	*len = owner + 1 + strlen(s->key);
	key = xcalloc(1, *len + 1);
	if (owner)
		memcpy(key, s->owner, owner);
	memcpy(key + owner + 1, s->key, strlen(s->key));
	return key;
}

static struct job *find_key(const struct core *c, const struct submission *s)
{
	size_t len;
	char *key = key_of(s, &len);
	struct table_entry *entry = table_find(&c->keys, key, len);

	free(key);
	return entry ? table_value(entry, struct job, by_key) : NULL;
}

static struct job *job_new(struct core *c, const char *id, struct submission *thin)
{
	struct job *job = xcalloc(1, sizeof(*job));

	str_put(job->id, ID_SIZE, "%s", id);
	job->submission = thin;
	job->node.order = ++c->order;
	job->node.priority = thin->priority;
	list_init(&job->fresh_link);
	list_init(&job->waiters);
	table_add_str(&c->jobs, &job->by_id, job->id);
	if (thin->key) {
		size_t len;

		job->key = key_of(thin, &len);
		table_add(&c->keys, &job->by_key, job->key, len);
	}
	return job;
}

static char *dup_or_null(const char *s)
{
	return s ? xstrdup(s) : NULL;
}

/* What the core keeps of a submission while the whole goes to the store. */
static struct submission *thin_copy(const struct submission *s)
{
	struct submission *thin = xmemdup(s, sizeof(*s));

	thin->owner = dup_or_null(s->owner);
	thin->name = dup_or_null(s->name);
	thin->key = dup_or_null(s->key);
	thin->labels = s->labels ? xmemdup(s->labels, s->labels_len) : NULL;
	thin->spec = thin->zip = NULL;
	thin->spec_len = thin->zip_len = 0;
	return thin;
}

static void refuse(
	struct core *c, core_token token, enum unavailable_why why, const struct err *e)
{
	struct effect answer = {
		.kind = EFFECT_ANSWER, .token = token, .error = *e, .why = why
	};

	gate_push(c, &answer, 0);
}

/* Answer when its key belongs to a job of before; false when it is a new one. */
static bool answer_known(struct core *c, core_token token, const struct submission *s,
	const struct core_known_key *known)
{
	struct effect answer = { .kind = EFFECT_ANSWER, .token = token, .existed = true };
	struct job *job = s->key ? find_key(c, s) : NULL;
	const struct digest *identity =
		job ? &job->submission->identity : &known->identity;

	if (!s->key || !(job || known->found))
		return false;
	memcpy(answer.job, job ? job->id : known->job, ID_SIZE);
	if (memcmp(identity, &s->identity, sizeof(*identity)) != 0) {
		char quoted[STR_QUOTE_SIZE];

		answer.existed = false;
		err_set(&answer.error, ERR_CONFLICT,
			"idempotency_key \"%s\" belongs to job %s, whose submission "
			"differs",
			str_quote(quoted, s->key, strlen(s->key)), answer.job);
	}
	if (job)
		answer.state = job->facts.state;
	if (job && job->fresh)
		gate_push_waiter(c, &answer, job);
	else
		gate_push(c, &answer, c->issued);
	return true;
}

/* Can it be taken at all?  at is filled for no_wait. */
static int admit(struct core *c, const struct job *job, enum unavailable_why *why,
	struct placement *at, struct err *e)
{
	struct amount a = job->submission->amount;
	struct amount largest = fleet_largest(&c->fleet);
	char want[32], most[32];

	if (c->counts.waiting + c->fresh_count >= c->config.waiting_jobs_max)
		return err_set(e, ERR_EXHAUSTED,
			"%u jobs are waiting already, which is the limit",
			c->config.waiting_jobs_max);
	if (largest.devices && a.devices > largest.devices) {
		*why = UNAVAILABLE_NEVER_FITS;
		return err_set(e, ERR_UNAVAILABLE,
			"%s can never fit: the most that one worker has is %s",
			amount_text(want, a), amount_text(most, largest));
	}
	if (!fleet_any_ready(&c->fleet)) {
		*why = UNAVAILABLE_NO_WORKER;
		return err_set(e, ERR_UNAVAILABLE, "no worker is ready%s",
			core_count(c).draining_workers ? ": one is draining" : "");
	}
	if (!largest.devices) {
		*why = UNAVAILABLE_NEVER_FITS;
		return err_set(e, ERR_UNAVAILABLE,
			"%s can never fit: no worker has a healthy device",
			amount_text(want, a));
	}
	if (job->submission->no_wait && !scheduler_would_start(c, job, at)) {
		*why = UNAVAILABLE_NO_WAIT;
		return err_set(e, ERR_UNAVAILABLE, "no_wait: no worker has %s free now",
			amount_text(want, a));
	}
	return 0;
}

/* Its first event says for what it waits, as far as can be told. */
static void first_facts(struct core *c, struct job *job)
{
	struct waiting waits = { .reason = REASON_NONE };

	if (!job->run)
		waits = job_waits_for(c, job);
	job->facts.state = JOB_SCHEDULING;
	job->facts.last_sequence = 1;
	job->facts.created_ns = c->now.wall_ns;
	job->facts.reason = waits.reason;
	job->facts.message = xstrdup(waits.reason ? waits.text : "accepted");
}

/* A job that is not in any table yet; the caller frees it or makes it fresh. */
static void submit_new(
	struct core *c, core_token token, const char *id, struct submission *s)
{
	struct effect answer = {
		.kind = EFFECT_ANSWER, .token = token, .state = JOB_SCHEDULING
	};
	enum unavailable_why why = UNAVAILABLE_NONE;
	struct placement at = { 0 };
	struct err e = { 0 };
	struct job *job = job_new(c, id, thin_copy(s));

	if (admit(c, job, &why, &at, &e) < 0) {
		job_free(c, job);
		submission_free(s);
		refuse(c, token, why, &e);
		return;
	}
	/* no_wait: decided now, so the devices are its own from now on. */
	if (at.count)
		lease_take(c, job, &at);
	job->fresh = true;
	c->fresh_count++;
	list_append(&c->fresh, &job->fresh_link);
	first_facts(c, job);
	job_new_record(c, job, s);
	memcpy(answer.job, job->id, ID_SIZE);
	gate_push_waiter(c, &answer, job);
}

static void park(struct core *c, core_token token, const char *id, struct submission *s,
	const struct core_known_key *known)
{
	struct early *e = xcalloc(1, sizeof(*e));

	e->token = token;
	str_put(e->id, ID_SIZE, "%s", id);
	e->submission = s;
	e->known = *known;
	list_append(&c->early, &e->link);
	if (!c->first_workers.slot)
		timer_set(&c->timers, &c->first_workers,
			c->now.boot_ns + c->config.first_workers_ns);
}

static void submit(struct core *c, core_token token, const char *id, struct submission *s,
	const struct core_known_key *known)
{
	if (answer_known(c, token, s, known))
		submission_free(s);
	else if (!c->listed)
		park(c, token, id, s, known);
	else
		submit_new(c, token, id, s);
}

void core_submit(struct core *c, const struct core_time *now, core_token token,
	const char *id, struct submission *s, const struct core_known_key *known)
{
	core_begin(c, now);
	submit(c, token, id, s, known);
	core_finish(c);
}

static void unpark(struct core *c)
{
	c->listed = true;
	timer_clear(&c->timers, &c->first_workers);
	while (!list_empty(&c->early)) {
		struct early *e = list_entry(c->early.next, struct early, link);

		submit(c, e->token, e->id, take_ptr(&e->submission), &e->known);
		early_free(e);
	}
}

void core_workers_listed(struct core *c, const struct core_time *now)
{
	core_begin(c, now);
	unpark(c);
	core_finish(c);
}

/* ---- cancelling */

static void answer_not_found(struct core *c, core_token token, const char *id)
{
	struct effect answer = { .kind = EFFECT_ANSWER, .token = token };

	str_put(answer.job, ID_SIZE, "%s", id);
	err_set(&answer.error, ERR_NOT_FOUND, "there is no job %s", answer.job);
	gate_push(c, &answer, 0);
}

void core_cancel(
	struct core *c, const struct core_time *now, core_token token, const char *id)
{
	core_begin(c, now);

	struct job *job = job_find(c, id);
	if (!job) {
		answer_not_found(c, token, id);
	} else if (job->fresh) {
		job->cancels = xreallocarray(
			job->cancels, job->cancel_count + 1, sizeof(*job->cancels));
		job->cancels[job->cancel_count++] = token;
	} else {
		job_cancel(c, job, token);
	}
	core_finish(c);
}

/* ---- what the store says */

void core_await(struct core *c, uint64_t number, core_token token)
{
	struct effect ready = { .kind = EFFECT_READY, .token = token };

	gate_push(c, &ready, number ? number : c->issued);
}

static void make_live(struct core *c, struct job *job)
{
	list_remove(&job->fresh_link);
	while (!list_empty(&job->waiters))
		list_remove(job->waiters.next);
	job->fresh = false;
	c->fresh_count--;
	c->counts.submitted++;
	job->committed_sequence = 1;
	core_log(c, job, JOB_NONE, job->facts.state, job->facts.reason,
		job->facts.message);
	job_enqueue(c, job);
	for (size_t i = 0; i < job->cancel_count; i++)
		job_cancel(c, job, job->cancels[i]);
	free(job->cancels);
	job->cancels = NULL;
	job->cancel_count = 0;
}

/* A refused number is as good as committed: nothing rests on it. */
static void raise_committed(struct core *c, uint64_t number)
{
	if (number > c->committed)
		c->committed = number;
	while (!list_empty(&c->refused)) {
		struct refused *r = list_entry(c->refused.next, struct refused, link);

		if (r->number > c->committed + 1)
			break;
		if (r->number > c->committed)
			c->committed = r->number;
		list_remove(&r->link);
		free(r);
	}
}

static void commit(struct core *c, uint64_t number)
{
	raise_committed(c, number);
	while (!list_empty(&c->fresh)) {
		struct job *job = list_entry(c->fresh.next, struct job, fresh_link);

		if (job->last_record > c->committed)
			break;
		make_live(c, job);
	}
}

void core_committed(struct core *c, const struct core_time *now, uint64_t number)
{
	core_begin(c, now);
	commit(c, number);
	core_finish(c);
}

static struct job *find_fresh(const struct core *c, uint64_t number)
{
	list_each(it, &c->fresh)
	{
		struct job *job = list_entry(it, struct job, fresh_link);

		if (job->last_record == number)
			return job;
	}
	return NULL;
}

void core_refused(struct core *c, const struct core_time *now, uint64_t number,
	const struct err *why)
{
	core_begin(c, now);

	struct job *job = find_fresh(c, number);
	if (job) {
		struct refused *r = xcalloc(1, sizeof(*r));

		r->number = number;
		list_append(&c->refused, &r->link);
		gate_refuse_waiters(job, why);
		for (size_t i = 0; i < job->cancel_count; i++)
			answer_not_found(c, job->cancels[i], job->id);
		if (job->run)
			lease_release(c, job);
		c->fresh_count--;
		job_free(c, job);
		commit(c, c->committed);
	}
	core_finish(c);
}

/* ---- restoring */

static int check_rows(const char *id, const struct job_facts *f,
	const struct submission *s, struct err *e)
{
	struct amount a = s->amount;
	bool part = a.devices == 1 && a.hundredths >= 10 && a.hundredths <= 90;
	bool whole =
		a.hundredths == 100 && a.devices >= 1 && a.devices <= JOB_DEVICES_MAX;
	bool active = f->state == JOB_CREATING_PARTITION || f->state == JOB_RUNNING;

	if (f->state <= JOB_NONE || f->state >= JOB_STATE_COUNT)
		return err_set(e, ERR_INVALID, "job %s: no such state", id);
	if (!part && !whole)
		return err_set(e, ERR_INVALID, "job %s: no such amount", id);
	if (active != f->leased && !(f->leased && job_state_final(f->state)))
		return err_set(e, ERR_INVALID, "job %s is %s %s a lease", id,
			job_state_name(f->state), f->leased ? "with" : "without");
	if (f->leased && (f->device_count != a.devices || !*f->worker))
		return err_set(e, ERR_INVALID, "job %s: lease and amount differ", id);
	return 0;
}

static int find_lease(
	struct core *c, struct job *job, struct placement *at, struct err *e)
{
	struct job_facts *f = &job->facts;

	at->worker = fleet_get(c, f->worker);
	at->count = f->device_count;
	for (uint32_t i = 0; i < at->count; i++) {
		struct device *d = worker_device(at->worker, f->devices[i].uuid);

		if (!d) {
			d = worker_add_device(at->worker, f->devices[i].uuid);
			d->info.index = f->devices[i].index;
		}
		if (d->leased + job->submission->amount.hundredths > 100)
			return err_set(e, ERR_INVALID, "job %s: device %s is oversold",
				job->id, d->info.uuid);
		for (uint32_t k = 0; k < i; k++)
			if (at->devices[k] == d)
				return err_set(e, ERR_INVALID,
					"job %s: device %s is leased twice", job->id,
					d->info.uuid);
		at->devices[i] = d;
	}
	return 0;
}

static int restore_lease(struct core *c, struct job *job, struct err *e)
{
	struct placement at = { 0 };

	if (find_lease(c, job, &at, e) < 0)
		return -1;
	lease_take(c, job, &at);
	job->run->taken = job->facts.report;
	return 0;
}

int core_restore_job(struct core *c, const char *id, struct job_facts *facts,
	struct submission *s, struct err *e)
{
	struct job *job = job_find(c, id);
	int rc = -1;

	if (!id_valid(id, 'j'))
		err_set(e, ERR_INVALID, "\"%.40s\" is no job's id", id);
	else if (job || (s->key && find_key(c, s)))
		err_set(e, ERR_INVALID, "job %s: its id or key is there twice", id);
	else
		rc = check_rows(id, facts, s, e);
	if (rc < 0) {
		job_facts_fini(facts);
		submission_free(s);
		return -1;
	}
	job = job_new(c, id, s);
	job->facts = *facts;
	*facts = (struct job_facts){ 0 };
	job->committed_sequence = job->facts.last_sequence;
	if (job->facts.leased && restore_lease(c, job, e) < 0) {
		job_free(c, job);
		return -1;
	}
	return 0;
}

int core_restore_worker(struct core *c, const char *id, bool draining, struct err *e)
{
	if (!id_valid(id, 'w'))
		return err_set(e, ERR_INVALID, "\"%.40s\" is no worker's id", id);
	fleet_get(c, id)->draining = draining;
	return 0;
}

int core_restored(struct core *c, const struct core_time *now, struct err *e)
{
	(void)e;
	core_begin(c, now);
	for (struct table_entry *it = table_next(&c->jobs, NULL); it;
		it = table_next(&c->jobs, it)) {
		struct job *job = table_value(it, struct job, by_id);

		job_restored(c, job);
	}
	core_finish(c);
	return 0;
}
