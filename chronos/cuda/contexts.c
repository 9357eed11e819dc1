/* contexts.c - hooks: the driver's start, and contexts, which take memory themselves. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a context takes the driver does not tell.  It is measured by NVML before and after
 * the first one of a device is made: by this process's own figure where NVML gives one,
 * and else by how much less of the device is free, which another process's allocation
 * in the same moment would spoil; hence the limit.
 */
#include "held.h"
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
	struct view_memory before;
};

static void begin_measure(struct measure *m, struct device *d)
{
	m->device = d;
	m->before.known = false;
	if (d && !__atomic_load_n(&d->context_bytes, __ATOMIC_RELAXED))
		view_measure(d, &m->before);
}

static uint64_t end_measure(const struct measure *m)
{
	struct view_memory after = { 0 };
	uint64_t bytes = __atomic_load_n(&m->device->context_bytes, __ATOMIC_RELAXED);

	if (bytes || !m->before.known)
		return bytes;
	view_measure(m->device, &after);
	if (!after.known)
		return 0;
	bytes = after.own_known && after.own_bytes >= m->before.own_bytes
			? after.own_bytes - m->before.own_bytes
			: (m->before.free_bytes > after.free_bytes
					  ? m->before.free_bytes - after.free_bytes
					  : 0);
	if (bytes > CONTEXT_BYTES_MAX)
		bytes = CONTEXT_BYTES_MAX;
	__atomic_store_n(&m->device->context_bytes, bytes, __ATOMIC_RELAXED);
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

	begin_measure(m, d);
	return rc == CUDA_SUCCESS && d ? device_check(d) : rc;
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

/* A part of a device's processors, in its primary context. */
CUresult cuGreenCtxCreate(
	CUgreenCtx *context, CUdevResourceDesc desc, CUdevice device, unsigned flags)
{
	struct measure m;
	CUresult rc = begin_context(&m, device);

	if (rc != CUDA_SUCCESS)
		return rc;
	rc = REAL(cuGreenCtxCreate)(context, desc, device, flags);
	if (rc != CUDA_SUCCESS || !m.device)
		return rc;
	rc = charge_context(&m, (CUcontext)*context);
	if (rc != CUDA_SUCCESS)
		REAL(cuGreenCtxDestroy)(*context);
	return rc;
}

/* ---- ending ---- */

/* Everything in it has gone with it. */
static void context_gone(CUcontext context)
{
	held_drop_context(context);
	(void)held_freed(held_take(HELD_CONTEXT, (uintptr_t)context), CUDA_SUCCESS);
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

CUresult cuGreenCtxDestroy(CUgreenCtx context)
{
	struct held *h = held_take(HELD_CONTEXT, (uintptr_t)context);

	return held_freed(h, REAL(cuGreenCtxDestroy)(context));
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

static CUresult let_go(CUresult (*call)(CUdevice device), CUdevice device)
{
	CUcontext context = primary_context(device);

	if (!context)
		return call(device);
	streams_begin_context_end();
	CUresult rc = call(device);
	bool gone = rc == CUDA_SUCCESS && !is_active(device);
	streams_context_end(context, gone);
	if (gone)
		context_gone(context);
	return rc;
}

CUresult cuDevicePrimaryCtxRelease(CUdevice device)
{
	return let_go(REAL(cuDevicePrimaryCtxRelease), device);
}

CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device)
{
	return let_go(REAL(cuDevicePrimaryCtxRelease_v2), device);
}

CUresult cuDevicePrimaryCtxReset(CUdevice device)
{
	return let_go(REAL(cuDevicePrimaryCtxReset), device);
}

CUresult cuDevicePrimaryCtxReset_v2(CUdevice device)
{
	return let_go(REAL(cuDevicePrimaryCtxReset_v2), device);
}
