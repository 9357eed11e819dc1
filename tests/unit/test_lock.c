/* test_lock.c - a folder of wheels becomes one lock, whatever the order of its files. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buildfolder.h"
#include "cleanup.h"
#include "file.h"
#include "id.h"
#include "lock.h"
#include "str.h"

#define NOTHING "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

struct place {
	char path[64];
	int fd;
};

static int make_place(void **state)
{
	static struct place p;

	str_put(p.path, sizeof(p.path), "/tmp/cumulus-lock.XXXXXX");
	assert_non_null(mkdtemp(p.path));
	p.fd = open(p.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(p.fd >= 0);
	*state = &p;
	return 0;
}

static int remove_place(void **state)
{
	struct place *p = *state;
	struct err e;

	close_fd(&p->fd);
	return tree_remove(AT_FDCWD, p->path, &e);
}

static void put_file(const struct place *p, const char *name, const char *text)
{
	struct err e;

	assert_int_equal(file_write(p->fd, name, text, strlen(text), 0600, false, &e), 0);
}

static void a_wheels_name_becomes_a_line(void **state)
{
	static const struct {
		const char *name, *line;
	} cases[] = {
		{ "numpy-2.3.5-cp311-cp311-manylinux_2_27_x86_64.whl", "numpy==2.3.5" },
		{ "a_b.c-1.0-2build-py3-none-any.whl", "a_b.c==1.0" },
		{ "torch-2.1.0+cu118-cp311-cp311-linux_x86_64.whl",
			"torch==2.1.0+cu118" },
		{ "x-1!2.0.post1-py2.py3-none-any.whl", "x==1!2.0.post1" },
		{ "x-1.0_local-py3-none-any.whl", "x==1.0-local" },
	};
	const struct digest digest = digest_of("", 0);

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		CLEANUP(buf_fini) struct buf out = { 0 };
		CLEANUP(free_ptr)
		char *want = str_fmt("%s --hash=sha256:" NOTHING, cases[i].line);
		struct err e = { 0 };

		assert_int_equal(lock_line(&out, cases[i].name, &digest, &e), 0);
		CLEANUP(free_ptr) char *line = buf_take_str(&out);
		assert_string_equal(line, want);
	}
}

static void what_is_not_named_as_a_wheel_is_refused(void **state)
{
	static const char *const bad[] = { "", "x.whl", "x-1.whl", "x-1-py3-none.whl",
		"x-1.0.tar.gz", "-1-py3-none-any.whl", "x--py3-none-any.whl",
		"--index-url=y-1-py3-none-any.whl", "x y-1-py3-none-any.whl",
		"x-1 --no-1-py3-none-any.whl", "x-1\n-py3-none-any.whl",
		"x-1-a-b-c-d-e.whl", "\xc3\xa9-1-py3-none-any.whl",
		"x-1;2-py3-none-any.whl" };
	const struct digest digest = digest_of("", 0);

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		CLEANUP(buf_fini) struct buf out = { 0 };
		struct err e = { 0 };

		assert_int_equal(lock_line(&out, bad[i], &digest, &e), -1);
		assert_int_equal(e.code, ERR_INVALID);
		assert_int_equal(out.len, 0);
	}
}

static void a_folders_lock_is_sorted_and_names_the_python(void **state)
{
	struct place *p = *state;
	CLEANUP(buf_fini) struct buf out = { 0 };
	struct err e = { 0 };
	size_t count = 0;

	put_file(p, "zeta-1-py3-none-any.whl", "");
	put_file(p, "alpha-2-py3-none-any.whl", "");
	assert_int_equal(lock_of_folder(p->fd, "python3.11 x86_64", &out, &count, &e), 0);
	assert_int_equal(count, 2);
	CLEANUP(free_ptr) char *text = buf_take_str(&out);
	assert_string_equal(text, "# python3.11 x86_64\n"
				  "alpha==2 --hash=sha256:" NOTHING "\n"
				  "zeta==1 --hash=sha256:" NOTHING "\n");
}

static void a_folder_with_anything_else_has_no_lock(void **state)
{
	struct place *p = *state;
	CLEANUP(buf_fini) struct buf out = { 0 };
	struct err e = { 0 };
	size_t count = 7;

	put_file(p, "real", "");
	assert_int_equal(symlinkat("real", p->fd, "alpha-2-py3-none-any.whl"), 0);
	assert_int_equal(unlinkat(p->fd, "real", 0), 0);
	assert_int_equal(lock_of_folder(p->fd, "python", &out, &count, &e), -1);
	assert_int_equal(unlinkat(p->fd, "alpha-2-py3-none-any.whl", 0), 0);
	assert_int_equal(mkfifoat(p->fd, "alpha-2-py3-none-any.whl", 0600), 0);
	assert_int_equal(lock_of_folder(p->fd, "python", &out, &count, &e), -1);
	assert_int_equal(e.code, ERR_INVALID);
	assert_int_equal(count, 7);
}

static void a_build_is_removed_with_and_without_its_note(void **state)
{
	struct place *p = *state;
	char id[ID_SIZE];
	struct err e = { 0 };

	id_make(id, BUILD_ID_KIND);
	assert_int_equal(build_remove(p->fd, id, &e), 0);
	for (int noted = 0; noted < 2; noted++) {
		CLEANUP(close_fd) int fd = dir_open(p->fd, id, 0700, &e);

		assert_true(fd >= 0);
		assert_int_equal(
			file_write(fd, BUILD_OUTPUT, "x", 1, 0600, false, &e), 0);
		if (noted)
			assert_int_equal(
				file_write(fd, BUILD_CGROUP, "", 0, 0600, false, &e), 0);
		assert_int_equal(build_remove(p->fd, id, &e), 0);
		assert_int_equal(faccessat(p->fd, id, F_OK, 0), -1);
	}
}

static void a_build_with_a_strange_note_is_left_alone(void **state)
{
	static const char strange[] = "memory /sys/fs/cgroup/memory/somebody-elses\n";
	struct place *p = *state;
	char id[ID_SIZE];
	struct err e = { 0 };

	id_make(id, BUILD_ID_KIND);
	CLEANUP(close_fd) int fd = dir_open(p->fd, id, 0700, &e);
	assert_true(fd >= 0);
	assert_int_equal(file_write(fd, BUILD_CGROUP, strange, sizeof(strange) - 1, 0600,
				 false, &e),
		0);
	assert_int_equal(build_remove(p->fd, id, &e), -1);
	assert_int_equal(faccessat(p->fd, id, F_OK, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_wheels_name_becomes_a_line),
		cmocka_unit_test(what_is_not_named_as_a_wheel_is_refused),
		cmocka_unit_test_setup_teardown(
			a_folders_lock_is_sorted_and_names_the_python, make_place,
			remove_place),
		cmocka_unit_test_setup_teardown(a_folder_with_anything_else_has_no_lock,
			make_place, remove_place),
		cmocka_unit_test_setup_teardown(
			a_build_is_removed_with_and_without_its_note, make_place,
			remove_place),
		cmocka_unit_test_setup_teardown(a_build_with_a_strange_note_is_left_alone,
			make_place, remove_place),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
