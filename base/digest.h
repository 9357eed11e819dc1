/* digest.h - SHA-256, as bytes and as the text "sha256:<64 hex digits>".
 *
 * Thread: any.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "err.h"

struct digest {
	uint8_t bytes[32];
};

#define DIGEST_TEXT_SIZE 72 /* "sha256:" + 64 + NUL */

struct digest digest_of(const void *bytes, size_t len);
void digest_format(char out[DIGEST_TEXT_SIZE], const struct digest *d);
int digest_parse(const char *text, struct digest *d, struct err *e) MUST_CHECK;

/* In pieces: new, add ..., end (which frees). */
struct digester;
struct digester *digester_new(void);
void digester_add(struct digester *d, const void *bytes, size_t len);
struct digest digester_end(struct digester *d);
void digester_free(struct digester *d); /* NULL is fine; not after digester_end */
