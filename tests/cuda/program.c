/* program.c - a CUDA program for tests: does one scenario, ends with 0 when it went well. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PROGRAM_REACH says how it gets at the driver's functions: "link" (the default), "dlsym",
 * "dlvsym", "next", "getproc" or "getproc1", of which the last two are what the runtime
 * does.  Started by tests/unit/test_chronos_cuda.c.
 */
#include "fake_driver.h"
#include "symbols.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)

#define MUST(condition)                                                                  \
	do {                                                                             \
		if (!(condition)) {                                                      \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);  \
			_exit(1);                                                        \
		}                                                                        \
	} while (0)

#define GIVES(expected, call)                                                            \
	do {                                                                             \
		int rc_ = (int)(call);                                                   \
		if (rc_ != (int)(expected)) {                                            \
			fprintf(stderr, "%s:%d: %s: %d, not %d\n", __FILE__, __LINE__,   \
				#call, rc_, (int)(expected));                            \
			_exit(1);                                                        \
		}                                                                        \
	} while (0)

#define OK(call)      GIVES(CUDA_SUCCESS, call)
#define REFUSED(call) GIVES(CUDA_ERROR_OUT_OF_MEMORY, call)
#define ENDED(call)   GIVES(CUDA_ERROR_NOT_PERMITTED, call)

/* ---- how the driver is reached ---- */

/* name, what cuGetProcAddress calls it, at which version, with which flags */
#define REACHED(FUNCTION)                                                                \
	FUNCTION(cuInit, cuInit, 2000, 0)                                                \
	FUNCTION(cuCtxCreate_v2, cuCtxCreate, 3020, 0)                                   \
	FUNCTION(cuCtxDestroy_v2, cuCtxDestroy, 4000, 0)                                 \
	FUNCTION(cuCtxSetLimit, cuCtxSetLimit, 3010, 0)                                  \
	FUNCTION(cuCtxSynchronize, cuCtxSynchronize, 2000, 0)                            \
	FUNCTION(cuDevicePrimaryCtxRetain, cuDevicePrimaryCtxRetain, 7000, 0)            \
	FUNCTION(cuDevicePrimaryCtxRelease_v2, cuDevicePrimaryCtxRelease, 11000, 0)      \
	FUNCTION(cuDevicePrimaryCtxReset_v2, cuDevicePrimaryCtxReset, 11000, 0)          \
	FUNCTION(cuDeviceTotalMem_v2, cuDeviceTotalMem, 3020, 0)                         \
	FUNCTION(cuMemGetInfo_v2, cuMemGetInfo, 3020, 0)                                 \
	FUNCTION(cuMemAlloc_v2, cuMemAlloc, 3020, 0)                                     \
	FUNCTION(cuMemAllocManaged, cuMemAllocManaged, 6000, 0)                          \
	FUNCTION(cuMemAllocPitch_v2, cuMemAllocPitch, 3020, 0)                           \
	FUNCTION(cuMemFree_v2, cuMemFree, 3020, 0)                                       \
	FUNCTION(cuMemAllocAsync, cuMemAllocAsync, 11020, 0)                             \
	FUNCTION(cuMemAllocAsync_ptsz, cuMemAllocAsync, 11020, 2)                        \
	FUNCTION(cuMemAllocFromPoolAsync, cuMemAllocFromPoolAsync, 11020, 0)             \
	FUNCTION(cuMemFreeAsync, cuMemFreeAsync, 11020, 0)                               \
	FUNCTION(cuMemPoolCreate, cuMemPoolCreate, 11020, 0)                             \
	FUNCTION(cuMemPoolDestroy, cuMemPoolDestroy, 11020, 0)                           \
	FUNCTION(cuMemPoolTrimTo, cuMemPoolTrimTo, 11020, 0)                             \
	FUNCTION(cuArrayCreate_v2, cuArrayCreate, 3020, 0)                               \
	FUNCTION(cuArray3DCreate_v2, cuArray3DCreate, 3020, 0)                           \
	FUNCTION(cuArrayDestroy, cuArrayDestroy, 2000, 0)                                \
	FUNCTION(cuMipmappedArrayCreate, cuMipmappedArrayCreate, 5000, 0)                \
	FUNCTION(cuMipmappedArrayDestroy, cuMipmappedArrayDestroy, 5000, 0)              \
	FUNCTION(cuMemCreate, cuMemCreate, 10020, 0)                                     \
	FUNCTION(cuMemRelease, cuMemRelease, 10020, 0)                                   \
	FUNCTION(cuMemMap, cuMemMap, 10020, 0)                                           \
	FUNCTION(cuMemUnmap, cuMemUnmap, 10020, 0)                                       \
	FUNCTION(cuMemRetainAllocationHandle, cuMemRetainAllocationHandle, 11000, 0)     \
	FUNCTION(cuLaunchKernel, cuLaunchKernel, 4000, 0)                                \
	FUNCTION(cuLaunchKernel_ptsz, cuLaunchKernel, 7000, 2)                           \
	FUNCTION(cuLaunchKernelEx, cuLaunchKernelEx, 11060, 0)                           \
	FUNCTION(cuLaunchCooperativeKernel, cuLaunchCooperativeKernel, 9000, 0)          \
	FUNCTION(cuGraphLaunch, cuGraphLaunch, 10000, 0)                                 \
	FUNCTION(cuGraphUpload, cuGraphUpload, 11010, 0)                                 \
	FUNCTION(cuGraphInstantiateWithFlags, cuGraphInstantiateWithFlags, 11040, 0)     \
	FUNCTION(cuGraphExecDestroy, cuGraphExecDestroy, 10000, 0)                       \
	FUNCTION(cuDeviceGetDefaultMemPool, cuDeviceGetDefaultMemPool, 11020, 0)         \
	FUNCTION(cuGraphAddMemAllocNode, cuGraphAddMemAllocNode, 11040, 0)               \
	FUNCTION(cuGraphAddNode_v2, cuGraphAddNode, 12030, 0)                            \
	FUNCTION(cuStreamSynchronize, cuStreamSynchronize, 2000, 0)                      \
	FUNCTION(cuStreamQuery, cuStreamQuery, 2000, 0)                                  \
	FUNCTION(cuStreamDestroy_v2, cuStreamDestroy, 4000, 0)                           \
	FUNCTION(cuStreamBeginCapture_v2, cuStreamBeginCapture, 10010, 0)                \
	FUNCTION(cuStreamEndCapture, cuStreamEndCapture, 10000, 0)                       \
	FUNCTION(cuEventRecord, cuEventRecord, 2000, 0)                                  \
	FUNCTION(cuEventSynchronize, cuEventSynchronize, 2000, 0)                        \
	FUNCTION(cuEventQuery, cuEventQuery, 2000, 0)                                    \
	FUNCTION(cuEventDestroy_v2, cuEventDestroy, 4000, 0)

static struct {
#define ROW(name, base, version, flags) __typeof__(&name) name;
	REACHED(ROW)
#undef ROW
} cu = {
#define ROW(name, base, version, flags) name,
	REACHED(ROW)
#undef ROW
};

static void *driver;

static void *ask(const char *how, const char *name, const char *base, int version,
	cuuint64_t flags)
{
	static __typeof__(&cuGetProcAddress_v2) get2;
	static __typeof__(&cuGetProcAddress) get1;
	CUdriverProcAddressQueryResult status;
	void *found = NULL;

	if (strcmp(how, "dlsym") == 0)
		return dlsym(driver, name);
	if (strcmp(how, "dlvsym") == 0) {
		void *(*libc_dlsym)(void *, const char *) = (void *(*)(void *,
			const char *))dlvsym(RTLD_DEFAULT, "dlsym", "GLIBC_2.2.5");
		MUST(libc_dlsym);
		return libc_dlsym(driver, name);
	}
	if (strcmp(how, "next") == 0)
		return dlsym(RTLD_NEXT, name);
	if (!get2)
		*(void **)&get2 = dlsym(driver, "cuGetProcAddress_v2");
	if (strcmp(how, "getproc") == 0) {
		OK(get2(base, &found, version, flags, &status));
		return found;
	}
	MUST(strcmp(how, "getproc1") == 0);
	if (!get1)
		OK(get2("cuGetProcAddress", (void **)&get1, 11030, 0, NULL));
	OK(get1(base, &found, version, flags));
	return found;
}

static void reach(void)
{
	const char *how = getenv("PROGRAM_REACH");

	if (!how || strcmp(how, "link") == 0)
		return;
	driver = dlopen("libcuda.so.1", RTLD_LAZY);
	MUST(driver);
#define ROW(name, base, version, flags)                                                  \
	*(void **)&cu.name = ask(how, #name, #base, version, flags);                     \
	MUST(cu.name);
	REACHED(ROW)
#undef ROW
}

/* ---- helpers ---- */

enum { QUOTA_MIB = 512 }; /* half of the fake device */

static CUcontext context;

static void open_device(void)
{
	reach();
	OK(cu.cuInit(0));
	OK(cu.cuCtxCreate_v2(&context, 0, 0));
}

static uint64_t left(void)
{
	size_t free_bytes, total;

	OK(cu.cuMemGetInfo_v2(&free_bytes, &total));
	return free_bytes;
}

static CUresult launch_on(CUstream stream, unsigned us)
{
	return cu.cuLaunchKernel(NULL, us, 1, 1, 1, 1, 1, 0, stream, NULL, NULL);
}

static CUresult launch(unsigned us)
{
	return launch_on(NULL, us);
}

/* Tell the test, and wait until it answers or closes. */
static void tell_and_wait(void)
{
	char byte = '.';

	MUST(write(STDOUT_FILENO, &byte, 1) == 1);
	MUST(read(STDIN_FILENO, &byte, 1) >= 0);
}

static void sleep_ms(long ms)
{
	const struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&t, NULL);
}

/* All that is left must be allocated, to the byte, and not one more. */
static void exactly(uint64_t bytes)
{
	CUdeviceptr at, one;

	MUST(left() == bytes);
	REFUSED(cu.cuMemAlloc_v2(&at, bytes + 1));
	OK(cu.cuMemAlloc_v2(&at, bytes));
	REFUSED(cu.cuMemAlloc_v2(&one, 1));
	MUST(left() == 0);
	OK(cu.cuMemFree_v2(at));
	MUST(left() == bytes);
}

/* ---- scenarios ---- */

static void memory(void)
{
	CUdeviceptr at[8];
	uint64_t all;
	size_t total, pitch;

	open_device();
	all = left();
	MUST(all == (QUOTA_MIB - FAKE_CONTEXT_MIB) * MIB);
	OK(cu.cuDeviceTotalMem_v2(&total, 0));
	MUST(total == QUOTA_MIB * MIB);
	exactly(all);
	OK(cu.cuMemAlloc_v2(&at[0], 1000003));
	OK(cu.cuMemAllocManaged(&at[1], 5 * MIB, 1));
	OK(cu.cuMemAllocPitch_v2(&at[2], &pitch, 1000, 100, 4));
	MUST(pitch == 1024);
	MUST(left() == all - 1000003 - 5 * MIB - 1024 * 100);
	for (int i = 0; i < 3; i++)
		OK(cu.cuMemFree_v2(at[i]));
	exactly(all);
	/* What the driver refuses is not charged. */
	GIVES(CUDA_ERROR_INVALID_VALUE, cu.cuMemAlloc_v2(NULL, 100));
	GIVES(CUDA_ERROR_INVALID_VALUE, cu.cuMemFree_v2(12345));
	MUST(left() == all);
}

static void arrays(void)
{
	const CUDA_ARRAY_DESCRIPTOR flat = { 1024, 0, 0x20, 4 };
	const CUDA_ARRAY3D_DESCRIPTOR cube = { 64, 64, 64, 0x20, 1, 0 };
	const CUDA_ARRAY3D_DESCRIPTOR wide = { 1 << 20, 1 << 20, 1 << 20, 0x20, 4, 0 };
	CUarray a, b;
	CUmipmappedArray m;

	open_device();
	uint64_t all = left();
	OK(cu.cuArrayCreate_v2(&a, &flat));
	MUST(left() == all - 1024 * 16);
	OK(cu.cuArray3DCreate_v2(&b, &cube));
	MUST(left() == all - 1024 * 16 - 64 * 64 * 64 * 4);
	OK(cu.cuArrayDestroy(a));
	OK(cu.cuArrayDestroy(b));
	const CUDA_ARRAY3D_DESCRIPTOR square = { 256, 256, 0, 0x20, 1, 0 };
	OK(cu.cuMipmappedArrayCreate(&m, &square, 3));
	MUST(left() == all - (256 * 256 + 128 * 128 + 64 * 64) * 4);
	OK(cu.cuMipmappedArrayDestroy(m));
	REFUSED(cu.cuArray3DCreate_v2(&b, &wide));
	exactly(all);
}

static void physical(void)
{
	CUmemAllocationProp on_device = { .type = CU_MEM_ALLOCATION_TYPE_PINNED,
		.location = { CU_MEM_LOCATION_TYPE_DEVICE, 0 } };
	CUmemAllocationProp on_host = { .location = { CU_MEM_LOCATION_TYPE_HOST, 0 } };
	CUmemGenericAllocationHandle a, b, again;
	const CUdeviceptr base = 0x10000000;

	open_device();
	uint64_t all = left();
	OK(cu.cuMemCreate(&a, 64 * MIB, &on_device, 0));
	OK(cu.cuMemCreate(&b, 32 * MIB, &on_device, 0));
	MUST(left() == all - 96 * MIB);
	REFUSED(cu.cuMemCreate(&again, QUOTA_MIB * MIB, &on_device, 0));
	OK(cu.cuMemCreate(&again, 2 * QUOTA_MIB * MIB, &on_host, 0));
	MUST(left() == all - 96 * MIB);
	OK(cu.cuMemRelease(again));
	OK(cu.cuMemMap(base, 64 * MIB, 0, a, 0));
	OK(cu.cuMemMap(base + 64 * MIB, 32 * MIB, 0, b, 0));
	/* A mapping holds it after its handle went. */
	OK(cu.cuMemRelease(a));
	OK(cu.cuMemRelease(b));
	MUST(left() == all - 96 * MIB);
	OK(cu.cuMemRetainAllocationHandle(&again, (void *)(uintptr_t)base));
	OK(cu.cuMemUnmap(base, 96 * MIB));
	MUST(left() == all - 64 * MIB);
	OK(cu.cuMemRelease(again));
	exactly(all);
}

static void pools(void)
{
	CUmemPoolProps props = { .location = { CU_MEM_LOCATION_TYPE_DEVICE, 0 } };
	CUmemoryPool pool;
	CUdeviceptr at[4], direct;

	open_device();
	uint64_t all = left();
	/* What the pool reserves counts. */
	OK(cu.cuMemAllocAsync(&at[0], 3 * MIB, NULL));
	MUST(left() == all - 4 * MIB);
	OK(cu.cuMemAllocAsync(&at[1], MIB, NULL));
	MUST(left() == all - 4 * MIB);
	OK(cu.cuMemFreeAsync(at[0], NULL));
	OK(cu.cuMemFreeAsync(at[1], NULL));
	MUST(left() == all - 4 * MIB);
	OK(cu.cuCtxSynchronize());
	MUST(left() == all);
	/* A full quota takes the reserve back before it refuses. */
	OK(cu.cuMemAllocAsync(&at[0], 100 * MIB, NULL));
	OK(cu.cuMemFreeAsync(at[0], NULL));
	OK(cu.cuMemAlloc_v2(&direct, all));
	REFUSED(cu.cuMemAllocAsync(&at[0], MIB, NULL));
	REFUSED(cu.cuMemAllocAsync_ptsz(&at[0], MIB, NULL));
	OK(cu.cuMemFreeAsync(direct, NULL));
	OK(cu.cuMemPoolCreate(&pool, &props));
	OK(cu.cuMemAllocFromPoolAsync(&at[0], 10 * MIB, pool, NULL));
	MUST(left() == all - 10 * MIB);
	REFUSED(cu.cuMemAllocFromPoolAsync(&at[1], all, pool, NULL));
	OK(cu.cuMemFreeAsync(at[0], NULL));
	OK(cu.cuMemPoolTrimTo(pool, 0));
	MUST(left() == all);
	OK(cu.cuMemAllocFromPoolAsync(&at[0], 10 * MIB, pool, NULL));
	OK(cu.cuMemFreeAsync(at[0], NULL));
	OK(cu.cuMemPoolDestroy(pool));
	MUST(left() == all);
	exactly(all);
}

/* Not on the device that the stream is on, or ended before what is in them. */
static void pools_elsewhere(void)
{
	CUmemPoolProps props = { .location = { CU_MEM_LOCATION_TYPE_HOST, 0 } };
	CUmemLocation host = { CU_MEM_LOCATION_TYPE_HOST, 0 };
	CUmemoryPool pool, current, standard;
	CUcontext second;
	CUdeviceptr at[2];

	open_device();
	uint64_t all = left();
	OK(cu.cuMemPoolCreate(&pool, &props));
	OK(cu.cuMemAllocFromPoolAsync(&at[0], 2 * QUOTA_MIB * MIB, pool, NULL));
	MUST(left() == all);
	OK(cuMemGetDefaultMemPool(&pool, &host, CU_MEM_ALLOCATION_TYPE_PINNED));
	OK(cu.cuMemAllocFromPoolAsync(&at[0], 2 * QUOTA_MIB * MIB, pool, NULL));
	MUST(left() == all);
	/* Of the other device. */
	OK(cu.cuDeviceGetDefaultMemPool(&pool, 1));
	OK(cu.cuMemAllocFromPoolAsync(&at[0], 100 * MIB, pool, NULL));
	MUST(left() == all);
	OK(cu.cuCtxCreate_v2(&second, 0, 1));
	MUST(left() == all - 100 * MIB);
	OK(cu.cuMemFreeAsync(at[0], NULL));
	OK(cuCtxSetCurrent(context));
	/* What the partition has no part of. */
	ENDED(cu.cuDeviceGetDefaultMemPool(&pool, 2));
	/* It ends when the last allocation does, and is charged until then. */
	props.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
	OK(cu.cuMemPoolCreate(&pool, &props));
	OK(cu.cuMemAllocFromPoolAsync(&at[0], 10 * MIB, pool, NULL));
	OK(cu.cuMemAllocFromPoolAsync(&at[1], 20 * MIB, pool, NULL));
	OK(cuDeviceSetMemPool(0, pool));
	OK(cu.cuMemPoolDestroy(pool));
	OK(cuDeviceGetMemPool(&current, 0));
	OK(cu.cuDeviceGetDefaultMemPool(&standard, 0));
	MUST(current == standard);
	MUST(left() == all - 30 * MIB);
	OK(cu.cuMemFreeAsync(at[0], NULL));
	OK(cu.cuCtxSynchronize());
	MUST(left() == all - 20 * MIB);
	OK(cu.cuMemFreeAsync(at[1], NULL));
	OK(cu.cuCtxSynchronize());
	exactly(all);
}

static void graph_memory(void)
{
	CUDA_MEM_ALLOC_NODE_PARAMS node = {
		.poolProps = { .location = { CU_MEM_LOCATION_TYPE_DEVICE, 0 } },
		.bytesize = 100 * MIB,
	};
	CUDA_MEM_ALLOC_NODE_PARAMS huge = node;
	CUgraphNodeParams any = { .type = CU_GRAPH_NODE_TYPE_MEM_ALLOC };
	CUgraph graph;
	CUgraphExec exec;
	CUdeviceptr direct;

	open_device();
	uint64_t all = left();
	OK(cuGraphCreate(&graph, 0));
	huge.bytesize = (QUOTA_MIB + 1) * MIB;
	REFUSED(cu.cuGraphAddMemAllocNode(NULL, graph, NULL, 0, &huge));
	any.alloc = huge;
	REFUSED(cu.cuGraphAddNode_v2(NULL, graph, NULL, NULL, 0, &any));
	/* What lives at different times has one address, and counts once. */
	for (int i = 0; i < 8; i++) {
		OK(cu.cuGraphAddMemAllocNode(NULL, graph, NULL, 0, &node));
		OK(cuGraphAddMemFreeNode(NULL, graph, NULL, 0, node.dptr));
	}
	OK(cu.cuGraphInstantiateWithFlags(&exec, graph, 0));
	MUST(left() == all);
	OK(cu.cuGraphLaunch(exec, NULL));
	MUST(left() == all - 100 * MIB);
	OK(cu.cuCtxSynchronize());
	/* It is given back for an allocation that needs it, and is not taken again while
	 * that is there. */
	OK(cu.cuMemAlloc_v2(&direct, all - 99 * MIB));
	REFUSED(cu.cuGraphLaunch(exec, NULL));
	MUST(left() == 99 * MIB);
	OK(cu.cuMemFree_v2(direct));
	OK(cu.cuGraphLaunch(exec, NULL));
	MUST(left() == all - 100 * MIB);
	OK(cu.cuGraphExecDestroy(exec));
}

/* No launch takes the quota's last bytes twice. */
static void graph_memory_is_refused(void)
{
	CUDA_MEM_ALLOC_NODE_PARAMS node = {
		.poolProps = { .location = { CU_MEM_LOCATION_TYPE_DEVICE, 0 } },
		.bytesize = 100 * MIB,
	};
	CUgraph graph, outer, captured;
	CUgraphExec inner_exec, captured_exec;
	CUdeviceptr direct, at;
	CUstream stream;
	int (*most)(void) = (int (*)(void))dlsym(RTLD_DEFAULT, "fake_most_mib");

	open_device();
	uint64_t all = left();
	OK(cuGraphCreate(&graph, 0));
	OK(cuGraphCreate(&outer, 0));
	OK(cu.cuGraphAddMemAllocNode(NULL, graph, NULL, 0, &node));
	OK(cuGraphAddChildGraphNode(NULL, outer, NULL, 0, graph));
	OK(cu.cuGraphInstantiateWithFlags(&inner_exec, outer, 0));
	OK(cuStreamCreate(&stream, 0));
	OK(cu.cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_GLOBAL));
	OK(cu.cuMemAllocAsync(&at, 100 * MIB, stream));
	OK(launch_on(stream, 100));
	OK(cu.cuMemFreeAsync(at, stream));
	OK(cu.cuStreamEndCapture(stream, &captured));
	OK(cu.cuGraphInstantiateWithFlags(&captured_exec, captured, 0));
	OK(cu.cuMemAlloc_v2(&direct, all - 99 * MIB));
	REFUSED(cu.cuGraphUpload(inner_exec, stream));
	REFUSED(cu.cuGraphLaunch(inner_exec, stream));
	REFUSED(cu.cuGraphLaunch(captured_exec, stream));
	MUST(most() <= QUOTA_MIB);
	MUST(left() == 99 * MIB);
	OK(cu.cuMemFree_v2(direct));
	OK(cu.cuGraphUpload(captured_exec, stream));
	MUST(left() == all - 100 * MIB);
	OK(cu.cuGraphLaunch(captured_exec, stream));
	OK(cu.cuGraphLaunch(inner_exec, stream));
	/* This one's memory outlives its run, so it has it still. */
	OK(cu.cuMemAlloc_v2(&direct, all - 100 * MIB));
	REFUSED(cu.cuMemAlloc_v2(&at, MIB));
	OK(cu.cuGraphLaunch(inner_exec, stream));
	MUST(left() == 0 && most() <= QUOTA_MIB);
}

