/* store.c - the simulated store: ordered group commits, refusals, loss in a crash. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "sim.h"
#include "xalloc.h"

static char *dup_or_null(const char *s)
{
	return s ? xstrdup(s) : NULL;
}

struct submission *submission_dup(const struct submission *s)
{
	struct submission *copy = xmemdup(s, sizeof(*s));

	copy->owner = dup_or_null(s->owner);
	copy->name = dup_or_null(s->name);
	copy->key = dup_or_null(s->key);
	copy->labels = NULL;
	copy->spec = copy->zip = NULL;
	copy->labels_len = copy->spec_len = copy->zip_len = 0;
	return copy;
}

static void op_fini(struct op *op)
{
	record_free(op->record);
	submission_free(op->submission);
}

void store_fini(struct sim *sim)
{
	struct store *st = &sim->store;

	for (size_t i = 0; i < st->op_count; i++)
		op_fini(&st->ops[i]);
	free(st->ops);
	for (size_t i = 0; i < st->row_count; i++) {
		job_facts_fini(&st->all[i]->facts);
		submission_free(st->all[i]->submission);
		free(st->all[i]);
	}
	free(st->all);
	free(st->draining);
	table_fini(&st->rows);
}

struct row *store_row(const struct sim *sim, const char *id)
{
	struct table_entry *entry = table_find_str(&sim->store.rows, id);

	return entry ? table_value(entry, struct row, by_id) : NULL;
}

static struct row *row_of_key(const struct sim *sim, const struct submission *s)
{
	for (size_t i = 0; i < sim->store.row_count; i++) {
		struct row *row = sim->store.all[i];

		if (s->key && row->submission->key &&
			!strcmp(s->key, row->submission->key))
			return row;
	}
	return NULL;
}

/* ---- applying */

static void insert(struct sim *sim, struct record *r)
{
	struct store *st = &sim->store;
	struct row *row = xcalloc(1, sizeof(*row));

	if (store_row(sim, r->job) || row_of_key(sim, r->submission))
		sim_fail(sim, "%s: its id or key is stored twice", r->job);
	if (r->event.sequence != 1 || r->facts.state != JOB_SCHEDULING)
		sim_fail(sim, "%s: a new job does not begin in SCHEDULING", r->job);
	memcpy(row->id, r->job, ID_SIZE);
	row->submission = r->submission;
	r->submission = NULL;
	table_add_str(&st->rows, &row->by_id, row->id);
	st->all = xreallocarray(st->all, st->row_count + 1, sizeof(*st->all));
	st->all[st->row_count++] = row;
}

static void check_change(struct sim *sim, const struct row *row, const struct record *r)
{
	const struct job_facts *was = &row->facts, *is = &r->facts;

	if (was->state != r->from)
		sim_fail(sim, "%s: record is from %s, the row is %s", r->job,
			job_state_name(r->from), job_state_name(was->state));
	if (job_state_final(was->state) && (is->state != was->state || r->event.sequence))
		sim_fail(sim, "%s: left its final state", r->job);
	if (r->event.sequence && r->event.sequence != was->last_sequence + 1)
		sim_fail(sim, "%s: event %ld follows %ld", r->job,
			(long)r->event.sequence, (long)was->last_sequence);
	if (!r->event.sequence && is->state != was->state)
		sim_fail(sim, "%s: moved without an event", r->job);
	if (is->state == JOB_COMPLETED && was->state != JOB_COMPLETED &&
		was->state != JOB_RUNNING)
		sim_fail(sim, "%s: COMPLETED without RUNNING", r->job);
	if (is->attempt < was->attempt)
		sim_fail(sim, "%s: attempt %d after %d", r->job, is->attempt,
			was->attempt);
	if (r->event.sequence && r->event.output_at < row->last_output_at)
		sim_fail(sim, "%s: output goes back at event %ld", r->job,
			(long)r->event.sequence);
	if (row->cancel_promised && job_state_final(is->state) &&
		is->state != JOB_CANCELLED)
		sim_fail(sim, "%s: %s although its cancelling was promised", r->job,
			job_state_name(is->state));
}

/* No end is stored before its output is here; what "started" spoke of may be lost. */
static void check_output(struct sim *sim, const struct row *row, const struct record *r)
{
	int64_t at = r->event.output_at;
	int64_t here =
		row->output_attempt == OUTPUT_ATTEMPT(at) ? row->output_durable : 0;

	if (job_state_final(r->facts.state) && r->event.sequence &&
		at > row->last_output_at && OUTPUT_POSITION(at) > here)
		sim_fail(sim,
			"%s: its end is after output %ld, of which only %ld is here",
			r->job, (long)OUTPUT_POSITION(at), (long)here);
}

