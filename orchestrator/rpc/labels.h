/* labels.h - labels of a message in the form in which the store keeps and compares them.
 *
 * Thread: any; pure.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>

#include "buf.h"
#include "err.h"

struct label { /* borrowed */
	const char *key, *value;
};

/* key NUL value NUL ..., keys rising.  The labels are sorted in place; ERR_INVALID naming a
 * key that is there twice. */
int labels_pack(
	struct label *labels, size_t count, struct buf *out, struct err *e) MUST_CHECK;
