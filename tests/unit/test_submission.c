/* test_submission.c - what a submission may ask for, and what its errors say. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "str.h"
#include "submission.h"

static void amounts_of_the_protocol_are_taken(void **state)
{
	(void)state;
	static const struct {
		float gpu_memory;
		struct amount amount;
	} good[] = { { 0.1f, { 1, 10 } }, { 0.25f, { 1, 25 } }, { 0.5f, { 1, 50 } },
		{ 0.9f, { 1, 90 } }, { 1, { 1, 100 } }, { 2, { 2, 100 } },
		{ 8, { 8, 100 } }, { 0.33f, { 1, 33 } }, { 0.25009f, { 1, 25 } } };

	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		struct amount a = { 0 };
		struct err e = { 0 };

		assert_int_equal(amount_from_float(good[i].gpu_memory, &a, &e), 0);
		assert_int_equal(a.devices, good[i].amount.devices);
		assert_int_equal(a.hundredths, good[i].amount.hundredths);
	}
}

static void every_hundredth_survives_the_float(void **state)
{
	(void)state;
	for (uint32_t h = 10; h <= 90; h++) {
		struct amount a = { 0 };
		struct err e = { 0 };

		assert_int_equal(
			amount_from_float(
				amount_to_float((struct amount){ 1, h }), &a, &e),
			0);
		assert_int_equal(a.hundredths, h);
	}
}

static void amounts_outside_the_protocol_are_refused_by_name(void **state)
{
	(void)state;
	static const struct {
		float gpu_memory;
		const char *text;
	} bad[] = { { 0, "0" }, { -1, "-1" }, { 0.05f, "0.05" }, { 0.95f, "0.95" },
		{ 0.1482f, "0.1482" }, { 0.333f, "0.333" }, { 1.5f, "1.5" },
		{ 2.3f, "2.3" }, { 9, "9" }, { NAN, "NaN" }, { INFINITY, "Inf" },
		{ -INFINITY, "-Inf" }, { 1e30f, "1e+30" }, { 0.0999f, "0.0999" } };

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct amount a = { 7, 7 };
		struct err e = { 0 };
		char text[200];

		assert_int_equal(amount_from_float(bad[i].gpu_memory, &a, &e), -1);
		assert_int_equal(e.code, ERR_INVALID);
		assert_int_equal(a.devices, 7);
		str_put(text, sizeof(text),
			"gpu_memory %s is not allowed: 0.1 to 0.9 of one GPU in "
			"hundredths, or 1 to 8 whole ones",
			bad[i].text);
		assert_string_equal(e.text, text);
	}
}

static void numbers_have_bounds_that_the_error_names(void **state)
{
	(void)state;
	const struct submission_limits *l = &submission_defaults;
	struct err e = { 0 };

	assert_int_equal(duration_check(l, 1, &e), 0);
	assert_int_equal(duration_check(l, 86400, &e), 0);
	assert_int_equal(duration_check(l, 0, &e), -1);
	assert_string_equal(e.text, "duration 0 is not allowed: 1 to 86400 seconds");
	assert_int_equal(duration_check(l, 86401, &e), -1);
	assert_int_equal(priority_check(-100, &e), 0);
	assert_int_equal(priority_check(100, &e), 0);
	assert_int_equal(priority_check(101, &e), -1);
	assert_string_equal(e.text, "priority 101 is not allowed: -100 to 100");
	assert_int_equal(retries_check(l, 0, &e), 0);
	assert_int_equal(retries_check(l, l->retries, &e), 0);
	assert_int_equal(retries_check(l, l->retries + 1, &e), -1);
	assert_int_equal(retries_check(l, -1, &e), -1);
}

static void names_are_bounded_and_without_control_characters(void **state)
{
	(void)state;
	char longest[258];
	struct err e = { 0 };

	memset(longest, 'x', sizeof(longest));
	longest[256] = '\0';
	assert_int_equal(name_check(&submission_defaults, "name", longest, &e), 0);
	longest[256] = 'x';
	longest[257] = '\0';
	assert_int_equal(name_check(&submission_defaults, "name", longest, &e), -1);
	assert_non_null(strstr(e.text, "it has 257 bytes, at most 256 are allowed"));
	assert_int_equal(
		name_check(&submission_defaults, "name", "caf\xc3\xa9 5", &e), 0);
	assert_int_equal(name_check(&submission_defaults, "name", "a\nb", &e), -1);
	assert_string_equal(
		e.text, "name \"a\\x0ab\" is not allowed: it has control characters");
	assert_int_equal(name_check(&submission_defaults, "name", "a\xc2\x85", &e), -1);
	assert_int_equal(name_check(&submission_defaults, "name", "a\x7f", &e), -1);
}

static void environment_names_are_identifiers(void **state)
{
	(void)state;
	static const char *const bad[] = { "", "1A", "A-B", "A B", "A=B", "\xc3\xa9" };
	struct err e = { 0 };

	assert_int_equal(env_name_check("PATH", &e), 0);
	assert_int_equal(env_name_check("_a9", &e), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		assert_int_equal(env_name_check(bad[i], &e), -1);
		assert_int_equal(e.code, ERR_INVALID);
		assert_true(str_starts(e.text, "env \""));
	}
}

static void requirement_lines_by_name_are_taken(void **state)
{
	(void)state;
	static const char *const good[] = { "numpy", "numpy==1.24.0", "numpy >= 1.0, < 2",
		"requests[security,socks]>=2.8.1", "a[]", "zope.interface", "x~=1.0",
		"x===1.0+local", "x!=1.*", "x (>=1.0,<2)", "x==1!2.0",
		"torch==2.4; python_version >= '3.8'",
		"x;python_version<\"3\" and (os_name=='nt' or sys_platform != 'win32')",
		"x; 'linux' in sys_platform", "x; platform_machine not in 'arm aarch64'",
		"x; extra == 'test'", "  x  ",
		"importlib-metadata>=1,<9;python_version<'3.8'" };

	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		struct err e = { 0 };
		int rc = requirement_check(&submission_defaults, good[i], &e);

		if (rc < 0)
			fail_msg("%s", e.text);
	}
}

static void other_requirement_lines_are_refused_with_the_reason(void **state)
{
	(void)state;
	static const struct {
		const char *line, *why;
	} bad[] = { { "", "it is empty" }, { "  ", "it is empty" },
		{ "-r other.txt", "options" }, { "--index-url=https://x", "options" },
		{ "pip @ https://example.com/pip.zip", "URLs" },
		{ "git+https://example.com/x", "URLs" }, { "./x", "paths" },
		{ "/tmp/x.whl", "paths" }, { "../x", "paths" }, { "x\ny", "line break" },
		{ "numpy # fast", "comments" }, { "-x", "options" },
		{ "_x", "does not begin with a name" }, { "x-", "does not begin" },
		{ "x[", "extra" }, { "x[a", "do not end with ]" }, { "x[a,]", "extra" },
		{ "x==", "a version is missing" }, { "x=1", "a comparison" },
		{ "x>=1,", "a comparison" }, { "x(>=1", "a ) is missing" },
		{ "x y", "there is more than" }, { "x;", "marker" },
		{ "x; python_versions > '3'", "marker variable" },
		{ "x; os_name", "lacks a comparison" },
		{ "x; os_name == 'a", "not closed" },
		{ "x; (os_name == 'a'", "a ) is missing" },
		{ "x; os_name not 'a'", "\"not\" without" },
		{ "x; os_name == 'a' and", "marker variable" },
		{ "x; os_name == 'a' b", "there is more than" },
		{ "n\xc3\xa4me", "plain ASCII" }, { "x\x01", "plain ASCII" },
		{ "x;((((((((((((((((((os_name=='a'))))))))))))))))))", "too deep" } };

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct err e = { 0 };

		if (requirement_check(&submission_defaults, bad[i].line, &e) == 0)
			fail_msg("taken: %s", bad[i].line);
		assert_int_equal(e.code, ERR_INVALID);
		assert_true(str_starts(e.text, "requirements \""));
		if (!strstr(e.text, bad[i].why))
			fail_msg("%s: %s", bad[i].line, e.text);
	}
}

static void a_requirement_line_is_bounded(void **state)
{
	(void)state;
	char line[600];
	struct err e = { 0 };

	memset(line, 'x', sizeof(line));
	line[512] = '\0';
	assert_int_equal(requirement_check(&submission_defaults, line, &e), 0);
	line[512] = 'x';
	line[513] = '\0';
	assert_int_equal(requirement_check(&submission_defaults, line, &e), -1);
	assert_non_null(strstr(e.text, "513 bytes, at most 512"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(amounts_of_the_protocol_are_taken),
		cmocka_unit_test(every_hundredth_survives_the_float),
		cmocka_unit_test(amounts_outside_the_protocol_are_refused_by_name),
		cmocka_unit_test(numbers_have_bounds_that_the_error_names),
		cmocka_unit_test(names_are_bounded_and_without_control_characters),
		cmocka_unit_test(environment_names_are_identifiers),
		cmocka_unit_test(requirement_lines_by_name_are_taken),
		cmocka_unit_test(other_requirement_lines_are_refused_with_the_reason),
		cmocka_unit_test(a_requirement_line_is_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
