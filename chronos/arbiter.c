/* arbiter.c - gives out the leases of a directory's devices to programs it need not trust. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One process a directory, elected by a lock on a file that only the owner of the state
 * may open.  It alone writes the arbitrated `device-N`, and keeps all that it must not
 * forget there: who is started after a kill goes on with the lease and the accounts as it
 * finds them.  What a partition may have comes from the state.  What its processes want
 * comes from their `partition-ID`, which may say anything: it is read, never mapped, and
 * an index from it is bounded.  A lease that is held is charged for as long as it is held,
 * whatever its holder says it used.
 *
 * A write to such a file wakes the arbiter through inotify, which follows the file
 * wherever it is mounted; who writes too often is not listened to for a while.
 *
 * Thread: one, the caller's.
 */
#include "account.h"

#include "amount.h"
#include "error.h"
#include "fault.h"
#include "table.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ARBITER_FILE_NAME "arbiter"
#define SOON_NS           UINT64_C(20000)     /* no look follows another sooner */
#define LATE_POLL_NS      UINT64_C(10000000)  /* for the end of what was revoked */
#define WINDOW_NS         UINT64_C(10000000)  /* work for one partition is counted in */
#define MUTE_NS           UINT64_C(100000000) /* who made too much is left alone for */
#define SEARCH_MAX_NS     UINT64_C(4000000)   /* of looking for its locks, a window */
#define SEARCH_REST       UINT64_C(20) /* times what was too much: left alone for */

enum {
	WORK_MAX =
		400, /* rings, and records read by the dozen, of one partition a window */
	FALSE_MAX = 16, /* askers in a row who are not there, before all are forgotten */
	WD_BUCKETS = 1024,
	NO_SEAT = 0xffff,
};

/* What a process of a partition has said, and what is held against it. */
struct asker {
	uint32_t device;
	bool waiting;
	uint64_t time_ns;
	uint64_t
		late_since_ns; /* its lease was revoked then, with work in flight; 0: no */
};

/* A partition whose processes may join. */
struct tenant {
	uint32_t id;
	uint32_t record; /* slot in the state */
	uint64_t created_ns;
	uint64_t devices;
	int fd; /* of its file: to read it, to cut it back, to see its life locks */
	int wd; /* -1: not listened to */
	bool rang;
	uint32_t work;
	uint32_t false_askers; /* since one was true */
	uint64_t window_ns;
	uint64_t searched_ns; /* since search_ns */
	uint64_t search_ns;
	uint64_t muted_until_ns; /* 0: listened to */
	uint16_t seats[CHRONOS_DEVICES_MAX];
	struct asker *askers;
	uint32_t count, room;
	struct tenant *next, *next_wd;
};

struct device {
	struct share_map map;
	struct device_file *d; /* NULL: none, or not ours */
	struct tenant *tenants[SHARE_SEATS_MAX];
	uint64_t look_ns; /* when next; UINT64_MAX: when something happens */
};

struct chronos_arbiter {
	struct chronos *c;
	int lock_fd, inotify_fd;
	int dir_wd;
	struct device devices[CHRONOS_DEVICES_MAX];
	struct tenant *tenants;
	struct tenant *by_wd[WD_BUCKETS];
	uint32_t count;
	uint32_t muted;
	bool rang;       /* a tenant did */
	bool serving;    /* it was elected, and has the devices */
	uint64_t end_ns; /* the next end of a tenant */
	struct memory_client read[SHARE_CLIENTS_MAX];
};

static uint64_t load(const uint64_t *word)
{
	return __atomic_load_n(word, __ATOMIC_SEQ_CST);
}

