/* wait.c - where a program waits, what it launched is known to be done. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "queues.h"

static cl_int CL_API_CALL hook_clFinish(cl_command_queue queue)
{
	uint64_t upto = queue_launched(queue);
	cl_int rc = real.clFinish(queue);

	if (rc == CL_SUCCESS)
		queue_note_done(queue, upto);
	return rc;
}

/* A waited-for event tells of all launches up to its own, on a queue that is in order. */
static cl_int CL_API_CALL hook_clWaitForEvents(cl_uint count, const cl_event *events)
{
	cl_int rc = real.clWaitForEvents(count, events);

	for (cl_uint i = 0; rc == CL_SUCCESS && i < count; i++)
		queue_note_event_done(events[i]);
	return rc;
}

/* A command that blocks tells of all before it, on a queue that is in order. */
static cl_int blocked(cl_command_queue queue, uint64_t upto, cl_int rc)
{
	if (rc == CL_SUCCESS)
		queue_note_done(queue, upto);
	return rc;
}

static uint64_t before(cl_command_queue queue, cl_bool blocking)
{
	return blocking ? queue_launched_in_order(queue) : 0;
}

static cl_int CL_API_CALL hook_clEnqueueReadBuffer(cl_command_queue queue, cl_mem mem,
	cl_bool blocking, size_t offset, size_t size, void *to, cl_uint waits,
	const cl_event *wait, cl_event *event)
{
	uint64_t upto = before(queue, blocking);

	return blocked(queue, upto,
		real.clEnqueueReadBuffer(
			queue, mem, blocking, offset, size, to, waits, wait, event));
}

static cl_int CL_API_CALL hook_clEnqueueWriteBuffer(cl_command_queue queue, cl_mem mem,
	cl_bool blocking, size_t offset, size_t size, const void *from, cl_uint waits,
	const cl_event *wait, cl_event *event)
{
	uint64_t upto = before(queue, blocking);

	return blocked(queue, upto,
		real.clEnqueueWriteBuffer(
			queue, mem, blocking, offset, size, from, waits, wait, event));
}

static cl_int CL_API_CALL hook_clEnqueueReadBufferRect(cl_command_queue queue, cl_mem mem,
	cl_bool blocking, const size_t *mem_origin, const size_t *host_origin,
	const size_t *region, size_t mem_row, size_t mem_slice, size_t host_row,
	size_t host_slice, void *to, cl_uint waits, const cl_event *wait, cl_event *event)
{
	uint64_t upto = before(queue, blocking);

	return blocked(queue, upto,
		real.clEnqueueReadBufferRect(queue, mem, blocking, mem_origin,
			host_origin, region, mem_row, mem_slice, host_row, host_slice, to,
			waits, wait, event));
}

static cl_int CL_API_CALL hook_clEnqueueReadImage(cl_command_queue queue, cl_mem image,
	cl_bool blocking, const size_t *origin, const size_t *region, size_t row,
	size_t slice, void *to, cl_uint waits, const cl_event *wait, cl_event *event)
{
	uint64_t upto = before(queue, blocking);

	return blocked(queue, upto,
		real.clEnqueueReadImage(queue, image, blocking, origin, region, row,
			slice, to, waits, wait, event));
}

static cl_int CL_API_CALL hook_clEnqueueSVMMemcpy(cl_command_queue queue,
	cl_bool blocking, void *to, const void *from, size_t size, cl_uint waits,
	const cl_event *wait, cl_event *event)
{
	uint64_t upto = before(queue, blocking);

	return blocked(queue, upto,
		real.clEnqueueSVMMemcpy(
			queue, blocking, to, from, size, waits, wait, event));
}

static cl_int CL_API_CALL hook_clEnqueueSVMMap(cl_command_queue queue, cl_bool blocking,
	cl_map_flags flags, void *at, size_t size, cl_uint waits, const cl_event *wait,
	cl_event *event)
{
	uint64_t upto = before(queue, blocking);

	return blocked(queue, upto,
		real.clEnqueueSVMMap(
			queue, blocking, flags, at, size, waits, wait, event));
}

static void *CL_API_CALL hook_clEnqueueMapBuffer(cl_command_queue queue, cl_mem mem,
	cl_bool blocking, cl_map_flags flags, size_t offset, size_t size, cl_uint waits,
	const cl_event *wait, cl_event *event, cl_int *errcode)
{
	uint64_t upto = before(queue, blocking);
	void *at = real.clEnqueueMapBuffer(
		queue, mem, blocking, flags, offset, size, waits, wait, event, errcode);

	if (at)
		queue_note_done(queue, upto);
	return at;
}

void wait_hook(void)
{
	HOOK(clFinish);
	HOOK(clWaitForEvents);
	HOOK(clEnqueueReadBuffer);
	HOOK(clEnqueueWriteBuffer);
	HOOK(clEnqueueReadBufferRect);
	HOOK(clEnqueueReadImage);
	HOOK(clEnqueueSVMMemcpy);
	HOOK(clEnqueueSVMMap);
	HOOK(clEnqueueMapBuffer);
}
