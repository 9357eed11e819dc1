/* layer.c - an OpenCL layer that holds a program to its partition. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ICD loader loads it by OPENCL_LAYERS.  With CHRONOS_PARTITION set, a program's
 * allocations and launches go through libchronos; without it, nothing is changed.  The
 * partition is of one device, and every OpenCL device of the program counts as that one;
 * or of several whole ones, on which nobody else is, and which are asked for its end only.
 * Where the partition cannot be joined, everything is refused: a layer that was asked for
 * and does nothing would be worse.
 *
 * Thread: any.  One thread of its own passes the device's lease on for a program that
 * launches and never waits.  No lock is held across a call into the driver.
 */
#define CL_TARGET_OPENCL_VERSION 300
#define CL_USE_DEPRECATED_OPENCL_1_1_APIS
#define CL_USE_DEPRECATED_OPENCL_1_2_APIS
#include "chronos.h"

#include <CL/cl.h>
#include <CL/cl_layer.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* The deprecated functions are hooked because programs use them. */
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

#define LAYER_API __attribute__((visibility("default")))

static cl_icd_dispatch real, hooked;

/* ---- the partition ---- */

static pthread_mutex_t join_lock = PTHREAD_MUTEX_INITIALIZER;
static struct chronos_attachment *joined; /* NULL: not yet */
static uint32_t life;                     /* goes up with each fork */
static bool told;                         /* why it could not be joined */
static bool several;                      /* devices; known once it is joined */

static void drain(void *arg);

/* The first of those that CHRONOS_DEVICE names, and whether there are more. */
static bool read_device(uint32_t *device)
{
	const char *text = getenv("CHRONOS_DEVICE");
	char *end;

	*device = 0;
	if (!text || !*text)
		return true;
	unsigned long n = strtoul(text, &end, 10);
	*device = (uint32_t)n;
	several = *end == ',';
	return *text >= '0' && *text <= '9' && !end[strspn(end, "0123456789,")] &&
	       n < CHRONOS_DEVICES_MAX;
}

/* A share of each of several devices: which of them an object is on is not known here. */
static bool can_hold(const struct chronos_attachment *a, struct chronos_error *e)
{
	if (!several || chronos_hundredths(a) == CHRONOS_WHOLE)
		return true;
	snprintf(e->text, sizeof e->text,
		"OpenCL programs can have several devices only as whole ones");
	return false;
}

static struct chronos_attachment *join_locked(void)
{
	struct chronos_joining j = { .name = getenv("CHRONOS_PARTITION"),
		.drain = drain };
	struct chronos_attachment *a = NULL;
	struct chronos_error e = { 0 };

	if (read_device(&j.device))
		a = chronos_attach(&j, &e);
	else
		snprintf(e.text, sizeof e.text, "CHRONOS_DEVICE is no device's index");
	if (a && !can_hold(a, &e)) {
		chronos_detach(a);
		a = NULL;
	}
	if (!a && !told) {
		told = true;
		fprintf(stderr, "chronos: cannot join partition %.64s: %s\n", j.name,
			e.text);
	}
	__atomic_store_n(&joined, a, __ATOMIC_RELEASE);
	return a;
}

/* NULL where it cannot be joined. */
static struct chronos_attachment *attachment(void)
{
	struct chronos_attachment *a = __atomic_load_n(&joined, __ATOMIC_ACQUIRE);

	if (a)
		return a;
	pthread_mutex_lock(&join_lock);
	a = joined ? joined : join_locked();
	pthread_mutex_unlock(&join_lock);
	return a;
}

/* ---- memory ---- */

struct charge {
	uint64_t bytes;
	uint32_t life; /* whose it is: a child never gives back its parent's */
	void *pointer; /* of shared virtual memory, in the list */
	struct charge *next;
};

static cl_int cl_error(const struct chronos_error *e)
{
	return e->code == CHRONOS_EXHAUSTED ? CL_MEM_OBJECT_ALLOCATION_FAILURE
					    : CL_INVALID_OPERATION;
}

