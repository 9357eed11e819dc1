/* commands.c - how long a command of the program chronos takes. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "child.h"

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
		create_ms[i] = child_command_ms(b->program, create_argv, environ);
		list_ms[i] = child_command_ms(b->program, list_argv, environ);
		release_ms[i] = child_command_ms(b->program, release_argv, environ);
		nothing_ms[i] = child_command_ms("/bin/true", true_argv, environ);
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
