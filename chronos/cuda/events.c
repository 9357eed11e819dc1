/* events.c - a tree of events under one lock. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "events.h"

#include <pthread.h>
#include <search.h>
#include <stdlib.h>

struct recorded {
	CUevent event;
	struct stream_mark mark;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static void *tree;
static uint32_t count;

static int compare(const void *x, const void *y)
{
	const struct recorded *a = x, *b = y;

	return ((uintptr_t)a->event > (uintptr_t)b->event) -
	       ((uintptr_t)a->event < (uintptr_t)b->event);
}

/* Lock held. */
static struct recorded *find(CUevent event)
{
	const struct recorded like = { .event = event };
	struct recorded **at = tfind(&like, &tree, compare);

	return at ? *at : NULL;
}

static struct recorded *add(CUevent event)
{
	struct recorded *r = calloc(1, sizeof *r);

	if (!r)
		return NULL;
	r->event = event;
	if (!tsearch(r, &tree, compare)) {
		free(r);
		return NULL;
	}
	__atomic_add_fetch(&count, 1, __ATOMIC_RELEASE);
	return r;
}

void events_recorded(CUevent event, const struct stream_mark *mark)
{
	if (!mark->stream && !__atomic_load_n(&count, __ATOMIC_ACQUIRE))
		return;
	pthread_mutex_lock(&lock);
	struct recorded *r = find(event);
	if (!r && mark->stream)
		r = add(event);
	/* Without memory for it nothing is learned from this event. */
	if (r)
		r->mark = *mark;
	pthread_mutex_unlock(&lock);
}

struct stream_mark events_mark(CUevent event)
{
	struct stream_mark none = { 0 };

	if (!__atomic_load_n(&count, __ATOMIC_ACQUIRE))
		return none;
	pthread_mutex_lock(&lock);
	const struct recorded *r = find(event);
	if (r)
		none = r->mark;
	pthread_mutex_unlock(&lock);
	return none;
}

void events_remove(CUevent event)
{
	if (!__atomic_load_n(&count, __ATOMIC_ACQUIRE))
		return;
	pthread_mutex_lock(&lock);
	struct recorded *r = find(event);
	if (r) {
		tdelete(r, &tree, compare);
		__atomic_sub_fetch(&count, 1, __ATOMIC_RELEASE);
		free(r);
	}
	pthread_mutex_unlock(&lock);
}

void events_in_child(void)
{
	pthread_mutex_init(&lock, NULL);
	tree = NULL;
	count = 0;
}
