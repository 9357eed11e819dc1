/* environment.h - the environment variables that a job sees.
 *
 * Thread: loop.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct runner;

struct environment {
	char **texts; /* owned; "NAME=value", with a NULL behind */
	size_t count;
};

/* Defaults, then the user's, then what nobody may change. */
void environment_fill(struct environment *env, const struct runner *r);
/* Did the user get what he asked for? */
bool environment_has(const struct environment *env, const char *name, const char *value);
void environment_fini(struct environment *env);
