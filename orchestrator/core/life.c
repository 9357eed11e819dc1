/* life.c - how a job moves from state to state, and what is recorded and told of it. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "inside.h"
#include "str.h"
#include "xalloc.h"

/* Which failures another attempt may cure.  A job is tried again only if it asked for
 * retries, whether its own code failed or what was around it; limits that it would meet
 * again, and results that cannot be had, are final. */
static bool retry_may_help(enum job_reason reason)
{
	switch (reason) {
	case REASON_ENVIRONMENT_FAILED:
	case REASON_CODE_FAILED:
	case REASON_EXITED:
	case REASON_SIGNALED:
	case REASON_OUT_OF_MEMORY:
	case REASON_PARTITION_FAILED:
	case REASON_CONTAINER_FAILED:
	case REASON_SETUP_TIMED_OUT:
	case REASON_WORKER_LOST:
	case REASON_OUTCOME_UNKNOWN:
	case REASON_RUNNER_LOST:
		return true;
	default:
		return false;
	}
}

struct job *job_find(const struct core *c, const char *id)
{
	struct table_entry *entry = table_find_str(&c->jobs, id);

	return entry ? table_value(entry, struct job, by_id) : NULL;
}

void job_free(struct core *c, struct job *job)
{
	assert(!job->node.queued);
	scheduler_forget(c, job);
	timer_clear(&c->timers, &job->timer);
	table_remove(&c->jobs, &job->by_id);
	if (job->key)
		table_remove(&c->keys, &job->by_key);
	if (job->run) {
		list_remove(&job->run->on_worker);
		run_free(job->run);
	}
	for (int i = 0; i < job->event_count; i++)
		job_state_event_fini(&job->events[i]);
	free(job->events);
	job_facts_fini(&job->facts);
	submission_free(job->submission);
	free(job->key);
	free(job->cancels);
	list_remove(&job->fresh_link);
	free(job);
}

/* ---- counting */

/* One of a later version, back in an earlier one, is counted as none. */
static enum job_reason counted_reason(const struct job *job)
{
	return job->facts.reason < JOB_REASON_COUNT ? job->facts.reason : REASON_NONE;
}

/* What the job is now is counted no more. */
static void count_out(struct core *c, const struct job *job)
{
	enum job_state state = job->facts.state;

	c->counts.in_state[state]--;
	if (state == JOB_SCHEDULING) {
		c->counts.waiting--;
		c->counts.waiting_for[counted_reason(job)]--;
	}
	if (state == JOB_CREATING_PARTITION || state == JOB_RUNNING)
		c->counts.active--;
}

static void count_in(struct core *c, const struct job *job)
{
	enum job_state state = job->facts.state;

	if (job_state_final(state)) {
		c->counts.finished[state]++;
		return;
	}
	c->counts.in_state[state]++;
	if (state == JOB_SCHEDULING) {
		c->counts.waiting++;
		c->counts.waiting_for[counted_reason(job)]++;
	} else {
		c->counts.active++;
	}
}

/* ---- records */

static void keep_event(struct job *job, const struct job_state_event *ev)
{
	if (job->event_count == EVENTS_KEPT) {
		job_state_event_fini(&job->events[0]);
		memmove(job->events, job->events + 1,
			(EVENTS_KEPT - 1) * sizeof(*job->events));
		job->event_count--;
	}
	job->events =
		xreallocarray(job->events, job->event_count + 1u, sizeof(*job->events));
	job->events[job->event_count++] = job_state_event_dup(ev);
}

static struct job_state_event last_event(const struct core *c, const struct job *job)
{
	const struct job_facts *f = &job->facts;

	return (struct job_state_event){
		.sequence = f->last_sequence,
		.state = f->state,
		.reason = f->reason,
		.attempt = f->attempt,
		.wall_ns = c->now.wall_ns,
		.output_at = f->output_end,
		.message = f->message, /* borrowed */
	};
}

static struct record *record_new(
	struct core *c, struct job *job, enum record_kind kind, enum job_state from)
{
	struct record *r = xcalloc(1, sizeof(*r));

