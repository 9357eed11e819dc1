/* wait.c - hooks: where a program waits for the device, or asks how far it is. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is done is reported here, at no cost for the device.  Nothing here waits for more
 * than the program asked for.
 */
#include "events.h"
#include "pools.h"
#include "reach.h"
#include "streams.h"

/* `call` answers with success once all of `stream` is done. */
#define REACH(stream, call)                                                              \
	do {                                                                             \
		struct stream_mark mark = streams_mark(stream);                          \
		CUresult rc = call;                                                      \
		if (rc == CUDA_SUCCESS) {                                                \
			streams_reached(&mark);                                          \
			pools_settle();                                                  \
		}                                                                        \
		return rc;                                                               \
	} while (0)

CUresult cuStreamSynchronize(CUstream stream)
{
	REACH(legacy(stream), REAL(cuStreamSynchronize)(stream));
}

CUresult cuStreamSynchronize_ptsz(CUstream stream)
{
	REACH(per_thread(stream), REAL(cuStreamSynchronize_ptsz)(stream));
}

CUresult cuStreamQuery(CUstream stream)
{
	REACH(legacy(stream), REAL(cuStreamQuery)(stream));
}

CUresult cuStreamQuery_ptsz(CUstream stream)
{
	REACH(per_thread(stream), REAL(cuStreamQuery_ptsz)(stream));
}

CUresult cuMemcpyDtoH_v2(void *to, CUdeviceptr from, size_t bytes)
{
	REACH(CU_STREAM_LEGACY, REAL(cuMemcpyDtoH_v2)(to, from, bytes));
}

CUresult cuMemcpyDtoH_v2_ptds(void *to, CUdeviceptr from, size_t bytes)
{
	REACH(CU_STREAM_PER_THREAD, REAL(cuMemcpyDtoH_v2_ptds)(to, from, bytes));
}

static CUresult context_reached(const struct context_marks *marks, CUresult rc)
{
	if (rc == CUDA_SUCCESS) {
		streams_context_reached(marks);
		pools_settle();
	}
	return rc;
}

CUresult cuCtxSynchronize(void)
{
	struct context_marks marks;

	streams_mark_context(&marks, NULL);
	return context_reached(&marks, REAL(cuCtxSynchronize)());
}

CUresult cuCtxSynchronize_v2(CUcontext context)
{
	struct context_marks marks;

	streams_mark_context(&marks, context);
	return context_reached(&marks, REAL(cuCtxSynchronize_v2)(context));
}

/* ---- events ---- */

/* In a capture it says nothing, whatever it said before. */
static struct stream_mark mark_to_record(CUstream stream)
{
	const struct stream_mark none = { 0 };

	return streams_is_capturing(stream) ? none : streams_mark(stream);
}

#define RECORD(event, stream, call)                                                      \
	do {                                                                             \
		struct stream_mark mark = mark_to_record(stream);                        \
		CUresult rc = call;                                                      \
		if (rc == CUDA_SUCCESS)                                                  \
			events_recorded(event, &mark);                                   \
		return rc;                                                               \
	} while (0)

CUresult cuEventRecord(CUevent event, CUstream stream)
{
	RECORD(event, legacy(stream), REAL(cuEventRecord)(event, stream));
}

CUresult cuEventRecord_ptsz(CUevent event, CUstream stream)
{
	RECORD(event, per_thread(stream), REAL(cuEventRecord_ptsz)(event, stream));
}

CUresult cuEventRecordWithFlags(CUevent event, CUstream stream, unsigned flags)
{
	RECORD(event, legacy(stream), REAL(cuEventRecordWithFlags)(event, stream, flags));
}

CUresult cuEventRecordWithFlags_ptsz(CUevent event, CUstream stream, unsigned flags)
{
	RECORD(event, per_thread(stream),
		REAL(cuEventRecordWithFlags_ptsz)(event, stream, flags));
}

/* Of a whole context: it may have nothing to do with the stream of the time before. */
CUresult cuCtxRecordEvent(CUcontext context, CUevent event)
{
	events_remove(event);
	return REAL(cuCtxRecordEvent)(context, event);
}

CUresult cuGreenCtxRecordEvent(CUgreenCtx context, CUevent event)
{
	events_remove(event);
	return REAL(cuGreenCtxRecordEvent)(context, event);
}

static CUresult event_reached(const struct stream_mark *mark, CUresult rc)
{
	if (rc == CUDA_SUCCESS && mark->stream) {
		streams_reached(mark);
		pools_settle();
	}
	return rc;
}

CUresult cuEventSynchronize(CUevent event)
{
	struct stream_mark mark = events_mark(event);

	return event_reached(&mark, REAL(cuEventSynchronize)(event));
}

CUresult cuEventQuery(CUevent event)
{
	struct stream_mark mark = events_mark(event);

	return event_reached(&mark, REAL(cuEventQuery)(event));
}

