/* buf.h - a growable run of bytes.
 *
 * Thread: any, one at a time.  A zeroed struct buf is empty and valid.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "err.h"

struct buf {
	uint8_t *data; /* owned; NULL while nothing was ever added */
	size_t len;
	size_t cap;
};

void buf_fini(struct buf *b);
/* Forget the content, keep the memory. */
void buf_clear(struct buf *b);
/* Make room for len more bytes and return where they go; len grows by buf_added(). */
uint8_t *buf_reserve(struct buf *b, size_t len);
void buf_added(struct buf *b, size_t len);
void buf_add(struct buf *b, const void *bytes, size_t len);
void buf_addf(struct buf *b, const char *format, ...) PRINTF_LIKE(2, 3);
/* Drop the first len bytes. */
void buf_drop(struct buf *b, size_t len);
/* The content as a NUL-terminated string that the caller frees; b is then empty. */
char *buf_take_str(struct buf *b);
