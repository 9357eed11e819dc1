/* fake_driver.c - a libcuda.so.1 for machines without a GPU. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Devices are a file that processes share (FAKE_CUDA_STATE; FAKE_CUDA_DEVICES of
 * FAKE_CUDA_MIB each): what every process has allocated, and a timeline on which kernels
 * are intervals, one after the other, as many microseconds long as their grid is wide.  To
 * wait is to sleep.  What a program must not do while a stream is being captured fails
 * here as it does there, and spoils the capture.  FAKE_CUDA_LOG gets what is asked of
 * cuGetProcAddress.
 *
 * It is strict where the driver may be lenient.  It knows the functions that Chronos
 * covers or uses; cuGetProcAddress gives others an address that must not be called.
 */
#include "fake_driver.h"
#include "symbols.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#pragma GCC visibility push(default)

enum { NAMES_MAX = 1024 };
#define CONTEXT_BYTES ((uint64_t)FAKE_CONTEXT_MIB << 20)
#define POOL_PAGE     ((uint64_t)2 << 20)

struct CUctx_st {
	int device;
	bool green, alive;
};

struct CUgraph_st {
	uint64_t kernel_ns, alloc_bytes;
	unsigned nodes;
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

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct fake_state *state;
static struct fake_process *me;
static bool began;  /* cuInit was called, */
static bool forked; /* and by the parent: here nothing works any more */
static struct thing *things;
static struct CUstream_st *streams;
static struct CUctx_st *primary[FAKE_DEVICES_MAX];
static unsigned primary_owners[FAKE_DEVICES_MAX];
static struct CUmemPoolHandle_st default_pools[FAKE_DEVICES_MAX];
static CUmemoryPool current_pools[FAKE_DEVICES_MAX];
static uint64_t graph_reserved[FAKE_DEVICES_MAX];
static uint64_t next_address = UINT64_C(0x7f0000000000);
static unsigned captures;
static __thread CUcontext stack[16];
static __thread unsigned depth;
static __thread CUstreamCaptureMode thread_mode = CU_STREAM_CAPTURE_MODE_GLOBAL;
static __thread char thread_mark;
static __thread struct CUstream_st *own_stream; /* CU_STREAM_PER_THREAD */
static struct CUstream_st legacy_streams[FAKE_DEVICES_MAX];

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void sleep_until(uint64_t ns)
{
	const struct timespec t = { (time_t)(ns / 1000000000), (long)(ns % 1000000000) };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
		;
}

/* ---- failing on purpose, and counting ---- */

static char fail_name[64];
static int fail_rc, fail_after;
static unsigned long calls;

void fake_fail(const char *name, int rc, int after)
{
	snprintf(fail_name, sizeof fail_name, "%s", name);
	fail_rc = rc;
	fail_after = after;
}

unsigned long fake_calls(void)
{
	return __atomic_load_n(&calls, __ATOMIC_RELAXED);
}

static CUresult failing(const char *name)
{
	__atomic_fetch_add(&calls, 1, __ATOMIC_RELAXED);
	if (!fail_name[0] || strcmp(fail_name, name) != 0 || fail_after-- > 0)
		return CUDA_SUCCESS;
	fail_name[0] = '\0';
	return (CUresult)fail_rc;
}

#define MAY_FAIL()                                                                       \
	do {                                                                             \
		CUresult why = ready();                                                  \
		if (why == CUDA_SUCCESS)                                                 \
			why = failing(__func__);                                         \
		if (why != CUDA_SUCCESS)                                                 \
			return why;                                                      \
	} while (0)

/* ---- the shared file ---- */

static bool is_gone(pid_t pid)
{
	return kill(pid, 0) < 0 && errno == ESRCH;
}

static void lock_state(void)
{
	while (__atomic_exchange_n(&state->lock, getpid(), __ATOMIC_ACQUIRE) != 0) {
		pid_t holder = __atomic_load_n(&state->lock, __ATOMIC_RELAXED);
		if (holder && holder != getpid() && is_gone(holder))
			break;
		sched_yield();
	}
}

static void unlock_state(void)
{
	__atomic_store_n(&state->lock, 0, __ATOMIC_RELEASE);
}

static void in_child(void)
{
	forked = began;
}

static bool open_state(void)
{
	const char *path = getenv("FAKE_CUDA_STATE");
	const char *count = getenv("FAKE_CUDA_DEVICES"), *mib = getenv("FAKE_CUDA_MIB");
	int fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;

	if (fd < 0 || ftruncate(fd, sizeof *state) < 0)
		return false;
	state = mmap(NULL, sizeof *state, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (state == MAP_FAILED)
		return false;
	lock_state();
	if (!state->devices) {
		state->device_bytes = (uint64_t)(mib ? atol(mib) : 1024) << 20;
		state->devices = count ? (uint32_t)atoi(count) : 1;
	}
	for (unsigned i = 0; i < FAKE_PROCESSES_MAX; i++) {
		struct fake_process *p = &state->processes[i];
		if (p->pid && is_gone(p->pid))
			memset(p, 0, sizeof *p);
		if (!p->pid && !me)
			me = p;
	}
	pthread_atfork(NULL, NULL, in_child);
	if (me) {
		memset(me, 0, sizeof *me);
		me->pid = getpid();
	}
	unlock_state();
	return me != NULL;
}

/* State locked. */
static uint64_t used_on(int device)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < FAKE_PROCESSES_MAX; i++) {
		struct fake_process *p = &state->processes[i];
		if (p->pid && is_gone(p->pid))
			memset(p, 0, sizeof *p);
		sum += p->used[device];
	}
	return sum;
}

static CUresult take(int device, uint64_t bytes)
{
	CUresult rc = CUDA_SUCCESS;

	lock_state();
	uint64_t used = used_on(device);
	if (bytes > state->device_bytes || used > state->device_bytes - bytes)
		rc = CUDA_ERROR_OUT_OF_MEMORY;
	else
		me->used[device] += bytes;
	unlock_state();
	return rc;
}

static void give(int device, uint64_t bytes)
{
	lock_state();
	me->used[device] -= bytes;
	unlock_state();
}

static CUresult ready(void)
{
	return began && !forked ? CUDA_SUCCESS : CUDA_ERROR_NOT_INITIALIZED;
}

/* ---- things ---- */

static struct thing *add_thing(uint64_t key, uint64_t bytes, int device)
{
	struct thing *t = calloc(1, sizeof *t);

	if (!t)
		abort();
	t->key = key;
	t->bytes = bytes;
	t->device = device;
	t->context = depth ? stack[depth - 1] : NULL;
	pthread_mutex_lock(&lock);
	t->next = things;
	things = t;
	pthread_mutex_unlock(&lock);
	return t;
}

