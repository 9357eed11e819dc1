/* test_output.c - copies of outputs and uploads grow exactly, wherever they were cut. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "output.h"
#include "upload.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "file.h"
#include "str.h"
#include "xalloc.h"

#define DEADLINE_NS (60 * NS_PER_S)
#define JOB         "j-abcdefghij234567"
#define OTHER_JOB   "j-bbcdefghij234567"

struct fixture {
	char path[64];
	int folder, wake;
	struct output_config config;
	struct output *output;
	struct uploads *uploads;

	int answers;
	int64_t end;
	struct err failed;
	uint8_t bytes[OUTPUT_READ_MAX];
	size_t len;
	bool broken;
};

static void on_wake(void *ctx)
{
	if (write(((struct fixture *)ctx)->wake, &(uint64_t){ 1 }, sizeof(uint64_t)) < 0)
		abort();
}

static void on_failed(void *ctx, const struct err *why)
{
	struct fixture *f = ctx;

	f->broken = true;
	f->failed = *why;
}

/* On the worker's thread: whatever begins with "bad" is no package. */
static int check_upload(int fd, int64_t size, struct err *e)
{
	char head[3];

	(void)size;
	if (pread(fd, head, sizeof(head), 0) == sizeof(head) && !memcmp(head, "bad", 3))
		return err_set(e, ERR_INVALID, "it is bad");
	return 0;
}

static void open_both(struct fixture *f)
{
	const struct uploads_config uploads = {
		.dirfd = f->folder,
		.ctx = f,
		.wake = on_wake,
		.on_failed = on_failed,
		.check = check_upload,
	};
	struct err e = { 0 };

	f->output = output_open(&f->config, &e);
	f->uploads = uploads_open(&uploads, &e);
	assert_non_null(f->output);
	assert_non_null(f->uploads);
}

static void close_both(struct fixture *f)
{
	output_close(f->output);
	uploads_close(f->uploads);
	f->output = NULL;
	f->uploads = NULL;
}

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	strcpy(f->path, "/tmp/cumulus-output-XXXXXX");
	assert_non_null(mkdtemp(f->path));
	f->folder = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	f->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	f->config = (struct output_config){
		.dirfd = f->folder,
		.ctx = f,
		.wake = on_wake,
		.on_failed = on_failed,
	};
	open_both(f);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	struct err e = { 0 };

	close_both(f);
	close_fd(&f->wake);
	close_fd(&f->folder);
	assert_int_equal(tree_remove(AT_FDCWD, f->path, &e), 0);
	free(f);
	return 0;
}

/* Deliver until there is one more answer. */
static void await(struct fixture *f)
{
	int64_t until_ns = clock_boot_ns() + DEADLINE_NS;
	int wanted = f->answers + 1;

	while (f->answers < wanted && !f->broken) {
		struct pollfd p = { .fd = f->wake, .events = POLLIN };
		uint64_t count;

		assert_true(clock_boot_ns() < until_ns);
		poll(&p, 1, 1000);
		if (read(f->wake, &count, sizeof(count)) > 0) {
			output_deliver(f->output);
			uploads_deliver(f->uploads);
		}
	}
}

static void on_end(void *ctx, int64_t end, const struct err *failed)
{
	struct fixture *f = ctx;

	f->answers++;
	f->end = end;
	f->failed = failed ? *failed : (struct err){ 0 };
}

static void on_bytes(void *ctx, const uint8_t *bytes, size_t len, int64_t end,
	const struct err *failed)
{
	struct fixture *f = ctx;

	on_end(ctx, end, failed);
	assert_true(len <= sizeof(f->bytes));
	if (len > 0)
		memcpy(f->bytes, bytes, len);
	f->len = len;
}

static void on_removed(void *ctx, const struct err *failed)
{
	on_end(ctx, 0, failed);
}

