/* test_log.c - every line of the log can be read back, and what repeats is limited. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "cleanup.h"
#include "file.h"
#include "log.h"
#include "str.h"
#include "xalloc.h"

/* A log of its own for each test; what was stderr comes back. */
struct world {
	char path[32];
	int kept;
};

static int set_up(void **state)
{
	struct world *w = xcalloc(1, sizeof(*w));
	struct err e;

	strcpy(w->path, "/tmp/cumulus-log-XXXXXX");
	close(mkstemp(w->path));
	w->kept = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	assert_int_equal(log_open(w->path, &e), 0);
	log_init("tester", LOG_LEVEL_INFO, false);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	dup2(w->kept, STDERR_FILENO);
	close(w->kept);
	unlink(w->path);
	free(w);
	return 0;
}

static char *log_dup(const struct world *w)
{
	struct buf text = { 0 };
	struct err e;

	assert_int_equal(file_read(AT_FDCWD, w->path, 1 << 24, &text, &e), 0);
	return buf_take_str(&text);
}

static size_t count_lines(const char *text)
{
	size_t count = 0;

	for (; *text; text++)
		count += *text == '\n';
	return count;
}

/* What users can put into names and messages, and what should be read back of it. */
static const struct sample {
	const char *value, *read;
} samples[] = {
	{ "plain", "plain" },
	{ "two words", "two words" },
	{ "a=b", "a=b" },
	{ "=", "=" },
	{ "\"", "\"" },
	{ "\\", "\\" },
	{ "\\\"\\", "\\\"\\" },
	{ "\n", "\n" },
	{ "line\nlevel=error msg=forged", "line\nlevel=error msg=forged" },
	{ "\",\"level\":\"error", "\",\"level\":\"error" },
	{ "tab\tbell\a\x1b[31mred", "tab\tbell\a\x1b[31mred" },
	{ "del\x7f", "del\x7f" },
	{ "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80",
		"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80" },
	{ "c1 \xc2\x9b 31m", "c1 \xc2\x9b 31m" },
	{ "\xff\xfe", "\xef\xbf\xbd\xef\xbf\xbd" },
	{ "cut \xe2\x82", "cut \xef\xbf\xbd\xef\xbf\xbd" },
	{ "\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
	{ " lead", " lead" },
	{ "trail ", "trail " },
};

#define SAMPLES (sizeof(samples) / sizeof(*samples))

static void every_json_line_gives_back_its_values(void **state)
{
	struct world *w = *state;

	log_set(LOG_LEVEL_INFO, true);
	for (size_t i = 0; i < SAMPLES; i++)
		log_info("something \"happened\"", "job", samples[i].value, "after",
			"here", NULL);

	CLEANUP(free_ptr) char *text = log_dup(w);
	char *line = text;
	assert_int_equal(count_lines(text), SAMPLES);
	for (size_t i = 0; i < SAMPLES; i++) {
		char *end = strchr(line, '\n');
		json_error_t why;

		*end = '\0';
		json_t *read = json_loads(line, JSON_REJECT_DUPLICATES, &why);
		assert_non_null(read);
		assert_string_equal(
			json_string_value(json_object_get(read, "job")), samples[i].read);
		assert_string_equal(
			json_string_value(json_object_get(read, "after")), "here");
		assert_string_equal(
			json_string_value(json_object_get(read, "level")), "info");
		assert_string_equal(json_string_value(json_object_get(read, "msg")),
			"something \"happened\"");
		assert_int_equal(json_object_size(read), 6);
		json_decref(read);
		line = end + 1;
	}
}

/* The next value of a key=value line, unescaped as JSON would; *at moves behind it. */
static char *take_value(const char **at, const char *key)
{
	size_t n = strlen(key);
	CLEANUP(free_ptr) char *quoted = NULL;

	assert_memory_equal(*at, key, n);
	assert_int_equal((*at)[n], '=');
	*at += n + 1;
	if (**at == '"') {
		const char *end = *at + 1;

		while (*end != '"')
			end += *end == '\\' ? 2 : 1;
		quoted = xstrndup(*at, (size_t)(end + 1 - *at));
		*at = end + 1;
	} else {
		size_t len = strcspn(*at, " \n");
		CLEANUP(free_ptr) char *bare = xstrndup(*at, len);

		quoted = str_fmt("\"%s\"", bare);
		*at += len;
	}
	assert_true(**at == ' ' || **at == '\n');
	++*at;

	json_t *value = json_loads(quoted, JSON_DECODE_ANY, NULL);
	assert_non_null(value);
	char *text = xstrdup(json_string_value(value));
	json_decref(value);
	return text;
}

static void every_key_value_line_gives_back_its_values(void **state)
{
	struct world *w = *state;

	for (size_t i = 0; i < SAMPLES; i++)
		log_info("it happened", "job", samples[i].value, "after", "here", NULL);

	CLEANUP(free_ptr) char *text = log_dup(w);
	const char *at = text;
	assert_int_equal(count_lines(text), SAMPLES);
	for (size_t i = 0; i < SAMPLES; i++) {
		static const char *const keys[] = { "time", "level", "program", "msg",
			"job", "after" };

		for (size_t k = 0; k < 6; k++) {
			CLEANUP(free_ptr) char *value = take_value(&at, keys[k]);

			if (k == 4)
				assert_string_equal(value, samples[i].read);
		}
	}
	assert_string_equal(at, "");
}

/* No terminal may be driven by what a user named a job. */
static void no_control_character_reaches_the_log(void **state)
{
	struct world *w = *state;
	char all[0x100];

	for (int i = 1; i < 0x100; i++)
		all[i - 1] = (char)i;
	all[0xff] = '\0';
	log_info("all", "bytes", all, "c1", "\xc2\x80\xc2\x9b\xc2\x9f", NULL);

	CLEANUP(free_ptr) char *text = log_dup(w);
	size_t len = strlen(text);
	assert_true(utf8_valid(text, len));
	assert_int_equal(count_lines(text), 1);
	for (size_t i = 0; i + 1 < len; i++) {
		unsigned char c = (unsigned char)text[i];

		assert_true(c >= 0x20 && c != 0x7f);
		assert_false(c == 0xc2 && (unsigned char)text[i + 1] < 0xa0);
	}
}

static void a_long_value_is_cut_at_a_character(void **state)
{
	struct world *w = *state;
	CLEANUP(free_ptr) char *value = xcalloc(1, 3 * 1000000 + 1);

	for (size_t i = 0; i < 1000000; i++)
		memcpy(value + 3 * i, "\xe2\x82\xac", 3);
	log_info("long", "value", value, "after", "here", NULL);

	CLEANUP(free_ptr) char *text = log_dup(w);
	assert_true(strlen(text) < LOG_VALUE_MAX + 200);
	assert_true(utf8_valid(text, strlen(text)));
	assert_null(strstr(text, "\xef\xbf\xbd"));
	assert_true(str_ends(text, "...\" after=here\n"));
}

static void a_failure_that_repeats_is_limited_until_its_cause_changes(void **state)
{
	struct world *w = *state;

	for (int i = 0; i < 1000; i++)
		log_warn("cannot dial", "why", "refused", NULL);
	log_warn("cannot dial", "why", "no such file", NULL);

	CLEANUP(free_ptr) char *text = log_dup(w);
	assert_int_equal(count_lines(text), LOG_REPEATS + 1);
	assert_non_null(strstr(text, "why=\"no such file\""));
}

static void facts_and_references_are_always_written(void **state)
{
	struct world *w = *state;

	for (int i = 0; i < 100; i++) {
		log_info("job moved", "why", "same", NULL);
		log_error("call failed", "reference", "e-1", "why", "same", NULL);
	}

	CLEANUP(free_ptr) char *text = log_dup(w);
	assert_int_equal(count_lines(text), 200);
}

static void a_renamed_log_is_opened_again(void **state)
{
	struct world *w = *state;
	CLEANUP(free_ptr) char *old = str_fmt("%s.1", w->path);
	struct err e;

	log_info("before", NULL);
	assert_int_equal(rename(w->path, old), 0);
	log_info("between", NULL);
	assert_int_equal(log_open(w->path, &e), 0);
	log_info("after", NULL);

	CLEANUP(free_ptr) char *text = log_dup(w);
	assert_int_equal(count_lines(text), 1);
	assert_non_null(strstr(text, "msg=after"));
	assert_int_equal(unlink(old), 0);
}

static void a_log_that_cannot_be_opened_changes_nothing(void **state)
{
	struct world *w = *state;
	struct err e = { 0 };

	assert_int_equal(log_open("/nonexistent/log", &e), -1);
	assert_string_equal(
		e.text, "open the log /nonexistent/log: No such file or directory");
	log_info("goes on", NULL);

	CLEANUP(free_ptr) char *text = log_dup(w);
	assert_int_equal(count_lines(text), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_json_line_gives_back_its_values),
		TEST(every_key_value_line_gives_back_its_values),
		TEST(no_control_character_reaches_the_log),
		TEST(a_long_value_is_cut_at_a_character),
		TEST(a_failure_that_repeats_is_limited_until_its_cause_changes),
		TEST(facts_and_references_are_always_written),
		TEST(a_renamed_log_is_opened_again),
		TEST(a_log_that_cannot_be_opened_changes_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
