/* bench_chronos.c - what partitions cost, and how exactly they hold: groups of figures in rounds. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything is measured in a directory of partitions of its own under /tmp, in which 64
 * partitions are in place.  In a round the groups take turns, and within a group what it
 * is measured beside, the cooperative mode and the arbitrated one.
 */
#include "bench.h"

#include <errno.h>
#include <getopt.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "keeper.h"
#include "str.h"

static const struct group *const groups[] = { &machine_group, &books_group,
	&commands_group, &race_group, &shares_2_group, &shares_4_group, &shares_8_group,
	&shares_16_group, &busy_group, &smallest_group, &devices_group, &cap_group,
	&overhead_group, &burst_group, &expiry_group, &recovery_group, &memory_group,
	&hooks_group, &arbiter_group, &opencl_group, &cuda_group, &plot_group };
enum { GROUPS = sizeof groups / sizeof *groups };

enum { ROUNDS_DEFAULT = 3 };

static const char *const columns[MODES] = {
	[FREE] = "beside", [COOPERATIVE] = "cooperative", [ARBITRATED] = "arbitrated"
};

static const char help[] =
	"Usage: bench_chronos [--only GROUP[,GROUP...]] [--rounds N] [--results FOLDER]\n"
	"                     [--program CHRONOS]\n"
	"       bench_chronos --list | --help\n"
	"\n"
	"  --only GROUPS      measure these only; --list names them\n"
	"  --rounds N         1 to 100, 3 when not given: a figure is the median of them\n"
	"  --results FOLDER   write chronos.json and the plot there; without it there is no "
	"plot\n"
	"  --program CHRONOS  the program to measure; ../bin/chronos beside this one when "
	"not given\n"
	"\n"
	"As root it runs before other work of the machine.\n"
	"\n"
	"Ends with 0 when all was measured, whether the aims were met or not, with 1 when "
	"something\ncould not be, with 2 when an argument is wrong.\n";

struct wanted {
	bool groups[GROUPS];
	bool some; /* --only was given */
	uint64_t rounds;
	const char *results;
	char program[PATH_MAX];
	const char *dir;
};

_Noreturn void die(const char *what, const char *why)
{
	fprintf(stderr, "bench_chronos: cannot %s: %s\n", what, why);
	exit(1);
}

/* ---- the command line ---- */

static _Noreturn void bad_usage(const char *what, const char *value, const char *allowed)
{
	fprintf(stderr, "bench_chronos: %s \"%s\": %s\n", what, value, allowed);
	exit(2);
}

static void list_groups(FILE *out)
{
	for (int i = 0; i < GROUPS; i++)
		fprintf(out, "  %-12s %s\n", groups[i]->name, groups[i]->what);
}

static void want_group(struct wanted *w, const char *name)
{
	for (int i = 0; i < GROUPS; i++) {
		if (strcmp(groups[i]->name, name) == 0) {
			w->groups[i] = true;
			return;
		}
	}
	fprintf(stderr,
		"bench_chronos: --only \"%s\": there is no such group; there are\n",
		name);
	list_groups(stderr);
	exit(2);
}

static void want_groups(struct wanted *w, const char *names)
{
	CLEANUP(free_ptr) char *copy = str_fmt("%s", names);
	char *rest = copy;

	w->some = true;
	for (char *name; (name = strsep(&rest, ","));)
		want_group(w, name);
}

static void find_program(char path[PATH_MAX])
{
	char here[PATH_MAX];

	if (!realpath("/proc/self/exe", here) ||
		!str_put(path, PATH_MAX, "%s/../bin/chronos", dirname(here)))
		die("find the program chronos", "say --program CHRONOS");
}

static void read_arguments(struct wanted *w, int argc, char **argv)
{
	static const struct option options[] = { { "only", required_argument, NULL, 'o' },
		{ "rounds", required_argument, NULL, 'r' },
		{ "results", required_argument, NULL, 'd' },
		{ "program", required_argument, NULL, 'p' },
		{ "list", no_argument, NULL, 'l' }, { "help", no_argument, NULL, 'h' },
		{ 0 } };
	struct err e = { 0 };

	for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		switch (c) {
		case 'o':
			want_groups(w, optarg);
			break;
		case 'r':
			if (parse_u64(optarg, 1, FIGURES_ROUNDS_MAX, &w->rounds, &e) < 0)
				bad_usage("--rounds", optarg, "a number from 1 to 100");
			break;
		case 'd':
			w->results = optarg;
			break;
		case 'p':
			if (!str_put(w->program, PATH_MAX, "%s", optarg))
				bad_usage("--program", optarg, "too long a path");
			break;
		case 'l':
			list_groups(stdout);
			exit(0);
		case 'h':
			fputs(help, stdout);
			exit(0);
		default:
			fputs(help, stderr);
			exit(2);
		}
	}
	if (optind < argc)
		bad_usage("argument", argv[optind], "there are none but options");
}