static void contexts(void)
{
	CUcontext second, main_context;
	CUdeviceptr at;

	open_device();
	uint64_t all = left();
	OK(cu.cuCtxCreate_v2(&second, 0, 0));
	MUST(left() == all - FAKE_CONTEXT_MIB * MIB);
	OK(cu.cuMemAlloc_v2(&at, 10 * MIB));
	MUST(left() == all - (FAKE_CONTEXT_MIB + 10) * MIB);
	/* What its kernels allocate from is taken as a whole. */
	OK(cu.cuCtxSetLimit(CU_LIMIT_MALLOC_HEAP_SIZE, 100 * MIB));
	OK(cu.cuCtxSetLimit(CU_LIMIT_MALLOC_HEAP_SIZE, 20 * MIB));
	MUST(left() == all - (FAKE_CONTEXT_MIB + 30) * MIB);
	REFUSED(cu.cuCtxSetLimit(CU_LIMIT_MALLOC_HEAP_SIZE, QUOTA_MIB * MIB));
	MUST(left() == all - (FAKE_CONTEXT_MIB + 30) * MIB);
	/* All that was in it goes with it. */
	OK(cu.cuCtxDestroy_v2(second));
	MUST(left() == all);
	OK(cu.cuDevicePrimaryCtxRetain(&main_context, 0));
	OK(cu.cuDevicePrimaryCtxRetain(&main_context, 0));
	MUST(left() == all - FAKE_CONTEXT_MIB * MIB);
	OK(cu.cuDevicePrimaryCtxRelease_v2(0));
	MUST(left() == all - FAKE_CONTEXT_MIB * MIB);
	OK(cu.cuDevicePrimaryCtxRelease_v2(0));
	MUST(left() == all);
	OK(cu.cuDevicePrimaryCtxRetain(&main_context, 0));
	OK(cuCtxSetCurrent(main_context));
	OK(cu.cuMemAllocAsync(&at, 10 * MIB, NULL));
	OK(cu.cuDevicePrimaryCtxReset_v2(0));
	OK(cuCtxSetCurrent(context));
	MUST(left() == all);
	/* There is no room for one more. */
	OK(cu.cuMemAlloc_v2(&at, all - MIB));
	REFUSED(cu.cuCtxCreate_v2(&second, 0, 0));
	REFUSED(cu.cuDevicePrimaryCtxRetain(&main_context, 0));
	MUST(left() == MIB);
}

