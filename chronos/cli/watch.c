/* watch.c - chronos watch: the devices and partitions, anew each second. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CLEAR "\033[H\033[J"

enum { BAR = 40 };

/* "########==......": taken, draining, free. */
static void print_bar(const struct chronos_device *d)
{
	uint32_t draining = d->draining_hundredths * BAR / CHRONOS_WHOLE;
	uint32_t gone = (CHRONOS_WHOLE - d->free_hundredths) * BAR / CHRONOS_WHOLE;
	char bar[BAR + 1];

	memset(bar, '.', BAR);
	memset(bar, '#', gone);
	memset(bar + gone - draining, '=', draining);
	bar[BAR] = '\0';
	printf("GPU %-2" PRIu32 " [%s] %3" PRIu32 "%% taken  %" PRIu32
	       " partitions  %s\n",
		d->index, bar, CHRONOS_WHOLE - d->free_hundredths, d->partitions,
		d->name);
}

static void show_once(struct chronos *c, const struct chronos_device *devices,
	size_t count, const struct chronos_partition *list, size_t partitions)
{
	/* In a pipe one after the other, on a terminal in place of the one before. */
	if (isatty(STDOUT_FILENO))
		fputs(CLEAR, stdout);
	printf("chronos: arbiter %s\n", chronos_arbiter_serves(c) ? "serves" : "none");
	for (size_t i = 0; i < count; i++) {
		if (devices[i].present)
			print_bar(&devices[i]);
		else
			printf("GPU %-2" PRIu32 " absent: %s\n", devices[i].index,
				devices[i].name);
	}
	if (count == 0)
		puts("No devices");
	show_usages(c, list, partitions);
	putchar('\n');
}

static enum exit_code show_once_json(struct chronos *c,
	const struct chronos_device *devices, size_t count,
	const struct chronos_partition *list, size_t partitions)
{
	json_t *all = json_array();

	for (size_t i = 0; i < count; i++)
		json_array_append_new(all, json_of_device(&devices[i]));
	return show_json(
		json_pack("{s:b, s:o, s:o}", "arbiter", (int)chronos_arbiter_serves(c),
			"devices", all, "partitions", json_of_list(c, list, partitions)));
}

static enum exit_code look(const struct cli *cli, struct chronos *c)
{
	struct chronos_device devices[CHRONOS_DEVICES_MAX];
	struct chronos_partition *list;
	struct chronos_error e = { 0 };
	enum exit_code rc = EXIT_DONE;
	size_t count, partitions;

	if (chronos_devices(c, devices, CHRONOS_DEVICES_MAX, &count, &e) < 0 ||
		chronos_list(c, &list, &partitions, &e) < 0)
		return show_failure(cli, &e);
	if (cli->json)
		rc = show_once_json(c, devices, count, list, partitions);
	else
		show_once(c, devices, count, list, partitions);
	chronos_partitions_free(list);
	return rc;
}

/* Until it is interrupted, or nobody reads any more. */
enum exit_code run_watch(const struct cli *cli)
{
	const struct timespec second = { 1, 0 };
	struct chronos_error e = { 0 };
	enum exit_code rc;

	CHRONOS_GUARD c = open_with_devices(cli, &e);
	if (!c)
		return show_failure(cli, &e);
	while ((rc = look(cli, c)) == EXIT_DONE && fflush(stdout) == 0)
		nanosleep(&second, NULL);
	return rc;
}
