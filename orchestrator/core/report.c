/* report.c - takes what workers report of runs: once, in order, from the right one. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "inside.h"
#include "str.h"
#include "xalloc.h"

/* A report "ended" that waits for the run's output; its pointers are owned. */
struct kept_end {
	struct core_report report;
	char *message, *error;
	uint8_t *result;
};

static char *dup_or_null(const char *s)
{
	return s ? xstrdup(s) : NULL;
}

static struct kept_end *kept_end_new(const struct core_report *r)
{
	struct kept_end *k = xcalloc(1, sizeof(*k));

	k->report = *r;
	k->report.message = k->message = dup_or_null(r->message);
	k->report.error = k->error = dup_or_null(r->error);
	k->report.result = k->result =
		r->result ? xmemdup(r->result, r->result_len) : NULL;
	return k;
}

static void kept_end_free(struct kept_end *k)
{
	if (!k)
		return;
	free(k->message);
	free(k->error);
	free(k->result);
	free(k);
}

void run_free(struct run *run)
{
	kept_end_free(run->ended);
	free(run->progress_text);
	free(run);
}

/* ---- what workers are told of a run */

static struct effect to_worker(
	const struct worker *w, enum effect_kind kind, const char *job, int32_t attempt)
{
	struct effect effect = { .kind = kind, .attempt = attempt };

	memcpy(effect.job, job, ID_SIZE);
	memcpy(effect.worker, w->said.worker, ID_SIZE);
	effect.session = w->said.session;
	return effect;
}

void run_tell(
	struct core *c, const struct job *job, enum effect_kind kind, enum stop_why why)
{
	const struct worker *w = job->run->worker;
	struct effect effect = to_worker(w, kind, job->id, job->facts.attempt);

	if (!w->present)
		return; /* its next Hello is answered with what it missed */
	effect.stop_why = why;
	if (kind == EFFECT_START) {
		effect.amount = job->submission->amount;
		effect.duration_s = job->submission->duration_s;
		effect.devices = xmemdup(job->facts.devices,
			job->facts.device_count * sizeof(*job->facts.devices));
	}
	gate_push(c, &effect, job->last_record);
}

/* Reports up to this one are part of the record `rests_on`. */
static void acknowledge(struct core *c, const struct worker *w,
	const struct core_report *r, int64_t number, uint64_t rests_on)
{
	struct effect effect = to_worker(w, EFFECT_COMMITTED, r->job, r->attempt);

	if (!number || !w->present)
		return;
	effect.report = number;
	gate_push(c, &effect, rests_on);
}

static void tell_forget(struct core *c, const struct worker *w,
	const struct core_report *r, uint64_t rests_on)
{
	struct effect effect = to_worker(w, EFFECT_FORGET, r->job, r->attempt);

	if (w->present)
		gate_push(c, &effect, rests_on);
}

/* ---- reports of leases */

/* The environment stands; nothing that a stream shows has changed. */
static void take_setting_up(struct core *c, struct job *job, const struct core_report *r)
{
	struct job_facts *f = &job->facts;

	if (f->state != JOB_CREATING_PARTITION || job->run->ended)
		return;
	f->report = r->number;
	free(f->environment);
	f->environment = str_empty(r->environment) ? NULL : xstrdup(r->environment);
	job_touch(c, job);
	acknowledge(c, job->run->worker, r, r->number, job->last_record);
}

static void take_started(struct core *c, struct job *job, const struct core_report *r)
{
	struct job_facts *f = &job->facts;

	if (f->state != JOB_CREATING_PARTITION || job->run->ended)
		return; /* it came late: RUNNING is told already, or will be */
	f->report = r->number;
	f->partition = dup_or_null(r->partition);
	f->container = dup_or_null(r->container);
	f->output_end = OUTPUT_OFFSET(f->attempt, r->output_at);
	job->refusals = 0;
	job_expect_end(c, job);
	job_move(c, job, EV_STARTED, REASON_NONE, xstrdup("running"), NULL);
	job_tell(c, job);
	acknowledge(c, job->run->worker, r, r->number, job->last_record);
}

