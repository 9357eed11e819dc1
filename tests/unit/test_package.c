/* test_package.c - a job's ZIP is taken when it can be extracted safely, and only then. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <zip.h>

#include "buf.h"
#include "cleanup.h"
#include "package.h"
#include "str.h"
#include "xalloc.h"

struct entry {
	const char *name;
	const char *content;
	mode_t type; /* S_IFLNK ...; 0 = ordinary */
	bool encrypted;
};

static void keep_source(zip_source_t *source, struct buf *out)
{
	zip_stat_t st;

	assert_int_equal(zip_source_open(source), 0);
	zip_stat_init(&st);
	assert_int_equal(zip_source_stat(source, &st), 0);
	uint8_t *to = buf_reserve(out, (size_t)st.size);
	assert_int_equal(zip_source_read(source, to, st.size), st.size);
	buf_added(out, (size_t)st.size);
	zip_source_close(source);
}

static void make_zip(struct buf *out, const struct entry *entries, size_t count)
{
	zip_source_t *source = zip_source_buffer_create(NULL, 0, 0, NULL);
	zip_t *z = zip_open_from_source(source, ZIP_TRUNCATE, NULL);

	assert_non_null(z);
	zip_source_keep(source);
	for (size_t i = 0; i < count; i++) {
		const struct entry *n = &entries[i];
		size_t len = strlen(n->name);
		zip_int64_t at = str_ends(n->name, "/")
					 ? zip_dir_add(z, n->name, ZIP_FL_ENC_UTF_8)
					 : zip_file_add(z, n->name,
						   zip_source_buffer(z, n->content,
							   strlen(n->content), 0),
						   ZIP_FL_ENC_UTF_8);

		assert_true(len > 0 && at >= 0);
		if (n->type)
			zip_file_set_external_attributes(z, (zip_uint64_t)at, 0,
				ZIP_OPSYS_UNIX, (zip_uint32_t)(n->type | 0644) << 16);
		if (n->encrypted)
			zip_file_set_encryption(
				z, (zip_uint64_t)at, ZIP_EM_AES_256, "secret");
	}
	assert_int_equal(zip_close(z), 0);
	keep_source(source, out);
	zip_source_free(source);
}

static int check(const struct entry *entries, size_t count, struct err *e)
{
	CLEANUP(buf_fini) struct buf zip = { 0 };

	make_zip(&zip, entries, count);
	return package_check(zip.data, zip.len, &package_defaults, e);
}

static const char code[] = "def main():\n    return 1\n";

static void an_ordinary_zip_is_taken(void **state)
{
	(void)state;
	const struct entry entries[] = { { "main.py", code, 0, false },
		{ "pkg/", NULL, 0, false }, { "pkg/a.py", "", S_IFREG, false },
		{ "d\xc3\xa9j\xc3\xa0.txt", "x", 0, false } };
	struct err e = { 0 };

	assert_int_equal(check(entries, 4, &e), 0);
}

static void names_that_lead_astray_are_refused(void **state)
{
	(void)state;
	static const char *const bad[] = { "../x", "a/../../x", "/etc/x", "a//b", "./x",
		"a/./b", "a\\b", ".." };
	struct err e = { 0 };

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		const struct entry entries[] = { { "main.py", code, 0, false },
			{ bad[i], "x", 0, false } };

		assert_int_equal(check(entries, 2, &e), -1);
		assert_int_equal(e.code, ERR_INVALID);
		assert_true(str_starts(e.text, "code_package: entry "));
	}
}

static void links_devices_and_encryption_are_refused(void **state)
{
	(void)state;
	const struct entry link[] = { { "main.py", code, 0, false },
		{ "l", "/etc/passwd", S_IFLNK, false } };
	const struct entry fifo[] = { { "main.py", code, 0, false },
		{ "p", "", S_IFIFO, false } };
	const struct entry locked[] = { { "main.py", code, 0, true } };
	struct err e = { 0 };

	assert_int_equal(check(link, 2, &e), -1);
	assert_non_null(strstr(e.text, "\"l\" is a link"));
	assert_int_equal(check(fifo, 2, &e), -1);
	assert_int_equal(check(locked, 1, &e), -1);
	assert_non_null(strstr(e.text, "encrypted"));
}