/* NULL and *rc where the quota, or anything else, does not allow it. */
static struct charge *charge_new(uint64_t bytes, cl_int *rc)
{
	struct chronos_attachment *a = attachment();
	struct charge *c = calloc(1, sizeof *c);
	struct chronos_error e = { 0 };

	if (!c || !a) {
		*rc = c ? CL_INVALID_OPERATION : CL_OUT_OF_HOST_MEMORY;
		free(c);
		return NULL;
	}
	if (several)
		bytes = 0;
	if (chronos_charge(a, bytes, &e) < 0) {
		*rc = cl_error(&e);
		free(c);
		return NULL;
	}
	c->bytes = bytes;
	c->life = life;
	*rc = CL_SUCCESS;
	return c;
}

static void charge_free(struct charge *c)
{
	if (c->life == life && joined)
		chronos_uncharge(joined, c->bytes);
	free(c);
}

static void CL_CALLBACK when_destroyed(cl_mem mem, void *c)
{
	(void)mem;
	charge_free(c);
}

static cl_mem answer(cl_mem mem, cl_int rc, cl_int *errcode)
{
	if (errcode)
		*errcode = rc;
	return mem;
}

/* The object, which now has its charge, or NULL when the driver failed. */
static cl_mem bind_charge(cl_mem mem, cl_int rc, struct charge *c, cl_int *errcode)
{
	if (!mem) {
		charge_free(c);
		return answer(NULL, rc, errcode);
	}
	rc = real.clSetMemObjectDestructorCallback(mem, when_destroyed, c);
	if (rc != CL_SUCCESS) {
		real.clReleaseMemObject(mem);
		charge_free(c);
		return answer(NULL, CL_OUT_OF_RESOURCES, errcode);
	}
	return answer(mem, CL_SUCCESS, errcode);
}

static cl_mem CL_API_CALL hook_clCreateBuffer(
	cl_context context, cl_mem_flags flags, size_t size, void *host, cl_int *errcode)
{
	cl_int rc;
	struct charge *c = charge_new(size, &rc);

	if (!c)
		return answer(NULL, rc, errcode);
	cl_mem mem = real.clCreateBuffer(context, flags, size, host, &rc);
	return bind_charge(mem, rc, c, errcode);
}

static cl_mem CL_API_CALL hook_clCreateBufferWithProperties(cl_context context,
	const cl_mem_properties *properties, cl_mem_flags flags, size_t size, void *host,
	cl_int *errcode)
{
	cl_int rc;
	struct charge *c = charge_new(size, &rc);

	if (!c)
		return answer(NULL, rc, errcode);
	cl_mem mem = real.clCreateBufferWithProperties(
		context, properties, flags, size, host, &rc);
	return bind_charge(mem, rc, c, errcode);
}

/* How large an image is only its driver knows: it is made first, and charged then. */
static cl_mem charge_made(cl_mem mem, cl_int rc, cl_int *errcode)
{
	size_t bytes = 0;

	if (!mem)
		return answer(NULL, rc, errcode);
	rc = real.clGetMemObjectInfo(mem, CL_MEM_SIZE, sizeof bytes, &bytes, NULL);
	struct charge *c = rc == CL_SUCCESS ? charge_new(bytes, &rc) : NULL;
	if (!c) {
		real.clReleaseMemObject(mem);
		return answer(NULL, rc, errcode);
	}
	return bind_charge(mem, rc, c, errcode);
}

static cl_mem CL_API_CALL hook_clCreateImage(cl_context context, cl_mem_flags flags,
	const cl_image_format *format, const cl_image_desc *desc, void *host,
	cl_int *errcode)
{
	cl_int rc = CL_SUCCESS;
	cl_mem mem = real.clCreateImage(context, flags, format, desc, host, &rc);

	/* A view of a buffer has that buffer's bytes. */
	if (mem && desc->buffer)
		return answer(mem, rc, errcode);
	return charge_made(mem, rc, errcode);
}

static cl_mem CL_API_CALL hook_clCreateImageWithProperties(cl_context context,
	const cl_mem_properties *properties, cl_mem_flags flags,
	const cl_image_format *format, const cl_image_desc *desc, void *host,
	cl_int *errcode)
{
	cl_int rc = CL_SUCCESS;
	cl_mem mem = real.clCreateImageWithProperties(
		context, properties, flags, format, desc, host, &rc);

	if (mem && desc->buffer)
		return answer(mem, rc, errcode);
	return charge_made(mem, rc, errcode);
}