static const char *end_text(const struct core_report *r)
{
	if (!str_empty(r->message))
		return r->message;
	return r->reason == REASON_NONE ? "completed" : "failed";
}

/* How much of its output comes before the end, as far as it will ever come. */
static int64_t output_before(const struct run *run, const struct core_report *r)
{
	return r->output_end < run->output_there ? r->output_end : run->output_there;
}

static void take_ended(struct core *c, struct job *job, const struct core_report *r)
{
	struct ending end = {
		.event = r->reason == REASON_NONE ? EV_ENDED_WELL : EV_ENDED_BADLY,
		.reason = r->reason,
		.result = r->result,
		.result_len = r->result_len,
		.error = r->error,
	};
	struct worker *w = job->run->worker;
	struct job_facts *f = &job->facts;
	int64_t end_at = OUTPUT_OFFSET(f->attempt, output_before(job->run, r));
	int64_t queued = f->timing.queued;

	f->report = r->number;
	f->exit_known = r->exit_known;
	f->exit_code = r->exit_code;
	if (end_at > f->output_end) /* it never goes back, not even over what is lost */
		f->output_end = end_at;
	f->output_dropped += r->output_dropped;
	f->timing = r->timing;
	f->timing.queued = queued;
	f->gpu = r->gpu;
	job_end(c, job, &end, xstrdup(end_text(r)), true);
	acknowledge(c, w, r, r->number, job->last_record);
	tell_forget(c, w, r, job->last_record);
}

void run_take_end(struct core *c, struct job *job)
{
	struct run *run = job->run;
	struct kept_end *k = run->ended;

	if (!k || run->output_durable < output_before(run, &k->report))
		return;
	run->ended = NULL; /* the lease goes, and the run with it */
	take_ended(c, job, &k->report);
	kept_end_free(k);
}

void run_close_output(struct core *c, struct job *job, int64_t there)
{
	if (there < job->run->output_there)
		job->run->output_there = there;
	run_take_end(c, job);
}

/* A worker that refuses all that it is given is not given everything. */
static void note_refusal(struct core *c, struct worker *w)
{
	if (++w->refusals < REFUSALS_IN_ROW)
		return;

	uint32_t power = w->refusals - REFUSALS_IN_ROW;
	int64_t s = power > 4 ? BACKOFF_MAX_S : INT64_C(1) << power;
	timer_set(&c->timers, &w->pause, c->now.boot_ns + s * NS);
	worker_changed(c, w);
}

static void refused_for_good(struct core *c, struct job *job, const struct core_report *r)
{
	struct ending end = { .event = EV_ENDED_BADLY,
		.reason = REASON_CONTAINER_FAILED,
		.error = r->text };

	job_end(c, job, &end, xstrdup(str_empty(r->text) ? "refused" : r->text), true);
}

static void take_refused(struct core *c, struct job *job, const struct core_report *r)
{
	struct worker *w = job->run->worker;
	bool room = r->refused == REFUSED_NO_ROOM;

	job->facts.report = r->number;
	if (r->refused == REFUSED_INVALID || job->facts.cancel_requested ||
		job->facts.state != JOB_CREATING_PARTITION) {
		refused_for_good(c, job, r);
	} else {
		char *text = str_fmt("%s %s: %s; waiting for another try",
			w->said.hostname, room ? "has no room" : "could not start it",
			str_empty(r->text) ? "no reason given" : r->text);

		note_refusal(c, w);
		job_requeue(c, job, EV_PLACEMENT_REFUSED,
			room ? REASON_WAITING_FOR_GPU : REASON_WAITING_FOR_WORKER, text);
	}
	acknowledge(c, w, r, r->number, job->last_record);
	tell_forget(c, w, r, job->last_record);
}

