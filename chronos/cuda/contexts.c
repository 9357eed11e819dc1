/* contexts.c - hooks: the driver's start, and contexts, which take memory themselves. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a context takes the driver does not tell.  It is measured by NVML before and after
 * the first one of a device is made: by this process's own figure where NVML gives one,
 * and else by how much less of the device is free, which another process's allocation
 * in the same moment would spoil; hence the limit.
 */
#include "held.h"
#include "pools.h"
#include "reach.h"
#include "streams.h"
#include "views.h"

#define CONTEXT_BYTES_MAX (UINT64_C(2) << 30)

CUresult cuInit(unsigned flags)
{
	CUresult rc = REAL(cuInit)(flags);

	/* Here, before it gets anywhere, it hears that it may not. */
	return rc == CUDA_SUCCESS ? partition_join() : rc;
}

/* ---- what a context takes ---- */

struct measure {
	struct device *device; /* NULL: nothing to charge */
	uint64_t *taken;       /* bytes, as measured at the first; 0: not yet */
	struct view_memory before;
};

static void begin_measure(struct measure *m)
{
	m->before.known = false;
	if (!__atomic_load_n(m->taken, __ATOMIC_RELAXED))
		view_measure(m->device, &m->before);
}

static uint64_t grown(uint64_t before, uint64_t after)
{
	return after > before ? after - before : 0;
}

static uint64_t end_measure(const struct measure *m)
{
	struct view_memory after = { 0 };
	uint64_t bytes = __atomic_load_n(m->taken, __ATOMIC_RELAXED);

	if (bytes || !m->before.known)
		return bytes;
	view_measure(m->device, &after);
	if (!after.known)
		return 0;
	/* In a container NVML may know this process by another number, or another one by
	 * this number: then its figure does not grow. */
	if (after.own_known)
		bytes = grown(m->before.own_bytes, after.own_bytes);
	if (!bytes)
		bytes = grown(after.free_bytes, m->before.free_bytes);
	if (bytes > CONTEXT_BYTES_MAX)
		bytes = CONTEXT_BYTES_MAX;
	__atomic_store_n(m->taken, bytes, __ATOMIC_RELAXED);
	return bytes;
}

/* ---- making ---- */

typedef CUresult (*destroy_function)(CUcontext context);

/* The driver has made it: charge it, or let it go again. */
static CUresult charge_context(const struct measure *m, CUcontext context)
{
	struct held_claim c;
	CUresult rc = held_charge_on(&c, m->device, HELD_CONTEXT, end_measure(m));

	if (rc != CUDA_SUCCESS)
		return rc;
	return held_settle(&c, CUDA_SUCCESS, (uintptr_t)context);
}

static CUresult begin_context(struct measure *m, CUdevice number)
{
	CUresult rc;
	struct device *d = partition_device(number, &rc);

	m->device = d;
	if (rc != CUDA_SUCCESS || !d)
		return rc;
	m->taken = &d->context_bytes;
	rc = device_check(d);
	if (rc == CUDA_SUCCESS)
		begin_measure(m);
	return rc;
}

static CUresult end_context(const struct measure *m, CUresult rc, const CUcontext *made)
{
	if (rc != CUDA_SUCCESS || !m->device)
		return rc;
	rc = charge_context(m, *made);
	if (rc != CUDA_SUCCESS)
		REAL(cuCtxDestroy_v2)(*made);
	return rc;
}

#define CREATE(made, number, call)                                                       \
	do {                                                                             \
		struct measure m;                                                        \
		CUresult rc = begin_context(&m, number);                                 \
		return rc == CUDA_SUCCESS ? end_context(&m, call, made) : rc;            \
	} while (0)

CUresult cuCtxCreate(CUcontext *context, unsigned flags, CUdevice device)
{
	CREATE(context, device, REAL(cuCtxCreate)(context, flags, device));
}

CUresult cuCtxCreate_v2(CUcontext *context, unsigned flags, CUdevice device)
{
	CREATE(context, device, REAL(cuCtxCreate_v2)(context, flags, device));
}

CUresult cuCtxCreate_v3(CUcontext *context, CUexecAffinityParam *params, int count,
	unsigned flags, CUdevice device)
{
	CREATE(context, device,
		REAL(cuCtxCreate_v3)(context, params, count, flags, device));
}

CUresult cuCtxCreate_v4(
	CUcontext *context, CUctxCreateParams *params, unsigned flags, CUdevice device)
{
	CREATE(context, device, REAL(cuCtxCreate_v4)(context, params, flags, device));
}

/* ---- what kernels allocate from ---- */

/* The driver takes all of it when the first kernel that calls malloc() is loaded. */
static CUresult set_heap(struct device *d, CUcontext context, size_t bytes)
{
	struct held_claim c;
	CUresult rc = held_charge_on(&c, d, HELD_HEAP, bytes);

	if (rc != CUDA_SUCCESS)
		return rc;
	rc = REAL(cuCtxSetLimit)(CU_LIMIT_MALLOC_HEAP_SIZE, bytes);
	if (rc == CUDA_SUCCESS)
		(void)held_freed(held_take(HELD_HEAP, (uintptr_t)context), rc);
	return held_settle(&c, rc, (uintptr_t)context);
}

CUresult cuCtxSetLimit(CUlimit limit, size_t value)
{
	CUcontext context;
	CUresult rc;

	if (!partition_is_set() || (int)limit != CU_LIMIT_MALLOC_HEAP_SIZE)
		return REAL(cuCtxSetLimit)(limit, value);
	struct device *d = partition_current_device(&rc);
	if (rc == CUDA_SUCCESS)
		rc = REAL(cuCtxGetCurrent)(&context);
	return rc == CUDA_SUCCESS ? set_heap(d, context, value) : rc;
}