static void a_main_py_must_stand_at_the_top(void **state)
{
	(void)state;
	const struct entry below[] = { { "a/main.py", code, 0, false } };
	struct err e = { 0 };

	const struct entry folder[] = { { "main.py/", NULL, 0, false } };

	assert_int_equal(check(below, 1, &e), -1);
	assert_non_null(strstr(e.text, "no main.py"));
	assert_int_equal(check(folder, 1, &e), -1);
	assert_non_null(strstr(e.text, "no main.py"));
}

static void too_deep_and_too_many_are_refused(void **state)
{
	(void)state;
	char deep[2 * 33 + 2] = "";
	struct err e = { 0 };
	struct package_limits few = package_defaults;
	CLEANUP(buf_fini) struct buf zip = { 0 };
	const struct entry two[] = { { "main.py", code, 0, false },
		{ "b", "", 0, false } };

	for (int i = 0; i < 32; i++)
		strcat(deep, "a/");
	strcat(deep, "f");
	const struct entry entries[] = { { "main.py", code, 0, false },
		{ deep, "", 0, false } };
	assert_int_equal(check(entries, 2, &e), -1);
	assert_non_null(strstr(e.text, "too deep"));

	few.entries = 1;
	make_zip(&zip, two, 2);
	assert_int_equal(package_check(zip.data, zip.len, &few, &e), -1);
	assert_non_null(strstr(e.text, "2 entries, 1 are allowed"));
}

static void a_bomb_is_refused_by_size_and_by_ratio(void **state)
{
	(void)state;
	struct package_limits small = package_defaults;
	CLEANUP(free_ptr) char *zeros = xcalloc(1, 1 << 20);
	CLEANUP(buf_fini) struct buf zip = { 0 };
	struct err e = { 0 };

	memset(zeros, 'a', (1 << 20) - 1);
	const struct entry entries[] = { { "main.py", code, 0, false },
		{ "zeros", zeros, 0, false } };
	make_zip(&zip, entries, 2);
	assert_int_equal(package_check(zip.data, zip.len, &small, &e), 0);
	small.ratio_from = 1 << 19;
	assert_int_equal(package_check(zip.data, zip.len, &small, &e), -1);
	assert_non_null(strstr(e.text, "expands more than 200 times"));
	small = package_defaults;
	small.bytes = 1 << 19;
	assert_int_equal(package_check(zip.data, zip.len, &small, &e), -1);
}

/* Two entries of the directory that share one local entry. */
static void overlapping_entries_are_refused(void **state)
{
	(void)state;
	const struct entry entries[] = { { "main.py", code, 0, false },
		{ "same.py", code, 0, false } };
	CLEANUP(buf_fini) struct buf zip = { 0 };
	struct err e = { 0 };
	static const uint8_t signature[] = { 'P', 'K', 1, 2 };
	uint8_t *second;

	make_zip(&zip, entries, 2);
	second = memmem(zip.data, zip.len, signature, 4);
	second = memmem(
		second + 4, zip.len - (size_t)(second + 4 - zip.data), signature, 4);
	assert_non_null(second);
	memset(second + 42, 0, 4); /* the local header's offset: now the first one's */
	assert_int_equal(package_check(zip.data, zip.len, &package_defaults, &e), -1);
	assert_int_equal(e.code, ERR_INVALID);
}

