/* h2.h - what nghttp2 tells, turned into calls.
 *
 * Thread: loop.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <nghttp2/nghttp2.h>

#include "wire.h"

nghttp2_session_callbacks *h2_callbacks_new(bool server);
nghttp2_option *h2_options_new(const struct wire_limits *limits);

/* A header from literals, and one from text that lives until it is submitted. */
#define H2_NV(n, v)                                                                      \
	{                                                                                \
		.name = (uint8_t *)(uintptr_t)(n), .value = (uint8_t *)(uintptr_t)(v),   \
		.namelen = sizeof(n) - 1, .valuelen = sizeof(v) - 1,                     \
		.flags = NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE    \
	}
nghttp2_nv h2_nv(const char *name, const char *value);
