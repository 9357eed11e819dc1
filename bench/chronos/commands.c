/* commands.c - how long a command of the program chronos takes. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "bench.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>

#include "samples.h"

extern char **environ;

enum { COMMANDS = 100 };

static const struct figure create = {
	.what = "chronos create, 64 partitions in place, p50",
	.unit = "ms",
	.kind = AT_MOST,
	.aim = 3,
	.quoted = "the original 1031"
};
static const struct figure list = {
	.what = "chronos list, p50", .unit = "ms", .kind = AT_MOST, .aim = 3
};
static const struct figure release = {
	.what = "chronos release, p50", .unit = "ms", .kind = AT_MOST, .aim = 3
};
static const struct figure nothing = { .what = "/bin/true, p50", .unit = "ms" };

/* From before its start to after its end. */
static double command_ms(const char *program, const char *const argv[])
{
	posix_spawn_file_actions_t quiet;
	int status;
	pid_t pid;

	posix_spawn_file_actions_init(&quiet);
	posix_spawn_file_actions_addopen(&quiet, 1, "/dev/null", O_WRONLY, 0);
	uint64_t begun_ns = now_ns();
	if (posix_spawn(&pid, program, &quiet, NULL, (char *const *)argv, environ) != 0)
		die("start", program);
	if (waitpid(pid, &status, 0) != pid || status != 0)
		die(argv[0], "the command failed");
	double ms = (double)(now_ns() - begun_ns) / (double)MS;
	posix_spawn_file_actions_destroy(&quiet);
	return ms;
}

static void measure(struct bench *b, enum mode mode)
{
	static double create_ms[COMMANDS], list_ms[COMMANDS], release_ms[COMMANDS],
		nothing_ms[COMMANDS];
	const char *const create_argv[] = { "chronos", "create", "1", "0.5", "60",
		"--key", "k", NULL };
	const char *const list_argv[] = { "chronos", "list", NULL };
	const char *const release_argv[] = { "chronos", "release", "k", NULL };
	const char *const true_argv[] = { "true", NULL };

	for (int i = 0; i < COMMANDS; i++) {
		create_ms[i] = command_ms(b->program, create_argv);
		list_ms[i] = command_ms(b->program, list_argv);
		release_ms[i] = command_ms(b->program, release_argv);
		nothing_ms[i] = command_ms("/bin/true", true_argv);
	}
	figures_add(
		b->figures, &create, mode, samples_percentile(create_ms, COMMANDS, 50));
	figures_add(b->figures, &list, mode, samples_percentile(list_ms, COMMANDS, 50));
	figures_add(
		b->figures, &release, mode, samples_percentile(release_ms, COMMANDS, 50));
	figures_add(
		b->figures, &nothing, mode, samples_percentile(nothing_ms, COMMANDS, 50));
}

const struct group commands_group = { .name = "commands",
	.what = "commands of the program, from start to end",
	.modes = { [COOPERATIVE] = true },
	.measure = measure };
