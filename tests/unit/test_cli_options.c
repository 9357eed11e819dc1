/* test_cli_options.c - command lines are read as people write them, and refused by name. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "command.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "cleanup.h"
#include "config.h"
#include "file.h"

#include <fcntl.h>
#include <stdlib.h>

#define PARSE(o, e, name, ...)                                                           \
	parse((o), (e), (name), (char **)(const char *[]){ __VA_ARGS__, NULL })

static int parse(struct options *o, struct err *e, const char *name, char **words)
{
	int count = 0;

	while (words[count])
		count++;
	options_init(o);
	return options_parse(command_find(name), count, words, o, e);
}

static void flags_stand_before_between_and_behind_operands(void **state)
{
	(void)state;
	CLEANUP(options_fini) struct options o;
	struct err e = { 0 };

	assert_int_equal(PARSE(&o, &e, "run", "-g", "0.25", "folder", "-t10m",
				 "--name=x y", "--no-wait", "-e", "A=1", "--env", "B=2"),
		0);
	assert_int_equal(o.gpu_hundredths, 25);
	assert_int_equal(o.duration_s, 600);
	assert_string_equal(o.name, "x y");
	assert_true(o.no_wait);
	assert_int_equal(o.env.count, 2);
	assert_string_equal(o.env.at[1], "B=2");
	assert_int_equal(o.operands.count, 1);
	assert_string_equal(o.operands.at[0], "folder");
}

static void words_after_two_dashes_are_the_jobs(void **state)
{
	(void)state;
	CLEANUP(options_fini) struct options o;
	struct err e = { 0 };

	assert_int_equal(PARSE(&o, &e, "run", "x.py", "--", "-g", "--json", "--"), 0);
	assert_int_equal(o.gpu_hundredths, 50);
	assert_false(o.json);
	assert_int_equal(o.job_args.count, 3);
	assert_string_equal(o.job_args.at[2], "--");
}

static void words_after_two_dashes_are_operands_elsewhere(void **state)
{
	(void)state;
	CLEANUP(options_fini) struct options o;
	struct err e = { 0 };

	assert_int_equal(PARSE(&o, &e, "cancel", "j-a", "--", "-x"), 0);
	assert_int_equal(o.operands.count, 2);
	assert_string_equal(o.operands.at[1], "-x");
}

static void switches_may_stand_together(void **state)
{
	(void)state;
	CLEANUP(options_fini) struct options o;
	struct err e = { 0 };

	assert_int_equal(PARSE(&o, &e, "ps", "-aqfrunning"), 0);
	assert_true(o.all);
	assert_true(o.quiet);
	assert_string_equal(o.states, "running");
}

static void letters_mean_what_their_command_says(void **state)
{
	(void)state;
	CLEANUP(options_fini) struct options ps, run;
	struct err e = { 0 };

	assert_int_equal(PARSE(&ps, &e, "ps", "-w"), 0);
	assert_true(ps.watch);
	assert_int_equal(PARSE(&run, &e, "run", "-w", "out.json", "x"), 0);
	assert_string_equal(run.result_file, "out.json");
	assert_false(run.watch);
}

static void what_is_wrong_is_named(void **state)
{
	(void)state;
	static const struct {
		const char *command;
		const char *words[4];
		const char *says;
	} cases[] = {
		{ "run", { "x", "--epochs", "3" },
			"unknown option --epochs; arguments of the job stand after --" },
		{ "run", { "x", "-Z" },
			"unknown option -Z in -Z; arguments of the job stand after --" },
		{ "run", { "x", "--gpus=1" }, "did you mean --gpu?" },
		{ "run", { "x", "--mem", "4G" }, "did you mean --memory?" },
		{ "run", { "x", "--durration", "4s" }, "did you mean --duration?" },
		{ "ps", { "--jsn" }, "did you mean --json?" },
		{ "ps", { "--nothing-like-it" }, "see its --help" },
		{ "run", { "x", "-g" }, "--gpu wants AMOUNT" },
		{ "run", { "x", "-g", "half" }, "--gpu" },
		{ "run", { "x", "-g", "0.333" }, "--gpu" },
		{ "run", { "x", "-t", "soon" }, "--duration" },
		{ "run", { "x", "--cpus", "nan" }, "--cpus" },
		{ "run", { "x", "--cpus", "-1" }, "--cpus" },
		{ "run", { "x", "--no-wait=1" }, "--no-wait takes no value" },
		{ "run", { "x", "y" }, "arguments of the job stand after --" },
		{ "run", { NULL }, "run wants PATH" },
		{ "status", { "a", "b" }, "unexpected \"b\"" },
		{ "completion", { NULL }, "completion wants SHELL" },
		{ "run", { "x", "--retries", "-1" }, "--retries" },
		{ "ps", { "x" }, "unexpected \"x\"" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		CLEANUP(options_fini) struct options o;
		struct err e = { 0 };

		assert_int_equal(
			parse(&o, &e, cases[i].command, (char **)cases[i].words), -1);
		if (!strstr(e.text, cases[i].says))
			fail_msg("\"%s\" does not say \"%s\"", e.text, cases[i].says);
	}
}

static void help_needs_no_operands(void **state)
{
	(void)state;
	CLEANUP(options_fini) struct options o;
	struct err e = { 0 };

	assert_int_equal(PARSE(&o, &e, "run", "--help"), 0);
	assert_true(o.help);
}

/* No letter twice, every command runs or says why not, all options are described. */
static void the_table_is_consistent(void **state)
{
	(void)state;
	for (const struct command *c = commands; c->name; c++) {
		bool seen[256] = { false };

		assert_true((c->run != NULL) != (c->not_yet != NULL));
		assert_ptr_equal(command_find(c->name), c);
		assert_true(c->not_yet || (c->exits & 1u << EXIT_DONE));
		assert_true(c->not_yet || c->operand == OPERAND_NONE || c->operands_max);
		for (const struct flag *f = c->flags; f && f->name; f++) {
			assert_non_null(f->help);
			assert_true((f->argument == NULL) == (f->type == FLAG_SWITCH));
			for (const struct flag *g = common_flags; g->name; g++) {
				assert_string_not_equal(f->name, g->name);
				assert_true(!f->letter || f->letter != g->letter);
			}
			assert_false(f->letter && seen[(unsigned char)f->letter]);
			seen[(unsigned char)f->letter] = true;
		}
	}
}

