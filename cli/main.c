/* main.c - cumulus: finds the command, reads its words, runs it. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "command.h"
#include "config.h"
#include "remote.h"

static int run(const struct command *command, const struct options *options)
{
	CLEANUP(config_fini) struct config config = { 0 };
	struct terminal terminal;
	struct remote remote;
	struct err e = { 0 };

	terminal_init(&terminal);
	/* A command that asks nobody must work beside a wrong file. */
	if (config_load(options, &config, &e) < 0 && (!command->local || options->token))
		return (int)fail(&e);
	remote_init(&remote, config.address ? config.address : "");

	struct cli cli = { options, &terminal, &remote };
	enum exit_code code = command->run(&cli);

	remote_fini(&remote);
	return (int)code;
}

static int program(int argc, char **argv)
{
	CLEANUP(options_fini) struct options options;
	struct err e = { 0 };
	int at = 1;

	/* For the widths of characters; output is UTF-8 whatever the locale says. */
	setlocale(LC_CTYPE, "C.UTF-8");
	signal(SIGPIPE, SIG_IGN);
	options_init(&options);
	if (options_parse_leading(argc, argv, &at, &options, &e) < 0)
		return (int)fail(&e);
	if (options.version)
		return run(command_find("version"), &options);
	if (at == argc) {
		commands_help(options.help ? stdout : stderr);
		return options.help ? EXIT_DONE : EXIT_USAGE;
	}

	const struct command *command = command_find(argv[at]);
	if (!command || command->not_yet)
		return (int)command_absent(argv[at]);
	if (options_parse(command, argc - at - 1, argv + at + 1, &options, &e) < 0)
		return (int)fail(&e);
	if (options.help) {
		command_help(command, stdout);
		return EXIT_DONE;
	}
	return run(options.version ? command_find("version") : command, &options);
}

/* A standard file that is closed would become a socket of ours, and output would go there.
 * Opened for reading, writing to it fails as it should. */
static void fill_standard_files(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDONLY);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd > STDERR_FILENO)
		close(fd);
}

int main(int argc, char **argv)
{
	fill_standard_files();

	int code = program(argc, argv);

	put_rest();
	return code;
}
