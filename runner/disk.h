/* disk.h - how much of the disk a job's own folders take.
 *
 * Thread: loop.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

/* Levels of folders that are looked into; what lies deeper is not counted. */
#define DISK_DEPTH_MAX 64

/* Bytes that the folder's tree occupies; stops counting once it is over `enough`.  The job
 * may change it meanwhile: the sum is then somewhere between.  No symlink is followed. */
int64_t disk_used(int dirfd, const char *name, int64_t enough);
