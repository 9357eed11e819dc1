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
	char *listen;
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
	assert_string_equal(e.text, "unknown flag --nope");
	setenv("CUMULUS_WAIT", "soon", 1);
	assert_int_equal(LOAD(), -1);
	assert_true(str_starts(e.text, "CUMULUS_WAIT: "));
	unsetenv("CUMULUS_WAIT");
	assert_int_equal(LOAD("--config", "/nonexistent.yaml"), -1);
	assert_int_equal(e.code, ERR_NOT_FOUND);
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
		cmocka_unit_test(help_and_version_need_no_valid_settings),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
