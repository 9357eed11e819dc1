/* test_cli_bundle.c - packages are the same everywhere; what cannot travel is refused. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "bundle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <utime.h>
#include <zip.h>

#include "cleanup.h"
#include "file.h"
#include "requirements.h"
#include "str.h"
#include "xalloc.h"

struct folder {
	char path[64];
};

static int set_up(void **state)
{
	struct folder *f = calloc(1, sizeof(*f));

	strcpy(f->path, "/tmp/test_cli_bundle.XXXXXX");
	*state = f;
	return mkdtemp(f->path) ? 0 : -1;
}

static int tear_down(void **state)
{
	struct folder *f = *state;
	struct err e = { 0 };
	int rc = tree_remove(AT_FDCWD, f->path, &e);

	free(f);
	return rc;
}

static char *path_of(const struct folder *f, const char *name)
{
	return str_fmt("%s/%s", f->path, name);
}

static void put_bytes_at(const char *path, const void *bytes, size_t len)
{
	CLEANUP(close_file) FILE *to = fopen(path, "we");

	assert_non_null(to);
	assert_int_equal(fwrite(bytes, 1, len, to), len);
}

static void put(const struct folder *f, const char *name, const char *text, mode_t mode)
{
	CLEANUP(free_ptr) char *path = path_of(f, name);
	CLEANUP(free_ptr)
	char *parent = xstrndup(path, (size_t)(strrchr(path, '/') - path));
	struct err e = { 0 };

	assert_int_equal(dir_make_path(parent, 0755, &e), 0);
	put_bytes_at(path, text, strlen(text));
	assert_int_equal(chmod(path, mode), 0);
}

static void pack(const char *path, struct bundle *out)
{
	struct err e = { 0 };

	if (bundle_make(path, &bundle_defaults, out, &e) < 0)
		fail_msg("%s", e.text);
}

static void assert_refused(const char *path, const struct bundle_limits *limits,
	enum err_code code, const char *says)
{
	struct bundle b = { 0 };
	struct err e = { 0 };

	assert_int_equal(bundle_make(path, limits, &b, &e), -1);
	if (!strstr(e.text, says))
		fail_msg("\"%s\" does not say \"%s\"", e.text, says);
	assert_int_equal(e.code, code);
	assert_null(b.zip.data);
}

/* The names in a ZIP, joined by spaces. */
static char *names_in(const struct bundle *b)
{
	zip_error_t error;
	zip_source_t *source =
		zip_source_buffer_create(b->zip.data, b->zip.len, 0, &error);
	zip_t *zip = zip_open_from_source(source, ZIP_RDONLY | ZIP_CHECKCONS, &error);
	struct buf names = { 0 };

	assert_non_null(zip);
	for (zip_int64_t i = 0; i < zip_get_num_entries(zip, 0); i++)
		buf_addf(&names, "%s%s", i ? " " : "",
			zip_get_name(zip, (zip_uint64_t)i, 0));
	zip_discard(zip);
	return buf_take_str(&names);
}

static void names_are_sorted_and_what_is_not_code_stays_out(void **state)
{
	const struct folder *f = *state;
	CLEANUP(bundle_fini) struct bundle b = { 0 };

	put(f, "main.py", "def main(): pass\n", 0644);
	put(f, "z.txt", "z", 0644);
	put(f, "a/deep/er.py", "", 0644);
	put(f, ".hidden", "h", 0644);
	put(f, ".git/config", "x", 0644);
	put(f, "a/__pycache__/er.pyc", "x", 0644);
	put(f, ".venv/bin/python", "x", 0755);
	pack(f->path, &b);

	CLEANUP(free_ptr) char *names = names_in(&b);
	assert_string_equal(names, ".hidden a/deep/er.py main.py z.txt");
	assert_int_equal(b.files, 4);
	assert_int_equal(b.bytes, strlen("def main(): pass\n") + 2);
}

