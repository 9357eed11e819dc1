/* queue.c - one treap of waiting jobs for each amount. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "queue.h"

#include <assert.h>

size_t amount_kind(struct amount a)
{
	if (a.hundredths == 100) {
		assert(a.devices >= 1 && a.devices <= 8);
		return 80 + a.devices;
	}
	assert(a.devices == 1 && a.hundredths >= 10 && a.hundredths <= 90);
	return a.hundredths - 10;
}

/* The heap order of the treap: a mix of the order, so that it needs no randomness. */
static uint64_t weight(const struct queue_node *node)
{
	uint64_t x = node->order + 0x9e3779b97f4a7c15;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

static uint32_t size_of(const struct queue_node *tree)
{
	return tree ? tree->size : 0;
}

static void set_size(struct queue_node *node)
{
	node->size = 1 + size_of(node->left) + size_of(node->right);
}

/* Everything of tree that comes before node to *less, the rest to *more.  As deep as the
 * treap is: some two logarithms of what it holds. */
static void split(struct queue_node *tree, const struct queue_node *node,
	struct queue_node **less, struct queue_node **more)
{
	if (!tree) {
		*less = *more = NULL;
	} else if (queue_before(tree, node)) {
		split(tree->right, node, &tree->right, more);
		set_size(tree);
		*less = tree;
	} else {
		split(tree->left, node, less, &tree->left);
		set_size(tree);
		*more = tree;
	}
}

/* All of a comes before all of b. */
static struct queue_node *merge(struct queue_node *a, struct queue_node *b)
{
	if (!a || !b)
		return a ? a : b;
	if (weight(a) > weight(b)) {
		a->right = merge(a->right, b);
		set_size(a);
		return a;
	}
	b->left = merge(a, b->left);
	set_size(b);
	return b;
}

void queue_add(struct queue *q, size_t kind, struct queue_node *node)
{
	struct queue_node **at = &q->roots[kind];

	assert(!node->queued);
	while (*at && weight(*at) > weight(node)) {
		(*at)->size++;
		at = queue_before(*at, node) ? &(*at)->right : &(*at)->left;
	}
	split(*at, node, &node->left, &node->right);
	set_size(node);
	*at = node;
	node->queued = true;
	q->count++;
}

void queue_remove(struct queue *q, size_t kind, struct queue_node *node)
{
	struct queue_node **at = &q->roots[kind];

	assert(node->queued);
	while (*at && *at != node) {
		(*at)->size--;
		at = queue_before(*at, node) ? &(*at)->right : &(*at)->left;
	}
	assert(*at == node);
	*at = merge(node->left, node->right);
	node->left = node->right = NULL;
	node->queued = false;
	q->count--;
}

struct queue_node *queue_next(
	const struct queue *q, size_t kind, const struct queue_node *after)
{
	struct queue_node *found = NULL;

	for (struct queue_node *it = q->roots[kind]; it;) {
		if (!after || queue_before(after, it)) {
			found = it;
			it = it->left;
		} else {
			it = it->right;
		}
	}
	return found;
}

uint32_t queue_before_count(
	const struct queue *q, size_t kind, const struct queue_node *node)
{
	uint32_t count = 0;

	for (const struct queue_node *it = q->roots[kind]; it;) {
		if (queue_before(it, node)) {
			count += 1 + size_of(it->left);
			it = it->right;
		} else {
			it = it->left;
		}
	}
	return count;
}

size_t queue_first_kind(struct queue_node *const heads[AMOUNT_KINDS])
{
	size_t first = AMOUNT_KINDS;

	for (size_t k = 0; k < AMOUNT_KINDS; k++)
		if (heads[k] &&
			(first == AMOUNT_KINDS || queue_before(heads[k], heads[first])))
			first = k;
	return first;
}
