/* shared_lock.c - a lock in a mapped file, which ends with the process that holds it. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "shared_lock.h"

#include "chronos.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdbool.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define WAITED_FOR   (UINT32_C(1) << 31) /* beside the holder's number */
#define OF_BYTE      (UINT32_C(1) << 30) /* the number's last bits are its byte's */
#define BYTE_MASK    UINT32_C(0xfff)
#define NUMBERS_FROM (INT64_C(1) << 32) /* the byte of number 0 of the others */

/* A holder that dies is noticed after the first pause; where many wait for one that is
 * merely slow, they must not all ask all the time. */
#define PAUSE_NS      UINT64_C(1000000)
#define PAUSE_MOST_NS UINT64_C(32000000)

static struct flock byte_of(uint32_t number)
{
	off_t byte = number & OF_BYTE ? number & BYTE_MASK : NUMBERS_FROM + number;

	return (struct flock){
		.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1
	};
}

/* By chance: so that one who died is not soon followed by another of its number. */
int chronos_holder_init(struct lock_holder *me, int fd)
{
	enum { TRIES = 64 };
	uint32_t number = 0;

	for (int i = 0; i < TRIES; i++) {
		if (getrandom(&number, sizeof number, 0) != sizeof number)
			return -1;
		number &= ~(WAITED_FOR | OF_BYTE);
		struct flock lock = byte_of(number);
		if (number != 0 && fcntl(fd, F_OFD_SETLK, &lock) == 0) {
			*me = (struct lock_holder){ fd, number };
			return 0;
		}
	}
	return -1;
}

/* The rest of the number is by chance, too: a byte is soon another's. */
void chronos_holder_use_byte(struct lock_holder *me, uint32_t byte)
{
	struct flock lock = byte_of(me->number);

	me->number = OF_BYTE | (me->number & ~BYTE_MASK) | (byte & BYTE_MASK);
	lock.l_type = F_UNLCK;
	fcntl(me->fd, F_OFD_SETLK, &lock);
}

/* Could not find out: it is safer to wait. */
static bool lives(const struct lock_holder *me, uint32_t number)
{
	struct flock lock = byte_of(number);

	/* One's own locks are no obstacle to oneself, so the kernel would not tell. */
	return number == me->number || fcntl(me->fd, F_OFD_GETLK, &lock) < 0 ||
	       lock.l_type != F_UNLCK;
}

static bool change(struct shared_lock *l, uint32_t from, uint32_t to)
{
	return __atomic_compare_exchange_n(
		&l->word, &from, to, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void wait_for_change(const struct shared_lock *l, uint32_t seen, uint64_t ns)
{
	const struct timespec limit = { 0, (long)ns };

	syscall(SYS_futex, &l->word, FUTEX_WAIT, seen, &limit, NULL, 0);
}

/* Who once waited takes it as waited for: others may still be waiting. */
static int wait_and_take(struct shared_lock *l, const struct lock_holder *me)
{
	const uint64_t until_ns = now_ns() + CHRONOS_LOCK_WAIT_MS * UINT64_C(1000000);
	uint64_t pause_ns = PAUSE_NS;

	while (now_ns() < until_ns) {
		uint32_t seen = __atomic_load_n(&l->word, __ATOMIC_RELAXED);
		if (seen == 0) {
			if (change(l, 0, me->number | WAITED_FOR))
				return 0;
			continue;
		}
		if (!(seen & WAITED_FOR) && !change(l, seen, seen | WAITED_FOR))
			continue;
		seen |= WAITED_FOR;
		wait_for_change(l, seen, pause_ns);
		if (__atomic_load_n(&l->word, __ATOMIC_RELAXED) != seen)
			pause_ns = PAUSE_NS;
		else if (!lives(me, seen & ~WAITED_FOR)) {
			if (change(l, seen, me->number | WAITED_FOR))
				return EOWNERDEAD;
		} else if (pause_ns < PAUSE_MOST_NS)
			pause_ns *= 2;
	}
	return ETIMEDOUT;
}

int chronos_lock_take(struct shared_lock *l, const struct lock_holder *me)
{
	return change(l, 0, me->number) ? 0 : wait_and_take(l, me);
}

void chronos_lock_give(struct shared_lock *l)
{
	if (__atomic_exchange_n(&l->word, 0, __ATOMIC_RELEASE) & WAITED_FOR)
		syscall(SYS_futex, &l->word, FUTEX_WAKE, 1, NULL, NULL, 0);
}
