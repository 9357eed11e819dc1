/* held.c - a tree of charges for each of some locks. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "held.h"

#include "reach.h"

#include <pthread.h>
#include <search.h>
#include <stdlib.h>

enum { SHARDS = 64 };

struct held {
	uint64_t key;
	enum held_kind kind;
	uint64_t bytes;
	struct device *device;
	CUcontext context; /* in which it was allocated */
};

static struct shard {
	pthread_mutex_t lock;
	void *tree; /* of struct held, by key and kind */
} shards[SHARDS] = { [0 ... SHARDS - 1] = { PTHREAD_MUTEX_INITIALIZER, NULL } };

static int compare(const void *x, const void *y)
{
	const struct held *a = x, *b = y;

	if (a->key != b->key)
		return a->key < b->key ? -1 : 1;
	return (int)a->kind - (int)b->kind;
}

/* Addresses are multiples of 512, handles of less. */
static struct shard *shard_of(uint64_t key)
{
	return &shards[(key * UINT64_C(0x9e3779b97f4a7c15)) >> 58];
}

_Static_assert(SHARDS == 1 << (64 - 58), "a shard for each value of the hash");

CUresult held_charge_on(
	struct held_claim *c, struct device *d, enum held_kind kind, uint64_t bytes)
{
	*c = (struct held_claim){ .device = d };
	if (!d)
		return CUDA_SUCCESS;
	struct held *h = malloc(sizeof *h);
	if (!h)
		return CUDA_ERROR_OUT_OF_MEMORY;
	CUresult rc = device_charge(d, bytes);
	if (rc != CUDA_SUCCESS) {
		free(h);
		return rc;
	}
	*h = (struct held){ .kind = kind, .bytes = bytes, .device = d };
	c->record = h;
	return CUDA_SUCCESS;
}

CUresult held_charge(struct held_claim *c, enum held_kind kind, uint64_t bytes)
{
	CUresult rc;
	struct device *d = partition_current_device(&rc);

	*c = (struct held_claim){ 0 };
	return rc == CUDA_SUCCESS ? held_charge_on(c, d, kind, bytes) : rc;
}

static void give_back(struct held *h)
{
	device_uncharge(h->device, h->bytes);
	free(h);
}

static void insert(struct held *h)
{
	struct shard *s = shard_of(h->key);

	pthread_mutex_lock(&s->lock);
	struct held **at = tsearch(h, &s->tree, compare);
	struct held *stale = at && *at != h ? *at : NULL;
	/* Freed behind our back: its address was given out again. */
	if (stale)
		*at = h;
	pthread_mutex_unlock(&s->lock);
	if (stale)
		give_back(stale);
	/* Without memory for the tree it stays charged until the process ends. */
	if (!at)
		free(h);
}

CUresult held_settle(struct held_claim *c, CUresult rc, uint64_t key)
{
	struct held *h = c->record;

	c->record = NULL;
	if (!h)
		return rc;
	if (rc != CUDA_SUCCESS) {
		give_back(h);
		return rc;
	}
	h->key = key;
	if (h->kind >= HELD_CONTEXT || REAL(cuCtxGetCurrent)(&h->context) != CUDA_SUCCESS)
		h->context = NULL;
	insert(h);
	return rc;
}

CUresult held_recharge(struct held_claim *c, uint64_t bytes)
{
	struct held *h = c->record;

	if (!h || h->bytes == bytes)
		return CUDA_SUCCESS;
	if (bytes > h->bytes) {
		CUresult rc = device_charge(h->device, bytes - h->bytes);
		if (rc != CUDA_SUCCESS)
			return rc;
	} else {
		device_uncharge(h->device, h->bytes - bytes);
	}
	h->bytes = bytes;
	return CUDA_SUCCESS;
}

struct held *held_take(enum held_kind kind, uint64_t key)
{
	struct held like = { .key = key, .kind = kind };
	struct shard *s = shard_of(key);
	struct held *h = NULL;

	pthread_mutex_lock(&s->lock);
	struct held **at = tfind(&like, &s->tree, compare);
	if (at) {
		h = *at;
		tdelete(h, &s->tree, compare);
	}
	pthread_mutex_unlock(&s->lock);
	return h;
}

CUresult held_freed(struct held *h, CUresult rc)
{
	if (!h)
		return rc;
	if (rc == CUDA_SUCCESS)
		give_back(h);
	else
		insert(h);
	return rc;
}

struct device *held_device(const struct held *h)
{
	return h->device;
}

/* ---- a whole context ---- */

struct drop {
	CUcontext context;
	struct held *found;
};

static void find_in_context(const void *node, VISIT when, void *arg)
{
	struct drop *d = arg;
	struct held *h = *(struct held *const *)node;

	if ((when == postorder || when == leaf) && h->context == d->context)
		d->found = h;
}

void held_drop_context(CUcontext context)
{
	for (unsigned i = 0; context && i < SHARDS; i++) {
		struct drop d = { .context = context };
		do {
			d.found = NULL;
			pthread_mutex_lock(&shards[i].lock);
			twalk_r(shards[i].tree, find_in_context, &d);
			if (d.found)
				tdelete(d.found, &shards[i].tree, compare);
			pthread_mutex_unlock(&shards[i].lock);
			if (d.found)
				give_back(d.found);
		} while (d.found);
	}
}

void held_in_child(void)
{
	for (unsigned i = 0; i < SHARDS; i++) {
		pthread_mutex_init(&shards[i].lock, NULL);
		shards[i].tree = NULL;
	}
}