static cl_mem CL_API_CALL hook_clCreateImage2D(cl_context context, cl_mem_flags flags,
	const cl_image_format *format, size_t width, size_t height, size_t row_pitch,
	void *host, cl_int *errcode)
{
	cl_int rc = CL_SUCCESS;
	cl_mem mem = real.clCreateImage2D(
		context, flags, format, width, height, row_pitch, host, &rc);

	return charge_made(mem, rc, errcode);
}

static cl_mem CL_API_CALL hook_clCreateImage3D(cl_context context, cl_mem_flags flags,
	const cl_image_format *format, size_t width, size_t height, size_t depth,
	size_t row_pitch, size_t slice_pitch, void *host, cl_int *errcode)
{
	cl_int rc = CL_SUCCESS;
	cl_mem mem = real.clCreateImage3D(context, flags, format, width, height, depth,
		row_pitch, slice_pitch, host, &rc);

	return charge_made(mem, rc, errcode);
}

static cl_mem CL_API_CALL hook_clCreatePipe(cl_context context, cl_mem_flags flags,
	cl_uint packet_bytes, cl_uint packets, const cl_pipe_properties *properties,
	cl_int *errcode)
{
	cl_int rc = CL_SUCCESS;
	cl_mem mem =
		real.clCreatePipe(context, flags, packet_bytes, packets, properties, &rc);

	return charge_made(mem, rc, errcode);
}

/* ---- shared virtual memory: known by its address ---- */

static pthread_mutex_t svm_lock = PTHREAD_MUTEX_INITIALIZER;
static struct charge *svm;

static void *CL_API_CALL hook_clSVMAlloc(
	cl_context context, cl_svm_mem_flags flags, size_t size, cl_uint alignment)
{
	cl_int rc;
	struct charge *c = charge_new(size, &rc);

	if (!c)
		return NULL;
	c->pointer = real.clSVMAlloc(context, flags, size, alignment);
	if (!c->pointer) {
		charge_free(c);
		return NULL;
	}
	void *pointer = c->pointer;
	pthread_mutex_lock(&svm_lock);
	c->next = svm;
	svm = c;
	pthread_mutex_unlock(&svm_lock);
	return pointer;
}

static struct charge *take_svm(const void *pointer)
{
	struct charge **at, *found;

	pthread_mutex_lock(&svm_lock);
	for (at = &svm; *at && (*at)->pointer != pointer;)
		at = &(*at)->next;
	found = *at;
	if (found)
		*at = found->next;
	pthread_mutex_unlock(&svm_lock);
	return found;
}

static void CL_API_CALL hook_clSVMFree(cl_context context, void *pointer)
{
	struct charge *c = pointer ? take_svm(pointer) : NULL;

	real.clSVMFree(context, pointer);
	if (c)
		charge_free(c);
}

/* ---- queues: what was launched and not waited for ---- */

struct queue {
	cl_command_queue handle;
	bool in_order;
	uint64_t launched; /* launches so far */
	uint64_t done;     /* of these, known to be done */
	cl_event last;     /* of the launch number last_at, retained; NULL: none */
	uint64_t last_at;
	struct queue *next;
};

static pthread_mutex_t queues_lock = PTHREAD_MUTEX_INITIALIZER;
static struct queue *queues;

static struct queue *find_queue(cl_command_queue handle)
{
	struct queue *q = queues;

	while (q && q->handle != handle)
		q = q->next;
	return q;
}

static cl_command_queue add_queue(cl_command_queue handle)
{
	cl_command_queue_properties properties = 0;
	struct queue *q = handle ? calloc(1, sizeof *q) : NULL;

	if (!q)
		return handle;
	real.clGetCommandQueueInfo(
		handle, CL_QUEUE_PROPERTIES, sizeof properties, &properties, NULL);
	q->handle = handle;
	q->in_order = !(properties & CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE);
	pthread_mutex_lock(&queues_lock);
	q->next = queues;
	queues = q;
	pthread_mutex_unlock(&queues_lock);
	return handle;
}

