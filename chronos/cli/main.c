/* main.c - chronos: partitions of GPUs from the command line. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"

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

/* Options may stand anywhere.  "-1" is an argument, so that what is wrong with it can be
 * said; after "--" everything is one. */
static enum exit_code parse(struct cli *cli, int argc, char **argv, const char **args)
{
	const struct option options[] = {
		{ "--dir", &cli->dir, NULL },
		{ "--devices", &cli->devices, NULL },
		{ "--user", &cli->user, NULL },
		{ "--key", &cli->key, NULL },
		{ "--idle-exit", &cli->idle_exit, NULL },
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

	while (i < argc) {
		if (strcmp(argv[i], "--") == 0) {
			for (i++; i < argc; i++)
				args[n++] = argv[i];
			break;
		}
		/* argv ends with NULL, so there is always a next. */
		int took = take_option(options, argv[i], argv[i + 1]);
		if (took < 0)
			return show_usage_error(cli, "Option %.64s: %s", argv[i],
				strchr(argv[i], '=') ? "it takes no value"
						     : "its value is missing");
		if (took == 0) {
			if (strncmp(argv[i], "--", 2) == 0)
				return show_usage_error(
					cli, "Unknown option: %.64s", argv[i]);
			args[n++] = argv[i];
			took = 1;
		}
		i += took;
	}
	if (n > 0) {
		cli->verb = args[0];
		cli->args = args + 1;
		cli->arg_count = n - 1;
	}
	return EXIT_DONE;
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < command_count; i++) {
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	}
	return NULL;
}

static enum exit_code check_arguments(
	const struct cli *cli, const struct command *command)
{
	if (!command->takes_user_and_key && (cli->user || cli->key || cli->burst))
		return show_usage_error(cli, "'%s' command takes no %s", command->name,
			cli->user  ? "--user"
			: cli->key ? "--key"
				   : "--burst");
	if (!command->takes_background && (cli->background || cli->idle_exit))
		return show_usage_error(cli, "'%s' command takes no %s", command->name,
			cli->background ? "--background" : "--idle-exit");
	if (cli->arg_count == command->args ||
		(command->takes_more && cli->arg_count > command->args))
		return EXIT_DONE;
	if (!command->needs)
		return show_usage_error(
			cli, "'%s' command takes no arguments", command->name);
	return show_usage_error(
		cli, "'%s' command requires %s", command->name, command->needs);
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
	if (cli->help)
		return find_command("help")->run(cli);
	if (!cli->verb) {
		show_usage(stderr);
		return EXIT_USAGE;
	}
	const struct command *command = find_command(cli->verb);
	if (!command)
		return show_usage_error(cli,
			"Invalid command: %.64s (chronos help lists them)", cli->verb);
	enum exit_code rc = check_arguments(cli, command);
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
	if (fflush(stdout) != 0 || ferror(stdout)) {
		perror("chronos: write");
		return EXIT_INTERNAL;
	}
	return (int)rc;
}
