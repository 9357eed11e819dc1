/* launch.c - a program launches when it is its turn. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "extensions.h"
#include "helper.h"
#include "partition.h"
#include "queues.h"
#include "user_events.h"

struct launch {
	cl_command_queue queue;
	enum { LAUNCH_FREE, LAUNCH_GATED, LAUNCH_IN_TURN } how;
};

/* It is the turn's, unless it waits for the program. */
static cl_int launch_begin(
	struct launch *l, cl_command_queue queue, cl_uint waits, const cl_event *wait)
{
	struct chronos_attachment *a = partition_join();

	*l = (struct launch){ queue, LAUNCH_FREE };
	if (!a)
		return CL_INVALID_OPERATION;
	if (user_events_gate(waits, wait) || queue_is_gated(queue)) {
		l->how = LAUNCH_GATED;
		return partition_check();
	}
	if (chronos_launch(a, NULL) < 0)
		return CL_INVALID_OPERATION;
	l->how = LAUNCH_IN_TURN;
	helper_wake();
	return CL_SUCCESS;
}

static cl_int launch_end(const struct launch *l, cl_int rc, const cl_event *event)
{
	if (l->how == LAUNCH_GATED && rc == CL_SUCCESS)
		queue_gate(l->queue);
	if (l->how != LAUNCH_IN_TURN)
		return rc;
	if (rc != CL_SUCCESS) {
		chronos_launch_done(partition_joined(), 1);
		return rc;
	}
	if (!queue_note_launched(l->queue, event ? *event : NULL)) {
		/* A queue that was not made through us, such as a default one. */
		real.clFinish(l->queue);
		chronos_launch_done(partition_joined(), 1);
	}
	return rc;
}

static cl_int CL_API_CALL hook_clEnqueueNDRangeKernel(cl_command_queue queue,
	cl_kernel kernel, cl_uint dimensions, const size_t *offset, const size_t *global,
	const size_t *local, cl_uint waits, const cl_event *wait, cl_event *event)
{
	struct launch l;
	cl_int rc = launch_begin(&l, queue, waits, wait);

	if (rc != CL_SUCCESS)
		return rc;
	rc = real.clEnqueueNDRangeKernel(
		queue, kernel, dimensions, offset, global, local, waits, wait, event);
	return launch_end(&l, rc, event);
}

static cl_int CL_API_CALL hook_clEnqueueTask(cl_command_queue queue, cl_kernel kernel,
	cl_uint waits, const cl_event *wait, cl_event *event)
{
	struct launch l;
	cl_int rc = launch_begin(&l, queue, waits, wait);

	if (rc != CL_SUCCESS)
		return rc;
	rc = real.clEnqueueTask(queue, kernel, waits, wait, event);
	return launch_end(&l, rc, event);
}

static cl_int CL_API_CALL hook_clEnqueueNativeKernel(cl_command_queue queue,
	void(CL_CALLBACK *run)(void *), void *args, size_t args_bytes, cl_uint mems,
	const cl_mem *mem, const void **mem_at, cl_uint waits, const cl_event *wait,
	cl_event *event)
{
	struct launch l;
	cl_int rc = launch_begin(&l, queue, waits, wait);

	if (rc != CL_SUCCESS)
		return rc;
	rc = real.clEnqueueNativeKernel(
		queue, run, args, args_bytes, mems, mem, mem_at, waits, wait, event);
	return launch_end(&l, rc, event);
}

/* ---- command buffers ---- */

/* Without queues it is for that with which it was made, which only the driver knows: its
 * event tells. */
static cl_command_queue queue_of(cl_event event)
{
	cl_command_queue queue = NULL;

	real.clGetEventInfo(event, CL_EVENT_COMMAND_QUEUE, sizeof queue, &queue, NULL);
	return queue;
}

/* The driver's function, where no queue says whose; NULL when it is not the only one. */
static void *only_extension(const char *name)
{
	cl_platform_id platforms[16];
	cl_uint count = 0;
	void *found = NULL;

	if (real.clGetPlatformIDs(16, platforms, &count) != CL_SUCCESS)
		return NULL;
	for (cl_uint i = 0; i < count && i < 16; i++) {
		void *one =
			real.clGetExtensionFunctionAddressForPlatform(platforms[i], name);
		if (one && found && one != found)
			return NULL;
		if (one)
			found = one;
	}
	return found;
}

static cl_int CL_API_CALL hook_clEnqueueCommandBufferKHR(cl_uint count,
	cl_command_queue *queues, cl_command_buffer_khr buffer, cl_uint waits,
	const cl_event *wait, cl_event *event)
{
	static const char name[] = "clEnqueueCommandBufferKHR";
	cl_command_queue first = count && queues ? queues[0] : NULL;
	clEnqueueCommandBufferKHR_fn enqueue =
		(clEnqueueCommandBufferKHR_fn)(first ? extension_of_queue(first, name)
						     : only_extension(name));
	cl_event own = NULL, *done = event ? event : &own;
	struct launch l;

	cl_int rc = enqueue ? launch_begin(&l, first, waits, wait) : CL_INVALID_OPERATION;
	if (rc != CL_SUCCESS)
		return rc;
	rc = enqueue(count, queues, buffer, waits, wait, done);
	if (rc == CL_SUCCESS)
		l.queue = queue_of(*done);
	rc = launch_end(&l, rc, done);
	if (own)
		real.clReleaseEvent(own);
	return rc;
}

void launch_hook(void)
{
	HOOK(clEnqueueNDRangeKernel);
	HOOK(clEnqueueTask);
	HOOK(clEnqueueNativeKernel);
	HOOK_EXTENSION(clEnqueueCommandBufferKHR);
}
