/* partition.h - the devices that this process may use, and how much of them. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The partition is that of CHRONOS_PARTITION (in CHRONOS_DIR), its devices are those of
 * CHRONOS_DEVICE: "3,5" are CUDA's devices 0 and 1, or, where CHRONOS_DEVICE_UUID has a
 * list too, those of these uuids.  It is joined at cuInit, never earlier, once for each
 * device; a forked child joins for itself.  A process that is to be held and cannot be is
 * refused everything.  Thread: any.
 */
#pragma once

#include "chronos.h"
#include "driver.h"

#include <stdbool.h>

struct device {
	uint32_t index;  /* in the directory of partitions */
	CUdevice number; /* in CUDA; -1: not known yet */
	bool whole;      /* nobody else is there: only its end is asked for */
	char uuid[96];   /* "GPU-...", "" when not known */
	struct chronos_attachment *attachment;
	uint64_t context_bytes; /* what a context takes, measured; 0: not yet */
	uint64_t part_bytes;    /* and a part of the device (green context) */
};

/* Is this process to be held to one? */
bool partition_is_set(void);

/* Join, where that has not been done; CUDA_ERROR_NOT_PERMITTED where it cannot be, which
 * is told once on stderr. */
CUresult partition_join(void);

/* The device of CUDA's number.  NULL with CUDA_SUCCESS: the process is not held to
 * anything.  NULL with an error: it may not use this device. */
struct device *partition_device(CUdevice number, CUresult *rc);
/* CUDA's number of the device that memory of this place is on, -1: on none. */
CUdevice partition_number_of(const CUmemLocation *place);
/* Of the calling thread's context; the driver's own error where it has none. */
struct device *partition_current_device(CUresult *rc);
/* By NVML's uuid, or else its index; NULL where it is not ours. */
struct device *partition_device_of_nvml(const char *uuid, unsigned index);

/* The joined devices, NULL past the last. */
struct device *partition_nth_device(size_t n);

/* Has it ended?  CUDA_ERROR_NOT_PERMITTED if so. */
CUresult device_check(struct device *d);
/* CUDA_ERROR_OUT_OF_MEMORY if the quota does not allow it, also when what pools hold in
 * reserve is given back; CUDA_ERROR_NOT_PERMITTED when the partition has ended. */
CUresult device_charge(struct device *d, uint64_t bytes);
void device_uncharge(struct device *d, uint64_t bytes);
/* As device_charge(), without asking the pools: for those themselves. */
CUresult device_charge_now(struct device *d, uint64_t bytes);
