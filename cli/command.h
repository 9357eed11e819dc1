/* command.h - the table of commands: names, flags, operands, exit codes, functions. */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdio.h>

#include "exit_code.h"
#include "options.h"
#include "terminal.h"

struct remote;

enum operand {
	OPERAND_NONE,
	OPERAND_PATH,
	OPERAND_JOB,
	OPERAND_LIVE_JOB, /* one that has not ended */
	OPERAND_WORKER,
	OPERAND_COMMAND,
	OPERAND_SHELL
};

/* What a command gets. */
struct cli {
	const struct options *options;
	const struct terminal *terminal;
	struct remote *remote; /* dials when it is first asked */
};

struct command {
	const char *name;
	const char *summary;  /* its line in `cumulus help` */
	const char *operands; /* "ID...", "" */
	size_t operands_min, operands_max;
	enum operand operand;     /* what its operands are, for completion */
	bool job_args;            /* words after "--" are the job's */
	bool local;               /* it asks no server */
	const struct flag *flags; /* beside the common ones; NULL: none */
	unsigned exits;           /* bits 1 << enum exit_code */
	const char *details;      /* more for --help; NULL: none */
	const char *not_yet;      /* it does nothing but say so; not listed */
	bool hidden;              /* not listed: programs use it */
	enum exit_code (*run)(struct cli *cli);
};

extern const struct command commands[]; /* ends with a NULL name */

/* NULL when there is none. */
const struct command *command_find(const char *name);
/* Say that there is no such command, and why or what to type instead; EXIT_USAGE. */
enum exit_code command_absent(const char *name);
void command_help(const struct command *command, FILE *to);
void commands_help(FILE *to);

/* Say "cumulus: <text>" on stderr. */
void complain(const struct err *e);
/* ... and return the exit code of this error on our side. */
enum exit_code fail(const struct err *e);

enum exit_code command_run(struct cli *cli);
enum exit_code command_submit(struct cli *cli);
enum exit_code command_ps(struct cli *cli);
enum exit_code command_status(struct cli *cli);
enum exit_code command_result(struct cli *cli);
enum exit_code command_logs(struct cli *cli);
enum exit_code command_why(struct cli *cli);
enum exit_code command_timing(struct cli *cli);
enum exit_code command_attach(struct cli *cli);
enum exit_code command_cancel(struct cli *cli);
enum exit_code command_workers(struct cli *cli);
enum exit_code command_top(struct cli *cli);
enum exit_code command_drain(struct cli *cli);
enum exit_code command_undrain(struct cli *cli);
enum exit_code command_health(struct cli *cli);
enum exit_code command_dev(struct cli *cli);
enum exit_code command_doctor(struct cli *cli);
enum exit_code command_completion(struct cli *cli);
enum exit_code command_complete(struct cli *cli);
enum exit_code command_version(struct cli *cli);
enum exit_code command_help_about(struct cli *cli);
