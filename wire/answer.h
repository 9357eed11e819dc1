/* answer.h - a server's side of HTTP: response headers, trailers, refusals.
 *
 * Thread: loop.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "call.h"

/* Response headers, with call_read() as the source of messages. */
void answer_begin(struct wire_call *call);
/* The ending, now: as trailers after messages, or alone as "trailers only".  Nothing of
 * a message may be waiting. */
void answer_status(struct wire_call *call, enum wire_status status, const char *text,
	const struct metadata *trailers);
/* The same from what wire_call_finish() left in the call. */
void answer_trailers(struct wire_call *call);
