/* writes.h - what changes the database, as ops: records, known packages, removed jobs.
 *
 * Thread: as op.h says.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "op.h"

/* The record is taken. */
struct op *record_op_new(struct record *record);

struct op *add_package_op_new(
	const struct digest *digest, int64_t size, store_on_done *on_done, void *ctx);

/* A removed job: first on its way out, to tell; then on its way in, to forget.  NULL when
 * id is none. */
struct op *tell_removed_op_new(const char *id, int32_t attempts);
struct op *drop_removed_op_new(const char *id);
