/* test_runner_faults.c - a runner whose n-th call fails, for every n: told or cleaned up, never lost. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "runner_world.h"

#define CALLS_MAX 400

static struct world world;

static const char job[] = "import sys\n"
			  "def main():\n"
			  "    print('begun', flush=True)\n"
			  "    sys.stderr.write('x' * 1000)\n"
			  "    return 'well' * 30000\n"; /* has a file of its own */

/* As the worker does, who has a disk again: take the lock, then clean. */
static void end_as_the_worker_does(struct trial *t)
{
	const struct run_lost lost = { .why = "a fault" };
	struct err why;
	int lock = runfolder_lock(t->dirfd, &why);

	if (lock < 0)
		fail_msg("lock: %s", why.text);
	assert_ok(run_clean_and_end(t->dirfd, world.chronos_dir, &lost, e));
	close(lock);
	trial_read(t);
}

static void check_report(const struct trial *t)
{
	const Cumulus__Worker__Ended *ended;

	if (t->report->kind_case == CUMULUS__WORKER__REPORT__KIND_REFUSED) {
		assert_true(*t->report->refused->text);
		return;
	}
	ended = trial_ended(t);
	/* Nobody has asked for it. */
	assert_false(ended->stopped);
	assert_int_not_equal(
		ended->reason, CUMULUS__ORCHESTRATOR__REASON__CANCELLED_BY_USER);
	if (ended->reason != CUMULUS__ORCHESTRATOR__REASON__REASON_NONE)
		assert_true(*ended->message);
	else /* then all of it is there */
		assert_true(ended->result.len > 4 * 30000 &&
			    memmem(ended->result.data, ended->result.len, "wellwell", 8));
}

/* False when the run made fewer calls than n. */
static bool fail_call(int error, int n)
{
	struct trial t = { .w = &world, .main_py = job };
	CLEANUP(free_ptr) char *hit = str_fmt("%s/hit", world.base);
	CLEANUP(free_ptr) char *what = str_fmt("%d %d %s", error, n, hit);

	trial_create(&t);
	setenv("LD_PRELOAD", FAULTY_IO_SO, 1);
	setenv("FAULTY_IO", what, 1);
	/* A finding of a sanitizer must not look like an ordinary failure. */
	setenv("ASAN_OPTIONS", "verify_asan_link_order=0:exitcode=99", 1);
	trial_start(&t);
	unsetenv("LD_PRELOAD");
	trial_wait(&t);
	if (!WIFEXITED(t.status) || WEXITSTATUS(t.status) > 1)
		fail_msg("%s at call %d: the runner ended with %x",
			strerrorname_np(error), n, (unsigned)t.status);
	end_as_the_worker_does(&t);
	check_report(&t);
	trial_fini(&t);
	return unlink(hit) == 0;
}

static void walk(int error)
{
	int n = 1;

	while (fail_call(error, n))
		assert_in_range(++n, 2, CALLS_MAX);
	print_message("%s: each of %d calls\n", strerrorname_np(error), n - 1);
	assert_true(n > 10);
}

static void out_of_descriptors_at_any_call(void **state)
{
	(void)state;
	walk(EMFILE);
}

static void a_full_disk_at_any_call(void **state)
{
	(void)state;
	walk(ENOSPC);
}

static void a_failing_disk_at_any_call(void **state)
{
	(void)state;
	walk(EIO);
}

static int setup(void **state)
{
	(void)state;
	world_init(&world);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	world_fini(&world);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(out_of_descriptors_at_any_call),
		cmocka_unit_test(a_full_disk_at_any_call),
		cmocka_unit_test(a_failing_disk_at_any_call),
	};

	if (getuid() != 0) {
		printf("SKIPPED test_runner_faults: containers need root\n");
		return 0;
	}
	return cmocka_run_group_tests(tests, setup, teardown);
}
