/* race.c - eight processes that want nearly all of one device at the same time. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "bench.h"

#include <math.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RACERS = 8, ATTEMPTS = 100000 };

static const struct figure granted = {
	.what = "granted of 800,000 creates of 0.9 by 8 processes", .unit = ""
};
static const struct figure overlaps = {
	.what = "granted while another had it", .unit = "", .kind = AT_MOST, .aim = 0
};
static const struct figure sums_off = {
	.what = "hundredths of the device not free again in the end",
	.unit = "",
	.kind = AT_MOST,
	.aim = 0
};
static const struct figure attempt = { .what = "an attempt, all racing", .unit = "us" };

/* Shared by the racers. */
struct track {
	uint32_t go, holders;
	uint64_t granted, overlaps;
};

static void race_once(struct chronos *c, struct track *t)
{
	const struct index i = index_of(DEVICE);
	const char *devices[] = { i.text };
	const struct chronos_request r = { .devices = devices,
		.device_count = 1,
		.hundredths = 90,
		.duration_ns = 60 * S,
		.owner = CHRONOS_OWNER_CALLER };
	struct chronos_partition p;
	struct chronos_error e = { 0 };

	if (chronos_create(c, &r, &p, NULL, &e) < 0) {
		if (e.code != CHRONOS_EXHAUSTED)
			die("race for a partition", e.text);
		return;
	}
	__atomic_fetch_add(&t->granted, 1, __ATOMIC_RELAXED);
	if (__atomic_fetch_add(&t->holders, 1, __ATOMIC_SEQ_CST) > 0)
		__atomic_fetch_add(&t->overlaps, 1, __ATOMIC_RELAXED);
	__atomic_fetch_sub(&t->holders, 1, __ATOMIC_SEQ_CST);
	if (chronos_release(c, p.id, &e) < 0)
		die("release a partition", e.text);
}

static _Noreturn void race(const struct bench *b, struct track *t)
{
	struct chronos_error e = { 0 };

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	struct chronos *c = chronos_open(b->dir, &e);
	if (!c)
		die("open a directory of partitions", e.text);
	while (!__atomic_load_n(&t->go, __ATOMIC_SEQ_CST))
		sleep_ms(1);
	for (int i = 0; i < ATTEMPTS; i++)
		race_once(c, t);
	chronos_close(c);
	_exit(0);
}

/* What create() must find right afterwards: all of it can be had, in two parts. */
static double hundredths_off(const struct bench *b)
{
	struct chronos_error e = { 0 };
	uint32_t free_hundredths;

	if (chronos_available(b->c, index_of(DEVICE).text, &free_hundredths, &e) < 0)
		die("ask what is free", e.text);
	return fabs((double)free_hundredths - CHRONOS_WHOLE);
}

static void measure(struct bench *b, enum mode mode)
{
	struct track *t = mmap(NULL, sizeof *t, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pids[RACERS];
	int status;

	if (t == MAP_FAILED)
		die("race", "no memory");
	for (int i = 0; i < RACERS; i++) {
		pids[i] = fork();
		if (pids[i] < 0)
			die("start a racer", "fork failed");
		if (pids[i] == 0)
			race(b, t);
	}
	uint64_t begun_ns = now_ns();
	__atomic_store_n(&t->go, 1, __ATOMIC_SEQ_CST);
	for (int i = 0; i < RACERS; i++) {
		if (waitpid(pids[i], &status, 0) != pids[i] || status != 0)
			die("race", "a racer failed");
	}
	double took_us = (double)(now_ns() - begun_ns) / 1000;
	figures_add(b->figures, &granted, mode, (double)t->granted);
	figures_add(b->figures, &overlaps, mode, (double)t->overlaps);
	figures_add(b->figures, &sums_off, mode, hundredths_off(b));
	figures_add(b->figures, &attempt, mode, took_us / (RACERS * (double)ATTEMPTS));
	munmap(t, sizeof *t);
}

const struct group race_group = { .name = "race",
	.what = "8 processes that each want 0.9 of a device, 100,000 times",
	.modes = { [COOPERATIVE] = true },
	.measure = measure };