static int64_t append(struct fixture *f, int32_t attempt, int64_t at, const char *text)
{
	output_append(f->output, JOB, attempt, at, xmemdup(text, strlen(text)),
		strlen(text), on_end, f);
	await(f);
	return f->end;
}

static int64_t sync_end(struct fixture *f, int32_t attempt)
{
	output_sync(f->output, JOB, attempt, on_end, f);
	await(f);
	return f->end;
}

static void check_content(struct fixture *f, int32_t attempt, const char *text)
{
	output_read(f->output, JOB, attempt, 0, SIZE_MAX, on_bytes, f);
	await(f);
	assert_int_equal(f->end, strlen(text));
	assert_int_equal(f->len, strlen(text));
	assert_memory_equal(f->bytes, text, strlen(text));
}

static void bytes_go_on_exactly_where_the_file_ends(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(append(f, 1, 0, "hello"), 5);
	assert_int_equal(append(f, 1, 7, "gap"), 5);
	assert_int_equal(append(f, 1, 0, "hello"), 5);
	assert_int_equal(append(f, 1, 2, "llo, world"), 12);
	assert_int_equal(append(f, 1, 5, ","), 12);
	assert_int_equal(append(f, 2, 0, "other"), 5);
	assert_int_equal(sync_end(f, 1), 12);
	check_content(f, 1, "hello, world");
	check_content(f, 2, "other");
	assert_int_equal(output_end(f->output, JOB, 1), 12);
	assert_int_equal(output_end(f->output, JOB, 3), -1);
	assert_int_equal(output_queued_bytes(f->output), 0);
}

static void an_absent_file_is_an_empty_one(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	assert_int_equal(sync_end(f, 1), 0);
	assert_int_equal(f->failed.code, ERR_NONE);
	check_content(f, 1, "");
	assert_int_equal(fstatat(f->folder, "output/" JOB ".1", &st, 0), -1);
}

static void reads_are_bounded_and_end_with_the_file(void **state)
{
	struct fixture *f = *state;
	const size_t size = 1000000;
	uint8_t *bytes = xmalloc(size);
	CLEANUP(free_ptr) uint8_t *copy = NULL;
	size_t at = 0;

	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)(i * 7 >> 3);
	copy = xmemdup(bytes, size);
	output_append(f->output, JOB, 1, 0, bytes, size, on_end, f);
	assert_int_equal(output_queued_bytes(f->output), size);
	await(f);
	do {
		output_read(f->output, JOB, 1, (int64_t)at, SIZE_MAX, on_bytes, f);
		await(f);
		assert_true(f->len <= OUTPUT_READ_MAX);
		assert_memory_equal(f->bytes, copy + at, f->len);
		at += f->len;
	} while (f->len > 0);
	assert_int_equal(at, size);
	output_read(f->output, JOB, 1, INT64_C(1) << 50, 10, on_bytes, f);
	await(f);
	assert_int_equal(f->len, 0);
	assert_int_equal(f->end, size);
}

static void what_is_no_run_never_becomes_a_path(void **state)
{
	struct fixture *f = *state;
	static const char *const bad[] = { "../../etc/passwd", "", "j-short",
		"w-abcdefghij234567" };

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		output_append(f->output, bad[i], 1, 0, xmemdup("x", 1), 1, on_end, f);
		await(f);
		assert_int_equal(f->failed.code, ERR_INVALID);
		output_remove(f->output, bad[i], 1, on_removed, f);
		await(f);
	}
	assert_int_equal(append(f, 0, 0, "x"), 0);
	assert_int_equal(f->failed.code, ERR_INVALID);
}

/* Frames of four bytes: three of any kind and a '.'. */
static size_t whole_fours(const uint8_t *bytes, size_t len, size_t *data)
{
	size_t whole = 0;

	while (whole + 4 <= len && bytes[whole + 3] == '.')
		whole += 4;
	*data = whole / 4 * 3; /* the point is no data */
	return whole;
}

