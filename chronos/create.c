/* create.c - take shares for a new partition, all or none. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "table.h"

#include "error.h"
#include "fault.h"
#include "share.h"

#include <string.h>
#include <unistd.h>

/* ---- keys and ids ---- */

static bool is_key_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || (c != '\0' && strchr("._:/@+=-", c));
}

static int check_key(const char *key, struct chronos_error *e)
{
	size_t length = strlen(key);

	if (length == 0 || length > CHRONOS_KEY_MAX)
		return chronos_fail(e, CHRONOS_INVALID,
			"a key has 1 to %d bytes, not %zu", CHRONOS_KEY_MAX, length);
	if (id_is_meant(key))
		return chronos_fail(e, CHRONOS_INVALID,
			"key \"%.64s\" begins like an id, with \"" PARTITION_ID_PREFIX
			"\"",
			key);
	for (const char *p = key; *p; p++) {
		if (!is_key_char(*p))
			return chronos_fail(e, CHRONOS_INVALID,
				"key byte %zu (0x%02x) is none of A-Z a-z 0-9 . _ : / @ "
				"+ = -",
				(size_t)(p - key) + 1, (unsigned char)*p);
	}
	return 0;
}

/* Ids step through all 32-bit numbers in leaps, so that neighbours differ early and a
 * short prefix tells them apart.  0 says "none" in a record: the caller skips it. */
static uint32_t id_of_serial(const struct state *s, uint64_t serial)
{
	return s->header.generation + (uint32_t)serial * 2654435761u;
}

/* ---- what is wanted ---- */

struct want {
	const char *key; /* NULL: none */
	uint64_t key_hash;
	uint64_t devices; /* mask of slots */
	uint32_t hundredths;
	uint32_t owner;
	uint32_t flags;
	uint64_t duration_ns;
};

/* What one walk over the records tells a create. */
struct survey {
	struct partition_record *same_key; /* NULL: none */
	struct partition_record *free;     /* NULL: the table is full */
	uint32_t used;                     /* slots up to the last live one */
	bool id_taken;
	/* Hundredths of wanted devices only: of live partitions, and of the memory of those
	 * that have ended with processes in them. */
	uint32_t sums[CHRONOS_DEVICES_MAX], draining[CHRONOS_DEVICES_MAX];
};

static void survey_live(struct partition_record *p, const struct want *w, uint32_t id,
	struct survey *found)
{
	for (uint64_t left = p->devices & w->devices; left; left &= left - 1)
		found->sums[__builtin_ctzll(left)] += p->memory_hundredths;
	if (w->key && partition_has_key(p, w->key, w->key_hash))
		found->same_key = p;
	if (p->id == id)
		found->id_taken = true;
}

/* False when it is all over: the record can be another's. */
static bool survey_ended(struct chronos *c, struct partition_record *p,
	const struct want *w, uint32_t id, struct survey *found)
{
	if (p->state == PARTITION_FREE)
		return false;
	if (!chronos_share_drains(c, p)) {
		record_commit(&p->state, PARTITION_FREE);
		if (p->joinable)
			chronos_share_remove(c, p->id);
		return false;
	}
	for (uint64_t left = p->devices & w->devices; left; left &= left - 1)
		found->draining[__builtin_ctzll(left)] += p->memory_hundredths;
	found->id_taken |= p->id == id;
	return true;
}

/* Frees what has ended on its way. */
static void survey_records(struct chronos *c, const struct want *w, uint64_t now_ns,
	uint32_t id, struct survey *found)
{
	struct state *s = c->state;
	uint32_t slots = state_slots(s);

	memset(found, 0, sizeof *found);
	for (uint32_t i = 0; i < slots; i++) {
		struct partition_record *p = &s->partitions[i];
		bool live = partition_is_live(p, now_ns);
		if (live)
			survey_live(p, w, id, found);
		if (live || survey_ended(c, p, w, id, found))
			found->used = i + 1;
		else if (!found->free)
			found->free = p;
	}
	if (!found->free && slots < CHRONOS_PARTITIONS_MAX)
		found->free = &s->partitions[slots];
}

static int check_request(
	const struct chronos_request *r, struct want *w, struct chronos_error *e)
{
	uid_t me = getuid();

	if (r->key && check_key(r->key, e) < 0)
		return -1;
	if (r->device_count < 1 || r->device_count > CHRONOS_DEVICES_MAX)
		return chronos_fail(e, CHRONOS_INVALID,
			"a partition is on 1 to %d devices, not %zu", CHRONOS_DEVICES_MAX,
			r->device_count);
	if (r->hundredths < 1 || r->hundredths > CHRONOS_WHOLE)
		return chronos_fail(e, CHRONOS_INVALID,
			"a share is 1 to %d hundredths of a device, not %u",
			CHRONOS_WHOLE, r->hundredths);
	w->owner = r->owner == CHRONOS_OWNER_CALLER ? me : r->owner;
	if (me != 0 && w->owner != me)
		return chronos_fail(e, CHRONOS_DENIED,
			"permission denied: only root can create partitions for other "
			"users");
	w->key = r->key;
	w->key_hash = r->key ? chronos_key_hash(r->key) : 0;
	w->hundredths = r->hundredths;
	w->flags = r->burst ? PARTITION_BURST : 0;
	w->duration_ns = r->duration_ns;
	return 0;
}

