/* chronos.h - fractional, time-limited partitions of the GPUs of one machine. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A partition holds a share (hundredths) of one or several devices for one owner until
 * it is released or expires.  What is held is kept in one file of a directory, shared
 * by all processes that open that directory: no daemon is needed, a partition outlives
 * the process that made it, and the shares of a device never sum past 100.  A process
 * killed at any point leaves the books right.
 *
 * A partition by itself holds no program to anything: it is booked.  Held is a process
 * that joins it (chronos_attach) and asks before it allocates and launches.  The layers of
 * OpenCL and CUDA, which `chronos run` puts into a program, do that for it; what uses
 * neither does it by itself.  chronos_usage() says what holds a partition's programs;
 * chronos_enforcement() what holds the others: nothing, "off".
 *
 *	once in a directory   chronos_open, chronos_devices_discover, chronos_devices_register
 *	whoever shares        chronos_create, _renew, _release, _list, _usage; chronos_close
 *	whoever is held       chronos_attach; chronos_charge, chronos_uncharge; chronos_launch,
 *	                      chronos_launch_done; chronos_detach
 *
 * Thread: any; one handle may be used by many threads, and goes on working in a forked
 * child.  What closes or frees a handle must be its last use.  The library never prints,
 * exits, starts threads or sets signals.  It waits for no lock longer than
 * CHRONOS_LOCK_WAIT_MS, for drivers within the limit of chronos_devices_discover(), and for
 * a turn as long as it takes (chronos_launch).
 *
 * Every fallible call returns 0 or -1 (or a pointer or NULL) and on failure fills *e,
 * which may be NULL, and leaves its other out-parameters and the partitions unchanged.
 * Any of them may fail with CHRONOS_TIMEOUT, CHRONOS_UNAVAILABLE or CHRONOS_SYSTEM; the
 * others are named.  Names in *_ns are nanoseconds, in *_bytes bytes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CHRONOS_API     __attribute__((visibility("default")))
#define CHRONOS_CHECKED __attribute__((warn_unused_result))

enum {
	/* Devices that one directory can know, and partitions that it can hold at once. */
	CHRONOS_DEVICES_MAX = 64,
	CHRONOS_PARTITIONS_MAX = 16384,
	/* Hundredths of a whole device. */
	CHRONOS_WHOLE = 100,
	/* Bytes of a key, without the NUL. */
	CHRONOS_KEY_MAX = 127,
	CHRONOS_LOCK_WAIT_MS = 5000,
};

#define CHRONOS_DURATION_MAX_NS (UINT64_C(10) * 365 * 86400 * 1000000000)
#define CHRONOS_OWNER_CALLER    UINT32_MAX /* owner: the real user id of this process */
#define CHRONOS_DEFAULT_DIR     "/run/chronos"

enum chronos_code {
	CHRONOS_OK = 0,
	/* An argument is wrong, whatever the state is. */
	CHRONOS_INVALID = 1,
	/* No such device or partition, or no longer. */
	CHRONOS_NOT_FOUND = 2,
	/* The key has a different partition, or a prefix fits several. */
	CHRONOS_CONFLICT = 3,
	/* Not enough of a device is free, or a table is full. */
	CHRONOS_EXHAUSTED = 4,
	/* Not the owner, or no access to the directory. */
	CHRONOS_DENIED = 5,
	/* The state file cannot be used (foreign, damaged, replaced), or a driver. */
	CHRONOS_UNAVAILABLE = 6,
	/* Another process held the lock, or a probe hung. */
	CHRONOS_TIMEOUT = 7,
	/* A system call failed: see sys. */
	CHRONOS_SYSTEM = 8,
	CHRONOS_INTERNAL = 9,
};

struct chronos_error {
	enum chronos_code code;
	int sys; /* errno, 0 where none applies */
	char text[256];
};

/* "invalid", "not_found", ...; for programs and logs. */
CHRONOS_API const char *chronos_code_name(enum chronos_code code);
CHRONOS_API const char *chronos_version(void);

/* ---- a directory of partitions ---- */

struct chronos; /* opaque */