static struct thing *find_thing(uint64_t key)
{
	struct thing *t = things;

	while (t && t->key != key)
		t = t->next;
	return t;
}

static struct thing *take_thing(uint64_t key)
{
	struct thing **at, *t;

	pthread_mutex_lock(&lock);
	for (at = &things; *at && (*at)->key != key;)
		at = &(*at)->next;
	t = *at;
	if (t)
		*at = t->next;
	pthread_mutex_unlock(&lock);
	return t;
}

static uint64_t new_address(uint64_t bytes)
{
	return __atomic_fetch_add(
		&next_address, (bytes + 4095) / 4096 * 4096 + 4096, __ATOMIC_RELAXED);
}

/* ---- init, devices ---- */

CUresult cuInit(unsigned flags)
{
	if (flags)
		return CUDA_ERROR_INVALID_VALUE;
	if (forked)
		return CUDA_ERROR_NOT_INITIALIZED;
	pthread_mutex_lock(&lock);
	CUresult rc = state || open_state() ? CUDA_SUCCESS : CUDA_ERROR_NO_DEVICE;
	if (rc == CUDA_SUCCESS)
		began = true;
	for (int i = 0; i < FAKE_DEVICES_MAX; i++) {
		default_pools[i].device = i;
		legacy_streams[i].device = i;
		if (!current_pools[i])
			current_pools[i] = &default_pools[i];
	}
	pthread_mutex_unlock(&lock);
	return rc;
}

CUresult cuDriverGetVersion(int *version);
CUresult cuDriverGetVersion(int *version)
{
	*version = 13050;
	return CUDA_SUCCESS;
}

CUresult cuDeviceGetCount(int *count)
{
	MAY_FAIL();
	*count = (int)state->devices;
	return CUDA_SUCCESS;
}

CUresult cuDeviceGetUuid(CUuuid *uuid, CUdevice device)
{
	MAY_FAIL();
	if (device < 0 || device >= (int)state->devices)
		return CUDA_ERROR_INVALID_DEVICE;
	memset(uuid, 0, sizeof *uuid);
	uuid->bytes[0] = (char)0xfa;
	uuid->bytes[15] = (char)device;
	return CUDA_SUCCESS;
}

CUresult cuDeviceGetUuid_v2(CUuuid *uuid, CUdevice device)
{
	return cuDeviceGetUuid(uuid, device);
}

CUresult cuDeviceTotalMem_v2(size_t *bytes, CUdevice device)
{
	MAY_FAIL();
	if (device < 0 || device >= (int)state->devices)
		return CUDA_ERROR_INVALID_DEVICE;
	*bytes = state->device_bytes;
	return CUDA_SUCCESS;
}

static unsigned clipped(uint64_t bytes)
{
	return bytes > UINT32_MAX ? UINT32_MAX : (unsigned)bytes;
}

CUresult cuDeviceTotalMem(unsigned *bytes, CUdevice device)
{
	size_t all = 0;
	CUresult rc = cuDeviceTotalMem_v2(&all, device);

	*bytes = clipped(all);
	return rc;
}

/* ---- contexts ---- */

static CUresult current(CUcontext *context)
{
	if (!depth || !stack[depth - 1])
		return CUDA_ERROR_INVALID_CONTEXT;
	*context = stack[depth - 1];
	return (*context)->alive ? CUDA_SUCCESS : CUDA_ERROR_INVALID_CONTEXT;
}

static CUresult make_context(CUcontext *context, int device)
{
	if (device < 0 || device >= (int)state->devices)
		return CUDA_ERROR_INVALID_DEVICE;
	CUresult rc = take(device, CONTEXT_BYTES);
	if (rc != CUDA_SUCCESS)
		return rc;
	struct CUctx_st *c = calloc(1, sizeof *c);
	if (!c)
		abort();
	c->device = device;
	c->alive = true;
	*context = c;
	return CUDA_SUCCESS;
}

static void free_thing(struct thing *t)
{
	if (t->pool)
		t->pool->used -= t->bytes;
	else
		give(t->device, t->bytes);
	free(t);
}

static void end_context(CUcontext context)
{
	struct thing *t;

	context->alive = false;
	give(context->device, CONTEXT_BYTES);
	do {
		pthread_mutex_lock(&lock);
		for (t = things; t && (t->context != context || t->handles ||
					      t->physical || t->pool);)
			t = t->next;
		pthread_mutex_unlock(&lock);
		if (t)
			free_thing(take_thing(t->key));
	} while (t);
}

CUresult cuCtxPushCurrent_v2(CUcontext context)
{
	MAY_FAIL();
	if (!context || !context->alive)
		return CUDA_ERROR_INVALID_CONTEXT;
	stack[depth++] = context;
	return CUDA_SUCCESS;
}

CUresult cuCtxPopCurrent_v2(CUcontext *context)
{
	MAY_FAIL();
	if (!depth)
		return CUDA_ERROR_INVALID_CONTEXT;
	*context = stack[--depth];
	return CUDA_SUCCESS;
}

CUresult cuCtxSetCurrent(CUcontext context);
CUresult cuCtxSetCurrent(CUcontext context)
{
	MAY_FAIL();
	if (!depth)
		depth = 1;
	stack[depth - 1] = context;
	return CUDA_SUCCESS;
}

CUresult cuCtxGetCurrent(CUcontext *context)
{
	MAY_FAIL();
	*context = depth ? stack[depth - 1] : NULL;
	return CUDA_SUCCESS;
}

CUresult cuCtxGetDevice(CUdevice *device)
{
	CUcontext context;

	MAY_FAIL();
	CUresult rc = current(&context);
	if (rc == CUDA_SUCCESS)
		*device = context->device;
	return rc;
}

CUresult cuCtxCreate_v2(CUcontext *context, unsigned flags, CUdevice device)
{
	(void)flags;
	MAY_FAIL();
	CUresult rc = make_context(context, device);
	if (rc == CUDA_SUCCESS)
		stack[depth++] = *context;
	return rc;
}

CUresult cuCtxCreate(CUcontext *context, unsigned flags, CUdevice device)
{
	return cuCtxCreate_v2(context, flags, device);
}

CUresult cuCtxCreate_v3(CUcontext *context, CUexecAffinityParam *params, int count,
	unsigned flags, CUdevice device)
{
	(void)params;
	(void)count;
	return cuCtxCreate_v2(context, flags, device);
}

CUresult cuCtxCreate_v4(
	CUcontext *context, CUctxCreateParams *params, unsigned flags, CUdevice device)
{
	(void)params;
	return cuCtxCreate_v2(context, flags, device);
}

