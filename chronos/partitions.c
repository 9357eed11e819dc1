/* partitions.c - find, show, renew, release and list partitions. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "table.h"

#include "error.h"
#include "fault.h"
#include "share.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* FNV-1a, made never 0: 0 says "no key" in a record. */
uint64_t chronos_key_hash(const char *key)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (; *key; key++)
		hash = (hash ^ (unsigned char)*key) * UINT64_C(0x100000001b3);
	return hash ? hash : 1;
}

int chronos_duration_check(uint64_t duration_ns, struct chronos_error *e)
{
	if (duration_ns < 1 || duration_ns > CHRONOS_DURATION_MAX_NS)
		return chronos_fail(e, CHRONOS_INVALID,
			"a duration is 1 ns to %llu s, not %llu ns",
			(unsigned long long)(CHRONOS_DURATION_MAX_NS / 1000000000),
			(unsigned long long)duration_ns);
	return 0;
}

/* ---- looking up ---- */

struct id_pattern {
	uint32_t bits; /* the digits given, moved to the top */
	uint32_t mask;
};

static bool read_id(const char *name, struct id_pattern *pattern)
{
	const char *digits = name + sizeof PARTITION_ID_PREFIX - 1;
	size_t n = strspn(digits, "0123456789abcdef");

	if (n < 1 || n > 8 || digits[n])
		return false;
	unsigned shift = 32 - 4 * (unsigned)n;
	pattern->bits = (uint32_t)strtoul(digits, NULL, 16) << shift;
	pattern->mask = UINT32_MAX << shift;
	return true;
}

static int not_found(const char *name, struct chronos_error *e)
{
	return chronos_fail(e, CHRONOS_NOT_FOUND,
		"partition not found, or already released or expired: %.128s", name);
}

static int find_id(struct state *s, const char *name, uint64_t now_ns,
	struct partition_record **found, struct chronos_error *e)
{
	struct partition_record *match = NULL;
	struct id_pattern pattern;
	unsigned matches = 0;

	if (!read_id(name, &pattern))
		return chronos_fail(e, CHRONOS_INVALID,
			"\"%.64s\" is not an id: \"" PARTITION_ID_PREFIX
			"\" and 1 to 8 digits of 0-9 a-f",
			name);
	for (uint32_t i = 0; i < state_slots(s); i++) {
		struct partition_record *p = &s->partitions[i];
		if (!partition_is_live(p, now_ns) ||
			(p->id & pattern.mask) != pattern.bits)
			continue;
		match = p;
		matches++;
	}
	if (matches == 0)
		return not_found(name, e);
	if (matches > 1)
		return chronos_fail(e, CHRONOS_CONFLICT,
			"%.64s begins the ids of %u partitions", name, matches);
	*found = match;
	return 0;
}

static int find_named(struct state *s, const char *name, uint64_t now_ns,
	struct partition_record **found, struct chronos_error *e)
{
	if (id_is_meant(name))
		return find_id(s, name, now_ns, found, e);

	uint64_t hash = chronos_key_hash(name);
	for (uint32_t i = 0; i < state_slots(s); i++) {
		struct partition_record *p = &s->partitions[i];
		if (partition_is_live(p, now_ns) && partition_has_key(p, name, hash)) {
			*found = p;
			return 0;
		}
	}
	return not_found(name, e);
}

int chronos_record_find_own(struct state *s, const char *name, uint64_t now_ns,
	struct partition_record **found, struct chronos_error *e)
{
	struct partition_record *p = NULL;
	uid_t me = getuid();

	if (find_named(s, name, now_ns, &p, e) < 0)
		return -1;
	if (me != 0 && me != p->owner)
		return chronos_fail(e, CHRONOS_DENIED,
			"permission denied: partition " PARTITION_ID_PREFIX
			"%08x is owned by user %u",
			p->id, p->owner);
	*found = p;
	return 0;
}

void chronos_partition_show(const struct state *s, const struct partition_record *p,
	uint64_t now_ns, struct chronos_partition *out)
{
	memset(out, 0, sizeof *out);
	snprintf(out->id, sizeof out->id, PARTITION_ID_PREFIX "%08x", p->id);
	memcpy(out->key, p->key, strnlen(p->key, sizeof out->key - 1));
	out->owner = p->owner;
	out->hundredths = p->memory_hundredths;
	out->burst = p->flags & PARTITION_BURST;
	out->dmem = p->flags & PARTITION_DMEM;
	out->created_ns = p->created_ns;
	out->expires_ns = p->expires_ns;
	out->left_ns = p->expires_ns > now_ns ? p->expires_ns - now_ns : 0;
	for (uint64_t left = p->devices; left; left &= left - 1) {
		uint32_t d = (uint32_t)__builtin_ctzll(left);
		out->devices[out->device_count++] = d;
		out->memory_bytes += chronos_share_bytes(
			s->devices[d].memory_bytes, p->memory_hundredths);
	}
}

/* ---- renew, release, find ---- */

/* Who dies half-way leaves no end in the partition's file that is later than the books':
 * they would give the share to another meanwhile.  An arbiter looks at each write to the
 * file, so the last one comes after the books'. */
static void move_end(struct chronos *c, struct partition_record *p, uint64_t end_ns)
{
	if (p->joinable && end_ns < p->expires_ns)
		chronos_share_move_end(c, p->id, end_ns);
	FAULT_POINT("end moved");
	__atomic_store_n(&p->expires_ns, end_ns, __ATOMIC_RELEASE);
	FAULT_POINT("end stored");
	if (p->joinable)
		chronos_share_move_end(c, p->id, end_ns);
}