/* How many launches it has had: all of these are done once it is found empty later. */
static uint64_t launched_on(cl_command_queue handle)
{
	pthread_mutex_lock(&queues_lock);
	const struct queue *q = find_queue(handle);
	uint64_t launched = q ? q->launched : 0;
	pthread_mutex_unlock(&queues_lock);
	return launched;
}

static void note_done(cl_command_queue handle, uint64_t upto)
{
	uint64_t newly = 0;

	pthread_mutex_lock(&queues_lock);
	struct queue *q = find_queue(handle);
	if (q && upto > q->done) {
		newly = upto - q->done;
		q->done = upto;
	}
	pthread_mutex_unlock(&queues_lock);
	if (newly && joined)
		chronos_launch_done(joined, (uint32_t)newly);
}

static void finish(cl_command_queue handle)
{
	uint64_t upto = launched_on(handle);

	/* A queue that failed runs nothing any more. */
	real.clFinish(handle);
	note_done(handle, upto);
}

/* One with work in flight, retained, or NULL. */
static cl_command_queue busy_queue(void)
{
	cl_command_queue handle = NULL;

	pthread_mutex_lock(&queues_lock);
	for (const struct queue *q = queues; q && !handle; q = q->next) {
		if (q->launched > q->done && real.clRetainCommandQueue(q->handle) == 0)
			handle = q->handle;
	}
	pthread_mutex_unlock(&queues_lock);
	return handle;
}

static cl_int CL_API_CALL hook_clReleaseCommandQueue(cl_command_queue handle);

static void drain(void *arg)
{
	cl_command_queue handle;

	(void)arg;
	while ((handle = busy_queue())) {
		finish(handle);
		hook_clReleaseCommandQueue(handle);
	}
}

static void remove_queue(cl_command_queue handle)
{
	struct queue **at, *q;

	pthread_mutex_lock(&queues_lock);
	for (at = &queues; *at && (*at)->handle != handle;)
		at = &(*at)->next;
	q = *at;
	if (q)
		*at = q->next;
	pthread_mutex_unlock(&queues_lock);
	if (!q)
		return;
	if (q->last)
		real.clReleaseEvent(q->last);
	free(q);
}

static cl_int CL_API_CALL hook_clReleaseCommandQueue(cl_command_queue handle)
{
	cl_uint owners = 0;

	real.clGetCommandQueueInfo(
		handle, CL_QUEUE_REFERENCE_COUNT, sizeof owners, &owners, NULL);
	if (owners == 1) {
		finish(handle);
		remove_queue(handle);
	}
	return real.clReleaseCommandQueue(handle);
}

static cl_command_queue CL_API_CALL hook_clCreateCommandQueue(cl_context context,
	cl_device_id device, cl_command_queue_properties properties, cl_int *errcode)
{
	return add_queue(real.clCreateCommandQueue(context, device, properties, errcode));
}

static cl_command_queue CL_API_CALL hook_clCreateCommandQueueWithProperties(
	cl_context context, cl_device_id device, const cl_queue_properties *properties,
	cl_int *errcode)
{
	return add_queue(real.clCreateCommandQueueWithProperties(
		context, device, properties, errcode));
}

/* ---- the thread that passes the lease on ---- */

static pthread_mutex_t helper_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t helper_wake = PTHREAD_COND_INITIALIZER;
static bool helper_runs;
static uint32_t helper_sleeps; /* 1: it must be woken by the next launch */
static uint64_t launches;

enum { HELPER_PAUSE_MS = 5, HELPER_IDLE_ROUNDS = 100 };

static void sleep_till_launch(uint64_t seen)
{
	pthread_mutex_lock(&helper_lock);
	__atomic_store_n(&helper_sleeps, 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&launches, __ATOMIC_SEQ_CST) == seen)
		pthread_cond_wait(&helper_wake, &helper_lock);
	__atomic_store_n(&helper_sleeps, 0, __ATOMIC_SEQ_CST);
	pthread_mutex_unlock(&helper_lock);
}

