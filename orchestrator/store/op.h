/* op.h - one staged thing, a record or a question: done by the thread, delivered on the loop.
 *
 * Thread: made and freed on the loop; in between it belongs to the store's thread.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "list.h"
#include "rows.h"
#include "store.h"

struct op;

struct op_type {
	bool writes;    /* it needs a transaction */
	bool refusable; /* it may be left out when the disk is full */

	/* On the thread.  What concerns this op alone goes to op->failed and is a success;
	 * -1 fails the whole group (see db.h).  Run again after a rollback, behind
	 * forget(), which drops what was found. */
	int (*run)(struct op *op, struct disk *disk, struct err *e);
	void (*forget)(struct op *op); /* may be NULL */

	/* On the thread, once its group is committed: drop what is not needed to deliver. */
	void (*settle)(struct op *op); /* may be NULL */

	void (*deliver)(struct op *op, const struct store_callbacks *to);
	void (*free)(struct op *op);
};

struct op {
	struct list link;
	const struct op_type *type;
	struct err failed;
	size_t bytes;    /* about what it holds in memory */
	uint64_t input;  /* of records; 0 = it may be in any group */
	uint64_t number; /* of records; 0 = none */
};

/* In store.c: put it behind what is staged. */
void store_stage(struct store *s, struct op *op);