/* Before anything is measured: what would only be found out at the end. */
static void check_arguments(struct wanted *w)
{
	if (!*w->program)
		find_program(w->program);
	if (access(w->program, X_OK) < 0)
		bad_usage("--program", w->program, strerror(errno));
	if (w->results && access(w->results, W_OK | X_OK) < 0)
		bad_usage("--results", w->results, strerror(errno));
}

/* ---- measuring ---- */

static struct chronos *open_with_partitions(const char *dir)
{
	const struct chronos_device_spec spec = { CHRONOS_DEVICES_SIMULATED, DEVICES };
	struct chronos_device devices[DEVICES];
	struct chronos_error e = { 0 };
	size_t n;

	struct chronos *c = chronos_open(dir, &e);
	if (!c || chronos_devices_discover(&spec, devices, DEVICES, &n, &e) < 0 ||
		chronos_devices_register(c, devices, n, &e) < 0)
		die("open a directory of partitions", e.text);
	for (int i = 0; i < PARTITIONS; i++)
		make(&(struct bench){ .c = c }, FILLED_DEVICE, 1);
	return c;
}

static void say(uint64_t begun_ns, uint64_t round, const struct wanted *w,
	const char *group, const char *mode)
{
	fprintf(stderr, "  %6.1f s  round %llu of %llu: %s, %s\n",
		(double)(now_ns() - begun_ns) / (double)S, (unsigned long long)round,
		(unsigned long long)w->rounds, group, mode);
}

static void measure_group(struct bench *b, const struct group *g, uint64_t begun_ns,
	uint64_t round, const struct wanted *w)
{
	figures_group(b->figures, g->name);
	for (enum mode mode = FREE; mode < MODES; mode++) {
		if (!g->modes[mode])
			continue;
		say(begun_ns, round, w, g->name, columns[mode]);
		if (mode == ARBITRATED)
			arbiter_start(b);
		g->measure(b, mode);
		if (mode == ARBITRATED)
			arbiter_end(b);
	}
}

static void check_groups(struct bench *b, const struct wanted *w)
{
	for (int i = 0; i < GROUPS; i++) {
		if (w->groups[i] && groups[i]->check)
			groups[i]->check(b);
	}
}

static void report(const struct bench *b)
{
	struct err e = { 0 };

	figures_print(b->figures, stdout);
	printf("aims missed: %zu\n", figures_missed(b->figures));
	if (figures_without_value(b->figures))
		printf("without a value, as every round was discarded: %zu\n",
			figures_without_value(b->figures));
	fflush(stdout);
	if (!b->results)
		return;
	CLEANUP(free_ptr) char *path = result_path(b, "chronos.json");
	if (figures_write_json(b->figures, path, &e) < 0)
		die("report", e.text);
	printf("written: %s\n", path);
}

/* In a process of its own, which the keeper cleans up after. */
static int run(void *arg)
{
	const struct wanted *w = arg;
	struct bench b = { .dir = w->dir, .program = w->program, .results = w->results };
	uint64_t begun_ns = now_ns();

	b.figures = figures_new(columns, MODES);
	b.c = open_with_partitions(w->dir);
	check_groups(&b, w);
	for (uint64_t round = 1; round <= w->rounds; round++) {
		for (int i = 0; i < GROUPS; i++) {
			if (w->groups[i] && (round == 1 || !groups[i]->once))
				measure_group(&b, groups[i], begun_ns, round, w);
		}
	}
	report(&b);
	int status = figures_without_value(b.figures) ? 1 : 0;
	figures_free(b.figures);
	chronos_close(b.c);
	return status;
}

int main(int argc, char **argv)
{
	char dir[] = "/tmp/bench_chronos.XXXXXX";
	struct wanted w = { .rounds = ROUNDS_DEFAULT, .dir = dir };

	read_arguments(&w, argc, argv);
	for (int i = 0; i < GROUPS && !w.some; i++)
		w.groups[i] = groups[i] != &plot_group || w.results;
	check_arguments(&w);
	if (!mkdtemp(dir) || setenv("CHRONOS_DIR", dir, 1) < 0)
		die("make a folder", dir);
	return keep(dir, run, &w);
}
