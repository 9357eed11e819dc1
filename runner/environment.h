/* environment.h - the environment variables that a job sees.
 *
 * Thread: loop.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>

struct runner;

struct environment {
	char **texts; /* owned; "NAME=value", with a NULL behind */
	size_t count;
};

/* Defaults, then the user's, then what nobody may change. */
void environment_fill(struct environment *env, const struct runner *r);
void environment_fini(struct environment *env);
