/* ask.c - a process of an arbitrated device asks for a seat, and for turns. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is wanted stands in the process's record of `partition-ID`.  A write(2) to the
 * file's bell tells the arbiter to look, wherever the file is mounted.  The answer comes
 * in `device-N`, which the process maps for reading: a futex needs no more.
 */
#include "share.h"

#include "error.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define RING_AGAIN_NS  UINT64_C(20000000) /* at first, then ever more seldom */
#define RING_SELDOM_NS UINT64_C(1000000000)
#define SEAT_LIMIT_NS  UINT64_C(5000000000)

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static void wait_for(const uint32_t *word, uint32_t seen, uint64_t ns)
{
	const struct timespec limit = { (time_t)(ns / 1000000000),
		(long)(ns % 1000000000) };

	syscall(SYS_futex, word, FUTEX_WAIT, seen, &limit, NULL, 0);
}

/* A bell that cannot be rung is rung again; who waits for the answer has a limit. */
void chronos_ask_ring(const struct chronos_attachment *a)
{
	const uint32_t ring = 1;

	(void)!pwrite(a->partition_map.fd, &ring, sizeof ring,
		offsetof(struct partition_file, bell));
}

static const struct seat *find_seat(const struct chronos_attachment *a)
{
	for (uint32_t i = 0; i < SHARE_SEATS_MAX; i++) {
		const struct seat *s = &a->d->seats[i];
		if (__atomic_load_n(&s->created_ns, __ATOMIC_ACQUIRE) == a->created_ns &&
			s->id == a->p->header.id)
			return s;
	}
	return NULL;
}

int chronos_ask_seat(struct chronos_attachment *a, struct chronos_error *e)
{
	uint64_t limit_ns = chronos_now_ns() + SEAT_LIMIT_NS;
	const uint32_t *changes = &a->d->changes;

	for (;;) {
		uint32_t seen = __atomic_load_n(changes, __ATOMIC_SEQ_CST);
		a->seat = find_seat(a);
		if (a->seat)
			break;
		if (chronos_now_ns() >= limit_ns)
			return chronos_fail(e, CHRONOS_TIMEOUT,
				"no arbiter has let the partition onto device %u within "
				"%d s: is chronos arbiter running?",
				a->device, (int)(SEAT_LIMIT_NS / 1000000000));
		chronos_ask_ring(a);
		wait_for(changes, seen, RING_AGAIN_NS);
	}
	a->hundredths = a->seat->hundredths;
	a->who = lease_who(lease_word(0, (uint32_t)(a->seat - a->d->seats), a->p_client));
	return 0;
}

void chronos_ask_turn(struct chronos_attachment *a)
{
	__atomic_store_n(&a->p->clients[a->p_client].waiting, 1, __ATOMIC_SEQ_CST);
	chronos_ask_ring(a);
}

int chronos_ask_wait(const struct chronos_attachment *a, uint32_t seen, uint64_t since_ns,
	struct chronos_error *e)
{
	uint64_t now_ns = chronos_now_ns(), waited_ns = now_ns - since_ns;
	uint64_t looked_ns = __atomic_load_n(&a->d->seen_ns, __ATOMIC_RELAXED);
	uint64_t end_ns = min_u64(__atomic_load_n(&a->p->expires_ns, __ATOMIC_ACQUIRE),
		__atomic_load_n(&a->seat->expires_ns, __ATOMIC_ACQUIRE));

	if (now_ns > max_u64(looked_ns, since_ns) + LEASE_ORPHAN_NS)
		return chronos_fail(e, CHRONOS_TIMEOUT,
			"no arbiter has looked at device %u for %d s: is chronos arbiter "
			"running?",
			a->device, (int)(LEASE_ORPHAN_NS / 1000000000));
	if (now_ns >= end_ns)
		return 0;
	uint64_t ns = min_u64(max_u64(waited_ns, RING_AGAIN_NS), RING_SELDOM_NS);
	wait_for(&a->seat->turns, seen, min_u64(ns, end_ns - now_ns));
	return 0;
}
