/* state.c - the state file's checks and its lock. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "state.h"

#include "error.h"
#include "fault.h"
#include "share.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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
	memcpy(h->magic, STATE_MAGIC, sizeof h->magic);
}

static bool layout_is_ours(const struct state_header *h)
{
	return h->header_bytes == sizeof(struct state_header) &&
	       h->device_bytes == sizeof(struct device_record) &&
	       h->device_slots == CHRONOS_DEVICES_MAX &&
	       h->partition_bytes == sizeof(struct partition_record) &&
	       h->partition_slots == CHRONOS_PARTITIONS_MAX &&
	       h->lock_bytes == sizeof h->lock;
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

/* By an open file that is not the mapped one, which a child's mapping would keep open. */
int chronos_state_take_number(struct chronos *c, struct chronos_error *e)
{
	struct stat own, mapped;
	int fd = chronos_share_open(c->dirfd, STATE_FILE_NAME, O_RDWR);

	if (fd < 0 || fstat(fd, &own) < 0 || fstat(c->fd, &mapped) < 0) {
		chronos_fail_sys(e, "open the state of %.150s once more", c->dir);
	} else if (own.st_ino != mapped.st_ino || own.st_dev != mapped.st_dev) {
		chronos_fail(e, CHRONOS_UNAVAILABLE,
			"%.150s/" STATE_FILE_NAME
			" was replaced while in use; open it again",
			c->dir);
	} else if (chronos_holder_init(&c->me, fd) < 0) {
		chronos_fail_sys(e, "take part in the lock of %.150s", c->dir);
	} else {
		return 0;
	}
	if (fd >= 0)
		close(fd);
	return -1;
}

/* The records need no repair after a death; but look. */
static void take_over(struct state *s)
{
	FAULT_POINT("take over");
	if (chronos_state_audit(s, NULL) < 0)
		s->header.damaged = 1;
}

int chronos_state_lock(struct chronos *c, struct chronos_error *e)
{
	int cancel_state;

	if (check_file(c, e) < 0)
		return -1;
	if (!c->me.number)
		return chronos_fail(e, CHRONOS_UNAVAILABLE,
			"this forked process could not open %.150s/" STATE_FILE_NAME
			" once more; open it again",
			c->dir);
	/* A thread that ended in between would keep the lock. */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
	int rc = chronos_lock_take(&c->state->header.lock, &c->me);
	if (rc == ETIMEDOUT) {
		pthread_setcancelstate(cancel_state, NULL);
		return chronos_fail(e, CHRONOS_TIMEOUT,
			"another process has held the lock of %.100s for %d s", c->dir,
			CHRONOS_LOCK_WAIT_MS / 1000);
	}
	c->cancel_state = cancel_state;
	if (rc == EOWNERDEAD)
		take_over(c->state);
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
	int cancel_state = c->cancel_state;

	FAULT_POINT("unlock");
	chronos_lock_give(&c->state->header.lock);
	pthread_setcancelstate(cancel_state, NULL);
}
