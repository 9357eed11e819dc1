/* cap.c - what a partition of half a device gets when nobody else is there. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "contest.h"

#define CAP_FIGURE(KERNELS)                                                              \
	{                                                                                \
		.what = "device time of 0.5 alone, " KERNELS, .unit = "%",               \
		.kind = WITHIN, .aim = 50, .tolerance = 2, .beside = "without control"   \
	}

static const struct {
	struct worker worker;
	unsigned window_ms;
	struct figure figure;
} cases[] = {
	{ WORKER(50, 1), 1500, CAP_FIGURE("kernels of 1 ms") },
	{ WORKER(50, 1, .ahead = 8), 1500, CAP_FIGURE("1 ms, 8 before a wait") },
	{ WORKER(50, 50), 3000, CAP_FIGURE("50 ms") },
};

static void measure(struct bench *b, enum mode mode)
{
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct result r =
			contest_run(b, &cases[i].worker, 1, mode, cases[i].window_ms);
		figures_add(b->figures, &cases[i].figure, mode, 100 * r.got[0]);
	}
}

const struct group cap_group = { .name = "cap",
	.what = "half a device, alone on it",
	.modes = { true, true, true },
	.measure = measure };