	r->kind = kind;
	r->number = ++c->issued;
	r->input = c->input;
	memcpy(r->job, job->id, ID_SIZE);
	r->facts = job_facts_dup(&job->facts);
	r->from = from;
	job->last_record = r->number;
	gate_push(c, &(struct effect){ .kind = EFFECT_RECORD, .record = r }, 0);
	return r;
}

void job_new_record(struct core *c, struct job *job, struct submission *whole)
{
	struct job_state_event ev = last_event(c, job);
	struct record *r = record_new(c, job, RECORD_NEW_JOB, JOB_NONE);

	r->submission = whole;
	r->event = job_state_event_dup(&ev);
	keep_event(job, &ev);
}

void job_touch(struct core *c, struct job *job)
{
	record_new(c, job, RECORD_CHANGE, job->facts.state);
}

static void set_message(struct job *job, char *message)
{
	free(job->facts.message);
	job->facts.message = message;
}

void job_move(struct core *c, struct job *job, enum job_event ev, enum job_reason reason,
	char *message, const struct ending *end)
{
	struct job_facts *f = &job->facts;
	enum job_state from = f->state;
	struct err e;

	count_out(c, job);
	if (job_state_next(from, ev, &f->state, &e) < 0)
		abort(); /* callers look at the state first */
	f->reason = reason;
	f->last_sequence++;
	if (f->state == JOB_RUNNING)
		f->started_ns = c->now.wall_ns;
	if (job_state_final(f->state))
		f->completed_ns = c->now.wall_ns;
	set_message(job, message);
	count_in(c, job);

	struct job_state_event event = last_event(c, job);
	struct record *r = record_new(c, job, RECORD_CHANGE, from);
	r->event = job_state_event_dup(&event);
	keep_event(job, &event);
	if (end && end->result && f->state == JOB_COMPLETED) {
		r->result = xmemdup(end->result, end->result_len);
		r->result_len = end->result_len;
	}
	if (end && end->error && job_state_final(f->state))
		r->error = xstrdup(end->error);
	core_log(c, job, from, f->state, reason, message);
}

void job_tell(struct core *c, struct job *job)
{
	gate_push_moved(c, job, job->facts.last_sequence);
}

void job_settle(struct core *c, struct job *job)
{
	if (job_state_final(job->facts.state) && !job->run &&
		job->committed_sequence == job->facts.last_sequence &&
		job->last_record <= c->committed)
		job_free(c, job);
}

/* ---- waiting */

static void enqueue(struct core *c, struct job *job)
{
	queue_add(&c->queue, amount_kind(job->submission->amount), &job->node);
	c->dirty = true;
}

static void dequeue(struct core *c, struct job *job)
{
	if (job->node.queued)
		queue_remove(&c->queue, amount_kind(job->submission->amount), &job->node);
	timer_clear(&c->timers, &job->timer);
	/* Whom it kept waiting may start now. */
	if (c->reserved.job == job)
		c->dirty = true;
	scheduler_forget(c, job);
}

void job_enqueue(struct core *c, struct job *job)
{
	count_in(c, job);
	if (!job->run) {
		enqueue(c, job);
		return;
	}
	/* no_wait: what it was promised is still its own, unless its worker has gone, or is
	 * to get nothing new, since. */
	if (job->run->worker->present && !job->run->worker->draining) {
		job_placed(c, job);
	} else {
		lease_release(c, job);
		enqueue(c, job);
	}
}

void job_ready(struct core *c, struct job *job)
{
	timer_clear(&c->timers, &job->timer);
	enqueue(c, job);
}

static void answer_cancel(
	struct core *c, const struct job *job, core_token token, bool cancelled)
{
	struct effect answer = { .kind = EFFECT_ANSWER,
		.token = token,
		.cancelled = cancelled,
		.state = job->facts.state };

	memcpy(answer.job, job->id, ID_SIZE);
	gate_push(c, &answer, job->last_record);
}

static void cancel_waiting(struct core *c, struct job *job, core_token token)
{
	dequeue(c, job);
	job->facts.cancel_requested = true;
	job_move(c, job, EV_ENDED_CANCELLED, REASON_CANCELLED_BY_USER,
		xstrdup("cancelled before it started"), NULL);
	answer_cancel(c, job, token, true);
	job_tell(c, job);
}

