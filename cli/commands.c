/* commands.c - the one table of commands, and the help that is generated from it. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "command.h"

#include <stdint.h>
#include <string.h>

#include "cleanup.h"
#include "job_filter.h"
#include "job_table.h"
#include "json.h"
#include "str.h"
#include "text.h"

#define AT(field) offsetof(struct options, field)

/* What can be cancelled. */
#define LIVE_CHOICES "waiting,starting,running"

#define WATCH_FLAG                                                                       \
	{                                                                                \
		'w', "watch", FLAG_SWITCH, AT(watch), NULL, "again every two seconds"    \
	}

/* What ps and cancel share. */
#define FILTER_FLAGS                                                                     \
	{ 'n', "name", FLAG_TEXT, AT(name), "PREFIX", "whose names begin so" },          \
		{ 0, "label", FLAG_WORDS, AT(labels), "K=V",                             \
			"with this label; may be repeated" },                            \
	{                                                                                \
		0, "since", FLAG_SECONDS, AT(since_s), "TIME",                           \
			"submitted at most so long ago"                                  \
	}

/* What run and submit share. */
#define SUBMISSION_FLAGS                                                                 \
	{ 'g', "gpu", FLAG_HUNDREDTHS, AT(gpu_hundredths), "AMOUNT",                     \
		"0.1 to 0.9 of one GPU, or 1 to 8 whole ones (default 0.5)" },           \
		{ 't', "duration", FLAG_SECONDS, AT(duration_s), "TIME",                 \
			"how long it may run: 90s, 10m, 2h (default 10m)" },             \
		{ 'r', "requirements", FLAG_TEXT, AT(requirements), "FILE",              \
			"pip requirements, a name a line" },                             \
		{ 'n', "name", FLAG_TEXT, AT(name), "NAME", "a name to find it by" },    \
		{ 'e', "env", FLAG_WORDS, AT(env), "K=V",                                \
			"a variable of the job; may be repeated" },                      \
		{ 0, "label", FLAG_WORDS, AT(labels), "K=V",                             \
			"a label to find it by; may be repeated" },                      \
		{ 0, "key", FLAG_TEXT, AT(key), "KEY",                                   \
			"submitting again with this key finds the same job" },           \
		{ 0, "no-wait", FLAG_SWITCH, AT(no_wait), NULL,                          \
			"refuse it rather than wait for a GPU" },                        \
		{ 0, "retries", FLAG_COUNT, AT(retries), "N",                            \
			"start it again after a failure, at most so often" },            \
		{ 0, "priority", FLAG_INTEGER, AT(priority), "N",                        \
			"-100 to 100, higher first" },                                   \
		{ 0, "cpus", FLAG_NUMBER, AT(cpus), "N", "limit of processors" },        \
		{ 0, "memory", FLAG_BYTES, AT(memory_bytes), "SIZE",                     \
			"limit of memory: 512M, 4G" },                                   \
		{ 0, "disk", FLAG_BYTES, AT(disk_bytes), "SIZE", "limit of disk" },      \
	{                                                                                \
		0, "pids", FLAG_COUNT, AT(pids), "N", "limit of processes"               \
	}

static const struct flag run_flags[] = {
	SUBMISSION_FLAGS,
	{ 'w', "write-result", FLAG_TEXT, AT(result_file), "FILE",
		"write the result as JSON to FILE instead of printing it" },
	{ 0 },
};

static const struct flag submit_flags[] = {
	SUBMISSION_FLAGS,
	{ 0, "parsable", FLAG_SWITCH, AT(parsable), NULL, "print only the id" },
	{ 0 },
};

static const struct flag ps_flags[] = {
	{ 'a', "all", FLAG_SWITCH, AT(all), NULL, "finished jobs too" },
	{ 'f', "filter", FLAG_LIST, AT(states), "STATES", JOB_STATE_CHOICES },
	FILTER_FLAGS,
	{ 'o', "columns", FLAG_LIST, AT(columns), "COLUMNS", JOB_COLUMN_CHOICES },
	WATCH_FLAG,
	{ 0 },
};

static const struct flag cancel_flags[] = {
	{ 'a', "all", FLAG_SWITCH, AT(all), NULL, "all that have not ended" },
	{ 'f', "filter", FLAG_LIST, AT(states), "STATES", LIVE_CHOICES },
	FILTER_FLAGS,
	{ 0 },
};