CUresult cuEventDestroy(CUevent event)
{
	events_remove(event);
	return REAL(cuEventDestroy)(event);
}

CUresult cuEventDestroy_v2(CUevent event)
{
	events_remove(event);
	return REAL(cuEventDestroy_v2)(event);
}

/* ---- captures ---- */

#define BEGIN_CAPTURE(stream, call)                                                      \
	do {                                                                             \
		bool begun = streams_begin_capture(stream);                              \
		CUresult rc = call;                                                      \
		if (rc != CUDA_SUCCESS && begun)                                         \
			streams_end_capture(stream, rc);                                 \
		return rc;                                                               \
	} while (0)

CUresult cuStreamBeginCapture(CUstream stream)
{
	BEGIN_CAPTURE(legacy(stream), REAL(cuStreamBeginCapture)(stream));
}

CUresult cuStreamBeginCapture_ptsz(CUstream stream)
{
	BEGIN_CAPTURE(per_thread(stream), REAL(cuStreamBeginCapture_ptsz)(stream));
}

CUresult cuStreamBeginCapture_v2(CUstream stream, CUstreamCaptureMode mode)
{
	BEGIN_CAPTURE(legacy(stream), REAL(cuStreamBeginCapture_v2)(stream, mode));
}

CUresult cuStreamBeginCapture_v2_ptsz(CUstream stream, CUstreamCaptureMode mode)
{
	BEGIN_CAPTURE(
		per_thread(stream), REAL(cuStreamBeginCapture_v2_ptsz)(stream, mode));
}

CUresult cuStreamBeginCaptureToGraph(CUstream stream, CUgraph graph,
	const CUgraphNode *after, const CUgraphEdgeData *edges, size_t count,
	CUstreamCaptureMode mode)
{
	BEGIN_CAPTURE(legacy(stream), REAL(cuStreamBeginCaptureToGraph)(
					      stream, graph, after, edges, count, mode));
}

CUresult cuStreamBeginCaptureToGraph_ptsz(CUstream stream, CUgraph graph,
	const CUgraphNode *after, const CUgraphEdgeData *edges, size_t count,
	CUstreamCaptureMode mode)
{
	BEGIN_CAPTURE(per_thread(stream), REAL(cuStreamBeginCaptureToGraph_ptsz)(stream,
						  graph, after, edges, count, mode));
}

CUresult cuStreamBeginRecaptureToGraph(CUstream stream, CUstreamCaptureMode mode,
	CUgraph graph, CUgraphRecaptureCallback callback, void *arg)
{
	BEGIN_CAPTURE(legacy(stream),
		REAL(cuStreamBeginRecaptureToGraph)(stream, mode, graph, callback, arg));
}

CUresult cuStreamBeginRecaptureToGraph_ptsz(CUstream stream, CUstreamCaptureMode mode,
	CUgraph graph, CUgraphRecaptureCallback callback, void *arg)
{
	BEGIN_CAPTURE(per_thread(stream), REAL(cuStreamBeginRecaptureToGraph_ptsz)(
						  stream, mode, graph, callback, arg));
}

CUresult cuStreamEndCapture(CUstream stream, CUgraph *graph)
{
	CUresult rc = REAL(cuStreamEndCapture)(stream, graph);

	streams_end_capture(legacy(stream), rc);
	return rc;
}

CUresult cuStreamEndCapture_ptsz(CUstream stream, CUgraph *graph)
{
	CUresult rc = REAL(cuStreamEndCapture_ptsz)(stream, graph);

	streams_end_capture(per_thread(stream), rc);
	return rc;
}

/* Work that a graphics queue runs: it is recorded as in other captures. */
CUresult cuStreamBeginCaptureToCig(CUstream stream, CUstreamCigCaptureParams *into)
{
	BEGIN_CAPTURE(legacy(stream), REAL(cuStreamBeginCaptureToCig)(stream, into));
}

CUresult cuStreamBeginCaptureToCig_ptsz(CUstream stream, CUstreamCigCaptureParams *into)
{
	BEGIN_CAPTURE(
		per_thread(stream), REAL(cuStreamBeginCaptureToCig_ptsz)(stream, into));
}

CUresult cuStreamEndCaptureToCig(CUstream stream)
{
	CUresult rc = REAL(cuStreamEndCaptureToCig)(stream);

	streams_end_capture(legacy(stream), rc);
	return rc;
}

CUresult cuStreamEndCaptureToCig_ptsz(CUstream stream)
{
	CUresult rc = REAL(cuStreamEndCaptureToCig_ptsz)(stream);

	streams_end_capture(per_thread(stream), rc);
	return rc;
}

/* ---- ends ---- */

CUresult cuStreamDestroy(CUstream stream)
{
	streams_remove(stream);
	return REAL(cuStreamDestroy)(stream);
}

CUresult cuStreamDestroy_v2(CUstream stream)
{
	streams_remove(stream);
	return REAL(cuStreamDestroy_v2)(stream);
}