static void cancel_running(struct core *c, struct job *job, core_token token)
{
	bool first = !job->facts.cancel_requested;

	if (first) {
		job->facts.cancel_requested = true;
		job_touch(c, job);
	}
	answer_cancel(c, job, token, true);
	if (first)
		run_tell(c, job, EFFECT_STOP, STOP_WHY_CANCEL);
}

void job_cancel(struct core *c, struct job *job, core_token token)
{
	if (job_state_final(job->facts.state))
		answer_cancel(c, job, token, false);
	else if (job->facts.state == JOB_SCHEDULING)
		cancel_waiting(c, job, token);
	else
		cancel_running(c, job, token);
}

/* ---- placed */

void job_deadline(struct core *c, struct job *job)
{
	int64_t limit = job->run->overdue ? c->config.unknown_after_ns
					  : c->config.setup_limit_ns +
						    job->submission->duration_s * NS +
						    2 * c->config.grace_ns;

	job->timer.kind = TIMER_RUN;
	timer_set(&c->timers, &job->timer, c->now.boot_ns + limit);
}

void job_expect_end(struct core *c, struct job *job)
{
	job->run->ends_ns = c->now.boot_ns + job->submission->duration_s * NS +
			    2 * c->config.grace_ns;
}

static void set_devices(struct job *job)
{
	struct job_facts *f = &job->facts;

	free(f->devices);
	f->device_count = job->run->device_count;
	f->devices = xcalloc(f->device_count, sizeof(*f->devices));
	for (uint32_t i = 0; i < f->device_count; i++) {
		const struct core_device *from = &job->run->devices[i]->info;

		str_put(f->devices[i].uuid, sizeof(f->devices[i].uuid), "%s", from->uuid);
		f->devices[i].index = from->index;
	}
}

static char *placed_text(const struct job *job)
{
	char want[32];

	return str_fmt("creating a partition of %s on %s",
		amount_text(want, job->submission->amount),
		job->run->worker->said.hostname);
}

/* Wall clock: its last event made it wait.  After a restart that of a first attempt is known
 * still; of a later one 0 is better than what is not true. */
static int64_t queued_ns(const struct core *c, const struct job *job)
{
	int64_t since = c->now.wall_ns;

	if (job->event_count)
		since = job->events[job->event_count - 1].wall_ns;
	else if (!job->facts.attempt)
		since = job->facts.created_ns;
	return since < c->now.wall_ns ? c->now.wall_ns - since : 0;
}

void job_placed(struct core *c, struct job *job)
{
	struct job_facts *f = &job->facts;
	int64_t queued = queued_ns(c, job);

	f->attempt++;
	f->output_end = OUTPUT_OFFSET(f->attempt, 0);
	f->report = 0;
	f->leased = true;
	f->timing = (struct job_timing){ .queued = queued };
	f->gpu = (struct gpu_usage){ 0 };
	memcpy(f->worker, job->run->worker->said.worker, ID_SIZE);
	set_devices(job);
	job->retried = false;
	job_expect_end(c, job);
	job_deadline(c, job);
	job_move(c, job, EV_PLACED, REASON_NONE, placed_text(job), NULL);
	job_tell(c, job);
	run_tell(c, job, EFFECT_START, STOP_WHY_CANCEL);
}

void job_place(struct core *c, struct job *job, const struct placement *p)
{
	dequeue(c, job);
	lease_take(c, job, p);
	job_placed(c, job);
}

void job_restored(struct core *c, struct job *job)
{
	if (job_state_final(job->facts.state)) {
		job->run->ends_ns = NEVER; /* nobody knows whether it runs */
		return;
	}
	count_in(c, job);
	if (!job->run) {
		enqueue(c, job);
		return;
	}
	/* Deadlines of before mean nothing now: they begin again. */
	job_expect_end(c, job);
	job_deadline(c, job);
}

/* ---- back to waiting */

static void drop_lease(struct core *c, struct job *job)
{
	timer_clear(&c->timers, &job->timer);
	lease_release(c, job);
	job->facts.leased = false;
}

/* The attempt is over: its output ends where our copy does, if nobody knows better. */
static void close_output(struct job *job)
{
	int64_t end = OUTPUT_OFFSET(job->facts.attempt, job->run->output_durable);

	if (end > job->facts.output_end)
		job->facts.output_end = end;
	job->facts.output_bytes += job->run->output_bytes;
	job->run->output_bytes = 0;
}