static void the_same_content_gives_the_same_bytes(void **state)
{
	const struct folder *f = *state;
	CLEANUP(bundle_fini) struct bundle one = { 0 };
	CLEANUP(bundle_fini) struct bundle two = { 0 };
	CLEANUP(free_ptr) char *main_py = path_of(f, "first/main.py");
	CLEANUP(free_ptr) char *first = path_of(f, "first");
	CLEANUP(free_ptr) char *second = path_of(f, "second");

	put(f, "first/main.py", "def main(): pass\n", 0600);
	put(f, "first/b.py", "b", 0600);
	put(f, "second/b.py", "b", 0664);
	put(f, "second/main.py", "def main(): pass\n", 0664);
	assert_int_equal(utime(main_py, &(struct utimbuf){ 86400, 86400 }), 0);
	setenv("TZ", "UTC+5", 1);
	tzset();
	pack(first, &one);
	setenv("TZ", "UTC-9", 1);
	tzset();
	pack(second, &two);
	unsetenv("TZ");
	tzset();
	assert_int_equal(one.zip.len, two.zip.len);
	assert_memory_equal(one.zip.data, two.zip.data, one.zip.len);
}

static void other_content_or_mode_gives_other_bytes(void **state)
{
	const struct folder *f = *state;
	CLEANUP(bundle_fini) struct bundle one = { 0 };
	CLEANUP(bundle_fini) struct bundle two = { 0 };

	put(f, "main.py", "1", 0644);
	pack(f->path, &one);
	put(f, "main.py", "1", 0755);
	pack(f->path, &two);
	assert_true(one.zip.len != two.zip.len ||
		    memcmp(one.zip.data, two.zip.data, one.zip.len) != 0);
}

static void a_script_becomes_main_py(void **state)
{
	const struct folder *f = *state;
	CLEANUP(bundle_fini) struct bundle b = { 0 };
	CLEANUP(free_ptr) char *path = path_of(f, "train.py");

	put(f, "train.py", "def main(): pass\n", 0644);
	pack(path, &b);

	CLEANUP(free_ptr) char *names = names_in(&b);
	assert_string_equal(names, "main.py");
}

static void a_zip_is_sent_as_it_is(void **state)
{
	const struct folder *f = *state;
	CLEANUP(bundle_fini) struct bundle made = { 0 };
	CLEANUP(bundle_fini) struct bundle taken = { 0 };
	CLEANUP(free_ptr) char *folder = path_of(f, "job");
	CLEANUP(free_ptr) char *path = path_of(f, "job.zip");

	put(f, "job/main.py", "x", 0644);
	pack(folder, &made);
	put_bytes_at(path, made.zip.data, made.zip.len);
	pack(path, &taken);
	assert_int_equal(taken.files, 0);
	assert_int_equal(taken.zip.len, made.zip.len);
	assert_memory_equal(taken.zip.data, made.zip.data, made.zip.len);
}

static void symbolic_links_are_refused_by_name(void **state)
{
	const struct folder *f = *state;
	CLEANUP(free_ptr) char *link = path_of(f, "lib/data");

	put(f, "main.py", "x", 0644);
	put(f, "lib/x.py", "x", 0644);
	assert_int_equal(symlink("/etc/passwd", link), 0);
	assert_refused(
		f->path, &bundle_defaults, ERR_INVALID, "lib/data is a symbolic link");
}

static void pipes_are_refused_and_not_waited_for(void **state)
{
	const struct folder *f = *state;
	CLEANUP(free_ptr) char *fifo = path_of(f, "queue");

	put(f, "main.py", "x", 0644);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_refused(f->path, &bundle_defaults, ERR_INVALID, "queue is neither");
}

static void a_folder_needs_main_py(void **state)
{
	const struct folder *f = *state;

	put(f, "src/main.py", "x", 0644);
	assert_refused(f->path, &bundle_defaults, ERR_INVALID, "no main.py at its top");
}

static void what_is_absent_or_no_zip_is_named(void **state)
{
	const struct folder *f = *state;
	CLEANUP(free_ptr) char *absent = path_of(f, "absent");
	CLEANUP(free_ptr) char *text = path_of(f, "notes.txt");

	put(f, "notes.txt", "hello", 0644);
	assert_refused(absent, &bundle_defaults, ERR_NOT_FOUND, absent);
	assert_refused(text, &bundle_defaults, ERR_INVALID, "neither a folder");
}

