/* test_runner_start.c - how long a job waits from its runner's start to main()'s first line. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prints figures and asserts none, only that every run succeeds.  RUNS in the environment
 * says how many there are.
 */
#include "runner_world.h"

static struct world world;

enum { TO_MAIN, PARTITION, CONTAINER, PYTHON, TO_END, FIGURES };

static const char *const names[FIGURES] = { "to the first line of main()",
	"partition made", "container, by the runtime", "python, to main()",
	"to the runner's end" };

static int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static void run_once(int rest_ms, int64_t figures[FIGURES])
{
	struct trial t = { .w = &world,
		.main_py = "import time\ndef main():\n"
			   "    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)\n" };

	trial_create(&t);
	poll(NULL, 0, rest_ms);
	int64_t began = clock_boot_ns();
	trial_start(&t);
	trial_wait(&t);
	figures[TO_END] = clock_boot_ns() - began;
	trial_read(&t);

	const Cumulus__Worker__Ended *ended = trial_ended(&t);
	assert_reason(&t, CUMULUS__ORCHESTRATOR__REASON__REASON_NONE, "");
	CLEANUP(free_ptr)
	char *result = strndup((char *)ended->result.data, ended->result.len);
	const char *at = strstr(result, "\"result\": ");
	assert_non_null(at);
	figures[TO_MAIN] = strtoll(at + strlen("\"result\": "), NULL, 10) - began;
	figures[PARTITION] = ended->timing->partition_ns;
	figures[CONTAINER] = ended->timing->container_ns;
	figures[PYTHON] = ended->timing->python_ns;
	trial_fini(&t);
}

static void measure(int rest_ms, size_t runs)
{
	CLEANUP(free_ptr) int64_t *all = calloc(runs * FIGURES, sizeof *all);
	int64_t one[FIGURES];

	for (size_t i = 0; i < runs; i++) {
		run_once(rest_ms, one);
		for (size_t f = 0; f < FIGURES; f++)
			all[f * runs + i] = one[f];
	}
	printf("%zu runs, %d ms of rest before each\n", runs, rest_ms);
	for (size_t f = 0; f < FIGURES; f++) {
		int64_t *ns = all + f * runs;

		qsort(ns, runs, sizeof *ns, compare);
		printf("  %-28s p50 %6.2f ms  p99 %6.2f ms  min %6.2f ms\n", names[f],
			(double)ns[runs / 2] / 1e6, (double)ns[runs * 99 / 100] / 1e6,
			(double)ns[0] / 1e6);
	}
}

static void every_run_comes_to_its_main(void **state)
{
	(void)state;
	size_t runs = getenv("RUNS") ? strtoul(getenv("RUNS"), NULL, 10) : 3;

	measure(0, runs);
	measure(100, runs);
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
	const struct CMUnitTest tests[] = { cmocka_unit_test(
		every_run_comes_to_its_main) };

	if (geteuid() != 0) {
		printf("skipped: containers are made by root\n");
		return 0;
	}
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
