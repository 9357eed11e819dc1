/* attach.c - a process joins its partition, and is held to its memory. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "share.h"

#include "error.h"
#include "fault.h"
#include "table.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* How often the clocks are compared: it may have slept meanwhile. */
#define COMPARE_NS UINT64_C(10000000)

/* ---- forks ---- */

/* The life locks are of the open files that the child shares: closing them leaves the
 * locks to the parent alone. */
static void in_child(struct fork_watch *w)
{
	struct chronos_attachment *a =
		(struct chronos_attachment *)((char *)w -
					      offsetof(struct chronos_attachment, forks));

	__atomic_store_n(&a->forked, 1, __ATOMIC_RELEASE);
	pthread_mutex_init(&a->lock, NULL);
	close(a->partition_map.fd);
	close(a->device_map.fd);
	a->partition_map.fd = a->device_map.fd = -1;
}

static bool is_forked(const struct chronos_attachment *a)
{
	return __atomic_load_n(&a->forked, __ATOMIC_ACQUIRE);
}

/* ---- joining ---- */

/* Nothing is half done in these files after a death: what is summed up is summed anew. */
static int lock_file(const struct share_map *m, struct chronos_error *e)
{
	struct share_header *h = m->at;

	if (chronos_lock_take(&h->lock, &m->me) == ETIMEDOUT)
		return chronos_fail(e, CHRONOS_TIMEOUT,
			"another process of the partition holds its lock");
	return 0;
}

static void unlock_file(const struct share_map *m)
{
	struct share_header *h = m->at;

	chronos_lock_give(&h->lock);
}

/* Forget the clients that died.  File locked. */
static void reap(struct chronos_attachment *a)
{
	struct partition_file *p = a->p;

	for (uint32_t i = 0; i < SHARE_CLIENTS_MAX; i++) {
		struct memory_client *k = &p->clients[i];
		if (k->state == CLIENT_FREE || i == a->p_client ||
			chronos_share_is_live(a->partition_map.fd, i))
			continue;
		record_commit(&k->state, CLIENT_FREE);
	}
}

/* A slot that nobody has; SHARE_CLIENTS_MAX when there is none.  File locked. */
static uint32_t find_slot(const struct chronos_attachment *a, uint32_t from, uint32_t to)
{
	for (uint32_t i = from; i < to; i++) {
		if (a->p->clients[i].state == CLIENT_FREE &&
			chronos_share_live(a->partition_map.fd, i))
			return i;
	}
	return SHARE_CLIENTS_MAX;
}

/* To look after each of the others takes long where they are thousands: then only now and
 * then.  File locked. */
static uint32_t take_slot(struct chronos_attachment *a)
{
	uint32_t used = a->p->clients_used;

	if (used > SHARE_CLIENTS_MAX)
		used = SHARE_CLIENTS_MAX;
	if (used < SHARE_REAP_EVERY || used % SHARE_REAP_EVERY == 0)
		reap(a);
	uint32_t i = find_slot(a, 0, used);
	return i < SHARE_CLIENTS_MAX ? i : find_slot(a, used, SHARE_CLIENTS_MAX);
}

static int join_memory(struct chronos_attachment *a, struct chronos_error *e)
{
	struct partition_file *p = a->p;

	if (lock_file(&a->partition_map, e) < 0)
		return -1;
	a->p_client = SHARE_CLIENTS_MAX;
	uint32_t i = take_slot(a);
	if (i < SHARE_CLIENTS_MAX) {
		struct memory_client *k = &p->clients[i];
		k->used_bytes = 0;
		k->device = a->device;
		k->inflight = k->waiting = 0;
		k->settled_ns = 0;
		if (i >= p->clients_used)
			p->clients_used = i + 1;
		FAULT_POINT("before joined");
		record_commit(&k->state, CLIENT_JOINED);
		FAULT_POINT("after joined");
		a->p_client = i;
		a->inflight = &k->inflight;
		a->settled_ns = &k->settled_ns;
	}
	unlock_file(&a->partition_map);
	if (a->p_client == SHARE_CLIENTS_MAX)
		return chronos_fail(e, CHRONOS_EXHAUSTED,
			"the partition has %d processes already", SHARE_CLIENTS_MAX);
	chronos_holder_use_byte(&a->partition_map.me, a->p_client);
	return 0;
}

static int join_device(struct chronos_attachment *a, struct chronos_error *e)
{
	if (a->arbitrated)
		return chronos_ask_seat(a, e);
	if (lock_file(&a->device_map, e) < 0)
		return -1;
	bool retired = a->d->retired;
	bool sits = !retired && chronos_lease_sit(a, e);
	unlock_file(&a->device_map);
	if (sits)
		chronos_holder_use_byte(&a->device_map.me, a->d_client);
	if (retired)
		return chronos_fail(e, CHRONOS_UNAVAILABLE,
			"an arbiter has just taken over device %u: join again",
			a->device);
	return sits ? 0 : -1;
}