int chronos_renew(struct chronos *c, const char *name, uint64_t duration_ns,
	struct chronos_partition *out, struct chronos_error *e)
{
	struct partition_record *p = NULL;

	if (chronos_duration_check(duration_ns, e) < 0 || chronos_state_lock(c, e) < 0)
		return -1;
	uint64_t now_ns = chronos_now_ns();
	int rc = chronos_record_find_own(c->state, name, now_ns, &p, e);
	if (p) {
		FAULT_POINT("before renewal");
		move_end(c, p, now_ns + duration_ns);
		if (out)
			chronos_partition_show(c->state, p, now_ns, out);
	}
	chronos_state_unlock(c);
	return rc;
}

/* Its time is free at once; its memory when its processes have ended, until when the record
 * stays, expired. */
static void end_record(struct chronos *c, struct partition_record *p, uint64_t now_ns)
{
	if (p->joinable)
		chronos_share_move_end(c, p->id, 0);
	FAULT_POINT("released");
	if (!chronos_share_drains(c, p)) {
		record_commit(&p->state, PARTITION_FREE);
		FAULT_POINT("freed");
		if (p->joinable)
			chronos_share_remove(c, p->id);
		return;
	}
	__atomic_store_n(&p->expires_ns, now_ns, __ATOMIC_RELEASE);
	FAULT_POINT("draining");
	/* Once more, so that an arbiter looks after the record has ended. */
	chronos_share_move_end(c, p->id, 0);
}

int chronos_release(struct chronos *c, const char *name, struct chronos_error *e)
{
	struct partition_record *p = NULL;

	if (chronos_state_lock(c, e) < 0)
		return -1;
	uint64_t now_ns = chronos_now_ns();
	int rc = chronos_record_find_own(c->state, name, now_ns, &p, e);
	if (p) {
		FAULT_POINT("before release");
		end_record(c, p, now_ns);
		FAULT_POINT("after release");
	} else {
		/* It may have ended while it had processes, which are gone by now. */
		chronos_share_sweep(c, now_ns);
	}
	chronos_state_unlock(c);
	return rc;
}

int chronos_note_dmem(struct chronos *c, const char *name, struct chronos_error *e)
{
	struct partition_record *p = NULL;

	if (chronos_state_lock(c, e) < 0)
		return -1;
	int rc = chronos_record_find_own(c->state, name, chronos_now_ns(), &p, e);
	if (p)
		__atomic_store_n(&p->flags, p->flags | PARTITION_DMEM, __ATOMIC_RELAXED);
	chronos_state_unlock(c);
	return rc;
}

int chronos_find(struct chronos *c, const char *name, struct chronos_partition *out,
	struct chronos_error *e)
{
	struct partition_record *p = NULL;

	if (chronos_state_lock(c, e) < 0)
		return -1;
	uint64_t now_ns = chronos_now_ns();
	int rc = find_named(c->state, name, now_ns, &p, e);
	if (p)
		chronos_partition_show(c->state, p, now_ns, out);
	chronos_state_unlock(c);
	return rc;
}

/* ---- list and stats ---- */

/* Shows at most `room` of the live partitions, and says how many there are. */
static size_t show_live(const struct state *s, struct chronos_partition *out, size_t room)
{
	uint64_t now_ns = chronos_now_ns();
	size_t n = 0;

	for (uint32_t i = 0; i < state_slots(s); i++) {
		const struct partition_record *p = &s->partitions[i];
		if (!partition_is_live(p, now_ns))
			continue;
		if (n < room)
			chronos_partition_show(s, p, now_ns, &out[n]);
		n++;
	}
	return n;
}

static int by_age(const void *a, const void *b)
{
	const struct chronos_partition *x = a, *y = b;

	if (x->created_ns != y->created_ns)
		return x->created_ns < y->created_ns ? -1 : 1;
	return strcmp(x->id, y->id);
}

int chronos_list(struct chronos *c, struct chronos_partition **out, size_t *count,
	struct chronos_error *e)
{
	struct chronos_partition *list = NULL;
	size_t room = 0, n;

	/* Memory is got without the lock; look again when it was not enough. */
	for (;;) {
		if (chronos_state_lock(c, e) < 0) {
			free(list);
			return -1;
		}
		n = show_live(c->state, list, room);
		chronos_state_unlock(c);
		if (n <= room)
			break;
		free(list);
		room = n + 16;
		list = malloc(room * sizeof *list);
		if (!list) {
			errno = ENOMEM;
			return chronos_fail_sys(e, "list %zu partitions", n);
		}
	}
	if (n == 0) {
		free(list);
		list = NULL;
	} else {
		qsort(list, n, sizeof *list, by_age);
	}
	*out = list;
	*count = n;
	return 0;
}

void chronos_partitions_free(struct chronos_partition *list)
{
	free(list);
}

const char *chronos_enforcement(const struct chronos *c)
{
	(void)c;
	return "off";
}

int chronos_stats(struct chronos *c, struct chronos_stats *out, struct chronos_error *e)
{
	int fits = (int)sizeof out->dir - 4;

	if (chronos_state_lock(c, e) < 0)
		return -1;
	memset(out, 0, sizeof *out);
	out->generation = c->state->header.generation;
	out->created = c->state->header.created;
	out->partitions = (uint32_t)show_live(c->state, NULL, 0);
	for (size_t i = 0; i < CHRONOS_DEVICES_MAX; i++)
		out->devices += c->state->devices[i].state != DEVICE_NONE;
	chronos_state_unlock(c);
	snprintf(out->dir, sizeof out->dir, "%.*s%s", fits, c->dir,
		strlen(c->dir) > (size_t)fits ? "..." : "");
	out->enforcement = chronos_enforcement(c);
	return 0;
}
