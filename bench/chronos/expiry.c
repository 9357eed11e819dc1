/* expiry.c - how soon after a partition's end nothing more is granted, and its share is free. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "bench.h"

#include "timed_device.h"

#include "samples.h"

enum { TRIALS = 10, LONG_MS = 50, SHORT_MS = 5 };

static const struct figure launch = {
	.what = "first refused launch after the end, slowest of 10",
	.unit = "ms",
	.kind = AT_MOST,
	.aim = 5,
	.quoted = "the original 905, and nothing is refused"
};
static const struct figure allocation = {
	.what = "first refused allocation after the end, slowest of 10",
	.unit = "ms",
	.kind = AT_MOST,
	.aim = 5
};
static const struct figure reuse = {
	.what = "share of an idle partition granted again, slowest of 10",
	.unit = "ms",
	.kind = AT_MOST,
	.aim = 1
};

static struct chronos_partition make_for(
	const struct bench *b, uint32_t hundredths, unsigned ms)
{
	const struct index i = index_of(DEVICE);
	const char *devices[] = { i.text };

	return make_as(b, &(struct chronos_request){ .devices = devices,
				  .device_count = 1,
				  .hundredths = hundredths,
				  .duration_ns = ms * MS,
				  .owner = CHRONOS_OWNER_CALLER });
}

/* How long ago p ended.  Refused before it did, or for another reason, ends the bench. */
static double late_ms(const struct chronos_partition *p, const struct chronos_error *e,
	enum chronos_code expected)
{
	uint64_t now = boot_ns();

	if (e->code != expected)
		die("be refused because a partition has ended", e->text);
	if (now < p->expires_ns)
		die("use a partition until its end", "it was refused before");
	return (double)(now - p->expires_ns) / (double)MS;
}

/* Kernels of 1 ms, each waited for. */
static double launch_ms(const struct bench *b)
{
	struct chronos_partition p = make_for(b, 50, LONG_MS);
	struct timed_device device = { 0 };
	struct timed_queue q = { .device = &device };
	struct chronos_error e = { 0 };

	q.a = join(b, p.id, DEVICE, timed_drain, &q);
	while (timed_launch(&q, MS, &e) == 0)
		timed_wait(&q);
	double ms = late_ms(&p, &e, CHRONOS_NOT_FOUND);
	chronos_detach(q.a);
	return ms;
}

static double allocation_ms(const struct bench *b)
{
	struct chronos_partition p = make_for(b, 50, LONG_MS);
	struct timed_queue q = { 0 };
	struct chronos_error e = { 0 };

	q.a = join(b, p.id, DEVICE, timed_drain, &q);
	while (chronos_charge(q.a, 4096, &e) == 0)
		chronos_uncharge(q.a, 4096);
	double ms = late_ms(&p, &e, CHRONOS_NOT_FOUND);
	chronos_detach(q.a);
	return ms;
}

/* Ask without a pause for what it has, until that is granted. */
static double reuse_ms(const struct bench *b)
{
	struct chronos_partition ended = make_for(b, CHRONOS_WHOLE, SHORT_MS), next;
	const struct index i = index_of(DEVICE);
	const char *devices[] = { i.text };
	const struct chronos_request r = { .devices = devices,
		.device_count = 1,
		.hundredths = CHRONOS_WHOLE,
		.duration_ns = 60 * S,
		.owner = CHRONOS_OWNER_CALLER };
	struct chronos_error e = { 0 };

	while (chronos_create(b->c, &r, &next, NULL, &e) < 0) {
		if (e.code != CHRONOS_EXHAUSTED)
			die("create a partition", e.text);
	}
	e.code = CHRONOS_OK;
	double ms = late_ms(&ended, &e, CHRONOS_OK);
	drop(b, &next);
	return ms;
}

static void measure_one(struct bench *b, enum mode mode, const struct figure *figure,
	double (*trial_ms)(const struct bench *b))
{
	double ms[TRIALS];

	for (int i = 0; i < TRIALS; i++)
		ms[i] = trial_ms(b);
	figures_add(b->figures, figure, mode, samples_greatest(ms, TRIALS));
}

static void measure(struct bench *b, enum mode mode)
{
	measure_one(b, mode, &launch, launch_ms);
	measure_one(b, mode, &allocation, allocation_ms);
	measure_one(b, mode, &reuse, reuse_ms);
}

const struct group expiry_group = { .name = "expiry",
	.what = "the end of a partition's time",
	.modes = { [COOPERATIVE] = true, [ARBITRATED] = true },
	.measure = measure };
