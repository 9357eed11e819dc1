/* held.h - what this process has allocated, by its address or handle, and on which device. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory is charged before the driver is asked (held_charge), and what was asked for is
 * then either bound to what the driver gave or given back (held_settle).  It is given
 * back to the device that it was charged to, whichever is current when it is freed.
 * Locks are sharded and held across no call of the driver.  Thread: any.
 */
#pragma once

#include "partition.h"

/* Those before HELD_CONTEXT go with their context. */
enum held_kind { HELD_MEMORY, HELD_ARRAY, HELD_HEAP, HELD_CONTEXT, HELD_PART };

struct held; /* opaque */

/* The charge of an allocation that is being made; NULL in `record`: it is free. */
struct held_claim {
	struct device *device; /* NULL: nothing holds this process */
	struct held *record;
};

/* On the device of the thread's context. */
CUresult held_charge(struct held_claim *c, enum held_kind kind, uint64_t bytes);
CUresult held_charge_on(
	struct held_claim *c, struct device *d, enum held_kind kind, uint64_t bytes);
/* The driver answered `rc` and, with CUDA_SUCCESS, the address or handle.  Returns rc. */
CUresult held_settle(struct held_claim *c, CUresult rc, uint64_t number);
/* Change the charge of a claim to what it turned out to be. */
CUresult held_recharge(struct held_claim *c, uint64_t bytes);

/* Before it is freed: take it off the books, so that whoever gets its address next finds
 * them free.  NULL where it is not held. */
struct held *held_take(enum held_kind kind, uint64_t number);
/* The driver answered `rc` to its being freed: give it back, or put it back. NULL is
 * fine.  Returns rc. */
CUresult held_freed(struct held *h, CUresult rc);

/* That it was charged to. */
struct device *held_device(const struct held *h);

/* Everything that was allocated in a context is freed with it. */
void held_drop_context(CUcontext context);

/* In a forked child, in which all of it is the parent's. */
void held_in_child(void);
