/* minder.h - waits for the end of one child process.
 *
 * Thread: loop.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <uv.h>

#include "child.h"

struct minder;

/* The child is reaped; status as waitpid gives it.  The minder is gone after this. */
typedef void (*minder_exited)(void *user, int status);

/* Takes the child. */
struct minder *minder_new(
	uv_loop_t *loop, const struct child *child, minder_exited exited, void *user);
/* Wait no more; the child goes on.  NULL is fine. */
void minder_close(struct minder *m);
