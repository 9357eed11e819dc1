/* test_chronos_state.c - whatever the state file holds, chronos answers and goes on. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "state.h"
#include "test_chronos.h"

#include <grp.h>
#include <signal.h>
#include <sys/mman.h>

/* A directory with a good state: partition "k" with half of device 0. */
static int one_partition(void **state)
{
	struct chronos_partition p;

	two_devices(state);
	assert_ok((struct place *)*state, create(*state, "0", 50, SECONDS(600), "k", &p));
	return 0;
}

static int open_state(const struct place *t)
{
	char path[128];

	snprintf(path, sizeof path, "%s/" STATE_FILE_NAME, t->dir);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static void overwrite(const struct place *t, size_t at, const void *bytes, size_t n)
{
	int fd = open_state(t);

	assert_int_equal(pwrite(fd, bytes, n, (off_t)at), n);
	close(fd);
}

static void overwrite_u32(const struct place *t, size_t at, uint32_t value)
{
	overwrite(t, at, &value, sizeof value);
}

static void close_place(struct place *t)
{
	chronos_close(t->c);
	t->c = NULL;
}

/* The state as it is now is refused, and left as it is. */
static void assert_open_refused(struct place *t, enum chronos_code code)
{
	memset(&t->e, 0, sizeof t->e);
	t->c = chronos_open(t->dir, &t->e);
	assert_null(t->c);
	if (t->e.code != code)
		fail_msg("%s: %s", chronos_code_name(t->e.code), t->e.text);
	assert_non_null(strstr(t->e.text, t->dir));
}

#define HEADER(field)    offsetof(struct state, header.field)
#define DEVICE(field)    offsetof(struct state, devices[0].field)
#define PARTITION(field) offsetof(struct state, partitions[0].field)

/* ---- another boot ---- */

static void a_new_boot_begins_with_nothing(void **state)
{
	struct place *t = *state;
	struct chronos_partition p;
	struct chronos_stats before, after;

	assert_ok(t, chronos_find(t->c, "k", &p, &t->e));
	assert_ok(t, chronos_stats(t->c, &before, &t->e));
	close_place(t);
	overwrite(t, HEADER(boot_id), "00000000", 8);
	open_place(t);
	assert_int_equal(active(t), 0);
	assert_ok(t, chronos_stats(t->c, &after, &t->e));
	assert_int_equal(after.devices, 0);
	assert_int_not_equal(before.generation, after.generation);
	register_simulated(t, 2);
	assert_int_equal(available(t, "0"), 100);
	assert_refused(t, CHRONOS_NOT_FOUND, chronos_release(t->c, p.id, &t->e));
}

static void another_version_of_another_boot_is_replaced_too(void **state)
{
	struct place *t = *state;

	close_place(t);
	overwrite(t, HEADER(boot_id), "00000000", 8);
	overwrite_u32(t, HEADER(version), 99);
	open_place(t);
	assert_int_equal(active(t), 0);
}

static void an_open_handle_notices_that_the_state_was_replaced(void **state)
{
	struct place *t = *state, second = *t;
	struct chronos_partition p;

	overwrite(t, HEADER(boot_id), "00000000", 8);
	open_place(&second);
	assert_refused(t, CHRONOS_UNAVAILABLE, create(t, "0", 10, SECONDS(1), NULL, &p));
	assert_int_equal(active(&second), 0);
	chronos_close(second.c);
}

static void an_open_handle_notices_that_the_state_was_removed(void **state)
{
	struct place *t = *state;
	struct chronos_partition p;
	char path[128];

	snprintf(path, sizeof path, "%s/" STATE_FILE_NAME, t->dir);
	assert_int_equal(unlink(path), 0);
	assert_refused(t, CHRONOS_UNAVAILABLE, create(t, "0", 10, SECONDS(1), NULL, &p));
	assert_refused(t, CHRONOS_UNAVAILABLE, chronos_release(t->c, "k", &t->e));
}

static void an_open_handle_notices_that_the_state_was_cut(void **state)
{
	struct place *t = *state;
	struct chronos_partition p;
	int fd = open_state(t);

	assert_int_equal(ftruncate(fd, 0), 0);
	close(fd);
	assert_refused(t, CHRONOS_UNAVAILABLE, create(t, "0", 10, SECONDS(1), NULL, &p));
}

/* ---- files that are not a state ---- */

static void a_file_of_another_size_is_refused(void **state)
{
	struct place *t = *state;
	static const off_t sizes[] = { 0, 1, 100, 4095, 4096,
		(off_t)sizeof(struct state) - 1, (off_t)sizeof(struct state) + 1 };

	close_place(t);
	for (size_t i = sizeof sizes / sizeof *sizes; i-- > 0;) {
		int fd = open_state(t);
		assert_int_equal(ftruncate(fd, sizes[i]), 0);
		close(fd);
		assert_open_refused(t, CHRONOS_UNAVAILABLE);
	}
}

static void foreign_older_and_newer_files_are_refused(void **state)
{
	struct place *t = *state;
	const size_t fields[] = { HEADER(magic), HEADER(version), HEADER(header_bytes),
		HEADER(device_bytes), HEADER(device_slots), HEADER(partition_bytes),
		HEADER(partition_slots), HEADER(lock_bytes) };
	uint32_t good;

	close_place(t);
	for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
		int fd = open_state(t);
		assert_int_equal(pread(fd, &good, 4, (off_t)fields[i]), 4);
		close(fd);
		overwrite_u32(t, fields[i], good + 1);
		assert_open_refused(t, CHRONOS_UNAVAILABLE);
		overwrite_u32(t, fields[i], good - 1);
		assert_open_refused(t, CHRONOS_UNAVAILABLE);
		overwrite_u32(t, fields[i], good);
	}
	open_place(t);
	assert_int_equal(active(t), 1);
}

