/* run.c - chronos run: starts a program that is held to a partition. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LAYER_FROM_HERE "/../lib/libchronos-opencl.so"

bool find_layer(char *path, size_t size)
{
	char here[PATH_MAX], joined[PATH_MAX + sizeof LAYER_FROM_HERE], full[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", here, sizeof here - 1);

	if (n < 0)
		return false;
	here[n] = '\0';
	*strrchr(here, '/') = '\0';
	snprintf(joined, sizeof joined, "%s" LAYER_FROM_HERE, here);
	if (!realpath(joined, full) || strlen(full) >= size)
		return false;
	memcpy(path, full, strlen(full) + 1);
	return true;
}

static enum exit_code fail(
	const struct cli *cli, enum chronos_code code, const char *text)
{
	struct chronos_error e = { .code = code };

	snprintf(e.text, sizeof e.text, "%s", text);
	return show_failure(cli, &e);
}

/* Ours first, so that it sees the program's calls before others change them. */
static int set_layers(const char *layer)
{
	const char *others = getenv("OPENCL_LAYERS");
	char *all;

	if (!others || !*others)
		return setenv("OPENCL_LAYERS", layer, 1);
	if (asprintf(&all, "%s:%s", layer, others) < 0)
		return -1;
	int rc = setenv("OPENCL_LAYERS", all, 1);
	free(all);
	return rc;
}

static int set_environment(
	const char *layer, const char *dir, const struct chronos_partition *p)
{
	char device[16];

	snprintf(device, sizeof device, "%u", p->devices[0]);
	if (set_layers(layer) < 0 || setenv("CHRONOS_PARTITION", p->id, 1) < 0 ||
		setenv("CHRONOS_DIR", dir, 1) < 0 ||
		setenv("CHRONOS_DEVICE", device, 1) < 0)
		return -1;
	return 0;
}

/* Only an error comes back. */
static enum exit_code start(const struct cli *cli)
{
	char *const *argv = (char *const *)(cli->args + 1);

	execvp(argv[0], argv);
	int why = errno;
	char text[256];
	snprintf(text, sizeof text, "%.150s: %s", argv[0], strerror(why));
	return show_error(cli, chronos_code_name(CHRONOS_SYSTEM), text,
		why == ENOENT ? EXIT_NO_COMMAND : EXIT_CANNOT_START);
}

enum exit_code run_run(const struct cli *cli)
{
	char layer[PATH_MAX], dir[PATH_MAX];
	struct chronos_error e = { 0 };
	struct chronos_partition p;
	struct chronos_stats stats;

	CHRONOS_GUARD c = open_directory(cli, &e);
	if (!c || chronos_find(c, cli->args[0], &p, &e) < 0 ||
		chronos_stats(c, &stats, &e) < 0)
		return show_failure(cli, &e);
	if (p.device_count != 1)
		return fail(cli, CHRONOS_INVALID,
			"A program can be held to a partition of one device only");
	if (!find_layer(layer, sizeof layer))
		return fail(cli, CHRONOS_UNAVAILABLE,
			"libchronos-opencl.so is not in ../lib beside this program: "
			"nothing would hold the command");
	if (chronos_prepare(c, p.id, NULL, &e) < 0)
		return show_failure(cli, &e);
	if (!realpath(stats.dir, dir) || set_environment(layer, dir, &p) < 0)
		return fail(cli, CHRONOS_SYSTEM, "The environment cannot be set");
	return start(cli);
}
