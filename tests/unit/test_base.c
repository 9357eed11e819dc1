/* test_base.c - the shared floor keeps its contracts. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buf.h"
#include "cleanup.h"
#include "digest.h"
#include "err.h"
#include "file.h"
#include "id.h"
#include "list.h"
#include "str.h"
#include "table.h"
#include "xalloc.h"

static void an_error_keeps_code_errno_and_context(void **state)
{
	(void)state;
	struct err e = { 0 };

	errno = ENOENT;
	assert_int_equal(err_sys(&e, "open %s", "x"), -1);
	assert_int_equal(e.code, ERR_NOT_FOUND);
	assert_int_equal(e.sys, ENOENT);
	err_wrap(&e, "start job %d", 41);
	assert_string_equal(e.text, "start job 41: open x: No such file or directory");
}

static void a_long_error_is_cut_at_a_character(void **state)
{
	(void)state;
	struct err e = { 0 };
	char text[600];

	for (size_t i = 0; i + 2 < sizeof(text); i += 2)
		memcpy(text + i, "\xc3\xa9", 2);
	text[598] = '\0';
	err_set(&e, ERR_INVALID, "x%s", text);
	assert_true(utf8_valid(e.text, strlen(e.text)));
	err_wrap(&e, "ab");
	assert_true(utf8_valid(e.text, strlen(e.text)));
	assert_true(str_starts(e.text, "ab: x"));
}

static void hundredths_are_parsed_exactly_or_refused(void **state)
{
	(void)state;
	static const char *const bad[] = { "", ".", "0.", "1e0", "0.105", "-1", "nan",
		"0.5x", " 1", "1 ", "12345678", "+1", "0x1" };
	uint32_t n = 7;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		assert_int_equal(parse_hundredths(bad[i], &n, NULL), -1);
		assert_int_equal(n, 7);
	}
	assert_int_equal(parse_hundredths("0.5", &n, NULL), 0);
	assert_int_equal(n, 50);
	assert_int_equal(parse_hundredths(".25", &n, NULL), 0);
	assert_int_equal(n, 25);
	assert_int_equal(parse_hundredths("8", &n, NULL), 0);
	assert_int_equal(n, 800);
	char out[16];
	assert_string_equal(format_hundredths(out, sizeof(out), 5), "0.05");
	assert_string_equal(format_hundredths(out, sizeof(out), 130), "1.3");
	assert_string_equal(format_hundredths(out, sizeof(out), 800), "8");
}

static void numbers_with_units_are_parsed_strictly(void **state)
{
	(void)state;
	int64_t n = 0;
	uint64_t u = 0;

	assert_int_equal(parse_duration_s("10m", &n, NULL), 0);
	assert_int_equal(n, 600);
	assert_int_equal(parse_duration_s("10 m", &n, NULL), -1);
	assert_int_equal(parse_duration_s("99999999999999999999", &n, NULL), -1);
	assert_int_equal(parse_bytes("4GiB", &n, NULL), 0);
	assert_int_equal(n, INT64_C(4) << 30);
	assert_int_equal(parse_bytes("9223372036854775807T", &n, NULL), -1);
	assert_int_equal(parse_u64("18446744073709551615", 0, UINT64_MAX, &u, NULL), 0);
	assert_int_equal(parse_u64("18446744073709551616", 0, UINT64_MAX, &u, NULL), -1);
	assert_int_equal(parse_u64("-1", 0, UINT64_MAX, &u, NULL), -1);
	assert_int_equal(parse_i64("-5", -5, 5, &n, NULL), 0);
	assert_int_equal(parse_i64("-6", -5, 5, &n, NULL), -1);
	assert_int_equal(parse_i64("-", -5, 5, &n, NULL), -1);
}

static void terminal_controls_become_spaces_and_text_stays(void **state)
{
	(void)state;
	char text[] = "a\n\x1b[2J\x7f \xc2\x9b"
		      "31m \xc3\xa9 \xe2\x82\xac \xc2\xa0";

	utf8_one_line(text);
	assert_string_equal(text, "a  [2J    31m \xc3\xa9 \xe2\x82\xac \xc2\xa0");

	char cut[] = "x\xc2";

	utf8_one_line(cut);
	assert_string_equal(cut, "x\xc2");
}

static void invalid_utf8_is_found_and_replaced(void **state)
{
	(void)state;
	static const char *const bad[] = { "\xff", "\xc0\x80", "\xed\xa0\x80",
		"\xf4\x90\x80\x80", "\xe2\x82", "a\x80" };

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		size_t len = 0;

		assert_false(utf8_valid(bad[i], strlen(bad[i])));
		CLEANUP(free_ptr) char *s = utf8_replace(bad[i], strlen(bad[i]), &len);
		assert_true(utf8_valid(s, len));
	}
	assert_true(utf8_valid("\xf0\x9f\x98\x80", 4));
	assert_int_equal(utf8_whole("ab\xf0\x9f\x98", 5), 2);
	assert_int_equal(utf8_whole("ab\xf0\x9f\x98\x80", 6), 6);
	assert_int_equal(utf8_whole("ab\xff", 3), 3);
}

static void a_quoted_value_is_short_and_harmless(void **state)
{
	(void)state;
	char out[STR_QUOTE_SIZE];
	char evil[256];

	memset(evil, 0x1b, sizeof(evil));
	str_quote(out, evil, sizeof(evil));
	assert_true(strlen(out) < STR_QUOTE_SIZE);
	assert_null(strchr(out, 0x1b));
	assert_true(str_ends(out, "..."));
	assert_string_equal(str_quote(out, "a\"b", 3), "a\\x22b");
}

static void a_table_finds_what_was_added_until_it_is_removed(void **state)
{
	(void)state;
	struct item {
		char name[16];
		struct table_entry entry;
	};
	struct table t = { 0 };
	struct item *items = xcalloc(1000, sizeof(*items));

	for (int i = 0; i < 1000; i++) {
		snprintf(items[i].name, sizeof(items[i].name), "k%d", i);
		table_add_str(&t, &items[i].entry, items[i].name);
	}
	for (int i = 0; i < 1000; i += 2)
		table_remove(&t, &items[i].entry);
	for (int i = 0; i < 1000; i++) {
		struct table_entry *found = table_find_str(&t, items[i].name);

		assert_ptr_equal(found, i % 2 ? &items[i].entry : NULL);
	}
	size_t seen = 0;
	for (struct table_entry *it = table_next(&t, NULL); it; it = table_next(&t, it))
		seen++;
	assert_int_equal(seen, 500);
	table_fini(&t);
	free(items);
}

static void ids_have_one_form(void **state)
{
	(void)state;
	char id[ID_SIZE], name[RUN_NAME_SIZE], job[ID_SIZE];
	int32_t attempt = 0;
	const uint8_t zeros[ID_RANDOM] = { 0 };

	id_format(id, 'j', zeros);
	assert_string_equal(id, "j-aaaaaaaaaaaaaaaa");
	id_make(id, 'j');
	assert_true(id_valid(id, 'j'));
	assert_false(id_valid(id, 'w'));
	assert_false(id_valid("j-AAAAAAAAAAAAAAAA", 'j'));
	run_name(name, id, 12);
	assert_true(run_name_parse(name, job, &attempt));
	assert_string_equal(job, id);
	assert_int_equal(attempt, 12);
	assert_false(run_name_parse("j-aaaaaaaaaaaaaaaa.0", job, &attempt));
	assert_false(run_name_parse("j-aaaaaaaaaaaaaaaa.01", job, &attempt));
	assert_false(run_name_parse("j-aaaaaaaaaaaaaaaa.", job, &attempt));
	assert_false(run_name_parse("../etc", job, &attempt));
}

/* Of one moment: nearly the same place among all ids, and no two alike. */
static void ids_of_one_moment_stand_together(void **state)
{
	(void)state;
	const int64_t now = INT64_C(1790000000123456789), later = now + (1 << 23);
	char first[ID_SIZE], second[ID_SIZE], third[ID_SIZE];

	id_make_at(first, 'j', now);
	id_make_at(second, 'j', now);
	id_make_at(third, 'j', later);
	assert_true(id_valid(first, 'j'));
	assert_memory_equal(first, second, strlen("j-") + 4);
	assert_string_not_equal(first, second);
	assert_true(strcmp(third, first) > 0);
	assert_true(strcmp(third, second) > 0);
}

