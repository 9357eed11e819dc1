/* test_scheduler.c - who starts where, who waits, and that waiting jobs cost little. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core_driver.h"
#include "inside.h"
#include "str.h"
#include "xalloc.h"

static int setup(void **state)
{
	*state = driver_new();
	return 0;
}

static const char *submit(struct driver *d, struct amount a, int32_t duration_s)
{
	return driver_submit(d, (struct wish){ .amount = a, .duration_s = duration_s });
}

/* "" while it waits, else "<worker>-<index>" of its first device. */
static const char *where(const struct driver *d, const char *job)
{
	const struct record *r = driver_record(d, job);

	return r->facts.device_count ? r->facts.devices[0].uuid : "";
}

static void assert_waits(const struct driver *d, const char *job)
{
	assert_int_equal(driver_state(d, job), JOB_SCHEDULING);
}

static void assert_placed(const struct driver *d, const char *job)
{
	assert_int_equal(driver_state(d, job), JOB_CREATING_PARTITION);
}

static void a_share_goes_where_it_leaves_least(void **state)
{
	struct driver *d = *state;

	driver_hello(d, W1, 3);
	const char *half = submit(d, PART(50), 60);
	const char *more = submit(d, PART(70), 60);
	const char *small = submit(d, PART(30), 60);
	const char *other = submit(d, PART(40), 60);

	assert_string_not_equal(where(d, half), where(d, more));
	assert_string_equal(where(d, small), where(d, more));
	assert_string_equal(where(d, other), where(d, half));
}

static void a_share_goes_to_the_worker_with_fewest_free_devices(void **state)
{
	struct driver *d = *state;

	driver_hello(d, W1, 4);
	driver_hello(d, W2, 1);
	assert_string_equal(where(d, submit(d, PART(50), 60)), W2 "-0");
}

static void whole_devices_come_from_one_worker_and_are_entirely_free(void **state)
{
	struct driver *d = *state;

	driver_hello(d, W1, 2);
	driver_hello(d, W2, 1);
	const char *small = submit(d, PART(10), 60); /* on W2, the smaller */
	assert_string_equal(where(d, small), W2 "-0");
	const char *two = submit(d, WHOLE(2), 60);
	assert_placed(d, two);
	assert_string_equal(driver_record(d, two)->facts.worker, W1);
	assert_int_equal(driver_record(d, two)->facts.device_count, 2);
	/* 0.9 are free, on one device: no whole one is. */
	assert_waits(d, submit(d, WHOLE(1), 60));
}

static void whole_devices_are_taken_where_fewest_are_free(void **state)
{
	struct driver *d = *state;

	driver_hello(d, W1, 4);
	driver_hello(d, W2, 2);
	assert_string_equal(driver_record(d, submit(d, WHOLE(1), 60))->facts.worker, W2);
}

static void a_device_never_holds_more_than_all_of_it(void **state)
{
	struct driver *d = *state;
	int placed = 0;

	driver_hello(d, W1, 1);
	for (int i = 0; i < 12; i++)
		placed += driver_state(d, submit(d, PART(10), 60)) ==
			  JOB_CREATING_PARTITION;
	assert_int_equal(placed, 10);
	assert_int_equal(core_count(d->core).hundredths_leased, 100);
}

static void the_first_that_cannot_start_gets_a_reservation(void **state)
{
	struct driver *d = *state;

	driver_hello(d, W1, 2);
	const char *small = submit(d, PART(50), 60);
	driver_started(d, small);
	const char *whole = submit(d, WHOLE(2), 60);
	const char *longer = submit(d, PART(50), 600);
	const char *shorter = submit(d, PART(50), 10);

	assert_waits(d, whole);
	assert_waits(d, longer);   /* it would still be there */
	assert_placed(d, shorter); /* it is over before */
	driver_started(d, shorter);
	driver_ended(d, shorter, REASON_NONE);
	assert_waits(d, longer);
	driver_ended(d, small, REASON_NONE);
	assert_placed(d, whole);
	assert_waits(d, longer);
	driver_started(d, whole);
	driver_ended(d, whole, REASON_NONE);
	assert_placed(d, longer);
}

