/* shared_lock.h - a lock in a mapped file, which ends with the process that holds it. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Not a robust mutex of the C library: the kernel knows the holder of one by its thread's
 * number, and each PID namespace has that number again.  There, a waiter that is killed
 * frees the lock of its namesake, and two are in.
 *
 * Here a process is known by a number that no other living one has: it has locked that
 * byte of the file, far past the end, by a lock of an open file, which the kernel drops
 * with it.  Who waits asks now and then whether the holder's byte is still locked.  The
 * word may be anything: what names nobody that lives is free.
 *
 * Thread: any; the threads of a process exclude each other too.  One that ends, or is
 * cancelled, while it holds a lock keeps it until its process ends.
 */
#pragma once

#include <stdint.h>

struct shared_lock {
	uint32_t word; /* 0: free; else its holder's number, and whether others wait */
};

/* Who one is, for the locks of one file. */
struct lock_holder {
	int fd;          /* of the file, for writing; borrowed */
	uint32_t number; /* 0: none */
};

/* Take a number.  It is had until the open file of fd is closed by all who have it: a
 * child that was forked has it too, and so has a mapping that was made with it.  -1 with
 * errno set when none can be had. */
int chronos_holder_init(struct lock_holder *me, int fd);
/* Be known by one of the file's first 4096 bytes instead, which fd has locked already: where
 * thousands have locks, each costs all of them.  Such a byte is given to another only by
 * who holds the lock. */
void chronos_holder_use_byte(struct lock_holder *me, uint32_t byte);

/* Wait at most CHRONOS_LOCK_WAIT_MS: 0, EOWNERDEAD (taken; what its holder left may be
 * half done), or ETIMEDOUT. */
int chronos_lock_take(struct shared_lock *l, const struct lock_holder *me);
void chronos_lock_give(struct shared_lock *l);
