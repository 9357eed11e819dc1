/* share.h - the files by which processes join a partition, and what they keep there. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `partition-ID` has the partition's quotas and what each process of it has allocated;
 * `device-N` has the lease of the device, and the time account of each partition that is
 * joined.  In the cooperative mode, the only one of this version, every process of a
 * partition maps both for writing and takes the lease itself: they trust each other.
 *
 * Memory is summed up from the clients' records at each charge and stored nowhere, so a
 * process killed at any moment leaves nothing to repair.  A client lives as long as its
 * lock on a byte of the file: the byte's number is its slot.  These are locks of an open
 * file, which the kernel drops with the process; no pid is ever looked at.
 */
#pragma once

#include "state.h"

#define PARTITION_FILE_NAME "partition-"
#define DEVICE_FILE_NAME    "device-"
#define SHARE_MAGIC         "CHRSHARE" /* 8 bytes, no NUL */

enum {
	SHARE_VERSION = 1,
	SHARE_CLIENTS_MAX = 1024, /* in one file */
	SHARE_SEATS_MAX = 128,    /* partitions joined on one device */
};

/* Of the lease. */
#define LEASE_QUANTUM_NS UINT64_C(10000000)
#define LEASE_GRACE_NS   UINT64_C(300000)    /* idle for so long: others may take it */
#define LEASE_CREDIT_NS  UINT64_C(100000000) /* times the share: budget at most */
#define LEASE_POLL_NS    UINT64_C(1000000)   /* a wait looks around this often */
#define LEASE_STALE_NS   UINT64_C(20000000)  /* a waiter not seen for so long is passed */
#define LEASE_REVOKE_NS  UINT64_C(1000000000) /* past its end: taken from who is silent */

struct share_header {
	char magic[8];
	uint32_t version;
	uint32_t bytes; /* of the whole file */
	char boot_id[STATE_BOOT_ID_BYTES];
	uint32_t generation; /* of the state that it belongs to */
	uint32_t id;         /* of the partition; in a device's file its index */
	union {
		pthread_mutex_t lock;
		char lock_room[64];
	};
};

enum share_client_state { CLIENT_FREE = 0, CLIENT_JOINED = 1 };

struct memory_client {
	uint32_t state;
	uint32_t device;
	uint64_t used_bytes;
	uint64_t reserved[6];
};

struct partition_file {
	struct share_header header;
	uint64_t expires_ns; /* CLOCK_BOOTTIME; 0: released */
	uint64_t devices;    /* bit i: device i */
	uint64_t created_ns;
	uint32_t hundredths;
	uint32_t flags;        /* as of the record */
	uint32_t clients_used; /* slots from here on are free */
	uint32_t reserved;
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
	uint64_t reserved[9];
};

struct lease_client {
	uint32_t state;
	uint32_t seat;
	uint32_t inflight; /* launched and not known to be done */
	uint32_t waiting;
	uint64_t seen_ns;    /* when it last looked around while it waited */
	uint64_t settled_ns; /* when its inflight last became 0 */
	uint64_t time_ns;
	uint64_t reserved[3];
};

struct device_file {
	struct share_header header;
	uint64_t lease; /* a grant's number << 16 | slot of the holder + 1; 0: free */
	uint64_t lease_end_ns;
	uint64_t grants;
	uint32_t changes; /* futex: goes up when the lease becomes free */
	uint32_t clients_used;
	uint32_t borrowed; /* 1: by a burst partition, beyond its share */
	uint32_t reserved[23];
	struct seat seats[SHARE_SEATS_MAX];
	struct lease_client clients[SHARE_CLIENTS_MAX];
};

_Static_assert(sizeof(struct share_header) == 128, "layout of the files");
_Static_assert(sizeof(struct memory_client) == 64, "one cache line");
_Static_assert(sizeof(struct seat) == 128, "layout of the file");
_Static_assert(sizeof(struct lease_client) == 64, "one cache line");

/* One of the two files, mapped, and open for its locks. */
struct share_map {
	int fd;
	void *at;
	size_t bytes;
};

struct chronos_attachment {
	struct share_map partition_map, device_map;
	struct partition_file *p;
	struct device_file *d;
	uint32_t device;   /* index */
	uint32_t p_client; /* slots of this process */
	uint32_t d_client;
	void (*drain)(void *arg);
	void *arg;
	uint32_t forked; /* 1: this is a child of who joined */

	pthread_mutex_t lock;   /* guards what follows, among this process's threads */
	uint64_t token;         /* the grant that it has or had last; 0: none yet */
	bool borrowed;          /* beyond the share */
	uint64_t busy_since_ns; /* the first launch after inflight was 0 */
	uint32_t launches;      /* since then */
	uint32_t timed;         /* of these, reported with the device's own time */
	uint64_t timed_ns;      /* which is this */
	uint64_t kernel_ns;     /* estimate of one launch */
	uint64_t uncharged_ns;  /* time had since the account was last charged */

	struct chronos_attachment *next, **link; /* of all in this process */
};

/* ---- share.c ---- */

/* The partition's file follows its record; state locked.  There may be none. */
void chronos_share_move_end(struct chronos *c, uint32_t id, uint64_t expires_ns);
void chronos_share_end(struct chronos *c, uint32_t id);

/* Open and map a file of the directory for writing, if it is of this boot and sound. */
int chronos_share_map(int dirfd, const char *name, size_t bytes, struct share_map *out,
	struct chronos_error *e);
void chronos_share_unmap(struct share_map *m);

/* Take a slot's life lock; false when another has it. */
bool chronos_share_live(int fd, uint32_t slot);
/* Does another open file hold it? */
bool chronos_share_is_live(int fd, uint32_t slot);

/* ---- lease.c ---- */

/* Sit down on the device, file's lock held; false when every seat is taken. */
bool chronos_lease_sit(struct chronos_attachment *a, struct chronos_error *e);
void chronos_lease_leave(struct chronos_attachment *a);
