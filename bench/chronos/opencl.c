/* opencl.c - what the OpenCL layer costs real programs, and how exactly it holds them. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * On PoCL, whose device is a processor: here its one worker on the first, while the
 * programs' own threads are on the second.  What a kernel takes there depends on all that
 * the machine does, so programs that are held take turns with one that is not, and where
 * that one has drifted by more than 3 % in the meantime, what was measured is discarded.
 */
#include "child.h"

#include <math.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "samples.h"
#include "str.h"

enum {
	CPUS = 2,
	TURNS = 4,
	KINDS = 2,
	FREE_MS = 800,    /* what is only compared with need not be as exact */
	WARM_UP_MS = 200, /* uses up what a share has saved up while it waited */
};

#define DRIFT_MAX 0.03

/* ---- figures ---- */

static const struct figure launch_whole = {
	.what = "clEnqueueNDRangeKernel and clFinish, empty kernel, share 1.00",
	.unit = "us",
	.beside = "no layer"
};
static const struct figure launch_half = {
	.what = "the same, share 0.50", .unit = "us", .beside = "no layer"
};
static const struct figure buffer_whole = {
	.what = "clCreateBuffer and release, added by a share of 1.00",
	.unit = "ns",
	.kind = AT_MOST,
	.aim = 200,
	.beside = "the call itself"
};
static const struct figure buffer_half = { .what = "the same, added by a share of 0.50",
	.unit = "ns",
	.kind = AT_MOST,
	.aim = 200,
	.beside = "the call itself" };

#define ADDED(KERNELS, AIM)                                                              \
	{                                                                                \
		.what = "added by a share of 1.00, kernels of " KERNELS, .unit = "%",    \
		.kind = AT_MOST, .aim = (AIM)                                            \
	}
#define CAPPED(KERNELS)                                                                  \
	{                                                                                \
		.what = "throughput of 0.5 alone, kernels of " KERNELS                   \
			", of the same not held",                                        \
		.unit = "%", .kind = WITHIN, .aim = 50, .tolerance = 2                   \
	}
#define ERROR(KERNELS)                                                                   \
	{                                                                                \
		.what = "0.7 and 0.3, kernels of " KERNELS                               \
			": throughput, greatest error",                                  \
		.unit = "pp", .kind = AT_MOST, .aim = 3, .beside = "no layer"            \
	}

/* Of kernels: how long, and how long to look at them. */
static struct kind {
	const char *us;
	int turn_ms, window_ms;
	struct figure added, capped, error;
	char steps[32]; /* as calibrated */
} kinds[KINDS] = {
	{ "1000", 250, 1200, ADDED("1 ms", 0.5), CAPPED("1 ms"), ERROR("1 ms"), "" },
	{ "50000", 400, 1500, ADDED("50 ms", 0.1), CAPPED("50 ms"), ERROR("50 ms"), "" },
};

static const uint32_t shares[2] = { 70, 30 };

/* ---- programs ---- */

static struct child start(const struct bench *b, const struct chronos_partition *p,
	const struct kind *kind, int warm_up_ms, int ms)
{
	char warm_up[16], window[16];
	const char *const args[] = { "kernels", kind->steps, warm_up, window, NULL };

	str_put(warm_up, sizeof warm_up, "%d", warm_up_ms);
	str_put(window, sizeof window, "%d", ms);
	return child_start(b, p, "bench_opencl", args);
}

static double rate(struct child *c)
{
	double value;

	child_work(c);
	child_answer(c, &value, 1);
	return value;
}

/* Both at once: the greatest difference of what they get from their shares. */
static double error_of(
	const struct bench *b, const struct kind *kind, bool held, double solo)
{
	struct chronos_partition p[2];
	struct child c[2];
	double most = 0, had;

	for (int i = 0; i < 2; i++) {
		if (held)
			p[i] = make(b, OTHER_DEVICE, shares[i]);
		c[i] = start(b, held ? &p[i] : NULL, kind, WARM_UP_MS,
			held ? kind->window_ms : FREE_MS);
	}
	for (int i = 0; i < 2; i++)
		child_await(&c[i]);
	for (int i = 0; i < 2; i++)
		child_work(&c[i]);
	for (int i = 0; i < 2; i++) {
		child_answer(&c[i], &had, 1);
		most = fmax(most, fabs(100 * had / solo - shares[i]));
	}
	for (int i = 0; i < 2; i++) {
		child_end(&c[i]);
		if (held)
			drop(b, &p[i]);
	}
	return most;
}

static double capped_rate(const struct bench *b, const struct kind *kind)
{
	struct chronos_partition p = make(b, OTHER_DEVICE, 50);
	struct child c = start(b, &p, kind, WARM_UP_MS, kind->window_ms);

	child_await(&c);
	double had = rate(&c);
	child_end(&c);
	drop(b, &p);
	return had;
}

/* One with all of a device and one that is not held, in turns. */
static double added_percent(const struct bench *b, const struct kind *kind,
	struct child *not_held, double *solo)
{
	struct chronos_partition p = make(b, DEVICE, CHRONOS_WHOLE);
	struct child held = start(b, &p, kind, 0, kind->turn_ms);
	double with[TURNS], without[TURNS];