static void a_reservation_leaves_other_devices_alone(void **state)
{
	struct driver *d = *state;

	driver_hello(d, W1, 2);
	driver_hello(d, W2, 1);
	driver_started(d, submit(d, WHOLE(1), 60)); /* W2 */
	driver_started(d, submit(d, PART(50), 60)); /* W1 */
	assert_waits(d, submit(d, WHOLE(2), 60));   /* reserves W1 */
	const char *first = submit(d, WHOLE(1), 600);
	assert_waits(d, first);
	driver_ended(d, driver_last(d, EFFECT_START, NULL)->job, REASON_NONE);
	assert_int_equal(core_count(d->core).active, 2);
}

static void the_reservation_is_of_what_comes_free_first(void **state)
{
	struct driver *d = *state;

	driver_hello(d, W1, 1);
	const char *slow = submit(d, WHOLE(1), 1000);
	driver_hello(d, W2, 1);
	const char *quick = submit(d, WHOLE(1), 100);
	assert_string_equal(where(d, slow), W1 "-0");
	assert_string_equal(where(d, quick), W2 "-0");
	const char *next = submit(d, WHOLE(1), 60);
	const char *after = submit(d, WHOLE(1), 5000);

	/* W1 is free earlier than declared: it is the first's all the same. */
	driver_started(d, slow);
	driver_ended(d, slow, REASON_NONE);
	assert_string_equal(where(d, next), W1 "-0");
	assert_waits(d, after);
}

static void small_jobs_do_not_starve_behind_whole_ones(void **state)
{
	struct driver *d = *state;

	driver_hello(d, W1, 1);
	const char *a = submit(d, PART(60), 60);
	const char *b = submit(d, PART(60), 60); /* first that cannot start */
	const char *c = submit(d, WHOLE(1), 60);

	assert_placed(d, a);
	driver_started(d, a);
	driver_ended(d, a, REASON_NONE);
	assert_placed(d, b);
	assert_waits(d, c);
	driver_started(d, b);
	driver_ended(d, b, REASON_NONE);
	assert_placed(d, c);
}

static void priority_comes_before_the_order_of_submission(void **state)
{
	struct driver *d = *state;

	driver_hello(d, W1, 1);
	const char *now = submit(d, WHOLE(1), 60);
	const char *low =
		driver_submit(d, (struct wish){ .amount = WHOLE(1), .priority = -5 });
	const char *plain = submit(d, WHOLE(1), 60);
	const char *high =
		driver_submit(d, (struct wish){ .amount = WHOLE(1), .priority = 5 });
	const char *order[] = { now, high, plain, low };

	for (int i = 0; i < 4; i++) {
		assert_placed(d, order[i]);
		driver_started(d, order[i]);
		driver_ended(d, order[i], REASON_NONE);
	}
}

static void a_higher_priority_takes_the_reservation(void **state)
{
	struct driver *d = *state;

	driver_hello(d, W1, 2);
	const char *small = submit(d, PART(50), 60);
	driver_started(d, small);
	const char *whole = submit(d, WHOLE(2), 60);
	const char *urgent =
		driver_submit(d, (struct wish){ .amount = WHOLE(2), .priority = 1 });

	driver_ended(d, small, REASON_NONE);
	assert_placed(d, urgent);
	assert_waits(d, whole);
}

static void a_cancelled_job_gives_its_reservation_back(void **state)
{
	struct driver *d = *state;

	driver_hello(d, W1, 2);
	driver_started(d, submit(d, PART(50), 60));
	const char *whole = submit(d, WHOLE(2), 60);
	const char *longer = submit(d, PART(60), 600);

	assert_waits(d, longer);
	driver_cancel(d, whole);
	assert_placed(d, longer);
}

