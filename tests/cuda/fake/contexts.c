/* contexts.c - contexts, primary ones and parts of a device. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "fake.h"

static __thread CUcontext stack[16];
static __thread unsigned depth;
static struct CUctx_st *primary[FAKE_DEVICES_MAX];
static unsigned primary_owners[FAKE_DEVICES_MAX];

CUcontext top_context(void)
{
	return depth ? stack[depth - 1] : NULL;
}

CUresult current(CUcontext *context)
{
	if (!depth || !stack[depth - 1])
		return CUDA_ERROR_INVALID_CONTEXT;
	*context = stack[depth - 1];
	return (*context)->alive ? CUDA_SUCCESS : CUDA_ERROR_INVALID_CONTEXT;
}

static CUresult make_context(CUcontext *context, int device)
{
	if (device < 0 || device >= visible_count)
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

static void end_context(CUcontext context)
{
	context->alive = false;
	give(context->device, CONTEXT_BYTES + context->heap);
	free_things_of(context);
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
	*context = top_context();
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

CUresult cuCtxAttach(CUcontext *context, unsigned flags)
{
	(void)flags;
	MAY_FAIL();
	CUresult rc = current(context);
	if (rc == CUDA_SUCCESS)
		(*context)->attached++;
	return rc;
}

CUresult cuCtxDetach(CUcontext context)
{
	MAY_FAIL();
	if (context->attached) {
		context->attached--;
		return CUDA_SUCCESS;
	}
	return cuCtxDestroy_v2(context);
}

CUresult cuCtxSetLimit(CUlimit limit, size_t value)
{
	CUcontext context;

	MAY_FAIL();
	CUresult rc = current(&context);
	if (rc != CUDA_SUCCESS || limit != CU_LIMIT_MALLOC_HEAP_SIZE)
		return rc;
	give(context->device, context->heap);
	context->heap = 0;
	rc = take(context->device, value);
	if (rc == CUDA_SUCCESS)
		context->heap = value;
	return rc;
}

CUresult cuGreenCtxCreate(
	CUgreenCtx *context, CUdevResourceDesc desc, CUdevice device, unsigned flags)
{
	CUcontext whole;

	(void)desc;
	(void)flags;
	MAY_FAIL();
	CUresult rc = cuDevicePrimaryCtxRetain(&whole, device);
	if (rc != CUDA_SUCCESS)
		return rc;
	rc = take(device, PART_BYTES);
	if (rc != CUDA_SUCCESS) {
		cuDevicePrimaryCtxRelease_v2(device);
		return rc;
	}
	CUgreenCtx made = calloc(1, sizeof *made);
	if (!made)
		abort();
	made->device = device;
	*context = made;
	return CUDA_SUCCESS;
}

CUresult cuGreenCtxDestroy(CUgreenCtx context)
{
	MAY_FAIL();
	int device = context->device;
	give(device, PART_BYTES);
	free(context);
	return cuDevicePrimaryCtxRelease_v2(device);
}

CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device)
{
	MAY_FAIL();
	if (device < 0 || device >= visible_count)
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
	reset_pools(device);
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
