/* table.h - records that are found by a number: an address or a handle of the driver. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An entry is part of the record that it finds and stays its owner's.  Thread: one at a
 * time, the caller locks.  Nothing here fails: without memory to grow it gets slower.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct table_entry {
	uint64_t key;
	struct table_entry *next;
};

enum { TABLE_FIRST = 8 };

/* Zeroed it is empty. */
struct table {
	struct table_entry *first[TABLE_FIRST];
	struct table_entry **grown; /* NULL: still the first */
	size_t mask;                /* of the grown, their number - 1 */
	size_t count;
};

/* Returns the entry that had the key before and is in the table no more, or NULL. */
struct table_entry *table_add(struct table *t, struct table_entry *e);
/* NULL: it has none. */
struct table_entry *table_find(const struct table *t, uint64_t key);
struct table_entry *table_take(struct table *t, uint64_t key);

/* Take out the entries that are chosen, linked by their `next`. */
struct table_entry *table_take_all(struct table *t,
	int (*chosen)(const struct table_entry *e, const void *by), const void *by);