static bool is_last(const struct core_report *r)
{
	return r->kind == REPORT_ENDED || r->kind == REPORT_REFUSED;
}

/* The job was given up, but its run lived on. */
static void take_late(struct core *c, struct job *job, const struct core_report *r)
{
	struct worker *w = job->run->worker;

	if (!is_last(r))
		return;
	job_release_late(c, job);
	acknowledge(c, w, r, r->number, job->last_record);
	tell_forget(c, w, r, job->last_record);
}

static void take(struct core *c, struct job *job, const struct core_report *r)
{
	job->run->taken = r->number;
	if (job_state_final(job->facts.state)) {
		take_late(c, job, r);
		return;
	}
	job_deadline(c, job);
	if (r->kind == REPORT_REFUSED) {
		take_refused(c, job, r);
		return;
	}
	job->run->worker->refusals = 0;
	if (r->kind == REPORT_SETTING_UP)
		take_setting_up(c, job, r);
	if (r->kind == REPORT_STARTED)
		take_started(c, job, r);
	if (r->kind == REPORT_ENDED && !job->run->ended) {
		job->run->ended = kept_end_new(r);
		run_take_end(c, job);
	}
}

/* ---- reports of anything else */

/* A run that the core is done with, or never knew: its folder may go once it has ended,
 * unless it belongs to another store. */
static void fence(struct core *c, struct worker *w, const struct job *job,
	const struct core_report *r)
{
	struct stray *stray = worker_stray(w, r->job, r->attempt);

	if (!is_last(r))
		return;
	if (stray && !stray->ours) {
		core_log(c, NULL, JOB_NONE, JOB_NONE, REASON_NONE,
			"a run of another cluster ended on a worker; left alone");
		return;
	}
	if (stray)
		worker_forget_stray(c, w, stray);
	tell_forget(c, w, r, job ? job->last_record : 0);
}

void core_report(struct core *c, const struct core_time *now, const struct core_report *r)
{
	core_begin(c, now);

	struct worker *w = fleet_find(&c->fleet, r->worker);
	struct job *job = job_find(c, r->job);

	if (w && w->present && w->said.session == r->session) {
		worker_seen(c, w);
		if (!job || !job->run || job->run->worker != w || job->fresh ||
			job->facts.attempt != r->attempt)
			fence(c, w, job, r);
		else if (r->number <= job->run->taken)
			acknowledge(c, w, r, job->facts.report, job->last_record);
		else
			take(c, job, r);
	}
	core_finish(c);
}

static struct job *leased(const struct core *c, const char *id, int32_t attempt)
{
	struct job *job = job_find(c, id);

	return job && !job->fresh && job->run && job->facts.attempt == attempt ? job
									       : NULL;
}

void core_output_durable(struct core *c, const struct core_time *now, const char *id,
	int32_t attempt, int64_t end)
{
	core_begin(c, now);

	struct job *job = leased(c, id, attempt);
	if (job && end > job->run->output_durable) {
		job->run->output_durable = end;
		run_take_end(c, job);
	}
	core_finish(c);
}

void core_output_size(struct core *c, const char *id, int32_t attempt, int64_t bytes)
{
	struct job *job = leased(c, id, attempt);

	if (job)
		job->run->output_bytes = bytes;
}

void core_progress(struct core *c, const struct core_time *now, const char *id,
	int32_t attempt, float fraction, const char *text)
{
	core_begin(c, now);

	struct job *job = leased(c, id, attempt);
	if (job && job->facts.state == JOB_RUNNING) {
		struct effect effect = { .kind = EFFECT_PROGRESS, .attempt = attempt };

		job->run->progress = fraction;
		free(job->run->progress_text);
		job->run->progress_text = dup_or_null(text);
		memcpy(effect.job, job->id, ID_SIZE);
		if (!job->run->progress_told)
			gate_push(c, &effect, 0);
		job->run->progress_told = true;
	}
	core_finish(c);
}
