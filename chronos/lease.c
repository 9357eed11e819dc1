/* lease.c - who launches on a device, and for how long: an exclusive lease and a budget. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One process at a time holds the device's lease, for a quantum; while it holds it, a
 * launch costs two atomic operations.  Each partition has a budget that fills at its
 * share of the time, which caps it; among those that want a turn and have a budget, the
 * one that had least, divided by its share, is next.  Waiters take the lease themselves,
 * under the lock of the device's file: whoever finds that it is the next one.
 *
 * A holder that has nothing in flight for the grace may lose the lease at once.  It and
 * the taker must not both believe they have it: the holder counts its launch, then looks
 * at the lease; the taker clears the lease, then looks at the count (both seq_cst).
 */
#include "account.h"

#include "error.h"
#include "fault.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static uint64_t load(const uint64_t *word)
{
	return __atomic_load_n(word, __ATOMIC_SEQ_CST);
}

static void store(uint64_t *word, uint64_t value)
{
	__atomic_store_n(word, value, __ATOMIC_SEQ_CST);
}

/* Of what only this process's threads share, or only one of them writes. */
static uint64_t peek(const uint64_t *word)
{
	return __atomic_load_n(word, __ATOMIC_RELAXED);
}

static void put(uint64_t *word, uint64_t value)
{
	__atomic_store_n(word, value, __ATOMIC_RELAXED);
}

static uint64_t take(uint64_t *word)
{
	return __atomic_exchange_n(word, 0, __ATOMIC_SEQ_CST);
}

static struct lease_client *client_of(const struct chronos_attachment *a)
{
	return &a->d->clients[a->d_client];
}

/* What a file says may be anything; an index from it is bounded at each use. */
static struct seat *seat_of(struct device_file *d, const struct lease_client *k)
{
	return &d->seats[k->seat % SHARE_SEATS_MAX];
}

static uint32_t slots(const struct device_file *d)
{
	return d->clients_used < SHARE_CLIENTS_MAX ? d->clients_used : SHARE_CLIENTS_MAX;
}

