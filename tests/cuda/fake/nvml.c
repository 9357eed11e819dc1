/* nvml.c - a libnvidia-ml.so.1 that sees the fake driver's devices and processes. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_driver.h"

#include <stdio.h>
#include <string.h>

#pragma GCC visibility push(default)

enum { NVML_NOT_SUPPORTED = 3, MIG_MAX = 7, BOARD = FAKE_DEVICES_MAX };

static struct fake_gpus gpus;
/* One for each device, and that of the GPU whose instances they are if it is split. */
static char handles[FAKE_DEVICES_MAX + 1];

int nvmlInit_v2(void)
{
	return fake_gpus_open(&gpus) && gpus.state->devices ? NVML_SUCCESS
							    : NVML_ERROR_UNKNOWN;
}

int nvmlShutdown(void);
int nvmlShutdown(void)
{
	return NVML_SUCCESS;
}

const char *nvmlErrorString(int rc);
const char *nvmlErrorString(int rc)
{
	return rc == NVML_SUCCESS ? "success" : "a fake failure";
}

static int index_of(nvmlDevice_t device)
{
	return (int)((char *)device - handles);
}

static nvmlDevice_t handle_of(unsigned index)
{
	return (nvmlDevice_t)(void *)&handles[index];
}

/* ---- which there are ---- */

/* Of the devices whose nodes can be opened number n; -1: there are not so many. */
static int nth_open(unsigned n)
{
	for (unsigned i = 0; gpus.state && i < gpus.state->devices; i++) {
		if (fake_device_opens(gpus.state, i) && n-- == 0)
			return (int)i;
	}
	return -1;
}

int nvmlDeviceGetCount_v2(unsigned *count);
int nvmlDeviceGetCount_v2(unsigned *count)
{
	*count = 0;
	while (nth_open(*count) >= 0)
		++*count;
	if (gpus.state->split && *count)
		*count = 1;
	return NVML_SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, nvmlDevice_t *device)
{
	int found = nth_open(index);

	if (found < 0)
		return NVML_ERROR_UNKNOWN;
	*device = handle_of(gpus.state->split ? BOARD : (unsigned)found);
	return NVML_SUCCESS;
}

int nvmlDeviceGetMigMode(nvmlDevice_t device, unsigned *current, unsigned *pending);
int nvmlDeviceGetMigMode(nvmlDevice_t device, unsigned *current, unsigned *pending)
{
	*current = *pending = index_of(device) == BOARD;
	return NVML_SUCCESS;
}

int nvmlDeviceGetMaxMigDeviceCount(nvmlDevice_t device, unsigned *count);
int nvmlDeviceGetMaxMigDeviceCount(nvmlDevice_t device, unsigned *count)
{
	*count = index_of(device) == BOARD ? MIG_MAX : 0;
	return NVML_SUCCESS;
}

int nvmlDeviceGetMigDeviceHandleByIndex(
	nvmlDevice_t device, unsigned index, nvmlDevice_t *instance);
int nvmlDeviceGetMigDeviceHandleByIndex(
	nvmlDevice_t device, unsigned index, nvmlDevice_t *instance)
{
	int found = index_of(device) == BOARD ? nth_open(index) : -1;

	if (found < 0)
		return NVML_ERROR_UNKNOWN;
	*instance = handle_of((unsigned)found);
	return NVML_SUCCESS;
}

/* ---- what they are ---- */

int nvmlDeviceGetName(nvmlDevice_t device, char *text, unsigned size);
int nvmlDeviceGetName(nvmlDevice_t device, char *text, unsigned size)
{
	snprintf(text, size, "Fake GPU%s",
		gpus.state->split && index_of(device) != BOARD ? " MIG 1g.10gb" : "");
	return NVML_SUCCESS;
}

int nvmlDeviceGetUUID(nvmlDevice_t device, char *text, unsigned size)
{
	if (index_of(device) == BOARD)
		snprintf(text, size, "GPU-fa000000-0000-0000-0000-0000000000ff");
	else
		fake_uuid(gpus.state, (unsigned)index_of(device), text, size);
	return NVML_SUCCESS;
}

int nvmlDeviceGetIndex(nvmlDevice_t device, unsigned *index)
{
	*index = index_of(device) == BOARD ? 0 : (unsigned)index_of(device);
	return NVML_SUCCESS;
}

