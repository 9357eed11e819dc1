/* views.c - hooks: a program is shown its share of the memory, and itself. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frameworks size their caches by these figures.  The total is the quota, and free is
 * what is left of it, or what the device really has free if that is less.
 */
#include "views.h"

#include "reach.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PROCESSES_MAX = 256, UUID_BYTES = 96 };

static uint64_t smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t left_of(struct device *d)
{
	uint64_t quota = chronos_quota(d->attachment), used = chronos_used(d->attachment);

	return quota > used ? quota - used : 0;
}

/* ---- CUDA ---- */

CUresult cuMemGetInfo_v2(size_t *free, size_t *total)
{
	CUresult rc = REAL(cuMemGetInfo_v2)(free, total), held;
	struct device *d = rc == CUDA_SUCCESS ? partition_current_device(&held) : NULL;

	if (d) {
		*total = smaller(*total, chronos_quota(d->attachment));
		*free = smaller(*free, left_of(d));
	}
	return rc;
}

CUresult cuMemGetInfo(unsigned *free, unsigned *total)
{
	CUresult rc = REAL(cuMemGetInfo)(free, total), held;
	struct device *d = rc == CUDA_SUCCESS ? partition_current_device(&held) : NULL;

	if (d) {
		*total = (unsigned)smaller(*total, chronos_quota(d->attachment));
		*free = (unsigned)smaller(*free, left_of(d));
	}
	return rc;
}

CUresult cuDeviceTotalMem_v2(size_t *bytes, CUdevice device)
{
	CUresult rc = REAL(cuDeviceTotalMem_v2)(bytes, device), held;
	struct device *d = rc == CUDA_SUCCESS ? partition_device(device, &held) : NULL;

	if (d)
		*bytes = smaller(*bytes, chronos_quota(d->attachment));
	return rc;
}

CUresult cuDeviceTotalMem(unsigned *bytes, CUdevice device)
{
	CUresult rc = REAL(cuDeviceTotalMem)(bytes, device), held;
	struct device *d = rc == CUDA_SUCCESS ? partition_device(device, &held) : NULL;

	if (d)
		*bytes = (unsigned)smaller(*bytes, chronos_quota(d->attachment));
	return rc;
}

/* ---- NVML ---- */

static struct device *of_nvml(nvmlDevice_t device)
{
	char uuid[UUID_BYTES] = "";
	unsigned index = UINT_MAX;

	if (!partition_is_set())
		return NULL;
	if (REAL(nvmlDeviceGetUUID)(device, uuid, sizeof uuid) != NVML_SUCCESS)
		uuid[0] = '\0';
	if (REAL(nvmlDeviceGetIndex)(device, &index) != NVML_SUCCESS)
		index = UINT_MAX;
	return partition_device_of_nvml(uuid, index);
}

int nvmlDeviceGetMemoryInfo(nvmlDevice_t device, struct nvml_memory *memory)
{
	int rc = REAL(nvmlDeviceGetMemoryInfo)(device, memory);
	struct device *d = rc == NVML_SUCCESS ? of_nvml(device) : NULL;

	if (d) {
		memory->total = smaller(memory->total, chronos_quota(d->attachment));
		memory->free = smaller(memory->free, left_of(d));
		memory->used = memory->total - smaller(memory->free, memory->total);
	}
	return rc;
}

int nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t device, struct nvml_memory_v2 *memory)
{
	int rc = REAL(nvmlDeviceGetMemoryInfo_v2)(device, memory);
	struct device *d = rc == NVML_SUCCESS ? of_nvml(device) : NULL;

	if (d) {
		/* What the driver keeps for itself is not in the quota. */
		memory->reserved = 0;
		memory->total = smaller(memory->total, chronos_quota(d->attachment));
		memory->free = smaller(memory->free, left_of(d));
		memory->used = memory->total - smaller(memory->free, memory->total);
	}
	return rc;
}

/* Only this process is left in: the others may be other partitions', and are none of the
 * program's business.  Each version of the interface has entries of its own size. */
