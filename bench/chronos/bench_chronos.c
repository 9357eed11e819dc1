/* bench_chronos.c - what a partition costs: in the library, and as a command. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Usage: bench_chronos <path of the program chronos> <report.json>
 *
 * Measures with 64 partitions in place, in ROUNDS rounds; a value is the median of the
 * rounds, with the least and the greatest.  The original Chronos (C++) is named as the
 * baseline of each row and has no value: it is not installed here.
 */
#include "chronos.h"

#include <jansson.h>

#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

enum {
	ROUNDS = 7,
	PARTITIONS = 64,
	CALLS = 20000,  /* of the library, in a round */
	COMMANDS = 100, /* of the program, in a round */
	SAMPLES_MAX = CALLS,
};

#define BASELINE "original Chronos (not installed)"

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static _Noreturn void die(const char *what, const char *why)
{
	fprintf(stderr, "bench_chronos: %s: %s\n", what, why);
	exit(1);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* ---- rows ---- */

struct row {
	const char *what;
	const char *unit;
	double aim;
	double rounds[ROUNDS];
};

enum {
	CREATE_P50,
	CREATE_P99,
	RELEASE_P50,
	RELEASE_P99,
	REFUSE_P50,
	COMMAND_CREATE,
	COMMAND_LIST,
	COMMAND_RELEASE,
	ROWS
};

static struct row rows[ROWS] = {
	[CREATE_P50] = { "create in the library, p50", "us", 2, { 0 } },
	[CREATE_P99] = { "create in the library, p99", "us", 10, { 0 } },
	[RELEASE_P50] = { "release in the library, p50", "us", 2, { 0 } },
	[RELEASE_P99] = { "release in the library, p99", "us", 10, { 0 } },
	[REFUSE_P50] = { "create that is refused, p50", "us", 2, { 0 } },
	[COMMAND_CREATE] = { "chronos create, p50", "ms", 3, { 0 } },
	[COMMAND_LIST] = { "chronos list, p50", "ms", 3, { 0 } },
	[COMMAND_RELEASE] = { "chronos release, p50", "ms", 3, { 0 } },
};

static double percentile(double *samples, size_t n, size_t percent)
{
	qsort(samples, n, sizeof *samples, by_value);
	return samples[n * percent / 100];
}

static double median(const struct row *row)
{
	double sorted[ROUNDS];

	memcpy(sorted, row->rounds, sizeof sorted);
	return percentile(sorted, ROUNDS, 50);
}

static json_t *json_of_row(const struct row *row)
{
	double sorted[ROUNDS], value = median(row);

	memcpy(sorted, row->rounds, sizeof sorted);
	qsort(sorted, ROUNDS, sizeof *sorted, by_value);
	return json_pack("{s:s, s:f, s:s, s:f, s:f, s:s, s:n, s:n, s:f, s:b}", "what",
		row->what, "value", value, "unit", row->unit, "min", sorted[0], "max",
		sorted[ROUNDS - 1], "beside", BASELINE, "beside_value", "ratio", "aim",
		row->aim, "met", value <= row->aim);
}

static void report(const char *path)
{
	json_t *list = json_array();

	printf("%-32s %10s %5s %8s %s\n", "what", "median", "unit", "aim", "met");
	for (int i = 0; i < ROWS; i++) {
		double value = median(&rows[i]);
		printf("%-32s %10.3f %5s %8.0f %s\n", rows[i].what, value, rows[i].unit,
			rows[i].aim, value <= rows[i].aim ? "yes" : "NO");
		json_array_append_new(list, json_of_row(&rows[i]));
	}
	puts("beside: " BASELINE);
	if (json_dump_file(list, path, JSON_INDENT(1) | JSON_REAL_PRECISION(6)) < 0)
		die("write", path);
	json_decref(list);
}

/* ---- the library ---- */

static struct chronos *open_with_partitions(const char *dir)
{
	const struct chronos_device_spec spec = { CHRONOS_DEVICES_SIMULATED, 2 };
	const char *names[] = { "0" };
	struct chronos_request r = { .devices = names,
		.device_count = 1,
		.hundredths = 1,
		.duration_ns = CHRONOS_DURATION_MAX_NS,
		.owner = CHRONOS_OWNER_CALLER };
	struct chronos_device devices[2];
	struct chronos_partition p;
	struct chronos_error e = { 0 };
	size_t n;

	struct chronos *c = chronos_open(dir, &e);
	if (!c || chronos_devices_discover(&spec, devices, 2, &n, &e) < 0 ||
		chronos_devices_register(c, devices, n, &e) < 0)
		die("open", e.text);
	for (int i = 0; i < PARTITIONS; i++) {
		if (chronos_create(c, &r, &p, NULL, &e) < 0)
			die("create", e.text);
	}
	return c;
}

static void measure_library(struct chronos *c, int round)
{
	static double create[SAMPLES_MAX], release[SAMPLES_MAX], refuse[SAMPLES_MAX];
	const char *names[] = { "1" };
	struct chronos_request r = { .key = "worker.job.1",
		.devices = names,
		.device_count = 1,
		.hundredths = 50,
		.duration_ns = UINT64_C(60000000000),
		.owner = CHRONOS_OWNER_CALLER };
	struct chronos_request more = r;
	struct chronos_partition p, none;
	struct chronos_error e = { 0 };

	more.key = NULL;
	more.hundredths = 51;
	for (int i = 0; i < CALLS; i++) {
		double t0 = now_us();
		if (chronos_create(c, &r, &p, NULL, &e) < 0)
			die("create", e.text);
		double t1 = now_us();
		if (chronos_create(c, &more, &none, NULL, &e) == 0)
			die("create", "granted what was not there");
		double t2 = now_us();
		if (chronos_release(c, p.id, &e) < 0)
			die("release", e.text);
		double t3 = now_us();
		create[i] = t1 - t0;
		refuse[i] = t2 - t1;
		release[i] = t3 - t2;
	}
	rows[CREATE_P50].rounds[round] = percentile(create, CALLS, 50);
	rows[CREATE_P99].rounds[round] = percentile(create, CALLS, 99);
	rows[RELEASE_P50].rounds[round] = percentile(release, CALLS, 50);
	rows[RELEASE_P99].rounds[round] = percentile(release, CALLS, 99);
	rows[REFUSE_P50].rounds[round] = percentile(refuse, CALLS, 50);
}

/* ---- the program ---- */

/* How long a command takes, from before its start to after its end. */
static double command_ms(const char *program, const char *const argv[])
{
	posix_spawn_file_actions_t quiet;
	int status;
	pid_t pid;

	posix_spawn_file_actions_init(&quiet);
	posix_spawn_file_actions_addopen(&quiet, 1, "/dev/null", O_WRONLY, 0);
	double t0 = now_us();
	if (posix_spawn(&pid, program, &quiet, NULL, (char *const *)argv, environ) != 0)
		die("start", program);
	if (waitpid(pid, &status, 0) != pid || status != 0)
		die(argv[1], "the command failed");
	double t1 = now_us();
	posix_spawn_file_actions_destroy(&quiet);
	return (t1 - t0) / 1e3;
}

static void measure_commands(const char *program, int round)
{
	static double create[COMMANDS], list[COMMANDS], release[COMMANDS];
	const char *const create_argv[] = { "chronos", "create", "1", "0.5", "60",
		"--key", "k", NULL };
	const char *const list_argv[] = { "chronos", "list", NULL };
	const char *const release_argv[] = { "chronos", "release", "k", NULL };

	for (int i = 0; i < COMMANDS; i++) {
		create[i] = command_ms(program, create_argv);
		list[i] = command_ms(program, list_argv);
		release[i] = command_ms(program, release_argv);
	}
	rows[COMMAND_CREATE].rounds[round] = percentile(create, COMMANDS, 50);
	rows[COMMAND_LIST].rounds[round] = percentile(list, COMMANDS, 50);
	rows[COMMAND_RELEASE].rounds[round] = percentile(release, COMMANDS, 50);
}

int main(int argc, char **argv)
{
	char dir[] = "/tmp/bench_chronos.XXXXXX", state[64];

	if (argc != 3)
		die("usage", "bench_chronos <program> <report.json>");
	if (!mkdtemp(dir) || setenv("CHRONOS_DIR", dir, 1) < 0)
		die("make", dir);
	struct chronos *c = open_with_partitions(dir);
	for (int round = 0; round < ROUNDS; round++) {
		measure_library(c, round);
		measure_commands(argv[1], round);
	}
	chronos_close(c);
	report(argv[2]);
	snprintf(state, sizeof state, "%s/state", dir);
	unlink(state);
	rmdir(dir);
	return 0;
}
