/* bench_chronos.c - what a partition costs: in the library, and as a command. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Usage: bench_chronos <path of the program chronos> <report.json> <plot.svg>
 *
 * Measures with 64 partitions in place, in ROUNDS rounds; a value is the median of the
 * rounds, with the least and the greatest.  The original Chronos (C++) is named as the
 * baseline of most rows and has no value: it is not installed here.  Beside the errors of
 * shares stand those of the same programs without any control, in the same run.
 */
#include "bench.h"

#include <jansson.h>

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

enum {
	ROUNDS = 5,
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

_Noreturn void die(const char *what, const char *why)
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
	double beside[ROUNDS]; /* without control */
	bool has_beside;
	bool more_is_better;
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
	LEASE_ERROR_2,
	LEASE_ERROR_4,
	THROUGHPUT_ERROR_2,
	THROUGHPUT_ERROR_4,
	LEASE_ERROR_8,
	LEASE_ERROR_16,
	JAIN_4,
	LAUNCH_CAPPED,
	LAUNCH_WHOLE,
	CHARGE,
	MEMORY_ERROR,
	RECOVERY,
	OWN_ROWS,
	/* Those of the shares once more, with an arbiter. */
	ARBITRATED = OWN_ROWS - LEASE_ERROR_2,
	ROWS = OWN_ROWS + ARBITRATED
};

static struct row rows[ROWS] = {
	[CREATE_P50] = { .what = "create in the library, p50", .unit = "us", .aim = 2 },
	[CREATE_P99] = { .what = "create in the library, p99", .unit = "us", .aim = 10 },
	[RELEASE_P50] = { .what = "release in the library, p50", .unit = "us", .aim = 2 },
	[RELEASE_P99] = { .what = "release in the library, p99",
		.unit = "us",
		.aim = 10 },
	[REFUSE_P50] = { .what = "create that is refused, p50", .unit = "us", .aim = 2 },
	[COMMAND_CREATE] = { .what = "chronos create, p50", .unit = "ms", .aim = 3 },
	[COMMAND_LIST] = { .what = "chronos list, p50", .unit = "ms", .aim = 3 },
	[COMMAND_RELEASE] = { .what = "chronos release, p50", .unit = "ms", .aim = 3 },
	[LEASE_ERROR_2] = { .what = "share error of lease time, 2 processes",
		.unit = "pp",
		.aim = 1,
		.has_beside = true },
	[LEASE_ERROR_4] = { .what = "share error of lease time, 4 processes",
		.unit = "pp",
		.aim = 1,
		.has_beside = true },
	[THROUGHPUT_ERROR_2] = { .what = "share error of throughput, 2 processes",
		.unit = "pp",
		.aim = 3,
		.has_beside = true },
	[THROUGHPUT_ERROR_4] = { .what = "share error of throughput, 4 processes",
		.unit = "pp",
		.aim = 3,
		.has_beside = true },
	[LEASE_ERROR_8] = { .what = "share error of lease time, 8 processes",
		.unit = "pp",
		.aim = 1,
		.has_beside = true },
	[LEASE_ERROR_16] = { .what = "share error of lease time, 16 processes",
		.unit = "pp",
		.aim = 1,
		.has_beside = true },
	[JAIN_4] = { .what = "Jain index of time by share, 4 processes",
		.unit = "",
		.aim = 0.999,
		.more_is_better = true },
	[LAUNCH_CAPPED] = { .what = "launch and end, share 0.99",
		.unit = "ns",
		.aim = 150 },
	[LAUNCH_WHOLE] = { .what = "launch and end, share 1.00",
		.unit = "ns",
		.aim = 100 },
	[CHARGE] = { .what = "charge and uncharge", .unit = "ns", .aim = 200 },
	[MEMORY_ERROR] = { .what = "memory off the quota", .unit = "B", .aim = 0 },
	[RECOVERY] = { .what = "launch after kill -9 of the holder",
		.unit = "ms",
		.aim = 5 },
};

static double percentile(double *samples, size_t n, size_t percent)
{
	qsort(samples, n, sizeof *samples, by_value);
	return samples[n * percent / 100];
}

static double median(const double rounds[ROUNDS])
{
	double sorted[ROUNDS];

	memcpy(sorted, rounds, sizeof sorted);
	return percentile(sorted, ROUNDS, 50);
}

static bool is_met(const struct row *row)
{
	double value = median(row->rounds);

	return row->more_is_better ? value >= row->aim : value <= row->aim;
}

static json_t *json_of_row(const struct row *row)
{
	double sorted[ROUNDS], value = median(row->rounds), beside = median(row->beside);
	bool has_ratio = row->has_beside && value > 0;

	memcpy(sorted, row->rounds, sizeof sorted);
	qsort(sorted, ROUNDS, sizeof *sorted, by_value);
	return json_pack("{s:s, s:f, s:s, s:f, s:f, s:s, s:o, s:o, s:f, s:b}", "what",
		row->what, "value", value, "unit", row->unit, "min", sorted[0], "max",
		sorted[ROUNDS - 1], "beside",
		row->has_beside ? "the same programs without control" : BASELINE,
		"beside_value", row->has_beside ? json_real(beside) : json_null(),
		"ratio", has_ratio ? json_real(beside / value) : json_null(), "aim",
		row->aim, "met", is_met(row));
}

