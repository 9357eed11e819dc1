/* events.c - events. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "fake.h"

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

static CUresult record_event(CUevent event, CUstream stream, unsigned flags)
{
	struct CUstream_st *s;
	CUresult rc = resolve(stream, &s);

	if (rc != CUDA_SUCCESS)
		return rc;
	/* An external one is recorded when the graph runs. */
	if (s->capture && flags == FAKE_EVENT_EXTERNAL)
		return CUDA_SUCCESS;
	event->captured = s->capture != NULL;
	uint64_t now = now_ns(), end = __atomic_load_n(&s->end_ns, __ATOMIC_ACQUIRE);
	__atomic_store_n(&event->at_ns, end > now ? end : now, __ATOMIC_RELEASE);
	return CUDA_SUCCESS;
}

BOTH(cuEventRecord, cuEventRecord_ptsz, (CUevent event, CUstream on), on,
	{ return record_event(event, stream, 0); })
BOTH(cuEventRecordWithFlags, cuEventRecordWithFlags_ptsz,
	(CUevent event, CUstream on, unsigned flags), on,
	{ return record_event(event, stream, flags); })

static CUresult record_all(CUevent event, int device)
{
	uint64_t end = end_of_streams(device), now = now_ns();

	event->captured = false;
	__atomic_store_n(&event->at_ns, end > now ? end : now, __ATOMIC_RELEASE);
	return CUDA_SUCCESS;
}

CUresult cuCtxRecordEvent(CUcontext context, CUevent event)
{
	MAY_FAIL();
	return record_all(event, context->device);
}

CUresult cuGreenCtxRecordEvent(CUgreenCtx context, CUevent event)
{
	MAY_FAIL();
	return record_all(event, context->device);
}

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
