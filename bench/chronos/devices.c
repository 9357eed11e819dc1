/* devices.c - how shares hold on two devices at once. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "contest.h"

enum { WINDOW_MS = 3000 };

static const struct worker apart[] = { WORKER(70, 1), WORKER(30, 1),
	WORKER(60, 1, .device = OTHER_DEVICE), WORKER(40, 1, .device = OTHER_DEVICE) };
/* A partition of both devices, with a program on each, and one more on each. */
static const struct worker across[] = { WORKER(50, 1, .on_both = true),
	WORKER(50, 1, .device = OTHER_DEVICE, .joins = true), WORKER(50, 1),
	WORKER(50, 1, .device = OTHER_DEVICE) };

static const struct figure error_apart = {
	.what = "0.7, 0.3 on one and 0.6, 0.4 on the other: lease time, greatest error",
	.unit = "pp",
	.kind = AT_MOST,
	.aim = 1,
	.beside = "without control"
};
static const struct figure error_across = {
	.what = "a partition of 0.5 of both, 0.5 on each: lease time, greatest error",
	.unit = "pp",
	.kind = AT_MOST,
	.aim = 1,
	.beside = "without control"
};

static double error_of(
	struct bench *b, const struct worker *workers, size_t n, enum mode mode)
{
	struct result r = contest_run(b, workers, n, mode, WINDOW_MS);

	return greatest_error(mode == FREE ? r.got : r.lease, workers, n);
}

static void measure(struct bench *b, enum mode mode)
{
	figures_add(b->figures, &error_apart, mode, error_of(b, apart, 4, mode));
	figures_add(b->figures, &error_across, mode, error_of(b, across, 4, mode));
}

const struct group devices_group = { .name = "devices",
	.what = "two devices at once, and a partition of both",
	.modes = { true, true, true },
	.measure = measure };