static void write_raw(struct fixture *f, const char *bytes, size_t len)
{
	CLEANUP(close_fd)
	int fd = openat(f->folder, "output/" JOB ".1",
		O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_int_equal(write_all(fd, bytes, len), 0);
}

static void a_torn_tail_is_cut_to_whole_frames_at_the_first_use(void **state)
{
	struct fixture *f = *state;

	close_both(f);
	f->config.whole_frames = whole_fours;
	write_raw(f, "aaa.bbb.cc", 10);
	open_both(f);
	assert_int_equal(sync_end(f, 1), 8);
	assert_int_equal(output_data(f->output, JOB, 1), 6);
	assert_int_equal(append(f, 1, 4, "bbb.ccc."), 12);
	assert_int_equal(output_data(f->output, JOB, 1), 9);
	assert_int_equal(append(f, 1, 8, "ccc."), 12);
	check_content(f, 1, "aaa.bbb.ccc.");
	close_both(f);
	write_raw(f, "aaaX", 4);
	open_both(f);
	check_content(f, 1, "");
}

static void frames_longer_than_one_scan_are_all_looked_at(void **state)
{
	struct fixture *f = *state;
	const size_t size = 3 * 1024 * 1024 + 2;
	CLEANUP(free_ptr) char *bytes = xmalloc(size);

	for (size_t i = 0; i < size; i++)
		bytes[i] = i % 4 == 3 ? '.' : 'x';
	close_both(f);
	f->config.whole_frames = whole_fours;
	write_raw(f, bytes, size);
	open_both(f);
	assert_int_equal(sync_end(f, 1), size - 2);
}

static void what_was_written_is_there_after_a_restart(void **state)
{
	struct fixture *f = *state;

	append(f, 1, 0, "hello");
	close_both(f);
	open_both(f);
	assert_int_equal(output_end(f->output, JOB, 1), -1);
	assert_int_equal(append(f, 1, 5, " again"), 11);
	check_content(f, 1, "hello again");
}

static size_t count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	size_t count = 0;

	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

static void open_files_are_bounded(void **state)
{
	struct fixture *f = *state;
	size_t before;

	close_both(f);
	f->config.open_files_max = 4;
	open_both(f);
	before = count_fds();
	for (int32_t attempt = 1; attempt <= 50; attempt++)
		assert_int_equal(append(f, attempt, 0, "one"), 3);
	assert_true(count_fds() <= before + 4);
	for (int32_t attempt = 1; attempt <= 50; attempt++)
		assert_int_equal(append(f, attempt, 3, "two"), 6);
	check_content(f, 1, "onetwo");
	assert_int_equal(sync_end(f, 30), 6);
}

static void a_removed_job_has_no_output_left(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	append(f, 1, 0, "one");
	append(f, 3, 0, "three");
	output_append(f->output, OTHER_JOB, 1, 0, xmemdup("x", 1), 1, on_end, f);
	await(f);
	output_remove(f->output, JOB, 3, on_removed, f);
	await(f);
	assert_int_equal(f->failed.code, ERR_NONE);
	assert_int_equal(output_end(f->output, JOB, 1), -1);
	assert_int_equal(fstatat(f->folder, "output/" JOB ".1", &st, 0), -1);
	assert_int_equal(fstatat(f->folder, "output/" JOB ".3", &st, 0), -1);
	assert_int_equal(fstatat(f->folder, "output/" OTHER_JOB ".1", &st, 0), 0);
	check_content(f, 1, "");
}

static void limit_file_size(rlim_t bytes)
{
	struct rlimit limit;

	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = bytes;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void without_room_nothing_is_added_and_later_all_of_it(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(append(f, 1, 0, "hello"), 5);
	limit_file_size(8);
	assert_int_equal(append(f, 1, 5, ", world"), 5);
	assert_int_equal(f->failed.code, ERR_EXHAUSTED);
	assert_int_equal(sync_end(f, 1), 5);
	limit_file_size(RLIM_INFINITY);
	check_content(f, 1, "hello");
	assert_int_equal(append(f, 1, 5, ", world"), 12);
	assert_int_equal(f->failed.code, ERR_NONE);
	check_content(f, 1, "hello, world");
	assert_false(f->broken);
}

static void the_limit_of_one_file_is_held(void **state)
{
	struct fixture *f = *state;

	close_both(f);
	f->config.file_bytes_max = 8;
	open_both(f);
	assert_int_equal(append(f, 1, 0, "12345678"), 8);
	assert_int_equal(append(f, 1, 8, "9"), 8);
	assert_int_equal(f->failed.code, ERR_EXHAUSTED);
}

static void what_cannot_be_opened_is_the_failure_of_who_asks_for_it(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(mkdirat(f->folder, "output/" JOB ".1", 0700), 0);
	assert_int_equal(symlinkat("/etc/passwd", f->folder, "output/" JOB ".2"), 0);
	for (int attempt = 1; attempt <= 2; attempt++) {
		append(f, attempt, 0, "x");
		assert_int_equal(f->failed.code, ERR_SYSTEM);
	}
	assert_int_equal(append(f, 3, 0, "x"), 1);
	assert_int_equal(f->failed.code, ERR_NONE);
	assert_false(f->broken);
}

static void closing_drops_what_was_asked_without_a_leak(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 100; i++)
		output_append(f->output, JOB, 1, 0, xmemdup("x", 1), 1, on_end, f);
	close_both(f);
	assert_int_equal(f->answers, 0);
}

/* ---- uploads */

static int64_t upload(struct fixture *f, const struct digest *digest, const char *text,
	int64_t at, size_t len)
{
	upload_append(f->uploads, digest, (int64_t)strlen(text), at,
		len ? xmemdup(text + at, len) : NULL, len, on_end, f);
	await(f);
	return f->end;
}

static bool package_is_there(
	struct fixture *f, const struct digest *digest, const char *suffix)
{
	char hex[65];
	struct stat st;

	hex_encode(hex, digest->bytes, 32);
	CLEANUP(free_ptr) char *name = str_fmt("packages/%s%s", hex, suffix);
	return fstatat(f->folder, name, &st, 0) == 0;
}

static void an_upload_goes_on_after_a_restart_and_is_checked_at_its_end(void **state)
{
	static const char text[] = "a package in three pieces";
	struct fixture *f = *state;
	struct digest digest = digest_of(text, strlen(text));

	assert_int_equal(upload(f, &digest, text, 0, 0), 0);
	assert_int_equal(upload(f, &digest, text, 0, 9), 9);
	assert_int_equal(upload(f, &digest, text, 12, 3), 9); /* a gap */
	close_both(f);
	open_both(f);
	assert_int_equal(upload(f, &digest, text, 0, 0), 9);
	assert_int_equal(upload(f, &digest, text, 5, 10), 15); /* an overlap */
	assert_false(package_is_there(f, &digest, ""));
	assert_int_equal(upload(f, &digest, text, 15, 10), 25);
	assert_int_equal(f->failed.code, ERR_NONE);
	assert_true(package_is_there(f, &digest, ""));
	assert_false(package_is_there(f, &digest, ".part"));
	assert_int_equal(upload(f, &digest, text, 0, 0), 25); /* there already */
}

static void an_upload_with_other_bytes_is_refused_and_forgotten(void **state)
{
	struct fixture *f = *state;
	struct digest digest = digest_of("right", 5);

	upload(f, &digest, "wrong", 0, 5);
	assert_int_equal(f->failed.code, ERR_INVALID);
	assert_int_equal(f->end, 0);
	assert_false(package_is_there(f, &digest, ""));
	assert_false(package_is_there(f, &digest, ".part"));
	assert_int_equal(upload(f, &digest, "right", 0, 5), 5);
	assert_true(package_is_there(f, &digest, ""));
}

static void more_than_the_stated_size_is_refused(void **state)
{
	struct fixture *f = *state;
	struct digest digest = digest_of("right", 5);

	upload_append(f->uploads, &digest, 5, 0, xmemdup("right!", 6), 6, on_end, f);
	await(f);
	assert_int_equal(f->failed.code, ERR_INVALID);
	assert_int_equal(f->end, 0);
}

static void an_upload_that_is_no_package_never_gets_its_name(void **state)
{
	struct fixture *f = *state;
	struct digest digest = digest_of("bad one", 7);

	upload(f, &digest, "bad one", 0, 7);
	assert_int_equal(f->failed.code, ERR_INVALID);
	assert_string_equal(f->failed.text, "it is bad");
	assert_false(package_is_there(f, &digest, ""));
	assert_false(package_is_there(f, &digest, ".part"));
	assert_int_equal(upload(f, &digest, "bad one", 0, 0), 0);
}

static int first_letter(int fd, int64_t size, struct buf *found, struct err *e)
{
	char letter;

	if (pread(fd, &letter, 1, 0) != 1)
		return err_set(e, ERR_INVALID, "%lld bytes", (long long)size);
	buf_add(found, &letter, 1);
	return 0;
}

static void on_seen(void *ctx, const struct buf *found, const struct err *failed)
{
	struct fixture *f = ctx;

	f->answers++;
	f->failed = failed ? *failed : (struct err){ 0 };
	f->len = found->len;
	if (found->len)
		memcpy(f->bytes, found->data, found->len);
}

static void a_whole_package_can_be_looked_into_and_no_other(void **state)
{
	struct fixture *f = *state;
	struct digest digest = digest_of("right", 5);

	assert_int_equal(upload(f, &digest, "right", 0, 3), 3);
	upload_look(f->uploads, &digest, first_letter, on_seen, f);
	await(f);
	assert_int_equal(f->failed.code, ERR_NOT_FOUND);
	assert_int_equal(upload(f, &digest, "right", 3, 2), 5);
	upload_look(f->uploads, &digest, first_letter, on_seen, f);
	await(f);
	assert_int_equal(f->failed.code, ERR_NONE);
	assert_int_equal(f->len, 1);
	assert_int_equal(f->bytes[0], 'r');
}

static void an_upload_without_room_can_go_on_later(void **state)
{
	struct fixture *f = *state;
	struct digest digest = digest_of("right", 5);

	limit_file_size(3);
	assert_int_equal(upload(f, &digest, "right", 0, 5), 0);
	assert_int_equal(f->failed.code, ERR_EXHAUSTED);
	limit_file_size(RLIM_INFINITY);
	assert_int_equal(upload(f, &digest, "right", 0, 5), 5);
	assert_int_equal(f->failed.code, ERR_NONE);
	assert_true(package_is_there(f, &digest, ""));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(bytes_go_on_exactly_where_the_file_ends),
		T(an_absent_file_is_an_empty_one),
		T(reads_are_bounded_and_end_with_the_file),
		T(what_is_no_run_never_becomes_a_path),
		T(a_torn_tail_is_cut_to_whole_frames_at_the_first_use),
		T(frames_longer_than_one_scan_are_all_looked_at),
		T(what_was_written_is_there_after_a_restart),
		T(open_files_are_bounded),
		T(a_removed_job_has_no_output_left),
		T(without_room_nothing_is_added_and_later_all_of_it),
		T(the_limit_of_one_file_is_held),
		T(what_cannot_be_opened_is_the_failure_of_who_asks_for_it),
		T(closing_drops_what_was_asked_without_a_leak),
		T(an_upload_goes_on_after_a_restart_and_is_checked_at_its_end),
		T(an_upload_with_other_bytes_is_refused_and_forgotten),
		T(more_than_the_stated_size_is_refused),
		T(an_upload_that_is_no_package_never_gets_its_name),
		T(a_whole_package_can_be_looked_into_and_no_other),
		T(an_upload_without_room_can_go_on_later),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