/* Each keeps the device's primary context, which is charged once. */
static void parts(void)
{
	CUgreenCtx first, second;
	CUcontext whole;
	CUdeviceptr at;

	reach();
	OK(cu.cuInit(0));
	OK(cuGreenCtxCreate(&first, NULL, 0, 0));
	OK(cu.cuDevicePrimaryCtxRetain(&whole, 0));
	OK(cuCtxSetCurrent(whole));
	uint64_t all = left();
	MUST(all >= (QUOTA_MIB - FAKE_CONTEXT_MIB - FAKE_PART_MIB) * MIB);
	OK(cuGreenCtxCreate(&second, NULL, 0, 0));
	MUST(left() == all - FAKE_PART_MIB * MIB);
	OK(cu.cuMemAlloc_v2(&at, 10 * MIB));
	OK(cuGreenCtxDestroy(second));
	MUST(left() == all - 10 * MIB);
	OK(cu.cuDevicePrimaryCtxRelease_v2(0));
	MUST(left() == all - 10 * MIB);
	/* The last user of the primary context, and what is in it. */
	OK(cuGreenCtxDestroy(first));
	OK(cu.cuCtxCreate_v2(&context, 0, 0));
	exactly((QUOTA_MIB - FAKE_CONTEXT_MIB) * MIB);
	OK(cu.cuCtxDestroy_v2(context));
}