	child_await(&held);
	for (int i = 0; i < TURNS; i++) {
		without[i] = rate(not_held);
		with[i] = rate(&held);
	}
	child_end(&held);
	drop(b, &p);
	*solo = samples_median(without, TURNS);
	return 100 * (*solo / samples_median(with, TURNS) - 1);
}

/* ---- measuring ---- */

static void measure_free(struct bench *b, const struct kind *kind)
{
	struct child not_held = start(b, NULL, kind, 0, FREE_MS);

	child_await(&not_held);
	double solo = rate(&not_held);
	child_end(&not_held);
	figures_add(b->figures, &kind->error, FREE, error_of(b, kind, false, solo));
}

static void measure_held(struct bench *b, enum mode mode, const struct kind *kind)
{
	struct child not_held = start(b, NULL, kind, 0, kind->turn_ms);
	double solo;

	child_await(&not_held);
	double added = added_percent(b, kind, &not_held, &solo);
	double capped = 100 * capped_rate(b, kind) / solo;
	double error = error_of(b, kind, true, solo);
	bool drifted = fabs(rate(&not_held) / solo - 1) > DRIFT_MAX;
	child_end(&not_held);
	const struct {
		const struct figure *figure;
		double value;
	} had[] = { { &kind->added, added }, { &kind->capped, capped },
		{ &kind->error, error } };
	for (size_t i = 0; i < sizeof had / sizeof *had; i++) {
		if (drifted)
			figures_discard(b->figures, had[i].figure, mode);
		else
			figures_add(b->figures, had[i].figure, mode, had[i].value);
	}
}

static void call_all(
	const struct bench *b, const struct chronos_partition *p, double values[2])
{
	static const char *const args[] = { "calls", NULL };
	struct child c = child_start(b, p, "bench_opencl", args);

	child_await(&c);
	child_work(&c);
	child_answer(&c, values, 2);
	child_end(&c);
}

static void measure_calls(struct bench *b, enum mode mode, uint32_t hundredths,
	const struct figure *launch, const struct figure *buffer)
{
	struct chronos_partition p = make(b, DEVICE, hundredths);
	double with[2], without[2];

	call_all(b, NULL, without);
	call_all(b, &p, with);
	drop(b, &p);
	if (mode == COOPERATIVE) {
		figures_add(b->figures, launch, FREE, without[0]);
		figures_add(b->figures, buffer, FREE, without[1]);
	}
	figures_add(b->figures, launch, mode, with[0]);
	figures_add(b->figures, buffer, mode, with[1] - without[1]);
}

/* ---- the processors ---- */

/* Runs only where nobody else wants to, so that a virtual processor is never given back
 * and then waited for. */
static pid_t keep_awake(int cpu)
{
	const struct sched_param none = { 0 };
	cpu_set_t set;
	pid_t pid = fork();

	if (pid < 0)
		die("keep a processor awake", "fork failed");
	if (pid > 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	if (sched_setaffinity(0, sizeof set, &set) < 0 ||
		sched_setscheduler(0, SCHED_IDLE, &none) < 0)
		_exit(1);
	for (;;)
		;
}

static void measure(struct bench *b, enum mode mode)
{
	pid_t awake[CPUS];

	for (int i = 0; i < CPUS; i++)
		awake[i] = keep_awake(i);
	if (mode != FREE) {
		measure_calls(b, mode, CHRONOS_WHOLE, &launch_whole, &buffer_whole);
		measure_calls(b, mode, 50, &launch_half, &buffer_half);
	}
	for (int i = 0; i < KINDS; i++) {
		if (mode == FREE)
			measure_free(b, &kinds[i]);
		else
			measure_held(b, mode, &kinds[i]);
	}
	for (int i = 0; i < CPUS; i++) {
		kill(awake[i], SIGKILL);
		waitpid(awake[i], NULL, 0);
	}
}

/* How many steps are a kernel so long, here and now. */
static void calibrate(const struct bench *b, struct kind *kind)
{
	const char *const args[] = { "calibrate", kind->us, NULL };
	struct child c = child_start(b, NULL, "bench_opencl", args);
	double steps;

	child_await(&c);
	child_work(&c);
	child_answer(&c, &steps, 1);
	child_end(&c);
	str_put(kind->steps, sizeof kind->steps, "%.0f", steps);
}

static void check(struct bench *b)
{
	cpu_set_t set;
	char cache[256];

	if (sched_getaffinity(0, sizeof set, &set) < 0 || !CPU_ISSET(0, &set) ||
		!CPU_ISSET(1, &set))
		die("measure OpenCL", "it needs processors 0 and 1");
	if (!str_put(cache, sizeof cache, "%s/pocl", b->dir) ||
		setenv("POCL_CACHE_DIR", cache, 1) < 0 ||
		setenv("POCL_MAX_PTHREAD_COUNT", "1", 1) < 0 ||
		setenv("POCL_AFFINITY", "1", 1) < 0)
		die("measure OpenCL", b->dir);
	for (int i = 0; i < KINDS; i++)
		calibrate(b, &kinds[i]);
}

const struct group opencl_group = { .name = "opencl",
	.what = "an OpenCL program on PoCL, which is a processor",
	.modes = { true, true, true },
	.check = check,
	.measure = measure };
