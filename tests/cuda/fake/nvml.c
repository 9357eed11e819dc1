/* nvml.c - a libnvidia-ml.so.1 that sees the fake driver's devices and processes. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_driver.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static struct fake_state *state;
static char handles[FAKE_DEVICES_MAX];

int nvmlInit_v2(void)
{
	const char *path = getenv("FAKE_CUDA_STATE");
	int fd = path && !state ? open(path, O_RDWR | O_CLOEXEC) : -1;

	if (state)
		return NVML_SUCCESS;
	if (fd < 0)
		return NVML_ERROR_UNKNOWN;
	void *at = mmap(NULL, sizeof *state, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (at == MAP_FAILED)
		return NVML_ERROR_UNKNOWN;
	state = at;
	return NVML_SUCCESS;
}

static int index_of(nvmlDevice_t device)
{
	return (int)((char *)device - handles);
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, nvmlDevice_t *device)
{
	if (!state || index >= state->devices)
		return NVML_ERROR_UNKNOWN;
	*device = (nvmlDevice_t)(void *)&handles[index];
	return NVML_SUCCESS;
}

int nvmlDeviceGetUUID(nvmlDevice_t device, char *text, unsigned size)
{
	snprintf(text, size, "GPU-fa000000-0000-0000-0000-0000000000%02x",
		(unsigned)index_of(device));
	return NVML_SUCCESS;
}

int nvmlDeviceGetIndex(nvmlDevice_t device, unsigned *index)
{
	*index = (unsigned)index_of(device);
	return NVML_SUCCESS;
}

int nvmlDeviceGetHandleByUUID(const char *uuid, nvmlDevice_t *device)
{
	char text[96];

	for (unsigned i = 0; state && i < state->devices; i++) {
		nvmlDevice_t d = (nvmlDevice_t)(void *)&handles[i];
		nvmlDeviceGetUUID(d, text, sizeof text);
		if (strcmp(text, uuid) == 0) {
			*device = d;
			return NVML_SUCCESS;
		}
	}
	return NVML_ERROR_UNKNOWN;
}

static uint64_t used_on(int device)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < FAKE_PROCESSES_MAX; i++) {
		const struct fake_process *p = &state->processes[i];
		if (p->pid && (kill(p->pid, 0) == 0 || errno != ESRCH))
			sum += __atomic_load_n(&p->used[device], __ATOMIC_RELAXED);
	}
	return sum;
}

int nvmlDeviceGetMemoryInfo(nvmlDevice_t device, struct nvml_memory *memory)
{
	memory->total = state->device_bytes;
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

#define LIST(count, list, device)                                                        \
	do {                                                                             \
		unsigned n = 0;                                                          \
		for (unsigned i = 0; i < FAKE_PROCESSES_MAX; i++) {                      \
			const struct fake_process *p = &state->processes[i];             \
			if (!p->pid)                                                     \
				continue;                                                \
			if (n < *count) {                                                \
				list[n].pid = (unsigned)p->pid;                          \
				list[n].used_bytes = p->used[index_of(device)];          \
			}                                                                \
			n++;                                                             \
		}                                                                        \
		int rc = n > *count ? NVML_ERROR_INSUFFICIENT_SIZE : NVML_SUCCESS;       \
		*count = n;                                                              \
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