static void hold_half(void)
{
	CUdeviceptr at;

	open_device();
	OK(cu.cuMemAlloc_v2(&at, (QUOTA_MIB / 2 - FAKE_CONTEXT_MIB) * MIB));
	tell_and_wait();
}

static void half_is_left(void)
{
	open_device();
	exactly((QUOTA_MIB / 2 - FAKE_CONTEXT_MIB) * MIB);
}

static void all_is_left(void)
{
	open_device();
	exactly((QUOTA_MIB - FAKE_CONTEXT_MIB) * MIB);
}

/* Each way to launch and to wait. */
static void launches(void)
{
	CUlaunchConfig config = { .gridDimX = 500 };
	CUstream stream;
	CUevent event;
	char byte;

	open_device();
	OK(cuStreamCreate(&stream, 0));
	OK(cuEventCreate(&event, 0));
	for (int i = 0; i < 10; i++) {
		OK(launch(500));
		OK(launch_on(stream, 500));
		OK(cu.cuStreamSynchronize(stream));
		OK(cu.cuLaunchKernelEx(&config, NULL, NULL, NULL));
		OK(cu.cuCtxSynchronize());
		OK(cu.cuLaunchCooperativeKernel(
			NULL, 500, 1, 1, 1, 1, 1, 0, stream, NULL));
		OK(cu.cuEventRecord(event, stream));
		OK(cu.cuEventSynchronize(event));
		OK(cu.cuLaunchKernel_ptsz(NULL, 500, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL));
		OK(cuMemcpyDtoH_v2_ptds(&byte, 0, 1));
		OK(launch_on(stream, 500));
		while (cu.cuStreamQuery(stream) == CUDA_ERROR_NOT_READY)
			sleep_ms(1);
	}
	OK(cu.cuEventDestroy_v2(event));
	OK(launch_on(stream, 2000));
	OK(cu.cuStreamDestroy_v2(stream));
	OK(launch(500));
	OK(cu.cuCtxSynchronize());
	OK(cu.cuCtxDestroy_v2(context));
}

