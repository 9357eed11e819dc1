/* arbiter.c - how much of a processor the arbiter takes, idle and by the grant. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "contest.h"

#include "share.h"

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

enum { IDLE_MS = 1000, BUSY_MS = 1000 };

static const struct figure idle = { .what = "arbiter's processor time, nobody has joined",
	.unit = "%" };

#define GRANT_FIGURE(N)                                                                  \
	{                                                                                \
		.what = "arbiter's processor time of a grant, " N " partitions",         \
		.unit = "us"                                                             \
	}
#define PROCESSOR_FIGURE(N)                                                              \
	{                                                                                \
		.what = "of a processor, " N " partitions", .unit = "%"                  \
	}

static const struct {
	size_t n;
	uint32_t hundredths;
	struct figure grant, processor;
} cases[] = {
	{ 2, 50, GRANT_FIGURE("2"), PROCESSOR_FIGURE("2") },
	{ 16, 6, GRANT_FIGURE("16"), PROCESSOR_FIGURE("16") },
	{ 64, 1, GRANT_FIGURE("64"), PROCESSOR_FIGURE("64") },
};

static uint64_t processor_ns(const struct bench *b)
{
	struct timespec t;
	clockid_t clock;

	if (clock_getcpuclockid(b->arbiter, &clock) != 0 || clock_gettime(clock, &t) < 0)
		die("ask for the arbiter's processor time", "it is gone");
	return (uint64_t)t.tv_sec * S + (uint64_t)t.tv_nsec;
}

/* Leases that the device has given so far. */
static uint64_t grants(const struct bench *b)
{
	struct file_name name = chronos_device_file(DEVICE);
	int dir = open(b->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int fd = openat(dir, name.text, O_RDONLY | O_CLOEXEC);
	uint64_t n;

	if (pread(fd, &n, sizeof n, offsetof(struct device_file, grants)) != sizeof n)
		die("count grants", name.text);
	close(fd);
	close(dir);
	return n;
}

static void measure_busy(struct bench *b, enum mode mode, size_t i)
{
	struct worker workers[WORKERS_MAX];

	for (size_t k = 0; k < cases[i].n; k++)
		workers[k] = (struct worker)WORKER(cases[i].hundredths, 1);
	struct contest *c = contest_begin(b, workers, cases[i].n, mode);
	uint64_t begun_ns = now_ns(), had_ns = processor_ns(b), had = grants(b);
	sleep_ms(BUSY_MS);
	double wall_ns = (double)(now_ns() - begun_ns),
	       took_ns = (double)(processor_ns(b) - had_ns),
	       given = (double)(grants(b) - had);
	contest_end(c);
	if (given <= 0)
		die("count grants", "nothing was granted");
	figures_add(b->figures, &cases[i].grant, mode, took_ns / given / 1000);
	figures_add(b->figures, &cases[i].processor, mode, 100 * took_ns / wall_ns);
}

static void measure(struct bench *b, enum mode mode)
{
	uint64_t begun_ns = now_ns(), had_ns = processor_ns(b);

	sleep_ms(IDLE_MS);
	figures_add(b->figures, &idle, mode,
		100 * (double)(processor_ns(b) - had_ns) / (double)(now_ns() - begun_ns));
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		measure_busy(b, mode, i);
}

const struct group arbiter_group = { .name = "arbiter",
	.what = "the arbiter's own processor time",
	.modes = { [ARBITRATED] = true },
	.measure = measure };
