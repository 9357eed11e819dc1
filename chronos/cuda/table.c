/* table.c - a hash table that doubles. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "table.h"

#include <stdlib.h>

/* Addresses and handles differ in their middle bits: spread them over all. */
static size_t hash(uint64_t key)
{
	return (size_t)((key * UINT64_C(0x9e3779b97f4a7c15)) >> 32);
}

static size_t mask_of(const struct table *t)
{
	return t->grown ? t->mask : TABLE_FIRST - 1;
}

static struct table_entry *const *chains_of(const struct table *t)
{
	return t->grown ? t->grown : t->first;
}

/* Where the entry of the key is linked, or the end of its chain. */
static struct table_entry **link_of(struct table *t, uint64_t key)
{
	struct table_entry **chains = t->grown ? t->grown : t->first;
	struct table_entry **at = &chains[hash(key) & mask_of(t)];

	while (*at && (*at)->key != key)
		at = &(*at)->next;
	return at;
}

static void grow(struct table *t)
{
	size_t chains = mask_of(t) + 1, mask = 2 * chains - 1;
	struct table_entry **grown = calloc(mask + 1, sizeof(struct table_entry *));

	if (!grown)
		return;
	for (size_t i = 0; i < chains; i++) {
		struct table_entry *e = chains_of(t)[i];
		while (e) {
			struct table_entry *next = e->next,
					   **at = &grown[hash(e->key) & mask];
			e->next = *at;
			*at = e;
			e = next;
		}
	}
	free(t->grown);
	t->grown = grown;
	t->mask = mask;
}

struct table_entry *table_add(struct table *t, struct table_entry *e)
{
	if (t->count > mask_of(t))
		grow(t);
	struct table_entry **at = link_of(t, e->key), *before = *at;
	e->next = before ? before->next : NULL;
	*at = e;
	if (!before)
		t->count++;
	return before;
}

struct table_entry *table_find(const struct table *t, uint64_t key)
{
	struct table_entry *e = chains_of(t)[hash(key) & mask_of(t)];

	while (e && e->key != key)
		e = e->next;
	return e;
}

struct table_entry *table_take(struct table *t, uint64_t key)
{
	struct table_entry **at = link_of(t, key), *e = *at;

	if (e) {
		*at = e->next;
		t->count--;
	}
	return e;
}

struct table_entry *table_take_all(struct table *t,
	int (*chosen)(const struct table_entry *e, const void *by), const void *by)
{
	struct table_entry **chains = t->grown ? t->grown : t->first, *taken = NULL;

	for (size_t i = 0; i <= mask_of(t); i++) {
		for (struct table_entry **at = &chains[i]; *at;) {
			struct table_entry *e = *at;
			if (!chosen(e, by)) {
				at = &e->next;
				continue;
			}
			*at = e->next;
			e->next = taken;
			taken = e;
			t->count--;
		}
	}
	return taken;
}