static void each_limit_says_what_is_too_much(void **state)
{
	const struct folder *f = *state;
	struct bundle_limits limits = bundle_defaults;

	put(f, "main.py", "0123456789", 0644);
	put(f, "a/b/c.py", "0123456789", 0644);
	limits.entries = 1;
	assert_refused(f->path, &limits, ERR_EXHAUSTED, "too many files");
	limits = bundle_defaults;
	limits.bytes = 19;
	assert_refused(f->path, &limits, ERR_EXHAUSTED, "too many bytes");
	limits.bytes = 20;
	limits.depth = 1;
	assert_refused(f->path, &limits, ERR_EXHAUSTED, "folders inside");
	limits.depth = 2;
	limits.packed = 20;
	assert_refused(f->path, &limits, ERR_EXHAUSTED, "20 are allowed");
	limits.packed = bundle_defaults.packed;

	CLEANUP(bundle_fini) struct bundle b = { 0 };
	struct err e = { 0 };
	assert_int_equal(bundle_make(f->path, &limits, &b, &e), 0);
}

/* ---- requirements.txt */

static void comments_and_blank_lines_go_and_backslashes_join(void **state)
{
	(void)state;
	CLEANUP(requirements_fini) struct requirements r = { 0 };
	struct err e = { 0 };

	assert_int_equal(requirements_parse("r.txt",
				 "# all\n\nnumpy==1.24 # why\r\n  requests[socks] >= 2 ; "
				 "python_version < '4'\ntorch \\\n  ==2.4\nname#1",
				 &r, &e),
		0);
	assert_int_equal(r.count, 4);
	assert_string_equal(r.lines[0], "numpy==1.24");
	assert_string_equal(r.lines[1], "requests[socks] >= 2 ; python_version < '4'");
	assert_string_equal(r.lines[2], "torch   ==2.4");
	assert_string_equal(r.lines[3], "name#1");
}

static void what_pip_would_fetch_elsewhere_is_refused_by_line(void **state)
{
	(void)state;
	static const struct {
		const char *text, *says;
	} cases[] = {
		{ "a\n-r other.txt\n", "r.txt:2: \"-r other.txt\": other files" },
		{ "a\\\nb\n\n-e .\n", "r.txt:4: \"-e .\": editable" },
		{ "-c x\n", "constraints" },
		{ "--index-url http://x\n", "options of pip" },
		{ "x @ https://example.org/x.whl\n", "addresses" },
		{ "git+https://example.org/x\n", "addresses" },
		{ "./wheels/x.whl\n", "paths" },
		{ "x --hash=sha256:00\n", "options of a requirement" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct requirements r = { 0 };
		struct err e = { 0 };

		assert_int_equal(requirements_parse("r.txt", cases[i].text, &r, &e), -1);
		if (!strstr(e.text, cases[i].says))
			fail_msg("\"%s\" does not say \"%s\"", e.text, cases[i].says);
		assert_int_equal(r.count, 0);
	}
}

#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_FOLDER(names_are_sorted_and_what_is_not_code_stays_out),
		WITH_FOLDER(the_same_content_gives_the_same_bytes),
		WITH_FOLDER(other_content_or_mode_gives_other_bytes),
		WITH_FOLDER(a_script_becomes_main_py),
		WITH_FOLDER(a_zip_is_sent_as_it_is),
		WITH_FOLDER(symbolic_links_are_refused_by_name),
		WITH_FOLDER(pipes_are_refused_and_not_waited_for),
		WITH_FOLDER(a_folder_needs_main_py),
		WITH_FOLDER(what_is_absent_or_no_zip_is_named),
		WITH_FOLDER(each_limit_says_what_is_too_much),
		cmocka_unit_test(comments_and_blank_lines_go_and_backslashes_join),
		cmocka_unit_test(what_pip_would_fetch_elsewhere_is_refused_by_line),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
