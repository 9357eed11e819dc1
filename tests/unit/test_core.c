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
#include "xalloc.h"

static int setup(void **state)
{
	struct driver *d = driver_new();

	driver_hello(d, W1, 2);
	driver_clear(d);
	*state = d;
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

/* ---- the gate */

static void nothing_is_told_before_it_is_stored(void **state)
{
	struct driver *d = *state;

	d->auto_commit = false;
	const char *job = driver_submit_half(d);
	struct job_view view;

	assert_int_equal(d->record_count, 1);
	assert_int_equal(d->effect_count, 0);
	assert_int_equal(core_job(d->core, job, &view, NULL), -1);
	driver_commit(d);
	assert_int_equal(driver_count(d, EFFECT_ANSWER, job), 1);
	assert_int_equal(driver_count(d, EFFECT_START, job), 0);
	assert_int_equal(core_job(d->core, job, &view, NULL), 0);
	assert_int_equal(view.facts->state, JOB_CREATING_PARTITION);
	assert_int_equal(view.committed_sequence, 1);
	driver_commit(d);
	assert_int_equal(driver_count(d, EFFECT_JOB_MOVED, job), 1);
	assert_int_equal(driver_count(d, EFFECT_START, job), 1);
	assert_int_equal(core_job(d->core, job, &view, NULL), 0);
	assert_int_equal(view.committed_sequence, 2);
}

static void effects_come_first_in_first_out(void **state)
{
	struct driver *d = *state;

	d->auto_commit = false;
	const char *a = driver_submit_half(d);
	core_await(d->core, 0, 77);
	const char *b = driver_submit_half(d);
	driver_commit_to(d, 2);
	const struct effect *answers[3] = { 0 };
	size_t n = 0;

	for (size_t i = 0; i < d->effect_count; i++)
		if (d->effects[i].kind == EFFECT_ANSWER ||
			d->effects[i].kind == EFFECT_READY)
			answers[n++] = &d->effects[i];
	assert_int_equal(n, 3);
	assert_string_equal(answers[0]->job, a);
	assert_int_equal(answers[1]->token, 77);
	assert_string_equal(answers[2]->job, b);
}

static void the_records_of_one_input_share_its_number(void **state)
{
	struct driver *d = *state;

	d->auto_commit = false;
	driver_submit_half(d);
	driver_submit_half(d);
	driver_commit(d); /* both are placed in one input */
	assert_int_equal(d->record_count, 4);
	assert_int_not_equal(d->records[0]->input, d->records[1]->input);
	assert_int_equal(d->records[2]->input, d->records[3]->input);
	assert_int_equal(d->records[3]->number, 4);
}

static void a_start_for_a_stream_that_is_over_does_not_come_out(void **state)
{
	struct driver *d = *state;

	d->auto_commit = false;
	const char *job = driver_submit_half(d);
	driver_commit(d);
	driver_hello(d, W1, 2); /* before the placement is on disk */
	driver_commit(d);
	assert_int_equal(driver_count(d, EFFECT_START, job), 1);
	assert_int_equal(driver_last(d, EFFECT_START, job)->session, d->session);
}

/* ---- new jobs */

static void a_refused_new_job_is_answered_and_leaves_nothing(void **state)
{
	struct driver *d = *state;
	const struct err full = { .code = ERR_EXHAUSTED, .text = "disk is full" };

	d->auto_commit = false;
	driver_submit(d, (struct wish){ .key = "k", .identity = 1 });
	driver_submit(d, (struct wish){ .key = "k", .identity = 1 }); /* joins */
	core_token cancel = driver_cancel(d, d->records[0]->job);
	assert_int_equal(d->record_count, 1);
	core_refused(d->core, &d->now, 1, &full);
	driver_drain(d);
	assert_int_equal(driver_count(d, EFFECT_ANSWER, NULL), 3);
	assert_int_equal(driver_answer(d, 1)->error.code, ERR_EXHAUSTED);
	assert_string_equal(driver_answer(d, 2)->error.text, "disk is full");
	assert_int_equal(driver_answer(d, cancel)->error.code, ERR_NOT_FOUND);
	assert_true(core_is_committed(d->core, 1));

	d->auto_commit = true; /* its key is free again */
	const char *again = driver_submit(d, (struct wish){ .key = "k", .identity = 2 });
	assert_int_equal(driver_state(d, again), JOB_CREATING_PARTITION);
}

static void a_refused_job_does_not_hold_up_the_others_of_its_group(void **state)
{
	struct driver *d = *state;
	const struct err full = { .code = ERR_EXHAUSTED, .text = "disk is full" };

	d->auto_commit = false;
	driver_submit_half(d);
	const char *taken = driver_submit_half(d);
	driver_submit_half(d);
	core_refused(d->core, &d->now, 1, &full);
	core_refused(d->core, &d->now, 3, &full);
	driver_drain(d);
	assert_int_equal(driver_count(d, EFFECT_ANSWER, NULL), 1);
	driver_commit_to(d, 2);
	assert_int_equal(driver_count(d, EFFECT_ANSWER, NULL), 3);
	assert_int_equal(driver_answer(d, 2)->error.code, ERR_NONE);
	assert_int_equal(driver_state(d, taken), JOB_CREATING_PARTITION);
}

static void one_key_is_one_job(void **state)
{
	struct driver *d = *state;
	const struct wish wish = { .key = "k", .identity = 1 };

	d->auto_commit = false;
	const char *job = driver_submit(d, wish);
	driver_submit(d, wish); /* joins the new one */
	assert_int_equal(d->effect_count, 0);
	driver_commit(d);
	d->auto_commit = true;
	driver_drain(d);
	driver_submit(d, wish); /* finds the live one */
	assert_false(driver_answer(d, 1)->existed);
	for (core_token t = 1; t <= 3; t++) {
		assert_int_equal(driver_answer(d, t)->error.code, ERR_NONE);
		assert_string_equal(driver_answer(d, t)->job, job);
	}
	assert_true(driver_answer(d, 2)->existed);
	assert_true(driver_answer(d, 3)->existed);
	assert_int_equal(core_count(d->core).submitted, 1);
}

static void one_key_for_two_submissions_is_a_conflict(void **state)
{
	struct driver *d = *state;

	const char *job = driver_submit(d, (struct wish){ .key = "k", .identity = 1 });
	driver_submit(d, (struct wish){ .key = "k", .identity = 2 });
	const struct effect *answer = driver_answer(d, 2);
	assert_int_equal(answer->error.code, ERR_CONFLICT);
	assert_non_null(strstr(answer->error.text, job));
	assert_non_null(strstr(answer->error.text, "\"k\""));
	driver_submit(d, (struct wish){ .key = "k", .identity = 2, .owner = "other" });
	assert_int_equal(driver_answer(d, 3)->error.code, ERR_NONE);
}

static struct submission *keyed(uint8_t identity)
{
	struct submission *s = xcalloc(1, sizeof(*s));

	s->amount = (struct amount){ 8, 100 }; /* could never fit */
	s->duration_s = 1;
	s->owner = xstrdup("anyone");
	s->key = xstrdup("old");
	s->identity.bytes[0] = identity;
	return s;
}

static void the_key_of_a_stored_job_is_found_before_anything_is_checked(void **state)
{
	struct driver *d = *state;
	struct core_known_key known = { .found = true, .job = "j-bbbbbbbbbbbbbbbb" };

	known.identity.bytes[0] = 3;
	core_submit(d->core, &d->now, 1, "j-cccccccccccccccc", keyed(3), &known);
	core_submit(d->core, &d->now, 2, "j-dddddddddddddddd", keyed(4), &known);
	driver_drain(d);
	assert_true(driver_answer(d, 1)->existed);
	assert_string_equal(driver_answer(d, 1)->job, known.job);
	assert_int_equal(driver_answer(d, 2)->error.code, ERR_CONFLICT);
	assert_int_equal(d->record_count, 0);
}

static void the_limit_of_waiting_jobs_is_named(void **state)
{
	(void)state;
	struct driver *d = driver_new();

	core_free(d->core);
	d->config.waiting_jobs_max = 2;
	d->core = core_new(&d->config);
	core_workers_listed(d->core, &d->now);
	driver_hello(d, W1, 1);
	for (int i = 0; i < 5; i++)
		driver_submit(d, (struct wish){ .amount = { 1, 100 } });
	assert_int_equal(driver_answer(d, 3)->error.code, ERR_NONE);
	assert_int_equal(driver_answer(d, 4)->error.code, ERR_EXHAUSTED);
	assert_string_equal(driver_answer(d, 4)->error.text,
		"2 jobs are waiting already, which is the limit");
	driver_free(d);
}

static void submissions_wait_for_the_first_list_of_workers(void **state)
{
	(void)state;
	struct driver *d = driver_new();

	core_free(d->core);
	d->core = core_new(&d->config);
	driver_submit_half(d);
	assert_null(driver_answer(d, 1));
	driver_hello(d, W1, 1);
	assert_null(driver_answer(d, 1));
	core_workers_listed(d->core, &d->now);
	driver_drain(d);
	assert_int_equal(driver_answer(d, 1)->error.code, ERR_NONE);
	driver_free(d);
}

static void submissions_do_not_wait_for_ever(void **state)
{
	(void)state;
	struct driver *d = driver_new();

	core_free(d->core);
	d->core = core_new(&d->config);
	driver_submit_half(d);
	assert_int_equal(
		driver_last(d, EFFECT_WAKE_AT, NULL)->boot_ns, d->now.boot_ns + 5 * S);
	driver_pass(d, 5 * S);
	assert_int_equal(driver_answer(d, 1)->why, UNAVAILABLE_NO_WORKER);
	driver_free(d);
}

/* A loop's timer counts whole milliseconds and may fire just before its time. */
static void a_tick_that_comes_too_early_asks_to_be_woken_again(void **state)
{
	(void)state;
	struct driver *d = driver_new();

	core_free(d->core);
	d->core = core_new(&d->config);
	driver_submit_half(d);
	int64_t due = driver_last(d, EFFECT_WAKE_AT, NULL)->boot_ns;
	driver_clear(d);
	driver_pass(d, 5 * S - 1);
	assert_null(driver_answer(d, 1));
	assert_non_null(driver_last(d, EFFECT_WAKE_AT, NULL));
	assert_int_equal(driver_last(d, EFFECT_WAKE_AT, NULL)->boot_ns, due);
	driver_pass(d, 1);
	assert_int_equal(driver_answer(d, 1)->why, UNAVAILABLE_NO_WORKER);
	driver_free(d);
}

static void the_first_event_says_for_what_a_job_waits(void **state)
{
	struct driver *d = *state;

	driver_submit(d, (struct wish){ .amount = { 2, 100 } });
	const char *waiting = driver_submit_half(d);
	const struct job_state_event *ev = core_job_event(d->core, waiting, 1);
	assert_int_equal(ev->state, JOB_SCHEDULING);
	assert_int_equal(ev->reason, REASON_WAITING_FOR_GPU);
	assert_string_equal(ev->message, "waiting for 0.5 GPU: nothing is free");
	assert_null(core_job_event(d->core, waiting, 2));
}

static void a_job_is_queued_from_when_it_last_began_to_wait(void **state)
{
	struct driver *d = *state;

	driver_submit(d, (struct wish){ .amount = { 2, 100 } });
	const char *job = driver_submit_half(d);
	driver_pass(d, 3 * S);
	driver_hello(d, "w-bbbbbbbbbbbbbbbb", 1);
	assert_int_equal(driver_record(d, job)->facts.timing.queued, 3 * S);
	driver_refused(d, job, REFUSED_NO_ROOM);
	driver_pass(d, 2 * S);
	assert_int_equal(driver_state(d, job), JOB_CREATING_PARTITION);
	assert_int_equal(driver_record(d, job)->facts.timing.queued, 2 * S);
}

/* ---- cancelling */

static void cancelling_a_waiting_job_ends_it(void **state)
{
	struct driver *d = *state;

	driver_submit(d, (struct wish){ .amount = { 2, 100 } });
	const char *job = driver_submit_half(d);
	driver_clear(d);
	const struct effect *answer = driver_answer(d, driver_cancel(d, job));

	assert_true(answer->cancelled);
	assert_int_equal(driver_state(d, job), JOB_CANCELLED);
	assert_int_equal(driver_record(d, job)->facts.reason, REASON_CANCELLED_BY_USER);
	assert_ptr_equal(driver_last(d, EFFECT_JOB_MOVED, job), answer + 1);
	assert_int_equal(core_count(d->core).waiting, 0);
}

static void cancelling_a_running_job_waits_for_its_end(void **state)
{
	struct driver *d = *state;
	const char *job = driver_submit_half(d);

	driver_started(d, job);
	d->auto_commit = false;
	core_token token = driver_cancel(d, job);
	assert_null(driver_answer(d, token));
	assert_int_equal(driver_count(d, EFFECT_STOP, job), 0);
	driver_commit(d);
	assert_true(driver_answer(d, token)->cancelled);
	assert_int_equal(driver_answer(d, token)->state, JOB_RUNNING);
	assert_int_equal(driver_last(d, EFFECT_STOP, job)->stop_why, STOP_WHY_CANCEL);
	assert_int_equal(driver_state(d, job), JOB_RUNNING);
	assert_true(driver_record(d, job)->facts.cancel_requested);

	d->auto_commit = true;
	driver_ended(d, job, REASON_NONE); /* whatever the exit was */
	const struct record *last = driver_record(d, job);
	assert_int_equal(last->facts.state, JOB_CANCELLED);
	assert_true(last->facts.exit_known);
	assert_null(last->result);
	assert_false(last->facts.leased);
}

static void a_second_cancel_gets_its_own_answer_and_changes_nothing(void **state)
{
	struct driver *d = *state;
	const char *job = driver_submit_half(d);

	driver_cancel(d, job);
	size_t records = d->record_count;
	core_token again = driver_cancel(d, job);
	assert_true(driver_answer(d, again)->cancelled);
	assert_int_equal(d->record_count, records);
	assert_int_equal(driver_count(d, EFFECT_STOP, job), 1);
}

static void a_job_that_ended_first_is_not_cancelled(void **state)
{
	struct driver *d = *state;
	const char *job = driver_submit_half(d);

	driver_started(d, job);
	d->auto_commit = false;
	driver_ended(d, job, REASON_CODE_FAILED);
	core_token token = driver_cancel(d, job);
	assert_null(driver_answer(d, token));
	driver_commit(d);
	assert_false(driver_answer(d, token)->cancelled);
	assert_int_equal(driver_answer(d, token)->state, JOB_FAILED);
	assert_int_equal(driver_record(d, job)->facts.state, JOB_FAILED);
	/* Now it is the store's. */
	token = driver_cancel(d, job);
	assert_int_equal(driver_answer(d, token)->error.code, ERR_NOT_FOUND);
}

static void a_refused_placement_of_a_cancelled_job_ends_it(void **state)
{
	struct driver *d = *state;
	const char *job = driver_submit_half(d);

	driver_cancel(d, job);
	driver_refused(d, job, REFUSED_NO_ROOM);
	assert_int_equal(driver_state(d, job), JOB_CANCELLED);
	assert_int_equal(core_count(d->core).hundredths_leased, 0);
}

static void a_cancel_of_a_new_job_waits_for_its_commit(void **state)
{
	struct driver *d = *state;

	d->auto_commit = false;
	const char *job = driver_submit_half(d);
	core_token token = driver_cancel(d, job);
	assert_null(driver_answer(d, token));
	d->auto_commit = true;
	driver_drain(d);
	assert_true(driver_answer(d, token)->cancelled);
	assert_int_equal(driver_state(d, job), JOB_CANCELLED);
	assert_int_equal(driver_count(d, EFFECT_START, job), 0);
}

static void an_unknown_job_is_not_found(void **state)
{
	struct driver *d = *state;
	core_token token = driver_cancel(d, "j-nnnnnnnnnnnnnnnn");

	assert_int_equal(driver_answer(d, token)->error.code, ERR_NOT_FOUND);
	assert_non_null(
		strstr(driver_answer(d, token)->error.text, "j-nnnnnnnnnnnnnnnn"));
}

/* ---- reports */

static void a_report_that_comes_again_is_only_acknowledged(void **state)
{
	struct driver *d = *state;
	const char *job = driver_submit_half(d);

	driver_started(d, job);
	size_t records = d->record_count;
	driver_clear(d);
	driver_started(d, job);
	assert_int_equal(d->record_count, records);
	assert_int_equal(driver_last(d, EFFECT_COMMITTED, job)->report, 2);
}

static void reports_of_other_attempts_workers_and_streams_are_fenced(void **state)
{
	struct driver *d = *state;
	const char *job = driver_submit_half(d);
	struct core_report r = driver_report_of(d, job, REPORT_ENDED, 3);
	size_t records = d->record_count;

	driver_hello(d, W2, 1);
	r.attempt = 2;
	driver_report(d, &r);
	assert_int_equal(driver_last(d, EFFECT_FORGET, job)->attempt, 2);
	r.attempt = 1;
	memcpy(r.worker, W2, ID_SIZE);
	r.session = d->session;
	driver_report(d, &r);
	memcpy(r.worker, W1, ID_SIZE);
	r.session = 99;
	driver_report(d, &r);
	assert_int_equal(d->record_count, records);
	assert_int_equal(driver_state(d, job), JOB_CREATING_PARTITION);
}

static void an_end_waits_for_its_output(void **state)
{
	struct driver *d = *state;
	const char *job = driver_submit_half(d);
	struct core_report r = driver_report_of(d, job, REPORT_ENDED, 3);

	driver_started(d, job);
	r.output_end = 100;
	driver_report(d, &r);
	core_output_durable(d->core, &d->now, job, 1, 99);
	driver_drain(d);
	assert_int_equal(driver_state(d, job), JOB_RUNNING);
	driver_report(d, &r); /* again: not taken twice */
	core_output_durable(d->core, &d->now, job, 1, 100);
	driver_drain(d);
	assert_int_equal(driver_state(d, job), JOB_COMPLETED);
	assert_int_equal(driver_record(d, job)->facts.output_end, OUTPUT_OFFSET(1, 100));
	assert_int_equal(driver_record(d, job)->event.output_at, OUTPUT_OFFSET(1, 100));
}

static void an_end_does_not_wait_for_output_that_is_lost(void **state)
{
	struct driver *d = *state;
	const char *job = driver_submit_half(d);
	struct core_report r = driver_report_of(d, job, REPORT_ENDED, 3);
	struct core_run run = { .attempt = 1,
		.phase = RUN_ENDED,
		.last_report = 3,
		.output_end = 40,
		.ours = true };

	driver_started(d, job);
	r.output_end = 100;
	driver_report(d, &r);
	core_output_durable(d->core, &d->now, job, 1, 40);
	driver_drain(d);
	assert_int_equal(driver_state(d, job), JOB_RUNNING);
	memcpy(run.job, job, ID_SIZE);
	driver_hello_runs(d, W1, 2, &run, 1);
	assert_int_equal(driver_state(d, job), JOB_COMPLETED);
	assert_int_equal(driver_record(d, job)->facts.output_end, OUTPUT_OFFSET(1, 40));
}

static void an_end_whose_output_never_comes_is_taken_at_the_backstop(void **state)
{
	struct driver *d = *state;
	const char *job = driver_submit_half(d);
	struct core_report started = driver_report_of(d, job, REPORT_STARTED, 2);
	struct core_report ended = driver_report_of(d, job, REPORT_ENDED, 3);

	started.output_at = 50;
	driver_report(d, &started);
	ended.output_end = 100;
	driver_report(d, &ended);
	driver_pass(d, (600 + 60 + 6) * S);
	assert_int_equal(driver_state(d, job), JOB_COMPLETED);
	/* It does not go back behind what RUNNING said. */
	assert_int_equal(driver_record(d, job)->event.output_at, OUTPUT_OFFSET(1, 50));
}

static void an_environment_that_stands_is_recorded_without_an_event(void **state)
{
	struct driver *d = *state;
	const char *job = driver_submit_half(d);
	int64_t sequence = driver_record(d, job)->facts.last_sequence;
	struct core_report ready = driver_report_of(d, job, REPORT_SETTING_UP, 2);

	ready.environment = "sha256:abc";
	driver_report(d, &ready);
	assert_int_equal(driver_state(d, job), JOB_CREATING_PARTITION);
	assert_string_equal(driver_record(d, job)->facts.environment, "sha256:abc");
	assert_int_equal(driver_record(d, job)->facts.last_sequence, sequence);
	assert_int_equal(driver_last(d, EFFECT_COMMITTED, job)->report, 2);

	struct core_report started = driver_report_of(d, job, REPORT_STARTED, 3);
	driver_report(d, &started);
	assert_int_equal(driver_state(d, job), JOB_RUNNING);
	assert_string_equal(driver_record(d, job)->facts.environment, "sha256:abc");
}

static void a_refused_placement_takes_its_environment_with_it(void **state)
{
	struct driver *d = *state;
	const char *job = driver_submit_half(d);
	struct core_report ready = driver_report_of(d, job, REPORT_SETTING_UP, 2);
	struct core_report refused = driver_report_of(d, job, REPORT_REFUSED, 3);

	ready.environment = "sha256:abc";
	driver_report(d, &ready);
	refused.refused = REFUSED_TRANSIENT;
	driver_report(d, &refused);
	assert_null(driver_record(d, job)->facts.environment);
}

static void running_is_always_seen_before_completed(void **state)
{
	struct driver *d = *state;
	const char *job = driver_submit_half(d);

	driver_ended(d, job, REASON_NONE);
	const struct record *last = d->records[d->record_count - 1];
	const struct record *before = d->records[d->record_count - 2];
	assert_int_equal(before->facts.state, JOB_RUNNING);
	assert_int_equal(last->from, JOB_RUNNING);
	assert_int_equal(last->facts.state, JOB_COMPLETED);
	assert_int_equal(last->input, before->input);
}

static void a_run_that_can_never_start_fails_with_its_text(void **state)
{
	struct driver *d = *state;
	const char *job = driver_submit_half(d);

	driver_refused(d, job, REFUSED_INVALID);
	assert_int_equal(driver_state(d, job), JOB_FAILED);
	assert_int_equal(driver_record(d, job)->facts.reason, REASON_CONTAINER_FAILED);
	assert_string_equal(driver_record(d, job)->facts.message, "because");
}

static void progress_is_latest_wins(void **state)
{
	struct driver *d = *state;
	const char *job = driver_submit_half(d);
	struct job_view view;

	driver_started(d, job);
	core_progress(d->core, &d->now, job, 1, 0.25f, "a");
	core_progress(d->core, &d->now, job, 1, 0.5f, "b");
	core_progress(d->core, &d->now, job, 2, 0.9f, "another attempt");
	driver_drain(d);
	assert_int_equal(driver_count(d, EFFECT_PROGRESS, job), 1);
	assert_int_equal(core_job(d->core, job, &view, NULL), 0);
	assert_true(view.progress > 0.4f && view.progress < 0.6f);
	assert_string_equal(view.progress_text, "b");
}

/* ---- retries */

static void a_failure_is_final_unless_retries_were_asked_for(void **state)
{
	struct driver *d = *state;
	const char *job = driver_submit_half(d);

	driver_started(d, job);
	driver_ended(d, job, REASON_RUNNER_LOST);
	assert_int_equal(driver_state(d, job), JOB_FAILED);
	assert_string_equal(driver_record(d, job)->error, "failed\ntraceback");
}

static void a_retry_goes_back_to_scheduling_as_often_as_asked(void **state)
{
	struct driver *d = *state;
	const char *job = driver_submit(d, (struct wish){ .max_retries = 1 });

	driver_started(d, job);
	driver_ended(d, job, REASON_CODE_FAILED);
	const struct record *r = driver_record(d, job);
	assert_int_equal(r->facts.state, JOB_SCHEDULING);
	assert_int_equal(r->facts.retries, 1);
	assert_false(r->facts.leased);
	assert_string_equal(
		r->facts.message, "attempt 1 failed: failed; retry 1 of 1 follows");
	assert_int_equal(driver_last(d, EFFECT_FORGET, job)->attempt, 1);
	driver_pass(d, 1 * S);
	assert_int_equal(driver_record(d, job)->facts.attempt, 2);
	driver_started(d, job);
	driver_ended(d, job, REASON_CODE_FAILED);
	assert_int_equal(driver_state(d, job), JOB_FAILED);
}

static void what_would_fail_again_is_not_retried(void **state)
{
	struct driver *d = *state;
	static const enum job_reason final[] = { REASON_DURATION_EXCEEDED,
		REASON_RESULT_INVALID, REASON_RESULT_TOO_LARGE, REASON_DISK_LIMIT };

	for (size_t i = 0; i < sizeof(final) / sizeof(*final); i++) {
		const char *job = driver_submit(d, (struct wish){ .max_retries = 3 });

		driver_started(d, job);
		driver_ended(d, job, final[i]);
		assert_int_equal(driver_state(d, job), JOB_FAILED);
		assert_int_equal(driver_record(d, job)->facts.reason, final[i]);
	}
}

/* ---- deadlines */

static void a_run_that_says_nothing_is_stopped_and_then_given_up(void **state)
{
	struct driver *d = *state;
	const char *job = driver_submit_half(d);

	driver_pass(d, (600 + 60 + 6) * S - 1);
	assert_int_equal(driver_count(d, EFFECT_STOP, job), 0);
	driver_pass(d, 1);
	assert_int_equal(driver_last(d, EFFECT_STOP, job)->stop_why, STOP_WHY_BACKSTOP);
	driver_pass(d, 300 * S - 1);
	assert_int_equal(driver_state(d, job), JOB_CREATING_PARTITION);
	driver_pass(d, 1);
	const struct record *last = driver_record(d, job);
	assert_int_equal(last->facts.state, JOB_FAILED);
	assert_int_equal(last->facts.reason, REASON_OUTCOME_UNKNOWN);
	assert_true(last->facts.leased);

	/* Clients find it in the store; its devices are not free. */
	struct job_view view;
	assert_int_equal(core_job(d->core, job, &view, NULL), -1);
	assert_true(
		core_lease_after(d->core, W1, last->facts.devices[0].uuid, "", &view));
	assert_string_equal(view.id, job);
}

/* Its run lives on at a worker that was away for too long. */
static const char *given_up(struct driver *d)
{
	const char *job = driver_submit_half(d);

	driver_started(d, job);
	driver_pass(d, 2000 * S);
	driver_pass(d, 2000 * S);
	assert_true(driver_record(d, job)->facts.leased);
	return job;
}

static void a_given_up_lease_goes_when_the_worker_shows_the_run_gone(void **state)
{
	struct driver *d = *state;
	const char *job = given_up(d);
	const struct record *last;

	driver_hello(d, W1, 2);
	last = driver_record(d, job);
	assert_false(last->facts.leased);
	assert_int_equal(last->from, JOB_FAILED);
	assert_int_equal(last->event.sequence, 0);
	assert_int_equal(core_count(d->core).hundredths_leased, 0);
}

static void a_given_up_run_that_lives_is_stopped_and_keeps_its_lease(void **state)
{
	struct driver *d = *state;
	const char *job = given_up(d);
	struct core_run run = { .attempt = 1, .phase = RUN_RUNNING, .ours = true };

	memcpy(run.job, job, ID_SIZE);
	driver_hello_runs(d, W1, 2, &run, 1);
	assert_int_equal(
		driver_last(d, EFFECT_WELCOME, NULL)->wanted[0].want, WANT_STOPPED);
	assert_true(driver_record(d, job)->facts.leased);
	driver_ended(d, job, REASON_NONE);
	assert_false(driver_record(d, job)->facts.leased);
	assert_int_equal(driver_state(d, job), JOB_FAILED); /* still */
	assert_int_equal(driver_count(d, EFFECT_FORGET, job), 1);
}

static void cancelled_and_unknown_is_cancelled(void **state)
{
	struct driver *d = *state;
	const char *job = driver_submit_half(d);

	driver_started(d, job);
	driver_cancel(d, job);
	driver_hello(d, W1, 2);
	assert_int_equal(driver_state(d, job), JOB_CANCELLED);
}

/* ---- workers */

static void a_lease_without_a_folder_is_started_again_if_nothing_came_of_it(void **state)
{
	struct driver *d = *state;
	const char *job = driver_submit_half(d);

	driver_hello(d, W1, 2);
	assert_int_equal(driver_count(d, EFFECT_START, job), 2);
	assert_int_equal(driver_last(d, EFFECT_START, job)->attempt, 1);
}

static void a_lease_without_a_folder_that_reported_is_not_started_again(void **state)
{
	struct driver *d = *state;
	const char *job = driver_submit_half(d);
	struct core_report r = driver_report_of(d, job, REPORT_ACCEPTED, 1);

	driver_report(d, &r);
	driver_hello(d, W1, 2);
	assert_int_equal(driver_count(d, EFFECT_START, job), 1);
	assert_int_equal(driver_record(d, job)->facts.reason, REASON_OUTCOME_UNKNOWN);
	assert_false(driver_record(d, job)->facts.leased);
}

static void a_running_job_without_a_folder_is_unknown_and_its_devices_are_free(
	void **state)
{
	struct driver *d = *state;
	const char *job = driver_submit_half(d);

	driver_started(d, job);
	driver_hello(d, W1, 2);
	assert_int_equal(driver_state(d, job), JOB_FAILED);
	assert_int_equal(driver_record(d, job)->facts.reason, REASON_OUTCOME_UNKNOWN);
	assert_int_equal(core_count(d->core).hundredths_leased, 0);
}

static void a_welcome_says_what_is_wanted_of_each_run(void **state)
{
	struct driver *d = *state;
	const char *on = driver_submit_half(d);
	const char *cancelled = driver_submit_half(d);
	struct core_run runs[] = {
		{ .attempt = 1, .phase = RUN_RUNNING, .ours = true },
		{ .attempt = 1, .phase = RUN_RUNNING, .ours = true },
		{ .job = "j-oooooooooooooooo",
			.attempt = 1,
			.phase = RUN_ENDED,
			.ours = true },
		{ .job = "j-oooooooooooooooo",
			.attempt = 2,
			.phase = RUN_RUNNING,
			.ours = true },
		{ .job = "j-xxxxxxxxxxxxxxxx", .attempt = 1, .phase = RUN_RUNNING },
	};
	static const enum run_want wants[] = { WANT_RUN_ON, WANT_STOPPED, WANT_FORGOTTEN,
		WANT_STOPPED, WANT_LEFT_ALONE };

	driver_started(d, on);
	driver_cancel(d, cancelled);
	memcpy(runs[0].job, on, ID_SIZE);
	memcpy(runs[1].job, cancelled, ID_SIZE);
	driver_hello_runs(d, W1, 2, runs, 5);
	const struct effect *welcome = driver_last(d, EFFECT_WELCOME, NULL);
	assert_int_equal(welcome->wanted_count, 5);
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(welcome->wanted[i].want, wants[i]);
	assert_int_equal(welcome->wanted[0].committed_report, 2);
}

static void a_run_of_another_cluster_is_never_forgotten(void **state)
{
	struct driver *d = *state;
	struct core_run run = {
		.job = "j-xxxxxxxxxxxxxxxx", .attempt = 1, .phase = RUN_RUNNING
	};
	struct core_report r = { .job = "j-xxxxxxxxxxxxxxxx",
		.worker = W1,
		.attempt = 1,
		.number = 3,
		.kind = REPORT_ENDED };

	driver_hello_runs(d, W1, 2, &run, 1);
	r.session = d->session;
	driver_report(d, &r);
	assert_int_equal(driver_count(d, EFFECT_FORGET, NULL), 0);
	assert_int_equal(driver_count(d, EFFECT_LOG, NULL), 1);
}

static void an_older_stream_does_not_replace_a_newer_one(void **state)
{
	struct driver *d = *state;
	struct core_hello old = { .worker = W1, .hostname = "old", .session = 1 };
	struct worker_view w;

	driver_hello(d, W1, 2);
	core_worker_hello(d->core, &d->now, &old);
	core_worker_gone(d->core, &d->now, W1, 1);
	driver_drain(d);
	assert_true(core_worker_after(d->core, "", &w));
	assert_string_equal(w.hostname, "host");
	assert_int_equal(driver_state(d, driver_submit_half(d)), JOB_CREATING_PARTITION);
}

static void a_device_that_is_gone_stays_while_it_is_leased(void **state)
{
	struct driver *d = *state;
	const char *job = driver_submit(d, (struct wish){ .amount = { 2, 100 } });
	struct core_run run = { .attempt = 1, .phase = RUN_RUNNING, .ours = true };
	struct worker_view w;

	driver_started(d, job);
	memcpy(run.job, job, ID_SIZE);
	driver_hello_runs(d, W1, 1, &run, 1);
	assert_true(core_worker_after(d->core, "", &w));
	assert_int_equal(w.device_count, 2);
	driver_ended(d, job, REASON_NONE);
	driver_hello(d, W1, 1);
	assert_true(core_worker_after(d->core, "", &w));
	assert_int_equal(w.device_count, 1);
}

static void jobs_are_counted_by_state_and_by_what_they_wait_for(void **state)
{
	struct driver *d = *state;
	const char *first =
		driver_submit(d, (struct wish){ .amount = { 2, 100 }, .max_retries = 1 });

	driver_submit_half(d);
	driver_started(d, first);

	struct core_counts n = core_count(d->core);
	assert_int_equal(n.in_state[JOB_RUNNING], 1);
	assert_int_equal(n.in_state[JOB_SCHEDULING], 1);
	assert_int_equal(n.waiting_for[REASON_WAITING_FOR_GPU], 1);
	assert_int_equal(n.waiting_for[REASON_NONE], 0);

	/* The retry backs off, and the other one takes its place. */
	driver_ended(d, first, REASON_CODE_FAILED);
	*state = d = driver_crash(d);
	n = core_count(d->core);
	assert_int_equal(n.in_state[JOB_RUNNING], 0);
	assert_int_equal(n.in_state[JOB_CREATING_PARTITION], 1);
	assert_int_equal(n.in_state[JOB_SCHEDULING], 1);
	assert_int_equal(n.waiting_for[REASON_CODE_FAILED], 1);
	assert_int_equal(n.waiting_for[REASON_WAITING_FOR_GPU], 0);
	assert_int_equal(n.finished[JOB_FAILED], 0);
}

static void a_new_job_is_logged_once_it_is_durable(void **state)
{
	struct driver *d = *state;

	d->auto_commit = false;
	const char *half = driver_submit_half(d);
	assert_int_equal(driver_count(d, EFFECT_LOG, half), 0);
	driver_commit(d);
	assert_true(driver_count(d, EFFECT_LOG, half) >= 1);
}

/* ---- restoring */

static void after_a_crash_jobs_go_on_where_they_were(void **state)
{
	struct driver *d = *state;
	const char *running = driver_submit(d, (struct wish){ .amount = { 2, 100 } });
	const char *waiting = driver_submit_half(d);
	struct core_run run = { .attempt = 1, .phase = RUN_RUNNING, .ours = true };

	driver_started(d, running);
	*state = d = driver_crash(d);
	assert_int_equal(core_count(d->core).waiting, 1);
	assert_int_equal(core_count(d->core).active, 1);
	memcpy(run.job, running, ID_SIZE);
	driver_hello_runs(d, W1, 2, &run, 1);
	assert_int_equal(
		driver_last(d, EFFECT_WELCOME, NULL)->wanted[0].want, WANT_RUN_ON);
	assert_int_equal(driver_count(d, EFFECT_START, NULL), 0);
	driver_ended(d, running, REASON_NONE);
	assert_int_equal(driver_state(d, running), JOB_COMPLETED);
	assert_int_equal(driver_state(d, waiting), JOB_CREATING_PARTITION);
	assert_int_equal(driver_record(d, waiting)->event.sequence, 2);
}

static void deadlines_begin_again_after_a_crash(void **state)
{
	struct driver *d = *state;
	const char *job = driver_submit_half(d);

	driver_pass(d, 600 * S);
	*state = d = driver_crash(d);
	driver_pass(d, 600 * S);
	assert_int_equal(driver_state(d, job), JOB_CREATING_PARTITION);
	driver_pass(d, 100 * S);
	driver_pass(d, 300 * S);
	assert_int_equal(driver_record(d, job)->facts.reason, REASON_OUTCOME_UNKNOWN);
}

static void a_given_up_lease_is_restored(void **state)
{
	struct driver *d = *state;
	const char *job = given_up(d);

	*state = d = driver_crash(d);
	assert_true(driver_record(d, job)->facts.leased);
	driver_hello(d, W1, 2);
	assert_false(driver_record(d, job)->facts.leased);
}

static int restore(struct driver *d, const char *id, uint32_t hundredths,
	enum job_state job_state, bool leased, struct err *e)
{
	struct job_facts f = { .state = job_state,
		.attempt = 1,
		.last_sequence = 2,
		.leased = leased,
		.device_count = 1,
		.worker = W2 };
	struct submission *s = xcalloc(1, sizeof(*s));

	s->amount = (struct amount){ 1, hundredths };
	f.devices = xcalloc(1, sizeof(*f.devices));
	str_put(f.devices[0].uuid, DEVICE_UUID_MAX, "gpu");
	return core_restore_job(d->core, id, &f, s, e);
}

static void rows_that_contradict_each_other_are_refused(void **state)
{
	struct driver *d = *state;
	struct err e = { 0 };

	assert_int_equal(restore(d, "j-aaaaaaaaaaaaaaaa", 60, JOB_RUNNING, true, &e), 0);
	assert_int_equal(restore(d, "j-aaaaaaaaaaaaaaaa", 10, JOB_RUNNING, true, &e), -1);
	assert_int_equal(restore(d, "j-aaaaaaaaaaaaaaab", 60, JOB_RUNNING, true, &e), -1);
	assert_string_equal(e.text, "job j-aaaaaaaaaaaaaaab: device gpu is oversold");
	assert_int_equal(
		restore(d, "j-aaaaaaaaaaaaaaac", 10, JOB_RUNNING, false, &e), -1);
	assert_string_equal(e.text, "job j-aaaaaaaaaaaaaaac is RUNNING without a lease");
	assert_int_equal(
		restore(d, "j-aaaaaaaaaaaaaaad", 10, JOB_SCHEDULING, true, &e), -1);
	assert_int_equal(
		restore(d, "j-aaaaaaaaaaaaaaae", 5, JOB_SCHEDULING, false, &e), -1);
	assert_int_equal(restore(d, "j-aaaaaaaaaaaaaaaf", 10, JOB_NONE, false, &e), -1);
	assert_int_equal(restore(d, "j-1", 10, JOB_SCHEDULING, false, &e), -1);
	assert_int_equal(restore(d, "j-aaaaaaaaaaaaaaag", 40, JOB_RUNNING, true, &e), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, driver_teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_job_goes_from_submit_to_completed),
		TEST(nothing_is_told_before_it_is_stored),
		TEST(effects_come_first_in_first_out),
		TEST(the_records_of_one_input_share_its_number),
		TEST(a_start_for_a_stream_that_is_over_does_not_come_out),
		TEST(a_refused_new_job_is_answered_and_leaves_nothing),
		TEST(a_refused_job_does_not_hold_up_the_others_of_its_group),
		TEST(one_key_is_one_job),
		TEST(one_key_for_two_submissions_is_a_conflict),
		TEST(the_key_of_a_stored_job_is_found_before_anything_is_checked),
		TEST(the_limit_of_waiting_jobs_is_named),
		TEST(submissions_wait_for_the_first_list_of_workers),
		TEST(submissions_do_not_wait_for_ever),
		TEST(a_tick_that_comes_too_early_asks_to_be_woken_again),
		TEST(the_first_event_says_for_what_a_job_waits),
		TEST(a_job_is_queued_from_when_it_last_began_to_wait),
		TEST(cancelling_a_waiting_job_ends_it),
		TEST(cancelling_a_running_job_waits_for_its_end),
		TEST(a_second_cancel_gets_its_own_answer_and_changes_nothing),
		TEST(a_job_that_ended_first_is_not_cancelled),
		TEST(a_refused_placement_of_a_cancelled_job_ends_it),
		TEST(a_cancel_of_a_new_job_waits_for_its_commit),
		TEST(an_unknown_job_is_not_found),
		TEST(a_report_that_comes_again_is_only_acknowledged),
		TEST(reports_of_other_attempts_workers_and_streams_are_fenced),
		TEST(an_end_waits_for_its_output),
		TEST(an_end_does_not_wait_for_output_that_is_lost),
		TEST(an_end_whose_output_never_comes_is_taken_at_the_backstop),
		TEST(an_environment_that_stands_is_recorded_without_an_event),
		TEST(a_refused_placement_takes_its_environment_with_it),
		TEST(running_is_always_seen_before_completed),
		TEST(a_run_that_can_never_start_fails_with_its_text),
		TEST(progress_is_latest_wins),
		TEST(a_failure_is_final_unless_retries_were_asked_for),
		TEST(a_retry_goes_back_to_scheduling_as_often_as_asked),
		TEST(what_would_fail_again_is_not_retried),
		TEST(a_run_that_says_nothing_is_stopped_and_then_given_up),
		TEST(a_given_up_lease_goes_when_the_worker_shows_the_run_gone),
		TEST(a_given_up_run_that_lives_is_stopped_and_keeps_its_lease),
		TEST(cancelled_and_unknown_is_cancelled),
		TEST(a_lease_without_a_folder_is_started_again_if_nothing_came_of_it),
		TEST(a_lease_without_a_folder_that_reported_is_not_started_again),
		TEST(a_running_job_without_a_folder_is_unknown_and_its_devices_are_free),
		TEST(a_welcome_says_what_is_wanted_of_each_run),
		TEST(a_run_of_another_cluster_is_never_forgotten),
		TEST(an_older_stream_does_not_replace_a_newer_one),
		TEST(a_device_that_is_gone_stays_while_it_is_leased),
		TEST(jobs_are_counted_by_state_and_by_what_they_wait_for),
		TEST(a_new_job_is_logged_once_it_is_durable),
		TEST(after_a_crash_jobs_go_on_where_they_were),
		TEST(deadlines_begin_again_after_a_crash),
		TEST(a_given_up_lease_is_restored),
		TEST(rows_that_contradict_each_other_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