static int ended(struct chronos_error *e)
{
	return chronos_fail(
		e, CHRONOS_NOT_FOUND, "the partition has ended: released or expired");
}

/* When it ends, 0: it has.  In the file of the partition the end comes at once, in the
 * arbiter's it is true. */
static uint64_t end_of(const struct chronos_attachment *a)
{
	uint64_t end = __atomic_load_n(&a->p->expires_ns, __ATOMIC_ACQUIRE);

	if (!a->seat)
		return end;
	if (__atomic_load_n(&a->seat->created_ns, __ATOMIC_ACQUIRE) != a->created_ns)
		return 0;
	uint64_t granted = __atomic_load_n(&a->seat->expires_ns, __ATOMIC_ACQUIRE);
	return granted < end ? granted : end;
}

bool chronos_attachment_has_ended(const struct chronos_attachment *a, uint64_t now_ns)
{
	return now_ns >= end_of(a);
}

/* It is not later than that now, which is told without a look at the right clock. */
static uint64_t latest_now_ns(struct chronos_attachment *a)
{
	uint64_t ticks_ns = chronos_ticks_ns();

	if (ticks_ns >= __atomic_load_n(&a->compared_ns, __ATOMIC_ACQUIRE) + COMPARE_NS) {
		__atomic_store_n(
			&a->ahead_ns, chronos_now_ns() - ticks_ns, __ATOMIC_RELAXED);
		__atomic_store_n(&a->compared_ns, ticks_ns, __ATOMIC_RELEASE);
	}
	return ticks_ns + __atomic_load_n(&a->ahead_ns, __ATOMIC_RELAXED) +
	       2 * CHRONOS_TICK_MAX_NS;
}

static bool has_ended(struct chronos_attachment *a)
{
	uint64_t end_ns = end_of(a);

	return end_ns <= latest_now_ns(a) && chronos_now_ns() >= end_ns;
}

/* Which of the two modes it is, the file itself says. */
static int open_device(struct chronos_attachment *a, int dirfd, const char *name,
	struct chronos_error *e)
{
	const size_t bytes = sizeof(struct device_file);

	if (chronos_share_map(dirfd, name, bytes, false, &a->device_map, e) < 0)
		return -1;
	a->d = a->device_map.at;
	a->arbitrated = a->d->mode == DEVICE_ARBITRATED;
	if (a->arbitrated)
		return 0;
	chronos_share_unmap(&a->device_map);
	a->d = NULL;
	if (chronos_share_map(dirfd, name, bytes, true, &a->device_map, e) < 0)
		return -1;
	a->d = a->device_map.at;
	if (a->d->mode == DEVICE_COOPERATIVE)
		return 0;
	return chronos_fail(
		e, CHRONOS_UNAVAILABLE, "%s has just changed: join again", name);
}

static int open_files(
	struct chronos_attachment *a, int dirfd, const char *id, struct chronos_error *e)
{
	char name[40];

	snprintf(name, sizeof name, PARTITION_FILE_NAME "%.15s", id);
	if (chronos_share_map(dirfd, name, sizeof(struct partition_file), true,
		    &a->partition_map, e) < 0)
		return -1;
	a->p = a->partition_map.at;
	a->created_ns = a->p->created_ns;
	a->hundredths = a->p->hundredths;
	if (!(a->p->devices & UINT64_C(1) << a->device))
		return chronos_fail(e, CHRONOS_NOT_FOUND,
			"the partition has no part of device %u", a->device);
	snprintf(name, sizeof name, DEVICE_FILE_NAME "%u", a->device);
	return open_device(a, dirfd, name, e);
}

/* In a job there is no state, only the files: then the name must be the whole id. */
static int open_by_name(struct chronos_attachment *a, const struct chronos_joining *j,
	struct chronos_error *e)
{
	const char *dir = j->dir ? j->dir : secure_getenv("CHRONOS_DIR");
	struct chronos_partition p;

	if (!dir || !*dir)
		dir = CHRONOS_DEFAULT_DIR;
	if (chronos_clock_check(e) < 0)
		return -1;
	int dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dirfd < 0)
		return chronos_fail_sys(e, "open %.150s", dir);
	bool has_state = faccessat(dirfd, STATE_FILE_NAME, R_OK | W_OK, 0) == 0;
	int rc = 0;
	if (has_state) {
		struct chronos *c = chronos_open(dir, e);
		rc = c ? chronos_prepare(c, j->name, &p, e) : -1;
		chronos_close(c);
	} else {
		snprintf(p.id, sizeof p.id, "%s", j->name);
	}
	if (rc == 0)
		rc = open_files(a, dirfd, p.id, e);
	close(dirfd);
	return rc;
}

