/* test_runner_kill.c - a runner killed at every step leaves nothing that cannot be cleaned. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "runner_world.h"

#define R(name) CUMULUS__ORCHESTRATOR__REASON__##name

static struct world world;

/* Prints, forks a stubborn orphan, then ends or lasts. */
static const char job[] =
	"import os, signal, sys, time\n"
	"def main():\n"
	"    print('begun', flush=True)\n"
	"    if os.fork() == 0:\n"
	"        signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
	"        time.sleep(600)\n"
	"    if sys.argv[1] == 'long': time.sleep(600)\n"
	"    if sys.argv[1] == 'bad': os._exit(7)\n"
	"    return 'well' * (30000 if sys.argv[1] == 'large' else 1)\n";

static const char *const quick[] = { "quick", NULL };
static const char *const large[] = { "large", NULL };
static const char *const lasting[] = { "long", NULL };
static const char *const failing[] = { "bad", NULL };

static struct trial killed_at(const char *fault, const char *const *args)
{
	struct trial t = { .w = &world, .main_py = job, .fault = fault, .args = args };

	trial_create(&t);
	trial_start(&t);
	trial_wait(&t);
	if (!WIFSIGNALED(t.status) || WTERMSIG(t.status) != SIGKILL)
		fail_msg("the runner did not come to the point %s", fault);
	return t;
}

/* As the worker does: take the lock, then clean. */
static void clean_up(struct trial *t, const struct run_lost *lost)
{
	struct err why;
	int lock = runfolder_lock(t->dirfd, &why);

	if (lock < 0)
		fail_msg("lock: %s", why.text);
	assert_ok(run_clean_and_end(t->dirfd, world.chronos_dir, lost, e));
	/* Once more changes nothing. */
	assert_ok(run_clean_and_end(t->dirfd, world.chronos_dir, lost, e));
	close(lock);
	trial_read(t);
}

static void nothing_is_left_of_a_runner_killed_at_any_point(void **state)
{
	(void)state;
	static const char *const points[] = { "partition", "intent", "prepared",
		"container", "started", "output" };
	const struct run_lost lost = { .why = "killed by SIGKILL (9)" };

	for (size_t i = 0; i < sizeof(points) / sizeof(*points); i++) {
		struct trial t = killed_at(points[i], lasting);

		clean_up(&t, &lost);
		assert_reason(&t, R(RUNNER_LOST),
			"the job's runner was lost: killed by SIGKILL (9)");
		assert_false(trial_ended(&t)->stopped);
		trial_fini(&t);
	}
}

static void an_exit_that_was_recorded_is_reported_behind_a_dead_runner(void **state)
{
	(void)state;
	static const char *const points[] = { "exit", "processes-gone", "cleaned" };
	const struct run_lost lost = { .why = NULL };

	for (size_t i = 0; i < sizeof(points) / sizeof(*points); i++) {
		struct trial t = killed_at(points[i], failing);

		clean_up(&t, &lost);
		assert_reason(&t, R(EXITED), "exited with status 7");
		trial_fini(&t);
	}
}

static void a_result_that_was_written_completes_the_run(void **state)
{
	(void)state;
	const struct run_lost lost = { .why = NULL };
	struct trial t = killed_at("ended", large);

	clean_up(&t, &lost);
	assert_reason(&t, R(REASON_NONE), "");
	assert_true(trial_ended(&t)->result.len > 120000);
	trial_fini(&t);
}

static void a_result_that_was_not_is_lost_with_the_runner(void **state)
{
	(void)state;
	const struct run_lost lost = { .why = NULL };
	struct trial t = killed_at("cleaned", quick);

	clean_up(&t, &lost);
	assert_reason(&t, R(RUNNER_LOST), "the job's runner was lost");
	trial_fini(&t);
}

static void a_run_that_was_to_stop_is_cancelled_behind_a_dead_runner(void **state)
{
	(void)state;
	const struct run_lost lost = { .stop_asked = true,
		.stop_why = CUMULUS__WORKER__STOP_WHY__STOP_CANCEL };
	struct trial t = killed_at("output", lasting);

	clean_up(&t, &lost);
	assert_reason(&t, R(CANCELLED_BY_USER), "cancelled");
	assert_true(trial_ended(&t)->stopped);
	trial_fini(&t);
}

