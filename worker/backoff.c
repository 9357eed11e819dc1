/* backoff.c - how long to wait before the next try: longer each time, never in step. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "backoff.h"

uint32_t backoff_next_ms(struct backoff *b, uint32_t random)
{
	uint32_t floor_ms = b->least_ms / 10;

	b->bound_ms = b->bound_ms == 0               ? b->least_ms
		      : b->bound_ms > b->most_ms / 2 ? b->most_ms
						     : b->bound_ms * 2;
	return floor_ms + random % (b->bound_ms - floor_ms + 1);
}

void backoff_reset(struct backoff *b)
{
	b->bound_ms = 0;
}