static uint32_t leased_on(const struct sim *sim, const char *uuid)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < sim->store.row_count; i++) {
		const struct row *row = sim->store.all[i];

		for (uint32_t k = 0; row->facts.leased && k < row->facts.device_count;
			k++)
			if (!strcmp(row->facts.devices[k].uuid, uuid))
				sum += row->submission->amount.hundredths;
	}
	return sum;
}

static size_t draining_at(const struct store *st, const char *worker)
{
	size_t i = 0;

	while (i < st->draining_count && strcmp(st->draining[i], worker) != 0)
		i++;
	return i;
}

bool store_is_draining(const struct sim *sim, const char *worker)
{
	return draining_at(&sim->store, worker) < sim->store.draining_count;
}

static void set_draining(struct store *st, const char *worker, bool draining)
{
	size_t at = draining_at(st, worker);

	if (draining && at == st->draining_count) {
		st->draining = xreallocarray(
			st->draining, st->draining_count + 1, sizeof(*st->draining));
		memcpy(st->draining[st->draining_count++], worker, ID_SIZE);
	} else if (!draining && at < st->draining_count) {
		memmove(st->draining[at], st->draining[--st->draining_count], ID_SIZE);
	}
}

static void apply(struct sim *sim, struct record *r)
{
	struct store *st = &sim->store;
	struct row *row;

	if (r->number <= st->applied)
		sim_fail(sim, "record %lu after %lu", (unsigned long)r->number,
			(unsigned long)st->applied);
	st->applied = r->number;
	if (r->kind == RECORD_WORKER) {
		set_draining(st, r->worker, r->draining);
		return;
	}
	if (r->kind == RECORD_NEW_JOB)
		insert(sim, r);
	row = store_row(sim, r->job);
	if (!row)
		sim_fail(sim, "%s: record of a job that is not stored", r->job);
	if (r->kind == RECORD_CHANGE)
		check_change(sim, row, r);
	if (r->event.sequence && r->facts.state == JOB_CREATING_PARTITION &&
		store_is_draining(sim, r->facts.worker))
		sim_fail(sim, "%s is placed on a draining worker", r->job);
	if (r->event.sequence && r->facts.state == JOB_CREATING_PARTITION)
		row->placed = r->number;
	check_output(sim, row, r);
	if (r->event.sequence)
		row->last_output_at = r->event.output_at;
	job_facts_fini(&row->facts);
	row->facts = job_facts_dup(&r->facts);
	for (uint32_t k = 0; row->facts.leased && k < row->facts.device_count; k++)
		if (leased_on(sim, row->facts.devices[k].uuid) > 100)
			sim_fail(sim, "%s: device %s is oversold", r->job,
				row->facts.devices[k].uuid);
	sim_trace(sim, "stored %lu %s %s attempt %d", (unsigned long)r->number, r->job,
		job_state_name(r->facts.state), r->facts.attempt);
}

/* ---- group commits */

static void on_commit(struct sim *sim, struct event *ev);

static void schedule(struct sim *sim)
{
	struct store *st = &sim->store;

	if (st->committing || !st->published)
		return;
	st->committing = true;
	sim_after(sim, rng_time(&sim->rng, 1 * MS, sim->healing ? 20 * MS : 3 * S),
		on_commit)
		->process = sim->process;
}

static void post(struct sim *sim, struct op op)
{
	struct store *st = &sim->store;

	st->ops = xreallocarray(st->ops, st->op_count + 1, sizeof(*st->ops));
	st->ops[st->op_count++] = op;
}

void store_publish(struct sim *sim)
{
	sim->store.published = sim->store.op_count;
	schedule(sim);
}

void store_post(struct sim *sim, struct record *r)
{
	post(sim, (struct op){ .record = r });
}

void store_look_up(
	struct sim *sim, core_token token, const char *id, struct submission *s)
{
	struct op op = { .token = token, .submission = s };

	memcpy(op.id, id, ID_SIZE);
	post(sim, op);
	store_publish(sim);
}

