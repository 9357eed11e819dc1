/* bench_cuda.c - what calls of the CUDA driver take, of which the fake one does next to nothing. */
/* SPDX-License-Identifier: Apache-2.0 */
/* As child.h has it: an answer is the ns of cuLaunchKernel, of cuMemAlloc and cuMemFree
 * together, of cuMemAllocAsync and cuMemFreeAsync together, and of cuMemGetInfo. */
#include "driver.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "samples.h"

CUresult cuStreamCreate(CUstream *stream, unsigned flags);

enum { BATCHES = 300, BATCH = 32 };

static CUstream stream;

static void must(CUresult rc, const char *call)
{
	if (rc == CUDA_SUCCESS)
		return;
	fprintf(stderr, "bench_cuda: %s: %d\n", call, (int)rc);
	exit(1);
}

#define MUST(call) must(call, #call)

static void launch(void)
{
	MUST(cuLaunchKernel(NULL, 0, 1, 1, 1, 1, 1, 0, stream, NULL, NULL));
}

static void allocate(void)
{
	CUdeviceptr at;

	MUST(cuMemAlloc_v2(&at, 4096));
	MUST(cuMemFree_v2(at));
}

static void allocate_async(void)
{
	CUdeviceptr at;

	MUST(cuMemAllocAsync(&at, 4096, stream));
	MUST(cuMemFreeAsync(at, stream));
}

static void ask(void)
{
	size_t free_bytes, total;

	MUST(cuMemGetInfo_v2(&free_bytes, &total));
}

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* What is launched is waited for between the batches, not in them. */
static double median_ns(void (*call)(void))
{
	static double each_ns[BATCHES];

	for (int i = 0; i < BATCHES; i++) {
		double begun_ns = now_ns();
		for (int k = 0; k < BATCH; k++)
			call();
		each_ns[i] = (now_ns() - begun_ns) / BATCH;
		MUST(cuStreamSynchronize(stream));
	}
	return samples_median(each_ns, BATCHES);
}

int main(void)
{
	CUcontext context;
	char line[16];

	MUST(cuInit(0));
	MUST(cuCtxCreate_v2(&context, 0, 0));
	MUST(cuStreamCreate(&stream, 0));
	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof line, stdin)) {
		printf("%.1f %.1f %.1f %.1f\n", median_ns(launch), median_ns(allocate),
			median_ns(allocate_async), median_ns(ask));
		fflush(stdout);
	}
	return 0;
}
