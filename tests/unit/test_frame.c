/* test_frame.c - frames are whole and right, or they are not there. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crc32c.h"

static size_t put(uint8_t *at, enum frame_stream stream, const char *data, size_t len)
{
	frame_header(at, stream, 1234567890123, data, len);
	memcpy(at + FRAME_HEADER_SIZE, data, len);
	return FRAME_HEADER_SIZE + len;
}

static void the_checksum_is_castagnolis(void **state)
{
	(void)state;
	uint8_t zeros[32] = { 0 };

	/* RFC 3720, B.4. */
	assert_int_equal(crc32c(0, zeros, 32), 0x8a9136aa);
	assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
	assert_int_equal(crc32c(crc32c(0, "1234", 4), "56789", 5), 0xe3069283);
	assert_int_equal(crc32c(0, "", 0), 0);
}

static void a_frame_comes_back_as_it_was_written(void **state)
{
	(void)state;
	uint8_t bytes[64];
	struct frame f;
	size_t size = put(bytes, FRAME_STDERR, "hello", 5);

	assert_int_equal(frame_read(bytes, size, &f), FRAME_OK);
	assert_int_equal(f.stream, FRAME_STDERR);
	assert_int_equal(f.wall_ns, 1234567890123);
	assert_int_equal(f.len, 5);
	assert_memory_equal(f.data, "hello", 5);
	assert_int_equal(f.size, size);
}

static void a_frame_cut_anywhere_is_short(void **state)
{
	(void)state;
	uint8_t bytes[64];
	size_t size = put(bytes, FRAME_STDOUT, "hello", 5);

	for (size_t len = 0; len < size; len++) {
		/* On the heap and exact, so that reading past it is seen. */
		uint8_t *cut = malloc(len + 1);
		struct frame f;

		memcpy(cut, bytes, len);
		assert_int_equal(frame_read(cut, len, &f), FRAME_SHORT);
		free(cut);
	}
}

static void a_frame_with_any_bit_changed_is_never_taken(void **state)
{
	(void)state;
	uint8_t bytes[64];
	size_t size = put(bytes, FRAME_STDOUT, "hello", 5);

	for (size_t bit = 0; bit < 8 * size; bit++) {
		struct frame f;

		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_not_equal(frame_read(bytes, size, &f), FRAME_OK);
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

static void lengths_out_of_bounds_are_bad_at_once(void **state)
{
	(void)state;
	uint8_t bytes[FRAME_HEADER_SIZE] = { 0 };
	struct frame f;

	assert_int_equal(frame_read(bytes, sizeof bytes, &f), FRAME_BAD);
	bytes[2] = 1;
	bytes[0] = 1; /* FRAME_DATA_MAX + 1 */
	assert_int_equal(frame_read(bytes, sizeof bytes, &f), FRAME_BAD);
	memset(bytes, 0xff, sizeof bytes);
	assert_int_equal(frame_read(bytes, sizeof bytes, &f), FRAME_BAD);
}

static void a_scan_counts_whole_frames_and_says_why_it_stopped(void **state)
{
	(void)state;
	uint8_t bytes[256];
	size_t one = put(bytes, FRAME_STDOUT, "one", 3);
	size_t two = put(bytes + one, FRAME_STDERR, "three", 5);
	size_t all = one + two;
	struct frame_run run = frame_scan(bytes, all, sizeof bytes);

	assert_int_equal(run.size, all);
	assert_int_equal(run.count, 2);
	assert_int_equal(run.data, 8);
	assert_int_equal(run.stop, FRAME_SHORT);
	run = frame_scan(bytes, all - 1, sizeof bytes);
	assert_int_equal(run.size, one);
	assert_int_equal(run.stop, FRAME_SHORT);
	run = frame_scan(bytes, all, all - 1);
	assert_int_equal(run.size, one);
	bytes[all - 1] ^= 1;
	run = frame_scan(bytes, all, sizeof bytes);
	assert_int_equal(run.size, one);
	assert_int_equal(run.stop, FRAME_BAD);
}

static void noise_is_never_a_frame(void **state)
{
	(void)state;
	uint32_t seed = 1;

	for (int i = 0; i < 20000; i++) {
		uint8_t bytes[80];
		struct frame_run run;

		for (size_t at = 0; at < sizeof bytes; at++) {
			seed = seed * 1664525 + 1013904223;
			bytes[at] = (uint8_t)(seed >> 24);
		}
		bytes[1] = bytes[2] = bytes[3] = bytes[5] = bytes[6] = bytes[7] = 0;
		bytes[4] &= 1;
		run = frame_scan(bytes, sizeof bytes, sizeof bytes);
		assert_int_equal(run.size, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_checksum_is_castagnolis),
		cmocka_unit_test(a_frame_comes_back_as_it_was_written),
		cmocka_unit_test(a_frame_cut_anywhere_is_short),
		cmocka_unit_test(a_frame_with_any_bit_changed_is_never_taken),
		cmocka_unit_test(lengths_out_of_bounds_are_bad_at_once),
		cmocka_unit_test(a_scan_counts_whole_frames_and_says_why_it_stopped),
		cmocka_unit_test(noise_is_never_a_frame),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