int nvmlDeviceGetHandleByUUID(const char *uuid, nvmlDevice_t *device)
{
	char text[96];
	int at;

	for (unsigned i = 0; (at = nth_open(i)) >= 0; i++) {
		fake_uuid(gpus.state, (unsigned)at, text, sizeof text);
		if (strcmp(text, uuid) == 0) {
			*device = handle_of((unsigned)at);
			return NVML_SUCCESS;
		}
	}
	return NVML_ERROR_UNKNOWN;
}

static int of_instance(nvmlDevice_t device, unsigned *id, unsigned value)
{
	if (!gpus.state->split || index_of(device) == BOARD)
		return NVML_NOT_SUPPORTED;
	*id = value;
	return NVML_SUCCESS;
}

int nvmlDeviceGetGpuInstanceId(nvmlDevice_t device, unsigned *id);
int nvmlDeviceGetGpuInstanceId(nvmlDevice_t device, unsigned *id)
{
	return of_instance(device, id, (unsigned)index_of(device) + 1);
}

int nvmlDeviceGetComputeInstanceId(nvmlDevice_t device, unsigned *id);
int nvmlDeviceGetComputeInstanceId(nvmlDevice_t device, unsigned *id)
{
	return of_instance(device, id, 0);
}

struct pci {
	char legacy[16];
	unsigned domain, bus, device, device_id, subsystem_id;
	char text[32];
};

int nvmlDeviceGetPciInfo_v3(nvmlDevice_t device, struct pci *pci);
int nvmlDeviceGetPciInfo_v3(nvmlDevice_t device, struct pci *pci)
{
	int i = index_of(device);

	if (gpus.state->split && i != BOARD)
		return NVML_NOT_SUPPORTED;
	memset(pci, 0, sizeof *pci);
	pci->bus = i == BOARD ? 1 : (unsigned)i + 1;
	return NVML_SUCCESS;
}

/* ---- memory, processes ---- */

static uint64_t used_on(int device)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < FAKE_PROCESSES_MAX; i++)
		if (fake_process_lives(&gpus, i))
			sum += __atomic_load_n(
				&gpus.state->processes[i].used[device], __ATOMIC_RELAXED);
	return sum;
}

int nvmlDeviceGetMemoryInfo(nvmlDevice_t device, struct nvml_memory *memory)
{
	memory->total = gpus.state->device_bytes;
	memory->used = used_on(index_of(device));
	memory->free = memory->total - memory->used;
	return NVML_SUCCESS;
}

int nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t device, struct nvml_memory_v2 *memory)
{
	struct nvml_memory plain;

	if (memory->version != (sizeof *memory | 2u << 24))
		return NVML_ERROR_UNKNOWN;
	nvmlDeviceGetMemoryInfo(device, &plain);
	memory->total = plain.total;
	memory->reserved = 0;
	memory->free = plain.free;
	memory->used = plain.used;
	return NVML_SUCCESS;
}

/* Of the caller's namespace: the others' pids would mean nothing to it. */
#define LIST(count, list, device)                                                        \
	do {                                                                             \
		unsigned n = 0;                                                          \
		for (unsigned i = 0; i < FAKE_PROCESSES_MAX; i++) {                      \
			const struct fake_process *p = &gpus.state->processes[i];        \
			if (!p->pid || p->namespace != fake_namespace())                 \
				continue;                                                \
			if (n < *(count)) {                                              \
				(list)[n].pid = (unsigned)p->pid;                        \
				(list)[n].used_bytes = p->used[index_of(device)];        \
			}                                                                \
			n++;                                                             \
		}                                                                        \
		int rc = n > *(count) ? NVML_ERROR_INSUFFICIENT_SIZE : NVML_SUCCESS;     \
		*(count) = n;                                                            \
		return rc;                                                               \
	} while (0)

int nvmlDeviceGetComputeRunningProcesses(
	nvmlDevice_t device, unsigned *count, struct nvml_process_v1 *list)
{
	LIST(count, list, device);
}

int nvmlDeviceGetComputeRunningProcesses_v2(
	nvmlDevice_t device, unsigned *count, struct nvml_process *list)
{
	LIST(count, list, device);
}

int nvmlDeviceGetComputeRunningProcesses_v3(
	nvmlDevice_t device, unsigned *count, struct nvml_process *list)
{
	LIST(count, list, device);
}

int nvmlDeviceGetMPSComputeRunningProcesses_v3(
	nvmlDevice_t device, unsigned *count, struct nvml_process *list)
{
	LIST(count, list, device);
}

int nvmlDeviceGetRunningProcessDetailList(
	nvmlDevice_t device, struct nvml_process_list *processes)
{
	LIST(&processes->count, processes->list, device);
}

#pragma GCC visibility pop
