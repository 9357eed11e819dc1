/* books.c - what creating and releasing a partition costs in the library. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "bench.h"

#include "samples.h"

enum { CALLS = 20000 };

#define US 1000.0

static const struct figure create_p50 = { .what = "create, 64 partitions in place, p50",
	.unit = "us",
	.kind = AT_MOST,
	.aim = 2,
	.quoted = "the original 671" };
static const struct figure create_p99 = { .what = "create, 64 partitions in place, p99",
	.unit = "us",
	.kind = AT_MOST,
	.aim = 10 };
static const struct figure release_p50 = { .what = "release, p50",
	.unit = "us",
	.kind = AT_MOST,
	.aim = 2,
	.quoted = "the original 171" };
static const struct figure release_p99 = {
	.what = "release, p99", .unit = "us", .kind = AT_MOST, .aim = 10
};
static const struct figure refuse_p50 = {
	.what = "create that is refused, p50", .unit = "us", .kind = AT_MOST, .aim = 2
};

static double create_us[CALLS], release_us[CALLS], refuse_us[CALLS];

static void call_all(struct bench *b, int i)
{
	const char *devices[] = { "1" };
	const struct chronos_request r = { .key = "worker.job.1",
		.devices = devices,
		.device_count = 1,
		.hundredths = 50,
		.duration_ns = 60 * S,
		.owner = CHRONOS_OWNER_CALLER };
	struct chronos_request more = r;
	struct chronos_partition p, none;
	struct chronos_error e = { 0 };

	more.key = NULL;
	more.hundredths = 51;
	uint64_t t0 = now_ns();
	if (chronos_create(b->c, &r, &p, NULL, &e) < 0)
		die("create a partition", e.text);
	uint64_t t1 = now_ns();
	if (chronos_create(b->c, &more, &none, NULL, &e) == 0)
		die("be refused a partition", "what was not there was granted");
	uint64_t t2 = now_ns();
	if (chronos_release(b->c, p.id, &e) < 0)
		die("release a partition", e.text);
	uint64_t t3 = now_ns();
	create_us[i] = (double)(t1 - t0) / US;
	refuse_us[i] = (double)(t2 - t1) / US;
	release_us[i] = (double)(t3 - t2) / US;
}

static void measure(struct bench *b, enum mode mode)
{
	struct figures *f = b->figures;

	for (int i = 0; i < CALLS; i++)
		call_all(b, i);
	figures_add(f, &create_p50, mode, samples_percentile(create_us, CALLS, 50));
	figures_add(f, &create_p99, mode, samples_percentile(create_us, CALLS, 99));
	figures_add(f, &release_p50, mode, samples_percentile(release_us, CALLS, 50));
	figures_add(f, &release_p99, mode, samples_percentile(release_us, CALLS, 99));
	figures_add(f, &refuse_p50, mode, samples_percentile(refuse_us, CALLS, 50));
}

const struct group books_group = { .name = "books",
	.what = "create and release in the library",
	.modes = { [COOPERATIVE] = true, [ARBITRATED] = true },
	.measure = measure };
