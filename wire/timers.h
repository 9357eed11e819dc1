/* timers.h - any number of deadlines on one uv_timer_t.
 *
 * Thread: loop.  A binary heap of pointers; arming and disarming cost no allocation
 * once it has grown, and a deadline that is met early costs no system call.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct timer {
	int64_t at_ms;  /* on the clock of timers_now() */
	uint32_t place; /* in the heap, from 1; 0: not armed */
	void (*fire)(struct timer *timer);
};

struct timers {
	uv_timer_t clock;
	struct timer **heap; /* [1..count]; the earliest first */
	uint32_t count, room;
	int64_t set_for; /* when `clock` will ring; INT64_MAX: it is not set */
};

void timers_init(struct timers *t, uv_loop_t *loop);
void timers_fini(struct timers *t); /* after `clock` is closed */

int64_t timers_now(void); /* milliseconds, monotonic */

/* Also moves one that is armed.  fire is called once, from the loop, not before at_ms. */
void timers_arm(struct timers *t, struct timer *timer, int64_t at_ms);
void timers_disarm(struct timers *t, struct timer *timer); /* also when not armed */