/* Whatever it says: a holder that does not live holds nothing. */
static void a_lock_that_nobody_holds_is_free_whatever_it_says(void **state)
{
	struct place *t = *state;
	struct chronos_partition p;
	static const uint32_t words[] = { 1, 0x7fffffff, 0x80000000, 0xffffffff,
		0x12345678 };

	for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
		overwrite_u32(t, HEADER(lock), words[i]);
		assert_ok(t, create(t, "0", 1, SECONDS(60), NULL, &p));
		close_place(t);
		overwrite_u32(t, HEADER(lock), words[i]);
		open_place(t);
	}
	assert_books_are_right(t, 2);
}

static void what_is_no_file_of_ours_is_refused(void **state)
{
	struct place *t = *state;
	char path[128], other[128];

	close_place(t);
	snprintf(path, sizeof path, "%s/" STATE_FILE_NAME, t->dir);
	snprintf(other, sizeof other, "%s/other", t->dir);
	assert_int_equal(rename(path, other), 0);
	assert_int_equal(symlink(other, path), 0);
	assert_open_refused(t, CHRONOS_SYSTEM);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_open_refused(t, CHRONOS_UNAVAILABLE);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_open_refused(t, CHRONOS_SYSTEM);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(rename(other, path), 0);
	assert_int_equal(chmod(path, 0666), 0);
	assert_open_refused(t, CHRONOS_DENIED);
	assert_int_equal(chmod(path, 0600), 0);
	open_place(t);
}

static void a_directory_that_others_may_change_is_refused(void **state)
{
	struct place *t = *state;

	close_place(t);
	assert_int_equal(chmod(t->dir, 01777), 0);
	assert_open_refused(t, CHRONOS_DENIED);
	if (getuid() == 0) {
		assert_int_equal(chmod(t->dir, 0700), 0);
		assert_int_equal(chown(t->dir, 4242, 4242), 0);
		assert_open_refused(t, CHRONOS_DENIED);
	}
}