/* Open the partitions kept in dir; NULL means $CHRONOS_DIR, or else /run/chronos.
 * A missing directory (its last component) is made, 0700, and an empty state with it;
 * the state of an earlier boot is replaced by an empty one.  A new one knows no devices:
 * chronos_devices_register() tells it, as the program chronos does.  The directory and its
 * state must belong to root or to the caller and not be writable by everybody; a
 * directory that its group may write shares the state with that group.
 * CHRONOS_DENIED or CHRONOS_UNAVAILABLE names what is wrong with it. */
CHRONOS_API CHRONOS_CHECKED struct chronos *chronos_open(
	const char *dir, struct chronos_error *e);
/* Gives back the handle; partitions stay.  NULL is fine. */
CHRONOS_API void chronos_close(struct chronos *c);

/* ---- devices ---- */

/* Stored in the state file: append, never renumber. */
enum chronos_kind {
	CHRONOS_KIND_NVIDIA = 1,
	CHRONOS_KIND_MIG = 2,        /* an instance that the hardware already cut off */
	CHRONOS_KIND_OPENCL = 3,     /* a GPU that OpenCL shows */
	CHRONOS_KIND_OPENCL_CPU = 4, /* the processor, shown as a device by OpenCL */
	CHRONOS_KIND_SIMULATED = 5,  /* no device at all */
};

struct chronos_device {
	uint32_t index; /* its number in this directory: stays for the whole boot */
	enum chronos_kind kind;
	char uuid[96];
	char name[96];
	uint64_t memory_bytes;
	bool present; /* false: was registered once, is gone now, takes no partition */
	uint32_t free_hundredths; /* of time and of memory: the smaller */
	uint32_t partitions;      /* active ones */
	/* Memory of partitions that have ended, but have processes that joined and live. */
	uint32_t draining_hundredths;
	/* Where it is on PCI, as the kernel writes it: "0000:03:00.0"; of a MIG instance, where
	 * its GPU is.  "": not known. */
	char pci[24];
	/* Of a MIG instance, which one of its GPU: "gi1/ci0", GPU and compute instance as the
	 * driver's files are named.  "": it is none, or not known. */
	char instance[16];
};

/* "nvidia", "mig", "opencl", "opencl-cpu", "simulated"; "unknown" for anything else. */
CHRONOS_API const char *chronos_kind_name(enum chronos_kind kind);

/* The devices of the directory in order of index, absent ones too: the first max go to
 * out, and *count is how many there are. */
CHRONOS_API CHRONOS_CHECKED int chronos_devices(struct chronos *c,
	struct chronos_device *out, size_t max, size_t *count, struct chronos_error *e);

enum chronos_source {
	CHRONOS_DEVICES_NONE,
	CHRONOS_DEVICES_AUTO, /* NVIDIA by NVML (MIG instances for their GPU), OpenCL GPUs */
	CHRONOS_DEVICES_OPENCL_CPU, /* the processor by OpenCL, for trying things out */
	CHRONOS_DEVICES_SIMULATED,
};

struct chronos_device_spec {
	enum chronos_source source;
	uint32_t simulated; /* how many, 1 to CHRONOS_DEVICES_MAX */
};

/* Read "auto", "simulated:N", "opencl-cpu" or "none". */
CHRONOS_API CHRONOS_CHECKED int chronos_devices_parse(
	const char *text, struct chronos_device_spec *spec, struct chronos_error *e);

/* Find the machine's devices; out has room for max, *count says how many there are.
 * Drivers are asked in a forked child with a limit of 20 s, so that nothing of them
 * stays in this process.  Call it before threads are started: a child forked beside
 * running threads can hang in the loader, which then costs the whole limit.
 * No driver is no device; a driver that does not answer is CHRONOS_UNAVAILABLE. */
CHRONOS_API CHRONOS_CHECKED int chronos_devices_discover(
	const struct chronos_device_spec *spec, struct chronos_device *out, size_t max,
	size_t *count, struct chronos_error *e);

/* Tell the directory which devices exist.  A uuid that it knows keeps its index, new
 * ones are added, and those not named become absent; partitions stay.  Only root and
 * the owner of the state may. */
CHRONOS_API CHRONOS_CHECKED int chronos_devices_register(struct chronos *c,
	const struct chronos_device *devices, size_t count, struct chronos_error *e);

