/* packages.h - the jobs' ZIPs that this machine already has, each under its digest.
 *
 *   packages/<64 hex digits>        complete; its SHA-256 was checked in this boot
 *   packages/<64 hex digits>.part   what has come so far, or is to be checked again
 *
 * Thread: loop, but for packages_check_part().  Nothing is synced to disk: after a reboot
 * every complete file becomes a .part and is checked before it is used again.  The least
 * recently used ones go when there are more bytes than the limit; pinned ones stay.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "digest.h"
#include "err.h"

#define PACKAGE_HEX_SIZE 65

struct packages;

/* folder_fd is D/worker, path its name; both are kept as copies. */
struct packages *packages_open(int folder_fd, const char *path, int64_t limit_bytes,
	bool rebooted, struct err *e) MUST_CHECK;
/* From the next package on. */
void packages_set_limit(struct packages *p, int64_t limit_bytes);
void packages_close(struct packages *p); /* NULL is fine */

void package_hex(char out[PACKAGE_HEX_SIZE], const struct digest *d);
/* Where it is or will be; the caller frees. */
char *packages_path_dup(const struct packages *p, const struct digest *d);
bool packages_has(const struct packages *p, const struct digest *d);
int64_t packages_bytes(const struct packages *p);

/* Keep it from being evicted, until unpinned as often; whether or not it is there yet.
 * Pinning one that is there makes it the most recently used. */
void packages_pin(struct packages *p, const struct digest *d);
void packages_unpin(struct packages *p, const struct digest *d);

/* Open what has come so far, to append to it; *have is its size. */
int packages_part_open(struct packages *p, const struct digest *d, int64_t *have,
	struct err *e) MUST_CHECK;
void packages_part_remove(struct packages *p, const struct digest *d);
/* The folder, for packages_check_part() on another thread; borrowed. */
int packages_fd(const struct packages *p);
/* Does the .part of this digest in the folder hold what its name says?  ERR_INVALID with
 * both digests when not.  Thread: any. */
int packages_check_part(
	int packages_fd, const struct digest *d, struct err *e) MUST_CHECK;
/* A checked .part gets its name; others may be evicted for it. */
int packages_keep(struct packages *p, const struct digest *d, struct err *e) MUST_CHECK;
