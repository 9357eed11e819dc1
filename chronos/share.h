/* share.h - the files by which processes join a partition, and what they keep there. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `partition-ID` has the partition's quotas and what each process of it has allocated;
 * `device-N` has the lease of the device, and the time account of each partition that is
 * joined.  In the cooperative mode every process of a partition maps both for writing and
 * takes the lease itself: they trust each other.  In the arbitrated mode `device-N` is
 * written by the arbiter alone, and says whose turn it is and what each partition may
 * have; the processes map it for reading, and say in their `partition-ID` what they want.
 * That file is theirs to spoil or cut off: who is not of the partition reads and writes it
 * by read(2) and write(2), believes nothing in it and never maps it.
 *
 * Memory is summed up from the clients' records at each charge and stored nowhere, so a
 * process killed at any moment leaves nothing to repair.  A client lives as long as its
 * lock on a byte of the file: the byte's number is its slot.  These are locks of an open
 * file, which the kernel drops with the process; no pid is ever looked at.
 */
#pragma once

#include "forks.h"
#include "state.h"

#define PARTITION_FILE_NAME "partition-"
#define DEVICE_FILE_NAME    "device-"
#define SHARE_MAGIC         "CHRSHARE" /* 8 bytes, no NUL */

enum {
	SHARE_VERSION = 3,
	SHARE_CLIENTS_MAX = 4096, /* in one file */
	SHARE_SEATS_MAX = 256,    /* partitions joined on one device */
	/* Up to so many clients, whoever joins looks which have died; of more, only each
	 * so-manieth does. */
	SHARE_REAP_EVERY = 256,
};

/* Of the lease. */
#define LEASE_QUANTUM_NS UINT64_C(10000000)
#define LEASE_GRACE_NS   UINT64_C(300000)      /* idle for so long: others may take it */
#define LEASE_CREDIT_NS  UINT64_C(100000000)   /* times the share: budget at most */
#define LEASE_DEBT_NS    UINT64_C(60000000000) /* budget at least: see account_charge() */
#define LEASE_POLL_NS    UINT64_C(1000000)     /* a wait looks around this often */
#define LEASE_STALE_NS   UINT64_C(20000000) /* a waiter not seen for so long is passed */
#define LEASE_REVOKE_NS  UINT64_C(1000000000) /* past its end: taken from who is silent */
#define LEASE_TAKE_UP_NS UINT64_C(2000000)    /* the arbiter waits so long for a launch */
/* A launch waits so long for an arbiter that has gone, then fails. */
#define LEASE_ORPHAN_NS UINT64_C(30000000000)

struct share_header {
	char magic[8];
	uint32_t version;
	uint32_t bytes; /* of the whole file */
	char boot_id[STATE_BOOT_ID_BYTES];
	uint32_t generation; /* of the state that it belongs to */
	uint32_t id;         /* of the partition; in a device's file its index */
	struct shared_lock lock;
	char reserved[60];
};

enum share_client_state { CLIENT_FREE = 0, CLIENT_JOINED = 1 };

/* One process: what it has and, where there is an arbiter, what it wants. */
struct memory_client {
	uint32_t state;
	uint32_t device;
	uint64_t used_bytes;
	uint32_t inflight;   /* launched and not known to be done */
	uint32_t waiting;    /* 1: for a turn that it has not taken up */
	uint64_t settled_ns; /* when its inflight last became 0 */
	uint64_t reserved[4];
};

struct partition_file {
	struct share_header header;
	uint64_t expires_ns; /* CLOCK_BOOTTIME; 0: released */
	uint64_t devices;    /* bit i: device i */
	uint64_t created_ns;
	uint32_t hundredths;
	uint32_t flags;        /* as of the record */
	uint32_t clients_used; /* slots from here on are free */
	uint32_t bell;         /* written, by write(2), to wake the arbiter */
	uint64_t quota_bytes[CHRONOS_DEVICES_MAX];
	uint64_t time_ns[CHRONOS_DEVICES_MAX]; /* that it had of each */
	uint64_t refusals[CHRONOS_DEVICES_MAX];
	struct memory_client clients[SHARE_CLIENTS_MAX];
};