static void a_reservation_goes_with_its_device(void **state)
{
	struct driver *d = *state;
	struct core_run run = { .attempt = 1, .phase = RUN_RUNNING, .ours = true };

	driver_hello(d, W1, 3);
	const char *small = submit(d, PART(50), 60);
	driver_started(d, small);
	driver_started(d, submit(d, WHOLE(1), 5000));
	const char *whole = submit(d, WHOLE(2), 60);
	assert_waits(d, whole);
	memcpy(run.job, small, ID_SIZE);
	driver_hello_runs(d, W1, 1, &run, 1); /* the others are gone */
	assert_waits(d, whole);
	driver_hello_runs(d, W1, 3, &run, 1);
	assert_placed(d, whole);
}

static void what_strangers_hold_is_not_given_away(void **state)
{
	struct driver *d = *state;
	struct core_device dev = driver_device(W1, 0);

	driver_hello(d, W1, 1);
	dev.foreign = 60;
	core_device_update(d->core, &d->now, W1, &dev);
	driver_drain(d);
	const char *half = submit(d, PART(50), 60);
	assert_waits(d, half);
	assert_placed(d, submit(d, PART(40), 1));
	dev.foreign = 10;
	core_device_update(d->core, &d->now, W1, &dev);
	driver_drain(d);
	assert_placed(d, half);
	assert_waits(d, submit(d, WHOLE(1), 60));
}

static void an_unhealthy_device_is_not_used(void **state)
{
	struct driver *d = *state;
	struct core_device dev = driver_device(W1, 0);

	driver_hello(d, W1, 2);
	dev.healthy = false;
	core_device_update(d->core, &d->now, W1, &dev);
	driver_drain(d);
	assert_string_equal(where(d, submit(d, WHOLE(1), 60)), W1 "-1");
	const char *second = submit(d, WHOLE(1), 60);
	assert_waits(d, second);
	dev.healthy = true;
	core_device_update(d->core, &d->now, W1, &dev);
	driver_drain(d);
	assert_string_equal(where(d, second), W1 "-0");
}

static void a_worker_is_given_no_more_runs_than_it_can_hold(void **state)
{
	struct driver *d = *state;
	struct core_device dev = driver_device(W1, 0);
	struct core_run stranger = {
		.job = "j-zzzzzzzzzzzzzzzz", .attempt = 1, .phase = RUN_RUNNING
	};
	struct core_hello h = { .worker = W1,
		.hostname = "host",
		.run_slots = 3,
		.devices = &dev,
		.device_count = 1,
		.runs = &stranger,
		.run_count = 1 };

	driver_hello_with(d, &h);
	const char *first = submit(d, PART(10), 60);
	assert_placed(d, first);
	assert_placed(d, submit(d, PART(10), 60));
	const char *third = submit(d, PART(10), 60);
	assert_waits(d, third);
	driver_started(d, first);
	driver_ended(d, first, REASON_NONE);
	assert_placed(d, third);
}

static void nothing_is_placed_on_a_worker_without_a_stream(void **state)
{
	struct driver *d = *state;

	driver_hello(d, W1, 1);
	core_worker_gone(d->core, &d->now, W1, d->session);
	driver_drain(d);
	const char *job = driver_submit_half(d);
	assert_waits(d, job); /* accepted: the worker is away, not down */
	driver_hello(d, W1, 1);
	assert_placed(d, job);
}

static void a_worker_is_down_after_fifteen_seconds_of_silence(void **state)
{
	struct driver *d = *state;
	struct worker_view w;

	driver_hello(d, W1, 1);
	driver_pass(d, 14 * S);
	core_worker_seen(d->core, &d->now, W1);
	driver_drain(d);
	driver_pass(d, 14 * S);
	assert_true(core_worker_after(d->core, "", &w));
	assert_int_equal(w.state, WORKER_READY);
	driver_pass(d, 2 * S);
	assert_true(core_worker_after(d->core, "", &w));
	assert_int_equal(w.state, WORKER_DOWN);
	driver_submit_half(d);
	assert_int_equal(driver_last(d, EFFECT_ANSWER, NULL)->why, UNAVAILABLE_NO_WORKER);
	core_worker_seen(d->core, &d->now, W1);
	driver_drain(d);
	assert_placed(d, driver_submit_half(d));
}