static void *help(void *arg)
{
	const struct timespec pause = { 0, HELPER_PAUSE_MS * 1000000 };
	uint64_t seen = 0;
	unsigned idle = 0;

	(void)arg;
	for (;;) {
		nanosleep(&pause, NULL);
		chronos_settle(joined);
		uint64_t now = __atomic_load_n(&launches, __ATOMIC_SEQ_CST);
		idle = now == seen ? idle + 1 : 0;
		seen = now;
		if (idle >= HELPER_IDLE_ROUNDS)
			sleep_till_launch(seen);
	}
	return NULL;
}

/* Signals are the program's: none may end up here. */
static void start_helper(void)
{
	sigset_t all_signals, old;
	pthread_t thread;

	pthread_mutex_lock(&helper_lock);
	if (!helper_runs) {
		sigfillset(&all_signals);
		pthread_sigmask(SIG_SETMASK, &all_signals, &old);
		helper_runs = pthread_create(&thread, NULL, help, NULL) == 0;
		pthread_sigmask(SIG_SETMASK, &old, NULL);
		if (helper_runs)
			pthread_detach(thread);
	}
	pthread_mutex_unlock(&helper_lock);
}

static void wake_helper(void)
{
	if (!__atomic_load_n(&helper_runs, __ATOMIC_RELAXED))
		start_helper();
	__atomic_fetch_add(&launches, 1, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&helper_sleeps, __ATOMIC_SEQ_CST)) {
		pthread_mutex_lock(&helper_lock);
		pthread_cond_signal(&helper_wake);
		pthread_mutex_unlock(&helper_lock);
	}
}

/* ---- launching ---- */

/* Work that waits for an event which the program itself has yet to set cannot be drained
 * by the thread that would set it: meanwhile launches are not made to wait. */
static uint32_t open_user_events;

static cl_event CL_API_CALL hook_clCreateUserEvent(cl_context context, cl_int *errcode)
{
	cl_event event = real.clCreateUserEvent(context, errcode);

	if (event)
		__atomic_fetch_add(&open_user_events, 1, __ATOMIC_SEQ_CST);
	return event;
}

static cl_int CL_API_CALL hook_clSetUserEventStatus(cl_event event, cl_int status)
{
	cl_int rc = real.clSetUserEventStatus(event, status);

	if (rc == CL_SUCCESS)
		__atomic_fetch_sub(&open_user_events, 1, __ATOMIC_SEQ_CST);
	return rc;
}

struct launch {
	cl_command_queue queue;
	bool counted; /* with the lease */
};

static cl_int launch_begin(struct launch *l, cl_command_queue queue)
{
	struct chronos_attachment *a = attachment();

	l->queue = queue;
	l->counted = false;
	if (!a)
		return CL_INVALID_OPERATION;
	if (__atomic_load_n(&open_user_events, __ATOMIC_SEQ_CST))
		return chronos_charge(a, 0, NULL) < 0 ? CL_INVALID_OPERATION : CL_SUCCESS;
	if (chronos_launch(a, NULL) < 0)
		return CL_INVALID_OPERATION;
	l->counted = true;
	wake_helper();
	return CL_SUCCESS;
}

/* Its number on its queue, and its event where the program asked for one. */
static bool note_launched(cl_command_queue handle, cl_event event)
{
	cl_event before = NULL;

	pthread_mutex_lock(&queues_lock);
	struct queue *q = find_queue(handle);
	bool known = q;
	if (q) {
		q->launched++;
		if (event && q->in_order && real.clRetainEvent(event) == CL_SUCCESS) {
			before = q->last;
			q->last = event;
			q->last_at = q->launched;
		}
	}
	pthread_mutex_unlock(&queues_lock);
	if (before)
		real.clReleaseEvent(before);
	return known;
}

static cl_int launch_end(const struct launch *l, cl_int rc, const cl_event *event)
{
	if (!l->counted)
		return rc;
	if (rc != CL_SUCCESS) {
		chronos_launch_done(attachment(), 1);
		return rc;
	}
	if (!note_launched(l->queue, event ? *event : NULL)) {
		/* A queue that was not made through us, such as a default one. */
		real.clFinish(l->queue);
		chronos_launch_done(attachment(), 1);
	}
	return rc;
}

