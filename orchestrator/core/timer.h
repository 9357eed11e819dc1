/* timer.h - what is due at which boot time: an intrusive binary heap.
 *
 * Thread: loop.  Equal times come out in an order that depends on nothing but the calls.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum timer_kind {
	TIMER_RUN,          /* of a job: its run is overdue */
	TIMER_BACKOFF,      /* of a job: it may be placed again */
	TIMER_SILENCE,      /* of a worker: nothing came from it */
	TIMER_PAUSE,        /* of a worker: it refused too much */
	TIMER_FIRST_WORKERS /* of the core: no list of workers came */
};

struct timer {
	int64_t at_ns; /* boot time */
	size_t slot;   /* in the heap, from 1; 0 = not set */
	enum timer_kind kind;
};

struct timers {
	struct timer **heap; /* owned array of borrowed timers; heap[0] is not used */
	size_t count, room;
};

void timer_queue_fini(struct timers *t);
/* Set it, or move it when it is set already. */
void timer_set(struct timers *t, struct timer *timer, int64_t at_ns);
/* Harmless when it is not set. */
void timer_clear(struct timers *t, struct timer *timer);
/* The earliest one, NULL when none is set. */
struct timer *timer_queue_first(const struct timers *t);
