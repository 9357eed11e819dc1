/* queues.c - what was launched on each queue, and what of it is known to be done. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "queues.h"

#include "extensions.h"
#include "partition.h"
#include "user_events.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

/* So long is waited for work that may be waiting for the program: as long as for a process
 * that is silent. */
#define PATIENCE_NS UINT64_C(1000000000)
#define LOOK_NS     200000

/* What several queues had behind a gate: one launch, done when theirs all are. */
struct opened {
	uint32_t queues; /* left, and 1 while it is made; guarded by lock */
};

struct queue {
	cl_command_queue handle;
	bool in_order;
	bool waits; /* gated, by a launch that waits for an event of the program itself */
	cl_event
		gate; /* after what it had when it was last gated, owned; NULL: it is not */
	uint64_t launched; /* launches so far */
	uint64_t done;     /* of these, known to be done */
	cl_event last;     /* of the launch number last_at, retained; NULL: none */
	uint64_t last_at;
	struct opened *opened; /* NULL: none */
	uint64_t opened_at;    /* the launch number that stands for it */
	struct queue *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct queue *queues; /* guarded by lock */
static uint32_t gated_count; /* read without the lock, too */

static struct queue *find(cl_command_queue handle)
{
	struct queue *q = queues;

	while (q && q->handle != handle)
		q = q->next;
	return q;
}

uint64_t queue_launched(cl_command_queue handle)
{
	pthread_mutex_lock(&lock);
	const struct queue *q = find(handle);
	uint64_t launched = q ? q->launched : 0;
	pthread_mutex_unlock(&lock);
	return launched;
}

uint64_t queue_launched_in_order(cl_command_queue handle)
{
	pthread_mutex_lock(&lock);
	const struct queue *q = find(handle);
	uint64_t launched = q && q->in_order ? q->launched : 0;
	pthread_mutex_unlock(&lock);
	return launched;
}

/* Launches of the process that are done by this.  Locked. */
static uint64_t move_done(struct queue *q, uint64_t upto)
{
	uint64_t newly = upto > q->done ? upto - q->done : 0;

	if (!newly)
		return 0;
	q->done = upto;
	if (q->opened && upto >= q->opened_at) {
		/* It is one of several that stand for the same launch, or the last. */
		if (--q->opened->queues > 0)
			newly--;
		else
			free(q->opened);
		q->opened = NULL;
	}
	return newly;
}

static void tell_done(uint64_t launches)
{
	struct chronos_attachment *a = partition_joined();

	if (launches && a)
		chronos_launch_done(a, (uint32_t)launches);
}

void queue_note_done(cl_command_queue handle, uint64_t upto)
{
	pthread_mutex_lock(&lock);
	struct queue *q = find(handle);
	uint64_t newly = q ? move_done(q, upto) : 0;
	pthread_mutex_unlock(&lock);
	tell_done(newly);
}

void queue_note_event_done(cl_event event)
{
	struct queue *q;
	uint64_t newly = 0;

	pthread_mutex_lock(&lock);
	for (q = queues; q && q->last != event;)
		q = q->next;
	if (q)
		newly = move_done(q, q->last_at);
	pthread_mutex_unlock(&lock);
	tell_done(newly);
}

bool queue_note_launched(cl_command_queue handle, cl_event event)
{
	cl_event before = NULL;

	pthread_mutex_lock(&lock);
	struct queue *q = find(handle);
	bool known = q;
	if (q) {
		q->launched++;
		if (event && q->in_order && real.clRetainEvent(event) == CL_SUCCESS) {
			before = q->last;
			q->last = event;
			q->last_at = q->launched;
		}
	}
	pthread_mutex_unlock(&lock);
	if (before)
		real.clReleaseEvent(before);
	return known;
}

/* ---- gates ---- */

bool queues_are_gated(void)
{
	return __atomic_load_n(&gated_count, __ATOMIC_SEQ_CST) > 0;
}

/* Locked.  The gate that it had, for the caller to release, or NULL. */
static cl_event set_gate(struct queue *q, cl_event gate)
{
	cl_event before = q->gate;

	if (gate && !before)
		__atomic_fetch_add(&gated_count, 1, __ATOMIC_SEQ_CST);
	if (!gate && before)
		__atomic_fetch_sub(&gated_count, 1, __ATOMIC_SEQ_CST);
	q->gate = gate;
	q->waits &= gate != NULL;
	return before;
}

static void release_event(cl_event event)
{
	if (event)
		real.clReleaseEvent(event);
}

/* Takes `gate`, an event after all that the queue has. */
static void close_gate(cl_command_queue handle, cl_event gate, bool waits)
{
	uint64_t newly = 0;

	pthread_mutex_lock(&lock);
	struct queue *q = find(handle);
	if (q) {
		newly = move_done(q, q->launched);
		q->waits |= waits;
		gate = set_gate(q, gate);
	}
	pthread_mutex_unlock(&lock);
	release_event(gate);
	tell_done(newly);
}

/* An event after all that the queue has, or NULL. */
static cl_event mark(cl_command_queue handle)
{
	cl_event event = NULL;

	if (real.clEnqueueMarkerWithWaitList)
		real.clEnqueueMarkerWithWaitList(handle, 0, NULL, &event);
	else
		real.clEnqueueMarker(handle, &event);
	real.clFlush(handle);
	return event;
}

void queue_gate(cl_command_queue handle)
{
	cl_event gate = mark(handle);

	if (gate)
		close_gate(handle, gate, true);
}

/* An error is an end, too. */
static bool is_over(cl_event event)
{
	cl_int status = CL_COMPLETE;

	return real.clGetEventInfo(event, CL_EVENT_COMMAND_EXECUTION_STATUS,
		       sizeof status, &status, NULL) != CL_SUCCESS ||
	       status <= CL_COMPLETE;
}

/* Of a queue where what is launched now waits, too; retained, or NULL. */
static cl_event gate_of(cl_command_queue handle)
{
	cl_event gate = NULL;

	pthread_mutex_lock(&lock);
	const struct queue *q = find(handle);
	if (q && q->waits && q->in_order && real.clRetainEvent(q->gate) == CL_SUCCESS)
		gate = q->gate;
	pthread_mutex_unlock(&lock);
	return gate;
}

bool queue_is_gated(cl_command_queue handle)
{
	cl_event gate = queues_are_gated() ? gate_of(handle) : NULL;
	cl_event before = NULL;
	bool over = !gate || is_over(gate);

	if (gate && over) {
		pthread_mutex_lock(&lock);
		struct queue *q = find(handle);
		if (q && q->gate == gate)
			before = set_gate(q, NULL);
		pthread_mutex_unlock(&lock);
	}
	release_event(before);
	release_event(gate);
	return !over;
}

static cl_event open_gate(struct queue *q, struct opened *opened)
{
	q->opened = opened;
	q->opened_at = ++q->launched;
	opened->queues++;
	return set_gate(q, NULL);
}

/* One after the other, as the driver is not asked for anything meanwhile: the first ones
 * may be done before the last is open. */
bool queues_open(void)
{
	struct opened *opened = calloc(1, sizeof *opened);
	cl_event gate;

	if (!opened)
		return false;
	opened->queues = 1;

	do {
		gate = NULL;
		pthread_mutex_lock(&lock);
		struct queue *q = queues;
		while (q && (!q->gate || q->opened))
			q = q->next;
		if (q)
			gate = open_gate(q, opened);
		pthread_mutex_unlock(&lock);
		release_event(gate);
	} while (gate);
	pthread_mutex_lock(&lock);
	bool in_flight = --opened->queues > 0;
	pthread_mutex_unlock(&lock);
	if (!in_flight)
		free(opened);
	return in_flight;
}

/* ---- draining ---- */

static void finish(cl_command_queue handle)
{
	uint64_t upto = queue_launched(handle);

	/* A queue that failed runs nothing any more. */
	real.clFinish(handle);
	queue_note_done(handle, upto);
}

/* One with work in flight, retained, or NULL. */
static cl_command_queue busy_queue(void)
{
	cl_command_queue handle = NULL;

	pthread_mutex_lock(&lock);
	for (const struct queue *q = queues; q && !handle; q = q->next) {
		if (q->launched > q->done && real.clRetainCommandQueue(q->handle) == 0)
			handle = q->handle;
	}
	pthread_mutex_unlock(&lock);
	return handle;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void finish_or_gate(cl_command_queue handle, uint64_t until_ns)
{
	const struct timespec pause = { 0, LOOK_NS };
	uint64_t upto = queue_launched(handle);
	cl_event event = mark(handle);

	while (event && !is_over(event)) {
		if (now_ns() >= until_ns) {
			close_gate(handle, event, false);
			return;
		}
		nanosleep(&pause, NULL);
	}
	queue_note_done(handle, upto);
	release_event(event);
}

static cl_int CL_API_CALL hook_clReleaseCommandQueue(cl_command_queue handle);

void queues_drain(void *unused)
{
	const uint64_t until_ns = now_ns() + PATIENCE_NS;
	cl_command_queue handle;

	(void)unused;
	while ((handle = busy_queue())) {
		if (user_events_are_open())
			finish_or_gate(handle, until_ns);
		else
			finish(handle);
		hook_clReleaseCommandQueue(handle);
	}
}

/* ---- queues come and go ---- */

static cl_command_queue add(cl_command_queue handle)
{
	cl_command_queue_properties properties = 0;
	struct queue *q = handle ? calloc(1, sizeof *q) : NULL;

	if (!q)
		return handle;
	real.clGetCommandQueueInfo(
		handle, CL_QUEUE_PROPERTIES, sizeof properties, &properties, NULL);
	q->handle = handle;
	q->in_order = !(properties & CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE);
	pthread_mutex_lock(&lock);
	q->next = queues;
	queues = q;
	pthread_mutex_unlock(&lock);
	return handle;
}

static void drop(cl_command_queue handle)
{
	struct queue **at, *q;

	pthread_mutex_lock(&lock);
	for (at = &queues; *at && (*at)->handle != handle;)
		at = &(*at)->next;
	q = *at;
	uint64_t newly = 0;
	cl_event gate = NULL;
	if (q) {
		*at = q->next;
		newly = move_done(q, q->launched);
		gate = set_gate(q, NULL);
	}
	pthread_mutex_unlock(&lock);
	tell_done(newly);
	release_event(gate);
	if (q)
		release_event(q->last);
	free(q);
}

/* A program may let go of a queue whose work waits for it: then that cannot be awaited. */
static cl_int CL_API_CALL hook_clReleaseCommandQueue(cl_command_queue handle)
{
	cl_uint owners = 0;

	real.clGetCommandQueueInfo(
		handle, CL_QUEUE_REFERENCE_COUNT, sizeof owners, &owners, NULL);
	if (owners == 1) {
		if (!user_events_are_open())
			finish(handle);
		drop(handle);
	}
	return real.clReleaseCommandQueue(handle);
}

static cl_command_queue CL_API_CALL hook_clCreateCommandQueue(cl_context context,
	cl_device_id device, cl_command_queue_properties properties, cl_int *errcode)
{
	return add(real.clCreateCommandQueue(context, device, properties, errcode));
}

static cl_command_queue CL_API_CALL hook_clCreateCommandQueueWithProperties(
	cl_context context, cl_device_id device, const cl_queue_properties *properties,
	cl_int *errcode)
{
	return add(real.clCreateCommandQueueWithProperties(
		context, device, properties, errcode));
}

static cl_command_queue CL_API_CALL hook_clCreateCommandQueueWithPropertiesKHR(
	cl_context context, cl_device_id device,
	const cl_queue_properties_khr *properties, cl_int *errcode)
{
	clCreateCommandQueueWithPropertiesKHR_fn create =
		REAL_EXTENSION(context, clCreateCommandQueueWithPropertiesKHR);

	if (create)
		return add(create(context, device, properties, errcode));
	if (errcode)
		*errcode = CL_INVALID_CONTEXT;
	return NULL;
}

void queues_hook(void)
{
	HOOK(clCreateCommandQueue);
	HOOK(clCreateCommandQueueWithProperties);
	HOOK(clReleaseCommandQueue);
	HOOK_EXTENSION(clCreateCommandQueueWithPropertiesKHR);
}

void queues_in_child(void)
{
	queues = NULL;
	gated_count = 0;
	pthread_mutex_init(&lock, NULL);
}
