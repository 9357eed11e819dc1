/* core_driver.c - drives the real core with a fake clock and a fake store. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "core_driver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "str.h"
#include "xalloc.h"

static struct driver *bare_new(void)
{
	struct driver *d = xcalloc(1, sizeof(*d));

	d->config = (struct core_config){
		.setup_limit_ns = 600 * S,
		.grace_ns = 3 * S,
		.worker_down_after_ns = 15 * S,
		.unknown_after_ns = 300 * S,
		.first_workers_ns = 5 * S,
		.waiting_jobs_max = 100000,
		.cluster_id = "c-aaaaaaaaaaaaaaaa",
	};
	d->now = (struct core_time){ .boot_ns = 1000 * S, .wall_ns = 1700000000 * S };
	d->auto_commit = true;
	d->core = core_new(&d->config);
	return d;
}

struct driver *driver_new(void)
{
	struct driver *d = bare_new();

	core_workers_listed(d->core, &d->now);
	driver_drain(d);
	return d;
}

void driver_clear(struct driver *d)
{
	for (size_t i = 0; i < d->effect_count; i++)
		effect_fini(&d->effects[i]);
	d->effect_count = 0;
}

void driver_free(struct driver *d)
{
	if (!d)
		return;
	driver_clear(d);
	for (size_t i = 0; i < d->record_count; i++)
		record_free(d->records[i]);
	free(d->effects);
	free(d->records);
	free(d->sessions);
	core_free(d->core);
	free(d);
}

int driver_teardown(void **state)
{
	driver_free(*state);
	return 0;
}

static void keep_record(struct driver *d, struct record *r)
{
	d->records =
		xreallocarray(d->records, d->record_count + 1, sizeof(struct record *));
	d->records[d->record_count++] = r;
}

static void take_out(struct driver *d)
{
	struct effect ef;

	while (core_next_effect(d->core, &ef)) {
		if (ef.kind == EFFECT_RECORD) {
			keep_record(d, ef.record);
			ef.record = NULL;
			effect_fini(&ef);
			continue;
		}
		d->effects = xreallocarray(d->effects, d->effect_count + 1, sizeof(ef));
		d->effects[d->effect_count++] = ef;
	}
}

void driver_commit_to(struct driver *d, uint64_t number)
{
	core_committed(d->core, &d->now, number);
	take_out(d);
}

void driver_commit(struct driver *d)
{
	driver_commit_to(d, core_count(d->core).last_issued);
}

void driver_drain(struct driver *d)
{
	take_out(d);
	while (d->auto_commit &&
		core_count(d->core).last_committed < core_count(d->core).last_issued)
		driver_commit(d);
}

void driver_pass(struct driver *d, int64_t ns)
{
	d->now.boot_ns += ns;
	d->now.wall_ns += ns;
	core_tick(d->core, &d->now);
	driver_drain(d);
}

struct core_device driver_device(const char *worker, int32_t index)
{
	struct core_device dev = { .index = index,
		.name = "Simulated GPU",
		.kind = "simulated",
		.memory_bytes = INT64_C(8) << 30,
		.healthy = true };

	str_put(dev.uuid, sizeof(dev.uuid), "%s-%d", worker, index);
	return dev;
}

void driver_hello_with(struct driver *d, struct core_hello *h)
{
	h->session = ++d->session;
	d->sessions = xreallocarray(d->sessions, d->session, sizeof(*d->sessions));
	memcpy(d->sessions[d->session - 1], h->worker, ID_SIZE);
	core_worker_hello(d->core, &d->now, h);
	driver_drain(d);
}

void driver_hello_runs(struct driver *d, const char *worker, size_t devices,
	const struct core_run *runs, size_t run_count)
{
	struct core_device *list = xcalloc(devices, sizeof(*list));
	struct core_hello h = { .hostname = "host",
		.boot_id = "boot-1",
		.run_slots = 64,
		.devices = list,
		.device_count = devices,
		.runs = runs,
		.run_count = run_count };

	for (size_t i = 0; i < devices; i++)
		list[i] = driver_device(worker, (int32_t)i);
	str_put(h.worker, sizeof(h.worker), "%s", worker);
	driver_hello_with(d, &h);
	free(list);
}

void driver_hello(struct driver *d, const char *worker, size_t devices)
{
	driver_hello_runs(d, worker, devices, NULL, 0);
}

const char *driver_submit(struct driver *d, struct wish w)
{
	static char ids[4096][ID_SIZE]; /* tests keep them, but not so many */
	struct submission *s = xcalloc(1, sizeof(*s));
	struct core_known_key none = { 0 };
	char *id = ids[d->ids++ % 4096];
	uint8_t random[ID_RANDOM] = { 0 };

	random[7] = (uint8_t)(d->ids >> 16);
	random[8] = (uint8_t)(d->ids >> 8);
	random[9] = (uint8_t)d->ids;
	id_format(id, 'j', random);
	s->amount = w.amount.devices ? w.amount : (struct amount){ 1, 50 };
	s->duration_s = w.duration_s ? w.duration_s : 60;
	s->priority = w.priority;
	s->max_retries = w.max_retries;
	s->no_wait = w.no_wait;
	s->owner = xstrdup(w.owner ? w.owner : "anyone");
	s->key = w.key ? xstrdup(w.key) : NULL;
	s->identity.bytes[0] = w.identity;
	s->spec = xmemdup("spec", 4);
	s->spec_len = 4;
	s->zip = xmemdup("zip", 3);
	s->zip_len = 3;
	core_submit(d->core, &d->now, ++d->tokens, id, s, &none);
	driver_drain(d);
	return id;
}

const char *driver_submit_half(struct driver *d)
{
	return driver_submit(d, (struct wish){ 0 });
}