static const struct flag top_flags[] = {
	{ 'o', "columns", FLAG_LIST, AT(columns), "COLUMNS", JOB_COLUMN_CHOICES },
	{ 0 },
};

static const struct flag result_flags[] = {
	{ 'w', "write-result", FLAG_TEXT, AT(result_file), "FILE",
		"write it as JSON to FILE" },
	{ 0 },
};

static const struct flag attach_flags[] = {
	{ 'w', "write-result", FLAG_TEXT, AT(result_file), "FILE",
		"write the result as JSON to FILE instead of printing it" },
	{ 0 },
};

static const struct flag logs_flags[] = {
	{ 'f', "follow", FLAG_SWITCH, AT(follow), NULL, "go on until the job ends" },
	{ 'n', "lines", FLAG_COUNT, AT(tail_lines), "N", "only the last N lines" },
	{ 0, "stream", FLAG_TEXT, AT(stream), "stdout|stderr|system",
		"only what went there" },
	{ 0, "timestamps", FLAG_SWITCH, AT(timestamps), NULL,
		"each line behind its time, in UTC" },
	{ 0 },
};

static const struct flag workers_flags[] = {
	WATCH_FLAG,
	{ 0 },
};

static const struct flag drain_flags[] = {
	{ 0, "forget", FLAG_SWITCH, AT(forget), NULL,
		"it is down and never comes back: give up its jobs" },
	{ 0 },
};

static const struct flag dev_flags[] = {
	{ 0, "devices", FLAG_TEXT, AT(devices), "LIST",
		"auto, simulated:N, opencl-cpu or none (default auto)" },
	{ 0, "listen", FLAG_TEXT, AT(listen), "HOST:PORT",
		"where to serve; port 0 picks one (default 127.0.0.1:50051)" },
	{ 0, "http", FLAG_TEXT, AT(http), "HOST:PORT",
		"health and metrics, or off (default 127.0.0.1:8080)" },
	{ 0, "data", FLAG_TEXT, AT(data), "DIR",
		"where everything is kept (default /var/lib/cumulus/dev for root)" },
	{ 0 },
};

#define BIT(code) (1u << (code))
#define ASKS                                                                             \
	(BIT(EXIT_DONE) | BIT(EXIT_USAGE) | BIT(EXIT_NO_ANSWER) | BIT(EXIT_NOT_ALLOWED))
#define FOLLOWS                                                                          \
	(ASKS | BIT(EXIT_JOB_FAILED) | BIT(EXIT_JOB_CANCELLED) |                         \
		BIT(EXIT_DURATION_EXCEEDED))

static const char path_details[] =
	"PATH is a folder with main.py at its top, a ZIP of one, or a single .py file.\n"
	"main.py defines main(); what it returns is the result.  A folder is packed\n"
	"without .git, __pycache__ and .venv; symbolic links are refused.\n";

static const char run_details[] =
	"PATH is a folder with main.py at its top, a ZIP of one, or a single .py file.\n"
	"main.py defines main(); what it returns is the result.  A folder is packed\n"
	"without .git, __pycache__ and .venv; symbolic links are refused.\n"
	"Ctrl-C once leaves the job running; twice within 2 s cancels it.\n";

static const char follow_details[] =
	"Ctrl-C once leaves the job running; twice within 2 s cancels it.\n";

static const char cancel_details[] =
	"Named by ids, or all that have not ended and that every given filter means.  A job\n"
	"that has ended already is no failure.\n";

static const char top_details[] =
	"Again every two seconds, until q or Ctrl-C; on a pipe and with --json, once.\n";

static const char drain_details[] =
	"WORKER is its id or its hostname.  With --forget, which only a worker that is down\n"
	"can be, its jobs become FAILED with OUTCOME_UNKNOWN and their shares are free.\n";

static const char worker_details[] = "WORKER is its id or its hostname.\n";

static const char doctor_details[] =
	"Each finding is ok, a warning or a problem, with what mends it.  This machine is\n"
	"looked at when the server is on it.  Exits with 1 when there is a problem.\n";

static const char completion_details[] =
	"SHELL is bash, zsh or fish:\n"
	"  bash  source <(cumulus completion bash)         in ~/.bashrc\n"
	"  zsh   source <(cumulus completion zsh)          in ~/.zshrc, after compinit\n"
	"  fish  cumulus completion fish | source          in ~/.config/fish/config.fish\n";

