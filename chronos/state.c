/* state.c - the state file's checks and its lock. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "state.h"

#include "error.h"
#include "fault.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

uint64_t chronos_now_ns(void)
{
	return clock_ns(CLOCK_BOOTTIME);
}

/* NORMAL, because thread ids may be equal in two PID namespaces: a recursive lock would
 * then let both in, and an error-checking one would see a deadlock. */
void chronos_mutex_init(pthread_mutex_t *lock)
{
	pthread_mutexattr_t attr;

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_NORMAL);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(lock, &attr);
	pthread_mutexattr_destroy(&attr);
}

/* A lock of another kind, read from a file, could wait without a limit or make the C
 * library assert: compare with the kind that we make. */
bool chronos_mutex_is_ours(const pthread_mutex_t *lock)
{
#ifdef __GLIBC__
	pthread_mutex_t ours;

	memset(&ours, 0, sizeof ours);
	chronos_mutex_init(&ours);
	bool same = lock->__data.__kind == ours.__data.__kind;
	pthread_mutex_destroy(&ours);
	return same;
#else
#error "say here how to tell what kind a mutex is of"
#endif
}

void chronos_state_init(struct state *s, const char *boot_id, uint32_t generation)
{
	struct state_header *h = &s->header;

	h->version = STATE_VERSION;
	h->header_bytes = sizeof s->header;
	h->device_bytes = sizeof s->devices[0];
	h->device_slots = CHRONOS_DEVICES_MAX;
	h->partition_bytes = sizeof s->partitions[0];
	h->partition_slots = CHRONOS_PARTITIONS_MAX;
	h->lock_bytes = sizeof h->lock;
	h->generation = generation;
	memcpy(h->boot_id, boot_id, strnlen(boot_id, STATE_BOOT_ID_BYTES - 1));
	chronos_mutex_init(&h->lock);
	memcpy(h->magic, STATE_MAGIC, sizeof h->magic);
}

static bool layout_is_ours(const struct state_header *h)
{
	return h->header_bytes == sizeof(struct state_header) &&
	       h->device_bytes == sizeof(struct device_record) &&
	       h->device_slots == CHRONOS_DEVICES_MAX &&
	       h->partition_bytes == sizeof(struct partition_record) &&
	       h->partition_slots == CHRONOS_PARTITIONS_MAX &&
	       h->lock_bytes == sizeof(pthread_mutex_t);
}

static enum state_fit refuse(struct chronos_error *e, const char *why)
{
	chronos_fail(e, CHRONOS_UNAVAILABLE, "%s", why);
	return STATE_REFUSED;
}

enum state_fit chronos_state_check_header(const struct state_header *h,
	uint64_t file_bytes, const char *boot_id, struct chronos_error *e)
{
	if (file_bytes < sizeof *h)
		return refuse(e, "it is cut off; remove it to begin anew");
	if (memcmp(h->magic, STATE_MAGIC, sizeof h->magic) != 0)
		return refuse(e, "it is not a state file of chronos");
	if (strncmp(h->boot_id, boot_id, sizeof h->boot_id) != 0)
		return STATE_OF_ANOTHER_BOOT;
	if (h->version > STATE_VERSION)
		return refuse(e, "a newer chronos made it; use that one");
	if (h->version < STATE_VERSION)
		return refuse(e, "an older chronos made it; release what it holds, "
				 "then remove it");
	if (!layout_is_ours(h))
		return refuse(e, "another build of chronos made it, with another layout");
	if (file_bytes != sizeof(struct state))
		return refuse(e, "it is cut off or overlong; remove it to begin anew");
	if (!chronos_mutex_is_ours(&h->lock))
		return refuse(e, "its lock is damaged; remove it to begin anew");
	return STATE_FITS;
}

static uint64_t known_devices(const struct state *s)
{
	uint64_t known = 0;

	for (size_t i = 0; i < CHRONOS_DEVICES_MAX; i++) {
		if (s->devices[i].state != DEVICE_NONE)
			known |= UINT64_C(1) << i;
	}
	return known;
}

static bool text_ends(const char *text, size_t bytes)
{
	return memchr(text, '\0', bytes) != NULL;
}

static bool device_is_sound(const struct device_record *d)
{
	return d->state <= DEVICE_ABSENT && text_ends(d->uuid, sizeof d->uuid) &&
	       text_ends(d->name, sizeof d->name);
}

static bool partition_is_sound(const struct partition_record *p, uint64_t known)
{
	return p->state == PARTITION_ACTIVE && p->id != 0 && p->devices != 0 &&
	       (p->devices & ~known) == 0 && p->memory_hundredths >= 1 &&
	       p->memory_hundredths <= CHRONOS_WHOLE &&
	       p->time_hundredths == p->memory_hundredths &&
	       text_ends(p->key, sizeof p->key);
}