static const struct effect *refusal(struct driver *d, struct wish w)
{
	driver_submit(d, w);
	const struct effect *answer = driver_last(d, EFFECT_ANSWER, NULL);
	assert_int_equal(answer->error.code, ERR_UNAVAILABLE);
	return answer;
}

static void what_can_never_run_is_refused_naming_the_largest(void **state)
{
	struct driver *d = *state;

	assert_int_equal(refusal(d, (struct wish){ 0 })->why, UNAVAILABLE_NO_WORKER);
	driver_hello(d, W1, 2);
	driver_hello(d, W2, 3);
	const struct effect *answer = refusal(d, (struct wish){ .amount = WHOLE(4) });
	assert_int_equal(answer->why, UNAVAILABLE_NEVER_FITS);
	assert_string_equal(answer->error.text,
		"4 GPUs can never fit: the most that one worker has is 3 GPUs");
	assert_int_equal(d->record_count, 0);
}

static void no_wait_is_decided_at_once_and_leaves_nothing(void **state)
{
	struct driver *d = *state;

	driver_hello(d, W1, 1);
	const char *job =
		driver_submit(d, (struct wish){ .amount = PART(60), .no_wait = true });
	assert_placed(d, job);
	size_t records = d->record_count;
	const struct effect *answer =
		refusal(d, (struct wish){ .amount = PART(60), .no_wait = true });
	assert_int_equal(answer->why, UNAVAILABLE_NO_WAIT);
	assert_string_equal(
		answer->error.text, "no_wait: no worker has 0.6 GPU free now");
	assert_int_equal(d->record_count, records);
}

static void what_no_wait_was_promised_is_not_given_to_another(void **state)
{
	struct driver *d = *state;

	driver_hello(d, W1, 1);
	d->auto_commit = false;
	const char *promised =
		driver_submit(d, (struct wish){ .amount = WHOLE(1), .no_wait = true });
	const char *other = submit(d, WHOLE(1), 60);
	driver_commit(d);
	assert_placed(d, promised);
	assert_waits(d, other);
}

static void a_refused_no_wait_gives_its_devices_back(void **state)
{
	struct driver *d = *state;
	const struct err full = { .code = ERR_EXHAUSTED, .text = "disk is full" };

	driver_hello(d, W1, 1);
	d->auto_commit = false;
	driver_submit(d, (struct wish){ .amount = WHOLE(1), .no_wait = true });
	core_refused(d->core, &d->now, core_count(d->core).last_issued, &full);
	driver_drain(d);
	assert_int_equal(driver_last(d, EFFECT_ANSWER, NULL)->error.code, ERR_EXHAUSTED);
	d->auto_commit = true;
	assert_placed(d, submit(d, WHOLE(1), 60));
}

static void a_refused_placement_backs_off_longer_each_time(void **state)
{
	struct driver *d = *state;

	driver_hello(d, W1, 1);
	const char *job = driver_submit_half(d);
	for (int64_t wait = 1; wait <= 2; wait *= 2) {
		driver_refused(d, job, REFUSED_TRANSIENT);
		assert_waits(d, job);
		driver_pass(d, wait * S - 1);
		assert_waits(d, job);
		driver_pass(d, 1);
		assert_placed(d, job);
	}
	assert_int_equal(driver_record(d, job)->facts.attempt, 3);
	assert_int_equal(driver_record(d, job)->facts.retries, 0);
}

static void a_refused_placement_goes_to_another_worker_first(void **state)
{
	struct driver *d = *state;

	driver_hello(d, W1, 1);
	const char *job = driver_submit_half(d);
	struct core_report r = driver_report_of(d, job, REPORT_REFUSED, 1);
	driver_hello(d, W2, 4); /* a worse fit */
	r.refused = REFUSED_NO_ROOM;
	driver_report(d, &r);
	core_worker_seen(d->core, &d->now, W1);
	driver_pass(d, 1 * S);
	assert_string_equal(driver_record(d, job)->facts.worker, W2);
}

