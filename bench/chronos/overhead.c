/* overhead.c - what a whole device costs a program that is alone on it. */
/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels that are asked for and kernels that are not take turns, in one process. */
#include "bench.h"

#include "timed_device.h"

#include "samples.h"

enum { PAIRS_MAX = 20 };

#define OVERHEAD_FIGURE(KERNELS, AIM)                                                    \
	{                                                                                \
		.what = "added by a share of 1.00, kernels of " KERNELS, .unit = "%",    \
		.kind = AT_MOST, .aim = (AIM)                                            \
	}

static const struct {
	uint64_t kernel_ns;
	int in_a_row, pairs;
	struct figure figure;
} cases[] = {
	{ 1 * MS, 50, 12, OVERHEAD_FIGURE("1 ms", 0.5) },
	{ 50 * MS, 2, 8, OVERHEAD_FIGURE("50 ms", 0.1) },
};

static double run_ns(struct timed_queue *q, uint64_t kernel_ns, int n)
{
	struct chronos_error e = { 0 };
	uint64_t begun_ns = now_ns();

	for (int i = 0; i < n; i++) {
		if (timed_launch(q, kernel_ns, &e) < 0)
			die("launch", e.text);
		timed_wait(q);
	}
	return (double)(now_ns() - begun_ns);
}

static void measure(struct bench *b, enum mode mode)
{
	struct chronos_partition p = make(b, DEVICE, CHRONOS_WHOLE);
	struct timed_device device = { 0 };
	struct timed_queue held = { .device = &device }, not_held = held;
	double with[PAIRS_MAX], without[PAIRS_MAX];

	held.a = join(b, p.id, DEVICE, timed_drain, &held);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		for (int k = 0; k < cases[i].pairs; k++) {
			with[k] = run_ns(&held, cases[i].kernel_ns, cases[i].in_a_row);
			without[k] =
				run_ns(&not_held, cases[i].kernel_ns, cases[i].in_a_row);
		}
		size_t n = (size_t)cases[i].pairs;
		figures_add(b->figures, &cases[i].figure, mode,
			100 * (samples_median(with, n) / samples_median(without, n) - 1));
	}
	chronos_detach(held.a);
	drop(b, &p);
}

const struct group overhead_group = { .name = "overhead",
	.what = "a whole device, alone on it",
	.modes = { [COOPERATIVE] = true, [ARBITRATED] = true },
	.measure = measure };