/* What GetJobStatus shows of an attempt is gone with it. */
static void forget_attempt(struct job *job)
{
	struct job_facts *f = &job->facts;

	free(f->devices);
	free(f->partition);
	free(f->container);
	free(f->environment);
	f->devices = NULL;
	f->device_count = 0;
	f->partition = f->container = f->environment = NULL;
	f->started_ns = 0;
	f->report = 0;
	f->exit_known = false;
	f->exit_code = 0;
}

static int64_t backoff_ns(uint32_t times)
{
	int64_t s = times > 5 ? BACKOFF_MAX_S : INT64_C(1) << (times - 1);

	return (s < BACKOFF_MAX_S ? s : BACKOFF_MAX_S) * NS;
}

void job_requeue(struct core *c, struct job *job, enum job_event ev,
	enum job_reason reason, char *message)
{
	close_output(job);
	drop_lease(c, job);
	forget_attempt(job);
	job_move(c, job, ev, reason, message, NULL);
	job_tell(c, job);
	job->retried = true;
	job->refusals++;
	job->timer.kind = TIMER_BACKOFF;
	timer_set(&c->timers, &job->timer, c->now.boot_ns + backoff_ns(job->refusals));
}

/* ---- the end */

static bool may_retry(const struct job *job, enum job_reason reason, bool release)
{
	return release && !job->facts.cancel_requested && retry_may_help(reason) &&
	       job->facts.retries < job->submission->max_retries;
}

static void retry(
	struct core *c, struct job *job, const struct ending *end, const char *message)
{
	struct job_facts *f = &job->facts;
	char *text = str_fmt("attempt %d failed: %s; retry %d of %d follows", f->attempt,
		message, f->retries + 1, job->submission->max_retries);

	f->retries++;
	job_requeue(c, job, f->state == JOB_RUNNING ? EV_REQUEUED : EV_PLACEMENT_REFUSED,
		end->reason, text);
}

void job_end(struct core *c, struct job *job, const struct ending *end, char *message,
	bool release)
{
	enum job_event ev = end->event;
	enum job_reason reason = end->reason;

	if (ev == EV_ENDED_BADLY && may_retry(job, reason, release)) {
		retry(c, job, end, message);
		free(message);
		return;
	}
	if (job->facts.cancel_requested) {
		ev = EV_ENDED_CANCELLED;
		reason = REASON_CANCELLED_BY_USER;
		free(message);
		message = xstrdup("cancelled");
	}
	/* Its report "started" is not among those that came: RUNNING is seen all the same. */
	if (ev == EV_ENDED_WELL && job->facts.state == JOB_CREATING_PARTITION) {
		job_move(c, job, EV_STARTED, REASON_NONE, xstrdup("running"), NULL);
		job_tell(c, job);
	}
	close_output(job);
	if (release)
		drop_lease(c, job);
	job_move(c, job, ev, reason, message, end);
	job_tell(c, job);
}

void job_outcome_unknown(struct core *c, struct job *job, const char *why, bool gone)
{
	struct ending end = { .event = EV_ENDED_BADLY, .reason = REASON_OUTCOME_UNKNOWN };
	char *text = str_fmt("how attempt %d on worker %s ended is not known: %s",
		job->facts.attempt, job->facts.worker, why);

	end.error = text;
	if (!gone) {
		timer_clear(&c->timers, &job->timer);
		job->run->ends_ns = NEVER;
	}
	job_end(c, job, &end, xstrdup(text), gone);
	free(text);
}

void job_overdue(struct core *c, struct job *job)
{
	if (job->run->ended) {
		/* How it ended is known; only the rest of its output did not come. */
		run_close_output(c, job, job->run->output_durable);
	} else if (job->run->overdue) {
		job_outcome_unknown(c, job, "the worker did not come back", false);
	} else {
		job->run->overdue = true;
		job_deadline(c, job);
		run_tell(c, job, EFFECT_STOP, STOP_WHY_BACKSTOP);
	}
}

void job_release_late(struct core *c, struct job *job)
{
	drop_lease(c, job);
	job_touch(c, job);
	gate_push_moved(c, job, 0);
}