static void a_worker_that_refuses_everything_is_given_a_rest(void **state)
{
	struct driver *d = *state;
	int starts = 0;

	driver_hello(d, W1, 1);
	for (int i = 0; i < 20; i++) {
		const char *job = driver_submit_half(d);

		if (driver_state(d, job) == JOB_CREATING_PARTITION) {
			starts++;
			driver_refused(d, job, REFUSED_TRANSIENT);
		}
	}
	assert_int_equal(starts, REFUSALS_IN_ROW);
	driver_pass(d, 1 * S);
	assert_int_equal(core_count(d->core).active, 2);
}

/* ---- many */

static uint64_t steps_of_one_end(struct driver *d, const char *running)
{
	uint64_t before = d->core->steps;

	driver_started(d, running);
	driver_ended(d, running, REASON_NONE);
	return d->core->steps - before;
}

/* Steps of the scheduler when a job ends and the next starts, with so many waiting. */
static uint64_t steps_with(uint32_t waiting, size_t *bytes_each)
{
	struct driver *d = driver_new();
	size_t before;

	driver_hello(d, W1, 8);
	char running[ID_SIZE];

	memcpy(running, submit(d, WHOLE(8), 60), ID_SIZE);
	before = mallinfo2().uordblks;
	for (uint32_t i = 0; i < waiting; i++) {
		struct amount a = i % 3 ? PART(10 + i % 81) : WHOLE(1 + i % 8);

		driver_submit(d, (struct wish){ .amount = a,
					 .duration_s = 1 + (int32_t)(i % 1000),
					 .priority = (int32_t)(i % 7) });
		/* Only the core's own memory counts. */
		while (d->record_count > 4)
			record_free(d->records[--d->record_count]);
		driver_clear(d);
	}
	*bytes_each = (mallinfo2().uordblks - before) / waiting;
	assert_int_equal(core_count(d->core).waiting, waiting);

	uint64_t steps = steps_of_one_end(d, running);
	driver_free(d);
	return steps;
}

static void work_does_not_grow_with_the_waiting_jobs(void **state)
{
	(void)state;
	size_t bytes;
	uint64_t few = steps_with(2000, &bytes);
	uint64_t many = steps_with(100000, &bytes);

	print_message("2,000 waiting: %llu steps; 100,000: %llu steps; %zu bytes each\n",
		(unsigned long long)few, (unsigned long long)many, bytes);
	assert_true(many < few * 2);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, driver_teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_share_goes_where_it_leaves_least),
		TEST(a_share_goes_to_the_worker_with_fewest_free_devices),
		TEST(whole_devices_come_from_one_worker_and_are_entirely_free),
		TEST(whole_devices_are_taken_where_fewest_are_free),
		TEST(a_device_never_holds_more_than_all_of_it),
		TEST(the_first_that_cannot_start_gets_a_reservation),
		TEST(a_reservation_leaves_other_devices_alone),
		TEST(the_reservation_is_of_what_comes_free_first),
		TEST(small_jobs_do_not_starve_behind_whole_ones),
		TEST(priority_comes_before_the_order_of_submission),
		TEST(a_higher_priority_takes_the_reservation),
		TEST(a_cancelled_job_gives_its_reservation_back),
		TEST(a_reservation_goes_with_its_device),
		TEST(what_strangers_hold_is_not_given_away),
		TEST(an_unhealthy_device_is_not_used),
		TEST(a_worker_is_given_no_more_runs_than_it_can_hold),
		TEST(nothing_is_placed_on_a_worker_without_a_stream),
		TEST(a_worker_is_down_after_fifteen_seconds_of_silence),
		TEST(what_can_never_run_is_refused_naming_the_largest),
		TEST(no_wait_is_decided_at_once_and_leaves_nothing),
		TEST(what_no_wait_was_promised_is_not_given_to_another),
		TEST(a_refused_no_wait_gives_its_devices_back),
		TEST(a_refused_placement_backs_off_longer_each_time),
		TEST(a_refused_placement_goes_to_another_worker_first),
		TEST(a_worker_that_refuses_everything_is_given_a_rest),
		cmocka_unit_test(work_does_not_grow_with_the_waiting_jobs),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
