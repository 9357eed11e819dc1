/* store_fixture.h - a store in a folder of its own, records to fill it with, a ledger of outcomes.
 *
 * Thread: the test's.  Included by the tests of the store only.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>

#include "cleanup.h"
#include "clock.h"
#include "file.h"
#include "str.h"
#include "store.h"
#include "xalloc.h"

#define DEADLINE_MS 60000
#define HELPER      __attribute__((unused)) static /* no test uses all of them */

/* What the store has said so far. */
struct ledger {
	uint64_t committed; /* the highest number */
	uint64_t refused;   /* how many, and the last one */
	struct err refusal;
	bool failed;
	struct err failure;
	char removed[256][ID_SIZE];
	size_t removed_count;
	char story[4096]; /* "c3 a1 r4 ": commits, answers, refusals in their order */
};

struct fixture {
	char path[64];
	struct store_config config;
	struct store *store;
	struct store_callbacks callbacks;
	struct ledger ledger;
	int wake; /* an eventfd */
	uint64_t number, input;
};

HELPER void tell(struct fixture *f, char what, uint64_t number)
{
	size_t used = strlen(f->ledger.story);

	snprintf(f->ledger.story + used, sizeof(f->ledger.story) - used, "%c%llu ", what,
		(unsigned long long)number);
}

HELPER void fixture_on_wake(void *ctx)
{
	struct fixture *f = ctx;

	if (write(f->wake, &(uint64_t){ 1 }, sizeof(uint64_t)) < 0)
		abort();
}

HELPER void fixture_on_committed(void *ctx, uint64_t number)
{
	struct fixture *f = ctx;

	assert_true(number > f->ledger.committed);
	f->ledger.committed = number;
	tell(f, 'c', number);
}

HELPER void fixture_on_refused(void *ctx, uint64_t number, const struct err *why)
{
	struct fixture *f = ctx;

	f->ledger.refused++;
	f->ledger.refusal = *why;
	tell(f, 'r', number);
}

HELPER void fixture_on_failed(void *ctx, const struct err *why)
{
	struct fixture *f = ctx;

	assert_false(f->ledger.failed);
	f->ledger.failed = true;
	f->ledger.failure = *why;
}

HELPER void fixture_on_removed(void *ctx, const char *job, int32_t attempts)
{
	struct fixture *f = ctx;

	(void)attempts;
	assert_true(f->ledger.removed_count < 256);
	strcpy(f->ledger.removed[f->ledger.removed_count++], job);
}

HELPER void fixture_init(struct fixture *f)
{
	memset(f, 0, sizeof(*f));
	strcpy(f->path, "/tmp/cumulus-store-XXXXXX");
	assert_non_null(mkdtemp(f->path));
	f->config = store_defaults;
	f->config.path = f->path;
	f->config.disk_low_bytes = 0;
	f->config.reserve_bytes = 64 * 1024;
	f->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	f->callbacks = (struct store_callbacks){
		.ctx = f,
		.wake = fixture_on_wake,
		.on_committed = fixture_on_committed,
		.on_refused = fixture_on_refused,
		.on_failed = fixture_on_failed,
		.on_removed = fixture_on_removed,
	};
}

HELPER void fixture_open(struct fixture *f)
{
	struct err e = { 0 };

	f->store = store_open(&f->config, &e);
	if (!f->store)
		fail_msg("store_open: %s", e.text);
}

/* With its thread, or inline. */
HELPER void fixture_start(struct fixture *f, bool threaded)
{
	struct err e = { 0 };

	fixture_open(f);
	memset(&f->ledger, 0, sizeof(f->ledger));
	f->number = f->input = 0;
	if (!threaded)
		store_start_inline(f->store, &f->callbacks);
	else if (store_start(f->store, &f->callbacks, &e) < 0)
		fail_msg("store_start: %s", e.text);
}

HELPER void fixture_stop(struct fixture *f)
{
	store_close(f->store);
	f->store = NULL;
}

HELPER void fixture_fini(struct fixture *f)
{
	struct err e = { 0 };

	fixture_stop(f);
	close_fd(&f->wake);
	assert_int_equal(tree_remove(AT_FDCWD, f->path, &e), 0);
}

/* Publish, work inline until nothing is left, deliver. */
HELPER void settle(struct fixture *f)
{
	store_kick(f->store);
	while (store_work(f->store))
		;
	store_deliver(f->store);
}

