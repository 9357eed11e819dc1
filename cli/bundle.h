/* bundle.h - makes the ZIP of a submission from a folder, a ZIP or a .py file.
 *
 * Thread: any; blocks on the disk.  The same content gives the same bytes wherever and
 * whenever it is packed: sorted names, fixed times, only "executable or not" as mode.
 * Left out: .git, __pycache__, .venv, empty folders.  Refused, by name: symbolic links,
 * whatever is neither file nor folder, names that are not UTF-8.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"

struct bundle_limits {
	size_t entries;
	size_t bytes;  /* of all files, before packing */
	size_t packed; /* of the ZIP */
	size_t depth;  /* folders in a name */
};

/* What the server takes, carried by a submission or uploaded before. */
extern const struct bundle_limits bundle_defaults;

struct bundle {
	struct buf zip;
	size_t files; /* 0: a ZIP that was there already */
	size_t bytes; /* of the files, before packing */
};

void bundle_fini(struct bundle *b);
/* ERR_NOT_FOUND, ERR_INVALID, or ERR_EXHAUSTED saying what is too much and what helps. */
int bundle_make(const char *path, const struct bundle_limits *limits, struct bundle *out,
	struct err *e) MUST_CHECK;
