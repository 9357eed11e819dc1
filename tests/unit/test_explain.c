/* test_explain.c - what is said of a waiting job is true, and its latest start is one. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core_driver.h"
#include "explain.h"
#include "str.h"

static int setup(void **state)
{
	*state = driver_new();
	return 0;
}

static const char *submit(struct driver *d, struct amount a, int32_t duration_s)
{
	return driver_submit(d, (struct wish){ .amount = a, .duration_s = duration_s });
}

static struct core_explanation explain(struct driver *d, const char *job)
{
	struct core_explanation x;

	assert_int_equal(core_explain(d->core, &d->now, job, &x, NULL), 0);
	return x;
}

static void wish(struct driver *d, const char *worker, enum worker_wish what)
{
	core_wish_worker(d->core, &d->now, ++d->tokens, worker, what);
	driver_drain(d);
}

/* ---- one thing each */

static void a_share_waits_for_what_is_too_little(void **state)
{
	struct driver *d = *state;

	driver_hello(d, W1, 1);
	const char *holder = submit(d, PART(70), 60);
	const char *job = submit(d, PART(50), 60);
	struct core_explanation x = explain(d, job);

	assert_int_equal(x.reason, REASON_WAITING_FOR_GPU);
	assert_string_equal(x.text,
		"waiting for 0.5 GPU: the most that is free on one device is 0.3");
	assert_int_equal(x.position, 1);
	assert_int_equal(x.blocker_count, 1);
	assert_int_equal(x.blockers[0].kind, BLOCKER_LEASE);
	assert_string_equal(x.blockers[0].job, holder);
	assert_string_equal(x.blockers[0].owner, "anyone");
	assert_int_equal(x.alternative_count, 1);
	assert_int_equal(x.alternatives[0].kind, ALTERNATIVE_SMALLER);
	assert_int_equal(x.alternatives[0].amount.hundredths, 30);
}

static void the_first_starts_when_what_it_waits_for_is_over(void **state)
{
	struct driver *d = *state;

	driver_hello(d, W1, 1);
	const char *holder = submit(d, PART(70), 60);
	driver_started(d, holder);
	const char *job = submit(d, PART(50), 60);
	struct core_explanation x = explain(d, job);

	/* Declared: 60 s and two grace periods; a set-up of 600 s may be filled in before. */
	assert_int_equal(x.blockers[0].latest_end_ns, d->now.wall_ns + 66 * S);
	assert_int_equal(x.latest_start_ns, d->now.wall_ns + 666 * S);
	assert_int_equal(x.latest_end_ns, x.latest_start_ns + 666 * S);
}

static void one_that_comes_after_the_reservation_is_told_of_it(void **state)
{
	struct driver *d = *state;

	driver_hello(d, W1, 1);
	driver_started(d, submit(d, PART(50), 300));
	const char *first = submit(d, WHOLE(1), 60);
	const char *job = submit(d, PART(50), 3000);
	struct core_explanation x = explain(d, job);

	assert_int_equal(x.position, 2);
	assert_int_equal(x.blockers[0].kind, BLOCKER_BEFORE_IT);
	assert_string_equal(x.blockers[0].job, first);
	assert_int_equal(x.alternative_count, 2);
	assert_int_equal(x.alternatives[0].kind, ALTERNATIVE_SHORTER);
	assert_int_equal(x.alternatives[0].duration_s, 300);
	assert_int_equal(x.alternatives[1].kind, ALTERNATIVE_MORE_URGENT);
	assert_int_equal(x.alternatives[1].priority, 1);
	/* And so it is. */
	const char *shorter = submit(d, PART(50), 300);
	assert_int_equal(driver_state(d, shorter), JOB_CREATING_PARTITION);
}

static void one_that_no_worker_has_waits_for_a_worker(void **state)
{
	struct driver *d = *state;

	driver_hello(d, W1, 4);
	driver_hello(d, W2, 1);
	const char *holder = submit(d, WHOLE(1), 60);
	assert_int_equal(driver_state(d, holder), JOB_CREATING_PARTITION);
	driver_started(d, submit(d, WHOLE(4), 60));
	const char *job = submit(d, WHOLE(3), 60);
	wish(d, W1, WORKER_DRAIN);
	struct core_explanation x = explain(d, job);

	assert_int_equal(x.reason, REASON_WAITING_FOR_WORKER);
	assert_string_equal(x.text,
		"waiting for a worker with 3 GPUs: the most that one has now is 1");
	assert_int_equal(x.latest_start_ns, 0);
	assert_int_equal(x.blocker_count, 0);
}