/* With the thread: deliver until this number is committed. */
HELPER void await_committed(struct fixture *f, uint64_t number)
{
	int64_t until_ns = clock_boot_ns() + DEADLINE_MS * NS_PER_MS;

	store_kick(f->store);
	while (f->ledger.committed < number && !f->ledger.failed) {
		struct pollfd p = { .fd = f->wake, .events = POLLIN };
		uint64_t count;

		assert_true(clock_boot_ns() < until_ns);
		poll(&p, 1, 1000);
		if (read(f->wake, &count, sizeof(count)) < 0 && errno != EAGAIN)
			abort();
		store_deliver(f->store);
	}
}

/* ---- records */

/* "j-" and the number in the alphabet of ids. */
HELPER const char *job_id(char out[ID_SIZE], uint64_t n)
{
	uint8_t random[ID_RANDOM] = { 0 };

	for (int i = 0; i < 8; i++)
		random[i] = (uint8_t)(n >> (56 - 8 * i));
	id_format(out, 'j', random);
	return out;
}

HELPER uint8_t *bytes_of(size_t len, uint64_t seed)
{
	uint8_t *bytes = xmalloc(len + 1);

	for (size_t i = 0; i < len; i++) {
		seed = seed * UINT64_C(6364136223846793005) +
		       UINT64_C(1442695040888963407);
		bytes[i] = (uint8_t)(seed >> 56);
	}
	return bytes;
}

HELPER struct record *record_new(struct fixture *f, uint64_t job)
{
	struct record *r = xcalloc(1, sizeof(*r));

	r->number = ++f->number;
	r->input = ++f->input;
	job_id(r->job, job);
	return r;
}

/* A new job of owner "ada" with a package of its own of so many bytes. */
HELPER struct record *new_job(struct fixture *f, uint64_t job, size_t zip_len)
{
	struct record *r = record_new(f, job);
	struct submission *s = xcalloc(1, sizeof(*s));

	r->kind = RECORD_NEW_JOB;
	r->submission = s;
	s->amount = (struct amount){ 1, 50 };
	s->duration_s = 60;
	s->owner = xstrdup("ada");
	s->zip = bytes_of(zip_len, job + 1);
	s->zip_len = zip_len;
	s->package = digest_of(s->zip, zip_len);
	s->identity = digest_of(r->job, strlen(r->job));
	s->spec = bytes_of(200, job + 2);
	s->spec_len = 200;
	r->facts.state = JOB_SCHEDULING;
	r->facts.created_ns = (int64_t)job + 1;
	r->facts.last_sequence = 1;
	r->event = (struct job_state_event){
		.sequence = 1,
		.state = JOB_SCHEDULING,
		.wall_ns = (int64_t)job + 1,
	};
	return r;
}

/* From one state to another, with an event. */
HELPER struct record *change(struct fixture *f, uint64_t job, enum job_state from,
	enum job_state to, int64_t sequence)
{
	struct record *r = record_new(f, job);

	r->kind = RECORD_CHANGE;
	r->from = from;
	r->facts.state = to;
	r->facts.attempt = 1;
	r->facts.created_ns = (int64_t)job + 1;
	r->facts.last_sequence = sequence;
	if (job_state_final(to))
		r->facts.completed_ns = (int64_t)job + 1000;
	r->event = (struct job_state_event){
		.sequence = sequence,
		.state = to,
		.attempt = 1,
		.message = xstrdup("it moved"),
	};
	return r;
}

/* A whole life in four records. */
HELPER void post_finished(struct fixture *f, uint64_t job)
{
	store_post(f->store, new_job(f, job, 64));
	store_post(f->store, change(f, job, JOB_SCHEDULING, JOB_CREATING_PARTITION, 2));
	store_post(f->store, change(f, job, JOB_CREATING_PARTITION, JOB_RUNNING, 3));
	store_post(f->store, change(f, job, JOB_RUNNING, JOB_COMPLETED, 4));
}

/* How many jobs restore gives. */
HELPER int fixture_count_restored(void *ctx, const char *id, struct job_facts *facts,
	struct submission *submission, struct err *e)
{
	(void)id;
	(void)e;
	(*(size_t *)ctx)++;
	job_facts_fini(facts);
	submission_free(submission);
	return 0;
}

HELPER size_t count_restored(struct fixture *f)
{
	struct err e = { 0 };
	size_t count = 0;

	if (store_restore(f->store, fixture_count_restored, &count, &e) < 0)
		fail_msg("store_restore: %s", e.text);
	return count;
}
