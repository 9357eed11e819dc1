/* package.h - unpacks a job's ZIP, in a child that can do nothing else.
 *
 * Thread: loop.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

#include "err.h"

#define PACKAGE_ENTRIES_MAX 10000
#define PACKAGE_BYTES_MAX   ((uint64_t)1 << 30)
#define PACKAGE_DEPTH_MAX   32
#define PACKAGE_RATIO_MAX   200 /* of the whole, and only above ... */
#define PACKAGE_RATIO_FROM  ((uint64_t)64 << 20)

/* Unpack the ZIP (a descriptor open for reading, which stays the caller's) into the folder.
 * Refused, naming the entry: symlinks and other special files, absolute paths, "..",
 * duplicates, encryption, more than the limits above or than max_bytes, sizes and
 * checksums that are not as declared.  On failure the folder holds a part. */
int package_extract(int zip_fd, int folder, uint64_t max_bytes, struct err *e) MUST_CHECK;

/* The same as user and group id, with limits on memory, time, files and privileges.  Never
 * returns: writes the error's text to error_fd and ends with 1, or 0 when all went well. */
_Noreturn void package_extract_and_exit(int zip_fd, int folder, uint64_t max_bytes,
	uint32_t id, int32_t seconds, int error_fd);
