/* test_core.c - a job's way through the core: gate, keys, reports, cancelling, deadlines. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "core_driver.h"
#include "str.h"

#define S  INT64_C(1000000000)
#define W1 "w-aaaaaaaaaaaaaaaa"
#define W2 "w-bbbbbbbbbbbbbbbb"

static int setup(void **state)
{
	struct driver *d = driver_new();

	driver_hello(d, W1, 2);
	driver_clear(d);
	*state = d;
	return 0;
}

static int teardown(void **state)
{
	driver_free(*state);
	return 0;
}

static void a_job_goes_from_submit_to_completed(void **state)
{
	struct driver *d = *state;
	const char *job = driver_submit_half(d);

	assert_int_equal(driver_state(d, job), JOB_CREATING_PARTITION);
	assert_int_equal(driver_last(d, EFFECT_ANSWER, job)->error.code, ERR_NONE);
	assert_int_equal(driver_count(d, EFFECT_START, job), 1);
	driver_started(d, job);
	assert_int_equal(driver_state(d, job), JOB_RUNNING);
	driver_ended(d, job, REASON_NONE);

	const struct record *last = driver_record(d, job);
	assert_int_equal(last->facts.state, JOB_COMPLETED);
	assert_false(last->facts.leased);
	assert_int_equal(last->event.sequence, 4);
	assert_int_equal(last->result_len, 2);
	assert_int_equal(driver_count(d, EFFECT_JOB_MOVED, job), 3);
	assert_int_equal(driver_count(d, EFFECT_FORGET, job), 1);

	struct job_view view;
	assert_int_equal(core_job(d->core, job, &view, NULL), -1);
	assert_int_equal(core_count(d->core).hundredths_leased, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			a_job_goes_from_submit_to_completed, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
