/* burst.c - what a burst partition gets of idle time, and what that costs who comes back. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "contest.h"

#include "timed_device.h"

#include "samples.h"

enum {
	IDLE_MS = 1000,
	VISITS = 30,
	APART_MS = 40, /* between the end of a visit and the next */
	BACK_MS = 1000,
};

static const struct figure gets = {
	.what = "device time of a burst 0.5 beside an idle 0.5, of the same alone",
	.unit = "%",
	.kind = AT_LEAST,
	.aim = 95,
	.beside = "0.5 without --burst"
};
static const struct figure wait_p50 = {
	.what = "wait of the idle one for a turn when it comes back, p50",
	.unit = "ms",
	.kind = AT_MOST,
	.aim = 10
};
static const struct figure wait_p90 = {
	.what = "p90", .unit = "ms", .kind = AT_MOST, .aim = 10
};
static const struct figure wait_most = {
	.what = "longest of 30", .unit = "ms", .kind = AT_MOST, .aim = 10
};
static const struct figure wait_most_capped = {
	.what = "longest of 30, the other without --burst",
	.unit = "ms",
};
static const struct figure back = {
	.what = "throughput of the 0.5 that is back, of the same alone",
	.unit = "%",
	.kind = AT_LEAST,
	.aim = 47,
};

static void run_one(struct timed_queue *q)
{
	struct chronos_error e = { 0 };

	if (timed_launch(q, MS, &e) < 0)
		die("launch", e.text);
	timed_wait(q);
}

static double rate(const struct standing *from, const struct standing *to)
{
	return (double)(to->got_ns[0] - from->got_ns[0]) /
	       (double)(to->at_ns - from->at_ns);
}

/* What the other gets while nobody comes. */
static double alone(const struct contest *c)
{
	struct standing from, to;

	contest_look(c, &from);
	sleep_ms(IDLE_MS);
	contest_look(c, &to);
	return rate(&from, &to);
}

static void visit(struct timed_queue *q, double wait_ms[VISITS])
{
	for (int i = 0; i < VISITS; i++) {
		sleep_ms(APART_MS);
		q->longest_wait_ns = 0;
		run_one(q);
		wait_ms[i] = (double)q->longest_wait_ns / (double)MS;
	}
}

static double come_back(struct timed_queue *q)
{
	uint64_t begun_ns = now_ns(), got_ns = q->got_ns;

	while (now_ns() < begun_ns + BACK_MS * MS)
		run_one(q);
	return (double)(q->got_ns - got_ns) / (double)(now_ns() - begun_ns);
}

static double with_neighbour(struct bench *b, enum mode mode, bool burst,
	double wait_ms[VISITS], double *returned)
{
	const struct worker w = WORKER(50, 1, .burst = burst);
	struct contest *c = contest_begin(b, &w, 1, mode);
	struct chronos_partition p = make(b, DEVICE, 50);
	struct timed_queue q = { .device = contest_device(c, DEVICE) };

	q.a = join(b, p.id, DEVICE, timed_drain, &q);
	double got = alone(c);
	visit(&q, wait_ms);
	*returned = come_back(&q);
	chronos_detach(q.a);
	drop(b, &p);
	contest_end(c);
	return got;
}

static void measure(struct bench *b, enum mode mode)
{
	double solo = contest_solo(b, (struct worker)WORKER(50, 1));
	double wait_ms[VISITS], returned;

	double got = with_neighbour(b, mode, false, wait_ms, &returned);
	double capped_most = samples_greatest(wait_ms, VISITS);
	if (mode == COOPERATIVE)
		figures_add(b->figures, &gets, FREE, 100 * got / solo);
	got = with_neighbour(b, mode, true, wait_ms, &returned);
	figures_add(b->figures, &gets, mode, 100 * got / solo);
	figures_add(b->figures, &wait_p50, mode, samples_median(wait_ms, VISITS));
	figures_add(b->figures, &wait_p90, mode, samples_percentile(wait_ms, VISITS, 90));
	figures_add(b->figures, &wait_most, mode, samples_greatest(wait_ms, VISITS));
	figures_add(b->figures, &wait_most_capped, mode, capped_most);
	figures_add(b->figures, &back, mode, 100 * returned / solo);
}

const struct group burst_group = { .name = "burst",
	.what = "a burst partition beside one that is idle and comes back",
	.modes = { [COOPERATIVE] = true, [ARBITRATED] = true },
	.measure = measure };