/* The worker is killed too, in the middle of cleaning. */
static void a_cleaner_killed_at_its_work_is_followed_by_another(void **state)
{
	(void)state;
	const struct run_lost lost = { .why = NULL };
	struct trial t = killed_at("output", lasting);
	int status;

	pid_t cleaner = fork();
	assert_true(cleaner >= 0);
	if (cleaner == 0) {
		setenv("CUMULUS_FAULT", "processes-gone", 1);
		_exit(run_clean_and_end(t.dirfd, world.chronos_dir, &lost, NULL) < 0);
	}
	assert_int_equal(waitpid(cleaner, &status, 0), cleaner);
	assert_true(WIFSIGNALED(status));
	clean_up(&t, &lost);
	assert_reason(&t, R(RUNNER_LOST), "the job's runner was lost");
	trial_fini(&t);
}

static void a_dead_runners_folder_is_not_run_again(void **state)
{
	(void)state;
	const struct run_lost lost = { .why = NULL };
	struct trial t = killed_at("intent", quick);

	t.fault = NULL;
	trial_start(&t);
	trial_wait(&t);
	assert_int_equal(t.status, 0);
	clean_up(&t, &lost);
	assert_reason(&t, R(RUNNER_LOST), "the job's runner was lost");
	assert_string_equal((char *)t.out.data, "");
	trial_fini(&t);
}

static void a_folder_whose_runner_died_before_its_intent_can_still_run(void **state)
{
	(void)state;
	struct trial t = killed_at("partition", quick);

	t.fault = NULL;
	trial_start(&t);
	trial_wait(&t);
	trial_read(&t);
	assert_reason(&t, R(REASON_NONE), "");
	trial_fini(&t);
}

static void after_a_reboot_only_files_are_cleaned(void **state)
{
	(void)state;
	const struct run_lost lost = { .why = NULL };
	struct trial t = killed_at("prepared", quick);
	Cumulus__Worker__RunSpec *spec;
	struct err why;
	uint8_t bytes[4096];
	struct run_counts counts;

	/* The first cleaning takes this boot's group; the folders are made again. */
	assert_ok(run_clean(t.dirfd, world.chronos_dir, &counts, e));
	assert_int_equal(mkdirat(t.dirfd, RUN_FOLDER_BUNDLE, 0700), 0);
	spec = runfolder_read_spec(t.dirfd, &why);
	assert_non_null(spec);
	memset(spec->boot_id, '0', strlen(spec->boot_id));
	size_t len = cumulus__worker__run_spec__pack(spec, bytes);
	assert_ok(file_write(t.dirfd, RUN_FILE_SPEC, bytes, len, 0600, true, e));
	cumulus__worker__run_spec__free_unpacked(spec, NULL);
	clean_up(&t, &lost);
	assert_reason(&t, R(RUNNER_LOST), "the job's runner was lost");
	trial_fini(&t);
}

static int set_up(void **state)
{
	(void)state;
	world_init(&world);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	world_fini(&world);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_left_of_a_runner_killed_at_any_point),
		cmocka_unit_test(
			an_exit_that_was_recorded_is_reported_behind_a_dead_runner),
		cmocka_unit_test(a_result_that_was_written_completes_the_run),
		cmocka_unit_test(a_result_that_was_not_is_lost_with_the_runner),
		cmocka_unit_test(
			a_run_that_was_to_stop_is_cancelled_behind_a_dead_runner),
		cmocka_unit_test(a_cleaner_killed_at_its_work_is_followed_by_another),
		cmocka_unit_test(a_dead_runners_folder_is_not_run_again),
		cmocka_unit_test(
			a_folder_whose_runner_died_before_its_intent_can_still_run),
		cmocka_unit_test(after_a_reboot_only_files_are_cleaned),
	};

	if (geteuid() != 0) {
		printf("skipped: containers are made by root\n");
		return 0;
	}
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
