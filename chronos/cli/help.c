/* help.c - the table of the commands, and what help makes of it. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"

#include <string.h>

const struct command commands[] = {
	{ .name = "create",
		.args = 3,
		.needs = "device index, memory fraction, and duration",
		.grammar = "<device>[,<device>...] <memory_fraction> <duration_seconds>",
		.purpose = "take a share of one or several devices, all or none",
		.details =
			"The share is 0.01 to 1, with at most two decimals: of the memory "
			"and of the time of\n"
			"each device.  The partition outlives this command.  It ends when "
			"its time is up, or by\n"
			"chronos release.  When the answer cannot be written, the "
			"partition is released again.",
		.examples = "  chronos create 0 0.5 3600            half of GPU 0 for an "
			    "hour\n"
			    "  chronos create 0,1 1 600             all of GPU 0 and of "
			    "GPU 1\n"
			    "  chronos create 0 0.25 600 --user bob\n"
			    "  chronos create 0 0.1 60 --key nightly\n",
		.takes = TAKES_USER | TAKES_KEY | TAKES_BURST,
		.run = run_create },
	{ .name = "list",
		.grammar = "",
		.purpose = "show the active partitions",
		.details = "A terminal that is too narrow gets fewer columns.",
		.run = run_list },
	{ .name = "renew",
		.args = 2,
		.needs = "partition id and duration",
		.grammar = "<partition> <duration_seconds>",
		.purpose = "let a partition (id, prefix or key) expire that long from "
			   "now",
		.details =
			"That may be later or earlier than before.  Its owner and root "
			"may do it.",
		.examples = "  chronos renew p-3f 600               an id may be "
			    "shortened\n",
		.run = run_renew },
	{ .name = "release",
		.args = 1,
		.needs = "partition id",
		.grammar = "<partition>",
		.purpose = "give a partition's share back",
		.details =
			"Programs in it are refused from then on; they are not ended.  "
			"The memory that they\n"
			"have stays taken until they end.  Its owner and root may do it.",
		.examples = "  chronos release p-3fa07c21\n",
		.run = run_release },
	{ .name = "run",
		.args = 2,
		.needs = "partition id and a command",
		.grammar = "<partition> [--on-expire <what>] [--] <command> [arguments]",
		.purpose = "start a program that is held to the partition",
		.details =
			"The command takes this program's place, so signals and its exit "
			"code are its own; 126\n"
			"and 127 say that it cannot be started.  It is held by the layers "
			"of OpenCL and CUDA, by\n"
			"OPENCL_LAYERS, LD_PRELOAD, CHRONOS_PARTITION, CHRONOS_DIR and "
			"CHRONOS_DEVICE.  When\n"
			"the partition ends, its allocations and launches are refused; "
			"with --on-expire term or\n"
			"kill this program stays beside it, passes signals on, and ends "
			"it then (not what it\n"
			"has started itself).  What stands behind the command's name is "
			"the command's.",
		.examples = "  chronos run p-3f -- python3 train.py\n"
			    "  chronos run nightly --on-expire term -- ./job\n",
		.takes = TAKES_COMMAND | TAKES_ON_EXPIRE,
		.run = run_run },
	{ .name = "stats",
		.grammar = "",
		.purpose = "show the devices, what is taken, and what is enforced",
		.run = run_stats },
	{ .name = "available",
		.args = 1,
		.needs = "device index",
		.grammar = "<device>",
		.purpose = "show how much of a device is free",
		.examples = "  chronos available 0                  75.0%\n",
		.run = run_available },
	{ .name = "watch",
		.grammar = "",
		.purpose = "show the devices and partitions anew each second",
		.details =
			"On a terminal a live picture: q or Ctrl-C ends it, the arrow "
			"keys scroll.  In a pipe\n"
			"one picture after the other, with --json a line each.  Device "
			"time is the part of the\n"
			"last second of its devices that a partition had; where it has "
			"them whole, nobody counts.",
		.run = run_watch },
	{ .name = "arbiter",
		.grammar = "",
		.purpose = "give the turns of the devices to programs that need not be "
			   "trusted",
		.details =
			"One serves a directory, until SIGTERM or SIGINT; killed and "
			"started again, it goes on\n"
			"where it was.  A second one is refused (exit code 3), and so is "
			"one beside programs\n"
			"that take turns by themselves already.  Have it restarted by a "
			"supervisor; with systemd:\n"
			"systemctl enable --now chronos-arbiter.",
		.takes = TAKES_BACKGROUND | TAKES_IDLE_EXIT,
		.run = run_arbiter },
	{ .name = "doctor",
		.grammar = "",
		.purpose = "say what holds programs to their shares here, and how to get "
			   "more",
		.run = run_doctor },
	{ .name = "help",
		.grammar = "[command]",
		.purpose = "show this, or all about one command",
		.takes = TAKES_ONE_MORE,
		.run = run_help },
};

const size_t command_count = sizeof commands / sizeof *commands;

const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < command_count; i++) {
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	}
	return NULL;
}

const struct option_text option_texts[] = {
	{ "--user", "<username>", "for this user, a name or a number (root only)",
		TAKES_USER },
	{ "--key", "<key>",
		"a name for it; where this user has one of that name, that one is found",
		TAKES_KEY },
	{ "--burst", "", "it may use time that nobody else wants, beyond its share",
		TAKES_BURST },
	{ "--background", "",
		"go on after this command has ended, which ends when it "
		"serves",
		TAKES_BACKGROUND },
	{ "--idle-exit", "<seconds>", "end when no partition was joinable for so long",
		TAKES_IDLE_EXIT },
	{ "--on-expire", "<what>",
		"when the partition ends: refuse (the default), term (SIGTERM, "
		"SIGKILL 10 s later) or kill",
		TAKES_ON_EXPIRE },
	{ "--json", "", "answer in JSON, one line; failures too, on stderr", 0 },
	{ "--dir", "<directory>",
		"where the state is kept ($CHRONOS_DIR, or else /run/chronos)", 0 },
	{ "--devices", "<which>",
		"tell the directory its devices: auto, simulated:N, opencl-cpu or none; "
		"a new one asks for auto itself",
		0 },
	{ "--help", "", "show this", 0 },
	{ "--version", "", "show the version", 0 },
};

const size_t option_count = sizeof option_texts / sizeof *option_texts;

static const struct {
	const char *meaning;
	enum exit_code code;
	bool of_run; /* alone */
} exit_texts[] = {
	{ "done", EXIT_DONE, false },
	{ "usage: an argument is wrong", EXIT_USAGE, false },
	{ "refused: not enough is free, or it is there already", EXIT_REFUSED, false },
	{ "permission: another user's partition or directory", EXIT_PERMISSION, false },
	{ "not found: no such device or partition, or it has ended", EXIT_NOT_FOUND,
		false },
	{ "internal: the state, a driver or the system failed", EXIT_INTERNAL, false },
	{ "run: the command cannot be started", EXIT_CANNOT_START, true },
	{ "run: there is no such command", EXIT_NO_COMMAND, true },
};