static int find_devices(const struct state *s, const struct chronos_request *r,
	uint64_t *devices, struct chronos_error *e)
{
	uint64_t found = 0;

	for (size_t i = 0; i < r->device_count; i++) {
		uint32_t slot = 0;
		if (chronos_device_find(s, r->devices[i], &slot, e) < 0)
			return -1;
		if (found & UINT64_C(1) << slot)
			return chronos_fail(
				e, CHRONOS_INVALID, "device %u is named twice", slot);
		found |= UINT64_C(1) << slot;
	}
	*devices = found;
	return 0;
}

static uint64_t megabytes(const struct device_record *d, uint32_t hundredths)
{
	return chronos_share_bytes(d->memory_bytes, hundredths) >> 20;
}

/* Is there room for all of it? */
static int check_room(const struct state *s, const struct want *w,
	const struct survey *found, struct chronos_error *e)
{
	for (uint64_t left = w->devices; left; left &= left - 1) {
		uint32_t i = (uint32_t)__builtin_ctzll(left);
		const struct device_record *d = &s->devices[i];
		uint32_t draining = found->draining[i];
		uint32_t used = found->sums[i] + draining;

		if (d->state != DEVICE_PRESENT)
			return chronos_fail(e, CHRONOS_NOT_FOUND,
				"device %u (%.*s) is absent", i, (int)sizeof d->uuid - 1,
				d->uuid);
		if (used + w->hundredths <= CHRONOS_WHOLE)
			continue;
		uint32_t room = used < CHRONOS_WHOLE ? CHRONOS_WHOLE - used : 0;
		return chronos_fail(e, CHRONOS_EXHAUSTED,
			"not enough available on device %u: requested %u%% (%llu MB), "
			"available %u%% (%llu MB)%s",
			i, w->hundredths, (unsigned long long)megabytes(d, w->hundredths),
			room, (unsigned long long)megabytes(d, room),
			draining ? "; programs of partitions that have ended still hold "
				   "memory"
				 : "");
	}
	if (!found->free)
		return chronos_fail(e, CHRONOS_EXHAUSTED,
			"the table of %d partitions is full", CHRONOS_PARTITIONS_MAX);
	return 0;
}

static int check_same(
	const struct partition_record *p, const struct want *w, struct chronos_error *e)
{
	if (p->owner != w->owner)
		return chronos_fail(e, CHRONOS_CONFLICT,
			"key %.128s is in use by user %u", w->key, p->owner);
	if (p->devices != w->devices || p->memory_hundredths != w->hundredths)
		return chronos_fail(e, CHRONOS_CONFLICT,
			"key %.128s has partition " PARTITION_ID_PREFIX
			"%08x, with another share or other devices",
			w->key, p->id);
	return 0;
}

static void store_partition(struct state *s, struct partition_record *p,
	const struct want *w, uint64_t now_ns, uint64_t serial)
{
	uint32_t slot = (uint32_t)(p - s->partitions);

	s->header.created = serial;
	p->id = id_of_serial(s, serial);
	p->devices = w->devices;
	p->created_ns = now_ns;
	p->expires_ns = now_ns + w->duration_ns;
	p->memory_hundredths = w->hundredths;
	p->time_hundredths = w->hundredths;
	p->owner = w->owner;
	p->flags = w->flags;
	p->joinable = 0;
	p->key_hash = w->key_hash;
	FAULT_POINT("record half stored");
	memset(p->key, 0, sizeof p->key);
	if (w->key)
		memcpy(p->key, w->key, strlen(w->key));
	/* The walks must reach the slot before anything is in it. */
	if (slot >= s->header.partitions_used)
		record_commit(&s->header.partitions_used, slot + 1);
	FAULT_POINT("before commit");
	record_commit(&p->state, PARTITION_ACTIVE);
	FAULT_POINT("after commit");
}

static int create_locked(struct chronos *c, const struct want *w,
	struct chronos_partition *out, bool *existed, struct chronos_error *e)
{
	struct state *s = c->state;
	uint64_t now_ns = chronos_now_ns();
	uint64_t serial = s->header.created;
	struct survey found;
	uint32_t id;

	do {
		id = id_of_serial(s, ++serial);
		survey_records(c, w, now_ns, id, &found);
	} while (found.id_taken || id == 0);
	record_commit(&s->header.partitions_used, found.used);
	FAULT_POINT("surveyed");

	if (found.same_key) {
		if (check_same(found.same_key, w, e) < 0)
			return -1;
		chronos_partition_show(s, found.same_key, now_ns, out);
		*existed = true;
		return 0;
	}
	if (check_room(s, w, &found, e) < 0)
		return -1;
	store_partition(s, found.free, w, now_ns, serial);
	chronos_partition_show(s, found.free, now_ns, out);
	*existed = false;
	return 0;
}

int chronos_create(struct chronos *c, const struct chronos_request *r,
	struct chronos_partition *out, bool *existed, struct chronos_error *e)
{
	struct want w = { 0 };
	bool old = false;

	if (check_request(r, &w, e) < 0 ||
		chronos_duration_check(r->duration_ns, e) < 0 ||
		chronos_state_lock(c, e) < 0)
		return -1;
	int rc = find_devices(c->state, r, &w.devices, e);
	if (rc == 0)
		rc = create_locked(c, &w, out, &old, e);
	chronos_state_unlock(c);
	if (rc == 0 && existed)
		*existed = old;
	return rc;
}
