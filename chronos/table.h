/* table.h - finding and showing the records of a locked state. */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "state.h"

#include <string.h>

/* ---- devices ---- */

/* The slot of the device that `name` is, an index or a uuid; absent ones are found too. */
int chronos_device_find(
	const struct state *s, const char *name, uint32_t *slot, struct chronos_error *e);

/* What is taken of each device: by live partitions, and, of its memory only, by those that
 * have ended but still have processes. */
struct device_use {
	uint32_t hundredths[CHRONOS_DEVICES_MAX];
	uint32_t draining[CHRONOS_DEVICES_MAX];
	uint32_t partitions[CHRONOS_DEVICES_MAX]; /* live ones */
};
void chronos_device_use_count(
	const struct chronos *c, uint64_t now_ns, struct device_use *use);

/* ---- partitions ---- */

#define PARTITION_ID_PREFIX "p-"

/* No key begins like an id, so a name is the one or the other. */
static inline bool id_is_meant(const char *name)
{
	return strncmp(name, PARTITION_ID_PREFIX, sizeof PARTITION_ID_PREFIX - 1) == 0;
}

/* Never 0, which says "no key" in a record. */
uint64_t chronos_key_hash(const char *key);

static inline bool partition_has_key(
	const struct partition_record *p, const char *key, uint64_t hash)
{
	return p->key_hash == hash && strncmp(p->key, key, sizeof p->key) == 0;
}

/* The live partition that `name` is, for a change that only its owner and root make. */
int chronos_record_find_own(struct state *s, const char *name, uint64_t now_ns,
	struct partition_record **found, struct chronos_error *e);

void chronos_partition_show(const struct state *s, const struct partition_record *p,
	uint64_t now_ns, struct chronos_partition *out);

int chronos_duration_check(uint64_t duration_ns, struct chronos_error *e);