static void store(uint64_t *word, uint64_t value)
{
	__atomic_store_n(word, value, __ATOMIC_SEQ_CST);
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static void wake(uint32_t *word)
{
	__atomic_fetch_add(word, 1, __ATOMIC_SEQ_CST);
	syscall(SYS_futex, word, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

/* The locks on its file. */
enum {
	LOCK_ELECTED, /* there is one, which may still fail to get the devices */
	LOCK_SERVES,  /* it has them */
};

static bool holds(int dirfd, uint32_t lock)
{
	int fd = chronos_share_open(dirfd, ARBITER_FILE_NAME, O_RDONLY);

	if (fd < 0)
		return false;
	bool held = chronos_share_is_live(fd, lock);
	close(fd);
	return held;
}

bool chronos_arbiter_lives(int dirfd)
{
	return holds(dirfd, LOCK_ELECTED);
}

bool chronos_arbiter_serves(const struct chronos *c)
{
	return holds(c->dirfd, LOCK_SERVES);
}

/* ---- what its processes say ---- */

/* Its turns wait until it is listened to again. */
static bool is_tiresome(const struct tenant *t)
{
	return t->searched_ns > SEARCH_MAX_NS;
}

/* The kernel searches all locks of the file, of which whoever has it open may take any
 * number: for hundreds of thousands it needs milliseconds. */
static bool lives(struct tenant *t, uint32_t i)
{
	uint64_t now_ns = chronos_now_ns(), before_ns = chronos_thread_ns();

	if (!is_tiresome(t) && now_ns >= t->search_ns + WINDOW_NS) {
		t->search_ns = now_ns;
		t->searched_ns = 0;
	}
	bool live = chronos_share_is_live(t->fd, i);
	t->searched_ns += chronos_thread_ns() - before_ns;
	return live;
}

/* False when it is not there: the file was cut off. */
static bool read_asker(const struct tenant *t, uint32_t i, struct memory_client *k)
{
	off_t at = (off_t)(offsetof(struct partition_file, clients) + i * sizeof *k);

	return pread(t->fd, k, sizeof *k, at) == (ssize_t)sizeof *k &&
	       k->state == CLIENT_JOINED;
}

static bool make_room(struct tenant *t, uint32_t count)
{
	if (count <= t->room)
		return true;
	uint32_t room = t->room ? t->room : 4;
	while (room < count)
		room *= 2;
	struct asker *more = realloc(t->askers, room * sizeof *more);
	if (!more)
		return false;
	memset(more + t->room, 0, (room - t->room) * sizeof *more);
	t->askers = more;
	t->room = room;
	return true;
}

static void look_soon(struct chronos_arbiter *a, const struct tenant *t)
{
	for (uint64_t left = t->devices; left; left &= left - 1)
		a->devices[__builtin_ctzll(left)].look_ns = 0;
}

/* Whoever may write the file could fill the file system of all the others by it. */
static void cut_back(const struct tenant *t)
{
	const off_t most = sizeof(struct partition_file);
	struct stat st;

	if (fstat(t->fd, &st) == 0 && st.st_size > most)
		(void)!ftruncate(t->fd, most);
}

/* Until when it had work in flight, of the span since the last look: as it says itself,
 * which moves no more than that span. */
static uint64_t busy_until(
	const struct memory_client *k, uint64_t since_ns, uint64_t now_ns)
{
	if (k->inflight > 0)
		return now_ns;
	return min_u64(now_ns, max_u64(since_ns, k->settled_ns));
}

/* `k` is what it says, NULL when it has died.  True: it is still late. */
static bool charge_late(struct device *dev, struct tenant *t, uint32_t seat, uint32_t i,
	const struct memory_client *k, uint64_t now_ns)
{
	struct asker *asker = &t->askers[i];
	struct seat *s = &dev->d->seats[seat];
	uint64_t since_ns = asker->late_since_ns;
	uint64_t until_ns = k ? busy_until(k, since_ns, now_ns) : now_ns;

	store(&s->time_ns, s->time_ns + until_ns - since_ns);
	account_charge(s, until_ns - since_ns, false, now_ns);
	account_overrun(s, since_ns, until_ns, 0);
	bool late = k && k->inflight > 0 && k->device == asker->device;
	asker->late_since_ns = late ? now_ns : 0;
	return late;
}

/* What a process wants from now on.  Of another device than that on which it is late it
 * can only want something as another process, or by a lie that it might as well tell of
 * its work in flight: it is done there. */
static void hear_asker(struct chronos_arbiter *a, struct tenant *t, uint32_t i)
{
	const struct memory_client *k = &a->read[i];
	struct asker *asker = &t->askers[i];
	struct device *dev = &a->devices[asker->device];
	uint32_t seat = t->seats[asker->device];

	asker->waiting = k->state == CLIENT_JOINED && k->waiting &&
			 k->device < CHRONOS_DEVICES_MAX;
	if (!asker->waiting)
		return;
	if (asker->late_since_ns && k->device != asker->device && dev->d &&
		seat != NO_SEAT)
		charge_late(dev, t, seat, i, k, chronos_now_ns());
	asker->device = k->device;
	dev = &a->devices[asker->device];
	seat = t->seats[asker->device];
	/* Who comes after a pause, or is new, is not owed the turns that others had. */
	if (dev->d && seat != NO_SEAT)
		asker->time_ns = max_u64(asker->time_ns, dev->d->seats[seat].served_ns);
}

/* The arbiter before us took the lease from a process with work in flight, and did not
 * live to see the end of it: who has some, and no lease, is late since it looked last. */
static void find_late(struct chronos_arbiter *a, struct tenant *t, uint32_t i)
{
	const struct memory_client *k = &a->read[i];
	uint64_t now_ns = chronos_now_ns();

	if (k->state != CLIENT_JOINED || !k->inflight || k->device >= CHRONOS_DEVICES_MAX)
		return;
	const struct device_file *d = a->devices[k->device].d;
	uint32_t seat = t->seats[k->device];
	if (!d || seat == NO_SEAT)
		return;
	uint64_t lease = load(&d->lease), seen_ns = load(&d->seen_ns);
	if (lease && lease_who(lease) == lease_who(lease_word(0, seat, i)))
		return;
	t->askers[i].device = k->device;
	/* Nobody can have launched since long without an arbiter. */
	t->askers[i].late_since_ns =
		min_u64(now_ns, max_u64(seen_ns, now_ns - LEASE_ORPHAN_NS));
}

/* Read what all its processes want. */
static void listen_to(struct chronos_arbiter *a, struct tenant *t)
{
	uint32_t used = 0;

	cut_back(t);
	if (pread(t->fd, &used, sizeof used,
		    offsetof(struct partition_file, clients_used)) !=
		(ssize_t)sizeof used)
		used = 0;
	if (used > SHARE_CLIENTS_MAX)
		used = SHARE_CLIENTS_MAX;
	ssize_t n = pread(t->fd, a->read, used * sizeof *a->read,
		offsetof(struct partition_file, clients));
	used = n > 0 ? (uint32_t)((size_t)n / sizeof *a->read) : 0;
	if (!make_room(t, used))
		used = t->room;
	for (uint32_t i = 0; i < used; i++) {
		hear_asker(a, t, i);
		if (!a->serving)
			find_late(a, t, i);
	}
	t->count = used;
	t->work += used / 256;
	t->rang = false;
	look_soon(a, t);
}

/* ---- seats ---- */

static uint64_t quota_of(
	const struct chronos_arbiter *a, const struct tenant *t, uint32_t i)
{
	return chronos_share_bytes(a->c->state->devices[i].memory_bytes,
		a->c->state->partitions[t->record].memory_hundredths);
}

/* The partition's seat of before, or an empty one. */
static uint32_t find_seat(const struct device *dev, const struct tenant *t)
{
	uint32_t empty = NO_SEAT;

	for (uint32_t i = 0; i < SHARE_SEATS_MAX; i++) {
		const struct seat *s = &dev->d->seats[i];
		if (s->created_ns == t->created_ns && s->id == t->id)
			return i;
		if (empty == NO_SEAT && !s->created_ns)
			empty = i;
	}
	return empty;
}

/* created_ns is stored last: then the seat is there for all to see. */
static void sit(
	struct chronos_arbiter *a, struct tenant *t, uint32_t device, uint64_t now_ns)
{
	const struct partition_record *r = &a->c->state->partitions[t->record];
	struct device *dev = &a->devices[device];
	uint32_t i = find_seat(dev, t);

	if (i == NO_SEAT)
		return;
	struct seat *s = &dev->d->seats[i];
	t->seats[device] = (uint16_t)i;
	dev->tenants[i] = t;
	if (s->created_ns)
		return;
	uint32_t turns = s->turns;
	*s = (struct seat){ .id = t->id,
		.hundredths = r->time_hundredths,
		.flags = r->flags,
		.quota_bytes = quota_of(a, t, device),
		.expires_ns = r->expires_ns,
		.turns = turns };
	account_open(s, now_ns);
	FAULT_POINT("before seat");
	store(&s->created_ns, t->created_ns);
	wake(&dev->d->changes);
}

static void clear_lease(struct device *dev)
{
	store(&dev->d->lease, 0);
	dev->look_ns = 0;
}

static uint32_t holder_seat(uint64_t lease)
{
	return lease_who(lease) >> 12;
}

static void leave(struct device *dev, uint32_t seat)
{
	struct seat *s = &dev->d->seats[seat];
	uint64_t lease = load(&dev->d->lease);

	store(&s->expires_ns, 0);
	FAULT_POINT("before seat left");
	store(&s->created_ns, 0);
	if (lease && holder_seat(lease) == seat)
		clear_lease(dev);
	dev->tenants[seat] = NULL;
	wake(&s->turns);
}

/* ---- tenants ---- */

static struct tenant **wd_bucket(struct chronos_arbiter *a, int wd)
{
	return &a->by_wd[(uint32_t)wd % WD_BUCKETS];
}

static struct tenant *tenant_of_wd(struct chronos_arbiter *a, int wd)
{
	struct tenant *t = *wd_bucket(a, wd);

	while (t && t->wd != wd)
		t = t->next_wd;
	return t;
}

/* By the file that is open, which may have no name any more. */
static void hear(struct chronos_arbiter *a, struct tenant *t)
{
	char path[40];

	snprintf(path, sizeof path, "/proc/self/fd/%d", t->fd);
	t->wd = inotify_add_watch(a->inotify_fd, path, IN_MODIFY);
	if (t->wd < 0)
		return;
	t->next_wd = *wd_bucket(a, t->wd);
	*wd_bucket(a, t->wd) = t;
}

static void stop_hearing(struct chronos_arbiter *a, struct tenant *t)
{
	if (t->wd < 0)
		return;
	struct tenant **link = wd_bucket(a, t->wd);
	while (*link != t)
		link = &(*link)->next_wd;
	*link = t->next_wd;
	inotify_rm_watch(a->inotify_fd, t->wd);
	t->wd = -1;
}

static void tenant_free(struct tenant *t)
{
	if (t->fd >= 0)
		close(t->fd);
	free(t->askers);
	free(t);
}

/* Its seats go to others; who waits for a turn of it sees that it has ended. */
static void end_tenant(struct chronos_arbiter *a, struct tenant *t)
{
	struct tenant **link = &a->tenants;

	for (uint64_t left = t->devices; left; left &= left - 1) {
		uint32_t i = (uint32_t)__builtin_ctzll(left);
		if (t->seats[i] != NO_SEAT)
			leave(&a->devices[i], t->seats[i]);
	}
	stop_hearing(a, t);
	a->muted -= t->muted_until_ns != 0;
	while (*link != t)
		link = &(*link)->next;
	*link = t->next;
	a->count--;
	tenant_free(t);
}

static struct tenant *find_tenant(struct chronos_arbiter *a, uint32_t id)
{
	struct tenant *t = a->tenants;

	while (t && t->id != id)
		t = t->next;
	return t;
}

/* The records change under us; one that is another's by now has another time of making. */
static bool is_live(
	const struct chronos_arbiter *a, const struct tenant *t, uint64_t now_ns)
{
	const struct partition_record *r = &a->c->state->partitions[t->record];

	return partition_is_live(r, now_ns) && r->id == t->id &&
	       r->created_ns == t->created_ns;
}

static bool find_record(const struct state *s, struct tenant *t, uint64_t now_ns)
{
	for (uint32_t i = 0; i < state_slots(s); i++) {
		const struct partition_record *r = &s->partitions[i];
		if (r->id != t->id || !partition_is_live(r, now_ns))
			continue;
		t->record = i;
		t->created_ns = r->created_ns;
		t->devices = r->devices;
		return true;
	}
	return false;
}

/* Seats where it has none yet, and its end as it is now. */
static void follow_record(struct chronos_arbiter *a, struct tenant *t, uint64_t now_ns)
{
	uint64_t end_ns = a->c->state->partitions[t->record].expires_ns;

	for (uint64_t left = t->devices; left; left &= left - 1) {
		uint32_t i = (uint32_t)__builtin_ctzll(left);
		struct device *dev = &a->devices[i];
		if (!dev->d)
			continue;
		if (t->seats[i] == NO_SEAT)
			sit(a, t, i, now_ns);
		if (t->seats[i] != NO_SEAT)
			store(&dev->d->seats[t->seats[i]].expires_ns, end_ns);
	}
	a->end_ns = min_u64(a->end_ns, end_ns);
}

/* A file that is not there, or of no partition that lives, is left alone. */
static int adopt(struct chronos_arbiter *a, const char *name, uint32_t id,
	uint64_t now_ns, struct chronos_error *e)
{
	struct tenant *t = find_tenant(a, id);

	if (t)
		end_tenant(a, t);
	t = calloc(1, sizeof *t);
	if (!t) {
		errno = ENOMEM;
		return chronos_fail_sys(e, "let %s in", name);
	}
	t->id = id;
	t->wd = -1;
	memset(t->seats, 0xff, sizeof t->seats);
	t->fd = chronos_share_open(a->c->dirfd, name, O_RDWR);
	if (t->fd < 0 || !find_record(a->c->state, t, now_ns)) {
		int why = t->fd < 0 ? errno : ENOENT;
		tenant_free(t);
		errno = why;
		return why == ENOENT ? 0 : chronos_fail_sys(e, "open %s", name);
	}
	t->next = a->tenants;
	a->tenants = t;
	a->count++;
	hear(a, t);
	follow_record(a, t, now_ns);
	listen_to(a, t);
	return 0;
}

static bool partition_of_name(const char *name, uint32_t *id)
{
	const char prefix[] = PARTITION_FILE_NAME PARTITION_ID_PREFIX;
	const char *digits = name + sizeof prefix - 1;

	if (strncmp(name, prefix, sizeof prefix - 1) != 0 || strlen(digits) != 8 ||
		strspn(digits, "0123456789abcdef") != 8)
		return false;
	*id = (uint32_t)strtoul(digits, NULL, 16);
	return true;
}

/* ---- the lease ---- */

/* Put the time from the last charge until then on the account of who has the lease. */
static void charge(struct device *dev, uint64_t until_ns)
{
	struct device_file *d = dev->d;
	uint64_t lease = load(&d->lease), since = load(&d->charged_ns);

	if (!lease || until_ns <= since)
		return;
	uint64_t had = until_ns - since;
	struct seat *s = &d->seats[holder_seat(lease)];
	struct tenant *t = dev->tenants[holder_seat(lease)];
	uint32_t i = lease_who(lease) % SHARE_CLIENTS_MAX;

	store(&d->charged_ns, until_ns);
	FAULT_POINT("lease charged");
	store(&s->time_ns, s->time_ns + had);
	account_charge(s, had, d->borrowed, until_ns);
	s->active_ns = until_ns;
	if (t && i < t->room)
		t->askers[i].time_ns += had;
}

/* Until when may it have nothing in flight?  It says when it had something last. */
static uint64_t idle_limit(
	const struct device_file *d, const struct memory_client *k, uint64_t now_ns)
{
	if (k->waiting)
		return d->granted_ns + LEASE_TAKE_UP_NS;
	return max_u64(d->granted_ns, min_u64(k->settled_ns, now_ns)) + LEASE_GRACE_NS;
}

/* It counts its launch, then looks at the lease; we clear the lease, then look at the
 * count. */
static void take_back(struct device *dev, const struct tenant *t, uint32_t i)
{
	uint64_t lease = load(&dev->d->lease);
	struct memory_client k;

	store(&dev->d->lease, 0);
	if (read_asker(t, i, &k) && k.inflight > 0)
		store(&dev->d->lease, lease);
}

static void take_from_silent(
	struct device *dev, struct tenant *t, uint32_t i, uint64_t now_ns)
{
	store(&dev->d->lease, 0);
	if (i < t->room) {
		t->askers[i].late_since_ns = now_ns;
		t->askers[i].device = (uint32_t)dev->d->header.id;
	}
}

/* Is the lease to go on?  When to look again, or 0: it is free. */
static uint64_t look_at_holder(struct device *dev, uint64_t now_ns)
{
	struct device_file *d = dev->d;
	uint64_t lease = load(&d->lease), end_ns = load(&d->lease_end_ns);
	struct memory_client k;

	if (!lease)
		return 0;
	struct tenant *t = dev->tenants[holder_seat(lease)];
	uint32_t i = lease_who(lease) % SHARE_CLIENTS_MAX;
	bool live = t && read_asker(t, i, &k) && (is_tiresome(t) || lives(t, i));
	uint64_t since_ns = load(&d->charged_ns);
	uint64_t busy_ns = live ? busy_until(&k, since_ns, now_ns) : since_ns;
	/* To its end a lease is paid for, used or not, and with it that we take a moment to
	 * pass it on.  That we came later is not the fault of its holder.  Who says too
	 * little of its work loses it now. */
	charge(dev, min_u64(now_ns, max_u64(end_ns, busy_ns) + LEASE_POLL_NS));
	account_overrun(&d->seats[holder_seat(lease)], since_ns, busy_ns, end_ns);
	if (!live) {
		store(&d->lease, 0);
		return 0;
	}
	uint64_t idle_ns = min_u64(idle_limit(d, &k, now_ns), end_ns);
	if (k.inflight == 0 && now_ns >= idle_ns)
		take_back(dev, t, i);
	else if (now_ns > end_ns + LEASE_REVOKE_NS)
		take_from_silent(dev, t, i, now_ns);
	if (!load(&d->lease))
		return 0;
	uint64_t poll_ns = now_ns + LEASE_POLL_NS;
	return k.inflight == 0 && idle_ns > now_ns ? min_u64(idle_ns, poll_ns) : poll_ns;
}

/* Whose lease was revoked gets no other until it is done, and pays until then. */
static bool is_late(
	struct device *dev, struct tenant *t, uint32_t seat, uint32_t i, uint64_t now_ns)
{
	struct memory_client k;

	if (!t->askers[i].late_since_ns)
		return false;
	bool live = read_asker(t, i, &k) && lives(t, i);
	return charge_late(dev, t, seat, i, live ? &k : NULL, now_ns);
}

struct choice {
	uint32_t seat, i;
	bool there;
};

static bool goes_before(
	const struct device *dev, uint32_t seat, uint32_t i, const struct choice *best)
{
	if (!best->there)
		return true;
	if (seat != best->seat)
		return dev->d->seats[seat].virtual_ns <
		       dev->d->seats[best->seat].virtual_ns;
	const struct tenant *t = dev->tenants[seat];
	return t->askers[i].time_ns < t->askers[best->i].time_ns;
}

/* Of who waits: the next within its share, or else, of those who may, beyond it.  When
 * there is none, *look_ns becomes when there may be one. */
static struct choice choose(struct device *dev, uint32_t device, uint64_t now_ns,
	bool *borrowed, uint64_t *look_ns)
{
	struct choice best = { 0 }, burst = { 0 };

	for (uint32_t seat = 0; seat < SHARE_SEATS_MAX; seat++) {
		struct tenant *t = dev->tenants[seat];
		struct seat *s = &dev->d->seats[seat];
		bool wants = false;
		for (uint32_t i = 0; t && i < t->count && !is_tiresome(t); i++) {
			if (t->askers[i].device != device)
				continue;
			if (is_late(dev, t, seat, i, now_ns)) {
				*look_ns = min_u64(*look_ns, now_ns + LATE_POLL_NS);
				continue;
			}
			if (!t->askers[i].waiting)
				continue;
			if (!wants) {
				account_be_active(dev->d->seats, s, now_ns);
				account_refill(s, now_ns);
			}
			wants = true;
			if (!s->exhausted && goes_before(dev, seat, i, &best))
				best = (struct choice){ seat, i, true };
			if ((s->flags & PARTITION_BURST) &&
				goes_before(dev, seat, i, &burst))
				burst = (struct choice){ seat, i, true };
		}
		if (wants && s->exhausted)
			*look_ns = min_u64(
				*look_ns, now_ns + max_u64(account_wait_ns(s), SOON_NS));
	}
	*borrowed = !best.there;
	return best.there ? best : burst;
}

/* Who does not want it any more, or has died.  One partition may not keep us searching
 * among thousands: those of its processes that are there ring again. */
static void forget_asker(struct tenant *t, uint32_t i)
{
	t->askers[i].waiting = false;
	if (++t->false_askers < FALSE_MAX)
		return;
	for (uint32_t other = 0; other < t->count; other++)
		t->askers[other].waiting = false;
	t->false_askers = 0;
}

/* False when it was not there to have it. */
static bool grant(
	struct device *dev, const struct choice *to, bool borrowed, uint64_t now_ns)
{
	struct device_file *d = dev->d;
	struct tenant *t = dev->tenants[to->seat];
	struct seat *s = &d->seats[to->seat];
	struct memory_client k;

	if (!read_asker(t, to->i, &k) || !k.waiting || !lives(t, to->i)) {
		forget_asker(t, to->i);
		return false;
	}
	uint64_t budget = s->budget_ns > 0 ? (uint64_t)s->budget_ns : 0;
	uint64_t length = LEASE_QUANTUM_NS;
	/* Shorter, it could be over before it is taken up: the rest is a debt. */
	if (!borrowed)
		length = min_u64(length, max_u64(budget, LEASE_TAKE_UP_NS));
	d->borrowed = borrowed;
	store(&d->granted_ns, now_ns);
	store(&d->charged_ns, now_ns);
	store(&d->lease_end_ns, now_ns + length);
	FAULT_POINT("before grant");
	store(&d->lease, lease_word(++d->grants, to->seat, to->i));
	FAULT_POINT("after grant");
	s->served_ns = t->askers[to->i].time_ns;
	t->askers[to->i].waiting = false;
	t->false_askers = 0;
	wake(&s->turns);
	return true;
}

static void arbitrate(struct chronos_arbiter *a, uint32_t device, uint64_t now_ns)
{
	struct device *dev = &a->devices[device];

	store(&dev->d->seen_ns, now_ns);
	dev->look_ns = look_at_holder(dev, now_ns);
	while (!dev->look_ns) {
		/* A lease is counted from when it is given, not from when we woke. */
		now_ns = chronos_now_ns();
		uint64_t look_ns = UINT64_MAX;
		bool borrowed;
		struct choice to = choose(dev, device, now_ns, &borrowed, &look_ns);
		if (!to.there)
			dev->look_ns = look_ns;
		else if (grant(dev, &to, borrowed, now_ns))
			dev->look_ns = now_ns + LEASE_POLL_NS;
	}
}

/* ---- opening ---- */

/* Programs that take turns themselves would go on doing so on the file of before. */
static int retire(const struct share_map *m, uint32_t device, struct chronos_error *e)
{
	struct device_file *d = m->at;

	if (chronos_lock_take(&d->header.lock, &m->me) == ETIMEDOUT)
		return chronos_fail(e, CHRONOS_TIMEOUT,
			"another process holds the lock of device %u", device);
	bool in_use = chronos_share_any_lives(m->fd);
	if (!in_use)
		d->retired = 1;
	chronos_lock_give(&d->header.lock);
	if (in_use)
		return chronos_fail(e, CHRONOS_CONFLICT,
			"programs that take turns by themselves are on device %u: an "
			"arbiter can start when they have ended",
			device);
	return 0;
}

static int map_device(struct chronos_arbiter *a, uint32_t i, struct chronos_error *e)
{
	struct device *dev = &a->devices[i];
	struct file_name name = chronos_device_file(i);
	struct share_map m;

	if (chronos_share_map(
		    a->c->dirfd, name.text, sizeof(struct device_file), true, &m, e) < 0)
		return -1;
	if (((struct device_file *)m.at)->mode != DEVICE_ARBITRATED ||
		((struct device_file *)m.at)->header.generation !=
			a->c->state->header.generation) {
		chronos_share_unmap(&m);
		return chronos_fail(
			e, CHRONOS_UNAVAILABLE, "%s is not the arbiter's", name.text);
	}
	if (dev->d)
		chronos_share_unmap(&dev->map);
	dev->map = m;
	dev->d = m.at;
	dev->look_ns = 0;
	return 0;
}

/* State locked.  Is the device's file such as processes take turns on by themselves? */
static bool map_cooperative(
	const struct chronos_arbiter *a, uint32_t i, struct share_map *m)
{
	struct file_name name = chronos_device_file(i);

	return chronos_share_map(a->c->dirfd, name.text, sizeof(struct device_file), true,
		       m, NULL) == 0;
}

/* State locked.  Nobody joins on what is retired, until it is not, or has been replaced. */
static int retire_all(
	const struct chronos_arbiter *a, uint64_t devices, struct chronos_error *e)
{
	struct share_map m;
	int rc = 0;

	for (uint64_t left = devices; rc == 0 && left; left &= left - 1) {
		uint32_t i = (uint32_t)__builtin_ctzll(left);
		if (!map_cooperative(a, i, &m))
			continue;
		rc = retire(&m, i, e);
		chronos_share_unmap(&m);
	}
	return rc;
}

/* State locked.  They stay as they were: those that are retired are no longer, and those
 * already replaced go, so that whoever joins next makes them anew. */
static void give_back(struct chronos_arbiter *a, uint64_t devices)
{
	struct share_map m;

	for (uint64_t left = devices; left; left &= left - 1) {
		uint32_t i = (uint32_t)__builtin_ctzll(left);
		struct file_name name = chronos_device_file(i);
		if (a->devices[i].d) {
			chronos_share_unmap(&a->devices[i].map);
			a->devices[i].d = NULL;
			unlinkat(a->c->dirfd, name.text, 0);
		} else if (map_cooperative(a, i, &m)) {
			((struct device_file *)m.at)->retired = 0;
			chronos_share_unmap(&m);
		}
	}
}

/* State locked.  Put a file of ours in the place of each, or of none. */
static int replace_all(
	struct chronos_arbiter *a, uint64_t devices, struct chronos_error *e)
{
	int rc = retire_all(a, devices, e);

	for (uint64_t left = devices; rc == 0 && left; left &= left - 1) {
		uint32_t i = (uint32_t)__builtin_ctzll(left);
		rc = chronos_device_file_make(a->c, i, DEVICE_ARBITRATED, e);
		if (rc == 0)
			rc = map_device(a, i, e);
	}
	if (rc < 0)
		give_back(a, devices);
	return rc;
}

/* Go on with the files that are an arbiter's already. */
static int take_devices(struct chronos_arbiter *a, struct chronos_error *e)
{
	uint64_t others = 0;

	if (chronos_state_lock(a->c, e) < 0)
		return -1;
	for (uint32_t i = 0; i < CHRONOS_DEVICES_MAX; i++) {
		if (a->c->state->devices[i].state != DEVICE_NONE &&
			map_device(a, i, NULL) < 0)
			others |= UINT64_C(1) << i;
	}
	int rc = replace_all(a, others, e);
	chronos_state_unlock(a->c);
	return rc;
}

/* Whose files are there and are not known yet. */
static int adopt_all(struct chronos_arbiter *a, struct chronos_error *e)
{
	int fd = openat(a->c->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	uint64_t now_ns = chronos_now_ns();
	int rc = 0;

	if (!dir) {
		if (fd >= 0)
			close(fd);
		return chronos_fail_sys(e, "list the directory");
	}
	for (struct dirent *f; rc == 0 && (f = readdir(dir));) {
		uint32_t id;
		if (partition_of_name(f->d_name, &id) && !find_tenant(a, id))
			rc = adopt(a, f->d_name, id, now_ns, e);
	}
	closedir(dir);
	return rc;
}

/* Of partitions that ended while there was no arbiter. */
static void clear_seats(struct chronos_arbiter *a)
{
	for (uint32_t i = 0; i < CHRONOS_DEVICES_MAX; i++) {
		struct device *dev = &a->devices[i];
		for (uint32_t seat = 0; dev->d && seat < SHARE_SEATS_MAX; seat++) {
			if (dev->d->seats[seat].created_ns && !dev->tenants[seat])
				leave(dev, seat);
		}
	}
}

static int elect(struct chronos_arbiter *a, struct chronos_error *e)
{
	a->lock_fd = openat(a->c->dirfd, ARBITER_FILE_NAME,
		O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (a->lock_fd < 0)
		return chronos_fail_sys(e, "open " ARBITER_FILE_NAME);
	if (!chronos_share_live(a->lock_fd, LOCK_ELECTED))
		return chronos_fail(e, CHRONOS_CONFLICT,
			"an arbiter serves %.150s already", a->c->dir);
	return 0;
}

static int watch(struct chronos_arbiter *a, struct chronos_error *e)
{
	char path[40];

	a->inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (a->inotify_fd < 0)
		return chronos_fail_sys(e, "watch files");
	snprintf(path, sizeof path, "/proc/self/fd/%d", a->c->dirfd);
	a->dir_wd = inotify_add_watch(
		a->inotify_fd, path, IN_MOVED_TO | IN_DELETE | IN_ONLYDIR);
	return a->dir_wd < 0 ? chronos_fail_sys(e, "watch %.150s", a->c->dir) : 0;
}

struct chronos_arbiter *chronos_arbiter_open(const char *dir, struct chronos_error *e)
{
	struct chronos_arbiter *a = calloc(1, sizeof *a);

	if (!a) {
		errno = ENOMEM;
		chronos_fail_sys(e, "start an arbiter");
		return NULL;
	}
	a->lock_fd = a->inotify_fd = -1;
	a->end_ns = UINT64_MAX;
	a->c = chronos_open(dir, e);
	if (!a->c || elect(a, e) < 0 || watch(a, e) < 0 || take_devices(a, e) < 0 ||
		adopt_all(a, e) < 0) {
		chronos_arbiter_close(a);
		return NULL;
	}
	clear_seats(a);
	if (!chronos_share_live(a->lock_fd, LOCK_SERVES)) {
		chronos_fail_sys(e, "lock " ARBITER_FILE_NAME);
		chronos_arbiter_close(a);
		return NULL;
	}
	a->serving = true;
	return a;
}

/* Where nothing can be joined, programs may take turns by themselves again. */
static void leave_devices(struct chronos_arbiter *a)
{
	uint64_t now_ns = chronos_now_ns();
	bool joinable = false;

	if (chronos_state_lock(a->c, NULL) < 0)
		return;
	for (uint32_t i = 0; i < state_slots(a->c->state); i++) {
		const struct partition_record *r = &a->c->state->partitions[i];
		joinable |= r->joinable && partition_is_live(r, now_ns);
	}
	for (uint32_t i = 0; !joinable && i < CHRONOS_DEVICES_MAX; i++) {
		struct file_name name = chronos_device_file(i);
		if (a->devices[i].d)
			unlinkat(a->c->dirfd, name.text, 0);
	}
	chronos_state_unlock(a->c);
}

void chronos_arbiter_close(struct chronos_arbiter *a)
{
	if (!a)
		return;
	if (a->serving)
		leave_devices(a);
	for (struct tenant *t = a->tenants, *next; t; t = next) {
		next = t->next;
		tenant_free(t);
	}
	for (uint32_t i = 0; i < CHRONOS_DEVICES_MAX; i++) {
		if (a->devices[i].d)
			chronos_share_unmap(&a->devices[i].map);
	}
	if (a->inotify_fd >= 0)
		close(a->inotify_fd);
	if (a->lock_fd >= 0)
		close(a->lock_fd);
	chronos_close(a->c);
	free(a);
}

/* ---- serving ---- */

static void mute(struct chronos_arbiter *a, struct tenant *t, uint64_t until_ns)
{
	stop_hearing(a, t);
	a->muted += !t->muted_until_ns;
	t->muted_until_ns = until_ns;
}

static void rung(struct chronos_arbiter *a, struct tenant *t, uint64_t now_ns)
{
	if (now_ns >= t->window_ns + WINDOW_NS) {
		t->window_ns = now_ns;
		t->work = 0;
	}
	t->rang = a->rang = true;
	if (++t->work > WORK_MAX)
		mute(a, t, now_ns + MUTE_NS);
}

/* Looking for its locks took so long that others would feel it. */
static void mute_tiresome(struct chronos_arbiter *a, uint64_t now_ns)
{
	for (struct tenant *t = a->tenants; t; t = t->next) {
		if (!t->muted_until_ns && is_tiresome(t))
			mute(a, t,
				now_ns + max_u64(MUTE_NS, SEARCH_REST * t->searched_ns));
	}
}

/* Something came into the directory, or went. */
static int directory_changed(struct chronos_arbiter *a, const struct inotify_event *event,
	uint64_t now_ns, struct chronos_error *e)
{
	uint64_t device;
	uint32_t id;

	if (strcmp(event->name, STATE_FILE_NAME) == 0)
		return chronos_fail(e, CHRONOS_UNAVAILABLE,
			"%.150s/" STATE_FILE_NAME " was removed or replaced", a->c->dir);
	if (partition_of_name(event->name, &id)) {
		struct tenant *t = find_tenant(a, id);
		if (event->mask & IN_MOVED_TO)
			return adopt(a, event->name, id, now_ns, e);
		if (t)
			end_tenant(a, t);
		return 0;
	}
	if (!(event->mask & IN_MOVED_TO) ||
		strncmp(event->name, DEVICE_FILE_NAME, sizeof DEVICE_FILE_NAME - 1) !=
			0 ||
		!chronos_digits_parse(event->name + sizeof DEVICE_FILE_NAME - 1,
			CHRONOS_DEVICES_MAX - 1, &device) ||
		a->devices[device].d)
		return 0;
	return map_device(a, (uint32_t)device, e);
}

static bool file_is_gone(const struct tenant *t)
{
	struct stat st;

	return fstat(t->fd, &st) == 0 && st.st_nlink == 0;
}

/* Events were lost, which two partitions that ring in turns can bring about: look at
 * everything.  Who is known stays in its seat, of which its processes read. */
static int catch_up(struct chronos_arbiter *a, uint64_t now_ns, struct chronos_error *e)
{
	for (struct tenant *t = a->tenants, *next; t; t = next) {
		next = t->next;
		if (is_live(a, t, now_ns) && !file_is_gone(t))
			t->rang = a->rang = true;
		else
			end_tenant(a, t);
	}
	return take_devices(a, e) < 0 ? -1 : adopt_all(a, e);
}

static int take_event(struct chronos_arbiter *a, const struct inotify_event *event,
	uint64_t now_ns, struct chronos_error *e)
{
	if (event->mask & IN_Q_OVERFLOW)
		return catch_up(a, now_ns, e);
	if (event->wd == a->dir_wd)
		return event->len ? directory_changed(a, event, now_ns, e) : 0;
	struct tenant *t = tenant_of_wd(a, event->wd);
	if (t && (event->mask & IN_MODIFY))
		rung(a, t, now_ns);
	return 0;
}

static int take_events(
	struct chronos_arbiter *a, uint64_t now_ns, struct chronos_error *e)
{
	_Alignas(struct inotify_event) char buffer[16384];
	int rc = 0;

	for (;;) {
		ssize_t n = read(a->inotify_fd, buffer, sizeof buffer);
		if (n <= 0)
			break;
		for (const char *at = buffer; rc == 0 && at < buffer + n;) {
			const struct inotify_event *event =
				(const struct inotify_event *)(const void *)at;
			rc = take_event(a, event, now_ns, e);
			at += sizeof *event + event->len;
		}
		if (rc < 0 || n < (ssize_t)sizeof buffer / 2)
			break;
	}
	return rc;
}

/* Those who rang, who are listened to again, or whose time is up. */
static void see_to_tenants(struct chronos_arbiter *a, uint64_t now_ns)
{
	bool ends = now_ns >= a->end_ns;

	if (!ends && !a->rang && !a->muted)
		return;
	a->rang = false;
	if (ends)
		a->end_ns = UINT64_MAX;
	for (struct tenant *t = a->tenants, *next; t; t = next) {
		next = t->next;
		bool heard_again = t->muted_until_ns && now_ns >= t->muted_until_ns;
		if (heard_again) {
			t->muted_until_ns = 0;
			a->muted--;
			t->searched_ns = 0;
			hear(a, t);
		}
		if (!ends && !t->rang && !heard_again)
			continue;
		if (!is_live(a, t, now_ns)) {
			end_tenant(a, t);
			continue;
		}
		follow_record(a, t, now_ns);
		if (t->rang || heard_again)
			listen_to(a, t);
	}
}

int chronos_arbiter_serve(
	struct chronos_arbiter *a, uint64_t *wait_ns, struct chronos_error *e)
{
	uint64_t now_ns = chronos_now_ns();

	if (take_events(a, now_ns, e) < 0)
		return -1;
	see_to_tenants(a, now_ns);
	uint64_t next_ns = a->end_ns;
	for (uint32_t i = 0; i < CHRONOS_DEVICES_MAX; i++) {
		struct device *dev = &a->devices[i];
		if (!dev->d)
			continue;
		if (dev->look_ns <= now_ns)
			arbitrate(a, i, now_ns);
		next_ns = min_u64(next_ns, dev->look_ns);
	}
	mute_tiresome(a, now_ns);
	if (a->muted)
		next_ns = min_u64(next_ns, now_ns + MUTE_NS);
	now_ns = chronos_now_ns();
	if (next_ns == UINT64_MAX)
		*wait_ns = UINT64_MAX;
	else
		*wait_ns = next_ns > now_ns ? next_ns - now_ns : 0;
	return 0;
}

int chronos_arbiter_fd(const struct chronos_arbiter *a)
{
	return a->inotify_fd;
}

uint32_t chronos_arbiter_partitions(const struct chronos_arbiter *a)
{
	return a->count;
}
