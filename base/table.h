/* table.h - a hash table from byte strings to the structs that hold them.
 *
 * Thread: the owner's.  The table owns no key and no value: an entry is embedded in the
 * value and points at a key that lives as long as the entry is in the table.  Hashes are
 * keyed with per-process randomness (SipHash-2-4), since keys come from outside.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct table_entry {
	struct table_entry *next;
	const void *key; /* borrowed from the value */
	size_t key_len;
	uint64_t hash;
};

struct table {
	struct table_entry **buckets;
	size_t bucket_count; /* a power of two, or 0 */
	size_t count;
};

#define table_value(entry, type, member)                                                 \
	((type *)((char *)(entry)-offsetof(type, member)))

void table_fini(struct table *t);
/* NULL when it is not there. */
struct table_entry *table_find(const struct table *t, const void *key, size_t len);
struct table_entry *table_find_str(const struct table *t, const char *key);
/* The key must not be in the table yet. */
void table_add(struct table *t, struct table_entry *entry, const void *key, size_t len);
void table_add_str(struct table *t, struct table_entry *entry, const char *key);
/* The entry must be in the table. */
void table_remove(struct table *t, struct table_entry *entry);
/* Walk in no order; NULL starts and ends.  Nothing may be added or removed between. */
struct table_entry *table_next(const struct table *t, const struct table_entry *after);

/* The hash seed; a simulation sets it so that runs repeat. */
void table_seed(uint64_t k0, uint64_t k1);
