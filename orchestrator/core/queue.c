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

/* Everything of tree that comes before node to *less, the rest to *more. */
static void split(struct queue_node *tree, const struct queue_node *node,
	struct queue_node **less, struct queue_node **more)
{
	while (tree) {
		if (queue_before(tree, node)) {
			*less = tree;
			less = &tree->right;
			tree = tree->right;
		} else {
			*more = tree;
			more = &tree->left;
			tree = tree->left;
		}
	}
	*less = *more = NULL;
}

/* All of a comes before all of b. */
static struct queue_node *merge(struct queue_node *a, struct queue_node *b)
{
	struct queue_node *root, **at = &root;

	while (a && b) {
		if (weight(a) > weight(b)) {
			*at = a;
			at = &a->right;
			a = a->right;
		} else {
			*at = b;
			at = &b->left;
			b = b->left;
		}
	}
	*at = a ? a : b;
	return root;
}

void queue_add(struct queue *q, size_t kind, struct queue_node *node)
{
	struct queue_node **at = &q->roots[kind];

	assert(!node->queued);
	while (*at && weight(*at) > weight(node))
		at = queue_before(*at, node) ? &(*at)->right : &(*at)->left;
	split(*at, node, &node->left, &node->right);
	*at = node;
	node->queued = true;
	q->count++;
}

void queue_remove(struct queue *q, size_t kind, struct queue_node *node)
{
	struct queue_node **at = &q->roots[kind];

	assert(node->queued);
	while (*at && *at != node)
		at = queue_before(*at, node) ? &(*at)->right : &(*at)->left;
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