/* The time account of one partition on one device. */
struct seat {
	uint64_t created_ns; /* with id: which partition; 0: nobody sits here */
	uint32_t id;
	uint32_t hundredths;
	uint32_t flags;
	uint32_t exhausted; /* 1: until its budget is a quantum's share again */
	int64_t budget_ns;
	uint64_t refilled_ns;
	uint64_t virtual_ns; /* time had, divided by the share: the least goes first */
	uint64_t active_ns;  /* when it last had or wanted a turn */
	/* The next two only an arbiter fills, for those who may not write here. */
	uint64_t expires_ns; /* CLOCK_BOOTTIME; 0: released */
	uint64_t quota_bytes;
	/* That it had the lease.  Cooperative: only what others charged it, when they took
	 * the lease from one of its processes; the rest is in its own file. */
	uint64_t time_ns;
	uint32_t turns; /* futex: goes up when one of its processes gets the lease */
	uint32_t reserved_2;
	uint64_t overruns; /* leases after whose end it still had work in flight */
	uint64_t overrun_ns;
	uint64_t served_ns; /* time_ns of that of its processes which had the last turn */
	uint64_t reserved[2];
};

struct lease_client {
	uint32_t state;
	uint32_t seat;
	uint32_t inflight; /* launched and not known to be done */
	uint32_t waiting;
	uint64_t seen_ns;    /* when it last looked around while it waited */
	uint64_t settled_ns; /* when its inflight last became 0 */
	uint64_t time_ns;    /* had: among those of its partition the least goes first */
	uint64_t busy_since_ns; /* since when it has work in flight; 0: it has none */
	uint64_t uncharged_ns;  /* had, and not on its partition's account yet */
	uint64_t reserved;
};

enum device_mode { DEVICE_COOPERATIVE = 0, DEVICE_ARBITRATED = 1 };

struct device_file {
	struct share_header header;
	/* 0: free.  Cooperative: a grant's number << 16 | slot of the holder + 1.
	 * Arbitrated: see lease_word(). */
	uint64_t lease;
	uint64_t lease_end_ns;
	uint64_t grants;
	uint32_t changes; /* futex: goes up when the lease becomes free */
	uint32_t clients_used;
	uint32_t borrowed; /* 1: the lease is a burst partition's, beyond its share */
	uint32_t mode;     /* enum device_mode; as it was made */
	uint32_t retired;  /* 1: an arbiter has put another file in its place */
	uint32_t reserved;
	/* Of the arbiter. */
	uint64_t seen_ns;    /* when it last looked */
	uint64_t granted_ns; /* when the lease was given */
	uint64_t charged_ns; /* until when its holder has been charged */
	uint32_t reserved_2[14];
	struct seat seats[SHARE_SEATS_MAX];
	struct lease_client clients[SHARE_CLIENTS_MAX];
};

_Static_assert(sizeof(struct share_header) == 128, "layout of the files");
_Static_assert(sizeof(struct memory_client) == 64, "one cache line");
_Static_assert(sizeof(struct seat) == 128, "layout of the file");
_Static_assert(sizeof(struct lease_client) == 64, "one cache line");

/* The arbiter's lease: seats have 8 bits, clients 12. */
#define LEASE_WHO_BITS 20
static inline uint64_t lease_word(uint64_t grant, uint32_t seat, uint32_t client)
{
	return grant << LEASE_WHO_BITS | seat << 12 | client;
}

static inline uint32_t lease_who(uint64_t lease)
{
	return (uint32_t)(lease & ((1u << LEASE_WHO_BITS) - 1));
}
_Static_assert(SHARE_SEATS_MAX <= 256 && SHARE_CLIENTS_MAX <= 4096, "a lease has room");

/* One of the two files, mapped, and open for its locks. */
struct share_map {
	int fd;
	void *at;
	size_t bytes;
	struct lock_holder me; /* where it is mapped for writing */
};

struct chronos_attachment {
	struct share_map partition_map, device_map;
	struct partition_file *p;
	struct device_file *d; /* arbitrated: for reading only */
	bool arbitrated;
	const struct seat *seat; /* arbitrated: the partition's */
	uint32_t who;            /* arbitrated: as lease_who() of its leases */
	uint64_t created_ns;     /* of the partition */
	uint32_t hundredths;
	uint32_t *inflight;   /* in the file that the process may write */
	uint64_t *settled_ns; /* beside it */
	uint32_t device;      /* index */
	uint32_t p_client;    /* slots of this process */
	uint32_t d_client;
	void (*drain)(void *arg);
	void *arg;
	uint32_t forked;      /* 1: this is a child of who joined */
	uint64_t ahead_ns;    /* the clock of the ends, of the kernel's ticks, */
	uint64_t compared_ns; /* as of then, by the ticks; 0: never */

