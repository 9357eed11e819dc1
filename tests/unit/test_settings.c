/* test_settings.c - settings come from flag, variable, file and default, in that order. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "file.h"
#include "settings.h"
#include "str.h"

struct sample {
	char *listen, *on_exit;
	int64_t size, wait, count;
	bool json;
};

static const struct setting table[] = {
	{ "listen", SETTING_TEXT, offsetof(struct sample, listen), "a:1", 0, 0,
		"HOST:PORT", "x" },
	{ "max-size", SETTING_BYTES, offsetof(struct sample, size), "1K", 0, 0, "SIZE",
		"x" },
	{ "wait", SETTING_DURATION, offsetof(struct sample, wait), NULL, 0, 0, "TIME",
		"x" },
	{ "count", SETTING_INT, offsetof(struct sample, count), "3", 1, 5, "N", "x" },
	{ "on-exit", SETTING_CHOICE, offsetof(struct sample, on_exit), "leave", 0, 0,
		"leave|stop", "x" },
	{ "json", SETTING_BOOL, offsetof(struct sample, json), NULL, 0, 0, NULL, "x" },
	{ 0 },
};

static int load(struct sample *out, enum settings_ask *ask, struct err *e, int argc,
	const char *const *argv)
{
	memset(out, 0, sizeof(*out));
	return settings_load(table, argc, (char **)(uintptr_t)argv, out, ask, e);
}

#define LOAD(...)                                                                        \
	load(&s, &ask, &e,                                                               \
		(int)(sizeof((const char *[]){ "p", ##__VA_ARGS__ }) / sizeof(char *)),  \
		(const char *[]){ "p", ##__VA_ARGS__ })

static void write_config(char path[32], const char *text)
{
	strcpy(path, "/tmp/cumulus-conf-XXXXXX");
	CLEANUP(close_fd) int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write_all(fd, text, strlen(text)), 0);
}

static void flags_win_over_variables_over_the_file_over_defaults(void **state)
{
	(void)state;
	struct sample s;
	enum settings_ask ask;
	struct err e = { 0 };
	char path[32];

	write_config(path, "listen: file:1\nmax-size: 2K\nwait: 2m\n");
	assert_int_equal(LOAD("--config", path), 0);
	assert_string_equal(s.listen, "file:1");
	assert_int_equal(s.size, 2048);
	assert_int_equal(s.wait, 120);
	assert_int_equal(s.count, 3);
	assert_false(s.json);
	settings_fini(table, &s);

	setenv("CUMULUS_MAX_SIZE", "3K", 1);
	setenv("CUMULUS_LISTEN", "var:1", 1);
	assert_int_equal(LOAD("--config", path, "--listen=flag:1", "--json"), 0);
	assert_string_equal(s.listen, "flag:1");
	assert_int_equal(s.size, 3072);
	assert_true(s.json);
	settings_fini(table, &s);
	unsetenv("CUMULUS_MAX_SIZE");
	unsetenv("CUMULUS_LISTEN");
	unlink(path);
}

static void an_error_names_its_source(void **state)
{
	(void)state;
	struct sample s;
	enum settings_ask ask;
	struct err e = { 0 };
	char path[32], expected[128];

	write_config(path, "listen: x\n\nspeed: 9\n");
	assert_int_equal(LOAD("--config", path), -1);
	str_put(expected, sizeof(expected), "%s:3: unknown setting \"speed\"", path);
	assert_string_equal(e.text, expected);
	unlink(path);
	write_config(path, "listen: [1\n");
	assert_int_equal(LOAD("--config", path), -1);
	assert_true(str_starts(e.text, path));
	unlink(path);
	assert_int_equal(LOAD("--count", "9"), -1);
	assert_string_equal(e.text, "--count: 9 is not in 1..5");
	assert_int_equal(LOAD("--count"), -1);
	assert_string_equal(e.text, "--count wants N");
	assert_int_equal(LOAD("stray"), -1);
	assert_int_equal(LOAD("--nope", "1"), -1);
	assert_string_equal(e.text, "unknown flag \"--nope\"");
	setenv("CUMULUS_WAIT", "soon", 1);
	assert_int_equal(LOAD(), -1);
	assert_true(str_starts(e.text, "CUMULUS_WAIT: "));
	unsetenv("CUMULUS_WAIT");
	assert_int_equal(LOAD("--config", "/nonexistent.yaml"), -1);
	assert_int_equal(e.code, ERR_NOT_FOUND);
}

/* What a file with this text is refused for; the file's name is cut off. */
static const char *refused(const char *text, struct err *e)
{
	struct sample s;
	enum settings_ask ask;
	char path[32];

	write_config(path, text);
	*e = (struct err){ 0 };
	assert_int_equal(
		load(&s, &ask, e, 3, (const char *[]){ "p", "--config", path }), -1);
	unlink(path);
	assert_true(str_starts(e->text, path));
	return e->text + strlen(path);
}

