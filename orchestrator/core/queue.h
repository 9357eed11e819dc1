/* queue.h - the jobs that wait, by amount; in each amount by priority, then order.
 *
 * Thread: loop.  There are only 89 amounts, so the scheduler looks at 89 heads however
 * many jobs wait.  Each amount is a treap: a job that comes back finds its old place, and
 * every call costs the logarithm of its length.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "job.h"

#define AMOUNT_KINDS 89 /* 0.10 to 0.90 of one device, 1 to 8 whole ones */

struct queue_node {
	struct queue_node *left, *right;
	uint64_t order; /* when it was submitted; unique */
	int32_t priority;
	uint32_t size; /* of the subtree below and with it, while queued */
	bool queued;
};

struct queue {
	struct queue_node *roots[AMOUNT_KINDS];
	uint32_t count;
};

/* 0 .. AMOUNT_KINDS - 1; the amount must be a valid one. */
size_t amount_kind(struct amount a);

/* Does a come before b? */
static inline bool queue_before(const struct queue_node *a, const struct queue_node *b)
{
	return a->priority != b->priority ? a->priority > b->priority
					  : a->order < b->order;
}

/* order and priority are set, and stay as they are while it is in the queue. */
void queue_add(struct queue *q, size_t kind, struct queue_node *node);
void queue_remove(struct queue *q, size_t kind, struct queue_node *node);
/* The first of its kind after `after`, which need not be in the queue any more; NULL
 * starts.  NULL when there is none. */
struct queue_node *queue_next(
	const struct queue *q, size_t kind, const struct queue_node *after);
/* How many of its kind come before `node`, which need not be in the queue. */
uint32_t queue_before_count(
	const struct queue *q, size_t kind, const struct queue_node *node);
/* Of the heads that are there, the kind of the first; AMOUNT_KINDS when there is none. */
size_t queue_first_kind(struct queue_node *const heads[AMOUNT_KINDS]);
