/* streams.c - streams, and waiting for them. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "fake.h"

struct CUstream_st *streams;
static struct CUstream_st legacy_streams[FAKE_DEVICES_MAX];
static __thread struct CUstream_st *own_stream; /* CU_STREAM_PER_THREAD */

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

CUresult resolve(CUstream named, struct CUstream_st **s)
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
	(*s)->device = context->device;
	return CUDA_SUCCESS;
}

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

CUresult wait_stream(CUstream stream)
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

BOTH(cuStreamSynchronize, cuStreamSynchronize_ptsz, (CUstream on), on, {
	CUresult rc = wait_stream(stream);
	return rc;
})
BOTH(cuStreamQuery, cuStreamQuery_ptsz, (CUstream on), on,
	{ return query_stream(stream); })

uint64_t end_of_streams(int device)
{
	uint64_t end = __atomic_load_n(&legacy_streams[device].end_ns, __ATOMIC_ACQUIRE);

	pthread_mutex_lock(&lock);
	for (struct CUstream_st *s = streams; s; s = s->next) {
		uint64_t at = __atomic_load_n(&s->end_ns, __ATOMIC_ACQUIRE);
		if (s->device == device && at > end)
			end = at;
	}
	pthread_mutex_unlock(&lock);
	return end;
}

static CUresult wait_context(void)
{
	CUcontext context;
	CUresult rc = current(&context);

	if (rc != CUDA_SUCCESS)
		return rc;
	if (__atomic_load_n(&captures, __ATOMIC_ACQUIRE))
		return spoil_all(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
	sleep_until(end_of_streams(context->device));
	trim_default_pools();
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