static uint32_t crc_of(const uint8_t *bytes, size_t len)
{
	uint32_t crc = ~0u;

	for (size_t i = 0; i < len; i++) {
		crc ^= bytes[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
	}
	return ~crc;
}

static void put(struct buf *b, uint64_t value, size_t bytes)
{
	for (; bytes; bytes--, value >>= 8)
		buf_add(b, &(uint8_t){ (uint8_t)value }, 1);
}

/* What the local and the central header have in common, from version to name length. */
static void put_common(struct buf *b, const char *name, const void *data, size_t len)
{
	put(b, 20, 2);
	put(b, 0, 8); /* no flags, stored, no time */
	put(b, crc_of(data, len), 4);
	put(b, len, 4);
	put(b, len, 4);
	put(b, strlen(name), 2);
	put(b, 0, 2);
}

static void put_local(struct buf *b, const char *name, const void *data, size_t len)
{
	put(b, 0x04034b50, 4);
	put_common(b, name, data, len);
	buf_add(b, name, strlen(name));
	buf_add(b, data, len);
}

static void put_central(
	struct buf *b, const char *name, const void *data, size_t len, size_t offset)
{
	put(b, 0x02014b50, 4);
	put(b, 20, 2);
	put_common(b, name, data, len);
	put(b, 0, 10);
	put(b, offset, 4);
	buf_add(b, name, strlen(name));
}

/* The first entry's data are the whole second entry: each header is true, and libzip sees
 * nothing wrong.  So a small ZIP can hold the same bytes a thousand times. */
static void an_entry_within_another_is_refused(void **state)
{
	(void)state;
	CLEANUP(buf_fini) struct buf inner = { 0 };
	CLEANUP(buf_fini) struct buf zip = { 0 };
	const size_t len = strlen(code);
	struct err e = { 0 };

	put_local(&inner, "b.py", code, len);
	put_local(&zip, "main.py", inner.data, inner.len);

	size_t directory = zip.len;

	put_central(&zip, "main.py", inner.data, inner.len, 0);
	put_central(&zip, "b.py", code, len, directory - inner.len);

	size_t size = zip.len - directory;

	put(&zip, 0x06054b50, 4);
	put(&zip, 0, 4);
	put(&zip, 2, 2);
	put(&zip, 2, 2);
	put(&zip, size, 4);
	put(&zip, directory, 4);
	put(&zip, 0, 2);
	assert_int_equal(package_check(zip.data, zip.len, &package_defaults, &e), -1);
	assert_non_null(strstr(e.text, "overlap"));
}

static void a_file_and_a_folder_of_one_name_are_refused(void **state)
{
	(void)state;
	const struct entry entries[] = { { "main.py", code, 0, false },
		{ "a", "x", 0, false }, { "a/", NULL, 0, false } };
	struct err e = { 0 };

	assert_int_equal(check(entries, 3, &e), -1);
	assert_non_null(strstr(e.text, "twice"));
}

static void another_way_of_packing_is_refused(void **state)
{
	(void)state;
	const struct entry entries[] = { { "main.py", code, 0, false } };
	CLEANUP(buf_fini) struct buf zip = { 0 };
	struct err e = { 0 };

	make_zip(&zip, entries, 1);
	zip.data[8] = 12; /* bzip2 */
	((uint8_t *)memmem(zip.data, zip.len, "PK\1\2", 4))[10] = 12;
	assert_int_equal(package_check(zip.data, zip.len, &package_defaults, &e), -1);
	assert_non_null(strstr(e.text, "neither stored nor deflated"));
}

static void a_part_of_a_name_that_no_folder_holds_is_refused(void **state)
{
	(void)state;
	char name[257];
	const struct entry entries[] = { { "main.py", code, 0, false },
		{ name, "x", 0, false } };
	struct err e = { 0 };

	memset(name, 'n', 256);
	name[256] = '\0';
	assert_int_equal(check(entries, 2, &e), -1);
	assert_non_null(strstr(e.text, "255 bytes"));
	name[255] = '\0';
	assert_int_equal(check(entries, 2, &e), 0);
}

static void a_name_that_comes_twice_is_refused(void **state)
{
	(void)state;
	const struct entry entries[] = { { "main.py", code, 0, false },
		{ "aaaa", "x", 0, false }, { "bbbb", "x", 0, false } };
	CLEANUP(buf_fini) struct buf zip = { 0 };
	struct err e = { 0 };

	make_zip(&zip, entries, 3);
	for (uint8_t *at; (at = memmem(zip.data, zip.len, "bbbb", 4));)
		memcpy(at, "aaaa", 4);
	assert_int_equal(package_check(zip.data, zip.len, &package_defaults, &e), -1);
	assert_int_equal(e.code, ERR_INVALID);
}

/* Whatever is cut off or turned over: an answer, never a crash. */
static void damaged_zips_get_an_answer(void **state)
{
	(void)state;
	const struct entry entries[] = { { "main.py", code, 0, false },
		{ "b/", NULL, 0, false }, { "b/c", "hello", S_IFREG, false } };
	CLEANUP(buf_fini) struct buf zip = { 0 };
	struct err e = { 0 };
	int refused = 0;

	make_zip(&zip, entries, 3);
	for (size_t len = 0; len < zip.len; len++) {
		CLEANUP(free_ptr) uint8_t *cut = xmemdup(zip.data, len);

		refused += package_check(cut, len, &package_defaults, &e) < 0;
	}
	assert_int_equal(refused, zip.len); /* no part of a ZIP is a ZIP */
	for (size_t i = 0; i < zip.len; i++) {
		zip.data[i] ^= 0xff;
		refused += package_check(zip.data, zip.len, &package_defaults, &e) < 0;
		zip.data[i] ^= 0xff;
	}
	assert_int_equal(package_check("not a zip", 9, &package_defaults, &e), -1);
	assert_true(str_starts(e.text, "code_package: not a ZIP"));
	assert_int_equal(package_check(NULL, 0, &package_defaults, &e), -1);
}

/* A file and the same bytes in memory get the same verdict. */
static int check_file(const struct buf *zip, struct err *e)
{
	CLEANUP(close_file) FILE *f = tmpfile();

	assert_non_null(f);
	assert_int_equal(fwrite(zip->data, 1, zip->len, f), zip->len);
	assert_int_equal(fflush(f), 0);
	return package_check_file(fileno(f), zip->len, &package_defaults, e);
}

static void a_file_is_checked_like_bytes_in_memory(void **state)
{
	(void)state;
	const struct entry good[] = { { "main.py", code, 0, false },
		{ "a/b.py", "x", 0, false } };
	const struct entry bad[] = { { "main.py", code, 0, false },
		{ "../b.py", "x", 0, false } };
	CLEANUP(buf_fini) struct buf zip = { 0 };
	struct err e = { 0 };

	make_zip(&zip, good, 2);
	assert_int_equal(check_file(&zip, &e), 0);
	zip.len -= 1;
	assert_int_equal(check_file(&zip, &e), -1);
	assert_true(str_starts(e.text, "package: not a ZIP"));
	buf_clear(&zip);
	make_zip(&zip, bad, 2);
	assert_int_equal(check_file(&zip, &e), -1);
	assert_true(str_starts(e.text, "package: entry "));
}

static void what_two_readers_could_read_in_two_ways_is_refused(void **state)
{
	(void)state;
	static const uint8_t second_end[22] = { 'P', 'K', 5, 6 };
	static const uint8_t locator[20] = { 'P', 'K', 6, 7 };
	const struct entry entries[] = { { "main.py", code, 0, false } };
	CLEANUP(buf_fini) struct buf zip = { 0 };
	CLEANUP(buf_fini) struct buf wide = { 0 };
	struct err e = { 0 };

	make_zip(&zip, entries, 1);
	size_t end = zip.len - 22;

	/* ZIP64's locator stands before the end record. */
	buf_add(&wide, zip.data, end);
	buf_add(&wide, locator, sizeof(locator));
	buf_add(&wide, zip.data + end, 22);
	assert_int_equal(package_check(wide.data, wide.len, &package_defaults, &e), -1);
	assert_non_null(strstr(e.text, "ZIP64"));

	/* The first end's comment is a second end. */
	zip.data[end + 20] = sizeof(second_end);
	buf_add(&zip, second_end, sizeof(second_end));
	assert_int_equal(package_check(zip.data, zip.len, &package_defaults, &e), -1);
	assert_non_null(strstr(e.text, "two ends"));
}

/* 46 bytes and three texts of 64 KiB for each entry: measured before anything is read. */
static void a_directory_that_would_fill_memory_is_refused(void **state)
{
	(void)state;
	const struct entry entries[] = { { "main.py", code, 0, false } };
	CLEANUP(buf_fini) struct buf zip = { 0 };
	struct err e = { 0 };
	uint8_t end[22];

	make_zip(&zip, entries, 1);
	memcpy(end, zip.data + zip.len - sizeof(end), sizeof(end));
	size_t hole = (16 << 20) + 1;
	memset(buf_reserve(&zip, hole), 0, hole);
	buf_added(&zip, hole);
	buf_add(&zip, end, sizeof(end));
	assert_int_equal(package_check(zip.data, zip.len, &package_defaults, &e), -1);
	assert_non_null(strstr(e.text, "16 MiB are allowed"));
}

static void a_name_with_nul_or_without_utf8_is_refused(void **state)
{
	(void)state;
	static const char *const names[] = { "a\0cd", "a\xff\xfe"
						      "d" };
	struct err e = { 0 };

	for (size_t i = 0; i < 2; i++) {
		const struct entry entries[] = { { "main.py", code, 0, false },
			{ "abcd", "x", 0, false } };
		CLEANUP(buf_fini) struct buf zip = { 0 };

		make_zip(&zip, entries, 2);
		for (uint8_t *at; (at = memmem(zip.data, zip.len, "abcd", 4));)
			memcpy(at, names[i], 4);
		assert_int_equal(
			package_check(zip.data, zip.len, &package_defaults, &e), -1);
		assert_int_equal(e.code, ERR_INVALID);
	}
}

static void the_requirements_file_is_found_at_the_top_only(void **state)
{
	(void)state;
	const struct entry entries[] = { { "main.py", code, 0, false },
		{ "requirements.txt", "numpy\n", 0, false } };
	const struct entry below[] = { { "main.py", code, 0, false },
		{ "a/requirements.txt", "numpy\n", 0, false } };
	CLEANUP(buf_fini) struct buf zip = { 0 };
	CLEANUP(buf_fini) struct buf text = { 0 };
	struct err e = { 0 };

	make_zip(&zip, entries, 2);
	assert_int_equal(package_requirements(zip.data, zip.len, 6, &text, &e), 0);
	assert_int_equal(text.len, 6);
	assert_memory_equal(text.data, "numpy\n", 6);
	assert_int_equal(package_requirements(zip.data, zip.len, 5, &text, &e), -1);
	assert_int_equal(text.len, 6);
	buf_clear(&zip);
	make_zip(&zip, below, 2);
	assert_int_equal(package_requirements(zip.data, zip.len, 6, &text, &e), 0);
	assert_int_equal(text.len, 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_ordinary_zip_is_taken),
		cmocka_unit_test(names_that_lead_astray_are_refused),
		cmocka_unit_test(links_devices_and_encryption_are_refused),
		cmocka_unit_test(a_main_py_must_stand_at_the_top),
		cmocka_unit_test(too_deep_and_too_many_are_refused),
		cmocka_unit_test(a_bomb_is_refused_by_size_and_by_ratio),
		cmocka_unit_test(overlapping_entries_are_refused),
		cmocka_unit_test(an_entry_within_another_is_refused),
		cmocka_unit_test(a_file_and_a_folder_of_one_name_are_refused),
		cmocka_unit_test(another_way_of_packing_is_refused),
		cmocka_unit_test(a_part_of_a_name_that_no_folder_holds_is_refused),
		cmocka_unit_test(a_name_that_comes_twice_is_refused),
		cmocka_unit_test(damaged_zips_get_an_answer),
		cmocka_unit_test(a_file_is_checked_like_bytes_in_memory),
		cmocka_unit_test(what_two_readers_could_read_in_two_ways_is_refused),
		cmocka_unit_test(a_directory_that_would_fill_memory_is_refused),
		cmocka_unit_test(a_name_with_nul_or_without_utf8_is_refused),
		cmocka_unit_test(the_requirements_file_is_found_at_the_top_only),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