static void an_error_of_a_file_names_line_key_value_and_what_is_allowed(void **state)
{
	(void)state;
	struct err e;

	assert_string_equal(refused("lisen: x\n", &e),
		":1: unknown setting \"lisen\"; did you mean listen?");
	assert_string_equal(refused("\nwait: soon\n", &e),
		":2: wait: \"soon\" is not a duration such as 90s, 10m or 2h");
	assert_string_equal(refused("count: 9\n", &e), ":1: count: 9 is not in 1..5");
	assert_string_equal(refused("json: maybe\n", &e),
		":1: json: \"maybe\" is neither yes nor no");
	assert_string_equal(refused("on-exit: lave\n", &e),
		":1: on-exit: \"lave\" is not one of leave|stop");
	assert_string_equal(refused("on-exit: leav\n", &e),
		":1: on-exit: \"leav\" is not one of leave|stop");
	assert_string_equal(refused("count: 1\nwait: 1\ncount: 2\n", &e),
		":3: count: is set in line 1 already");
	assert_string_equal(refused("count:\n", &e), ":1: count: has no value");
	assert_string_equal(refused("count: [1]\n", &e), ":1: count: expected one value");
	assert_string_equal(
		refused("listen: \"a\\0b\"\n", &e), ":1: listen: has a NUL in its value");
	assert_string_equal(
		refused("- count\n", &e), ":1: expected lines of `name: value`");
	assert_string_equal(
		refused("count: 1\n---\ncount: 2\n", &e), ":2: a second document begins");
	assert_string_equal(refused("? [a]\n: b\n", &e), ":1: expected `name: value`");
}

static void only_live_settings_are_moved(void **state)
{
	(void)state;
	static const char *const live[] = { "wait", "on-exit", "json", NULL };
	struct sample s, later;
	enum settings_ask ask;
	struct err e = { 0 };

	assert_int_equal(LOAD("--listen", "a:1", "--wait", "1m"), 0);
	assert_int_equal(load(&later, &ask, &e, 6,
				 (const char *[]){ "p", "--listen=b:2", "--wait=2m",
					 "--on-exit=stop", "--json", "--count=3" }),
		0);
	assert_int_equal(settings_move(table, live, &s, &later), 3);
	assert_string_equal(s.listen, "a:1");
	assert_int_equal(s.wait, 120);
	assert_string_equal(s.on_exit, "stop");
	assert_true(s.json);
	assert_string_equal(later.on_exit, "leave");
	settings_fini(table, &s);
	settings_fini(table, &later);
}

/* What is printed as an example is a file that changes nothing. */
static void the_example_is_a_valid_file_with_every_setting(void **state)
{
	(void)state;
	static const char *const live[] = { "wait", NULL };
	CLEANUP(free_ptr) char *text = NULL;
	size_t size = 0;
	FILE *to = open_memstream(&text, &size);

	settings_example(table, live, to);
	fclose(to);
	for (const struct setting *s = table; s->name; s++) {
		const char *fallback = s->fallback               ? s->fallback
				       : s->type == SETTING_BOOL ? "no"
								 : "";
		CLEANUP(free_ptr)
		char *line =
			str_fmt("\n#%s:%s%s\n", s->name, *fallback ? " " : "", fallback);

		assert_non_null(strstr(text, line));
	}

	struct sample s;
	enum settings_ask ask;
	struct err e = { 0 };
	char path[32];
	write_config(path, text);
	assert_int_equal(LOAD("--config", path), 0);
	assert_int_equal(s.wait, 0);
	settings_fini(table, &s);
	unlink(path);
}

static void help_and_version_need_no_valid_settings(void **state)
{
	(void)state;
	struct sample s;
	enum settings_ask ask;
	struct err e = { 0 };

	assert_int_equal(LOAD("--count", "999", "--help"), 0);
	assert_int_equal(ask, SETTINGS_HELP);
	assert_int_equal(LOAD("--version"), 0);
	assert_int_equal(ask, SETTINGS_VERSION);
	assert_int_equal(LOAD("--check-config", "--listen", "z:1"), 0);
	assert_int_equal(ask, SETTINGS_CHECK);
	settings_fini(table, &s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(flags_win_over_variables_over_the_file_over_defaults),
		cmocka_unit_test(an_error_names_its_source),
		cmocka_unit_test(
			an_error_of_a_file_names_line_key_value_and_what_is_allowed),
		cmocka_unit_test(only_live_settings_are_moved),
		cmocka_unit_test(the_example_is_a_valid_file_with_every_setting),
		cmocka_unit_test(help_and_version_need_no_valid_settings),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
