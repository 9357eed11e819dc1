/* fake_driver.h - what the fake driver's processes share, and how tests make it fail. */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "driver.h"

#include <sys/types.h>

enum { FAKE_DEVICES_MAX = 8, FAKE_PROCESSES_MAX = 64, FAKE_CONTEXT_MIB = 64 };

struct fake_process {
	pid_t pid;                         /* 0: free */
	uint64_t used[FAKE_DEVICES_MAX];   /* bytes */
	uint64_t ran_ns[FAKE_DEVICES_MAX]; /* of what it launched */
	uint64_t launches;
};

/* The file that FAKE_CUDA_STATE names. */
struct fake_state {
	pid_t lock; /* who has it */
	uint32_t devices;
	uint64_t device_bytes;
	uint64_t free_at_ns[FAKE_DEVICES_MAX]; /* when all that was launched is done */
	struct fake_process processes[FAKE_PROCESSES_MAX];
};

#pragma GCC visibility push(default)

/* Of the driver, which Chronos has no use for. */
CUresult cuCtxSetCurrent(CUcontext context);
CUresult cuDeviceSetMemPool(CUdevice device, CUmemoryPool pool);
CUresult cuDriverGetVersion(int *version);
CUresult cuGetExportTable(const void **table, const CUuuid *id);
CUresult cuGraphCreate(CUgraph *graph, unsigned flags);
CUresult cuGraphInstantiateWithFlags(
	CUgraphExec *exec, CUgraph graph, unsigned long long flags);
CUresult cuMemPoolSetAttribute(CUmemoryPool pool, CUmemPool_attribute what, void *value);
CUresult cuStreamCreate(CUstream *stream, unsigned flags);
int nvmlDeviceGetHandleByIndex_v2(unsigned index, nvmlDevice_t *device);

/* Exported by the fake beside the driver's functions: the call number after + 1 of `name`
 * from now on fails. */
void fake_fail(const char *name, int rc, int after);
unsigned long fake_calls(void);
/* What cuGetProcAddress_v2 answers, by a name that nothing stands in front of. */
CUresult fake_get_proc_address(const char *symbol, void **pfn, int version,
	cuuint64_t flags, CUdriverProcAddressQueryResult *status);

#pragma GCC visibility pop
