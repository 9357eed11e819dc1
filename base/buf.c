/* buf.c - a growable run of bytes. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "xalloc.h"

void buf_fini(struct buf *b)
{
	free(b->data);
	*b = (struct buf){ 0 };
}

void buf_clear(struct buf *b)
{
	b->len = 0;
}

uint8_t *buf_reserve(struct buf *b, size_t len)
{
	size_t want = b->len + len;

	assert(want >= len);
	if (want > b->cap) {
		size_t cap = b->cap ? b->cap : 64;

		while (cap < want)
			cap *= 2;
		b->data = xrealloc(b->data, cap);
		b->cap = cap;
	}
	return b->len ? b->data + b->len : b->data; /* NULL + 0 is undefined */
}

void buf_added(struct buf *b, size_t len)
{
	assert(len <= b->cap - b->len);
	b->len += len;
}

void buf_add(struct buf *b, const void *bytes, size_t len)
{
	if (!len)
		return;
	memcpy(buf_reserve(b, len), bytes, len);
	buf_added(b, len);
}

void buf_addf(struct buf *b, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	int len = vsnprintf(NULL, 0, format, args);
	va_end(args);
	assert(len >= 0);

	va_start(args, format);
	vsnprintf((char *)buf_reserve(b, (size_t)len + 1), (size_t)len + 1, format, args);
	va_end(args);
	buf_added(b, (size_t)len);
}

void buf_drop(struct buf *b, size_t len)
{
	assert(len <= b->len);
	b->len -= len;
	if (b->len)
		memmove(b->data, b->data + len, b->len);
}

char *buf_take_str(struct buf *b)
{
	*buf_reserve(b, 1) = '\0';
	char *text = (char *)b->data;

	*b = (struct buf){ 0 };
	return text;
}
