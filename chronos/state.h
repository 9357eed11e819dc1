/* state.h - the state file: its layout, and the lock around every use of it. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The records are the only truth.  No sum, count or list of free slots is stored: each
 * operation surveys the live records, so there is nothing that a process killed half-way
 * could leave wrong.  A record comes to be or goes by one store to its `state`, the last
 * store when it is made and the first when it goes.
 *
 * The file is mapped by its writers only: root, its owner, and the group of a directory
 * that the group may write.  They can spoil it for one another, so it is audited when it
 * is opened and after a death, and every index or text read from it is bounded; it is
 * never given to a job.
 *
 * Thread: any, between chronos_state_lock() and chronos_state_unlock().
 */
#pragma once

#include "chronos.h"
#include "clock.h"
#include "forks.h"
#include "shared_lock.h"

#include <pthread.h>
#include <stddef.h>

#define STATE_FILE_NAME "state"
#define STATE_MAGIC     "CHRONOS\n" /* 8 bytes, no NUL */

enum {
	STATE_VERSION = 2,
	STATE_BOOT_ID_BYTES = 40, /* 36 and NULs */
};

/* Stored: append, never renumber. */
enum device_state {
	DEVICE_NONE = 0,
	DEVICE_PRESENT = 1,
	DEVICE_ABSENT = 2, /* was registered, is gone; its slot stays its own */
};

enum partition_state {
	PARTITION_FREE = 0,
	PARTITION_ACTIVE = 1, /* until it expires, which needs no store */
};

/* Bits of a record's flags: append, never renumber. */
enum { PARTITION_BURST = 1, PARTITION_DMEM = 2 };

/* The first 128 bytes keep their meaning in every version. */
struct state_header {
	char magic[8];
	uint32_t version;
	uint32_t header_bytes; /* of the three parts of this layout */
	uint32_t device_bytes;
	uint32_t device_slots;
	uint32_t partition_bytes;
	uint32_t partition_slots;
	char boot_id[STATE_BOOT_ID_BYTES];
	uint32_t generation; /* random; starts the series of ids */
	uint32_t lock_bytes;
	uint64_t reserved[6];

	uint64_t created;         /* partitions ever made: the serial of the last */
	uint32_t partitions_used; /* slots from here on are free */
	uint32_t damaged;         /* 1: found so after a death; not to be used again */
	uint32_t reserved_2[12];
	struct shared_lock lock;
	char reserved_3[3900];
};

struct device_record {
	uint32_t state; /* enum device_state */
	uint32_t kind;  /* enum chronos_kind */
	uint64_t memory_bytes;
	char uuid[96];
	char name[96];
	char pci[24];      /* "": not known */
	char instance[16]; /* the same; MIG's */
	char reserved[8];
};

struct partition_record {
	/* What a survey reads: one cache line. */
	uint32_t state;   /* enum partition_state */
	uint32_t id;      /* never 0 in an active record */
	uint64_t devices; /* bit i: device slot i */
	uint64_t expires_ns;
	uint64_t created_ns;
	uint64_t key_hash; /* 0: no key */
	uint32_t memory_hundredths;
	uint32_t time_hundredths; /* equal to memory's in this version */
	uint32_t owner;
	uint32_t flags;    /* PARTITION_BURST, PARTITION_DMEM */
	uint32_t joinable; /* 1: it has, or had, a file of its own: see share.h */
	uint32_t reserved;

	char key[CHRONOS_KEY_MAX + 1];
	char reserved_2[64];
};

struct state {
	struct state_header header;
	struct device_record devices[CHRONOS_DEVICES_MAX];
	struct partition_record partitions[CHRONOS_PARTITIONS_MAX];
};

_Static_assert(sizeof(struct state_header) == 4096, "one page");
_Static_assert(offsetof(struct state_header, created) == 128, "the part kept for ever");
_Static_assert(sizeof(struct device_record) == 256, "layout of the file");
_Static_assert(sizeof(struct partition_record) == 256, "layout of the file");
_Static_assert(offsetof(struct partition_record, key) == 64, "one cache line");

struct chronos {
	int fd;              /* of the state file: notices that it was removed or cut */
	struct state *state; /* mapped */
	char *dir;           /* as it was given; owned */
	int dirfd;
	struct lock_holder me; /* of this process alone; a forked child takes its own */
	struct fork_watch forks;
	int cancel_state; /* of the thread that holds the lock, before it did */
};

/* The id of this boot, a NUL-terminated text. */
int chronos_boot_id(char boot_id[STATE_BOOT_ID_BYTES], struct chronos_error *e);

/* Write a new, empty state into `bytes` zeroed bytes, for this boot. */
void chronos_state_init(struct state *s, const char *boot_id, uint32_t generation);

enum state_fit {
	STATE_FITS,
	STATE_OF_ANOTHER_BOOT, /* whatever its version is: nothing in it lives */
	STATE_REFUSED,         /* *e says why */
};

/* Judge a header read from a file of file_bytes. */
enum state_fit chronos_state_check_header(const struct state_header *h,
	uint64_t file_bytes, const char *boot_id, struct chronos_error *e);

/* Take a number for the lock.  In a forked child too, with e NULL. */
int chronos_state_take_number(struct chronos *c, struct chronos_error *e);

/* Take the lock, at most CHRONOS_LOCK_WAIT_MS, and see to what a dead holder left.
 * CHRONOS_UNAVAILABLE when the file was removed, cut or damaged meanwhile. */
int chronos_state_lock(struct chronos *c, struct chronos_error *e);
void chronos_state_unlock(struct chronos *c);

/* Locked.  Every record is within its bounds and no device is over its whole. */
int chronos_state_audit(const struct state *s, struct chronos_error *e);

/* Slots to look at; never past the table, whatever the file says or turns into. */
static inline uint32_t state_slots(const struct state *s)
{
	uint32_t used = __atomic_load_n(&s->header.partitions_used, __ATOMIC_RELAXED);

	return used < CHRONOS_PARTITIONS_MAX ? used : CHRONOS_PARTITIONS_MAX;
}

static inline bool partition_is_live(const struct partition_record *p, uint64_t now_ns)
{
	return p->state == PARTITION_ACTIVE && now_ns < p->expires_ns;
}

/* The store that makes a record be, or ends it: all stores before it come first. */
static inline void record_commit(uint32_t *state, uint32_t value)
{
	__atomic_store_n(state, value, __ATOMIC_RELEASE);
}
