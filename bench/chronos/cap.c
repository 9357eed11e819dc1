/* cap.c - what a partition of half a device gets when nobody else is there. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "contest.h"

#define HALF(WHAT, KERNELS)                                                              \
	{                                                                                \
		.what = WHAT " of 0.5 alone, " KERNELS, .unit = "%", .kind = WITHIN,     \
		.aim = 50, .tolerance = 2, .beside = "without control"                   \
	}
#define HALF_OF(KERNELS) HALF("device time", KERNELS), HALF("lease time", KERNELS)

/* Device time is less than lease time by what the program needs from one kernel to the
 * next, as it is without control. */
static const struct {
	struct worker worker;
	unsigned window_ms;
	struct figure device, lease;
} cases[] = {
	{ WORKER(50, 1), 1500, HALF_OF("kernels of 1 ms") },
	{ WORKER(50, 1, .ahead = 8), 1500, HALF_OF("1 ms, 8 before a wait") },
	{ WORKER(50, 50), 3000, HALF_OF("50 ms") },
};

static void measure(struct bench *b, enum mode mode)
{
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct result r =
			contest_run(b, &cases[i].worker, 1, mode, cases[i].window_ms);
		figures_add(b->figures, &cases[i].device, mode, 100 * r.got[0]);
		if (mode != FREE)
			figures_add(b->figures, &cases[i].lease, mode, 100 * r.lease[0]);
	}
}

const struct group cap_group = { .name = "cap",
	.what = "half a device, alone on it",
	.modes = { true, true, true },
	.measure = measure };
