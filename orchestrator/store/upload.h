/* upload.h - packages that come in pieces, through a file that gets its name when it is whole.
 *
 * Thread: loop; the work is done by the file worker of output.h, in the same order, and
 * output_deliver() calls the callbacks.
 *
 * The pieces grow D/orchestrator/packages/<hex>.part, which survives a restart, so that an
 * upload goes on where it stopped; the last one checks the SHA-256, syncs and renames.
 * Then store_add_package() makes the package known.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>

#include "output.h"

#define UPLOAD_PIECE_MAX (1024 * 1024)

/* How far the file is: at `end` = size it is complete and stands durably under its name.
 * failed: ERR_EXHAUSTED, the disk is full; ERR_INVALID, the SHA-256 is another one: the
 * partial file is gone.  end is then from where to go on. */
typedef void upload_on_end(void *ctx, int64_t end, const struct err *failed);

/* Add bytes (taken; malloc'ed, at most UPLOAD_PIECE_MAX, none to ask how far it is) at an
 * offset.  What is there already is left out; an offset past the end adds nothing.  The
 * caller has checked size against its limit. */
void upload_append(struct output *o, const struct digest *digest, int64_t size,
	int64_t offset, uint8_t *bytes, size_t len, upload_on_end *on_end, void *ctx);