static void digests_are_sha256(void **state)
{
	(void)state;
	char text[DIGEST_TEXT_SIZE];
	struct digest d = digest_of("abc", 3), back;

	digest_format(text, &d);
	assert_string_equal(text, "sha256:ba7816bf8f01cfea414140de5dae2223"
				  "b00361a396177a9cb410ff61f20015ad");
	assert_int_equal(digest_parse(text, &back, NULL), 0);
	assert_memory_equal(&d, &back, sizeof(d));
	assert_int_equal(digest_parse("md5:00", &back, NULL), -1);
}

static int make_temp(char path[64])
{
	strcpy(path, "/tmp/cumulus-test-XXXXXX");
	assert_non_null(mkdtemp(path));
	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void a_file_is_replaced_whole_and_read_bounded(void **state)
{
	(void)state;
	char path[64];
	struct err e = { 0 };
	CLEANUP(close_fd) int dir = make_temp(path);
	CLEANUP(buf_fini) struct buf b = { 0 };

	assert_int_equal(file_write(dir, "f", "hello", 5, 0600, true, &e), 0);
	assert_int_equal(file_write(dir, "f", "world!", 6, 0600, false, &e), 0);
	assert_int_equal(file_read(dir, "f", 6, &b, &e), 0);
	assert_memory_equal(b.data, "world!", 6);
	assert_int_equal(file_read(dir, "f", 5, &b, &e), -1);
	assert_int_equal(e.code, ERR_EXHAUSTED);
	assert_int_equal(b.len, 6);
	assert_int_equal(file_read(dir, "g", 5, &b, &e), -1);
	assert_int_equal(e.code, ERR_NOT_FOUND);
	assert_int_equal(tree_remove(AT_FDCWD, path, &e), 0);
}

static void a_tree_is_removed_without_following_links(void **state)
{
	(void)state;
	char path[64], keep[64];
	struct err e = { 0 };
	CLEANUP(close_fd) int dir = make_temp(path);
	CLEANUP(close_fd) int other = make_temp(keep);
	struct stat st;

	assert_int_equal(file_write(other, "kept", "x", 1, 0600, false, &e), 0);
	CLEANUP(close_fd) int sub = dir_open(dir, "sub", 0700, &e);
	assert_int_equal(symlinkat(keep, sub, "link"), 0);
	assert_int_equal(file_write(sub, "gone", "x", 1, 0600, false, &e), 0);
	assert_int_equal(tree_remove(AT_FDCWD, path, &e), 0);
	assert_int_equal(stat(path, &st), -1);
	assert_int_equal(fstatat(other, "kept", &st, 0), 0);
	assert_int_equal(tree_remove(AT_FDCWD, path, &e), 0);
	assert_int_equal(tree_remove(AT_FDCWD, keep, &e), 0);
}

static void a_second_locker_is_told_who_holds_it(void **state)
{
	(void)state;
	char path[64], expected[64];
	struct err e = { 0 };
	CLEANUP(close_fd) int dir = make_temp(path);
	CLEANUP(close_fd) int lock = lock_file(dir, "lock", &e);

	assert_true(lock >= 0);
	assert_int_equal(lock_file(dir, "lock", &e), -1);
	assert_int_equal(e.code, ERR_CONFLICT);
	snprintf(expected, sizeof(expected), "lock is held by pid %d", getpid());
	assert_string_equal(e.text, expected);
	assert_int_equal(tree_remove(AT_FDCWD, path, &e), 0);
}

static void a_buffer_grows_and_drops(void **state)
{
	(void)state;
	CLEANUP(buf_fini) struct buf b = { 0 };

	for (int i = 0; i < 1000; i++)
		buf_addf(&b, "%d,", i);
	buf_drop(&b, 4);
	assert_memory_equal(b.data, "2,3,", 4);
	char *s = buf_take_str(&b);
	assert_true(str_ends(s, "998,999,"));
	free(s);
	assert_int_equal(b.len, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_error_keeps_code_errno_and_context),
		cmocka_unit_test(a_long_error_is_cut_at_a_character),
		cmocka_unit_test(hundredths_are_parsed_exactly_or_refused),
		cmocka_unit_test(numbers_with_units_are_parsed_strictly),
		cmocka_unit_test(terminal_controls_become_spaces_and_text_stays),
		cmocka_unit_test(invalid_utf8_is_found_and_replaced),
		cmocka_unit_test(a_quoted_value_is_short_and_harmless),
		cmocka_unit_test(a_table_finds_what_was_added_until_it_is_removed),
		cmocka_unit_test(ids_have_one_form),
		cmocka_unit_test(ids_of_one_moment_stand_together),
		cmocka_unit_test(digests_are_sha256),
		cmocka_unit_test(a_file_is_replaced_whole_and_read_bounded),
		cmocka_unit_test(a_tree_is_removed_without_following_links),
		cmocka_unit_test(a_second_locker_is_told_who_holds_it),
		cmocka_unit_test(a_buffer_grows_and_drops),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
