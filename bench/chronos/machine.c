/* machine.c - how quiet the machine is, without which no other figure means much. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "bench.h"

#include <stdlib.h>

#include "samples.h"

enum { SLEEPS = 500 };

static const struct figure load = { .what = "load average of the last minute",
	.unit = "" };
static const struct figure late_p50 = { .what = "a sleep of 1 ms ends late by, p50",
	.unit = "us" };
static const struct figure late_p99 = { .what = "a sleep of 1 ms ends late by, p99",
	.unit = "us" };

static void measure(struct bench *b, enum mode mode)
{
	static double late_us[SLEEPS];
	double average;

	if (getloadavg(&average, 1) != 1)
		die("ask for the load average", "the system does not tell");
	for (int i = 0; i < SLEEPS; i++) {
		uint64_t begun_ns = now_ns();
		sleep_ms(1);
		late_us[i] = ((double)(now_ns() - begun_ns) - (double)MS) / 1000;
	}
	figures_add(b->figures, &load, mode, average);
	figures_add(b->figures, &late_p50, mode, samples_percentile(late_us, SLEEPS, 50));
	figures_add(b->figures, &late_p99, mode, samples_percentile(late_us, SLEEPS, 99));
}

const struct group machine_group = { .name = "machine",
	.what = "how quiet the machine is",
	.modes = { [COOPERATIVE] = true },
	.measure = measure };
