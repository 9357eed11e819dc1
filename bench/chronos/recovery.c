/* recovery.c - how soon others go on when the holder of the lease is killed. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "bench.h"

#include "timed_device.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "samples.h"

enum { KILLS = 8 };

static const struct figure typical = {
	.what = "another's launch after kill -9 of the holder, p50",
	.unit = "ms",
	.kind = AT_MOST,
	.aim = 5
};
static const struct figure slowest = {
	.what = "the same, slowest of 8", .unit = "ms", .kind = AT_MOST, .aim = 5
};

static const struct figure memory = {
	.what = "its memory charged by another of its partition, slowest of 8",
	.unit = "ms",
	.kind = AT_MOST,
	.aim = 1000
};

/* Has all the memory that it may, and launches what is never done, as far as chronos can
 * tell. */
static _Noreturn void hold(const struct bench *b, const char *id, int begun)
{
	struct timed_device device = { 0 };
	struct timed_queue q = { .device = &device };

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	q.a = join(b, id, DEVICE, timed_drain, &q);
	if (chronos_charge(q.a, chronos_quota(q.a), NULL) < 0 ||
		timed_launch(&q, 1, NULL) < 0 || write(begun, "x", 1) != 1)
		_exit(1);
	for (;;)
		pause();
}

static pid_t start_holder(const struct bench *b, const char *id)
{
	int begun[2];
	char byte;

	if (pipe(begun) < 0)
		die("start a holder", "no pipe can be made");
	pid_t pid = fork();
	if (pid == 0)
		hold(b, id, begun[1]);
	close(begun[1]);
	if (pid < 0 || read(begun[0], &byte, 1) != 1)
		die("start a holder", "it ended");
	close(begun[0]);
	return pid;
}

static double recovery_ms(struct bench *b)
{
	struct chronos_partition p = make(b, DEVICE, 50), other = make(b, DEVICE, 50);
	struct timed_device device = { 0 };
	struct timed_queue q = { .device = &device };
	struct chronos_error e = { 0 };

	pid_t holder = start_holder(b, p.id);
	q.a = join(b, other.id, DEVICE, timed_drain, &q);
	uint64_t killed_ns = now_ns();
	kill(holder, SIGKILL);
	if (timed_launch(&q, MS, &e) < 0)
		die("launch after a kill", e.text);
	double ms = (double)(now_ns() - killed_ns) / (double)MS;
	timed_wait(&q);
	waitpid(holder, NULL, 0);
	chronos_detach(q.a);
	drop(b, &p);
	drop(b, &other);
	return ms;
}

/* The next one joins, and asks for all of it, until it gets that. */
static double memory_ms(struct bench *b)
{
	struct chronos_partition p = make(b, DEVICE, 50);
	struct chronos_error e = { 0 };
	bool charged = false;

	pid_t holder = start_holder(b, p.id);
	uint64_t killed_ns = now_ns();
	kill(holder, SIGKILL);
	while (!charged) {
		struct chronos_attachment *a = join(b, p.id, DEVICE, NULL, NULL);
		charged = chronos_charge(a, chronos_quota(a), &e) == 0;
		if (!charged && e.code != CHRONOS_EXHAUSTED)
			die("charge memory", e.text);
		chronos_detach(a);
	}
	double ms = (double)(now_ns() - killed_ns) / (double)MS;
	waitpid(holder, NULL, 0);
	drop(b, &p);
	return ms;
}

static void measure(struct bench *b, enum mode mode)
{
	double ms[KILLS];

	for (int i = 0; i < KILLS; i++)
		ms[i] = recovery_ms(b);
	figures_add(b->figures, &typical, mode, samples_median(ms, KILLS));
	figures_add(b->figures, &slowest, mode, samples_greatest(ms, KILLS));
	for (int i = 0; i < KILLS; i++)
		ms[i] = memory_ms(b);
	figures_add(b->figures, &memory, mode, samples_greatest(ms, KILLS));
}

const struct group recovery_group = { .name = "recovery",
	.what = "kill -9 of a program that holds the lease",
	.modes = { [COOPERATIVE] = true, [ARBITRATED] = true },
	.measure = measure };
