/* timers.c - a heap of deadlines behind one timer of the loop. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "timers.h"

#include <stdlib.h>

#include "clock.h"
#include "xalloc.h"

static void on_clock(uv_timer_t *clock);

void timers_init(struct timers *t, uv_loop_t *loop)
{
	*t = (struct timers){ .set_for = INT64_MAX };
	uv_timer_init(loop, &t->clock);
	uv_unref((uv_handle_t *)&t->clock);
	t->clock.data = t;
}

void timers_fini(struct timers *t)
{
	free(t->heap);
	t->heap = NULL;
}

int64_t timers_now(void)
{
	return (int64_t)(uv_hrtime() / NS_PER_MS);
}

static void put(struct timers *t, uint32_t place, struct timer *timer)
{
	t->heap[place] = timer;
	timer->place = place;
}

static void move_up(struct timers *t, struct timer *timer)
{
	uint32_t place = timer->place;

	for (; place > 1 && t->heap[place / 2]->at_ms > timer->at_ms; place /= 2)
		put(t, place, t->heap[place / 2]);
	put(t, place, timer);
}

static void move_down(struct timers *t, struct timer *timer)
{
	uint32_t place = timer->place;

	for (;;) {
		uint32_t child = 2 * place;

		if (child < t->count && t->heap[child + 1]->at_ms < t->heap[child]->at_ms)
			child++;
		if (child > t->count || t->heap[child]->at_ms >= timer->at_ms)
			break;
		put(t, place, t->heap[child]);
		place = child;
	}
	put(t, place, timer);
}

static void take_out(struct timers *t, struct timer *timer)
{
	struct timer *last = t->heap[t->count--];

	if (last != timer) {
		put(t, timer->place, last);
		move_up(t, last);
		move_down(t, last);
	}
	timer->place = 0;
}

/* The clock may ring too early (a deadline was disarmed), never too late. */
static void set_clock(struct timers *t)
{
	if (!t->count || t->heap[1]->at_ms >= t->set_for)
		return;
	t->set_for = t->heap[1]->at_ms;
	uv_update_time(t->clock.loop);

	int64_t left = t->set_for - (int64_t)uv_now(t->clock.loop);

	uv_timer_start(&t->clock, on_clock, left > 0 ? (uint64_t)left : 0, 0);
}

static void on_clock(uv_timer_t *clock)
{
	struct timers *t = clock->data;
	int64_t now = timers_now();

	t->set_for = INT64_MAX;
	while (t->count && t->heap[1]->at_ms <= now) {
		struct timer *timer = t->heap[1];

		take_out(t, timer);
		timer->fire(timer);
	}
	set_clock(t);
}

void timers_arm(struct timers *t, struct timer *timer, int64_t at_ms)
{
	timers_disarm(t, timer);
	if (t->count + 1 >= t->room) {
		t->room = t->room ? 2 * t->room : 64;
		t->heap = xreallocarray(t->heap, t->room, sizeof(*t->heap));
	}
	timer->at_ms = at_ms;
	timer->place = ++t->count;
	move_up(t, timer);
	set_clock(t);
}

void timers_disarm(struct timers *t, struct timer *timer)
{
	if (timer->place)
		take_out(t, timer);
}