/* Never waits itself. */
static void launches_ahead(void)
{
	CUstream streams[3];

	open_device();
	for (int i = 0; i < 3; i++)
		OK(cuStreamCreate(&streams[i], 0));
	for (int i = 0; i < 300; i++)
		OK(launch_on(streams[i % 3], 1000));
}

static void *launch_in_thread(void *arg)
{
	CUdeviceptr at;

	OK(cuCtxSetCurrent(arg));
	for (int i = 0; i < 50; i++) {
		OK(cu.cuLaunchKernel_ptsz(NULL, 100, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL));
		OK(cu.cuMemAlloc_v2(&at, MIB));
		OK(launch(100));
		OK(cu.cuMemFree_v2(at));
		if (i % 10 == 0)
			OK(cuStreamSynchronize_ptsz(NULL));
	}
	return NULL;
}

static void threads(void)
{
	pthread_t t[8];

	open_device();
	uint64_t all = left();
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 8; i++)
			MUST(pthread_create(&t[i], NULL, launch_in_thread, context) == 0);
		for (int i = 0; i < 8; i++)
			MUST(pthread_join(t[i], NULL) == 0);
	}
	OK(cu.cuCtxSynchronize());
	exactly(all);
}

/* Nothing may be waited for, or recorded, inside a capture; the work before it and beside
 * it goes on. */
static void captures(void)
{
	CUstream stream, other;
	CUgraph graph;
	CUgraphExec exec;
	CUdeviceptr at;

	open_device();
	OK(cuStreamCreate(&stream, 0));
	OK(cuStreamCreate(&other, 0));
	for (int mode = 0; mode < 3; mode++) {
		for (int i = 0; i < 20; i++) {
			OK(launch_on(stream, 1000));
			OK(launch_on(other, 1000));
			OK(launch(1000));
		}
		OK(cu.cuStreamBeginCapture_v2(stream, (CUstreamCaptureMode)mode));
		for (int i = 0; i < 50; i++)
			OK(launch_on(stream, 2000));
		OK(launch_on(other, 1000));
		OK(cu.cuMemAllocAsync(&at, 2 * MIB, stream));
		sleep_ms(30);
		OK(cu.cuStreamEndCapture(stream, &graph));
		OK(cu.cuGraphInstantiateWithFlags(&exec, graph, 0));
		OK(cu.cuGraphLaunch(exec, stream));
		OK(cu.cuStreamSynchronize(stream));
		OK(cu.cuStreamSynchronize(other));
		OK(cu.cuCtxSynchronize());
	}
	/* A capture that is given up ends with its stream. */
	OK(cu.cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_RELAXED));
	OK(cu.cuStreamDestroy_v2(stream));
}

static void *end_of_another(void *arg)
{
	CUgraph graph;

	OK(cuCtxSetCurrent(context));
	GIVES(CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD, cu.cuStreamEndCapture(arg, &graph));
	return NULL;
}

/* What a thread does that may not end it, or beside it, does not end or spoil it. */
static void captures_go_on(void)
{
	CUstream stream, other;
	CUgraph graph;
	CUdeviceptr at;
	pthread_t t;

	open_device();
	OK(cuStreamCreate(&stream, 0));
	OK(cuStreamCreate(&other, 0));
	OK(cu.cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_GLOBAL));
	MUST(pthread_create(&t, NULL, end_of_another, stream) == 0);
	MUST(pthread_join(t, NULL) == 0);
	/* The turn is over several times. */
	for (int i = 0; i < 100; i++) {
		OK(launch_on(stream, 1000));
		OK(launch_on(other, 1000));
	}
	/* A quota that is full waits for what is being freed. */
	OK(cu.cuMemAllocAsync(&at, MIB, other));
	REFUSED(cu.cuMemAllocAsync(&at, QUOTA_MIB * MIB, other));
	OK(cu.cuStreamEndCapture(stream, &graph));
	OK(cuStreamBeginCaptureToCig(stream, NULL));
	for (int i = 0; i < 50; i++)
		OK(launch_on(stream, 1000));
	sleep_ms(20);
	OK(cuStreamEndCaptureToCig(stream));
	OK(cu.cuCtxSynchronize());
}

