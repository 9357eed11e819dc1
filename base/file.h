/* file.h - whole files through folder descriptors: read bounded, replaced atomically.
 *
 * Thread: any.  Every descriptor is close-on-exec; no final symlink is followed.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "buf.h"
#include "err.h"

/* Write all of it, going on after signals and short writes. -1 with errno. */
int write_all(int fd, const void *bytes, size_t len) MUST_CHECK;
int pwrite_all(int fd, const void *bytes, size_t len, off_t at) MUST_CHECK;

/* Append the file's content to *out.  More than max bytes is ERR_EXHAUSTED. */
int file_read(int dirfd, const char *name, size_t max, struct buf *out,
	struct err *e) MUST_CHECK;

/* Put the file in place by a temporary name and a rename.  durable also syncs file and
 * folder, so that it is there after a power loss. */
int file_write(int dirfd, const char *name, const void *bytes, size_t len, mode_t mode,
	bool durable, struct err *e) MUST_CHECK;

/* Write the text by one call to a file of that folder which is there, as the kernel's own files
 * (control groups) take it. */
int file_tell(
	const char *folder, const char *name, const char *text, struct err *e) MUST_CHECK;

/* Open a folder, making it (and not its parents) when it is absent. */
int dir_open(int dirfd, const char *name, mode_t mode, struct err *e) MUST_CHECK;
/* Like mkdir -p; the mode is that of folders made here. */
int dir_make_path(const char *path, mode_t mode, struct err *e) MUST_CHECK;
/* Remove a file or a whole tree.  Never follows a symlink, never crosses into another
 * file system; absent is fine. */
int tree_remove(int dirfd, const char *name, struct err *e) MUST_CHECK;

/* Take a flock on name (made 0600), not waiting.  Returns its fd, which is the lock;
 * ERR_CONFLICT with "held by pid N" when somebody has it.  The holder's pid is written
 * inside, for people only. */
int lock_file(int dirfd, const char *name, struct err *e) MUST_CHECK;

/* The path of a program or file of ours: beside our own binary, else in
 * PREFIX/lib/cumulus.  The caller frees; ERR_NOT_FOUND names both places. */
char *file_find_sibling(const char *name, struct err *e) MUST_CHECK;
