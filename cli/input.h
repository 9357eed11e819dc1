/* input.h - reads a file that the user named, following links as every program does.
 *
 * Thread: any; blocks.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "buf.h"
#include "err.h"

/* Append the content of path to *out; ERR_EXHAUSTED beyond max bytes. */
int input_read(const char *path, size_t max, struct buf *out, struct err *e) MUST_CHECK;
/* The same from an open descriptor; name is for errors. */
int input_read_fd(
	int fd, const char *name, size_t max, struct buf *out, struct err *e) MUST_CHECK;
