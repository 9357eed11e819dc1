/* package.h - checks the structure of a job's ZIP before it is accepted.
 *
 * Thread: any.  Only names, flags and declared sizes are looked at here; real sizes and
 * checksums are checked by the runner as it extracts.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"

struct package_limits {
	uint64_t entries;
	uint64_t bytes;      /* all entries together, extracted */
	uint32_t depth;      /* folders in one name */
	uint64_t ratio;      /* extracted to packed, over the whole ZIP ... */
	uint64_t ratio_from; /* ... and only above so many extracted bytes */
};

extern const struct package_limits package_defaults;

/* ERR_INVALID, saying which entry and why, unless this is a ZIP that can be extracted
 * safely and has a main.py at its top. */
int package_check(const void *zip, size_t len, const struct package_limits *l,
	struct err *e) MUST_CHECK;

/* The same of an open file of len bytes.  Only its directory and the heads of its entries
 * are read, at most 16 MiB and 10,000 places: a worker's thread, not the loop's. */
int package_check_file(
	int fd, uint64_t len, const struct package_limits *l, struct err *e) MUST_CHECK;

/* Append the content of the ZIP's top-level requirements.txt, of max bytes at most; nothing
 * when there is none.  zip has passed package_check(). */
int package_requirements(const void *zip, size_t len, size_t max, struct buf *out,
	struct err *e) MUST_CHECK;
int package_requirements_file(
	int fd, uint64_t len, size_t max, struct buf *out, struct err *e) MUST_CHECK;