/* Events that are reached before the work that they were once recorded behind. */
static void events_that_say_nothing(void)
{
	CUcontext idle;
	CUstream stream;
	CUevent event;
	CUgraph graph;

	open_device();
	OK(cuStreamCreate(&stream, 0));
	OK(cuEventCreate(&event, 0));
	OK(cu.cuCtxCreate_v2(&idle, 0, 1));
	OK(cuCtxSetCurrent(context));
	for (int i = 0; i < 4; i++) {
		OK(launch_on(stream, 100000));
		OK(cu.cuEventRecord(event, stream));
		OK(cuCtxRecordEvent(idle, event));
		OK(cu.cuEventSynchronize(event));
		OK(cu.cuStreamSynchronize(stream));
	}
	for (int i = 0; i < 4; i++) {
		OK(launch_on(stream, 100000));
		OK(cu.cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_RELAXED));
		OK(cuEventRecordWithFlags(event, stream, FAKE_EVENT_EXTERNAL));
		OK(cu.cuStreamEndCapture(stream, &graph));
		OK(cu.cuEventSynchronize(event));
		OK(cu.cuStreamSynchronize(stream));
	}
}

static void *launch_beside_capture(void *arg)
{
	OK(cuCtxSetCurrent(context));
	for (int i = 0; i < 50; i++)
		OK(launch_on(arg, 1000));
	return NULL;
}

static void captures_beside_threads(void)
{
	CUstream stream, other;
	CUgraph graph;
	pthread_t t;

	open_device();
	OK(cuStreamCreate(&stream, 0));
	OK(cuStreamCreate(&other, 0));
	OK(launch_on(other, 1000));
	OK(cu.cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_GLOBAL));
	MUST(pthread_create(&t, NULL, launch_beside_capture, other) == 0);
	for (int i = 0; i < 20; i++) {
		OK(launch_on(stream, 1000));
		sleep_ms(2);
	}
	MUST(pthread_join(t, NULL) == 0);
	OK(cu.cuStreamEndCapture(stream, &graph));
	OK(cu.cuCtxSynchronize());
}

/* Until the test ends the partition. */
static void end(void)
{
	CUdeviceptr at;

	open_device();
	OK(launch(1000));
	OK(cu.cuCtxSynchronize());
	tell_and_wait();
	ENDED(launch(1000));
	ENDED(cu.cuMemAlloc_v2(&at, 1));
	ENDED(cu.cuCtxCreate_v2(&context, 0, 0));
	/* What it has it may give back. */
	OK(cu.cuCtxDestroy_v2(context));
}

static void refused(void)
{
	reach();
	ENDED(cu.cuInit(0));
	ENDED(cu.cuCtxCreate_v2(&context, 0, 0));
}

static void nothing_is_held(void)
{
	CUdeviceptr at;
	size_t free_bytes, total;

	open_device();
	OK(cu.cuMemGetInfo_v2(&free_bytes, &total));
	MUST(total == 2 * QUOTA_MIB * MIB);
	OK(cu.cuMemAlloc_v2(&at, (QUOTA_MIB + 1) * MIB));
	OK(launch(1000));
	OK(cu.cuCtxSynchronize());
	OK(cu.cuMemFree_v2(at));
}

static void two_devices(void)
{
	CUcontext second, third;
	CUdeviceptr first_at, at;

	open_device();
	uint64_t all = left();
	OK(cu.cuMemAlloc_v2(&first_at, 100 * MIB));
	OK(cu.cuCtxCreate_v2(&second, 0, 1));
	MUST(left() == all);
	OK(cu.cuMemAlloc_v2(&at, all));
	/* Given back to the device that it is of, whichever is current. */
	OK(cu.cuMemFree_v2(first_at));
	MUST(left() == 0);
	OK(launch(1000));
	OK(cu.cuCtxSynchronize());
	OK(cuCtxSetCurrent(context));
	MUST(left() == all);
	OK(launch(1000));
	OK(cu.cuCtxSynchronize());
	/* The partition has no part of it. */
	ENDED(cu.cuCtxCreate_v2(&third, 0, 2));
}

static void fork_and_die(void)
{
	CUdeviceptr at;
	int status;

	open_device();
	OK(cu.cuMemAlloc_v2(&at, 100 * MIB));
	OK(launch(1000));
	pid_t child = fork();
	if (child == 0) {
		/* The driver does not work in a forked child, and nothing else breaks. */
		GIVES(CUDA_ERROR_NOT_INITIALIZED, cu.cuInit(0));
		MUST(cu.cuMemFree_v2(at) != CUDA_SUCCESS);
		_exit(0);
	}
	MUST(waitpid(child, &status, 0) == child && status == 0);
	MUST(left() == (QUOTA_MIB - FAKE_CONTEXT_MIB - 100) * MIB);
	OK(cu.cuMemFree_v2(at));
}

/* Whatever the other threads are in the middle of, a child is stopped by none of it. */
static void fork_beside_threads(void)
{
	pthread_t t[4];
	CUdeviceptr at;
	int status;

	open_device();
	OK(cu.cuMemAlloc_v2(&at, MIB));
	for (int i = 0; i < 4; i++)
		MUST(pthread_create(&t[i], NULL, launch_in_thread, context) == 0);
	for (int i = 0; i < 40; i++) {
		pid_t child = fork();
		if (child == 0) {
			alarm(60);
			MUST(cu.cuMemFree_v2(at) != CUDA_SUCCESS);
			MUST(cu.cuMemAlloc_v2(&at, MIB) != CUDA_SUCCESS);
			MUST(launch(100) != CUDA_SUCCESS);
			MUST(cu.cuCtxSynchronize() != CUDA_SUCCESS);
			MUST(cu.cuEventQuery(NULL) != CUDA_SUCCESS);
			GIVES(CUDA_ERROR_NOT_INITIALIZED, cu.cuInit(0));
			_exit(0);
		}
		MUST(waitpid(child, &status, 0) == child && status == 0);
	}
	for (int i = 0; i < 4; i++)
		MUST(pthread_join(t[i], NULL) == 0);
	OK(cu.cuMemFree_v2(at));
	exactly((QUOTA_MIB - FAKE_CONTEXT_MIB) * MIB);
}

/* Forked before the driver is used, each process joins for itself. */
static void fork_early(void)
{
	int status;

	reach();
	pid_t child = fork();
	if (child == 0) {
		hold_half();
		_exit(0);
	}
	MUST(waitpid(child, &status, 0) == child && status == 0);
	all_is_left();
}

