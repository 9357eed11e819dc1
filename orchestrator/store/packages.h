/* packages.h - the ZIPs of jobs by their SHA-256: small ones as rows, large ones as files.
 *
 * Thread: the store's.  A file is complete and synced before its row is committed; a file
 * without a row is left over from a crash and goes when the store is opened.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "digest.h"
#include "rows.h"

#define PACKAGE_ROW_MAX     (256 * 1024) /* larger ones are files */
#define PACKAGE_NAME_SIZE   65           /* the digest in hex */
#define PACKAGE_PART_SUFFIX ".part"      /* an upload on its way; see upload.h */

void package_name(char out[PACKAGE_NAME_SIZE], const struct digest *digest);

struct package {
	int64_t id; /* 0 = not known */
	int64_t size;
};

/* found->id = 0 when it is not known. */
int package_find(struct disk *disk, const struct digest *digest, struct package *found,
	struct err *e) MUST_CHECK;

/* Keep these bytes; the digest must not be known yet. */
int package_add(struct disk *disk, const struct digest *digest, const uint8_t *bytes,
	size_t len, struct package *added, struct err *e) MUST_CHECK;

/* Make known a file that stands under its name already; known already is fine.
 * ERR_NOT_FOUND when there is none of this size. */
int package_add_file(struct disk *disk, const struct digest *digest, int64_t size,
	struct err *e) MUST_CHECK;

/* Up to len bytes from an offset.  ERR_NOT_FOUND; ERR_INVALID for an offset past the
 * end; ERR_UNAVAILABLE when its file cannot be read. */
int package_read(struct disk *disk, const struct digest *digest, int64_t offset,
	size_t len, struct store_slice *out, struct err *e) MUST_CHECK;

/* Remove files that no row knows, and uploads that nobody went on with for a day. */
int packages_sweep(struct disk *disk, struct err *e) MUST_CHECK;
