/* schema.h - the tables, and how an older file becomes one of today.
 *
 * Thread: the one that opens the store.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "db.h"

/* Step i (from 0) takes a file of version i to version i + 1.  A step that was released
 * is never changed; new ones are appended. */
extern const char *const schema_steps[];
extern const size_t schema_step_count;

/* All that is missing, in one transaction.  ERR_UNSUPPORTED: the file is of a newer
 * version; ERR_INVALID: it is not ours. */
int schema_upgrade(
	struct db *db, const char *const *steps, size_t count, struct err *e) MUST_CHECK;
