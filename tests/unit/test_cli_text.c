/* test_cli_text.c - what people read is safe, aligned and right. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <locale.h>
#include <stdlib.h>
#include <time.h>

#include "cleanup.h"
#include "json.h"
#include "narrator.h"

static void assert_escaped(const char *text, const char *expected)
{
	CLEANUP(free_ptr) char *escaped = text_escape(text);

	assert_string_equal(escaped, expected);
}

static void nothing_that_a_terminal_obeys_gets_through(void **state)
{
	(void)state;
	assert_escaped("plain tex\xc3\xa9", "plain tex\xc3\xa9");
	assert_escaped("a\033[31mb", "a\\x1b[31mb");
	assert_escaped("a\r\nb\tc\x7f", "a\\x0d\\x0ab\\x09c\\x7f");
	assert_escaped("\xc2\x9b"
		       "31m",
		"\\x9b31m");
	assert_escaped("\xe2\x80\xae"
		       "evil",
		"\\u{202e}evil");
	assert_escaped("bad \xff utf", "bad \xef\xbf\xbd utf");
	assert_escaped("", "");
}

static void widths_are_columns(void **state)
{
	(void)state;
	assert_int_equal(text_width("abc"), 3);
	assert_int_equal(text_width("\xc3\xa9"), 1);
	assert_int_equal(text_width("\xe6\xbc\xa2\xe5\xad\x97"), 4);
	assert_int_equal(text_width("e\xcc\x81"), 1);
	assert_int_equal(text_fit("\xe6\xbc\xa2\xe5\xad\x97", 3), 3);
	assert_int_equal(text_fit("abc", 2), 2);
	assert_int_equal(text_fit("abc", 9), 3);
}

static void spans_and_sizes_read_well(void **state)
{
	(void)state;
	static const struct {
		int64_t n;
		const char *span;
	} spans[] = { { -1, "-" }, { 0, "0s" }, { 59, "59s" }, { 64, "1m04s" },
		{ 7500, "2h05m" }, { 270000, "3d03h" } };
	char out[SPAN_SIZE];

	for (size_t i = 0; i < sizeof(spans) / sizeof(*spans); i++)
		assert_string_equal(text_span(out, spans[i].n), spans[i].span);
	assert_string_equal(text_bytes(out, 900), "900 B");
	assert_string_equal(text_bytes(out, 1536), "1.5 KiB");
	assert_string_equal(text_bytes(out, (int64_t)3 << 30), "3.0 GiB");
}

static void what_went_beyond_a_share_is_counted(void **state)
{
	(void)state;
	char out[EXCESS_SIZE];

	assert_string_equal(text_refusals(out, 0), "");
	assert_string_equal(text_refusals(out, 1), ", 1 allocation refused");
	assert_string_equal(text_refusals(out, 20), ", 20 allocations refused");
	assert_string_equal(text_overruns(out, 0, 0), "");
	assert_string_equal(text_overruns(out, 1, 1234567890), ", 1 overrun of 1.2 s");
	assert_string_equal(text_overruns(out, INT64_MAX, INT64_MAX),
		", 9223372036854775807 overruns of 9223372036.9 s");
}

static void bars_show_anything_above_nothing(void **state)
{
	(void)state;
	char out[BAR_SIZE];

	assert_string_equal(text_bar(out, 0), "[....................]");
	assert_string_equal(text_bar(out, 0.001), "[#...................]");
	assert_string_equal(text_bar(out, 0.5), "[##########..........]");
	assert_string_equal(text_bar(out, 7), "[####################]");
	assert_string_equal(text_bar(out, -1), "[....................]");
	assert_string_equal(text_gpu_bar(out, 0.5, 0.25), "[##########xxxxx-----]");
	assert_string_equal(text_gpu_bar(out, 0.9, 0.9), "[##################xx]");
}

static void columns_are_as_wide_as_their_widest_cell(void **state)
{
	(void)state;
	CLEANUP(grid_fini) struct grid g = { .columns = 3 };
	CLEANUP(buf_fini) struct buf out = { 0 };
	static const char *const cells[] = { "ID", "NAME", "REASON", "j-1",
		"\xe6\xbc\xa2\xe5\xad\x97\xe6\xbc\xa2", "a b", "j-22", "", "x\ny" };

	for (size_t i = 0; i < sizeof(cells) / sizeof(*cells); i++)
		grid_add(&g, cells[i]);
	grid_print(&g, 0, &out);

	CLEANUP(free_ptr) char *text = buf_take_str(&out);
	assert_string_equal(text, "ID    NAME    REASON\n"
				  "j-1   \xe6\xbc\xa2\xe5\xad\x97\xe6\xbc\xa2  a b\n"
				  "j-22  -       x\\x0ay\n");
}

static void long_rows_are_cut_to_the_terminal(void **state)
{
	(void)state;
	CLEANUP(grid_fini) struct grid g = { .columns = 2 };
	CLEANUP(buf_fini) struct buf out = { 0 };

	grid_add(&g, "abc");
	grid_add(&g, "a long reason");
	grid_print(&g, 9, &out);

	CLEANUP(free_ptr) char *text = buf_take_str(&out);
	assert_string_equal(text, "abc  a lo\n");
}

static void a_state_line_has_time_since_and_message(void **state)
{
	(void)state;
	JobEvent event = CUMULUS__ORCHESTRATOR__JOB_EVENT__INIT;
	char message[] = "on w-1\033[2J";

	setenv("TZ", "UTC", 1);
	tzset();
	event.state = CUMULUS__ORCHESTRATOR__JOB_STATE__RUNNING;
	event.timestamp_ns = INT64_C(1700000001250000000);
	event.message = message;

	CLEANUP(free_ptr)
	char *line = narrate_state(&event, INT64_C(1700000000000000000));
	assert_string_equal(
		line, "22:13:21.250    +1.250s  RUNNING             on w-1\\x1b[2J");
}

static void a_message_that_repeats_the_state_is_not_told(void **state)
{
	(void)state;
	JobEvent event = CUMULUS__ORCHESTRATOR__JOB_EVENT__INIT;
	char message[] = "running";

	setenv("TZ", "UTC", 1);
	tzset();
	event.state = CUMULUS__ORCHESTRATOR__JOB_STATE__RUNNING;
	event.timestamp = 1700000000;
	event.message = message;

	CLEANUP(free_ptr)
	char *line = narrate_state(&event, INT64_C(1700000000000000000));
	assert_string_equal(line, "22:13:20.000    +0.000s  RUNNING");
}

static void the_live_line_never_wraps(void **state)
{
	(void)state;
	CLEANUP(free_ptr)
	char *line = narrate_live(
		CUMULUS__ORCHESTRATOR__JOB_STATE__RUNNING, 0.25, "epoch 3\r", 64, 0);
	CLEANUP(free_ptr)
	char *cut = narrate_live(CUMULUS__ORCHESTRATOR__JOB_STATE__SCHEDULING, 0,
		"waiting for a very long time", 1, 20);

	assert_string_equal(
		line, "RUNNING  [#####...............]  25 %  1m04s  epoch 3\\x0d");
	assert_string_equal(cut, "SCHEDULING  1s  wai");
}

static void assert_result(const char *json, const char *expected)
{
	CLEANUP(free_ptr) char *text = result_text(json, strlen(json), false);

	assert_string_equal(text, expected);
}

static void a_result_is_what_main_returned(void **state)
{
	(void)state;
	assert_result("{\"status\":\"success\",\"result\":{\"b\":1,\"a\":[]}}",
		"{\"b\": 1, \"a\": []}");
	assert_result("{\"status\":\"success\",\"result\":null}", "null");
	assert_result("[1]", "[1]");
	assert_result("not json", "not json");
}

static void any_message_becomes_json(void **state)
{
	(void)state;
	JobStatus job = CUMULUS__ORCHESTRATOR__JOB_STATUS__INIT;
	Cumulus__Orchestrator__JobStatus__LabelsEntry label =
		CUMULUS__ORCHESTRATOR__JOB_STATUS__LABELS_ENTRY__INIT;
	Cumulus__Orchestrator__JobStatus__LabelsEntry *labels[] = { &label };
	int32_t devices[] = { 1, 3 };

	label.key = (char[]){ "k" };
	label.value = (char[]){ "v" };
	job.labels = labels;
	job.n_labels = 1;
	job.gpu_devices = devices;
	job.n_gpu_devices = 2;
	job.state = CUMULUS__ORCHESTRATOR__JOB_STATE__FAILED;
	job.created_at = INT64_C(1) << 40;
	job.gpu_memory = 0.5f;

	json_t *value = json_of_message(&job.base);
	assert_string_equal(json_string_value(json_object_get(value, "state")), "FAILED");
	assert_int_equal(json_integer_value(json_object_get(value, "created_at")),
		INT64_C(1) << 40);
	assert_string_equal(
		json_string_value(json_object_get(json_object_get(value, "labels"), "k")),
		"v");
	assert_int_equal(json_array_size(json_object_get(value, "gpu_devices")), 2);
	assert_null(json_object_get(value, "exit_code"));
	assert_true(json_is_null(json_object_get(value, "timing")));
	json_decref(value);

	job.exit_case = CUMULUS__ORCHESTRATOR__JOB_STATUS__EXIT_EXIT_CODE;
	job.exit_code = 0;
	value = json_of_message(&job.base);
	assert_true(json_is_integer(json_object_get(value, "exit_code")));
	json_decref(value);
}

static void bytes_that_are_no_text_come_as_base64_too(void **state)
{
	(void)state;
	Cumulus__Orchestrator__Output output = CUMULUS__ORCHESTRATOR__OUTPUT__INIT;
	uint8_t bytes[] = { 'a', 0xff, 0 };

	output.data.data = bytes;
	output.data.len = sizeof(bytes);

	json_t *value = json_of_message(&output.base);
	assert_string_equal(
		json_string_value(json_object_get(value, "data_base64")), "Yf8A");
	json_decref(value);
	output.data.len = 1;
	value = json_of_message(&output.base);
	assert_string_equal(json_string_value(json_object_get(value, "data")), "a");
	assert_null(json_object_get(value, "data_base64"));
	json_decref(value);
}

static void a_result_is_json_inside_json(void **state)
{
	(void)state;
	JobEvent event = CUMULUS__ORCHESTRATOR__JOB_EVENT__INIT;
	uint8_t bytes[] = "{\"result\": 42}";

	event.result.data = bytes;
	event.result.len = sizeof(bytes) - 1;

	json_t *value = json_of_message(&event.base);
	assert_int_equal(json_integer_value(json_object_get(
				 json_object_get(value, "result"), "result")),
		42);
	json_decref(value);
}

static void a_grid_can_be_made_to_fit(void **state)
{
	(void)state;
	CLEANUP(grid_fini) struct grid g = { .columns = 3 };
	CLEANUP(buf_fini) struct buf out = { 0 };
	static const char *const cells[] = { "ID", "NAME", "REASON", "j-1",
		"a name that is long", "why it waits", "j-2", "漢字漢字漢字", "" };

	for (size_t i = 0; i < sizeof(cells) / sizeof(*cells); i++)
		grid_add(&g, cells[i]);
	grid_shorten(&g, 9);
	assert_string_equal(g.cells[4], "a name ..");
	assert_string_equal(g.cells[7], "漢字漢..");
	assert_string_equal(g.cells[5], "why it waits");
	assert_int_equal(grid_front(&g), 3 + 2 + 9 + 2);
	grid_drop(&g, 1);
	grid_print(&g, 0, &out);

	CLEANUP(free_ptr) char *text = buf_take_str(&out);
	assert_string_equal(text, "ID   REASON\nj-1  why it waits\nj-2  -\n");
}

static void a_time_is_told_in_utc(void **state)
{
	(void)state;
	char out[TIME_SIZE];

	assert_string_equal(
		text_utc(out, INT64_C(1772366407042000000)), "2026-03-01T12:00:07.042Z");
	assert_string_equal(text_utc(out, 0), "-");
	assert_string_equal(text_utc(out, -1), "-");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_grid_can_be_made_to_fit),
		cmocka_unit_test(a_time_is_told_in_utc),
		cmocka_unit_test(nothing_that_a_terminal_obeys_gets_through),
		cmocka_unit_test(widths_are_columns),
		cmocka_unit_test(spans_and_sizes_read_well),
		cmocka_unit_test(what_went_beyond_a_share_is_counted),
		cmocka_unit_test(bars_show_anything_above_nothing),
		cmocka_unit_test(columns_are_as_wide_as_their_widest_cell),
		cmocka_unit_test(long_rows_are_cut_to_the_terminal),
		cmocka_unit_test(a_state_line_has_time_since_and_message),
		cmocka_unit_test(a_message_that_repeats_the_state_is_not_told),
		cmocka_unit_test(the_live_line_never_wraps),
		cmocka_unit_test(a_result_is_what_main_returned),
		cmocka_unit_test(any_message_becomes_json),
		cmocka_unit_test(bytes_that_are_no_text_come_as_base64_too),
		cmocka_unit_test(a_result_is_json_inside_json),
	};

	setlocale(LC_CTYPE, "C.UTF-8");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
