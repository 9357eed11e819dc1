/* test_runner_container.c - real jobs in real containers, and what is reported of them. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "runner_world.h"

#define R(name) CUMULUS__ORCHESTRATOR__REASON__##name

static struct world world;

static struct trial trial_of(const char *main_py)
{
	return (struct trial){ .w = &world, .main_py = main_py };
}

static void hello_comes_back_with_output_and_result(void **state)
{
	(void)state;
	struct trial t =
		trial_of("def main():\n    print('hello')\n    return {'n': 42}\n");

	trial_run(&t);
	assert_reason(&t, R(REASON_NONE), "");
	assert_string_equal((char *)t.out.data, "hello\n");

	CLEANUP(free_ptr)
	char *result = strndup(
		(char *)trial_ended(&t)->result.data, trial_ended(&t)->result.len);
	assert_contains(result, "{\"status\": \"success\", \"result\": {\"n\": 42}");
	assert_contains(result, "\"execution_time\": ");
	assert_int_equal(trial_ended(&t)->exit_code, 0);
	assert_true(trial_ended(&t)->timing->python_ns > 0);
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
		cmocka_unit_test(hello_comes_back_with_output_and_result),
	};

	if (geteuid() != 0) {
		printf("skipped: containers are made by root\n");
		return 0;
	}
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