static void a_strangers_share_is_in_the_way(void **state)
{
	struct driver *d = *state;
	struct core_device device = driver_device(W1, 0);

	driver_hello(d, W1, 1);
	device.foreign = 20;
	core_device_update(d->core, &d->now, W1, &device);
	driver_drain(d);
	driver_started(d, submit(d, PART(60), 60));
	struct core_explanation x = explain(d, submit(d, PART(50), 60));

	assert_int_equal(x.blocker_count, 2);
	assert_int_equal(x.blockers[1].kind, BLOCKER_FOREIGN);
	assert_int_equal(x.blockers[1].amount.hundredths, 20);
}

static void one_that_came_back_is_told_when_it_is_tried_again(void **state)
{
	struct driver *d = *state;

	driver_hello(d, W1, 1);
	const char *job = submit(d, PART(50), 60);
	driver_refused(d, job, REFUSED_NO_ROOM);
	struct core_explanation x = explain(d, job);

	assert_int_equal(x.position, 0);
	assert_int_equal(x.next_try_ns, d->now.wall_ns + 1 * S);
	assert_non_null(strstr(x.text, "has no room: because"));
}

static void a_running_job_ends_by_its_duration(void **state)
{
	struct driver *d = *state;

	driver_hello(d, W1, 1);
	const char *job = submit(d, PART(50), 60);
	struct core_explanation x = explain(d, job);
	assert_int_equal(x.latest_end_ns, d->now.wall_ns + 666 * S);
	driver_started(d, job);
	x = explain(d, job);
	assert_int_equal(x.latest_end_ns, d->now.wall_ns + 66 * S);
	assert_string_equal(x.worker, W1);
	driver_ended(d, job, REASON_NONE);
	assert_int_equal(core_explain(d->core, &d->now, job, &x, NULL), -1);
}

static void explaining_changes_nothing(void **state)
{
	struct driver *d = *state;

	driver_hello(d, W1, 1);
	driver_started(d, submit(d, PART(70), 60));
	const char *job = submit(d, PART(50), 60);
	uint64_t issued = core_count(d->core).last_issued;
	struct core_explanation x = explain(d, job);
	struct core_explanation again = explain(d, job);

	assert_int_equal(x.latest_start_ns, again.latest_start_ns);
	assert_int_equal(core_count(d->core).last_issued, issued);
	driver_clear(d);
	driver_drain(d);
	assert_int_equal(d->effect_count, 0);
}

static void more_blockers_than_are_listed_are_counted(void **state)
{
	struct driver *d = *state;

	driver_hello(d, W1, 4);
	for (int i = 0; i < 40; i++)
		driver_started(d, submit(d, PART(10), 60));
	struct core_explanation x = explain(d, submit(d, WHOLE(4), 60));

	assert_int_equal(x.blocker_count, EXPLAIN_BLOCKERS);
	assert_int_equal(x.more_blockers, 40 - EXPLAIN_BLOCKERS);
}

/* ---- what is foretold comes true: small worlds at random, without faults */

#define WORLD_JOBS 40

struct played {
	const char *id;
	enum job_state state;
	int32_t duration_s;
	int64_t next_ns;  /* boot time of its start or its end; 0 = not decided */
	int64_t start_by; /* wall clock, the earliest that was foretold; 0 = nothing yet */
};

struct world {
	struct driver *d;
	uint64_t random;
	uint64_t seed;
	struct played jobs[WORLD_JOBS];
	size_t count;
	bool only_first; /* jobs keep coming: only what is foretold the first holds */
};

static uint32_t below(struct world *w, uint32_t n)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return (uint32_t)(w->random >> 33) % n;
}

static void add_job(struct world *w)
{
	struct played *p = &w->jobs[w->count++];
	struct amount a = below(w, 4) ? PART(10 + below(w, 81)) : WHOLE(1 + below(w, 2));

	*p = (struct played){ .duration_s =
				      1 + (int32_t)below(w, below(w, 3) ? 60 : 900) };
	p->id = driver_submit(
		w->d, (struct wish){ .amount = a,
			      .duration_s = p->duration_s,
			      .priority = w->only_first ? 0 : (int32_t)below(w, 3) });
	p->state = JOB_SCHEDULING;
}

