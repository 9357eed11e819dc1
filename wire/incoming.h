/* incoming.h - from DATA frames to messages: prefix, limits, windows, budget.
 *
 * Thread: loop.  A message that lies whole in one frame is read where it lies.  One that
 * does not is gathered; the peer may send window_bytes of it unasked, and the rest once
 * the hub's budget has room for all of it, so that incomplete messages cannot starve
 * each other.  A window is given back only for what was delivered or may still grow.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_PREFIX 5 /* a flag and the message's length, big-endian */

struct wire_call;

void incoming_feed(struct wire_call *call, const uint8_t *bytes, size_t len);
void incoming_end(struct wire_call *call);  /* the peer's END_STREAM */
void incoming_run(struct wire_call *call);  /* deliver what is there, after a pause */
void incoming_drop(struct wire_call *call); /* nobody listens any more */

/* Is there room in the budget for the message that call waits for? */
bool incoming_may_grow(const struct wire_call *call);
/* Grant, charge and give windows back as the present content allows. */
void incoming_settle(struct wire_call *call);