#define KEEP_OWN(device, count, list, call)                                              \
	do {                                                                             \
		unsigned kept = 0;                                                       \
		int rc = call;                                                           \
		if (rc != NVML_SUCCESS || !of_nvml(device))                              \
			return rc;                                                       \
		for (unsigned i = 0; (list) && i < *(count); i++) {                      \
			if ((list)[i].pid == (unsigned)getpid())                         \
				(list)[kept++] = (list)[i];                              \
		}                                                                        \
		*(count) = kept;                                                         \
		return rc;                                                               \
	} while (0)

#define OWN_PROCESSES(name, entry)                                                       \
	int name(nvmlDevice_t device, unsigned *count, struct entry *list)               \
	{                                                                                \
		KEEP_OWN(device, count, list, REAL(name)(device, count, list));          \
	}

OWN_PROCESSES(nvmlDeviceGetComputeRunningProcesses, nvml_process_v1)
OWN_PROCESSES(nvmlDeviceGetComputeRunningProcesses_v2, nvml_process)
OWN_PROCESSES(nvmlDeviceGetComputeRunningProcesses_v3, nvml_process)
OWN_PROCESSES(nvmlDeviceGetGraphicsRunningProcesses, nvml_process_v1)
OWN_PROCESSES(nvmlDeviceGetGraphicsRunningProcesses_v2, nvml_process)
OWN_PROCESSES(nvmlDeviceGetGraphicsRunningProcesses_v3, nvml_process)
OWN_PROCESSES(nvmlDeviceGetMPSComputeRunningProcesses, nvml_process_v1)
OWN_PROCESSES(nvmlDeviceGetMPSComputeRunningProcesses_v2, nvml_process)
OWN_PROCESSES(nvmlDeviceGetMPSComputeRunningProcesses_v3, nvml_process)

int nvmlDeviceGetRunningProcessDetailList(
	nvmlDevice_t device, struct nvml_process_list *processes)
{
	KEEP_OWN(device, &processes->count, processes->list,
		REAL(nvmlDeviceGetRunningProcessDetailList)(device, processes));
}

/* ---- what is true ---- */

/* CUDA tells the uuid of a GPU and of a part that the hardware cut off alike. */
static bool find_nvml_device(const struct device *d, nvmlDevice_t *device)
{
	char part[sizeof d->uuid];

	if (strlen(d->uuid) < 4 || !driver_has(SYMBOL_nvmlInit_v2) ||
		REAL(nvmlInit_v2)() != NVML_SUCCESS)
		return false;
	if (REAL(nvmlDeviceGetHandleByUUID)(d->uuid, device) == NVML_SUCCESS)
		return true;
	snprintf(part, sizeof part, "MIG-%s", d->uuid + 4);
	return REAL(nvmlDeviceGetHandleByUUID)(part, device) == NVML_SUCCESS;
}

static void measure_own(nvmlDevice_t device, struct view_memory *out)
{
	struct nvml_process list[PROCESSES_MAX];
	unsigned count = PROCESSES_MAX;

	if (REAL(nvmlDeviceGetComputeRunningProcesses_v3)(device, &count, list) !=
		NVML_SUCCESS)
		return;
	for (unsigned i = 0; i < count && i < PROCESSES_MAX; i++) {
		if (list[i].pid != (unsigned)getpid() || list[i].used_bytes == ULLONG_MAX)
			continue;
		out->own_known = true;
		out->own_bytes = list[i].used_bytes;
	}
}

void view_measure(const struct device *d, struct view_memory *out)
{
	nvmlDevice_t device;
	struct nvml_memory memory;

	*out = (struct view_memory){ 0 };
	if (!find_nvml_device(d, &device) ||
		REAL(nvmlDeviceGetMemoryInfo)(device, &memory) != NVML_SUCCESS)
		return;
	out->known = true;
	out->free_bytes = memory.free;
	measure_own(device, out);
}
