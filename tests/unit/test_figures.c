/* test_figures.c - medians, aims and the report of the benches. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "figures.h"

#include <jansson.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "samples.h"

static const char *const columns[] = { "beside", "calm", "wild" };
enum { BESIDE, CALM, WILD, COLUMNS };

static const struct figure at_most = {
	.what = "slow", .unit = "ms", .kind = AT_MOST, .aim = 5, .beside = "theirs"
};
static const struct figure at_least = {
	.what = "many", .unit = "", .kind = AT_LEAST, .aim = 3
};
static const struct figure within = {
	.what = "half", .unit = "%", .kind = WITHIN, .aim = 50, .tolerance = 2
};
static const struct figure no_aim = {
	.what = "so", .unit = "us", .quoted = "the other 7"
};

static void the_median_of_an_even_number_lies_between_the_middle_two(void **state)
{
	(void)state;
	double samples[] = { 9, 1, 4, 2 };

	assert_true(samples_median(samples, 4) == 3);
	assert_true(samples_median(samples, 3) == 4);
	assert_true(samples_median(samples, 1) == 9);
	assert_true(samples[0] == 9); /* they stay as they are */
}

static void a_percentile_of_few_samples_is_one_of_them(void **state)
{
	(void)state;
	double samples[] = { 30, 10, 20 };

	assert_true(samples_percentile(samples, 3, 0) == 10);
	assert_true(samples_percentile(samples, 3, 50) == 20);
	assert_true(samples_percentile(samples, 3, 99) == 30);
	assert_true(samples_percentile(samples, 3, 100) == 30);
	assert_true(samples_least(samples, 3) == 10);
	assert_true(samples_greatest(samples, 3) == 30);
}

static void an_aim_is_missed_by_the_median_of_ours_alone(void **state)
{
	(void)state;
	struct figures *f = figures_new(columns, COLUMNS);

	figures_add(f, &at_most, BESIDE, 900);
	figures_add(f, &at_most, CALM, 1);
	figures_add(f, &at_most, CALM, 100);
	figures_add(f, &at_most, CALM, 5);
	figures_add(f, &at_least, CALM, 3);
	figures_add(f, &within, CALM, 48);
	figures_add(f, &no_aim, CALM, 1e9);
	assert_int_equal(figures_missed(f), 0);
	figures_add(f, &at_most, WILD, 5.1);
	figures_add(f, &at_least, WILD, 2.9);
	figures_add(f, &within, WILD, 47.9);
	assert_int_equal(figures_missed(f), 3);
	figures_free(f);
}

static void a_figure_with_discarded_rounds_only_has_no_value(void **state)
{
	(void)state;
	struct figures *f = figures_new(columns, COLUMNS);

	figures_discard(f, &at_most, CALM);
	assert_int_equal(figures_without_value(f), 1);
	assert_int_equal(figures_missed(f), 0);
	figures_add(f, &at_most, CALM, 1);
	assert_int_equal(figures_without_value(f), 0);
	figures_free(f);
}

static json_t *json_of(const struct figures *f)
{
	char path[] = "/tmp/test_figures.XXXXXX";
	int fd = mkstemp(path);
	struct err e = { 0 };

	assert_true(fd >= 0);
	assert_int_equal(figures_write_json(f, path, &e), 0);
	json_t *list = json_load_file(path, 0, NULL);
	assert_non_null(list);
	close(fd);
	unlink(path);
	return list;
}

static double number(const json_t *row, const char *name)
{
	assert_true(json_is_real(json_object_get(row, name)));
	return json_real_value(json_object_get(row, name));
}

static void the_json_has_a_row_for_each_mode_with_a_value_or_a_discarded_one(void **state)
{
	(void)state;
	struct figures *f = figures_new(columns, COLUMNS);

	figures_group(f, "speed");
	figures_add(f, &at_most, BESIDE, 8);
	figures_add(f, &at_most, CALM, 2);
	figures_add(f, &at_most, CALM, 4);
	figures_discard(f, &at_most, WILD);
	json_t *list = json_of(f);
	assert_int_equal(json_array_size(list), 2);
	json_t *row = json_array_get(list, 0);
	assert_string_equal(json_string_value(json_object_get(row, "group")), "speed");
	assert_string_equal(json_string_value(json_object_get(row, "mode")), "calm");
	assert_string_equal(json_string_value(json_object_get(row, "beside")), "theirs");
	assert_true(number(row, "value") == 3);
	assert_true(number(row, "min") == 2);
	assert_true(number(row, "max") == 4);
	assert_true(number(row, "beside_value") == 8);
	assert_true(number(row, "ratio") == 0.375);
	assert_true(json_is_true(json_object_get(row, "met")));
	assert_int_equal(json_integer_value(json_object_get(row, "rounds")), 2);
	row = json_array_get(list, 1);
	assert_true(json_is_null(json_object_get(row, "value")));
	assert_true(json_is_null(json_object_get(row, "met")));
	assert_int_equal(json_integer_value(json_object_get(row, "discarded")), 1);
	json_decref(list);
	figures_free(f);
}

static void what_is_measured_beside_alone_has_no_row(void **state)
{
	(void)state;
	struct figures *f = figures_new(columns, COLUMNS);

	figures_add(f, &no_aim, BESIDE, 1);
	json_t *list = json_of(f);
	assert_int_equal(json_array_size(list), 0);
	json_decref(list);
	figures_free(f);
}

static void a_report_that_cannot_be_written_is_an_error(void **state)
{
	(void)state;
	struct figures *f = figures_new(columns, COLUMNS);
	struct err e = { 0 };

	assert_int_equal(figures_write_json(f, "/nowhere/report.json", &e), -1);
	assert_non_null(strstr(e.text, "/nowhere/report.json"));
	figures_free(f);
}

static void the_table_marks_what_misses_and_what_was_discarded(void **state)
{
	(void)state;
	struct figures *f = figures_new(columns, COLUMNS);
	char *text = NULL;
	size_t size;

	figures_group(f, "speed");
	figures_add(f, &at_most, CALM, 6);
	figures_discard(f, &at_most, WILD);
	figures_add(f, &no_aim, CALM, 1234.5);
	FILE *out = open_memstream(&text, &size);
	assert_non_null(out);
	figures_print(f, out);
	fclose(out);
	assert_non_null(strstr(text, "speed\n"));
	assert_non_null(strstr(text, "6 MISSED"));
	assert_non_null(strstr(text, "DISCARDED"));
	assert_non_null(strstr(text, "<= 5"));
	assert_non_null(strstr(text, "1234 "));
	assert_non_null(strstr(text, "the other 7"));
	free(text);
	figures_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			the_median_of_an_even_number_lies_between_the_middle_two),
		cmocka_unit_test(a_percentile_of_few_samples_is_one_of_them),
		cmocka_unit_test(an_aim_is_missed_by_the_median_of_ours_alone),
		cmocka_unit_test(a_figure_with_discarded_rounds_only_has_no_value),
		cmocka_unit_test(
			the_json_has_a_row_for_each_mode_with_a_value_or_a_discarded_one),
		cmocka_unit_test(what_is_measured_beside_alone_has_no_row),
		cmocka_unit_test(a_report_that_cannot_be_written_is_an_error),
		cmocka_unit_test(the_table_marks_what_misses_and_what_was_discarded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