static cl_int CL_API_CALL hook_clEnqueueNDRangeKernel(cl_command_queue queue,
	cl_kernel kernel, cl_uint dimensions, const size_t *offset, const size_t *global,
	const size_t *local, cl_uint waits, const cl_event *wait, cl_event *event)
{
	struct launch l;
	cl_int rc = launch_begin(&l, queue);

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
	cl_int rc = launch_begin(&l, queue);

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
	cl_int rc = launch_begin(&l, queue);

	if (rc != CL_SUCCESS)
		return rc;
	rc = real.clEnqueueNativeKernel(
		queue, run, args, args_bytes, mems, mem, mem_at, waits, wait, event);
	return launch_end(&l, rc, event);
}

/* ---- where a program waits ---- */

static cl_int CL_API_CALL hook_clFinish(cl_command_queue queue)
{
	uint64_t upto = launched_on(queue);
	cl_int rc = real.clFinish(queue);

	if (rc == CL_SUCCESS)
		note_done(queue, upto);
	return rc;
}

/* A waited-for event tells of all launches up to its own, on a queue that is in order. */
static cl_command_queue queue_of_last(cl_event event, uint64_t *upto)
{
	cl_command_queue handle = NULL;

	pthread_mutex_lock(&queues_lock);
	for (const struct queue *q = queues; q && !handle; q = q->next) {
		if (q->last == event) {
			handle = q->handle;
			*upto = q->last_at;
		}
	}
	pthread_mutex_unlock(&queues_lock);
	return handle;
}

static cl_int CL_API_CALL hook_clWaitForEvents(cl_uint count, const cl_event *events)
{
	cl_int rc = real.clWaitForEvents(count, events);

	for (cl_uint i = 0; rc == CL_SUCCESS && i < count; i++) {
		uint64_t upto = 0;
		cl_command_queue handle = queue_of_last(events[i], &upto);
		if (handle)
			note_done(handle, upto);
	}
	return rc;
}

static uint64_t before_blocking(cl_command_queue handle)
{
	pthread_mutex_lock(&queues_lock);
	const struct queue *q = find_queue(handle);
	uint64_t upto = q && q->in_order ? q->launched : 0;
	pthread_mutex_unlock(&queues_lock);
	return upto;
}

static cl_int CL_API_CALL hook_clEnqueueReadBuffer(cl_command_queue queue, cl_mem mem,
	cl_bool blocking, size_t offset, size_t size, void *to, cl_uint waits,
	const cl_event *wait, cl_event *event)
{
	uint64_t upto = blocking ? before_blocking(queue) : 0;
	cl_int rc = real.clEnqueueReadBuffer(
		queue, mem, blocking, offset, size, to, waits, wait, event);

	if (rc == CL_SUCCESS)
		note_done(queue, upto);
	return rc;
}

static cl_int CL_API_CALL hook_clEnqueueWriteBuffer(cl_command_queue queue, cl_mem mem,
	cl_bool blocking, size_t offset, size_t size, const void *from, cl_uint waits,
	const cl_event *wait, cl_event *event)
{
	uint64_t upto = blocking ? before_blocking(queue) : 0;
	cl_int rc = real.clEnqueueWriteBuffer(
		queue, mem, blocking, offset, size, from, waits, wait, event);

	if (rc == CL_SUCCESS)
		note_done(queue, upto);
	return rc;
}

static void *CL_API_CALL hook_clEnqueueMapBuffer(cl_command_queue queue, cl_mem mem,
	cl_bool blocking, cl_map_flags flags, size_t offset, size_t size, cl_uint waits,
	const cl_event *wait, cl_event *event, cl_int *errcode)
{
	uint64_t upto = blocking ? before_blocking(queue) : 0;
	void *at = real.clEnqueueMapBuffer(
		queue, mem, blocking, flags, offset, size, waits, wait, event, errcode);

	if (at)
		note_done(queue, upto);
	return at;
}

/* ---- what a program is shown ---- */