static void exec_again(void)
{
	CUdeviceptr at;

	open_device();
	OK(cu.cuMemAlloc_v2(&at, 100 * MIB));
	execl("/proc/self/exe", "program", "all is left", (char *)NULL);
	_exit(127);
}

static void fails(void)
{
	void (*fail)(const char *, int, int) =
		(void (*)(const char *, int, int))dlsym(RTLD_DEFAULT, "fake_fail");
	CUdeviceptr at;

	open_device();
	uint64_t all = left();
	fail("cuMemAlloc_v2", CUDA_ERROR_OUT_OF_MEMORY, 0);
	REFUSED(cu.cuMemAlloc_v2(&at, MIB));
	fail("cuMemAllocAsync", CUDA_ERROR_LAUNCH_FAILED, 0);
	GIVES(CUDA_ERROR_LAUNCH_FAILED, cu.cuMemAllocAsync(&at, MIB, NULL));
	OK(cu.cuMemAlloc_v2(&at, MIB));
	fail("cuMemFree_v2", CUDA_ERROR_LAUNCH_FAILED, 0);
	GIVES(CUDA_ERROR_LAUNCH_FAILED, cu.cuMemFree_v2(at));
	MUST(left() == all - MIB);
	OK(cu.cuMemFree_v2(at));
	for (int i = 0; i < 3; i++) {
		fail("cuLaunchKernel", CUDA_ERROR_LAUNCH_FAILED, 0);
		GIVES(CUDA_ERROR_LAUNCH_FAILED, launch(1000));
		OK(launch(1000));
	}
	OK(cu.cuCtxSynchronize());
	exactly(all);
}

/* What cannot be charged is refused: it never takes memory unseen. */
static void uncharged(void)
{
	__typeof__(&cuGetProcAddress_v2) get2;
	CUdriverProcAddressQueryResult status = CU_GET_PROC_ADDRESS_SUCCESS;
	void *found = NULL;
	CUcontext same;
	CUdeviceptr at;
	CUarray array;
	unsigned at32, pitch;

	open_device();
	uint64_t all = left();
	GIVES(CUDA_ERROR_NOT_SUPPORTED, cuMemAllocPitch(&at32, &pitch, 1000, 1000, 4));
	GIVES(CUDA_ERROR_NOT_SUPPORTED, cuArrayCreate(&array, NULL));
	GIVES(CUDA_ERROR_NOT_SUPPORTED, cuArray3DCreate(&array, NULL));
	GIVES(CUDA_ERROR_NOT_SUPPORTED, cuMemMapArrayAsync(NULL, 0, NULL));
	GIVES(CUDA_ERROR_NOT_SUPPORTED, cuMemMapArrayAsync_ptsz(NULL, 0, NULL));
	/* A context that has one more owner outlives cuCtxDetach(), with all that is in it. */
	OK(cu.cuMemAlloc_v2(&at, MIB));
	GIVES(CUDA_ERROR_NOT_SUPPORTED, cuCtxAttach(&same, 0));
	MUST(left() == all - MIB);
	OK(cuCtxDetach(context));
	/* The hook would take the arguments of another ABI. */
	MUST((driver = dlopen("libcuda.so.1", RTLD_LAZY)));
	*(void **)&get2 = dlsym(driver, "cuGetProcAddress_v2");
	OK(get2("cuMemAlloc", &found, FAKE_FUTURE_VERSION - 1, 0, &status));
	MUST(found == (void *)cuMemAlloc_v2);
	/* By the name that it is exported by, should a driver take that. */
	OK(get2("cuMemAlloc_v2", &found, 12000, 0, &status));
	MUST(found == (void *)cuMemAlloc_v2);
	OK(get2("cuLaunchKernel_ptsz", &found, 12000, 0, &status));
	MUST(found == (void *)cuLaunchKernel_ptsz);
	GIVES(CUDA_ERROR_NOT_FOUND,
		get2("cuMemAlloc", &found, FAKE_FUTURE_VERSION, 0, &status));
	MUST(!found && status == CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND);
	GIVES(CUDA_ERROR_NOT_FOUND,
		cuGetProcAddress("cuMemAlloc", &found, FAKE_FUTURE_VERSION, 0));
}

/* ---- NVML ---- */

static void nvml(void)
{
	struct nvml_memory m;
	struct nvml_memory_v2 m2 = { .version = sizeof m2 | 2u << 24 };
	struct nvml_process list[8];
	struct nvml_process_detail details[8];
	struct nvml_process_list all = { .count = 8, .list = details };
	nvmlDevice_t device;
	unsigned count = 8;
	void *library = dlopen("libnvidia-ml.so.1", RTLD_LAZY);

	MUST(library);
#define NVML(name) ((__typeof__(&name))dlsym(library, #name))
	open_device();
	OK(NVML(nvmlInit_v2)());
	OK(NVML(nvmlDeviceGetHandleByIndex_v2)(0, &device));
	OK(NVML(nvmlDeviceGetMemoryInfo)(device, &m));
	MUST(m.total == QUOTA_MIB * MIB && m.used == FAKE_CONTEXT_MIB * MIB);
	MUST(m.free == (QUOTA_MIB - FAKE_CONTEXT_MIB) * MIB);
	OK(NVML(nvmlDeviceGetMemoryInfo_v2)(device, &m2));
	MUST(m2.total == QUOTA_MIB * MIB && m2.used == FAKE_CONTEXT_MIB * MIB);
	OK(NVML(nvmlDeviceGetComputeRunningProcesses_v3)(device, &count, list));
	MUST(count == 1 && list[0].pid == (unsigned)getpid());
	count = 8;
	OK(NVML(nvmlDeviceGetMPSComputeRunningProcesses_v3)(device, &count, list));
	MUST(count == 1 && list[0].pid == (unsigned)getpid());
	OK(NVML(nvmlDeviceGetRunningProcessDetailList)(device, &all));
	MUST(all.count == 1 && details[0].pid == (unsigned)getpid());
}

/* ---- what is given for which request ---- */

/* Standard input has lines "name version flags": of the covered names none may be the
 * driver's own, and of the others all must be. */