CUresult cuCtxDestroy_v2(CUcontext context)
{
	MAY_FAIL();
	if (!context || !context->alive)
		return CUDA_ERROR_INVALID_CONTEXT;
	end_context(context);
	while (depth && stack[depth - 1] == context)
		depth--;
	return CUDA_SUCCESS;
}

CUresult cuCtxDestroy(CUcontext context)
{
	return cuCtxDestroy_v2(context);
}

CUresult cuCtxDetach(CUcontext context)
{
	return cuCtxDestroy_v2(context);
}

CUresult cuGreenCtxCreate(
	CUgreenCtx *context, CUdevResourceDesc desc, CUdevice device, unsigned flags)
{
	CUcontext made;

	(void)desc;
	(void)flags;
	MAY_FAIL();
	CUresult rc = make_context(&made, device);
	if (rc == CUDA_SUCCESS)
		*context = (CUgreenCtx)(void *)made;
	return rc;
}

CUresult cuGreenCtxDestroy(CUgreenCtx context)
{
	MAY_FAIL();
	end_context((CUcontext)(void *)context);
	return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device)
{
	MAY_FAIL();
	if (device < 0 || device >= (int)state->devices)
		return CUDA_ERROR_INVALID_DEVICE;
	if (!primary_owners[device]) {
		CUresult rc = make_context(&primary[device], device);
		if (rc != CUDA_SUCCESS)
			return rc;
	}
	primary_owners[device]++;
	*context = primary[device];
	return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxReset_v2(CUdevice device)
{
	MAY_FAIL();
	if (primary_owners[device])
		end_context(primary[device]);
	primary_owners[device] = 0;
	return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device)
{
	MAY_FAIL();
	if (!primary_owners[device])
		return CUDA_ERROR_INVALID_CONTEXT;
	if (--primary_owners[device] == 0)
		end_context(primary[device]);
	return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRelease(CUdevice device)
{
	return cuDevicePrimaryCtxRelease_v2(device);
}

CUresult cuDevicePrimaryCtxReset(CUdevice device)
{
	return cuDevicePrimaryCtxReset_v2(device);
}

CUresult cuDevicePrimaryCtxGetState(CUdevice device, unsigned *flags, int *active)
{
	MAY_FAIL();
	*flags = 0;
	*active = primary_owners[device] > 0;
	return CUDA_SUCCESS;
}

/* ---- captures ---- */

static uint64_t this_thread(void)
{
	return (uint64_t)(uintptr_t)&thread_mark;
}

/* Some other stream's capture forbids this thread's call: it fails and spoils it. */
static CUresult forbidden_by_capture(void)
{
	CUresult rc = CUDA_SUCCESS;

	if (!__atomic_load_n(&captures, __ATOMIC_ACQUIRE) ||
		thread_mode == CU_STREAM_CAPTURE_MODE_RELAXED)
		return rc;
	pthread_mutex_lock(&lock);
	for (struct CUstream_st *s = streams; s; s = s->next) {
		bool forbids = s->mode == CU_STREAM_CAPTURE_MODE_GLOBAL ||
			       (s->mode == CU_STREAM_CAPTURE_MODE_THREAD_LOCAL &&
				       s->capturer == this_thread());
		if (s->capture && forbids) {
			s->invalid = true;
			rc = CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
		}
	}
	pthread_mutex_unlock(&lock);
	return rc;
}

static CUresult spoil_all(CUresult rc)
{
	pthread_mutex_lock(&lock);
	for (struct CUstream_st *s = streams; s; s = s->next)
		s->invalid |= s->capture != NULL;
	pthread_mutex_unlock(&lock);
	return rc;
}

#define UNSAFE()                                                                         \
	do {                                                                             \
		CUresult spoilt = forbidden_by_capture();                                \
		if (spoilt != CUDA_SUCCESS)                                              \
			return spoilt;                                                   \
	} while (0)

CUresult cuThreadExchangeStreamCaptureMode(CUstreamCaptureMode *mode)
{
	CUstreamCaptureMode old = thread_mode;

	thread_mode = *mode;
	*mode = old;
	return CUDA_SUCCESS;
}

/* ---- streams ---- */

static struct CUstream_st *new_stream(CUcontext context)
{
	struct CUstream_st *s = calloc(1, sizeof *s);

	if (!s)
		abort();
	s->context = context;
	s->device = context->device;
	pthread_mutex_lock(&lock);
	s->next = streams;
	streams = s;
	pthread_mutex_unlock(&lock);
	return s;
}

static CUresult resolve(CUstream named, struct CUstream_st **s)
{
	CUcontext context;

	if (named != CU_STREAM_LEGACY && named != CU_STREAM_PER_THREAD) {
		*s = named;
		return named->destroyed ? CUDA_ERROR_INVALID_HANDLE : CUDA_SUCCESS;
	}
	CUresult rc = current(&context);
	if (rc != CUDA_SUCCESS)
		return rc;
	if (named == CU_STREAM_PER_THREAD) {
		if (!own_stream || own_stream->device != context->device)
			own_stream = new_stream(context);
		*s = own_stream;
		return CUDA_SUCCESS;
	}
	/* It is ordered with all others, so it cannot go on beside a capture. */
	if (__atomic_load_n(&captures, __ATOMIC_ACQUIRE))
		return spoil_all(CUDA_ERROR_STREAM_CAPTURE_IMPLICIT);
	*s = &legacy_streams[context->device];
	(*s)->context = context;
	return CUDA_SUCCESS;
}

static CUstream zero_legacy(CUstream s)
{
	return s ? s : CU_STREAM_LEGACY;
}

static CUstream zero_thread(CUstream s)
{
	return s ? s : CU_STREAM_PER_THREAD;
}

CUresult cuStreamCreate(CUstream *stream, unsigned flags);
CUresult cuStreamCreate(CUstream *stream, unsigned flags)
{
	CUcontext context;

	(void)flags;
	MAY_FAIL();
	CUresult rc = current(&context);
	if (rc == CUDA_SUCCESS)
		*stream = new_stream(context);
	return rc;
}

CUresult cuStreamDestroy_v2(CUstream stream)
{
	MAY_FAIL();
	stream->destroyed = true;
	return CUDA_SUCCESS;
}

CUresult cuStreamDestroy(CUstream stream)
{
	return cuStreamDestroy_v2(stream);
}

CUresult cuStreamGetCtx(CUstream stream, CUcontext *context)
{
	struct CUstream_st *s;

	MAY_FAIL();
	CUresult rc = resolve(stream, &s);
	if (rc == CUDA_SUCCESS)
		*context = s->context;
	return rc;
}

CUresult cuStreamGetCtx_v2(CUstream stream, CUcontext *context, CUgreenCtx *part)
{
	*part = NULL;
	return cuStreamGetCtx(stream, context);
}

CUresult cuStreamIsCapturing(CUstream stream, CUstreamCaptureStatus *status)
{
	MAY_FAIL();
	if (stream == CU_STREAM_LEGACY || !stream) {
		*status = CU_STREAM_CAPTURE_STATUS_NONE;
		return __atomic_load_n(&captures, __ATOMIC_ACQUIRE)
			       ? CUDA_ERROR_STREAM_CAPTURE_IMPLICIT
			       : CUDA_SUCCESS;
	}
	struct CUstream_st *s;
	CUresult rc = resolve(stream, &s);
	if (rc != CUDA_SUCCESS)
		return rc;
	*status = !s->capture  ? CU_STREAM_CAPTURE_STATUS_NONE
		  : s->invalid ? CU_STREAM_CAPTURE_STATUS_INVALIDATED
			       : CU_STREAM_CAPTURE_STATUS_ACTIVE;
	return CUDA_SUCCESS;
}

static CUresult begin_capture(CUstream stream, CUstreamCaptureMode mode)
{
	struct CUstream_st *s;

	if (stream == CU_STREAM_LEGACY)
		return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
	CUresult rc = resolve(stream, &s);
	if (rc != CUDA_SUCCESS || s->capture)
		return rc != CUDA_SUCCESS ? rc : CUDA_ERROR_INVALID_VALUE;
	CUgraph g = calloc(1, sizeof *g);
	pthread_mutex_lock(&lock);
	s->capture = g;
	s->mode = mode;
	s->invalid = false;
	s->capturer = this_thread();
	__atomic_add_fetch(&captures, 1, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&lock);
	return CUDA_SUCCESS;
}

static CUresult end_capture(CUstream stream, CUgraph *graph)
{
	struct CUstream_st *s;
	CUresult rc = resolve(stream, &s);

	if (rc != CUDA_SUCCESS || !s->capture)
		return rc != CUDA_SUCCESS ? rc : CUDA_ERROR_INVALID_VALUE;
	pthread_mutex_lock(&lock);
	*graph = s->capture;
	s->capture = NULL;
	rc = s->invalid ? CUDA_ERROR_STREAM_CAPTURE_INVALIDATED : CUDA_SUCCESS;
	__atomic_sub_fetch(&captures, 1, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&lock);
	if (rc != CUDA_SUCCESS) {
		free(*graph);
		*graph = NULL;
	}
	return rc;
}

static CUresult wait_stream(CUstream stream)
{
	struct CUstream_st *s;
	CUresult rc = resolve(stream, &s);

	if (rc != CUDA_SUCCESS)
		return rc;
	if (s->capture) {
		s->invalid = true;
		return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
	}
	UNSAFE();
	sleep_until(__atomic_load_n(&s->end_ns, __ATOMIC_ACQUIRE));
	return CUDA_SUCCESS;
}

static CUresult query_stream(CUstream stream)
{
	struct CUstream_st *s;
	CUresult rc = resolve(stream, &s);

	if (rc != CUDA_SUCCESS)
		return rc;
	if (s->capture) {
		s->invalid = true;
		return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
	}
	UNSAFE();
	return now_ns() >= __atomic_load_n(&s->end_ns, __ATOMIC_ACQUIRE)
		       ? CUDA_SUCCESS
		       : CUDA_ERROR_NOT_READY;
}

/* ---- launching ---- */

static void run_on_timeline(struct CUstream_st *s, uint64_t length_ns)
{
	uint64_t now = now_ns(), *free_at = &state->free_at_ns[s->device], end;
	uint64_t seen = __atomic_load_n(free_at, __ATOMIC_SEQ_CST);

	do {
		end = (seen > now ? seen : now) + length_ns;
	} while (!__atomic_compare_exchange_n(
		free_at, &seen, end, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
	__atomic_fetch_add(&me->ran_ns[s->device], length_ns, __ATOMIC_SEQ_CST);
	__atomic_fetch_add(&me->launches, 1, __ATOMIC_SEQ_CST);
	__atomic_store_n(&s->end_ns, end, __ATOMIC_RELEASE);
}

static CUresult run(CUstream stream, uint64_t us)
{
	struct CUstream_st *s;
	CUresult rc = resolve(stream, &s);

	if (rc != CUDA_SUCCESS)
		return rc;
	if (s->capture) {
		s->capture->kernel_ns += us * 1000;
		s->capture->nodes++;
		return s->invalid ? CUDA_ERROR_STREAM_CAPTURE_INVALIDATED : CUDA_SUCCESS;
	}
	run_on_timeline(s, us * 1000);
	return CUDA_SUCCESS;
}

/* Each function whose stream 0 has two meanings, with its body in terms of `stream`. */
#define BOTH(name, variant, parameters, named, ...)                                      \
	CUresult name parameters                                                         \
	{                                                                                \
		MAY_FAIL();                                                              \
		CUstream stream = zero_legacy(named);                                    \
		__VA_ARGS__                                                              \
	}                                                                                \
	CUresult variant parameters                                                      \
	{                                                                                \
		MAY_FAIL();                                                              \
		CUstream stream = zero_thread(named);                                    \
		__VA_ARGS__                                                              \
	}

#define KERNEL_PARAMETERS                                                                \
	(CUfunction f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,  \
		unsigned bz, unsigned shared, CUstream on, void **params, void **extra)
#define COOPERATIVE_PARAMETERS                                                           \
	(CUfunction f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,  \
		unsigned bz, unsigned shared, CUstream on, void **params)

BOTH(cuLaunchKernel, cuLaunchKernel_ptsz, KERNEL_PARAMETERS, on, {
	(void)f, (void)gy, (void)gz, (void)bx, (void)by, (void)bz, (void)shared;
	(void)params, (void)extra;
	return run(stream, gx);
})
BOTH(cuLaunchCooperativeKernel, cuLaunchCooperativeKernel_ptsz, COOPERATIVE_PARAMETERS,
	on, {
		(void)f, (void)gy, (void)gz, (void)bx, (void)by, (void)bz, (void)shared;
		(void)params;
		return run(stream, gx);
	})
BOTH(cuLaunchKernelEx, cuLaunchKernelEx_ptsz,
	(const CUlaunchConfig *config, CUfunction f, void **params, void **extra),
	config->hStream, {
		(void)f, (void)params, (void)extra;
		return run(stream, config->gridDimX);
	})

CUresult cuLaunchCooperativeKernelMultiDevice(
	CUDA_LAUNCH_PARAMS *list, unsigned count, unsigned flags)
{
	(void)flags;
	MAY_FAIL();
	for (unsigned i = 0; i < count; i++) {
		CUresult rc = run(list[i].hStream, list[i].gridDimX);
		if (rc != CUDA_SUCCESS)
			return rc;
	}
	return CUDA_SUCCESS;
}

CUresult cuLaunch(CUfunction f)
{
	(void)f;
	MAY_FAIL();
	return run(CU_STREAM_LEGACY, 1);
}

CUresult cuLaunchGrid(CUfunction f, int width, int height)
{
	(void)f, (void)height;
	MAY_FAIL();
	return run(CU_STREAM_LEGACY, (uint64_t)width);
}

CUresult cuLaunchGridAsync(CUfunction f, int width, int height, CUstream on)
{
	(void)f, (void)height;
	MAY_FAIL();
	return run(zero_legacy(on), (uint64_t)width);
}

BOTH(cuStreamSynchronize, cuStreamSynchronize_ptsz, (CUstream on), on, {
	CUresult rc = wait_stream(stream);
	return rc;
})
BOTH(cuStreamQuery, cuStreamQuery_ptsz, (CUstream on), on,
	{ return query_stream(stream); })
BOTH(cuStreamBeginCapture, cuStreamBeginCapture_ptsz, (CUstream on), on,
	{ return begin_capture(stream, CU_STREAM_CAPTURE_MODE_GLOBAL); })
BOTH(cuStreamBeginCapture_v2, cuStreamBeginCapture_v2_ptsz,
	(CUstream on, CUstreamCaptureMode mode), on,
	{ return begin_capture(stream, mode); })
BOTH(cuStreamBeginCaptureToGraph, cuStreamBeginCaptureToGraph_ptsz,
	(CUstream on, CUgraph graph, const CUgraphNode *after,
		const CUgraphEdgeData *edges, size_t count, CUstreamCaptureMode mode),
	on, {
		(void)graph, (void)after, (void)edges, (void)count;
		return begin_capture(stream, mode);
	})
BOTH(cuStreamBeginRecaptureToGraph, cuStreamBeginRecaptureToGraph_ptsz,
	(CUstream on, CUstreamCaptureMode mode, CUgraph graph,
		CUgraphRecaptureCallback callback, void *arg),
	on, {
		(void)graph, (void)callback, (void)arg;
		return begin_capture(stream, mode);
	})
BOTH(cuStreamEndCapture, cuStreamEndCapture_ptsz, (CUstream on, CUgraph *graph), on,
	{ return end_capture(stream, graph); })

static CUresult wait_context(void)
{
	CUcontext context;
	uint64_t end = 0;
	CUresult rc = current(&context);

	if (rc != CUDA_SUCCESS)
		return rc;
	if (__atomic_load_n(&captures, __ATOMIC_ACQUIRE))
		return spoil_all(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
	pthread_mutex_lock(&lock);
	for (struct CUstream_st *s = streams; s; s = s->next) {
		uint64_t at = __atomic_load_n(&s->end_ns, __ATOMIC_ACQUIRE);
		if (s->device == context->device && at > end)
			end = at;
	}
	uint64_t at = __atomic_load_n(
		&legacy_streams[context->device].end_ns, __ATOMIC_ACQUIRE);
	pthread_mutex_unlock(&lock);
	sleep_until(at > end ? at : end);
	for (int i = 0; i < FAKE_DEVICES_MAX; i++) {
		CUmemoryPool p = &default_pools[i];
		if (p->reserved > p->used && !p->threshold)
			cuMemPoolTrimTo(p, 0);
	}
	return CUDA_SUCCESS;
}

CUresult cuCtxSynchronize(void)
{
	MAY_FAIL();
	return wait_context();
}

CUresult cuCtxSynchronize_v2(CUcontext context)
{
	(void)context;
	MAY_FAIL();
	return wait_context();
}

BOTH(cuMemcpyDtoH_v2, cuMemcpyDtoH_v2_ptds, (void *to, CUdeviceptr from, size_t bytes),
	NULL, {
		(void)from;
		memset(to, 0, bytes);
		return wait_stream(stream);
	})

/* ---- events ---- */

CUresult cuEventCreate(CUevent *event, unsigned flags)
{
	(void)flags;
	MAY_FAIL();
	*event = calloc(1, sizeof **event);
	return CUDA_SUCCESS;
}

CUresult cuEventDestroy_v2(CUevent event)
{
	MAY_FAIL();
	free(event);
	return CUDA_SUCCESS;
}

CUresult cuEventDestroy(CUevent event)
{
	return cuEventDestroy_v2(event);
}

static CUresult record_event(CUevent event, CUstream stream)
{
	struct CUstream_st *s;
	CUresult rc = resolve(stream, &s);

	if (rc != CUDA_SUCCESS)
		return rc;
	event->captured = s->capture != NULL;
	uint64_t now = now_ns(), end = __atomic_load_n(&s->end_ns, __ATOMIC_ACQUIRE);
	__atomic_store_n(&event->at_ns, end > now ? end : now, __ATOMIC_RELEASE);
	return CUDA_SUCCESS;
}

BOTH(cuEventRecord, cuEventRecord_ptsz, (CUevent event, CUstream on), on,
	{ return record_event(event, stream); })
BOTH(cuEventRecordWithFlags, cuEventRecordWithFlags_ptsz,
	(CUevent event, CUstream on, unsigned flags), on, {
		(void)flags;
		return record_event(event, stream);
	})

CUresult cuEventSynchronize(CUevent event)
{
	MAY_FAIL();
	UNSAFE();
	if (event->captured)
		return spoil_all(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
	sleep_until(__atomic_load_n(&event->at_ns, __ATOMIC_ACQUIRE));
	return CUDA_SUCCESS;
}

CUresult cuEventQuery(CUevent event)
{
	MAY_FAIL();
	UNSAFE();
	if (event->captured)
		return spoil_all(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
	return now_ns() >= __atomic_load_n(&event->at_ns, __ATOMIC_ACQUIRE)
		       ? CUDA_SUCCESS
		       : CUDA_ERROR_NOT_READY;
}

CUresult cuEventElapsedTime(float *ms, CUevent from, CUevent to)
{
	MAY_FAIL();
	*ms = (float)((double)to->at_ns - (double)from->at_ns) / 1e6f;
	return CUDA_SUCCESS;
}

/* ---- memory ---- */

static CUresult allocate(CUdeviceptr *at, uint64_t bytes)
{
	CUcontext context;

	if (!at || !bytes)
		return CUDA_ERROR_INVALID_VALUE;
	UNSAFE();
	CUresult rc = current(&context);
	if (rc == CUDA_SUCCESS)
		rc = take(context->device, bytes);
	if (rc != CUDA_SUCCESS)
		return rc;
	*at = new_address(bytes);
	add_thing(*at, bytes, context->device);
	return CUDA_SUCCESS;
}

CUresult cuMemGetInfo_v2(size_t *free_bytes, size_t *total)
{
	CUcontext context;

	MAY_FAIL();
	CUresult rc = current(&context);
	if (rc != CUDA_SUCCESS)
		return rc;
	lock_state();
	*free_bytes = state->device_bytes - used_on(context->device);
	unlock_state();
	*total = state->device_bytes;
	return CUDA_SUCCESS;
}

CUresult cuMemGetInfo(unsigned *free_bytes, unsigned *total)
{
	size_t f = 0, t = 0;
	CUresult rc = cuMemGetInfo_v2(&f, &t);

	*free_bytes = clipped(f);
	*total = clipped(t);
	return rc;
}

CUresult cuMemAlloc_v2(CUdeviceptr *at, size_t bytes)
{
	MAY_FAIL();
	return allocate(at, bytes);
}

CUresult cuMemAlloc(unsigned *at, unsigned bytes)
{
	CUdeviceptr all;

	MAY_FAIL();
	CUresult rc = allocate(&all, bytes);
	*at = (unsigned)all;
	return rc;
}

CUresult cuMemAllocManaged(CUdeviceptr *at, size_t bytes, unsigned flags)
{
	(void)flags;
	MAY_FAIL();
	return allocate(at, bytes);
}

CUresult cuMemAllocPitch_v2(CUdeviceptr *at, size_t *pitch, size_t width, size_t height,
	unsigned element_bytes)
{
	(void)element_bytes;
	MAY_FAIL();
	/* Wider than one would expect. */
	*pitch = (width + 1023) / 1024 * 1024;
	return allocate(at, *pitch * height);
}

CUresult cuMemFree_v2(CUdeviceptr at)
{
	MAY_FAIL();
	if (!at)
		return CUDA_SUCCESS;
	UNSAFE();
	struct thing *t = take_thing(at);
	if (!t)
		return CUDA_ERROR_INVALID_VALUE;
	free_thing(t);
	return CUDA_SUCCESS;
}

CUresult cuMemFree(unsigned at)
{
	return cuMemFree_v2(at);
}

/* ---- arrays ---- */

static CUresult make_array(void **array, uint64_t bytes)
{
	CUcontext context;
	CUresult rc = current(&context);

	if (rc == CUDA_SUCCESS)
		rc = take(context->device, bytes);
	if (rc != CUDA_SUCCESS)
		return rc;
	*array = malloc(1);
	add_thing((uintptr_t)*array, bytes, context->device);
	return CUDA_SUCCESS;
}

static uint64_t at_least_one(uint64_t n)
{
	return n ? n : 1;
}

/* All tests use formats of four bytes. */
CUresult cuArrayCreate_v2(CUarray *array, const CUDA_ARRAY_DESCRIPTOR *what)
{
	MAY_FAIL();
	return make_array((void **)array,
		what->Width * at_least_one(what->Height) * what->NumChannels * 4);
}

CUresult cuArray3DCreate_v2(CUarray *array, const CUDA_ARRAY3D_DESCRIPTOR *what)
{
	MAY_FAIL();
	return make_array((void **)array, what->Width * at_least_one(what->Height) *
						  at_least_one(what->Depth) *
						  what->NumChannels * 4);
}

CUresult cuMipmappedArrayCreate(
	CUmipmappedArray *array, const CUDA_ARRAY3D_DESCRIPTOR *what, unsigned levels)
{
	uint64_t w = what->Width, h = at_least_one(what->Height), sum = 0;

	MAY_FAIL();
	for (unsigned i = 0; i < levels; i++) {
		sum += w * h * what->NumChannels * 4;
		w = at_least_one(w / 2);
		h = at_least_one(h / 2);
	}
	return make_array((void **)array, sum);
}

static CUresult end_array(void *array)
{
	struct thing *t = take_thing((uintptr_t)array);

	if (!t)
		return CUDA_ERROR_INVALID_HANDLE;
	free_thing(t);
	free(array);
	return CUDA_SUCCESS;
}

CUresult cuArrayDestroy(CUarray array)
{
	MAY_FAIL();
	return end_array(array);
}

CUresult cuMipmappedArrayDestroy(CUmipmappedArray array)
{
	MAY_FAIL();
	return end_array(array);
}

/* ---- pools ---- */

static CUresult pool_alloc(
	CUdeviceptr *at, uint64_t bytes, CUmemoryPool pool, CUstream stream)
{
	struct CUstream_st *s;
	CUresult rc = resolve(stream, &s);

	if (rc != CUDA_SUCCESS)
		return rc;
	if (s->capture) {
		s->capture->alloc_bytes += bytes;
		*at = new_address(bytes);
		return CUDA_SUCCESS;
	}
	if (!pool)
		pool = current_pools[s->device];
	pthread_mutex_lock(&lock);
	uint64_t spare = pool->reserved - pool->used;
	if (bytes > spare) {
		uint64_t grow = (bytes - spare + POOL_PAGE - 1) / POOL_PAGE * POOL_PAGE;
		rc = take(pool->device, grow);
		if (rc == CUDA_SUCCESS)
			pool->reserved += grow;
	}
	if (rc == CUDA_SUCCESS)
		pool->used += bytes;
	pthread_mutex_unlock(&lock);
	if (rc != CUDA_SUCCESS)
		return rc;
	*at = new_address(bytes);
	add_thing(*at, bytes, pool->device)->pool = pool;
	return CUDA_SUCCESS;
}

BOTH(cuMemAllocAsync, cuMemAllocAsync_ptsz, (CUdeviceptr * at, size_t bytes, CUstream on),
	on, { return pool_alloc(at, bytes, NULL, stream); })
BOTH(cuMemAllocFromPoolAsync, cuMemAllocFromPoolAsync_ptsz,
	(CUdeviceptr * at, size_t bytes, CUmemoryPool pool, CUstream on), on,
	{ return pool_alloc(at, bytes, pool, stream); })
BOTH(cuMemFreeAsync, cuMemFreeAsync_ptsz, (CUdeviceptr at, CUstream on), on, {
	(void)stream;
	struct thing *t = take_thing(at);
	if (!t)
		return CUDA_ERROR_INVALID_VALUE;
	free_thing(t);
	return CUDA_SUCCESS;
})

CUresult cuMemPoolCreate(CUmemoryPool *pool, const CUmemPoolProps *props)
{
	MAY_FAIL();
	*pool = calloc(1, sizeof **pool);
	(*pool)->device = props->location.id;
	return CUDA_SUCCESS;
}

CUresult cuMemPoolTrimTo(CUmemoryPool pool, size_t keep)
{
	MAY_FAIL();
	UNSAFE();
	pthread_mutex_lock(&lock);
	uint64_t least = pool->used > keep ? pool->used : keep;
	least = (least + POOL_PAGE - 1) / POOL_PAGE * POOL_PAGE;
	if (pool->reserved > least) {
		give(pool->device, pool->reserved - least);
		pool->reserved = least;
	}
	pthread_mutex_unlock(&lock);
	return CUDA_SUCCESS;
}

CUresult cuMemPoolDestroy(CUmemoryPool pool)
{
	MAY_FAIL();
	give(pool->device, pool->reserved);
	free(pool);
	return CUDA_SUCCESS;
}

CUresult cuMemPoolGetAttribute(CUmemoryPool pool, CUmemPool_attribute what, void *value)
{
	uint64_t n;

	MAY_FAIL();
	pthread_mutex_lock(&lock);
	n = what == CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT ? pool->reserved
	    : what == CU_MEMPOOL_ATTR_USED_MEM_CURRENT   ? pool->used
							 : pool->threshold;
	pthread_mutex_unlock(&lock);
	memcpy(value, &n, sizeof n);
	return CUDA_SUCCESS;
}

CUresult cuMemPoolSetAttribute(CUmemoryPool pool, CUmemPool_attribute what, void *value);
CUresult cuMemPoolSetAttribute(CUmemoryPool pool, CUmemPool_attribute what, void *value)
{
	MAY_FAIL();
	if (what == CU_MEMPOOL_ATTR_RELEASE_THRESHOLD)
		memcpy(&pool->threshold, value, sizeof pool->threshold);
	return CUDA_SUCCESS;
}

CUresult cuMemPoolImportFromShareableHandle(CUmemoryPool *pool, void *handle,
	CUmemAllocationHandleType type, unsigned long long flags)
{
	(void)handle, (void)type, (void)flags;
	MAY_FAIL();
	*pool = calloc(1, sizeof **pool);
	return CUDA_SUCCESS;
}

CUresult cuDeviceGetMemPool(CUmemoryPool *pool, CUdevice device)
{
	MAY_FAIL();
	*pool = current_pools[device];
	return CUDA_SUCCESS;
}

CUresult cuDeviceGetDefaultMemPool(CUmemoryPool *pool, CUdevice device)
{
	MAY_FAIL();
	*pool = &default_pools[device];
	return CUDA_SUCCESS;
}

CUresult cuDeviceSetMemPool(CUdevice device, CUmemoryPool pool);
CUresult cuDeviceSetMemPool(CUdevice device, CUmemoryPool pool)
{
	MAY_FAIL();
	current_pools[device] = pool;
	return CUDA_SUCCESS;
}

/* ---- physical memory ---- */

CUresult cuMemCreate(CUmemGenericAllocationHandle *handle, size_t bytes,
	const CUmemAllocationProp *prop, unsigned long long flags)
{
	(void)flags;
	MAY_FAIL();
	if (bytes % POOL_PAGE)
		return CUDA_ERROR_INVALID_VALUE;
	bool device = prop->location.type == CU_MEM_LOCATION_TYPE_DEVICE;
	CUresult rc = device ? take(prop->location.id, bytes) : CUDA_SUCCESS;
	if (rc != CUDA_SUCCESS)
		return rc;
	*handle = new_address(0);
	struct thing *t =
		add_thing(*handle, device ? bytes : 0, device ? prop->location.id : 0);
	t->handles = 1;
	return CUDA_SUCCESS;
}

static void end_if_unused(struct thing *t)
{
	if (!t->handles && !t->mappings)
		free_thing(take_thing(t->key));
}

CUresult cuMemRelease(CUmemGenericAllocationHandle handle)
{
	MAY_FAIL();
	struct thing *t = find_thing(handle);
	if (!t || !t->handles)
		return CUDA_ERROR_INVALID_VALUE;
	t->handles--;
	end_if_unused(t);
	return CUDA_SUCCESS;
}

CUresult cuMemMap(CUdeviceptr at, size_t bytes, size_t offset,
	CUmemGenericAllocationHandle handle, unsigned long long flags)
{
	(void)offset, (void)flags;
	MAY_FAIL();
	struct thing *t = find_thing(handle);
	if (!t)
		return CUDA_ERROR_INVALID_VALUE;
	t->mappings++;
	struct thing *m = add_thing(at, 0, t->device);
	m->physical = handle;
	m->mapped = bytes;
	return CUDA_SUCCESS;
}

CUresult cuMemUnmap(CUdeviceptr at, size_t bytes)
{
	MAY_FAIL();
	for (CUdeviceptr end = at + bytes; at < end;) {
		struct thing *m = take_thing(at);
		if (!m)
			return CUDA_ERROR_INVALID_VALUE;
		at += m->mapped;
		struct thing *t = find_thing(m->physical);
		t->mappings--;
		end_if_unused(t);
		free(m);
	}
	return CUDA_SUCCESS;
}

CUresult cuMemRetainAllocationHandle(CUmemGenericAllocationHandle *handle, void *at)
{
	MAY_FAIL();
	struct thing *m = find_thing((uintptr_t)at);
	if (!m || !m->physical)
		return CUDA_ERROR_INVALID_VALUE;
	*handle = m->physical;
	find_thing(m->physical)->handles++;
	return CUDA_SUCCESS;
}

/* ---- graphs ---- */

CUresult cuGraphCreate(CUgraph *graph, unsigned flags);
CUresult cuGraphCreate(CUgraph *graph, unsigned flags)
{
	(void)flags;
	MAY_FAIL();
	*graph = calloc(1, sizeof **graph);
	return CUDA_SUCCESS;
}

static CUresult add_alloc_node(CUgraph graph, CUDA_MEM_ALLOC_NODE_PARAMS *params)
{
	graph->alloc_bytes += params->bytesize;
	params->dptr = new_address(params->bytesize);
	return CUDA_SUCCESS;
}

CUresult cuGraphAddMemAllocNode(CUgraphNode *node, CUgraph graph,
	const CUgraphNode *after, size_t count, CUDA_MEM_ALLOC_NODE_PARAMS *params)
{
	(void)node, (void)after, (void)count;
	MAY_FAIL();
	return add_alloc_node(graph, params);
}

CUresult cuGraphAddNode(CUgraphNode *node, CUgraph graph, const CUgraphNode *after,
	size_t count, CUgraphNodeParams *params)
{
	(void)node, (void)after, (void)count;
	MAY_FAIL();
	return params->type == CU_GRAPH_NODE_TYPE_MEM_ALLOC
		       ? add_alloc_node(graph, &params->alloc)
		       : CUDA_SUCCESS;
}

CUresult cuGraphAddNode_v2(CUgraphNode *node, CUgraph graph, const CUgraphNode *after,
	const CUgraphEdgeData *edges, size_t count, CUgraphNodeParams *params)
{
	(void)edges;
	return cuGraphAddNode(node, graph, after, count, params);
}

CUresult cuGraphAddNode_v3(CUgraphNode *node, CUgraph graph, const CUgraphNode *after,
	const CUgraphEdgeData *edges, size_t count, CUgraphNodeParams *params)
{
	(void)edges;
	return cuGraphAddNode(node, graph, after, count, params);
}

CUresult cuGraphInstantiateWithFlags(
	CUgraphExec *exec, CUgraph graph, unsigned long long flags);
CUresult cuGraphInstantiateWithFlags(
	CUgraphExec *exec, CUgraph graph, unsigned long long flags)
{
	CUcontext context;

	(void)flags;
	MAY_FAIL();
	CUresult rc = current(&context);
	if (rc != CUDA_SUCCESS)
		return rc;
	*exec = calloc(1, sizeof **exec);
	(*exec)->graph = *graph;
	(*exec)->device = context->device;
	return CUDA_SUCCESS;
}

static CUresult launch_graph(CUgraphExec exec, CUstream stream)
{
	struct CUstream_st *s;
	CUresult rc = resolve(stream, &s);

	if (rc != CUDA_SUCCESS)
		return rc;
	pthread_mutex_lock(&lock);
	uint64_t want = (exec->graph.alloc_bytes + POOL_PAGE - 1) / POOL_PAGE * POOL_PAGE;
	if (want > graph_reserved[s->device]) {
		rc = take(s->device, want - graph_reserved[s->device]);
		if (rc == CUDA_SUCCESS)
			graph_reserved[s->device] = want;
	}
	pthread_mutex_unlock(&lock);
	return rc == CUDA_SUCCESS ? run(stream, exec->graph.kernel_ns / 1000) : rc;
}

BOTH(cuGraphLaunch, cuGraphLaunch_ptsz, (CUgraphExec exec, CUstream on), on,
	{ return launch_graph(exec, stream); })

CUresult cuDeviceGetGraphMemAttribute(
	CUdevice device, CUgraphMem_attribute what, void *value)
{
	MAY_FAIL();
	(void)what;
	pthread_mutex_lock(&lock);
	memcpy(value, &graph_reserved[device], sizeof(uint64_t));
	pthread_mutex_unlock(&lock);
	return CUDA_SUCCESS;
}

CUresult cuDeviceGraphMemTrim(CUdevice device)
{
	MAY_FAIL();
	pthread_mutex_lock(&lock);
	give(device, graph_reserved[device]);
	graph_reserved[device] = 0;
	pthread_mutex_unlock(&lock);
	return CUDA_SUCCESS;
}

/* ---- cuGetProcAddress ---- */

struct version {
	void *function;
	const char *base;
	int since;
	int zero; /* which stream 0: ANY, LEGACY or THREAD */
};

enum { ANY, LEGACY, THREAD };

static const struct version versions[] = {
#define ROW(exported, base, since, zero) { (void *)exported, #base, since, zero },
	COVERED_CUDA_SYMBOLS(ROW)
#undef ROW
};

/* Addresses for what the fake does not have: each name has one, which is not to be called. */
static char unknown[NAMES_MAX];
static char *unknown_names[NAMES_MAX];

static void *unknown_address(const char *name)
{
	unsigned i = 0;

	pthread_mutex_lock(&lock);
	while (i < NAMES_MAX && unknown_names[i] && strcmp(unknown_names[i], name) != 0)
		i++;
	if (i < NAMES_MAX && !unknown_names[i])
		unknown_names[i] = strdup(name);
	pthread_mutex_unlock(&lock);
	return i < NAMES_MAX ? &unknown[i] : NULL;
}

static void log_request(const char *name, int version, cuuint64_t flags)
{
	const char *path = getenv("FAKE_CUDA_LOG");
	FILE *f = path ? fopen(path, "ae") : NULL;

	if (!f)
		return;
	fprintf(f, "%s %d %llu\n", name, version, (unsigned long long)flags);
	fclose(f);
}

/* The driver's rule; NULL where all ABIs of the name are newer than `version`. */
static const struct version *newest(const char *name, int version, cuuint64_t flags)
{
	const struct version *best = NULL;

	for (size_t i = 0; i < sizeof versions / sizeof *versions; i++) {
		const struct version *v = &versions[i];
		bool fits = v->zero == ANY || (v->zero == THREAD) == ((flags & 2) != 0);
		if (strcmp(v->base, name) == 0 && fits && v->since <= version &&
			(!best || v->since >= best->since))
			best = v;
	}
	return best;
}

static bool is_known(const char *name)
{
	for (size_t i = 0; i < sizeof versions / sizeof *versions; i++) {
		if (strcmp(versions[i].base, name) == 0)
			return true;
	}
	return false;
}

static CUresult get_address(const char *name, void **pfn, int version, cuuint64_t flags,
	CUdriverProcAddressQueryResult *status)
{
	static void *self;

	*status = CU_GET_PROC_ADDRESS_SUCCESS;
	log_request(name, version, flags);
	if (!*name)
		return CUDA_ERROR_NOT_FOUND;
	if (!self)
		self = dlopen("libcuda.so.1", RTLD_NOLOAD | RTLD_LAZY);
	const struct version *v = newest(name, version, flags);
	if (v) {
		*pfn = v->function;
	} else if (is_known(name)) {
		*pfn = NULL;
		*status = CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT;
	} else {
		*pfn = dlsym(self, name);
		if (!*pfn)
			*pfn = unknown_address(name);
	}
	return *pfn ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
}

CUresult cuGetProcAddress_v2(const char *symbol, void **pfn, int version,
	cuuint64_t flags, CUdriverProcAddressQueryResult *status)
{
	CUdriverProcAddressQueryResult ignored;

	return get_address(symbol, pfn, version, flags, status ? status : &ignored);
}

/* The same, by a name that nobody stands in front of. */
CUresult fake_get_proc_address(const char *symbol, void **pfn, int version,
	cuuint64_t flags, CUdriverProcAddressQueryResult *status)
{
	return cuGetProcAddress_v2(symbol, pfn, version, flags, status);
}

CUresult cuGetProcAddress(const char *symbol, void **pfn, int version, cuuint64_t flags)
{
	CUdriverProcAddressQueryResult ignored;

	return get_address(symbol, pfn, version, flags, &ignored);
}

CUresult cuGetExportTable(const void **table, const CUuuid *id);
CUresult cuGetExportTable(const void **table, const CUuuid *id)
{
	(void)id;
	*table = NULL;
	return CUDA_ERROR_NOT_FOUND;
}

#pragma GCC visibility pop
