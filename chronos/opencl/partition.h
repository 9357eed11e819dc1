/* partition.h - the partition that the program is held to. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * That of CHRONOS_PARTITION, in CHRONOS_DIR; its device is 0, or the one of CHRONOS_DEVICE.
 * Every OpenCL device of the program counts as that one.  Of several, "0,1", which must be
 * whole, only the end is held, as nobody else is on them.  It is joined when it is first
 * asked; where it cannot be, everything is refused.  Thread: any.
 */
#pragma once

#include "chronos.h"
#include "opencl.h"

/* NULL where it cannot be joined, which is told once on stderr. */
struct chronos_attachment *partition_join(void);
/* NULL where that has not been done. */
struct chronos_attachment *partition_joined(void);
/* Goes up with each fork: what a child has of its parent is not its own to give back. */
uint32_t partition_life(void);

/* CL_MEM_OBJECT_ALLOCATION_FAILURE where the quota does not allow it,
 * CL_INVALID_OPERATION where the partition has ended or cannot be joined. */
cl_int partition_charge(uint64_t bytes);
void partition_uncharge(uint64_t bytes);
/* Has it ended? */
cl_int partition_check(void);
/* What a device's memory is shown as; UINT64_MAX: as it is. */
uint64_t partition_quota(void);
/* How much of it can still be had. */
uint64_t partition_free(void);

void partition_in_child(void);