/* ---- ending ---- */

/* Everything in it has gone with it. */
static void context_gone(CUcontext context)
{
	held_drop_context(context);
	(void)held_freed(held_take(HELD_CONTEXT, (uintptr_t)context), CUDA_SUCCESS);
	pools_settle();
}

static CUresult destroy(destroy_function call, CUcontext context)
{
	if (!partition_is_set())
		return call(context);
	streams_begin_context_end();
	CUresult rc = call(context);
	streams_context_end(context, rc == CUDA_SUCCESS);
	if (rc == CUDA_SUCCESS)
		context_gone(context);
	return rc;
}

CUresult cuCtxDestroy(CUcontext context)
{
	return destroy(REAL(cuCtxDestroy), context);
}

CUresult cuCtxDestroy_v2(CUcontext context)
{
	return destroy(REAL(cuCtxDestroy_v2), context);
}

/* How many owners a context has the driver does not tell, and it lives as long as one is
 * left.  Long deprecated: nothing is lost. */
CUresult cuCtxAttach(CUcontext *context, unsigned flags)
{
	return partition_is_set() ? CUDA_ERROR_NOT_SUPPORTED
				  : REAL(cuCtxAttach)(context, flags);
}

/* Takes one of its owners away, which is all that it has. */
CUresult cuCtxDetach(CUcontext context)
{
	return destroy(REAL(cuCtxDetach), context);
}

/* ---- the primary context, which its users count ---- */

static bool is_active(CUdevice device)
{
	unsigned flags;
	int active = 0;

	return REAL(cuDevicePrimaryCtxGetState)(device, &flags, &active) ==
		       CUDA_SUCCESS &&
	       active;
}

CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device)
{
	struct measure m;
	CUresult rc = begin_context(&m, device);

	if (rc != CUDA_SUCCESS)
		return rc;
	bool was_active = !m.device || is_active(device);
	rc = REAL(cuDevicePrimaryCtxRetain)(context, device);
	if (rc != CUDA_SUCCESS || was_active)
		return rc;
	rc = charge_context(&m, *context);
	if (rc != CUDA_SUCCESS)
		REAL(cuDevicePrimaryCtxRelease_v2)(device);
	return rc;
}

/* Its handle can be had only by retaining it once more. */
static CUcontext primary_context(CUdevice device)
{
	CUcontext context = NULL;

	if (!partition_is_set() || !is_active(device) ||
		REAL(cuDevicePrimaryCtxRetain)(&context, device) != CUDA_SUCCESS)
		return NULL;
	REAL(cuDevicePrimaryCtxRelease_v2)(device);
	return context;
}

/* `call` takes one of its users away, or ends it. */
static CUresult let_go(CUresult (*call)(CUdevice device), CUdevice device, bool ends_it)
{
	CUcontext context = primary_context(device);

	if (!context)
		return call(device);
	streams_begin_context_end();
	CUresult rc = call(device);
	bool gone = rc == CUDA_SUCCESS && (ends_it || !is_active(device));
	streams_context_end(context, gone);
	if (gone)
		context_gone(context);
	return rc;
}

CUresult cuDevicePrimaryCtxRelease(CUdevice device)
{
	return let_go(REAL(cuDevicePrimaryCtxRelease), device, false);
}

CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device)
{
	return let_go(REAL(cuDevicePrimaryCtxRelease_v2), device, false);
}

CUresult cuDevicePrimaryCtxReset(CUdevice device)
{
	return let_go(REAL(cuDevicePrimaryCtxReset), device, true);
}

CUresult cuDevicePrimaryCtxReset_v2(CUdevice device)
{
	return let_go(REAL(cuDevicePrimaryCtxReset_v2), device, true);
}

/* ---- parts of a device ---- */

/* Each is one more user of the primary context, which is held here meanwhile: that is
 * charged where it begins, and given back where it ends. */

static CUresult create_part(
	struct device *d, CUgreenCtx *part, CUdevResourceDesc desc, unsigned flags)
{
	struct measure m = { .device = d, .taken = &d->part_bytes };
	struct held_claim c;

	begin_measure(&m);
	CUresult rc = REAL(cuGreenCtxCreate)(part, desc, d->number, flags);
	if (rc != CUDA_SUCCESS)
		return rc;
	rc = held_charge_on(&c, d, HELD_PART, end_measure(&m));
	if (rc == CUDA_SUCCESS)
		return held_settle(&c, rc, (uintptr_t)*part);
	REAL(cuGreenCtxDestroy)(*part);
	return rc;
}

CUresult cuGreenCtxCreate(
	CUgreenCtx *part, CUdevResourceDesc desc, CUdevice device, unsigned flags)
{
	CUcontext whole;
	CUresult rc;
	struct device *d = partition_device(device, &rc);

	if (!d)
		return rc == CUDA_SUCCESS
			       ? REAL(cuGreenCtxCreate)(part, desc, device, flags)
			       : rc;
	rc = cuDevicePrimaryCtxRetain(&whole, device);
	if (rc != CUDA_SUCCESS)
		return rc;
	rc = create_part(d, part, desc, flags);
	cuDevicePrimaryCtxRelease_v2(device);
	return rc;
}

CUresult cuGreenCtxDestroy(CUgreenCtx part)
{
	struct held *h = held_take(HELD_PART, (uintptr_t)part);
	CUdevice device = h ? held_device(h)->number : -1;
	CUcontext whole;

	if (!h || cuDevicePrimaryCtxRetain(&whole, device) != CUDA_SUCCESS)
		return held_freed(h, REAL(cuGreenCtxDestroy)(part));
	CUresult rc = held_freed(h, REAL(cuGreenCtxDestroy)(part));
	cuDevicePrimaryCtxRelease_v2(device);
	return rc;
}