/* Adds p's share to the sum of each of its devices; false when one is over its whole. */
static bool add_share(
	uint32_t sums[CHRONOS_DEVICES_MAX], const struct partition_record *p)
{
	for (uint64_t left = p->devices; left; left &= left - 1) {
		uint32_t *sum = &sums[__builtin_ctzll(left)];
		*sum += p->memory_hundredths;
		if (*sum > CHRONOS_WHOLE)
			return false;
	}
	return true;
}

int chronos_state_audit(const struct state *s, struct chronos_error *e)
{
	uint32_t sums[CHRONOS_DEVICES_MAX] = { 0 };
	uint64_t known = known_devices(s);

	if (s->header.partitions_used > CHRONOS_PARTITIONS_MAX)
		return chronos_fail(e, CHRONOS_UNAVAILABLE,
			"the state is damaged: it counts %u partitions",
			s->header.partitions_used);
	for (uint32_t i = 0; i < CHRONOS_DEVICES_MAX; i++) {
		if (!device_is_sound(&s->devices[i]))
			return chronos_fail(e, CHRONOS_UNAVAILABLE,
				"the state is damaged: device record %u", i);
	}
	for (uint32_t i = 0; i < state_slots(s); i++) {
		const struct partition_record *p = &s->partitions[i];
		if (p->state == PARTITION_FREE)
			continue;
		if (!partition_is_sound(p, known) || !add_share(sums, p))
			return chronos_fail(e, CHRONOS_UNAVAILABLE,
				"the state is damaged: partition record %u", i);
	}
	return 0;
}

/* A mapping of a file that was cut kills whoever touches it, and one of a file that was
 * removed shares with nobody: both are errors of an operator, found before any harm. */
static int check_file(const struct chronos *c, struct chronos_error *e)
{
	struct stat st;

	if (fstat(c->fd, &st) < 0)
		return chronos_fail_sys(e, "%.150s/" STATE_FILE_NAME, c->dir);
	if (st.st_nlink == 0 || st.st_size != (off_t)sizeof(struct state))
		return chronos_fail(e, CHRONOS_UNAVAILABLE,
			"%.150s/" STATE_FILE_NAME " was %s while in use; open it again",
			c->dir, st.st_nlink == 0 ? "removed or replaced" : "cut");
	return 0;
}

/* The monotonic clock, so that a wall clock set back makes nobody wait for hours; but
 * ThreadSanitizer sees only the older call that uses the wall clock. */
static int lock_until_limit(pthread_mutex_t *lock)
{
	struct timespec until;

#ifdef __SANITIZE_THREAD__
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += CHRONOS_LOCK_WAIT_MS / 1000;
	return pthread_mutex_timedlock(lock, &until);
#else
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += CHRONOS_LOCK_WAIT_MS / 1000;
	return pthread_mutex_clocklock(lock, CLOCK_MONOTONIC, &until);
#endif
}

int chronos_mutex_lock(pthread_mutex_t *lock)
{
	int rc = pthread_mutex_trylock(lock);

	return rc == EBUSY ? lock_until_limit(lock) : rc;
}

/* The records need no repair after a death; but look.  A damaged file is marked: leaving
 * the lock inconsistent would say the same, but glibc's trylock then keeps the lock. */
static void take_over(struct state *s)
{
	FAULT_POINT("take over");
	if (chronos_state_audit(s, NULL) < 0)
		s->header.damaged = 1;
	pthread_mutex_consistent(&s->header.lock);
}

static int lock_failed(const struct chronos *c, int rc, struct chronos_error *e)
{
	if (rc == ETIMEDOUT)
		return chronos_fail(e, CHRONOS_TIMEOUT,
			"another process has held the lock of %.100s for %d s", c->dir,
			CHRONOS_LOCK_WAIT_MS / 1000);
	return chronos_fail(
		e, CHRONOS_UNAVAILABLE, "the lock of %.100s is damaged", c->dir);
}

int chronos_state_lock(struct chronos *c, struct chronos_error *e)
{
	if (check_file(c, e) < 0)
		return -1;
	int rc = chronos_mutex_lock(&c->state->header.lock);
	if (rc == EOWNERDEAD)
		take_over(c->state);
	else if (rc != 0)
		return lock_failed(c, rc, e);
	FAULT_POINT("locked");
	if (c->state->header.damaged) {
		chronos_state_unlock(c);
		return chronos_fail(e, CHRONOS_UNAVAILABLE,
			"%.100s/" STATE_FILE_NAME " is damaged; remove it to begin anew",
			c->dir);
	}
	return 0;
}

void chronos_state_unlock(struct chronos *c)
{
	FAULT_POINT("unlock");
	pthread_mutex_unlock(&c->state->header.lock);
}