core_token driver_cancel(struct driver *d, const char *job)
{
	core_token token = ++d->tokens;

	core_cancel(d->core, &d->now, token, job);
	driver_drain(d);
	return token;
}

struct core_report driver_report_of(
	struct driver *d, const char *job, enum report_kind kind, int64_t number)
{
	const struct record *last = driver_record(d, job);
	struct core_report r = { .kind = kind, .number = number };

	for (uint64_t i = 0; i < d->session; i++)
		if (!strcmp(d->sessions[i], last->facts.worker))
			r.session = i + 1;
	str_put(r.worker, ID_SIZE, "%s", last->facts.worker);
	str_put(r.job, ID_SIZE, "%s", job);
	r.attempt = last->facts.attempt;
	return r;
}

void driver_report(struct driver *d, const struct core_report *r)
{
	core_report(d->core, &d->now, r);
	driver_drain(d);
}

void driver_started(struct driver *d, const char *job)
{
	struct core_report r = driver_report_of(d, job, REPORT_STARTED, 2);

	r.partition = "p-1";
	r.container = "c-1";
	driver_report(d, &r);
}

void driver_ended(struct driver *d, const char *job, enum job_reason why)
{
	struct core_report r = driver_report_of(d, job, REPORT_ENDED, 3);

	r.reason = why;
	r.exit_known = true;
	r.exit_code = why == REASON_NONE ? 0 : 1;
	r.message = why == REASON_NONE ? "completed" : "failed";
	if (why == REASON_NONE) {
		r.result = (const uint8_t *)"{}";
		r.result_len = 2;
	} else {
		r.error = "failed\ntraceback";
	}
	driver_report(d, &r);
}

void driver_refused(struct driver *d, const char *job, enum refused_kind kind)
{
	struct core_report r = driver_report_of(d, job, REPORT_REFUSED, 1);

	r.refused = kind;
	r.text = "because";
	driver_report(d, &r);
}

const struct record *driver_record(const struct driver *d, const char *job)
{
	for (size_t i = d->record_count; i-- > 0;)
		if (!strcmp(d->records[i]->job, job))
			return d->records[i];
	return NULL;
}

enum job_state driver_state(const struct driver *d, const char *job)
{
	const struct record *r = driver_record(d, job);

	return r ? r->facts.state : JOB_NONE;
}

size_t driver_count(const struct driver *d, enum effect_kind kind, const char *job)
{
	size_t count = 0;

	for (size_t i = 0; i < d->effect_count; i++)
		count += d->effects[i].kind == kind &&
			 (!job || !strcmp(d->effects[i].job, job));
	return count;
}

const struct effect *driver_last(
	const struct driver *d, enum effect_kind kind, const char *job)
{
	for (size_t i = d->effect_count; i-- > 0;)
		if (d->effects[i].kind == kind &&
			(!job || !strcmp(d->effects[i].job, job)))
			return &d->effects[i];
	return NULL;
}

const struct effect *driver_answer(const struct driver *d, core_token token)
{
	for (size_t i = 0; i < d->effect_count; i++)
		if (d->effects[i].kind == EFFECT_ANSWER && d->effects[i].token == token)
			return &d->effects[i];
	return NULL;
}

/* ---- a crash */

static const struct record *committed_record(const struct driver *d, const char *job)
{
	uint64_t committed = core_count(d->core).last_committed;

	for (size_t i = d->record_count; i-- > 0;)
		if (!strcmp(d->records[i]->job, job) &&
			d->records[i]->number <= committed)
			return d->records[i];
	return NULL;
}

static struct submission *stored(const struct submission *s)
{
	struct submission *copy = xmemdup(s, sizeof(*s));

	copy->owner = s->owner ? xstrdup(s->owner) : NULL;
	copy->name = s->name ? xstrdup(s->name) : NULL;
	copy->key = s->key ? xstrdup(s->key) : NULL;
	copy->labels = s->labels ? xmemdup(s->labels, s->labels_len) : NULL;
	copy->spec = copy->zip = NULL;
	copy->spec_len = copy->zip_len = 0;
	return copy;
}

/* Of an earlier process: it counts as committed. */
static struct record *record_dup(const struct record *r)
{
	struct record *copy = xmemdup(r, sizeof(*r));

	copy->number = 0;
	copy->facts = job_facts_dup(&r->facts);
	copy->event = job_state_event_dup(&r->event);
	copy->submission = r->submission ? stored(r->submission) : NULL;
	copy->result = NULL;
	copy->error = NULL;
	return copy;
}

struct driver *driver_crash(struct driver *d)
{
	struct driver *after = bare_new();
	struct err e = { 0 };

	after->now = d->now;
	after->session = d->session;
	after->sessions = take_ptr(&d->sessions);
	after->tokens = d->tokens;
	after->ids = d->ids;
	for (size_t i = 0; i < d->record_count; i++) {
		const struct record *new_job = d->records[i];
		const struct record *last;

		if (new_job->kind != RECORD_NEW_JOB)
			continue;
		last = committed_record(d, new_job->job);
		if (!last || (job_state_final(last->facts.state) && !last->facts.leased))
			continue;
		struct job_facts facts = job_facts_dup(&last->facts);
		if (core_restore_job(after->core, new_job->job, &facts,
			    stored(new_job->submission), &e) < 0) {
			fprintf(stderr, "%s\n", e.text);
			abort();
		}
		/* So that driver_state() and driver_report_of() go on, and the next crash. */
		keep_record(after, record_dup(new_job));
		keep_record(after, record_dup(last));
	}
	if (core_restored(after->core, &after->now, &e) < 0)
		abort();
	core_workers_listed(after->core, &after->now);
	driver_drain(after);
	driver_free(d);
	return after;
}
