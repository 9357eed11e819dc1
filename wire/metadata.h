/* metadata.h - names and values beside a call, and how a status text is written as one.
 *
 * Thread: loop.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "buf.h"
#include "wire.h"

/* "name\0value\0name\0value\0": most calls have none, which then costs a pointer. */
struct metadata {
	struct buf *pairs; /* NULL: empty */
};

void metadata_fini(struct metadata *m);
void metadata_add(struct metadata *m, const void *name, size_t name_len,
	const void *value, size_t value_len);
const char *metadata_find(const struct metadata *m, const char *name); /* the last one */

/* The pair at *at, which moves on; false past the last. */
bool metadata_next(const struct metadata *m, size_t *at, struct wire_pair *pair);

/* May an application use this name, and is the pair fit for HTTP/2? */
bool metadata_name_free(const void *name, size_t len);
int metadata_check(const struct wire_pair *pair, struct err *e) MUST_CHECK;

/* grpc-message: cut to WIRE_STATUS_TEXT_MAX at a character, made valid UTF-8, percent-
 * encoded.  The caller frees. */
char *status_text_encode(const char *text);
char *status_text_decode(const void *text, size_t len);
