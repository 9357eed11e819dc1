/* test_drain.c - drained workers get nothing new; forgotten ones give up what they held. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "core_driver.h"

static int setup(void **state)
{
	struct driver *d = driver_new();

	driver_hello(d, W1, 1);
	*state = d;
	return 0;
}

static const struct effect *wish(
	struct driver *d, const char *worker, enum worker_wish what)
{
	core_token token = ++d->tokens;

	core_wish_worker(d->core, &d->now, token, worker, what);
	driver_drain(d);
	return driver_answer(d, token);
}

static enum worker_state state_of(const struct driver *d)
{
	struct worker_view w;

	assert_true(core_worker_after(d->core, "", &w));
	return w.state;
}

static void a_draining_worker_gets_nothing_new_and_keeps_what_it_runs(void **state)
{
	struct driver *d = *state;
	const char *before = driver_submit_half(d);

	driver_hello(d, W2, 1);
	assert_int_equal(wish(d, W1, WORKER_DRAIN)->error.code, ERR_NONE);
	assert_int_equal(state_of(d), WORKER_DRAINING);
	assert_int_equal(driver_state(d, before), JOB_CREATING_PARTITION);
	assert_string_equal(driver_record(d, driver_submit_half(d))->facts.worker, W2);
	assert_string_equal(driver_record(d, driver_submit_half(d))->facts.worker, W2);
	const char *waits = driver_submit_half(d);
	assert_int_equal(driver_state(d, waits), JOB_SCHEDULING);
	wish(d, W1, WORKER_RESUME);
	assert_string_equal(driver_record(d, waits)->facts.worker, W1);
}

static void with_only_draining_workers_a_submission_is_unavailable(void **state)
{
	struct driver *d = *state;

	wish(d, W1, WORKER_DRAIN);
	driver_submit_half(d);
	const struct effect *answer = driver_answer(d, d->tokens);
	assert_int_equal(answer->error.code, ERR_UNAVAILABLE);
	assert_int_equal(answer->why, UNAVAILABLE_NO_WORKER);
	assert_non_null(strstr(answer->error.text, "draining"));
	assert_int_equal(core_count(d->core).ready_workers, 0);
	assert_int_equal(core_count(d->core).draining_workers, 1);
}

static void a_reservation_leaves_a_draining_worker(void **state)
{
	struct driver *d = *state;

	driver_hello(d, W2, 1);
	driver_started(d,
		driver_submit(d, (struct wish){ .amount = { 1, 90 }, .duration_s = 10 }));
	driver_started(d, driver_submit(d, (struct wish){ .amount = { 1, 90 },
						   .duration_s = 1000 }));
	const char *whole = driver_submit(d, (struct wish){ .amount = { 1, 100 } });
	wish(d, W1, WORKER_DRAIN);
	wish(d, W2, WORKER_DRAIN);
	driver_hello(d, "w-cccccccccccccccc", 1);
	assert_string_equal(driver_record(d, whole)->facts.worker, "w-cccccccccccccccc");
}

static void draining_twice_is_recorded_once(void **state)
{
	struct driver *d = *state;

	wish(d, W1, WORKER_DRAIN);
	uint64_t issued = core_count(d->core).last_issued;
	assert_int_equal(wish(d, W1, WORKER_DRAIN)->error.code, ERR_NONE);
	assert_int_equal(core_count(d->core).last_issued, issued);
}

static void the_answer_waits_for_the_disk(void **state)
{
	struct driver *d = *state;

	d->auto_commit = false;
	assert_null(wish(d, W1, WORKER_DRAIN));
	driver_commit(d);
	assert_non_null(driver_answer(d, d->tokens));
}

static void an_unknown_worker_is_not_found(void **state)
{
	struct driver *d = *state;

	assert_int_equal(wish(d, W2, WORKER_DRAIN)->error.code, ERR_NOT_FOUND);
	assert_int_equal(wish(d, W2, WORKER_FORGET)->error.code, ERR_NOT_FOUND);
}

static void only_one_that_is_down_is_forgotten(void **state)
{
	struct driver *d = *state;

	assert_int_equal(wish(d, W1, WORKER_FORGET)->error.code, ERR_CONFLICT);
	driver_pass(d, 16 * S);
	assert_int_equal(wish(d, W1, WORKER_FORGET)->error.code, ERR_NONE);
	struct worker_view w;
	assert_false(core_worker_after(d->core, "", &w));
	assert_false(core_worker_is_here(d->core, W1, 1));
}

static void a_forgotten_worker_gives_up_its_jobs_without_a_retry(void **state)
{
	struct driver *d = *state;
	const char *job = driver_submit(d, (struct wish){ .max_retries = 3 });

	driver_started(d, job);
	driver_pass(d, 16 * S);
	wish(d, W1, WORKER_FORGET);
	const struct record *last = driver_record(d, job);
	assert_int_equal(last->facts.state, JOB_FAILED);
	assert_int_equal(last->facts.reason, REASON_OUTCOME_UNKNOWN);
	assert_false(last->facts.leased);
	assert_int_equal(core_count(d->core).active, 0);
}

static void a_forgotten_worker_is_gone_although_a_job_of_no_wait_is_not_durable_yet(
	void **state)
{
	struct driver *d = *state;
	struct worker_view w;

	d->auto_commit = false;
	const char *job = driver_submit(d, (struct wish){ .no_wait = true });
	driver_pass(d, 16 * S);
	assert_null(wish(d, W1, WORKER_FORGET));
	assert_false(core_worker_after(d->core, "", &w));
	driver_commit(d);
	assert_int_equal(driver_answer(d, d->tokens)->error.code, ERR_NONE);
	assert_int_equal(driver_state(d, job), JOB_SCHEDULING);
	assert_int_equal(core_count(d->core).waiting, 1);
	driver_hello(d, W2, 1);
	driver_commit(d);
	assert_string_equal(driver_record(d, job)->facts.worker, W2);
}

static void a_forgotten_worker_that_comes_back_stops_its_runs_first(void **state)
{
	struct driver *d = *state;
	const char *job = driver_submit_half(d);
	struct core_run run = { .attempt = 1, .phase = RUN_RUNNING, .ours = true };

	driver_started(d, job);
	driver_pass(d, 16 * S);
	wish(d, W1, WORKER_FORGET);
	memcpy(run.job, job, ID_SIZE);
	driver_hello_runs(d, W1, 1, &run, 1);
	assert_int_equal(
		driver_last(d, EFFECT_WELCOME, NULL)->wanted[0].want, WANT_STOPPED);
	const char *next = driver_submit_half(d);
	assert_int_equal(driver_state(d, next), JOB_SCHEDULING);
	driver_ended(d, job, REASON_SIGNALED);
	assert_int_equal(driver_count(d, EFFECT_FORGET, job), 1);
	assert_int_equal(driver_state(d, job), JOB_FAILED);
	assert_int_equal(driver_state(d, next), JOB_CREATING_PARTITION);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, driver_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_draining_worker_gets_nothing_new_and_keeps_what_it_runs),
		TEST(with_only_draining_workers_a_submission_is_unavailable),
		TEST(a_reservation_leaves_a_draining_worker),
		TEST(draining_twice_is_recorded_once),
		TEST(the_answer_waits_for_the_disk),
		TEST(an_unknown_worker_is_not_found),
		TEST(only_one_that_is_down_is_forgotten),
		TEST(a_forgotten_worker_gives_up_its_jobs_without_a_retry),
		TEST(a_forgotten_worker_is_gone_although_a_job_of_no_wait_is_not_durable_yet),
		TEST(a_forgotten_worker_that_comes_back_stops_its_runs_first),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