/* Hundredths of one device that can be had now, by index ("0") or uuid; 0 for an absent one. */
CHRONOS_API CHRONOS_CHECKED int chronos_available(struct chronos *c, const char *device,
	uint32_t *hundredths, struct chronos_error *e);

/* ---- partitions ---- */

struct chronos_request {
	const char *key; /* NULL: none; else 1 to 127 of A-Z a-z 0-9 . _ : / @ + = -
	                  * and not beginning with "p-" */
	const char *const *devices; /* each an index ("0") or a uuid, no device twice */
	size_t device_count;        /* at least 1 */
	uint32_t hundredths;        /* 1 to 100, of each of the devices */
	uint64_t duration_ns;       /* 1 to CHRONOS_DURATION_MAX_NS, from now */
	uint32_t owner; /* user id or CHRONOS_OWNER_CALLER; only root names others */
	bool burst;     /* use time that nobody else wants, beyond the share */
};

struct chronos_partition {
	char id[16];                   /* "p-" and 8 hexadecimal digits */
	char key[CHRONOS_KEY_MAX + 1]; /* "" when it has none */
	uint32_t owner;                /* user id */
	uint32_t hundredths;           /* of each device */
	size_t device_count;
	uint32_t devices[CHRONOS_DEVICES_MAX]; /* indices, ascending */
	uint64_t memory_bytes; /* its share of memory, summed over its devices */
	uint64_t created_ns;   /* CLOCK_BOOTTIME */
	uint64_t expires_ns;   /* CLOCK_BOOTTIME */
	uint64_t left_ns;      /* until it expires, when this was filled */
	bool burst;
	bool dmem; /* the kernel holds it to its memory as well: chronos_note_dmem() */
};

/* Take the share of every device named, or of none, under one id.
 * A key makes it repeatable: where this owner has an active partition of that key with
 * the same devices and share, *out is that one, its expiry untouched, and *existed is
 * true (existed may be NULL).  CHRONOS_CONFLICT: the key has a partition of another
 * owner, share or set of devices.  CHRONOS_EXHAUSTED: a device has not enough left. */
CHRONOS_API CHRONOS_CHECKED int chronos_create(struct chronos *c,
	const struct chronos_request *r, struct chronos_partition *out, bool *existed,
	struct chronos_error *e);

/* In the calls below `name` is an id, a prefix of one ("p-3f") that fits only one active
 * partition, or a key.  What is released or expired is CHRONOS_NOT_FOUND. */

/* Let it expire duration_ns from now, be that later or earlier than before.
 * Owner and root only.  out may be NULL. */
CHRONOS_API CHRONOS_CHECKED int chronos_renew(struct chronos *c, const char *name,
	uint64_t duration_ns, struct chronos_partition *out, struct chronos_error *e);

/* Give its shares back: of time at once, of memory too if no process is joined, and else
 * when the last of them has ended.  The same holds when it expires.  Owner and root only. */
CHRONOS_API CHRONOS_CHECKED int chronos_release(
	struct chronos *c, const char *name, struct chronos_error *e);

/* Note that whoever starts the partition's programs does so in a control group that the
 * kernel holds to the share of the devices' memory (dmem.max), so that chronos_usage() says
 * so.  Nothing is set by it.  Owner and root only. */
CHRONOS_API CHRONOS_CHECKED int chronos_note_dmem(
	struct chronos *c, const char *name, struct chronos_error *e);

CHRONOS_API CHRONOS_CHECKED int chronos_find(struct chronos *c, const char *name,
	struct chronos_partition *out, struct chronos_error *e);

/* All active partitions, oldest first.  The caller gives *out to
 * chronos_partitions_free(); *out is NULL when there are none. */
CHRONOS_API CHRONOS_CHECKED int chronos_list(struct chronos *c,
	struct chronos_partition **out, size_t *count, struct chronos_error *e);
CHRONOS_API void chronos_partitions_free(struct chronos_partition *list);

/* ---- being held to a share ---- */

