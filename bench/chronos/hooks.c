/* hooks.c - what a program pays at each launch and at each allocation. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "bench.h"

#include "samples.h"

enum { BATCHES = 400, BATCH = 500 };

static const struct figure launch_whole = {
	.what = "launch and end, share 1.00", .unit = "ns", .kind = AT_MOST, .aim = 100
};
static const struct figure launch_capped = {
	.what = "launch and end, share 0.99, p50 of batches",
	.unit = "ns",
	.kind = AT_MOST,
	.aim = 150
};
static const struct figure launch_capped_mean = {
	.what = "launch and end, share 0.99, mean with the waits for turns",
	.unit = "ns",
	.kind = AT_MOST,
	.aim = 150
};
static const struct figure charge = {
	.what = "charge and uncharge", .unit = "ns", .kind = AT_MOST, .aim = 200
};

static void launch_once(struct chronos_attachment *a)
{
	struct chronos_error e = { 0 };

	if (chronos_launch(a, &e) < 0)
		die("launch", e.text);
	chronos_launch_done(a, 1);
}

static void charge_once(struct chronos_attachment *a)
{
	struct chronos_error e = { 0 };

	if (chronos_charge(a, 4096, &e) < 0)
		die("charge memory", e.text);
	chronos_uncharge(a, 4096);
}

struct cost {
	double median_ns, mean_ns; /* of a call, in batches */
};

static struct cost cost_of(
	struct bench *b, uint32_t hundredths, void (*call)(struct chronos_attachment *a))
{
	static double each_ns[BATCHES];
	struct chronos_partition p = make(b, DEVICE, hundredths);
	struct chronos_attachment *a = join(b, p.id, DEVICE, NULL, NULL);
	double sum_ns = 0;

	for (int i = 0; i < BATCHES; i++) {
		uint64_t begun_ns = now_ns();
		for (int k = 0; k < BATCH; k++)
			call(a);
		each_ns[i] = (double)(now_ns() - begun_ns) / BATCH;
		sum_ns += each_ns[i];
	}
	chronos_detach(a);
	drop(b, &p);
	return (struct cost){ samples_median(each_ns, BATCHES), sum_ns / BATCHES };
}

static void measure(struct bench *b, enum mode mode)
{
	figures_add(b->figures, &launch_whole, mode,
		cost_of(b, CHRONOS_WHOLE, launch_once).median_ns);
	struct cost capped = cost_of(b, 99, launch_once);
	figures_add(b->figures, &launch_capped, mode, capped.median_ns);
	figures_add(b->figures, &launch_capped_mean, mode, capped.mean_ns);
	figures_add(b->figures, &charge, mode, cost_of(b, 33, charge_once).median_ns);
}

const struct group hooks_group = { .name = "hooks",
	.what = "what a launch and an allocation cost in the library",
	.modes = { [COOPERATIVE] = true, [ARBITRATED] = true },
	.measure = measure };
