/* filler.c - fills a store with jobs, through the store's own interface. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "filler.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "xalloc.h"

#define SPEC_BYTES 300 /* a submission without its package */

_Noreturn void filler_die(const char *what, const char *why)
{
	fprintf(stderr, "bench: %s: %s\n", what, why);
	exit(1);
}

/* ---- a store and who waits for it */

static void on_wake(void *ctx)
{
	if (write(((struct filler *)ctx)->wake, &(uint64_t){ 1 }, sizeof(uint64_t)) < 0)
		abort();
}

static void on_committed(void *ctx, uint64_t number)
{
	((struct filler *)ctx)->committed = number;
}

static void on_refused(void *ctx, uint64_t number, const struct err *why)
{
	(void)ctx;
	(void)number;
	filler_die("refused", why->text);
}

static void on_failed(void *ctx, const struct err *why)
{
	(void)ctx;
	filler_die("failed", why->text);
}

void filler_open(struct filler *f, int64_t history_jobs)
{
	struct store_config config = store_defaults;
	struct err e = { 0 };

	config.path = f->path;
	config.history_jobs = history_jobs;
	f->number = f->committed = 0;
	f->store = store_open(&config, &e);
	if (!f->store)
		filler_die("store_open", e.text);
}

void filler_start(struct filler *f)
{
	struct store_callbacks callbacks = {
		.ctx = f,
		.wake = on_wake,
		.on_committed = on_committed,
		.on_refused = on_refused,
		.on_failed = on_failed,
	};
	struct err e = { 0 };

	if (store_start(f->store, &callbacks, &e) < 0)
		filler_die("store_start", e.text);
}

void filler_wait(struct filler *f, uint64_t number)
{
	store_kick(f->store);
	while (f->committed < number) {
		struct pollfd p = { .fd = f->wake, .events = POLLIN };
		uint64_t count;

		poll(&p, 1, -1);
		if (read(f->wake, &count, sizeof(count)) > 0)
			store_deliver(f->store);
	}
}

/* ---- records */

void filler_job_name(char out[ID_SIZE], uint64_t n)
{
	uint8_t random[ID_RANDOM] = { 0 };

	/* Spread like random ids, for the index that they are in. */
	n *= UINT64_C(0x9e3779b97f4a7c15);
	memcpy(random, &n, sizeof(n));
	id_format(out, 'j', random);
}

void filler_package(uint8_t *bytes, size_t len, uint64_t n)
{
	for (size_t i = 0; i + sizeof(n) <= len; i += sizeof(n)) {
		n = n * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		memcpy(bytes + i, &n, sizeof(n));
	}
}

static struct record *record_of(struct filler *f, uint64_t job)
{
	struct record *r = xcalloc(1, sizeof(*r));

	r->number = r->input = ++f->number;
	filler_job_name(r->job, job);
	return r;
}

void filler_post_new(struct filler *f, uint64_t job)
{
	struct record *r = record_of(f, job);
	struct submission *s = r->submission = xcalloc(1, sizeof(*s));

	r->kind = RECORD_NEW_JOB;
	s->amount = (struct amount){ 1, 50 };
	s->duration_s = 60;
	s->owner = xstrdup("ada");
	s->zip = xmalloc(f->package_bytes);
	s->zip_len = f->package_bytes;
	filler_package(s->zip, s->zip_len, job);
	memcpy(s->package.bytes, s->zip, sizeof(s->package.bytes));
	s->spec_len = SPEC_BYTES;
	s->spec = xmemdup(s->zip, s->spec_len);
	r->facts.state = JOB_SCHEDULING;
	r->facts.created_ns = (int64_t)job + 1;
	r->event = (struct job_state_event){ .sequence = 1, .state = JOB_SCHEDULING };
	store_post(f->store, r);
}

void filler_post_change(struct filler *f, uint64_t job, enum job_state from,
	enum job_state to, int64_t sequence)
{
	struct record *r = record_of(f, job);

	r->kind = RECORD_CHANGE;
	r->from = from;
	r->facts.state = to;
	r->facts.attempt = 1;
	r->facts.completed_ns = job_state_final(to) ? clock_wall_ns() : 0;
	r->facts.message = xstrdup("a line of what has happened");
	r->event = (struct job_state_event){ .sequence = sequence, .state = to };
	store_post(f->store, r);
}

void filler_submit(struct filler *f, uint64_t first, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++) {
		filler_post_new(f, first + i);
		if ((i + 1) % FILLER_GROUP == 0) {
			store_kick(f->store);
			if (f->number > f->ahead)
				filler_wait(f, f->number - f->ahead);
		}
	}
	filler_wait(f, f->number);
}

void filler_finish(struct filler *f, uint64_t first, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++) {
		filler_post_change(
			f, first + i, JOB_SCHEDULING, JOB_CREATING_PARTITION, 2);
		filler_post_change(f, first + i, JOB_CREATING_PARTITION, JOB_FAILED, 3);
		if (i % (FILLER_GROUP / 2) == 0)
			filler_wait(f, f->number > f->ahead ? f->number - f->ahead : 0);
	}
	filler_wait(f, f->number);
}
