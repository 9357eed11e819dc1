/* captures.c - streams that are being captured, and what is forbidden meanwhile. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "fake.h"

unsigned captures;
static __thread CUstreamCaptureMode thread_mode = CU_STREAM_CAPTURE_MODE_GLOBAL;
static __thread char thread_mark;

static uint64_t this_thread(void)
{
	return (uint64_t)(uintptr_t)&thread_mark;
}

CUresult forbidden_by_capture(void)
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

CUresult spoil_all(CUresult rc)
{
	pthread_mutex_lock(&lock);
	for (struct CUstream_st *s = streams; s; s = s->next)
		s->invalid |= s->capture != NULL;
	pthread_mutex_unlock(&lock);
	return rc;
}

CUresult cuThreadExchangeStreamCaptureMode(CUstreamCaptureMode *mode)
{
	CUstreamCaptureMode old = thread_mode;

	thread_mode = *mode;
	*mode = old;
	return CUDA_SUCCESS;
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
	/* It goes on. */
	if (s->mode != CU_STREAM_CAPTURE_MODE_RELAXED && s->capturer != this_thread())
		return CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD;
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
BOTH(cuStreamBeginCaptureToCig, cuStreamBeginCaptureToCig_ptsz,
	(CUstream on, CUstreamCigCaptureParams *into), on, {
		(void)into;
		return begin_capture(stream, CU_STREAM_CAPTURE_MODE_RELAXED);
	})
BOTH(cuStreamEndCaptureToCig, cuStreamEndCaptureToCig_ptsz, (CUstream on), on, {
	CUgraph graph = NULL;
	CUresult rc = end_capture(stream, &graph);
	free(graph);
	return rc;
})
