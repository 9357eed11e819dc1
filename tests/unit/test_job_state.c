/* test_job_state.c - the job life cycle accepts what it should and nothing else. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "job_state.h"

static const struct move {
	enum job_state from;
	enum job_event ev;
	enum job_state to;
} moves[] = {
	{ JOB_SCHEDULING, EV_PLACED, JOB_CREATING_PARTITION },
	{ JOB_SCHEDULING, EV_ENDED_BADLY, JOB_FAILED },
	{ JOB_SCHEDULING, EV_ENDED_CANCELLED, JOB_CANCELLED },
	{ JOB_CREATING_PARTITION, EV_PLACEMENT_REFUSED, JOB_SCHEDULING },
	{ JOB_CREATING_PARTITION, EV_STARTED, JOB_RUNNING },
	{ JOB_CREATING_PARTITION, EV_ENDED_BADLY, JOB_FAILED },
	{ JOB_CREATING_PARTITION, EV_ENDED_CANCELLED, JOB_CANCELLED },
	{ JOB_RUNNING, EV_REQUEUED, JOB_SCHEDULING },
	{ JOB_RUNNING, EV_ENDED_WELL, JOB_COMPLETED },
	{ JOB_RUNNING, EV_ENDED_BADLY, JOB_FAILED },
	{ JOB_RUNNING, EV_ENDED_CANCELLED, JOB_CANCELLED },
};

static enum job_state expected(enum job_state from, enum job_event ev)
{
	for (size_t i = 0; i < sizeof(moves) / sizeof(*moves); i++)
		if (moves[i].from == from && moves[i].ev == ev)
			return moves[i].to;
	return JOB_NONE;
}

static void every_state_takes_exactly_its_events(void **state)
{
	(void)state;
	for (enum job_state from = JOB_NONE; from < JOB_STATE_COUNT; from++) {
		for (enum job_event ev = EV_PLACED; ev < JOB_EVENT_COUNT; ev++) {
			enum job_state want = expected(from, ev), to = JOB_NONE;
			struct err e = { 0 };
			int rc = job_state_next(from, ev, &to, &e);

			assert_int_equal(rc, want == JOB_NONE ? -1 : 0);
			assert_int_equal(to, want);
			assert_int_equal(e.code, rc < 0 ? ERR_CONFLICT : ERR_NONE);
		}
	}
}

static void final_states_are_the_last_three(void **state)
{
	(void)state;
	assert_false(job_state_final(JOB_SCHEDULING));
	assert_false(job_state_final(JOB_CREATING_PARTITION));
	assert_false(job_state_final(JOB_RUNNING));
	assert_true(job_state_final(JOB_COMPLETED));
	assert_true(job_state_final(JOB_FAILED));
	assert_true(job_state_final(JOB_CANCELLED));
}

static void states_and_reasons_have_names_and_strangers_have_none(void **state)
{
	(void)state;
	assert_string_equal(job_state_name(JOB_CREATING_PARTITION), "CREATING_PARTITION");
	assert_string_equal(job_state_name(JOB_STATE_COUNT), "NONE");
	assert_string_equal(job_reason_name(REASON_NONE), "");
	assert_string_equal(job_reason_name(REASON_RUNNER_LOST), "RUNNER_LOST");
	assert_string_equal(job_reason_name((enum job_reason)9), "UNKNOWN");
	assert_string_equal(job_reason_name((enum job_reason)99), "UNKNOWN");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_state_takes_exactly_its_events),
		cmocka_unit_test(final_states_are_the_last_three),
		cmocka_unit_test(states_and_reasons_have_names_and_strangers_have_none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
