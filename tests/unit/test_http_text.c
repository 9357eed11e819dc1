/* test_http_text.c - what Prometheus is told can be read back, whatever the labels hold. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cleanup.h"
#include "text.h"

static void labels_are_escaped_and_valid_utf8(void **state)
{
	(void)state;
	struct buf out = { 0 };

	text_count(&out, "x", LABELS("host", "a\"b\\c\nd\xff\xc3\xa4", "empty", ""), 7);
	CLEANUP(free_ptr) char *text = buf_take_str(&out);
	assert_string_equal(
		text, "x{host=\"a\\\"b\\\\c\\nd\xef\xbf\xbd\xc3\xa4\",empty=\"\"} 7\n");
}

static void a_count_is_exact_where_a_double_is_not(void **state)
{
	(void)state;
	struct buf out = { 0 };

	text_counter(&out, "x_total", "Help.", UINT64_C(9007199254740993));
	CLEANUP(free_ptr) char *text = buf_take_str(&out);
	assert_string_equal(text, "# HELP x_total Help.\n# TYPE x_total counter\n"
				  "x_total 9007199254740993\n");
}

static void buckets_are_cumulative_and_bounds_inclusive(void **state)
{
	(void)state;
	static const double bounds[] = { 0.001, 1, 10 };
	struct histogram h = HISTOGRAM(bounds);
	struct buf out = { 0 };

	histogram_add(&h, 0.001);
	histogram_add(&h, 0.5);
	histogram_add(&h, 10);
	histogram_add(&h, 10.5);
	assert_int_equal(histogram_count(&h), 4);
	text_histogram(&out, "x", LABELS("a", "b"), &h);
	CLEANUP(free_ptr) char *text = buf_take_str(&out);
	assert_string_equal(text, "x_bucket{a=\"b\",le=\"0.001\"} 1\n"
				  "x_bucket{a=\"b\",le=\"1\"} 2\n"
				  "x_bucket{a=\"b\",le=\"10\"} 3\n"
				  "x_bucket{a=\"b\",le=\"+Inf\"} 4\n"
				  "x_sum{a=\"b\"} 21.001\n"
				  "x_count{a=\"b\"} 4\n");
}

static void a_histogram_without_labels_has_only_its_bound(void **state)
{
	(void)state;
	static const double bounds[] = { 5 };
	const struct histogram h = HISTOGRAM(bounds);
	struct buf out = { 0 };

	text_histogram(&out, "x", NULL, &h);
	CLEANUP(free_ptr) char *text = buf_take_str(&out);
	assert_string_equal(text,
		"x_bucket{le=\"5\"} 0\nx_bucket{le=\"+Inf\"} 0\nx_sum 0\nx_count 0\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(labels_are_escaped_and_valid_utf8),
		cmocka_unit_test(a_count_is_exact_where_a_double_is_not),
		cmocka_unit_test(buckets_are_cumulative_and_bounds_inclusive),
		cmocka_unit_test(a_histogram_without_labels_has_only_its_bound),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