static void requests(void)
{
	char name[128];
	int version, seen = 0, covered = 0;
	unsigned long long flags;
	__typeof__(&cuGetProcAddress_v2) ours, drivers;
	CUdriverProcAddressQueryResult status;
	static const char *const names[] = {
#define ROW(exported, base, since, zero) #base,
		COVERED_SYMBOLS(ROW)
#undef ROW
	};

	driver = dlopen("libcuda.so.1", RTLD_LAZY);
	*(void **)&ours = dlsym(driver, "cuGetProcAddress_v2");
	*(void **)&drivers = dlsym(driver, "fake_get_proc_address");
	MUST(ours && drivers && (void *)ours != (void *)drivers);
	while (scanf("%127s %d %llu", name, &version, &flags) == 3) {
		void *given = NULL, *real = NULL;
		bool is_covered = false;
		for (size_t i = 0; i < sizeof names / sizeof *names; i++)
			is_covered |= strcmp(names[i], name) == 0;
		CUresult rc = ours(name, &given, version, flags, &status);
		GIVES(drivers(name, &real, version, flags, &status), rc);
		if ((given != real) != is_covered) {
			fprintf(stderr, "%s %d %llu: %s\n", name, version, flags,
				is_covered ? "is the driver's" : "is not the driver's");
			_exit(1);
		}
		seen++;
		covered += is_covered;
	}
	MUST(seen > 300 && covered > 60);
	/* Too old is the driver's to say. */
	void *none = NULL;
	GIVES(CUDA_ERROR_NOT_FOUND, ours("cuMemCreate", &none, 9000, 0, &status));
	MUST(status == CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT && !none);
}

/* Kernels as long as asked for, waited for or not, for so long: what it got. */
static void work(void)
{
	const char *us = getenv("PROGRAM_US"), *ms = getenv("PROGRAM_MS");
	bool waits = getenv("PROGRAM_WAITS") != NULL;
	struct timespec from, now;

	open_device();
	tell_and_wait();
	clock_gettime(CLOCK_MONOTONIC, &from);
	do {
		OK(launch((unsigned)atoi(us)));
		if (waits)
			OK(cu.cuCtxSynchronize());
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while ((now.tv_sec - from.tv_sec) * 1000 +
			 (now.tv_nsec - from.tv_nsec) / 1000000 <
		 atol(ms));
	tell_and_wait();
}

/* ---- stand-ins for the PyTorch programs of scripts/gpu_check.py ---- */

enum { CHECK_MS = 2000 };

static void wait_for_line(void)
{
	char line[8];

	MUST(write(STDOUT_FILENO, "ready\n", 6) == 6);
	MUST(read(STDIN_FILENO, line, sizeof line) >= 0);
}

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void count_work(void (*step)(void *), void *arg)
{
	double until;
	int n = 0;

	wait_for_line();
	for (until = seconds() + CHECK_MS / 1e3; seconds() < until; n++)
		step(arg);
	OK(cu.cuCtxSynchronize());
	printf("{\"work\": %d}\n", n);
}

static void step_waiting(void *arg)
{
	(void)arg;
	OK(launch(2000));
	OK(cu.cuCtxSynchronize());
}

/* Some launches ahead of what it waits for. */
static void step_ahead(void *arg)
{
	CUevent *events = arg;
	static unsigned n;
	CUevent event = events[n++ % 4];

	OK(cu.cuEventSynchronize(event));
	OK(launch(2000));
	OK(cu.cuEventRecord(event, NULL));
}

static void step_graph(void *exec)
{
	OK(cu.cuGraphLaunch(exec, NULL));
	OK(cu.cuCtxSynchronize());
}

static void check_matmul(void)
{
	open_device();
	count_work(step_waiting, NULL);
}

static void check_ahead(void)
{
	CUevent events[4];

	open_device();
	for (int i = 0; i < 4; i++)
		OK(cuEventCreate(&events[i], 0));
	count_work(step_ahead, events);
}

static void step_launches(void *arg)
{
	(void)arg;
	for (int i = 0; i < 100; i++)
		OK(launch(0));
	OK(cu.cuCtxSynchronize());
}

static void check_launches(void)
{
	open_device();
	count_work(step_launches, NULL);
}

static void check_graph(void)
{
	CUstream stream;
	CUgraph graph;
	CUgraphExec exec;

	open_device();
	OK(cuStreamCreate(&stream, 0));
	OK(cu.cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_GLOBAL));
	OK(launch_on(stream, 2000));
	OK(cu.cuStreamEndCapture(stream, &graph));
	OK(cu.cuGraphInstantiateWithFlags(&exec, graph, 0));
	count_work(step_graph, exec);
}

static void check_memory(void)
{
	CUdeviceptr at;
	size_t free_bytes, total;

	open_device();
	OK(cu.cuMemGetInfo_v2(&free_bytes, &total));
	while (cu.cuMemAlloc_v2(&at, 2 * MIB) == CUDA_SUCCESS)
		;
	printf("{\"total\": %zu, \"left\": %llu, \"again\": 1}\n", total,
		(unsigned long long)left());
}

static void check_expiry(void)
{
	struct timespec t;

	open_device();
	wait_for_line();
	while (launch(100) == CUDA_SUCCESS)
		OK(cu.cuCtxSynchronize());
	clock_gettime(CLOCK_REALTIME, &t);
	printf("{\"at\": %.6f, \"error\": \"refused\"}\n",
		(double)t.tv_sec + (double)t.tv_nsec / 1e9);
}

static const struct {
	const char *name;
	void (*run)(void);
} scenarios[] = {
	{ "memory", memory },
	{ "arrays", arrays },
	{ "physical", physical },
	{ "pools", pools },
	{ "graph memory", graph_memory },
	{ "graph memory is refused", graph_memory_is_refused },
	{ "pools elsewhere", pools_elsewhere },
	{ "contexts", contexts },
	{ "parts", parts },
	{ "hold half", hold_half },
	{ "half is left", half_is_left },
	{ "all is left", all_is_left },
	{ "launches", launches },
	{ "launches ahead", launches_ahead },
	{ "threads", threads },
	{ "captures", captures },
	{ "captures beside threads", captures_beside_threads },
	{ "captures go on", captures_go_on },
	{ "events that say nothing", events_that_say_nothing },
	{ "end", end },
	{ "refused", refused },
	{ "nothing is held", nothing_is_held },
	{ "two devices", two_devices },
	{ "fork and die", fork_and_die },
	{ "fork beside threads", fork_beside_threads },
	{ "fork early", fork_early },
	{ "exec again", exec_again },
	{ "fails", fails },
	{ "uncharged", uncharged },
	{ "nvml", nvml },
	{ "requests", requests },
	{ "work", work },
	{ "check matmul", check_matmul },
	{ "check ahead", check_ahead },
	{ "check launches", check_launches },
	{ "check graph", check_graph },
	{ "check memory", check_memory },
	{ "check expiry", check_expiry },
};

int main(int argc, char **argv)
{
	for (size_t i = 0; argc == 2 && i < sizeof scenarios / sizeof *scenarios; i++) {
		if (strcmp(scenarios[i].name, argv[1]) == 0) {
			scenarios[i].run();
			return fflush(stdout) == 0 ? 0 : 1;
		}
	}
	fprintf(stderr, "no such scenario\n");
	return 2;
}