static cl_int CL_API_CALL hook_clGetDeviceInfo(cl_device_id device, cl_device_info info,
	size_t size, void *value, size_t *size_ret)
{
	cl_int rc = real.clGetDeviceInfo(device, info, size, value, size_ret);
	struct chronos_attachment *a;
	cl_ulong bytes;

	if (rc != CL_SUCCESS || !value || size < sizeof bytes ||
		(info != CL_DEVICE_GLOBAL_MEM_SIZE &&
			info != CL_DEVICE_MAX_MEM_ALLOC_SIZE) ||
		!(a = attachment()) || several)
		return rc;
	memcpy(&bytes, value, sizeof bytes);
	if (bytes > chronos_quota(a))
		bytes = chronos_quota(a);
	memcpy(value, &bytes, sizeof bytes);
	return rc;
}

/* ---- forks, and the loader's door ---- */

/* A child has no part in its parent's partition: it joins for itself when it first asks.
 * What it still has of its parent is not its own to give back. */
static void in_child(void)
{
	life++;
	joined = NULL;
	queues = NULL;
	svm = NULL;
	helper_runs = false;
	helper_sleeps = 0;
	pthread_mutex_init(&join_lock, NULL);
	pthread_mutex_init(&svm_lock, NULL);
	pthread_mutex_init(&queues_lock, NULL);
	pthread_mutex_init(&helper_lock, NULL);
	pthread_cond_init(&helper_wake, NULL);
}

LAYER_API CL_API_ENTRY cl_int CL_API_CALL clGetLayerInfo(
	cl_layer_info name, size_t size, void *value, size_t *size_ret)
{
	const cl_layer_api_version version = CL_LAYER_API_VERSION_100;
	static const char layer_name[] = "chronos";
	const void *from = name == CL_LAYER_NAME ? (const void *)layer_name : &version;
	size_t bytes = name == CL_LAYER_NAME ? sizeof layer_name : sizeof version;

	if (name != CL_LAYER_API_VERSION && name != CL_LAYER_NAME)
		return CL_INVALID_VALUE;
	if (value && size < bytes)
		return CL_INVALID_VALUE;
	if (value)
		memcpy(value, from, bytes);
	if (size_ret)
		*size_ret = bytes;
	return CL_SUCCESS;
}

#define HOOK(name) (real.name ? (void)(hooked.name = hook_##name) : (void)0)

static void set_hooks(void)
{
	HOOK(clCreateBuffer);
	HOOK(clCreateBufferWithProperties);
	HOOK(clCreateImage);
	HOOK(clCreateImageWithProperties);
	HOOK(clCreateImage2D);
	HOOK(clCreateImage3D);
	HOOK(clCreatePipe);
	HOOK(clSVMAlloc);
	HOOK(clSVMFree);
	HOOK(clCreateCommandQueue);
	HOOK(clCreateCommandQueueWithProperties);
	HOOK(clReleaseCommandQueue);
	HOOK(clCreateUserEvent);
	HOOK(clSetUserEventStatus);
	HOOK(clEnqueueNDRangeKernel);
	HOOK(clEnqueueTask);
	HOOK(clEnqueueNativeKernel);
	HOOK(clFinish);
	HOOK(clWaitForEvents);
	HOOK(clEnqueueReadBuffer);
	HOOK(clEnqueueWriteBuffer);
	HOOK(clEnqueueMapBuffer);
	HOOK(clGetDeviceInfo);
}

LAYER_API CL_API_ENTRY cl_int CL_API_CALL clInitLayer(cl_uint entries,
	const cl_icd_dispatch *target, cl_uint *entries_ret,
	const cl_icd_dispatch **layer)
{
	const cl_uint all = sizeof real / sizeof(void *);
	const char *partition = getenv("CHRONOS_PARTITION");

	if (!target || !entries_ret || !layer)
		return CL_INVALID_VALUE;
	/* An older loader has fewer functions; those stay NULL and are not hooked. */
	memcpy(&real, target, (entries < all ? entries : all) * sizeof(void *));
	hooked = real;
	if (partition && *partition) {
		set_hooks();
		pthread_atfork(NULL, NULL, in_child);
	}
	*entries_ret = entries < all ? entries : all;
	*layer = &hooked;
	return CL_SUCCESS;
}