static void note_start(struct world *w, struct played *p)
{
	if (p->start_by && w->d->now.wall_ns > p->start_by) {
		print_error("seed %lu: %s started %.1f s after the latest\n",
			(unsigned long)w->seed, p->id,
			(double)(w->d->now.wall_ns - p->start_by) / (double)S);
		fail();
	}
	p->next_ns = w->d->now.boot_ns + below(w, below(w, 5) ? 2 : 599) * S + 1;
}

static void note_forecast(struct world *w, struct played *p)
{
	struct core_explanation x = explain(w->d, p->id);

	if (!x.latest_start_ns || (w->only_first && x.position != 1))
		return;
	if (!p->start_by || x.latest_start_ns < p->start_by)
		p->start_by = x.latest_start_ns;
}

static void look(struct world *w)
{
	for (size_t i = 0; i < w->count; i++) {
		struct played *p = &w->jobs[i];
		enum job_state now = driver_state(w->d, p->id);

		if (p->state == JOB_SCHEDULING && now == JOB_CREATING_PARTITION)
			note_start(w, p);
		p->state = now;
	}
	for (size_t i = 0; i < w->count; i++)
		if (w->jobs[i].state == JOB_SCHEDULING)
			note_forecast(w, &w->jobs[i]);
}

static struct played *next_of(struct world *w)
{
	struct played *next = NULL;

	for (size_t i = 0; i < w->count; i++)
		if (w->jobs[i].next_ns && (!next || w->jobs[i].next_ns < next->next_ns))
			next = &w->jobs[i];
	return next;
}

/* No worker is silent here. */
static void pass_to(struct world *w, int64_t boot_ns)
{
	int64_t left;

	while ((left = boot_ns - w->d->now.boot_ns) > 0) {
		driver_pass(w->d, left < 10 * S ? left : 10 * S);
		core_worker_seen(w->d->core, &w->d->now, W1);
		core_worker_seen(w->d->core, &w->d->now, W2);
		driver_drain(w->d);
	}
}

static void play(struct world *w, struct played *p)
{
	pass_to(w, p->next_ns);
	if (p->state == JOB_CREATING_PARTITION) {
		driver_started(w->d, p->id);
		p->next_ns = w->d->now.boot_ns +
			     (below(w, 2) ? p->duration_s
					  : (int64_t)below(w, (uint32_t)p->duration_s)) *
				     S +
			     1;
	} else {
		driver_ended(w->d, p->id, REASON_NONE);
		p->next_ns = 0;
	}
}

static void play_world(uint64_t seed, bool only_first)
{
	struct world w = { .d = driver_new(),
		.seed = seed,
		.random = seed * 0x9e3779b97f4a7c15 + 1,
		.only_first = only_first };
	struct played *next;

	driver_hello(w.d, W1, 2 + below(&w, 2));
	if (below(&w, 2))
		driver_hello(w.d, W2, 1 + below(&w, 2));
	while (w.count < WORLD_JOBS / 2)
		add_job(&w);
	look(&w);
	while ((next = next_of(&w))) {
		play(&w, next);
		if (only_first && w.count < WORLD_JOBS && below(&w, 2))
			add_job(&w);
		look(&w);
	}
	for (size_t i = 0; i < w.count; i++)
		assert_int_equal(w.jobs[i].state, JOB_COMPLETED);
	driver_free(w.d);
}

static void no_job_starts_after_its_latest_start(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 150; seed++)
		play_world(seed, false);
}

static void the_first_starts_by_its_latest_start_whatever_else_comes(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 150; seed++)
		play_world(seed, true);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, driver_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_share_waits_for_what_is_too_little),
		TEST(the_first_starts_when_what_it_waits_for_is_over),
		TEST(one_that_comes_after_the_reservation_is_told_of_it),
		TEST(one_that_no_worker_has_waits_for_a_worker),
		TEST(a_strangers_share_is_in_the_way),
		TEST(one_that_came_back_is_told_when_it_is_tried_again),
		TEST(a_running_job_ends_by_its_duration),
		TEST(explaining_changes_nothing),
		TEST(more_blockers_than_are_listed_are_counted),
		cmocka_unit_test(no_job_starts_after_its_latest_start),
		cmocka_unit_test(
			the_first_starts_by_its_latest_start_whatever_else_comes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