static const char health_details[] =
	"A degraded system exits with 0 and a warning, an unhealthy one with 1.\n";

const struct command commands[] = {
	{ .name = "run",
		.summary = "run a job and follow it to its result",
		.operands = "PATH [-- ARGS...]",
		.operands_min = 1,
		.operands_max = 1,
		.operand = OPERAND_PATH,
		.job_args = true,
		.flags = run_flags,
		.exits = FOLLOWS | BIT(EXIT_NO_PLACE),
		.details = run_details,
		.run = command_run },
	{ .name = "submit",
		.summary = "submit a job and print its id",
		.operands = "PATH [-- ARGS...]",
		.operands_min = 1,
		.operands_max = 1,
		.operand = OPERAND_PATH,
		.job_args = true,
		.flags = submit_flags,
		.exits = ASKS | BIT(EXIT_NO_PLACE),
		.details = path_details,
		.run = command_submit },
	{ .name = "ps",
		.summary = "list jobs",
		.operands = "",
		.flags = ps_flags,
		.exits = ASKS,
		.run = command_ps },
	{ .name = "status",
		.summary = "everything about one job",
		.operands = "ID",
		.operands_min = 1,
		.operands_max = 1,
		.operand = OPERAND_JOB,
		.exits = ASKS | BIT(EXIT_NOT_FOUND),
		.run = command_status },
	{ .name = "why",
		.summary = "what a job waits for, or why it ended as it did",
		.operands = "ID",
		.operands_min = 1,
		.operands_max = 1,
		.operand = OPERAND_JOB,
		.exits = ASKS | BIT(EXIT_NOT_FOUND),
		.run = command_why },
	{ .name = "timing",
		.summary = "where a job's time went",
		.operands = "ID",
		.operands_min = 1,
		.operands_max = 1,
		.operand = OPERAND_JOB,
		.exits = ASKS | BIT(EXIT_NOT_FOUND),
		.run = command_timing },
	{ .name = "result",
		.summary = "print what a job returned",
		.operands = "ID",
		.operands_min = 1,
		.operands_max = 1,
		.operand = OPERAND_JOB,
		.flags = result_flags,
		.exits = FOLLOWS | BIT(EXIT_NOT_FOUND),
		.run = command_result },
	{ .name = "logs",
		.summary = "print what a job wrote",
		.operands = "ID",
		.operands_min = 1,
		.operands_max = 1,
		.operand = OPERAND_JOB,
		.flags = logs_flags,
		.exits = ASKS | BIT(EXIT_NOT_FOUND),
		.run = command_logs },
	{ .name = "attach",
		.summary = "follow a job, from its beginning",
		.operands = "ID",
		.operands_min = 1,
		.operands_max = 1,
		.operand = OPERAND_JOB,
		.flags = attach_flags,
		.exits = FOLLOWS | BIT(EXIT_NOT_FOUND),
		.details = follow_details,
		.run = command_attach },
	{ .name = "cancel",
		.summary = "cancel jobs",
		.operands = "[ID...]",
		.operands_max = SIZE_MAX,
		.operand = OPERAND_LIVE_JOB,
		.flags = cancel_flags,
		.details = cancel_details,
		.exits = ASKS | BIT(EXIT_NOT_FOUND),
		.run = command_cancel },
	{ .name = "workers",
		.summary = "the machines, with a bar for each GPU",
		.operands = "[ID]",
		.operands_max = 1,
		.operand = OPERAND_WORKER,
		.flags = workers_flags,
		.exits = ASKS | BIT(EXIT_NOT_FOUND),
		.run = command_workers },
	{ .name = "top",
		.summary = "the system, its GPUs and its jobs on one screen",
		.operands = "",
		.flags = top_flags,
		.exits = ASKS,
		.details = top_details,
		.run = command_top },
	{ .name = "drain",
		.summary = "let a worker finish its jobs and take no new ones",
		.operands = "WORKER",
		.operands_min = 1,
		.operands_max = 1,
		.operand = OPERAND_WORKER,
		.exits = ASKS | BIT(EXIT_NOT_FOUND),
		.flags = drain_flags,
		.details = drain_details,
		.run = command_drain },
	{ .name = "undrain",
		.summary = "let a worker take jobs again",
		.operands = "WORKER",
		.operands_min = 1,
		.operands_max = 1,
		.operand = OPERAND_WORKER,
		.exits = ASKS | BIT(EXIT_NOT_FOUND),
		.details = worker_details,
		.run = command_undrain },
	{ .name = "health",
		.summary = "is the system well?",
		.operands = "",
		.exits = ASKS | BIT(EXIT_JOB_FAILED),
		.details = health_details,
		.run = command_health },
	{ .name = "doctor",
		.summary = "is this server, and this machine, fit to run jobs?",
		.operands = "",
		.exits = BIT(EXIT_DONE) | BIT(EXIT_JOB_FAILED) | BIT(EXIT_USAGE),
		.details = doctor_details,
		.run = command_doctor },
	{ .name = "dev",
		.summary = "a whole system for this machine, in the foreground",
		.operands = "",
		.flags = dev_flags,
		.exits = BIT(EXIT_DONE) | BIT(EXIT_JOB_FAILED) | BIT(EXIT_USAGE),
		.local = true,
		.run = command_dev },
	{ .name = "completion",
		.summary = "a script by which a shell completes commands",
		.operands = "SHELL",
		.operands_min = 1,
		.operands_max = 1,
		.operand = OPERAND_SHELL,
		.exits = BIT(EXIT_DONE) | BIT(EXIT_USAGE),
		.details = completion_details,
		.local = true,
		.run = command_completion },
	{ .name = "version",
		.summary = "which version this is",
		.operands = "",
		.exits = BIT(EXIT_DONE) | BIT(EXIT_USAGE),
		.local = true,
		.run = command_version },
	{ .name = "help",
		.summary = "this list, or more about one command",
		.operands = "[COMMAND]",
		.operands_max = 1,
		.operand = OPERAND_COMMAND,
		.exits = BIT(EXIT_DONE) | BIT(EXIT_USAGE),
		.local = true,
		.run = command_help_about },

	{ .name = "__complete",
		.summary = "what a shell may offer next",
		.operands = "WORD...",
		.operands_max = SIZE_MAX,
		.exits = BIT(EXIT_DONE),
		.local = true,
		.hidden = true,
		.run = command_complete },
	{ .name = "pause", .not_yet = "jobs cannot be paused yet" },
	{ .name = "resume", .not_yet = "jobs cannot be paused yet" },
	{ .name = "token", .not_yet = "there is no authentication yet" },
	{ .name = "env",
		.not_yet = "workers keep and remove environments by themselves" },
	{ .name = "admin", .not_yet = "cumulusd --backup DIR makes copies of its store" },
	{ 0 },
};

