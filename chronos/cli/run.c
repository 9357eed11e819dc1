/* run.c - chronos run: starts a program that is held to a partition. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool find_beside(const char *from_here, char *path, size_t size)
{
	char here[PATH_MAX], joined[PATH_MAX + 64], full[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", here, sizeof here - 1);

	if (n < 0)
		return false;
	here[n] = '\0';
	*strrchr(here, '/') = '\0';
	snprintf(joined, sizeof joined, "%s/%s", here, from_here);
	if (!realpath(joined, full) || strlen(full) >= size)
		return false;
	memcpy(path, full, strlen(full) + 1);
	return true;
}

bool find_layer(enum layer layer, char *path, size_t size)
{
	static const char *const from_here[] = {
		[LAYER_OPENCL] = "../lib/libchronos-opencl.so",
		/* The one for programs of all kinds: it has no sanitizer. */
		[LAYER_CUDA] = "../lib/cumulus/libchronos-cuda.so",
	};

	return find_beside(from_here[layer], path, size);
}

static enum exit_code fail(
	const struct cli *cli, enum chronos_code code, const char *text)
{
	struct chronos_error e = { .code = code };

	snprintf(e.text, sizeof e.text, "%s", text);
	return show_failure(cli, &e);
}

/* Ours first, so that it sees the program's calls before others change them; and once,
 * since what is started like this may start more. */
static int set_first(const char *variable, const char *layer)
{
	const char *others = getenv(variable);
	char *rest = strdup(others ? others : ""), *at = rest, *one;
	char *all = strdup(layer);

	while (rest && all && (one = strsep(&at, ":"))) {
		char *longer;
		if (!*one || strcmp(one, layer) == 0)
			continue;
		if (asprintf(&longer, "%s:%s", all, one) < 0)
			longer = NULL;
		free(all);
		all = longer;
	}
	int rc = rest && all ? setenv(variable, all, 1) : -1;
	free(rest);
	free(all);
	return rc;
}

/* "3,5", and the uuids in the same order, where CUDA can know them. */
static int set_devices(struct chronos *c, const struct chronos_partition *p)
{
	struct chronos_device devices[CHRONOS_DEVICES_MAX];
	char indices[CHRONOS_DEVICES_MAX * 4] = "";
	char uuids[CHRONOS_DEVICES_MAX * (sizeof devices->uuid + 1)] = "";
	size_t count, at = 0, uuid_at = 0;
	bool nvidia = true;

	if (chronos_devices(c, devices, CHRONOS_DEVICES_MAX, &count, NULL) < 0)
		return -1;
	for (size_t i = 0; i < p->device_count; i++) {
		const struct chronos_device *d = &devices[p->devices[i]];
		const char *comma = i ? "," : "";
		at += (size_t)snprintf(
			indices + at, sizeof indices - at, "%s%u", comma, d->index);
		uuid_at += (size_t)snprintf(
			uuids + uuid_at, sizeof uuids - uuid_at, "%s%s", comma, d->uuid);
		nvidia &= d->kind == CHRONOS_KIND_NVIDIA || d->kind == CHRONOS_KIND_MIG;
	}
	if (setenv("CHRONOS_DEVICE", indices, 1) < 0)
		return -1;
	return nvidia ? setenv("CHRONOS_DEVICE_UUID", uuids, 1)
		      : unsetenv("CHRONOS_DEVICE_UUID");
}

static int set_environment(
	struct chronos *c, const char *dir, const struct chronos_partition *p)
{
	char opencl[PATH_MAX], cuda[PATH_MAX];

	if (!find_layer(LAYER_OPENCL, opencl, sizeof opencl) ||
		!find_layer(LAYER_CUDA, cuda, sizeof cuda))
		return -1;
	if (set_first("OPENCL_LAYERS", opencl) < 0 || set_first("LD_PRELOAD", cuda) < 0 ||
		setenv("CHRONOS_PARTITION", p->id, 1) < 0 ||
		setenv("CHRONOS_DIR", dir, 1) < 0)
		return -1;
	return set_devices(c, p);
}

static bool has_layers(void)
{
	char path[PATH_MAX];

	return find_layer(LAYER_OPENCL, path, sizeof path) &&
	       find_layer(LAYER_CUDA, path, sizeof path);
}

enum exit_code start_command(const struct cli *cli)
{
	char *const *argv = (char *const *)(cli->args + 1);

	execvp(argv[0], argv);
	int why = errno;
	char text[256];
	snprintf(text, sizeof text, "%.150s: %s", argv[0], strerror(why));
	return show_error(cli, chronos_code_name(CHRONOS_SYSTEM), text,
		why == ENOENT ? EXIT_NO_COMMAND : EXIT_CANNOT_START);
}

enum on_expire { ON_EXPIRE_REFUSE, ON_EXPIRE_TERM, ON_EXPIRE_KILL };

static enum exit_code read_on_expire(const struct cli *cli, enum on_expire *what)
{
	static const char *const words[] = {
		[ON_EXPIRE_REFUSE] = "refuse",
		[ON_EXPIRE_TERM] = "term",
		[ON_EXPIRE_KILL] = "kill",
	};

	if (!cli->on_expire)
		return EXIT_DONE;
	for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
		if (strcmp(cli->on_expire, words[i]) == 0) {
			*what = (enum on_expire)i;
			return EXIT_DONE;
		}
	}
	return show_usage_error(cli,
		"--on-expire \"%.32s\" is none of refuse, term and kill", cli->on_expire);
}

enum exit_code run_run(const struct cli *cli)
{
	char dir[PATH_MAX];
	struct chronos_error e = { 0 };
	struct chronos_partition p;
	struct chronos_stats stats;

	enum on_expire on_expire = ON_EXPIRE_REFUSE;
	enum exit_code rc = check_partition(cli, cli->args[0]);
	if (rc == EXIT_DONE)
		rc = read_on_expire(cli, &on_expire);
	if (rc != EXIT_DONE)
		return rc;
	CHRONOS_GUARD c = open_directory(cli, &e);
	if (!c || chronos_find(c, cli->args[0], &p, &e) < 0 ||
		chronos_stats(c, &stats, &e) < 0)
		return show_failure(cli, &e);
	if (!has_layers())
		return fail(cli, CHRONOS_UNAVAILABLE,
			"libchronos-opencl.so and cumulus/libchronos-cuda.so are not in "
			"../lib beside this program: nothing would hold the command");
	if (chronos_prepare(c, p.id, NULL, &e) < 0)
		return show_failure(cli, &e);
	if (!realpath(stats.dir, dir) || set_environment(c, dir, &p) < 0)
		return fail(cli, CHRONOS_SYSTEM, "The environment cannot be set");
	if (on_expire == ON_EXPIRE_REFUSE)
		return start_command(cli);
	return supervise(cli, c, &p, on_expire == ON_EXPIRE_KILL);
}
