/* cleanup.h - scope guards, and how to give away what they guard.
 *
 * Thread: any.  Guards run in reverse order of declaration when their scope is left.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CLEANUP(fn) __attribute__((cleanup(fn)))

/* Close *fd unless it is negative. */
static inline void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* For CLEANUP(free_ptr) char *p: free(p). */
static inline void free_ptr(void *p)
{
	free(*(void **)p);
}

static inline void close_file(FILE **f)
{
	if (*f)
		fclose(*f);
	*f = NULL;
}

/* Take what a guard holds; the guard then finds nothing to do. */
static inline int take_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

#define take_ptr(p)                                                                      \
	({                                                                               \
		__typeof__(p) take_at_ = (p);                                            \
		__typeof__(*(p)) taken_ = *take_at_;                                     \
		*take_at_ = NULL;                                                        \
		taken_;                                                                  \
	})