const struct command *command_find(const char *name)
{
	for (const struct command *c = commands; c->name; c++)
		if (strcmp(c->name, name) == 0)
			return c;
	return NULL;
}

/* How other systems call it. */
static const struct {
	const char *word, *here;
} other_words[] = {
	{ "sbatch", "submit" },
	{ "srun", "run" },
	{ "squeue", "ps" },
	{ "sacct", "ps -a" },
	{ "scancel", "cancel" },
	{ "sinfo", "workers" },
	{ "list", "ps" },
	{ "ls", "ps" },
	{ "jobs", "ps" },
	{ "job", "ps" },
	{ "queue", "ps" },
	{ "nodes", "workers" },
	{ "gpus", "workers" },
	{ "node", "workers" },
	{ "kill", "cancel" },
	{ "stop", "cancel" },
	{ "rm", "cancel" },
	{ "show", "status" },
	{ "describe", "status" },
	{ "inspect", "status" },
	{ "follow", "attach" },
	{ "tail", "logs -f" },
	{ "server", "dev" },
	{ "serve", "dev" },
};

/* What to type instead of a word that is no command; NULL: that cannot be told. */
static const char *command_meant(const char *word)
{
	const char *best = NULL;
	size_t least = SIZE_MAX;

	for (size_t i = 0; i < sizeof(other_words) / sizeof(*other_words); i++)
		if (strcmp(other_words[i].word, word) == 0)
			return other_words[i].here;
	for (const struct command *c = commands; c->name; c++) {
		size_t distance = typing_distance(word, c->name);

		if (!c->not_yet && !c->hidden && distance < least) {
			least = distance;
			best = c->name;
		}
	}
	return best;
}

enum exit_code command_absent(const char *name)
{
	const struct command *known = command_find(name);
	const char *meant = command_meant(name);
	char quoted[STR_QUOTE_SIZE];

