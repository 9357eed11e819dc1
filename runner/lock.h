/* lock.h - from a folder of wheels to a lock: exact names, versions and hashes, as text.
 *
 *   # python3.11 x86_64
 *   numpy==2.3.5 --hash=sha256:...
 *
 * What is installed is a function of this text alone, so its digest names the environment.
 *
 * Thread: any.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "buf.h"
#include "digest.h"
#include "err.h"

/* One line, without its end, for a wheel of this file name.  ERR_INVALID: it is not named
 * as wheels are. */
int lock_line(struct buf *out, const char *file_name, const struct digest *digest,
	struct err *e) MUST_CHECK;

/* The lock of all files in the folder, which nobody may be changing; lines are sorted.
 * python names the interpreter and the machine.  *count says how many wheels there are. */
int lock_of_folder(int folder_fd, const char *python, struct buf *out, size_t *count,
	struct err *e) MUST_CHECK;

/* "python3.11 x86_64": what /usr/bin/python3 is here.  *program is "python3.11". */
#define PYTHON_NAME_SIZE 64
int lock_python(char program[PYTHON_NAME_SIZE], char name[2 * PYTHON_NAME_SIZE],
	struct err *e) MUST_CHECK;