enum { EXIT_TEXTS = sizeof exit_texts / sizeof *exit_texts };

/* ---- as text ---- */

/* "  --name <argument>   what it says", broken where a line of 88 is full. */
static void print_option(const struct option_text *o, FILE *out)
{
	enum { NAME = 24, LINE = 64 };
	const char *text = o->purpose;

	int n = fprintf(out, "  %s%s%s", o->name, *o->argument ? " " : "", o->argument);
	fprintf(out, "%*s", NAME - n, "");
	while (strlen(text) > LINE) {
		size_t end = LINE;
		while (text[end] != ' ')
			end--;
		fprintf(out, "%.*s\n%*s", (int)end, text, NAME, "");
		text += end + 1;
	}
	fprintf(out, "%s\n", text);
}

/* Options in a line of their own where they would make a long one. */
static void print_grammar(const struct command *c, FILE *out)
{
	int options = 0;

	fprintf(out, "%s%s%s", c->name, *c->grammar ? " " : "", c->grammar);
	for (size_t i = 0; i < option_count; i++) {
		const struct option_text *o = &option_texts[i];
		/* Behind a command of the user's they would be its own. */
		if (!(o->takes & c->takes) || c->takes & TAKES_COMMAND)
			continue;
		bool apart = options++ == 0 && strlen(c->grammar) > 40;
		fprintf(out, "%s[%s%s%s]", apart ? "\n          " : " ", o->name,
			*o->argument ? " " : "", o->argument);
	}
	fputc('\n', out);
}

static void print_exit_codes(bool of_run, FILE *out)
{
	fputs("\nExit codes:\n", out);
	for (size_t i = 0; i < EXIT_TEXTS; i++) {
		if (of_run || !exit_texts[i].of_run)
			fprintf(out, "  %-3d  %s\n", (int)exit_texts[i].code,
				exit_texts[i].meaning);
	}
}