/* How many of the first ops make a group: never half an input's records. */
static size_t group(struct sim *sim)
{
	struct store *st = &sim->store;
	size_t n = 1 + rng_below(&sim->rng, (uint32_t)st->published);

	while (n < st->published && st->ops[n].record && st->ops[n - 1].record &&
		st->ops[n].record->input == st->ops[n - 1].record->input)
		n++;
	return n;
}

static struct core_known_key look_up(struct sim *sim, const struct op *op)
{
	struct core_known_key known = { 0 };
	struct row *row = row_of_key(sim, op->submission);

	if (row) {
		known.found = true;
		memcpy(known.job, row->id, ID_SIZE);
		known.identity = row->submission->identity;
	}
	return known;
}

struct verdict { /* what the core is told after the group, in order */
	struct op op;
	struct core_known_key known;
	bool refused;
};

static struct verdict judge(struct sim *sim, struct op op)
{
	struct verdict v = { .op = op };

	if (!op.record)
		v.known = look_up(sim, &op);
	else if (op.record->kind == RECORD_NEW_JOB && sim->store.full)
		v.refused = true;
	else
		apply(sim, op.record);
	return v;
}

/* The core dies if it must: then nothing more is told. */
static void tell(struct sim *sim, struct verdict *v)
{
	static const struct err full = { .code = ERR_EXHAUSTED, .text = "disk is full" };
	struct submission *s = v->op.submission;

	v->op.submission = NULL;
	if (!sim->core) {
		submission_free(s);
		return;
	}
	if (s)
		core_submit(sim->core, &sim->now, v->op.token, v->op.id, s, &v->known);
	else if (v->refused)
		core_refused(sim->core, &sim->now, v->op.record->number, &full);
	else
		return;
	sim_drain(sim);
}

static void on_commit(struct sim *sim, struct event *ev)
{
	struct store *st = &sim->store;
	uint64_t process = ev->process, last = 0;
	size_t n = group(sim);
	struct verdict *verdicts = xcalloc(n, sizeof(*verdicts));

	st->committing = false;
	for (size_t i = 0; i < n; i++) {
		verdicts[i] = judge(sim, st->ops[i]);
		if (st->ops[i].record)
			last = st->ops[i].record->number;
	}
	memmove(st->ops, st->ops + n, (st->op_count - n) * sizeof(*st->ops));
	st->op_count -= n;
	st->published -= n;
	for (size_t i = 0; i < n; i++) {
		if (sim->process == process)
			tell(sim, &verdicts[i]);
		op_fini(&verdicts[i].op);
	}
	free(verdicts);
	if (sim->core && sim->process == process) {
		if (last)
			core_committed(sim->core, &sim->now, last);
		sim_drain(sim);
	}
	schedule(sim);
}

/* ---- a crash, and the start after it */

void store_crash(struct sim *sim)
{
	struct store *st = &sim->store;
	size_t kept = st->published && rng_chance(&sim->rng, 500) ? group(sim) : 0;

	for (size_t i = 0; i < st->op_count; i++) {
		struct op *op = &st->ops[i];

		if (i < kept && op->record &&
			!(op->record->kind == RECORD_NEW_JOB && st->full))
			apply(sim, op->record);
		op_fini(op);
	}
	for (size_t i = 0; i < st->row_count; i++)
		st->all[i]->placed = 0;
	st->op_count = st->published = 0;
	st->applied = 0;
	st->committing = false;
}

void store_restore(struct sim *sim)
{
	struct err e = { 0 };

	for (size_t i = 0; i < sim->store.draining_count; i++)
		if (core_restore_worker(sim->core, sim->store.draining[i], true, &e) < 0)
			sim_fail(sim, "restore: %s", e.text);
	for (size_t i = 0; i < sim->store.row_count; i++) {
		struct row *row = sim->store.all[i];
		struct job_facts facts;

		if (job_state_final(row->facts.state) && !row->facts.leased)
			continue;
		facts = job_facts_dup(&row->facts);
		if (core_restore_job(sim->core, row->id, &facts,
			    submission_dup(row->submission), &e) < 0)
			sim_fail(sim, "restore: %s", e.text);
	}
	if (core_restored(sim->core, &sim->now, &e) < 0)
		sim_fail(sim, "restored: %s", e.text);
	for (size_t i = 0; i < sim->store.row_count; i++) {
		const struct row *row = sim->store.all[i];

		if (row->facts.leased && row->output_attempt == row->facts.attempt)
			core_output_durable(sim->core, &sim->now, row->id,
				row->output_attempt, row->output_durable);
	}
}
