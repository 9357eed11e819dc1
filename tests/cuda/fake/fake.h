/* fake.h - a libcuda.so.1 for machines without a GPU: what its parts share. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Devices are a file that processes share (gpus.c; FAKE_CUDA_DEVICES of FAKE_CUDA_MIB each):
 * what every process has allocated, and a timeline on which kernels are intervals, one after
 * the other, as many microseconds long as their grid is wide.  To wait is to sleep.  What a program must not do while a stream is being captured fails
 * here as it does there, and spoils the capture.  FAKE_CUDA_LOG gets what is asked of
 * cuGetProcAddress.
 *
 * It is strict where the driver may be lenient.  It knows the functions that Chronos
 * covers or uses; cuGetProcAddress gives others an address that must not be called.
 * One lock guards the lists, the state of the file has its own.
 */
#pragma once

#include "fake_driver.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CONTEXT_BYTES ((uint64_t)FAKE_CONTEXT_MIB << 20)
#define PART_BYTES    ((uint64_t)FAKE_PART_MIB << 20)
#define POOL_PAGE     ((uint64_t)2 << 20)

struct CUctx_st {
	int device;
	bool alive;
	unsigned attached; /* owners beside the first */
	uint64_t heap;     /* bytes that its kernels may allocate from */
};

/* A part of a device, which keeps its primary context. */
struct CUgreenCtx_st {
	int device;
};

/* Of memory that a graph allocates, or of another graph inside; kernels are only summed. */
struct CUgraphNode_st {
	int type;
	CUDA_MEM_ALLOC_NODE_PARAMS alloc;
	bool freed;  /* by a later node, */
	bool reused; /* and its address was given out again */
	CUgraph child;
	struct CUgraphNode_st *next;
};

struct CUgraph_st {
	uint64_t kernel_ns;
	CUgraphNode nodes;
};

struct CUgraphExec_st {
	struct CUgraph_st graph;
	int device;
};

struct CUstream_st {
	struct CUctx_st *context;
	int device;
	uint64_t end_ns; /* of what was launched on it */
	CUgraph capture; /* NULL: none */
	CUstreamCaptureMode mode;
	uint64_t capturer;
	bool invalid, destroyed;
	struct CUstream_st *next;
};

struct CUevent_st {
	uint64_t at_ns; /* when it is reached */
	bool captured;
};

struct CUmemPoolHandle_st {
	int device;
	bool on_host;
	uint64_t reserved, used, threshold;
};

/* What has an address or a handle. */
struct thing {
	uint64_t key, bytes;
	int device;
	CUmemoryPool pool; /* of stream-ordered memory */
	CUcontext context;
	unsigned handles, mappings;
	uint64_t physical; /* of a mapping: its handle */
	uint64_t mapped;   /* bytes */
	struct thing *next;
};

/* Of the .so alone; the driver's own functions are exported by driver.h. */
#pragma GCC visibility push(hidden)

/* ---- state.c ---- */

extern pthread_mutex_t lock;
extern struct fake_state *state;
extern struct fake_process *me;       /* this process in it */
extern int visible[FAKE_DEVICES_MAX]; /* CUDA's device i is that one of the file's */
extern int visible_count;

uint64_t now_ns(void);
void sleep_until(uint64_t ns);
/* For cuInit: CUDA_ERROR_NO_DEVICE where none is to be seen. */
CUresult begin(void);
/* Was it begun, and not by the parent of a forked child, where nothing works any more? */
CUresult ready(void);
/* What fake_fail() has said of it, and count the call. */
CUresult failing(const char *name);
CUresult take(int device, uint64_t bytes);
void give(int device, uint64_t bytes);
uint64_t free_bytes_of(int device);

#define MAY_FAIL()                                                                       \
	do {                                                                             \
		CUresult why = ready();                                                  \
		if (why == CUDA_SUCCESS)                                                 \
			why = failing(__func__);                                         \
		if (why != CUDA_SUCCESS)                                                 \
			return why;                                                      \
	} while (0)

/* ---- things.c ---- */

struct thing *add_thing(uint64_t key, uint64_t bytes, int device);
/* Lock held, or a thing that no other thread takes. */
struct thing *find_thing(uint64_t key);
struct thing *take_thing(uint64_t key);
void free_thing(struct thing *t);
/* What goes with its context. */
void free_things_of(CUcontext context);
void free_things_from(CUmemoryPool pool);
uint64_t new_address(uint64_t bytes);

/* ---- contexts.c ---- */

/* The thread's; CUDA_ERROR_INVALID_CONTEXT where it has none or a destroyed one. */
CUresult current(CUcontext *context);
/* What cuCtxGetCurrent() says: NULL where it has none. */
CUcontext top_context(void);

/* ---- captures.c ---- */

extern unsigned captures;

/* Some other stream's capture forbids this thread's call: it fails and spoils it. */
CUresult forbidden_by_capture(void);
CUresult spoil_all(CUresult rc);

#define UNSAFE()                                                                         \
	do {                                                                             \
		CUresult spoilt = forbidden_by_capture();                                \
		if (spoilt != CUDA_SUCCESS)                                              \
			return spoilt;                                                   \
	} while (0)

/* ---- streams.c ---- */

extern struct CUstream_st *streams; /* all but the legacy ones */

CUresult resolve(CUstream named, struct CUstream_st **s);
CUresult wait_stream(CUstream stream);
/* When all that was launched on the device by this process is done. */
uint64_t end_of_streams(int device);

/* Each function whose stream 0 has two meanings, with its body in terms of `stream`. */
#define BOTH(name, variant, parameters, named, ...)                                      \
	CUresult name parameters                                                         \
	{                                                                                \
		MAY_FAIL();                                                              \
		CUstream stream = named ? named : CU_STREAM_LEGACY;                      \
		__VA_ARGS__                                                              \
	}                                                                                \
	CUresult variant parameters                                                      \
	{                                                                                \
		MAY_FAIL();                                                              \
		CUstream stream = named ? named : CU_STREAM_PER_THREAD;                  \
		__VA_ARGS__                                                              \
	}

/* ---- launch.c ---- */

/* A kernel of so many microseconds, or a node of what is being captured. */
CUresult run_on(CUstream stream, uint64_t us);

/* ---- graphs.c ---- */

void graph_alloc(CUgraph graph, CUDA_MEM_ALLOC_NODE_PARAMS *params);
void graph_free(CUgraph graph, CUdeviceptr at);

/* ---- pools.c ---- */

/* Give back what a wait gives back. */
void trim_default_pools(void);
/* All that was allocated from the default pool is gone. */
void reset_pools(int device);

#pragma GCC visibility pop
