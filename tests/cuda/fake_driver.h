/* fake_driver.h - what the fake driver's processes share, and how tests make it fail. */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "driver.h"

#include <stdbool.h>
#include <sys/types.h>

enum { FAKE_DEVICES_MAX = 8, FAKE_PROCESSES_MAX = 64 };
/* What a context takes, and a part of a device beside its primary context. */
enum { FAKE_CONTEXT_MIB = 64, FAKE_PART_MIB = 4 };

/* CU_EVENT_RECORD_EXTERNAL */
enum { FAKE_EVENT_EXTERNAL = 1 };

/* Of a CUDA that is not out yet. */
enum { FAKE_FUTURE_VERSION = 99000 };

/* It lives as long as its process has the lock on the file's byte of this number. */
struct fake_process {
	pid_t pid; /* 0: free */
	uint32_t reserved;
	uint64_t namespace;                /* in which that is its pid */
	uint64_t used[FAKE_DEVICES_MAX];   /* bytes */
	uint64_t ran_ns[FAKE_DEVICES_MAX]; /* of what it launched */
	uint64_t launches;
};

/* Who makes the file may fill in the first five. */
struct fake_state {
	uint32_t lock; /* the process that has it, from 1 */
	uint32_t
		devices; /* 0: the first process says how many there are, and how large */
	uint64_t device_bytes;
	uint32_t split; /* 1: they are the MIG instances of one GPU */
	uint32_t nodes; /* 1: a process sees a device if it can open its nodes of /dev */
	uint64_t free_at_ns[FAKE_DEVICES_MAX]; /* when all that was launched is done */
	struct fake_process processes[FAKE_PROCESSES_MAX];
};

#pragma GCC visibility push(hidden)

/* ---- fake/gpus.c, which both libraries have in them ---- */

struct fake_gpus {
	struct fake_state *state; /* mapped; NULL: not open */
	int fd; /* stays open: closing it would end the process's locks */
};

/* The file that FAKE_CUDA_STATE names; without the variable the one that the socket "gpus"
 * beside this library hands out, which reaches into containers. */
bool fake_gpus_open(struct fake_gpus *g);
uint64_t fake_namespace(void);
/* Is it the entry of a process that lives? */
bool fake_process_lives(const struct fake_gpus *g, unsigned i);
/* A free entry, from now on this process's; -1: all are taken. */
int fake_process_take(const struct fake_gpus *g);
/* "GPU-fa000000-..." or "MIG-fa000000-..." of a device. */
void fake_uuid(const struct fake_state *s, unsigned device, char *text, size_t size);
/* Where there are nodes: can this process open those that the device takes? */
bool fake_device_opens(const struct fake_state *s, unsigned device);

#pragma GCC visibility pop
#pragma GCC visibility push(default)

/* Of the driver, which Chronos has no use for. */
CUresult cuCtxSetCurrent(CUcontext context);
CUresult cuDriverGetVersion(int *version);
CUresult cuGetExportTable(const void **table, const CUuuid *id);
CUresult cuGraphAddChildGraphNode(CUgraphNode *node, CUgraph graph,
	const CUgraphNode *after, size_t count, CUgraph child);
CUresult cuGraphAddMemFreeNode(CUgraphNode *node, CUgraph graph, const CUgraphNode *after,
	size_t count, CUdeviceptr at);
CUresult cuGraphCreate(CUgraph *graph, unsigned flags);
CUresult cuMemPoolSetAttribute(CUmemoryPool pool, CUmemPool_attribute what, void *value);
CUresult cuStreamCreate(CUstream *stream, unsigned flags);
int nvmlDeviceGetHandleByIndex_v2(unsigned index, nvmlDevice_t *device);

/* Exported by the fake beside the driver's functions: the call number after + 1 of `name`
 * from now on fails. */
void fake_fail(const char *name, int rc, int after);
unsigned long fake_calls(void);
/* The most memory of a device that this process ever had. */
int fake_most_mib(void);
/* What cuGetProcAddress_v2 answers, by a name that nothing stands in front of. */
CUresult fake_get_proc_address(const char *symbol, void **pfn, int version,
	cuuint64_t flags, CUdriverProcAddressQueryResult *status);

#pragma GCC visibility pop