static void every_status_has_an_exit_code(void **state)
{
	(void)state;
	for (enum wire_status s = WIRE_CANCELLED; s < WIRE_STATUS_COUNT; s++)
		assert_int_not_equal(exit_code_of_status(s, NULL), EXIT_DONE);
	assert_int_equal(exit_code_of_status(WIRE_OK, NULL), EXIT_DONE);
	assert_int_equal(exit_code_of_status(WIRE_NOT_FOUND, NULL), EXIT_NOT_FOUND);
	assert_int_equal(
		exit_code_of_status(WIRE_UNAUTHENTICATED, NULL), EXIT_NOT_ALLOWED);
	assert_int_equal(exit_code_of_status(WIRE_UNAVAILABLE, NULL), EXIT_NO_ANSWER);
	assert_int_equal(
		exit_code_of_status(WIRE_UNAVAILABLE, "never_fits"), EXIT_NO_PLACE);
}

static void a_job_ends_in_its_exit_code(void **state)
{
	(void)state;
	assert_int_equal(exit_code_of_end(CUMULUS__ORCHESTRATOR__JOB_STATE__COMPLETED, 0),
		EXIT_DONE);
	assert_int_equal(exit_code_of_end(CUMULUS__ORCHESTRATOR__JOB_STATE__FAILED,
				 CUMULUS__ORCHESTRATOR__REASON__CODE_FAILED),
		EXIT_JOB_FAILED);
	assert_int_equal(exit_code_of_end(CUMULUS__ORCHESTRATOR__JOB_STATE__FAILED,
				 CUMULUS__ORCHESTRATOR__REASON__DURATION_EXCEEDED),
		EXIT_DURATION_EXCEEDED);
	assert_int_equal(exit_code_of_end(CUMULUS__ORCHESTRATOR__JOB_STATE__CANCELLED, 0),
		EXIT_JOB_CANCELLED);
}

/* ---- where the server is */

