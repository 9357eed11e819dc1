/* held.c - a table of charges for each of some locks. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "held.h"

#include "reach.h"
#include "table.h"

#include <pthread.h>
#include <stdlib.h>

enum { SHARDS = 64, KIND_SHIFT = 60 };

struct held {
	struct table_entry entry; /* key: an address or a handle, and the kind */
	enum held_kind kind;
	uint64_t bytes;
	struct device *device;
	CUcontext context; /* in which it was allocated */
};

static struct shard {
	pthread_mutex_t lock;
	struct table table;
} shards[SHARDS] = { [0 ... SHARDS - 1] = { .lock = PTHREAD_MUTEX_INITIALIZER } };

/* Addresses and handles have less than so many bits. */
static uint64_t key_of(enum held_kind kind, uint64_t number)
{
	return number ^ (uint64_t)kind << KIND_SHIFT;
}

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

static struct held *held_of(struct table_entry *e)
{
	return (struct held *)e;
}

static void insert(struct held *h)
{
	struct shard *s = shard_of(h->entry.key);

	pthread_mutex_lock(&s->lock);
	struct table_entry *stale = table_add(&s->table, &h->entry);
	pthread_mutex_unlock(&s->lock);
	/* Freed behind our back: its address was given out again. */
	if (stale)
		give_back(held_of(stale));
}

CUresult held_settle(struct held_claim *c, CUresult rc, uint64_t number)
{
	struct held *h = c->record;

	c->record = NULL;
	if (!h)
		return rc;
	if (rc != CUDA_SUCCESS) {
		give_back(h);
		return rc;
	}
	h->entry.key = key_of(h->kind, number);
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

struct held *held_take(enum held_kind kind, uint64_t number)
{
	uint64_t key = key_of(kind, number);
	struct shard *s = shard_of(key);

	pthread_mutex_lock(&s->lock);
	struct table_entry *e = table_take(&s->table, key);
	pthread_mutex_unlock(&s->lock);
	return held_of(e);
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

static int is_in_context(const struct table_entry *e, const void *context)
{
	return ((const struct held *)e)->context == context;
}

void held_drop_context(CUcontext context)
{
	for (unsigned i = 0; context && i < SHARDS; i++) {
		pthread_mutex_lock(&shards[i].lock);
		struct table_entry *e =
			table_take_all(&shards[i].table, is_in_context, context);
		pthread_mutex_unlock(&shards[i].lock);
		while (e) {
			struct held *h = held_of(e);
			e = e->next;
			give_back(h);
		}
	}
}

void held_in_child(void)
{
	for (unsigned i = 0; i < SHARDS; i++) {
		pthread_mutex_init(&shards[i].lock, NULL);
		shards[i].table = (struct table){ 0 };
	}
}
