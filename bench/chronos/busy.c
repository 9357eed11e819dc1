/* busy.c - what is lost when all of a device is wanted, and who waits longest. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "contest.h"

enum { WINDOW_MS = 3000, LONG_WINDOW_MS = 4000 };

static const struct worker short_ones[] = { WORKER(70, 1), WORKER(30, 1) };
static const struct worker long_ones[] = { WORKER(70, 50), WORKER(30, 50) };
static const struct worker four[] = { WORKER(40, 50), WORKER(30, 50), WORKER(20, 50),
	WORKER(10, 50) };

static const struct figure lost_short = { .what = "device time lost, 0.7 and 0.3 of 1 ms",
	.unit = "%",
	.kind = AT_MOST,
	.aim = 5,
	.beside = "without control" };
static const struct figure error_short = {
	.what = "lease time, greatest error, 0.7 and 0.3 of 1 ms",
	.unit = "pp",
	.kind = AT_MOST,
	.aim = 1,
	.beside = "without control"
};
static const struct figure lost_long = { .what = "device time lost, 0.7 and 0.3 of 50 ms",
	.unit = "%",
	.kind = AT_MOST,
	.aim = 1,
	.beside = "without control" };
static const struct figure error_long = {
	.what = "lease time, greatest error, 0.7 and 0.3 of 50 ms",
	.unit = "pp",
	.kind = AT_MOST,
	.aim = 1,
	.beside = "without control"
};
/* (1 / share) x kernel + quantum x programs. */
static const struct figure longest_wait = {
	.what = "longest wait of the smallest for its turn",
	.unit = "ms",
	.kind = AT_MOST,
	.aim = 540
};
static const struct figure error_smallest = {
	.what = "lease time, greatest error, .4/.3/.2/.1 of 50 ms, 4 s",
	.unit = "pp",
	.kind = AT_MOST,
	.aim = 1,
	.beside = "without control"
};

static double *had(struct result *r, enum mode mode)
{
	return mode == FREE ? r->got : r->lease;
}

static void measure_one(struct bench *b, enum mode mode, const struct worker *two,
	double *solo, const struct figure *lost, const struct figure *error)
{
	if (mode == FREE)
		*solo = contest_solo(b, two[0]);
	struct result r = contest_run(b, two, 2, mode, WINDOW_MS);
	figures_add(b->figures, error, mode, greatest_error(had(&r, mode), two, 2));
	if (mode != FREE && contest_drifted(b, two[0], *solo))
		figures_discard(b->figures, lost, mode);
	else
		figures_add(b->figures, lost, mode, 100 * (1 - sum_of(r.got, 2) / *solo));
}

static void measure_busy(struct bench *b, enum mode mode)
{
	/* Of this round. */
	static double solo_short, solo_long;

	measure_one(b, mode, short_ones, &solo_short, &lost_short, &error_short);
	measure_one(b, mode, long_ones, &solo_long, &lost_long, &error_long);
}

const struct group busy_group = { .name = "busy",
	.what = "device time lost when all of it is wanted",
	.modes = { true, true, true },
	.measure = measure_busy };

static void measure_smallest(struct bench *b, enum mode mode)
{
	struct result r = contest_run(b, four, 4, mode, LONG_WINDOW_MS);

	if (mode != FREE)
		figures_add(b->figures, &longest_wait, mode, r.longest_wait_ms[3]);
	figures_add(b->figures, &error_smallest, mode,
		greatest_error(had(&r, mode), four, 4));
}

const struct group smallest_group = { .name = "smallest",
	.what = "the longest wait of the smallest share among long kernels",
	.modes = { true, true, true },
	.measure = measure_smallest };