static void a_directory_without_parent_is_named(void **state)
{
	struct place *t = *state;

	struct place nowhere = *t;

	snprintf(nowhere.dir, sizeof nowhere.dir, "%s/no/where", t->base);
	assert_open_refused(&nowhere, CHRONOS_SYSTEM);
	assert_null(chronos_open("", &t->e));
	assert_int_equal(t->e.code, CHRONOS_INVALID);
}

static void the_state_is_its_owners_alone_unless_the_directory_is_shared(void **state)
{
	struct place *t = *state;
	struct stat st;

	int fd = open_state(t);
	assert_int_equal(fstat(fd, &st), 0);
	close(fd);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(stat(t->dir, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);

	close_place(t);
	overwrite(t, HEADER(boot_id), "00000000", 8);
	assert_int_equal(chmod(t->dir, 0770), 0);
	open_place(t);
	fd = open_state(t);
	assert_int_equal(fstat(fd, &st), 0);
	close(fd);
	assert_int_equal(st.st_mode & 07777, 0660);
}

static void an_unfinished_state_is_no_obstacle(void **state)
{
	struct place *t = *state;
	char path[128], new_path[128];

	close_place(t);
	snprintf(path, sizeof path, "%s/" STATE_FILE_NAME, t->dir);
	snprintf(new_path, sizeof new_path, "%s/state.new", t->dir);
	assert_int_equal(rename(path, new_path), 0);
	assert_int_equal(truncate(new_path, 17), 0);
	open_place(t);
	assert_int_equal(active(t), 0);
	assert_int_equal(access(new_path, F_OK), -1);
}

/* ---- records that cannot be ---- */

static void impossible_records_are_refused(void **state)
{
	struct place *t = *state;
	static const struct {
		size_t at;
		uint32_t value;
	} wrong[] = {
		{ HEADER(partitions_used), CHRONOS_PARTITIONS_MAX + 1 },
		{ HEADER(partitions_used), UINT32_MAX },
		{ DEVICE(state), 3 },
		{ DEVICE(state), DEVICE_NONE }, /* a partition is on it */
		{ PARTITION(state), 2 },
		{ PARTITION(id), 0 },
		{ PARTITION(devices), 0 },
		{ PARTITION(devices), 4 },
		{ PARTITION(devices) + 4, 1 },
		{ PARTITION(memory_hundredths), 0 },
		{ PARTITION(memory_hundredths), 101 },
		{ PARTITION(memory_hundredths), UINT32_MAX },
		{ PARTITION(time_hundredths), 51 },
	};
	uint32_t good;

	close_place(t);
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		int fd = open_state(t);
		assert_int_equal(pread(fd, &good, 4, (off_t)wrong[i].at), 4);
		close(fd);
		overwrite_u32(t, wrong[i].at, wrong[i].value);
		assert_open_refused(t, CHRONOS_UNAVAILABLE);
		overwrite_u32(t, wrong[i].at, good);
	}
	open_place(t);
	assert_books_are_right(t, 2);
}

static void texts_without_an_end_are_refused(void **state)
{
	struct place *t = *state;
	char junk[128], key[CHRONOS_KEY_MAX + 1] = "k";

	memset(junk, 'x', sizeof junk);
	close_place(t);
	overwrite(t, PARTITION(key), junk, sizeof key);
	assert_open_refused(t, CHRONOS_UNAVAILABLE);
	overwrite(t, PARTITION(key), key, sizeof key);
	overwrite(t, DEVICE(uuid), junk, 96);
	assert_open_refused(t, CHRONOS_UNAVAILABLE);
}

static void a_device_beyond_its_whole_is_refused(void **state)
{
	struct place *t = *state;
	struct partition_record copy;

	close_place(t);
	int fd = open_state(t);
	assert_int_equal(
		pread(fd, &copy, sizeof copy, (off_t)PARTITION(state)), sizeof copy);
	close(fd);
	copy.id++;
	copy.memory_hundredths = copy.time_hundredths = 51;
	overwrite(t, offsetof(struct state, partitions[1]), &copy, sizeof copy);
	overwrite_u32(t, HEADER(partitions_used), 2);
	assert_open_refused(t, CHRONOS_UNAVAILABLE);
}