/* A process that joined a partition, on one device of it: an attachment.  It lasts until
 * chronos_detach() or the end of the process, however it ends; it is not inherited by a
 * forked child, whose calls on it fail with CHRONOS_NOT_FOUND.  Thread: any. */
struct chronos_attachment; /* opaque */

/* Make the files by which processes join a partition, `partition-ID` and `device-N` in
 * the directory, if they are not there; owner and root only.  out may be NULL. */
CHRONOS_API CHRONOS_CHECKED int chronos_prepare(struct chronos *c, const char *name,
	struct chronos_partition *out, struct chronos_error *e);

struct chronos_joining {
	const char *dir; /* as for chronos_open() */
	const char
		*name; /* the partition; where only its files can be seen, its whole id */
	uint32_t device; /* index; must be one of the partition's */
	/* Wait until all launched work is done and report it by chronos_launch_done().
	 * Called from chronos_launch() and chronos_settle(), which wait for it. */
	void (*drain)(void *arg);
	void *arg;
};

/* Join, and make the files for it where they are not there and the caller is the owner
 * or root.  CHRONOS_NOT_FOUND: it has ended, or has no part of that device, or there are no
 * files.  CHRONOS_DENIED: another user's.  CHRONOS_EXHAUSTED: too many processes or
 * partitions on the device.  CHRONOS_UNAVAILABLE "... join again": something changed just
 * then.  CHRONOS_TIMEOUT: the device is an arbiter's, and none serves. */
CHRONOS_API CHRONOS_CHECKED struct chronos_attachment *chronos_attach(
	const struct chronos_joining *j, struct chronos_error *e);
/* Give back its memory and its turn.  NULL is fine. */
CHRONOS_API void chronos_detach(struct chronos_attachment *a);

/* Its share of the device's time. */
CHRONOS_API uint32_t chronos_hundredths(const struct chronos_attachment *a);
/* Bytes of the device that all processes of the partition may have together. */
CHRONOS_API uint64_t chronos_quota(const struct chronos_attachment *a);
/* Bytes that they have now. */
CHRONOS_API uint64_t chronos_used(struct chronos_attachment *a);

/* Before bytes are allocated.  CHRONOS_EXHAUSTED if and only if the partition would then
 * have more than its quota; CHRONOS_NOT_FOUND: it has ended. */
CHRONOS_API CHRONOS_CHECKED int chronos_charge(
	struct chronos_attachment *a, uint64_t bytes, struct chronos_error *e);
/* After bytes that this attachment charged were freed, or could not be allocated. */
CHRONOS_API void chronos_uncharge(struct chronos_attachment *a, uint64_t bytes);

/* Has its partition ended, or was it this process's parent that joined?  Nothing may be
 * allocated or launched then.  That the machine slept past the end it notices up to 20 ms
 * after it woke, as chronos_charge() does, and chronos_launch() of a whole device. */
CHRONOS_API bool chronos_has_ended(struct chronos_attachment *a);

/* Before one piece of work is launched: waits for the partition's turn on the device, which
 * also when nobody else wants it takes as long as its share demands.
 * After 0 the caller launches, and reports the end by chronos_launch_done().
 * CHRONOS_NOT_FOUND: the partition has ended, nothing may be launched.  CHRONOS_TIMEOUT: no
 * arbiter has given turns for 30 s. */
CHRONOS_API CHRONOS_CHECKED int chronos_launch(
	struct chronos_attachment *a, struct chronos_error *e);
/* `count` launches are known to be done, or were not made. */
CHRONOS_API void chronos_launch_done(struct chronos_attachment *a, uint32_t count);
/* The same, of who asked the device how long it was busy with them: that is charged when
 * it is known of all that was launched since nothing was in flight, and is less than the
 * time that has passed.  0: not known.  An arbiter charges a lease for as long as it is
 * held, as the device was nobody else's meanwhile: there it only serves to foresee how much
 * more fits into a lease. */
CHRONOS_API void chronos_launch_took(
	struct chronos_attachment *a, uint32_t count, uint64_t busy_ns);
/* Pass the turn on if it is over, waiting for what was launched.  For a thread that
 * watches over a program which launches and never waits. */
CHRONOS_API void chronos_settle(struct chronos_attachment *a);

