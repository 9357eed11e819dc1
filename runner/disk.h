/* disk.h - how much of the disk a job takes: its folders, and files without a name.
 *
 * The job may change all of it meanwhile: a sum is then somewhere between.  What is seen is
 * looked at by its inode; no symlink is followed.
 *
 * Thread: loop.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

#include "cgroup.h"

/* What an entry takes besides its blocks: the disk has a limited number of inodes too. */
#define DISK_ENTRY_BYTES 1024

/* Bytes that the folder's tree occupies; stops counting once it is over `enough`.  A file
 * of several names is counted once, if all of them are in the tree.  A tree that is both
 * too deep and too wide to be counted is over. */
int64_t disk_used(int dirfd, const char *name, int64_t enough);

/* Bytes in files that the group's processes have open or mapped on the disk of the folder,
 * though they were removed from it. */
int64_t disk_nameless(const struct cgroup *g, int dirfd, int64_t enough);