	/* Guards what follows, among this process's threads.  What is atomic is also read,
	 * and busy_since_ns written, by a launch that needs no lock. */
	pthread_mutex_t lock;
	uint64_t token;     /* atomic; the grant that it has or had last; 0: none yet */
	uint64_t kernel_ns; /* atomic; estimate of one launch; 0: not known */
	uint64_t
		busy_since_ns; /* atomic; the first launch after inflight was 0; 0: is 0 */
	bool borrowed;         /* beyond the share */
	uint64_t lease_end_ns; /* of the lease that it has or had last */
	uint32_t done;         /* launches that have ended since busy_since_ns */
	uint32_t timed;        /* of these, reported with the device's own time */
	uint64_t timed_ns;     /* which is this */

	struct fork_watch forks;
};

/* CPU time of the calling thread. */
uint64_t chronos_thread_ns(void);

/* ---- share.c ---- */

/* The partition's file follows its record; state locked.  There may be none. */
void chronos_share_move_end(const struct chronos *c, uint32_t id, uint64_t expires_ns);
/* State locked.  Has the partition, which is not live, still processes that joined it?
 * Their memory is theirs until they end. */
bool chronos_share_drains(const struct chronos *c, const struct partition_record *r);
/* State locked.  Remove the files of partitions that have ended and drained. */
void chronos_share_sweep(const struct chronos *c, uint64_t now_ns);
/* State locked.  Nobody needs its file any more. */
void chronos_share_remove(const struct chronos *c, uint32_t id);

/* Open and map a file of the directory, if it is of this boot and sound. */
int chronos_share_map(int dirfd, const char *name, size_t bytes, bool for_writing,
	struct share_map *out, struct chronos_error *e);
void chronos_share_unmap(struct share_map *m);

struct file_name {
	char text[40];
};
struct file_name chronos_partition_file(uint32_t id);
struct file_name chronos_device_file(uint32_t index);
/* Open a file of the directory, not as one of the standard descriptors. */
int chronos_share_open(int dirfd, const char *name, int flags);
/* State locked.  Make a device's file, or make it anew. */
int chronos_device_file_make(const struct chronos *c, uint32_t index,
	enum device_mode mode, struct chronos_error *e);

/* Take a slot's life lock; false when another has it. */
bool chronos_share_live(int fd, uint32_t slot);
/* Does another open file hold it? */
bool chronos_share_is_live(int fd, uint32_t slot);
/* Does another hold any slot's? */
bool chronos_share_any_lives(int fd);

/* ---- attach.c ---- */

/* By the file of the partition, or by what the arbiter says of it. */
bool chronos_attachment_has_ended(const struct chronos_attachment *a, uint64_t now_ns);

/* ---- ask.c: a process of an arbitrated device ---- */

/* The partition's processes may see this one: wait until the arbiter has seated it. */
int chronos_ask_seat(struct chronos_attachment *a, struct chronos_error *e);
/* Wake the arbiter. */
void chronos_ask_ring(const struct chronos_attachment *a);
/* a locked.  Ask for a turn. */
void chronos_ask_turn(struct chronos_attachment *a);
/* Wait a while for the seat's turns to be other than `seen`.  CHRONOS_TIMEOUT: no arbiter
 * has looked since long, though asked since since_ns. */
int chronos_ask_wait(const struct chronos_attachment *a, uint32_t seen, uint64_t since_ns,
	struct chronos_error *e);

/* ---- arbiter.c ---- */

/* Is there one, which serves this directory or is about to? */
bool chronos_arbiter_lives(int dirfd);

/* ---- lease.c ---- */

/* Sit down on the device, file's lock held; false when every seat is taken. */
bool chronos_lease_sit(struct chronos_attachment *a, struct chronos_error *e);
void chronos_lease_leave(struct chronos_attachment *a);
