/* cuda.c - what the CUDA layer adds to a program's calls. */
/* SPDX-License-Identifier: Apache-2.0 */
/* On the driver that the tests bring, so that no figure depends on a GPU; its own calls are
 * the first column. */
#include "child.h"

#include <stdlib.h>

#include "samples.h"
#include "str.h"

extern char **environ;

enum { CALLS = 4, TURNS = 5, STARTS = 60, ENVIRONMENT_MAX = 1000 };

#define ADDED(CALL, SHARE, AIM)                                                          \
	{                                                                                \
		.what = CALL ", added by a share of " SHARE, .unit = "ns",               \
		.kind = AT_MOST, .aim = (AIM), .beside = "the fake driver's own call"    \
	}
#define ADDED_TO_VIEW(CALL, SHARE)                                                       \
	{                                                                                \
		.what = CALL ", added by a share of " SHARE, .unit = "ns",               \
		.beside = "the fake driver's own call"                                   \
	}

/* As bench_cuda answers. */
static const struct figure whole[CALLS] = {
	ADDED("cuLaunchKernel", "1.00", 100),
	ADDED("cuMemAlloc and cuMemFree", "1.00", 200),
	ADDED("cuMemAllocAsync and cuMemFreeAsync", "1.00", 200),
	ADDED_TO_VIEW("cuMemGetInfo", "1.00"),
};
static const struct figure half[CALLS] = {
	ADDED("cuLaunchKernel", "0.50", 150),
	ADDED("cuMemAlloc and cuMemFree", "0.50", 200),
	ADDED("cuMemAllocAsync and cuMemFreeAsync", "0.50", 200),
	ADDED_TO_VIEW("cuMemGetInfo", "0.50"),
};

static const struct figure start = { .what = "start and end of /bin/true, added in a job",
	.unit = "us",
	.beside = "/bin/true" };

static void call_all(
	const struct bench *b, const struct chronos_partition *p, double ns[CALLS])
{
	static const char *const none[] = { NULL };
	struct child c = child_start(b, p, "bench_cuda", none);

	child_await(&c);
	child_work(&c);
	child_answer(&c, ns, CALLS);
	child_end(&c);
}

static void measure_share(struct bench *b, enum mode mode, uint32_t hundredths,
	const struct figure figures[CALLS])
{
	struct chronos_partition p = make(b, DEVICE, hundredths);
	double ns[2][TURNS][CALLS], one[2][TURNS];

	for (int k = 0; k < TURNS; k++) {
		call_all(b, NULL, ns[0][k]);
		call_all(b, &p, ns[1][k]);
	}
	for (int i = 0; i < CALLS; i++) {
		for (int k = 0; k < TURNS; k++) {
			one[0][k] = ns[0][k][i];
			one[1][k] = ns[1][k][i];
		}
		double without = samples_median(one[0], TURNS);
		if (mode == COOPERATIVE)
			figures_add(b->figures, &figures[i], FREE, without);
		figures_add(b->figures, &figures[i], mode,
			samples_median(one[1], TURNS) - without);
	}
	drop(b, &p);
}

/* In a job every program has the layer preloaded, also one that knows nothing of CUDA. */
static void measure_start(struct bench *b, enum mode mode)
{
	static const char *const argv[] = { "true", NULL };
	char layer[PATH_MAX], preload[PATH_MAX + sizeof "LD_PRELOAD="];
	char *with_layer[ENVIRONMENT_MAX] = { preload };
	double with[STARTS], without[STARTS];

	child_find(layer, "../lib/cumulus/libchronos-cuda.so");
	str_put(preload, sizeof preload, "LD_PRELOAD=%s", layer);
	for (int i = 0; environ[i]; i++) {
		if (i + 2 >= ENVIRONMENT_MAX)
			die("start a program", "too large an environment");
		with_layer[i + 1] = environ[i];
	}
	for (int i = 0; i < STARTS; i++) {
		without[i] = child_command_ms("/bin/true", argv, environ);
		with[i] = child_command_ms("/bin/true", argv, with_layer);
	}
	double plain_ms = samples_median(without, STARTS);
	figures_add(b->figures, &start, FREE, 1000 * plain_ms);
	figures_add(b->figures, &start, mode,
		1000 * (samples_median(with, STARTS) - plain_ms));
}

static void measure(struct bench *b, enum mode mode)
{
	measure_share(b, mode, CHRONOS_WHOLE, whole);
	measure_share(b, mode, 50, half);
	if (mode == COOPERATIVE)
		measure_start(b, mode);
}

/* The fake driver keeps its devices in a file. */
static void check(struct bench *b)
{
	char state[256];

	if (!str_put(state, sizeof state, "%s/fake-cuda", b->dir) ||
		setenv("FAKE_CUDA_STATE", state, 1) < 0)
		die("use the fake driver", b->dir);
	struct child c =
		child_start(b, NULL, "bench_cuda", (const char *const[]){ NULL });
	child_await(&c);
	child_end(&c);
}

const struct group cuda_group = { .name = "cuda",
	.what = "calls of a CUDA program, on the tests' driver",
	.modes = { [COOPERATIVE] = true, [ARBITRATED] = true },
	.check = check,
	.measure = measure };