	str_quote(quoted, name, strlen(name));
	if (known && known->not_yet)
		fprintf(stderr, "cumulus: %s: not in this version: %s\n", known->name,
			known->not_yet);
	else if (meant)
		fprintf(stderr, "cumulus: there is no command \"%s\"; did you mean %s?\n",
			quoted, meant);
	else
		fprintf(stderr, "cumulus: there is no command \"%s\"; see cumulus help\n",
			quoted);
	return EXIT_USAGE;
}

void command_help(const struct command *command, FILE *to)
{
	fprintf(to, "usage: cumulus %s [options]%s%s\n\n%s\n\n", command->name,
		*command->operands ? " " : "", command->operands, command->summary);
	if (command->details)
		fprintf(to, "%s\n", command->details);
	fputs("options:\n", to);
	flags_print(command->flags, to);
	flags_print(common_flags, to);
	fputs("\nexit codes:\n", to);
	for (unsigned code = 0; code < EXIT_CODE_COUNT; code++)
		if (command->exits & BIT(code))
			fprintf(to, "  %u  %s\n", code, exit_code_meaning(code));
}

void commands_help(FILE *to)
{
	fputs("usage: cumulus COMMAND [options]\n\n", to);
	for (const struct command *c = commands; c->name; c++)
		if (!c->not_yet && !c->hidden)
			fprintf(to, "  %-10s %s\n", c->name, c->summary);
	fputs("\nEvery command has --help.  Ids may be shortened while they are unique.\n"
	      "Settings: ~/.config/cumulus/config.yaml (address: HOST:PORT), then\n"
	      "CUMULUS_ADDRESS, then --address; the last one wins.\n",
		to);
}

/* ---- the table as JSON: what man pages and documents are made of */

static json_t *json_of_flags(const struct flag *flags)
{
	json_t *all = json_array();

	for (const struct flag *f = flags; f && f->name; f++) {
		const char letter[2] = { f->letter, '\0' };

		json_array_append_new(
			all, json_pack("{s:s, s:s, s:s?, s:s}", "name", f->name, "letter",
				     letter, "argument", f->argument, "help", f->help));
	}
	return all;
}

static json_t *json_of_exits(unsigned exits)
{
	json_t *all = json_array();

	for (unsigned code = 0; code < EXIT_CODE_COUNT; code++)
		if (exits & BIT(code))
			json_array_append_new(
				all, json_pack("{s:i, s:s}", "code", (int)code, "meaning",
					     exit_code_meaning(code)));
	return all;
}

static json_t *json_of_command(const struct command *c)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:o, s:o}", "name", c->name, "summary",
		c->summary, "operands", c->operands, "details",
		c->details ? c->details : "", "options", json_of_flags(c->flags),
		"exit_codes", json_of_exits(c->exits));
}

static json_t *json_of_table(void)
{
	json_t *list = json_array(), *absent = json_array();

	for (const struct command *c = commands; c->name; c++) {
		if (c->not_yet)
			json_array_append_new(
				absent, json_pack("{s:s, s:s}", "name", c->name, "why",
						c->not_yet));
		else if (!c->hidden)
			json_array_append_new(list, json_of_command(c));
	}
	return json_pack("{s:s, s:o, s:o, s:o, s:o}", "version", CUMULUS_VERSION,
		"commands", list, "absent", absent, "common_options",
		json_of_flags(common_flags), "exit_codes",
		json_of_exits(BIT(EXIT_CODE_COUNT) - 1));
}

enum exit_code command_help_about(struct cli *cli)
{
	const struct words *words = &cli->options->operands;
	const struct command *about = words->count ? command_find(words->at[0]) : NULL;

	if (words->count == 0) {
		if (cli->options->json)
			json_print(json_of_table(), false);
		else
			commands_help(stdout);
		return EXIT_DONE;
	}
	if (!about || about->not_yet || about->hidden)
		return command_absent(words->at[0]);
	if (cli->options->json)
		json_print(json_of_command(about), false);
	else
		command_help(about, stdout);
	return EXIT_DONE;
}

void complain(const struct err *e)
{
	/* The server's words may be in it. */
	CLEANUP(free_ptr) char *safe = text_escape(e->text);

	fprintf(stderr, "cumulus: %s\n", safe);
}

enum exit_code fail(const struct err *e)
{
	complain(e);
	return exit_code_of_err(e);
}