struct chronos_attachment *chronos_attach(
	const struct chronos_joining *j, struct chronos_error *e)
{
	struct chronos_attachment *a = calloc(1, sizeof *a);

	if (!a) {
		errno = ENOMEM;
		chronos_fail_sys(e, "join a partition");
		return NULL;
	}
	a->partition_map.fd = a->device_map.fd = -1;
	a->device = j->device;
	a->drain = j->drain;
	a->arg = j->arg;
	a->p_client = a->d_client = SHARE_CLIENTS_MAX;
	pthread_mutex_init(&a->lock, NULL);
	chronos_forks_watch(&a->forks, in_child);
	int rc;
	if (j->device >= CHRONOS_DEVICES_MAX || !j->drain || !j->name)
		rc = chronos_fail(e, CHRONOS_INVALID,
			"to join takes a name, a device and how to drain it");
	else
		rc = open_by_name(a, j, e);
	if (rc == 0 && has_ended(a))
		rc = ended(e);
	if (rc == 0)
		rc = join_memory(a, e);
	if (rc == 0)
		rc = join_device(a, e);
	if (rc < 0) {
		chronos_detach(a);
		return NULL;
	}
	return a;
}

void chronos_detach(struct chronos_attachment *a)
{
	if (!a)
		return;
	chronos_forks_unwatch(&a->forks);
	if (!is_forked(a)) {
		if (a->seat || a->d_client < SHARE_CLIENTS_MAX)
			chronos_lease_leave(a);
		if (a->p && a->p_client < SHARE_CLIENTS_MAX)
			record_commit(&a->p->clients[a->p_client].state, CLIENT_FREE);
	}
	chronos_share_unmap(&a->partition_map);
	chronos_share_unmap(&a->device_map);
	pthread_mutex_destroy(&a->lock);
	free(a);
}

/* ---- memory ---- */

/* Bytes of all processes.  File locked, or only to look. */
static uint64_t sum_used(const struct chronos_attachment *a)
{
	const struct partition_file *p = a->p;
	uint32_t slots = p->clients_used;
	uint64_t sum = 0;

	for (uint32_t i = 0; i < slots && i < SHARE_CLIENTS_MAX; i++) {
		const struct memory_client *k = &p->clients[i];
		uint64_t used = __atomic_load_n(&k->used_bytes, __ATOMIC_RELAXED);
		if (k->state == CLIENT_JOINED && k->device == a->device &&
			__builtin_add_overflow(sum, used, &sum))
			return UINT64_MAX;
	}
	return sum;
}

uint32_t chronos_hundredths(const struct chronos_attachment *a)
{
	return a->hundredths;
}

uint64_t chronos_quota(const struct chronos_attachment *a)
{
	return a->seat ? a->seat->quota_bytes : a->p->quota_bytes[a->device];
}

uint64_t chronos_used(struct chronos_attachment *a)
{
	return sum_used(a);
}

static bool has_room(const struct chronos_attachment *a, uint64_t bytes)
{
	uint64_t used = sum_used(a), quota = chronos_quota(a);

	return used <= quota && bytes <= quota - used;
}

/* File locked. */
static int charge(struct chronos_attachment *a, uint64_t bytes, struct chronos_error *e)
{
	if (!has_room(a, bytes)) {
		/* The dead have no use for theirs. */
		reap(a);
		if (!has_room(a, bytes)) {
			__atomic_fetch_add(
				&a->p->refusals[a->device], 1, __ATOMIC_RELAXED);
			return chronos_fail(e, CHRONOS_EXHAUSTED,
				"%llu bytes are more than what is left of the quota of "
				"%llu",
				(unsigned long long)bytes,
				(unsigned long long)chronos_quota(a));
		}
	}
	FAULT_POINT("before charge");
	__atomic_fetch_add(
		&a->p->clients[a->p_client].used_bytes, bytes, __ATOMIC_RELAXED);
	FAULT_POINT("after charge");
	return 0;
}

bool chronos_has_ended(struct chronos_attachment *a)
{
	return is_forked(a) || has_ended(a);
}

int chronos_charge(struct chronos_attachment *a, uint64_t bytes, struct chronos_error *e)
{
	if (is_forked(a))
		return chronos_fail(
			e, CHRONOS_NOT_FOUND, "a forked child must join anew");
	if (has_ended(a))
		return ended(e);
	if (lock_file(&a->partition_map, e) < 0)
		return -1;
	int rc = charge(a, bytes, e);
	unlock_file(&a->partition_map);
	return rc;
}

void chronos_uncharge(struct chronos_attachment *a, uint64_t bytes)
{
	if (!is_forked(a))
		__atomic_fetch_sub(
			&a->p->clients[a->p_client].used_bytes, bytes, __ATOMIC_RELAXED);
}
