/* backoff.h - how long to wait before the next try: longer each time, never in step.
 *
 * Thread: the owner's.  Full jitter: a wait is a random part of a bound that doubles, so
 * that workers which lost the same cumulusd do not all come back at once.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

struct backoff {
	uint32_t
		least_ms; /* the first bound, and what every wait is at least a tenth of */
	uint32_t most_ms;
	uint32_t bound_ms; /* 0: the next wait is the first */
};

/* The next wait; random is any 32 random bits. */
uint32_t backoff_next_ms(struct backoff *b, uint32_t random);
/* It worked. */
void backoff_reset(struct backoff *b);