static uint32_t holder_slot(uint64_t lease)
{
	return ((uint32_t)(lease & 0xffff) - 1) % SHARE_CLIENTS_MAX;
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* ---- the device's lock ---- */

/* Every store under it stands for itself: after a death there is nothing to repair. */
static int lock_device(struct chronos_attachment *a, struct chronos_error *e)
{
	if (chronos_lock_take(&a->d->header.lock, &a->device_map.me) == ETIMEDOUT)
		return chronos_fail(e, CHRONOS_TIMEOUT,
			"another process holds the lock of the device");
	return 0;
}

static void unlock_device(struct device_file *d)
{
	chronos_lock_give(&d->header.lock);
}

static void wake_all(struct device_file *d)
{
	__atomic_fetch_add(&d->changes, 1, __ATOMIC_SEQ_CST);
	syscall(SYS_futex, &d->changes, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

static void wait_for_change(struct device_file *d, uint32_t seen, uint64_t ns)
{
	const struct timespec limit = { 0, (long)min_u64(ns, 999999999) };

	syscall(SYS_futex, &d->changes, FUTEX_WAIT, seen, &limit, NULL, 0);
}

/* ---- what others had ---- */

/* Until then a process that cannot tell had the lease.  Device locked. */
static void charge_other(struct device_file *d, const struct lease_client *k,
	uint64_t had_ns, uint64_t now_ns)
{
	struct seat *s = seat_of(d, k);

	s->time_ns += had_ns;
	account_charge(s, had_ns, d->borrowed, now_ns);
}

/* It died: until when it had work in flight nobody knows, but it had its lease. */
static void bury(struct device_file *d, uint32_t slot, uint64_t now_ns)
{
	struct lease_client *k = &d->clients[slot];
	uint64_t since_ns = take(&k->busy_since_ns), had_ns = take(&k->uncharged_ns);
	uint64_t lease = load(&d->lease);
	bool held = lease && holder_slot(lease) == slot;
	uint64_t until_ns = min_u64(now_ns, load(&d->lease_end_ns));

	if (held && since_ns && until_ns > since_ns)
		had_ns += until_ns - since_ns;
	charge_other(d, k, had_ns, now_ns);
	if (held)
		store(&d->lease, 0);
	record_commit(&k->state, CLIENT_FREE);
}

/* The holder is silent: from here on it has no lease, and pays all the same when it is
 * done.  It may be just now: then it has charged itself. */
static void take_from_silent(
	struct device_file *d, struct lease_client *k, uint64_t now_ns)
{
	uint64_t since_ns = load(&k->busy_since_ns);

	store(&d->lease, 0);
	if (!since_ns || since_ns >= now_ns ||
		!__atomic_compare_exchange_n(&k->busy_since_ns, &since_ns, now_ns, false,
			__ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		return;
	charge_other(d, k, now_ns - since_ns, now_ns);
	account_overrun(seat_of(d, k), since_ns, now_ns, load(&d->lease_end_ns));
}

/* ---- seats ---- */

/* Forget the clients that died.  Device locked. */
static void reap(struct chronos_attachment *a)
{
	struct device_file *d = a->d;

	for (uint32_t i = 0; i < slots(d); i++) {
		struct lease_client *k = &d->clients[i];
		if (k->state != CLIENT_JOINED || i == a->d_client ||
			chronos_share_is_live(a->device_map.fd, i))
			continue;
		bury(d, i, chronos_now_ns());
	}
}

static bool seat_is_used(const struct device_file *d, uint32_t seat)
{
	for (uint32_t i = 0; i < slots(d); i++) {
		if (d->clients[i].state == CLIENT_JOINED && d->clients[i].seat == seat)
			return true;
	}
	return false;
}

/* The partition's seat, or one for it, that was left alone for longest, as its account is
 * lost then; SHARE_SEATS_MAX when there is none. */
static uint32_t find_seat(struct chronos_attachment *a, uint64_t now_ns)
{
	struct device_file *d = a->d;
	uint32_t empty = SHARE_SEATS_MAX;

	for (uint32_t i = 0; i < SHARE_SEATS_MAX; i++) {
		const struct seat *s = &d->seats[i];
		if (s->id == a->p->header.id && s->created_ns == a->p->created_ns)
			return i;
		if ((empty == SHARE_SEATS_MAX ||
			    s->active_ns < d->seats[empty].active_ns) &&
			(!s->created_ns || !seat_is_used(d, i)))
			empty = i;
	}
	if (empty < SHARE_SEATS_MAX) {
		struct seat s = { .created_ns = a->p->created_ns,
			.id = a->p->header.id,
			.hundredths = a->p->hundredths,
			.flags = a->p->flags };
		account_open(&s, now_ns);
		d->seats[empty] = s;
	}
	return empty;
}

bool chronos_lease_sit(struct chronos_attachment *a, struct chronos_error *e)
{
	struct device_file *d = a->d;

	if (slots(d) < SHARE_REAP_EVERY || slots(d) % SHARE_REAP_EVERY == 0)
		reap(a);
	uint32_t seat = find_seat(a, chronos_now_ns());
	for (uint32_t i = 0; seat < SHARE_SEATS_MAX && i < SHARE_CLIENTS_MAX; i++) {
		struct lease_client *k = &d->clients[i];
		if (k->state != CLIENT_FREE || !chronos_share_live(a->device_map.fd, i))
			continue;
		*k = (struct lease_client){ .seat = seat };
		if (i >= d->clients_used)
			d->clients_used = i + 1;
		FAULT_POINT("before seated");
		record_commit(&k->state, CLIENT_JOINED);
		FAULT_POINT("after seated");
		a->d_client = i;
		a->inflight = &k->inflight;
		a->settled_ns = &k->settled_ns;
		return true;
	}
	chronos_fail(e, CHRONOS_EXHAUSTED,
		"device %u has no room for another process or partition", a->device);
	return false;
}

/* ---- accounts ---- */

/* Put what this process had on its partition's account.  Device and a locked. */
static void charge_time(struct chronos_attachment *a, uint64_t now_ns)
{
	struct lease_client *k = client_of(a);
	struct seat *s = seat_of(a->d, k);
	uint64_t had = take(&k->uncharged_ns);

	if (!had)
		return;
	k->time_ns += had;
	__atomic_fetch_add(&a->p->time_ns[a->device], had, __ATOMIC_RELAXED);
	account_charge(s, had, a->borrowed, now_ns);
}

/* Had, and to be put on its partition's account.  a locked. */
static void note_had(struct chronos_attachment *a, uint64_t since_ns, uint64_t had_ns)
{
	struct lease_client *k = client_of(a);

	put(&k->uncharged_ns, peek(&k->uncharged_ns) + had_ns);
	account_overrun(seat_of(a->d, k), since_ns, since_ns + had_ns, a->lease_end_ns);
}

/* The first launch since nothing was in flight. */
static void begin_work(struct chronos_attachment *a, uint64_t now_ns)
{
	put(&a->busy_since_ns, now_ns);
	if (!a->arbitrated)
		put(&client_of(a)->busy_since_ns, now_ns);
}

/* Nothing is in flight any more: note how long there was.  a locked. */
static void note_time(struct chronos_attachment *a, uint64_t now_ns)
{
	/* Who took the lease from us may have charged us for a part. */
	uint64_t since = a->arbitrated ? peek(&a->busy_since_ns)
				       : take(&client_of(a)->busy_since_ns);
	uint64_t settled = load(a->settled_ns);

	/* A gap too short for others to use is its own. */
	if (settled && since >= settled && since - settled < LEASE_GRACE_NS)
		since = settled;
	uint64_t had = since && now_ns > since ? now_ns - since : 0;
	if (a->done && a->timed == a->done)
		had = min_u64(had, a->timed_ns);
	if (!a->arbitrated)
		note_had(a, since, had);
	if (a->done) {
		uint64_t one = had / a->done, before = peek(&a->kernel_ns);
		put(&a->kernel_ns, before ? (3 * before + one) / 4 : one);
	}
	a->done = a->timed = 0;
	a->timed_ns = 0;
	put(&a->busy_since_ns, 0);
	__atomic_store_n(a->settled_ns, now_ns, __ATOMIC_RELEASE);
}

static uint32_t inflight(const struct chronos_attachment *a)
{
	return __atomic_load_n(a->inflight, __ATOMIC_SEQ_CST);
}

/* `count` launches are not in flight any more, or were not even made.  a locked. */
static void end_launches(struct chronos_attachment *a, uint32_t count, bool made)
{
	uint32_t now = inflight(a);

	if (count > now)
		count = now;
	a->done += made ? count : 0;
	bool drained = count > 0 && count == now && peek(&a->busy_since_ns);
	uint64_t now_ns = drained ? chronos_now_ns() : 0;
	/* First the time, so that who sees 0 also sees since when. */
	if (drained)
		note_time(a, now_ns);
	uint32_t left = __atomic_sub_fetch(a->inflight, count, __ATOMIC_SEQ_CST);
	/* Another thread has just launched, and took the device to be busy. */
	if (drained && left > 0)
		begin_work(a, now_ns);
	/* Others may be waiting for just that. */
	if (drained && a->arbitrated && now_ns >= load(&a->d->lease_end_ns))
		chronos_ask_ring(a);
}

/* ---- whose turn it is ---- */

static bool is_candidate(
	const struct chronos_attachment *a, const struct lease_client *k, uint64_t now_ns)
{
	if (k == client_of(a))
		return true;
	return k->state == CLIENT_JOINED && k->waiting &&
	       now_ns < load(&k->seen_ns) + LEASE_STALE_NS;
}

static bool goes_before(
	struct device_file *d, const struct lease_client *x, const struct lease_client *y)
{
	const struct seat *sx = seat_of(d, x), *sy = seat_of(d, y);

	if (sx != sy)
		return sx->virtual_ns < sy->virtual_ns;
	return x->time_ns < y->time_ns;
}

/* The next holder among this process and the waiters, or NULL: within their shares, or
 * else, among those who may, beyond them. */
static struct lease_client *choose(
	struct chronos_attachment *a, uint64_t now_ns, bool *borrowed)
{
	struct device_file *d = a->d;
	struct lease_client *best = NULL, *burst = NULL;

	for (uint32_t i = 0; i < slots(d); i++) {
		struct lease_client *k = &d->clients[i];
		if (!is_candidate(a, k, now_ns))
			continue;
		struct seat *s = seat_of(d, k);
		account_refill(s, now_ns);
		if (!s->exhausted && (!best || goes_before(d, k, best)))
			best = k;
		if ((s->flags & PARTITION_BURST) && (!burst || goes_before(d, k, burst)))
			burst = k;
	}
	*borrowed = !best;
	return best ? best : burst;
}

/* Can the lease be taken from its holder?  Device locked; it is free after true. */
static bool take_lease(struct chronos_attachment *a, uint64_t now_ns)
{
	struct device_file *d = a->d;
	uint64_t lease = load(&d->lease);

	if (!lease)
		return true;
	uint32_t slot = holder_slot(lease);
	struct lease_client *k = &d->clients[slot];
	if (k == client_of(a) || k->state != CLIENT_JOINED) {
		store(&d->lease, 0);
		return true;
	}
	if (__atomic_load_n(&k->inflight, __ATOMIC_SEQ_CST) == 0 &&
		(now_ns >= load(&k->settled_ns) + LEASE_GRACE_NS)) {
		store(&d->lease, 0);
		if (__atomic_load_n(&k->inflight, __ATOMIC_SEQ_CST) == 0)
			return true;
		store(&d->lease, lease);
	}
	if (!chronos_share_is_live(a->device_map.fd, slot)) {
		bury(d, slot, now_ns);
		return true;
	}
	if (now_ns > load(&d->lease_end_ns) + LEASE_REVOKE_NS) {
		take_from_silent(d, k, now_ns);
		return true;
	}
	return false;
}

/* a and device locked, nothing of ours in flight.  True: the lease is ours, and the
 * launch that is asked for is counted. */
static bool try_turn(struct chronos_attachment *a, uint64_t now_ns)
{
	struct device_file *d = a->d;
	struct lease_client *me = client_of(a);
	struct seat *s = seat_of(d, me);
	uint64_t token = peek(&a->token);
	bool mine = token && load(&d->lease) == token, borrowed = false;

	charge_time(a, now_ns);
	account_be_active(d->seats, s, now_ns);
	/* Who comes after a pause, or is new, is not owed the turns that others had. */
	me->time_ns = max_u64(me->time_ns, s->served_ns);
	store(&me->seen_ns, now_ns);
	struct lease_client *next = choose(a, now_ns, &borrowed);
	if (next != me || !take_lease(a, now_ns)) {
		__atomic_store_n(&me->waiting, 1, __ATOMIC_RELAXED);
		if (mine) {
			store(&d->lease, 0);
			wake_all(d);
		}
		return false;
	}
	uint64_t length = LEASE_QUANTUM_NS;
	int64_t budget = s->budget_ns;
	if (!borrowed)
		length = min_u64(length, budget > 0 ? (uint64_t)budget : 0);
	__atomic_store_n(&me->waiting, 0, __ATOMIC_RELAXED);
	__atomic_fetch_add(&me->inflight, 1, __ATOMIC_SEQ_CST);
	s->served_ns = me->time_ns;
	a->borrowed = borrowed;
	d->borrowed = borrowed;
	token = ++d->grants << 16 | (a->d_client + 1);
	put(&a->token, token);
	a->lease_end_ns = now_ns + length;
	store(&d->lease_end_ns, a->lease_end_ns);
	store(&d->lease, token);
	begin_work(a, now_ns);
	return true;
}

/* ---- launching ---- */

static int ended(struct chronos_error *e)
{
	return chronos_fail(
		e, CHRONOS_NOT_FOUND, "the partition has ended: released or expired");
}

static bool holds(const struct chronos_attachment *a)
{
	uint64_t lease = load(&a->d->lease);

	if (a->arbitrated)
		return lease && lease_who(lease) == a->who;
	return lease && lease == peek(&a->token);
}

/* Does one more than is in flight fit into the lease?  While it is not known how long one
 * takes, they go one at a time. */
static bool fits(const struct chronos_attachment *a, uint32_t before, uint64_t end_ns)
{
	uint64_t kernel_ns = peek(&a->kernel_ns), since_ns = peek(&a->busy_since_ns);

	return before == 0 ||
	       (kernel_ns && since_ns && (before + 1) * kernel_ns <= end_ns - since_ns);
}

/* Count a launch.  True: it can be made now.  False: it must be taken back, by
 * end_launches(), which needs the lock that this does not. */
static bool launch_at_once(struct chronos_attachment *a, uint64_t now_ns)
{
	uint32_t before = __atomic_fetch_add(a->inflight, 1, __ATOMIC_SEQ_CST);
	uint64_t end_ns = load(&a->d->lease_end_ns);

	if (!holds(a) || now_ns >= end_ns || !fits(a, before, end_ns))
		return false;
	if (before == 0)
		begin_work(a, now_ns);
	return true;
}

/* a locked.  -1: ended or broken; 0: look again after a wait; 1: launch. */
static int attempt(struct chronos_attachment *a, struct chronos_error *e)
{
	uint64_t now_ns = chronos_now_ns();

	if (chronos_attachment_has_ended(a, now_ns))
		return ended(e);
	if (launch_at_once(a, now_ns))
		return 1;
	end_launches(a, 1, false);
	if (a->arbitrated || inflight(a) > 0)
		return 0;
	if (lock_device(a, e) < 0)
		return -1;
	FAULT_POINT("before turn");
	bool turn = try_turn(a, now_ns);
	FAULT_POINT("after turn");
	unlock_device(a->d);
	return turn;
}

static void stop_waiting(struct chronos_attachment *a)
{
	uint32_t *waiting = a->arbitrated ? &a->p->clients[a->p_client].waiting
					  : &client_of(a)->waiting;

	__atomic_store_n(waiting, 0, __ATOMIC_RELAXED);
}

/* What wakes who waits for a turn. */
static uint32_t changes(const struct chronos_attachment *a)
{
	const uint32_t *word = a->arbitrated ? &a->seat->turns : &a->d->changes;

	return __atomic_load_n(word, __ATOMIC_SEQ_CST);
}

/* a locked, and unlocked meanwhile.  Another thread may have counted a launch that it has
 * yet to make: what is drained can still be in flight. */
static int wait_for_turn(struct chronos_attachment *a, uint32_t seen, uint64_t since_ns,
	struct chronos_error *e)
{
	bool busy = inflight(a) > 0;
	int rc = 0;

	if (a->arbitrated && !busy)
		chronos_ask_turn(a);
	pthread_mutex_unlock(&a->lock);
	if (busy)
		a->drain(a->arg);
	if (a->arbitrated && !busy)
		rc = chronos_ask_wait(a, seen, since_ns, e);
	else if (!busy || inflight(a) > 0)
		wait_for_change(a->d, seen, LEASE_POLL_NS);
	pthread_mutex_lock(&a->lock);
	return rc;
}

/* A launch is counted that could not be made at once. */
static int launch_in_turn(struct chronos_attachment *a, struct chronos_error *e)
{
	pthread_mutex_lock(&a->lock);
	end_launches(a, 1, false);
	uint32_t seen = changes(a);
	int rc = attempt(a, e);
	bool waited = rc == 0;
	for (uint64_t since_ns = waited ? chronos_now_ns() : 0; rc == 0;) {
		rc = wait_for_turn(a, seen, since_ns, e);
		seen = changes(a);
		if (rc == 0)
			rc = attempt(a, e);
	}
	if (waited)
		stop_waiting(a);
	pthread_mutex_unlock(&a->lock);
	return rc < 0 ? -1 : 0;
}

int chronos_launch(struct chronos_attachment *a, struct chronos_error *e)
{
	if (__atomic_load_n(&a->forked, __ATOMIC_ACQUIRE))
		return chronos_fail(
			e, CHRONOS_NOT_FOUND, "a forked child must join anew");
	/* A whole device is nobody else's. */
	if (a->hundredths == CHRONOS_WHOLE)
		return chronos_has_ended(a) ? ended(e) : 0;
	uint64_t now_ns = chronos_now_ns();
	if (chronos_attachment_has_ended(a, now_ns))
		return ended(e);
	if (launch_at_once(a, now_ns))
		return 0;
	return launch_in_turn(a, e);
}

void chronos_launch_done(struct chronos_attachment *a, uint32_t count)
{
	chronos_launch_took(a, count, 0);
}

void chronos_launch_took(struct chronos_attachment *a, uint32_t count, uint64_t busy_ns)
{
	if (!count || a->hundredths == CHRONOS_WHOLE ||
		__atomic_load_n(&a->forked, __ATOMIC_ACQUIRE))
		return;
	pthread_mutex_lock(&a->lock);
	if (busy_ns) {
		a->timed += count;
		a->timed_ns += busy_ns;
	}
	end_launches(a, count, true);
	pthread_mutex_unlock(&a->lock);
}

/* Charge, and let go of a lease that is over or idle. */
static void pass_on(struct chronos_attachment *a, bool at_once)
{
	struct device_file *d = a->d;

	if (lock_device(a, NULL) < 0)
		return;
	uint64_t now_ns = chronos_now_ns();
	charge_time(a, now_ns);
	FAULT_POINT("time charged");
	if (holds(a) && (at_once || now_ns >= load(&d->lease_end_ns))) {
		store(&d->lease, 0);
		wake_all(d);
	}
	unlock_device(d);
}

void chronos_settle(struct chronos_attachment *a)
{
	if (a->hundredths == CHRONOS_WHOLE ||
		__atomic_load_n(&a->forked, __ATOMIC_ACQUIRE))
		return;
	if (inflight(a) > 0 && chronos_now_ns() >= load(&a->d->lease_end_ns))
		a->drain(a->arg);
	if (a->arbitrated)
		return;
	pthread_mutex_lock(&a->lock);
	if (inflight(a) == 0)
		pass_on(a, false);
	pthread_mutex_unlock(&a->lock);
}

void chronos_lease_leave(struct chronos_attachment *a)
{
	pthread_mutex_lock(&a->lock);
	stop_waiting(a);
	end_launches(a, inflight(a), false);
	if (a->arbitrated) {
		chronos_ask_ring(a);
	} else {
		pass_on(a, true);
		record_commit(&client_of(a)->state, CLIENT_FREE);
	}
	pthread_mutex_unlock(&a->lock);
}
