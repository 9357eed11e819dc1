/* user_events.c - what waits for the program itself has its turn when it goes on. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "user_events.h"

#include "helper.h"
#include "partition.h"
#include "queues.h"

#include <pthread.h>
#include <stdlib.h>

struct user_event {
	cl_event event;
	struct user_event *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct user_event *open_events; /* not set; guarded by lock */
static uint32_t open_count;            /* read without the lock, too */

bool user_events_are_open(void)
{
	return __atomic_load_n(&open_count, __ATOMIC_SEQ_CST) > 0;
}

static struct user_event **find(cl_event event)
{
	struct user_event **at = &open_events;

	while (*at && (*at)->event != event)
		at = &(*at)->next;
	return at;
}

bool user_events_gate(cl_uint count, const cl_event *events)
{
	bool gate = false;

	if (!user_events_are_open() || !events)
		return false;
	pthread_mutex_lock(&lock);
	for (cl_uint i = 0; !gate && i < count; i++)
		gate = *find(events[i]);
	pthread_mutex_unlock(&lock);
	return gate;
}

static void forget(cl_event event)
{
	pthread_mutex_lock(&lock);
	struct user_event **at = find(event), *u = *at;
	if (u) {
		*at = u->next;
		__atomic_fetch_sub(&open_count, 1, __ATOMIC_SEQ_CST);
	}
	pthread_mutex_unlock(&lock);
	free(u);
}

void user_events_in_child(void)
{
	open_events = NULL;
	open_count = 0;
	pthread_mutex_init(&lock, NULL);
}

static cl_event CL_API_CALL hook_clCreateUserEvent(cl_context context, cl_int *errcode)
{
	struct user_event *u = malloc(sizeof *u);
	cl_event event = u ? real.clCreateUserEvent(context, errcode) : NULL;

	if (!u && errcode)
		*errcode = CL_OUT_OF_HOST_MEMORY;
	if (!event) {
		free(u);
		return NULL;
	}
	u->event = event;
	pthread_mutex_lock(&lock);
	u->next = open_events;
	open_events = u;
	__atomic_fetch_add(&open_count, 1, __ATOMIC_SEQ_CST);
	pthread_mutex_unlock(&lock);
	return event;
}

/* Nobody can set it any more, and its address may soon be another event's. */
static cl_int CL_API_CALL hook_clReleaseEvent(cl_event event)
{
	cl_uint owners = 0;

	if (user_events_gate(1, &event)) {
		real.clGetEventInfo(
			event, CL_EVENT_REFERENCE_COUNT, sizeof owners, &owners, NULL);
		if (owners == 1)
			forget(event);
	}
	return real.clReleaseEvent(event);
}

/* What waited for it, and runs from now on, has one turn.  After the partition's end there
 * is none, but the program goes on. */
static void take_turn(void)
{
	struct chronos_attachment *a = partition_joined();

	if (!a || !queues_are_gated() || chronos_launch(a, NULL) < 0)
		return;
	helper_wake();
	if (!queues_open())
		chronos_launch_done(a, 1);
}

static cl_int CL_API_CALL hook_clSetUserEventStatus(cl_event event, cl_int status)
{
	/* Open until then: what is drained for the turn may be waiting for it. */
	if (user_events_gate(1, &event))
		take_turn();
	cl_int rc = real.clSetUserEventStatus(event, status);
	if (rc == CL_SUCCESS)
		forget(event);
	return rc;
}

void user_events_hook(void)
{
	HOOK(clCreateUserEvent);
	HOOK(clReleaseEvent);
	HOOK(clSetUserEventStatus);
}
