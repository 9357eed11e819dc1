/* head.h - request and response headers as gRPC reads them.
 *
 * Thread: loop.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>

struct wire_call;

/* One header; then the end of the block: the call is opened or refused. */
void head_request_pair(struct wire_call *call, const char *name, size_t name_len,
	const char *value, size_t value_len);
void head_request_done(struct wire_call *call);

void head_response_pair(struct wire_call *call, const char *name, size_t name_len,
	const char *value, size_t value_len);
void head_response_done(struct wire_call *call);
/* The stream has ended and every message was delivered: what did it come to? */
void head_response_over(struct wire_call *call);
