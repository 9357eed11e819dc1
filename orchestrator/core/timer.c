/* timer.c - an intrusive binary heap of deadlines. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "timer.h"

#include <stdlib.h>

#include "xalloc.h"

void timer_queue_fini(struct timers *t)
{
	free(t->heap);
	*t = (struct timers){ 0 };
}

static void put(struct timers *t, size_t slot, struct timer *timer)
{
	t->heap[slot] = timer;
	timer->slot = slot;
}

static void sift_up(struct timers *t, struct timer *timer)
{
	size_t slot = timer->slot;

	for (; slot > 1 && t->heap[slot / 2]->at_ns > timer->at_ns; slot /= 2)
		put(t, slot, t->heap[slot / 2]);
	put(t, slot, timer);
}

static void sift_down(struct timers *t, struct timer *timer)
{
	size_t slot = timer->slot;

	for (;;) {
		size_t child = slot * 2;

		if (child > t->count)
			break;
		if (child < t->count && t->heap[child + 1]->at_ns < t->heap[child]->at_ns)
			child++;
		if (t->heap[child]->at_ns >= timer->at_ns)
			break;
		put(t, slot, t->heap[child]);
		slot = child;
	}
	put(t, slot, timer);
}

void timer_set(struct timers *t, struct timer *timer, int64_t at_ns)
{
	timer->at_ns = at_ns;
	if (!timer->slot) {
		if (t->count + 2 > t->room) {
			t->room = t->room ? t->room * 2 : 64;
			t->heap = xreallocarray(t->heap, t->room, sizeof(*t->heap));
		}
		put(t, ++t->count, timer);
	}
	sift_up(t, timer);
	sift_down(t, timer);
}

void timer_clear(struct timers *t, struct timer *timer)
{
	if (!timer->slot)
		return;

	struct timer *last = t->heap[t->count--];
	if (last != timer) {
		put(t, timer->slot, last);
		sift_up(t, last);
		sift_down(t, last);
	}
	timer->slot = 0;
}

struct timer *timer_queue_first(const struct timers *t)
{
	return t->count ? t->heap[1] : NULL;
}
