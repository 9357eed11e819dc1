/* things.c - what has an address or a handle. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "fake.h"

static struct thing *things;
static uint64_t next_address = UINT64_C(0x7f0000000000);

struct thing *add_thing(uint64_t key, uint64_t bytes, int device)
{
	struct thing *t = calloc(1, sizeof *t);

	if (!t)
		abort();
	t->key = key;
	t->bytes = bytes;
	t->device = device;
	t->context = top_context();
	pthread_mutex_lock(&lock);
	t->next = things;
	things = t;
	pthread_mutex_unlock(&lock);
	return t;
}

struct thing *find_thing(uint64_t key)
{
	struct thing *t = things;

	while (t && t->key != key)
		t = t->next;
	return t;
}

struct thing *take_thing(uint64_t key)
{
	struct thing **at, *t;

	pthread_mutex_lock(&lock);
	for (at = &things; *at && (*at)->key != key;)
		at = &(*at)->next;
	t = *at;
	if (t)
		*at = t->next;
	pthread_mutex_unlock(&lock);
	return t;
}

void free_thing(struct thing *t)
{
	if (t->pool)
		t->pool->used -= t->bytes;
	else
		give(t->device, t->bytes);
	free(t);
}

static bool is_in_context(const struct thing *t, const void *context)
{
	return t->context == context && !t->handles && !t->physical && !t->pool;
}

static bool is_from_pool(const struct thing *t, const void *pool)
{
	return t->pool == pool;
}

static void free_those(bool (*chosen)(const struct thing *t, const void *by), void *by)
{
	struct thing *t;

	do {
		pthread_mutex_lock(&lock);
		for (t = things; t && !chosen(t, by);)
			t = t->next;
		pthread_mutex_unlock(&lock);
		if (t)
			free_thing(take_thing(t->key));
	} while (t);
}

void free_things_of(CUcontext context)
{
	free_those(is_in_context, context);
}

void free_things_from(CUmemoryPool pool)
{
	free_those(is_from_pool, pool);
}

uint64_t new_address(uint64_t bytes)
{
	return __atomic_fetch_add(
		&next_address, (bytes + 4095) / 4096 * 4096 + 4096, __ATOMIC_RELAXED);
}