/* Junk written while others have the file open: any answer will do, but an answer. */
static void junk_in_the_records_neither_crashes_nor_hangs(void **state)
{
	struct place *t = *state;
	struct chronos_partition p, *list;
	struct chronos_device devices[CHRONOS_DEVICES_MAX];
	uint64_t seed = 1;
	size_t n;

	for (int round = 0; round < 3000; round++) {
		seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
		/* The lock is left alone: that is the next test. */
		size_t at = round % 8 == 0 ? HEADER(created) + (seed >> 33) % 16
					   : HEADER(reserved_3) + (seed >> 33) % 24000;
		uint64_t junk = seed >> (seed >> 60);
		overwrite(t, at, &junk, 1 + (seed >> 58) % 8);

		if (chronos_list(t->c, &list, &n, &t->e) == 0)
			chronos_partitions_free(list);
		(void)!chronos_devices(t->c, devices, CHRONOS_DEVICES_MAX, &n, &t->e);
		(void)!create(t, "0", 1, SECONDS(1), round % 2 ? "k" : NULL, &p);
		(void)!chronos_release(t->c, round % 3 ? "k" : "p-0", &t->e);
		struct chronos *again = chronos_open(t->dir, &t->e);
		chronos_close(again);
	}
}

static void a_lock_that_is_never_given_back_is_an_error_after_its_limit(void **state)
{
	struct place *t = *state;
	struct chronos_partition p;
	int ready[2];
	char byte;

	assert_int_equal(pipe(ready), 0);
	pid_t child = fork();
	if (child == 0) {
		if (chronos_state_lock(t->c, &t->e) == 0 && write(ready[1], "x", 1) == 1)
			pause();
		_exit(1);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_refused(t, CHRONOS_TIMEOUT, create(t, "0", 1, SECONDS(1), NULL, &p));

	/* Its death gives the lock back. */
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_ok(t, create(t, "0", 1, SECONDS(60), NULL, &p));
	close(ready[0]);
	close(ready[1]);
}

/* The child has its parent's open files, but not what they stand for. */
static void a_child_that_lives_on_keeps_no_lock_of_its_killed_parent(void **state)
{
	struct place *t = *state;
	struct chronos_partition p;
	int ready[2], hold[2], status;
	char byte;

	assert_int_equal(pipe(ready), 0);
	assert_int_equal(pipe(hold), 0);
	pid_t parent = fork();
	if (parent == 0) {
		close(hold[1]);
		if (chronos_state_lock(t->c, &t->e) < 0)
			_exit(1);
		if (fork() == 0) {
			(void)!write(ready[1], "x", 1);
			(void)!read(hold[0], &byte, 1);
			_exit(0);
		}
		for (;;)
			pause();
	}
	close(hold[0]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_int_equal(kill(parent, SIGKILL), 0);
	assert_int_equal(waitpid(parent, &status, 0), parent);
	assert_true(WIFSIGNALED(status));
	assert_ok(t, create(t, "0", 1, SECONDS(60), NULL, &p));
	assert_books_are_right(t, 2);
	close(hold[1]);
	close(ready[0]);
	close(ready[1]);
}

static void what_a_program_prints_never_ends_in_the_state(void **state)
{
	struct place *t = *state;
	int status;

	close_place(t);
	pid_t child = fork();
	if (child == 0) {
		for (int fd = 0; fd <= STDERR_FILENO; fd++)
			close(fd);
		t->c = chronos_open(t->dir, &t->e);
		for (int fd = 0; fd <= STDERR_FILENO; fd++)
			(void)!write(fd, "printed", 7);
		_exit(t->c ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	open_place(t);
	assert_int_equal(available(t, "0"), 50);
}

static void what_a_dying_holder_damaged_is_refused_by_all(void **state)
{
	struct place *t = *state;
	struct chronos_partition p;
	char path[128];
	int status;

	pid_t child = fork();
	if (child == 0) {
		if (chronos_state_lock(t->c, &t->e) == 0)
			t->c->state->partitions[0].memory_hundredths = 7000;
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_refused(t, CHRONOS_UNAVAILABLE, create(t, "0", 1, SECONDS(1), NULL, &p));
	assert_refused(t, CHRONOS_UNAVAILABLE, create(t, "0", 1, SECONDS(1), NULL, &p));
	close_place(t);
	assert_open_refused(t, CHRONOS_UNAVAILABLE);

	/* As the message says. */
	snprintf(path, sizeof path, "%s/" STATE_FILE_NAME, t->dir);
	assert_int_equal(unlink(path), 0);
	open_place(t);
	assert_int_equal(active(t), 0);
}

/* ---- a directory shared with a group ---- */

enum { SHARED_GROUP = 4242, MEMBER = 4343 };

/* Ends with 0 when `works` is how it went. */
static void assert_member_can_use(struct place *t, bool works)
{
	struct chronos_partition p;
	int status;

	pid_t child = fork();
	if (child == 0) {
		if (setgroups(0, NULL) < 0 || setgid(SHARED_GROUP) < 0 ||
			setuid(MEMBER) < 0)
			_exit(2);
		t->c = chronos_open(t->dir, &t->e);
		bool done = t->c && create(t, "0", 5, SECONDS(60), NULL, &p) == 0 &&
			    p.owner == MEMBER;
		if (!done && t->e.code != CHRONOS_DENIED)
			_exit(3);
		_exit(done == works ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void a_group_may_use_what_the_directorys_owner_made(void **state)
{
	struct place *t = *state;
	char path[128];

	if (getuid() != 0) {
		print_message(
			"only root can share a directory with a group of the test\n");
		skip();
	}
	snprintf(path, sizeof path, "%s/" STATE_FILE_NAME, t->dir);
	assert_int_equal(chmod(t->base, 0711), 0);
	assert_member_can_use(t, false);
	close_place(t);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(chown(t->dir, 0, SHARED_GROUP), 0);
	assert_int_equal(chmod(t->dir, 0770), 0);
	/* A state made by a member would lock out everybody else. */
	assert_member_can_use(t, false);
	open_place(t);
	register_simulated(t, 1);
	assert_member_can_use(t, true);
	assert_int_equal(available(t, "0"), 95);
}

int main(void)
{
#define with_one(test) cmocka_unit_test_setup_teardown(test, one_partition, no_place)
	const struct CMUnitTest tests[] = {
		with_one(a_new_boot_begins_with_nothing),
		with_one(another_version_of_another_boot_is_replaced_too),
		with_one(an_open_handle_notices_that_the_state_was_replaced),
		with_one(an_open_handle_notices_that_the_state_was_removed),
		with_one(an_open_handle_notices_that_the_state_was_cut),
		with_one(a_file_of_another_size_is_refused),
		with_one(foreign_older_and_newer_files_are_refused),
		with_one(a_lock_that_nobody_holds_is_free_whatever_it_says),
		with_one(what_is_no_file_of_ours_is_refused),
		with_one(a_directory_that_others_may_change_is_refused),
		with_one(a_directory_without_parent_is_named),
		with_one(the_state_is_its_owners_alone_unless_the_directory_is_shared),
		with_one(an_unfinished_state_is_no_obstacle),
		with_one(impossible_records_are_refused),
		with_one(texts_without_an_end_are_refused),
		with_one(a_device_beyond_its_whole_is_refused),
		with_one(junk_in_the_records_neither_crashes_nor_hangs),
		with_one(a_lock_that_is_never_given_back_is_an_error_after_its_limit),
		with_one(a_child_that_lives_on_keeps_no_lock_of_its_killed_parent),
		with_one(what_a_program_prints_never_ends_in_the_state),
		with_one(what_a_dying_holder_damaged_is_refused_by_all),
		with_one(a_group_may_use_what_the_directorys_owner_made),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
