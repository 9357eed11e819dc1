/* main.c - chronos: partitions of GPUs from the command line. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct option {
	const char *name;
	const char **value; /* NULL: it is a flag */
	bool *flag;
};

/* `text` is "--name=value", "--name" before a value, or a flag.  Says how many arguments
 * it took: 0 when it is no option that there is, -1 when its value is missing or one too
 * many. */
static int take_option(const struct option *options, const char *text, const char *next)
{
	for (; options->name; options++) {
		size_t n = strlen(options->name);
		if (strncmp(text, options->name, n) != 0 || (text[n] && text[n] != '='))
			continue;
		if (options->flag) {
			if (text[n])
				return -1;
			*options->flag = true;
			return 1;
		}
		*options->value = text[n] ? text + n + 1 : next;
		if (!*options->value)
			return -1;
		return text[n] ? 1 : 2;
	}
	return 0;
}

/* "-1" and "-.5" are wrong arguments, and the place where they stand says why. */
static bool looks_like_option(const char *text)
{
	return text[0] == '-' && text[1] && text[1] != '.' &&
	       !isdigit((unsigned char)text[1]);
}

/* What stands behind the partition and the name of a command belongs to that command. */
static bool is_for_the_command(const char **args, size_t n)
{
	const struct command *c = n > 0 ? find_command(args[0]) : NULL;

	return c && c->takes & TAKES_COMMAND && n > c->args;
}

/* An error must be told in the form that is asked for further on. */
static bool asks_for_json(char **argv)
{
	for (; *argv && strcmp(*argv, "--") != 0; argv++) {
		if (strcmp(*argv, "--json") == 0)
			return true;
	}
	return false;
}

/* Options may stand anywhere before a command's own; after "--" there are none. */
static enum exit_code parse(struct cli *cli, int argc, char **argv, const char **args)
{
	const struct option options[] = {
		{ "--dir", &cli->dir, NULL },
		{ "--devices", &cli->devices, NULL },
		{ "--user", &cli->user, NULL },
		{ "--key", &cli->key, NULL },
		{ "--idle-exit", &cli->idle_exit, NULL },
		{ "--on-expire", &cli->on_expire, NULL },
		{ "--background", NULL, &cli->background },
		{ "--burst", NULL, &cli->burst },
		{ "--json", NULL, &cli->json },
		{ "--help", NULL, &cli->help },
		{ "-h", NULL, &cli->help },
		{ "--version", NULL, &cli->version },
		{ NULL, NULL, NULL },
	};
	size_t n = 0;
	int i = 1;

	while (i < argc && !is_for_the_command(args, n) && strcmp(argv[i], "--") != 0) {
		/* argv ends with NULL, so there is always a next. */
		int took = take_option(options, argv[i], argv[i + 1]);
		bool unknown = took == 0 && looks_like_option(argv[i]);
		if (took < 0 || unknown)
			cli->json |= asks_for_json(argv);
		if (took < 0)
			return show_usage_error(cli, "Option %.64s: %s", argv[i],
				strchr(argv[i], '=') ? "it takes no value"
						     : "its value is missing");
		if (unknown)
			return show_usage_error(cli,
				"Unknown option: %.64s (chronos help lists them)",
				argv[i]);
		if (took == 0) {
			args[n++] = argv[i];
			took = 1;
		}
		i += took;
	}
	if (i < argc && strcmp(argv[i], "--") == 0 && !is_for_the_command(args, n))
		i++;
	while (i < argc)
		args[n++] = argv[i++];
	if (n > 0) {
		cli->verb = args[0];
		cli->args = args + 1;
		cli->arg_count = n - 1;
	}
	return EXIT_DONE;
}

static bool is_given(const struct cli *cli, enum takes one)
{
	switch (one) {
	case TAKES_USER:
		return cli->user;
	case TAKES_KEY:
		return cli->key;
	case TAKES_BURST:
		return cli->burst;
	case TAKES_BACKGROUND:
		return cli->background;
	case TAKES_IDLE_EXIT:
		return cli->idle_exit;
	case TAKES_ON_EXPIRE:
		return cli->on_expire;
	case TAKES_COMMAND:
	case TAKES_ONE_MORE:
		break;
	}
	return false;
}

static enum exit_code check_options(const struct cli *cli, const struct command *command)
{
	for (size_t i = 0; i < option_count; i++) {
		const struct option_text *o = &option_texts[i];
		if (o->takes && !(command->takes & o->takes) && is_given(cli, o->takes))
			return show_usage_error(
				cli, "'%s' command takes no %s", command->name, o->name);
	}
	return EXIT_DONE;
}

static enum exit_code check_arguments(
	const struct cli *cli, const struct command *command)
{
	size_t most = command->takes & TAKES_COMMAND    ? SIZE_MAX
		      : command->takes & TAKES_ONE_MORE ? command->args + 1
							: command->args;

	if (cli->arg_count >= command->args && cli->arg_count <= most)
		return EXIT_DONE;
	if (!command->needs)
		return show_usage_error(cli, "'%s' command takes no %sarguments",
			command->name, most ? "more " : "");
	return show_usage_error(cli, "'%s' command requires %s: chronos %s %s",
		command->name, command->needs, command->name, command->grammar);
}

static enum exit_code show_version(const struct cli *cli)
{
	if (cli->json)
		return show_json(json_pack("{s:s, s:s}", "version", chronos_version(),
			"enforcement", chronos_enforcement(NULL)));
	printf("chronos %s\n", chronos_version());
	return EXIT_DONE;
}

static enum exit_code run(const struct cli *cli)
{
	if (cli->version)
		return show_version(cli);
	if (!cli->verb && cli->help)
		return show_help(cli, NULL);
	if (!cli->verb) {
		show_usage(stderr);
		return EXIT_USAGE;
	}
	const struct command *command = find_command(cli->verb);
	if (!command)
		return show_no_command(cli, cli->verb);
	if (cli->help)
		return show_help(cli, command);
	enum exit_code rc = check_options(cli, command);
	if (rc == EXIT_DONE)
		rc = check_arguments(cli, command);
	return rc == EXIT_DONE ? command->run(cli) : rc;
}

int main(int argc, char **argv)
{
	const char **args = calloc((size_t)argc + 1, sizeof *args);
	struct cli cli = { 0 };

	if (!args)
		return EXIT_INTERNAL;
	enum exit_code rc = parse(&cli, argc, argv, args);
	if (rc == EXIT_DONE)
		rc = run(&cli);
	free(args);
	/* An answer that did not reach its reader was not given. */
	errno = 0;
	if (fflush(stdout) != 0 || ferror(stdout)) {
		char text[128];
		snprintf(text, sizeof text, "The answer could not be written%s%s",
			errno ? ": " : "", errno ? strerror(errno) : "");
		if (rc == EXIT_DONE)
			rc = show_error(&cli, "system", text, EXIT_INTERNAL);
	}
	return (int)rc;
}
