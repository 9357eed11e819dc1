/* events.c - a table of events under one lock. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "events.h"

#include "table.h"

#include <pthread.h>
#include <stdlib.h>

struct recorded {
	struct table_entry entry; /* key: the event */
	struct stream_mark mark;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct table table;
static size_t count; /* of the table, for a look without the lock */

static bool none_is_known(void)
{
	return !__atomic_load_n(&count, __ATOMIC_ACQUIRE);
}

/* Lock held. */
static struct recorded *find(CUevent event)
{
	return (struct recorded *)table_find(&table, (uintptr_t)event);
}

static struct recorded *add(CUevent event)
{
	struct recorded *r = calloc(1, sizeof *r);

	if (!r)
		return NULL;
	r->entry.key = (uintptr_t)event;
	table_add(&table, &r->entry);
	__atomic_store_n(&count, table.count, __ATOMIC_RELEASE);
	return r;
}

void events_recorded(CUevent event, const struct stream_mark *mark)
{
	if (!mark->stream && none_is_known())
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

	if (none_is_known())
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
	if (none_is_known())
		return;
	pthread_mutex_lock(&lock);
	free(table_take(&table, (uintptr_t)event));
	__atomic_store_n(&count, table.count, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&lock);
}

void events_in_child(void)
{
	pthread_mutex_init(&lock, NULL);
	table = (struct table){ 0 };
	count = 0;
}