struct home {
	char path[64];
};

static int set_up_home(void **state)
{
	struct home *h = calloc(1, sizeof(*h));
	struct err e = { 0 };
	char folder[96];

	strcpy(h->path, "/tmp/test_cli_options.XXXXXX");
	if (!mkdtemp(h->path))
		return -1;
	snprintf(folder, sizeof(folder), "%s/cumulus", h->path);
	setenv("XDG_CONFIG_HOME", h->path, 1);
	unsetenv("CUMULUS_ADDRESS");
	unsetenv("CUMULUS_TOKEN");
	unsetenv("CUMULUS_CONFIG");
	*state = h;
	return dir_make_path(folder, 0700, &e);
}

static int tear_down_home(void **state)
{
	struct home *h = *state;
	struct err e = { 0 };
	int rc = tree_remove(AT_FDCWD, h->path, &e);

	unsetenv("CUMULUS_ADDRESS");
	unsetenv("CUMULUS_TOKEN");
	free(h);
	return rc;
}

static void write_config(const struct home *h, const char *text)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/cumulus/config.yaml", h->path);

	CLEANUP(close_file) FILE *to = fopen(path, "we");
	assert_non_null(to);
	assert_true(fputs(text, to) >= 0);
}

static void assert_address(const struct options *o, const char *expected)
{
	CLEANUP(config_fini) struct config c = { 0 };
	struct err e = { 0 };

	assert_int_equal(config_load(o, &c, &e), 0);
	assert_string_equal(c.address, expected);
}

static void flags_win_over_variables_and_those_over_the_file(void **state)
{
	const struct home *h = *state;
	struct options o = { 0 };

	assert_address(&o, "127.0.0.1:50051");
	write_config(h, "address: file:1\n");
	assert_address(&o, "file:1");
	setenv("CUMULUS_ADDRESS", "variable:2", 1);
	assert_address(&o, "variable:2");
	o.address = "flag:3";
	assert_address(&o, "flag:3");
	o.address = "--help";
	assert_address(&o, "--help");
}

static void unknown_keys_are_named_with_file_and_line(void **state)
{
	const struct home *h = *state;
	struct options o = { 0 };
	struct config c = { 0 };
	struct err e = { 0 };

	write_config(h, "address: a:1\nadress: b:2\n");
	assert_int_equal(config_load(&o, &c, &e), -1);
	assert_non_null(strstr(e.text, "config.yaml:2"));
	assert_non_null(strstr(e.text, "adress"));
}

static void a_token_is_refused_wherever_it_comes_from(void **state)
{
	const struct home *h = *state;
	struct options o = { .token = "secret" };
	struct config c = { 0 };
	struct err e = { 0 };

	assert_int_equal(config_load(&o, &c, &e), -1);
	assert_int_equal(e.code, ERR_UNSUPPORTED);
	assert_null(strstr(e.text, "secret"));
	o.token = NULL;
	setenv("CUMULUS_TOKEN", "secret", 1);
	assert_int_equal(config_load(&o, &c, &e), -1);
	unsetenv("CUMULUS_TOKEN");
	write_config(h, "token: secret\n");
	assert_int_equal(config_load(&o, &c, &e), -1);
}

#define WITH_HOME(test) cmocka_unit_test_setup_teardown(test, set_up_home, tear_down_home)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(flags_stand_before_between_and_behind_operands),
		cmocka_unit_test(words_after_two_dashes_are_the_jobs),
		cmocka_unit_test(words_after_two_dashes_are_operands_elsewhere),
		cmocka_unit_test(switches_may_stand_together),
		cmocka_unit_test(letters_mean_what_their_command_says),
		cmocka_unit_test(what_is_wrong_is_named),
		cmocka_unit_test(help_needs_no_operands),
		cmocka_unit_test(the_table_is_consistent),
		cmocka_unit_test(every_status_has_an_exit_code),
		cmocka_unit_test(a_job_ends_in_its_exit_code),
		WITH_HOME(flags_win_over_variables_and_those_over_the_file),
		WITH_HOME(unknown_keys_are_named_with_file_and_line),
		WITH_HOME(a_token_is_refused_wherever_it_comes_from),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