void show_usage(FILE *out)
{
	fputs("Usage: chronos <command> [arguments] [options]\n\nCommands:\n", out);
	for (size_t i = 0; i < command_count; i++) {
		fputs("  ", out);
		print_grammar(&commands[i], out);
		fprintf(out, "      %s\n", commands[i].purpose);
	}
	fputs("\nOptions, anywhere:\n", out);
	for (size_t i = 0; i < option_count; i++) {
		if (!option_texts[i].takes)
			print_option(&option_texts[i], out);
	}
	fputs("\nExamples:\n", out);
	for (size_t i = 0; i < command_count; i++) {
		if (commands[i].examples)
			fputs(commands[i].examples, out);
	}
	print_exit_codes(true, out);
	fputs("\nchronos help <command> says more.  Enforcement is off for a program that "
	      "does not join\n"
	      "its partition; chronos run starts one that does.  chronos doctor says what "
	      "holds here.\n",
		out);
}

static void show_command_usage(const struct command *c, FILE *out)
{
	fputs("Usage: chronos ", out);
	print_grammar(c, out);
	fprintf(out, "\n%c%s.\n", c->purpose[0] - 'a' + 'A', c->purpose + 1);
	if (c->details)
		fprintf(out, "\n%s\n", c->details);
	fputs("\nOptions:\n", out);
	for (size_t i = 0; i < option_count; i++) {
		if (!option_texts[i].takes || option_texts[i].takes & c->takes)
			print_option(&option_texts[i], out);
	}
	if (c->examples)
		fprintf(out, "\nExamples:\n%s", c->examples);
	print_exit_codes(c->takes & TAKES_COMMAND, out);
}

/* ---- as JSON ---- */

static json_t *json_of_options(unsigned takes, bool common)
{
	json_t *list = json_array();

	for (size_t i = 0; i < option_count; i++) {
		const struct option_text *o = &option_texts[i];
		if (common ? !o->takes : o->takes & takes)
			json_array_append_new(list,
				json_pack("{s:s, s:s, s:s}", "name", o->name, "argument",
					o->argument, "purpose", o->purpose));
	}
	return list;
}

static json_t *json_of_command(const struct command *c)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:o}", "name", c->name, "grammar",
		c->grammar, "purpose", c->purpose, "details",
		c->details ? c->details : "", "examples", c->examples ? c->examples : "",
		"options", json_of_options(c->takes, false));
}

static enum exit_code show_help_json(void)
{
	json_t *list = json_array(), *codes = json_array();

	for (size_t i = 0; i < command_count; i++)
		json_array_append_new(list, json_of_command(&commands[i]));
	for (size_t i = 0; i < EXIT_TEXTS; i++)
		json_array_append_new(
			codes, json_pack("{s:i, s:s}", "code", (int)exit_texts[i].code,
				       "meaning", exit_texts[i].meaning));
	return show_json(json_pack("{s:o, s:o, s:o}", "commands", list, "options",
		json_of_options(0, true), "exit_codes", codes));
}

enum exit_code show_help(const struct cli *cli, const struct command *about)
{
	if (cli->json)
		return about ? show_json(json_of_command(about)) : show_help_json();
	if (about)
		show_command_usage(about, stdout);
	else
		show_usage(stdout);
	return EXIT_DONE;
}

/* Words of other tools. */
static const struct {
	const char *word, *here;
} other_words[] = {
	{ "rm", "release" },
	{ "delete", "release" },
	{ "destroy", "release" },
	{ "remove", "release" },
	{ "force-release", "release" },
	{ "ls", "list" },
	{ "ps", "list" },
	{ "status", "stats" },
	{ "show", "stats" },
	{ "devices", "stats" },
	{ "info", "stats" },
	{ "free", "available" },
	{ "extend", "renew" },
	{ "exec", "run" },
	{ "new", "create" },
	{ "add", "create" },
	{ "top", "watch" },
	{ "monitor", "watch" },
	{ "check", "doctor" },
	{ "version", "--version" },
};

static const char *meant(const char *name)
{
	for (size_t i = 0; i < sizeof other_words / sizeof *other_words; i++) {
		if (strcmp(other_words[i].word, name) == 0)
			return other_words[i].here;
	}
	for (size_t i = 0; i < command_count; i++) {
		if (strncmp(commands[i].name, name, 2) == 0)
			return commands[i].name;
	}
	return NULL;
}

enum exit_code show_no_command(const struct cli *cli, const char *name)
{
	const char *here = meant(name);

	if (here)
		return show_usage_error(cli,
			"Invalid command: %.64s; did you mean %s? (chronos help lists all)",
			name, here);
	return show_usage_error(
		cli, "Invalid command: %.64s (chronos help lists them)", name);
}

enum exit_code run_help(const struct cli *cli)
{
	if (cli->arg_count == 0)
		return show_help(cli, NULL);
	const struct command *about = find_command(cli->args[0]);
	return about ? show_help(cli, about) : show_no_command(cli, cli->args[0]);
}