static void name_arbitrated_rows(void)
{
	static char names[ARBITRATED][80];

	for (int i = LEASE_ERROR_2; i < OWN_ROWS; i++) {
		char *name = names[i - LEASE_ERROR_2];
		struct row *row = &rows[i + ARBITRATED];
		*row = rows[i];
		snprintf(name, sizeof names[0], "arbitrated: %s", rows[i].what);
		row->what = name;
	}
}

static void report(const char *path)
{
	json_t *list = json_array();

	printf("%-54s %10s %5s %8s %-4s %s\n", "what", "median", "unit", "aim", "met",
		"without control");
	for (int i = 0; i < ROWS; i++) {
		printf("%-54s %10.4g %5s %8g %-4s", rows[i].what, median(rows[i].rounds),
			rows[i].unit, rows[i].aim, is_met(&rows[i]) ? "yes" : "NO");
		if (rows[i].has_beside)
			printf(" %.3g", median(rows[i].beside));
		putchar('\n');
		json_array_append_new(list, json_of_row(&rows[i]));
	}
	puts("elsewhere beside: " BASELINE);
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

/* ---- the shares ---- */

static void keep_shares(const struct share_round *r, int round, int offset)
{
	rows[LEASE_ERROR_2 + offset].rounds[round] = r->lease_error_2;
	rows[LEASE_ERROR_2 + offset].beside[round] = r->free_error_2;
	rows[LEASE_ERROR_4 + offset].rounds[round] = r->lease_error_4;
	rows[LEASE_ERROR_4 + offset].beside[round] = r->free_error_4;
	rows[THROUGHPUT_ERROR_2 + offset].rounds[round] = r->throughput_error_2;
	rows[THROUGHPUT_ERROR_2 + offset].beside[round] = r->free_error_2;
	rows[THROUGHPUT_ERROR_4 + offset].rounds[round] = r->throughput_error_4;
	rows[THROUGHPUT_ERROR_4 + offset].beside[round] = r->free_error_4;
	rows[LEASE_ERROR_8 + offset].rounds[round] = r->lease_error_8;
	rows[LEASE_ERROR_8 + offset].beside[round] = r->free_error_8;
	rows[LEASE_ERROR_16 + offset].rounds[round] = r->lease_error_16;
	rows[LEASE_ERROR_16 + offset].beside[round] = r->free_error_16;
	rows[JAIN_4 + offset].rounds[round] = r->jain_4;
	rows[LAUNCH_CAPPED + offset].rounds[round] = r->launch_capped_ns;
	rows[LAUNCH_WHOLE + offset].rounds[round] = r->launch_whole_ns;
	rows[CHARGE + offset].rounds[round] = r->charge_ns;
	rows[MEMORY_ERROR + offset].rounds[round] = r->memory_error_bytes;
	rows[RECOVERY + offset].rounds[round] = r->recovery_ms;
}

/* The arbiter, as a program of its own; back when it serves. */
static pid_t start_arbiter(const char *program)
{
	const char *const argv[] = { "chronos", "arbiter", NULL };
	posix_spawn_file_actions_t to_pipe;
	int fds[2];
	char byte;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		die("make", "a pipe");
	posix_spawn_file_actions_init(&to_pipe);
	posix_spawn_file_actions_adddup2(&to_pipe, fds[1], 1);
	if (posix_spawn(&pid, program, &to_pipe, NULL, (char *const *)argv, environ) != 0)
		die("start", program);
	posix_spawn_file_actions_destroy(&to_pipe);
	close(fds[1]);
	if (read(fds[0], &byte, 1) != 1)
		die("arbiter", "it did not start");
	close(fds[0]);
	return pid;
}

static void end_arbiter(pid_t pid)
{
	int status;

	kill(pid, SIGTERM);
	if (waitpid(pid, &status, 0) != pid || status != 0)
		die("arbiter", "it did not end well");
}

static void remove_files(const char *path)
{
	DIR *dir = opendir(path);

	if (!dir)
		die("open", path);
	for (struct dirent *f; (f = readdir(dir));)
		(void)unlinkat(dirfd(dir), f->d_name, 0);
	closedir(dir);
}

int main(int argc, char **argv)
{
	char dir[] = "/tmp/bench_chronos.XXXXXX";

	if (argc != 4)
		die("usage", "bench_chronos <program> <report.json> <plot.svg>");
	if (!mkdtemp(dir) || setenv("CHRONOS_DIR", dir, 1) < 0)
		die("make", dir);
	struct chronos *c = open_with_partitions(dir);
	name_arbitrated_rows();
	for (int round = 0; round < ROUNDS; round++) {
		measure_library(c, round);
		measure_commands(argv[1], round);
		struct share_round shares = { 0 };
		measure_free(c, dir, &shares);
		measure_shares(c, dir, &shares);
		keep_shares(&shares, round, 0);
		pid_t arbiter = start_arbiter(argv[1]);
		measure_shares(c, dir, &shares);
		keep_shares(&shares, round, ARBITRATED);
		if (round == ROUNDS - 1)
			plot_shares(c, dir, argv[3]);
		end_arbiter(arbiter);
	}
	chronos_close(c);
	report(argv[2]);
	remove_files(dir);
	rmdir(dir);
	return 0;
}
