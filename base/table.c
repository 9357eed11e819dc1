/* table.c - a chained hash table with SipHash-2-4. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "xalloc.h"

static uint64_t seed[2];

/* Before main: tables may be made on any thread, and none of them may race on this. */
__attribute__((constructor)) static void seed_from_kernel(void)
{
	if (getrandom(seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
		abort();
}

void table_seed(uint64_t k0, uint64_t k1)
{
	seed[0] = k0;
	seed[1] = k1;
}

static inline uint64_t rotl(uint64_t x, int n)
{
	return x << n | x >> (64 - n);
}

static inline void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotl(v[1], 13) ^ v[0];
	v[0] = rotl(v[0], 32);
	v[2] += v[3];
	v[3] = rotl(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotl(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotl(v[1], 17) ^ v[2];
	v[2] = rotl(v[2], 32);
}

static uint64_t sip_hash(const void *key, size_t len)
{
	const uint8_t *in = key;
	uint64_t last = (uint64_t)len << 56;
	uint64_t v[4] = { seed[0] ^ 0x736f6d6570736575, seed[1] ^ 0x646f72616e646f6d,
		seed[0] ^ 0x6c7967656e657261, seed[1] ^ 0x7465646279746573 };

	for (; len >= 8; in += 8, len -= 8) {
		uint64_t m;

		memcpy(&m, in, 8);
		v[3] ^= m;
		sip_round(v);
		sip_round(v);
		v[0] ^= m;
	}
	for (size_t i = 0; i < len; i++)
		last |= (uint64_t)in[i] << (8 * i);
	v[3] ^= last;
	sip_round(v);
	sip_round(v);
	v[0] ^= last;
	v[2] ^= 0xff;
	for (int i = 0; i < 4; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static struct table_entry **bucket(const struct table *t, uint64_t hash)
{
	return &t->buckets[hash & (t->bucket_count - 1)];
}

void table_fini(struct table *t)
{
	free(t->buckets);
	*t = (struct table){ 0 };
}

struct table_entry *table_find(const struct table *t, const void *key, size_t len)
{
	if (!t->count)
		return NULL;

	uint64_t hash = sip_hash(key, len);
	for (struct table_entry *it = *bucket(t, hash); it; it = it->next)
		if (it->hash == hash && it->key_len == len && !memcmp(it->key, key, len))
			return it;
	return NULL;
}

struct table_entry *table_find_str(const struct table *t, const char *key)
{
	return table_find(t, key, strlen(key));
}

static void grow(struct table *t)
{
	struct table bigger = { 0 };

	bigger.bucket_count = t->bucket_count ? t->bucket_count * 2 : 16;
	bigger.buckets = xcalloc(bigger.bucket_count, sizeof(*bigger.buckets));
	bigger.count = t->count;
	for (size_t i = 0; i < t->bucket_count; i++) {
		for (struct table_entry *it = t->buckets[i], *next; it; it = next) {
			struct table_entry **to = bucket(&bigger, it->hash);

			next = it->next;
			it->next = *to;
			*to = it;
		}
	}
	free(t->buckets);
	*t = bigger;
}

void table_add(struct table *t, struct table_entry *entry, const void *key, size_t len)
{
	assert(!table_find(t, key, len));
	if (t->count >= t->bucket_count)
		grow(t);
	entry->key = key;
	entry->key_len = len;
	entry->hash = sip_hash(key, len);

	struct table_entry **to = bucket(t, entry->hash);
	entry->next = *to;
	*to = entry;
	t->count++;
}

void table_add_str(struct table *t, struct table_entry *entry, const char *key)
{
	table_add(t, entry, key, strlen(key));
}

void table_remove(struct table *t, struct table_entry *entry)
{
	struct table_entry **at = bucket(t, entry->hash);

	while (*at && *at != entry)
		at = &(*at)->next;
	assert(*at == entry);
	*at = entry->next;
	entry->next = NULL;
	t->count--;
}

struct table_entry *table_next(const struct table *t, const struct table_entry *after)
{
	size_t i = 0;

	if (after) {
		if (after->next)
			return after->next;
		i = (after->hash & (t->bucket_count - 1)) + 1;
	}
	for (; i < t->bucket_count; i++)
		if (t->buckets[i])
			return t->buckets[i];
	return NULL;
}