struct chronos_usage {
	uint32_t device;
	uint32_t clients; /* processes that joined and live */
	/* The partition's file has so many locks, by whoever may open it, that to tell its
	 * living processes from the dead would take too long: clients and used_bytes are
	 * not known, and 0. */
	bool uncounted;
	uint64_t quota_bytes;
	uint64_t used_bytes; /* of those that live */
	uint64_t time_ns;    /* the device's time that it had since it was first joined */
	uint64_t refusals;   /* of allocations */
	/* A kernel cannot be interrupted: leases after whose end it still had work in
	 * flight, by more than 0.3 ms, and for how long, all together.  Part of time_ns. */
	uint64_t overruns;
	uint64_t overrun_ns;
	/* "arbitrated" or "cooperative" once it can be joined, "off" before; with "+dmem"
	 * where the kernel holds its memory as well, then "dmem" for "off"; static */
	const char *enforcement;
};

/* What a partition has of one of its devices, an index.  Also of one that was not joined
 * yet: then all is 0 but the quota.  CHRONOS_NOT_FOUND: it is none of them. */
CHRONOS_API CHRONOS_CHECKED int chronos_usage(struct chronos *c,
	const struct chronos_partition *p, uint32_t device, struct chronos_usage *out,
	struct chronos_error *e);

/* ---- the arbiter ---- */

/* Gives the turns of a directory's devices to programs that need not be trusted: they see
 * `device-N` for reading only, and of a `partition-ID` each its own.  Where one has
 * started, programs that join take no turn by themselves any more, also when it has died:
 * then a launch waits for the next arbiter, at most 30 s.  Thread: one at a time. */
struct chronos_arbiter; /* opaque */

/* Take up the directory's devices and partitions as they are.  CHRONOS_CONFLICT: there is
 * an arbiter already, or programs that take turns by themselves are on a device. */
CHRONOS_API CHRONOS_CHECKED struct chronos_arbiter *chronos_arbiter_open(
	const char *dir, struct chronos_error *e);
/* Give the place to another.  What is joined stays so; where no partition can be joined, the
 * next to join takes turns by itself again.  NULL is fine. */
CHRONOS_API void chronos_arbiter_close(struct chronos_arbiter *a);
/* Give turns.  To be called again when chronos_arbiter_fd() is readable, and at the latest
 * after *wait_ns, UINT64_MAX for never.  Fails when the directory's state is gone. */
CHRONOS_API CHRONOS_CHECKED int chronos_arbiter_serve(
	struct chronos_arbiter *a, uint64_t *wait_ns, struct chronos_error *e);
CHRONOS_API int chronos_arbiter_fd(const struct chronos_arbiter *a);
/* Does one serve this directory now? */
CHRONOS_API bool chronos_arbiter_serves(const struct chronos *c);
/* Partitions that can be joined now. */
CHRONOS_API uint32_t chronos_arbiter_partitions(const struct chronos_arbiter *a);

/* ---- the whole ---- */

struct chronos_stats {
	char dir[256];           /* cut off with "..." when longer */
	uint32_t generation;     /* changes when the state is reset */
	uint32_t devices;        /* known, absent ones too */
	uint32_t partitions;     /* active */
	uint64_t created;        /* partitions ever created in this generation */
	const char *enforcement; /* as chronos_enforcement(); static */
};

CHRONOS_API CHRONOS_CHECKED int chronos_stats(
	struct chronos *c, struct chronos_stats *out, struct chronos_error *e);

/* What keeps a program that does not join within its share: "off".  Static text. */
CHRONOS_API const char *chronos_enforcement(const struct chronos *c);

/* ---- amounts ---- */

/* Read a share as decimal text: "0.5", ".25", "1", "0.01" to "1.00".  At most two
 * decimals; no sign, exponent, space or other text. */
CHRONOS_API CHRONOS_CHECKED int chronos_share_parse(
	const char *text, uint32_t *hundredths, struct chronos_error *e);

/* The bytes that so many hundredths of a device of memory_bytes are, rounded down. */
CHRONOS_API uint64_t chronos_share_bytes(uint64_t memory_bytes, uint32_t hundredths);

#ifdef __cplusplus
}
#endif
