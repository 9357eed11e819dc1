/* test_chronos_fake_nvml.c - an NVML for machines without one: FAKE_NVML says what it finds. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * "2": two GPUs.  "mig": the second of two is split into two instances.  "lost": the
 * first of two does not answer.  "mismatch": the driver is of another version than the
 * library.  "unloaded": no driver.  "crash": it ends the process that asks.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

enum {
	OK = 0,
	NOT_SUPPORTED = 3,
	NOT_FOUND = 6,
	NOT_LOADED = 9,
	LOST = 15,
	MISMATCH = 18
};

struct memory {
	unsigned long long total, free, used;
};

struct pci {
	char legacy[16];
	unsigned domain, bus, device, device_id, subsystem_id;
	char text[32];
};

EXPORT int nvmlInit_v2(void);
EXPORT int nvmlShutdown(void);
EXPORT const char *nvmlErrorString(int rc);
EXPORT int nvmlDeviceGetCount_v2(unsigned *count);
EXPORT int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device);
EXPORT int nvmlDeviceGetName(void *device, char *text, unsigned size);
EXPORT int nvmlDeviceGetUUID(void *device, char *text, unsigned size);
EXPORT int nvmlDeviceGetMemoryInfo(void *device, struct memory *memory);
EXPORT int nvmlDeviceGetPciInfo_v3(void *device, struct pci *pci);
EXPORT int nvmlDeviceGetMigMode(void *device, unsigned *current, unsigned *pending);
EXPORT int nvmlDeviceGetMaxMigDeviceCount(void *device, unsigned *count);
EXPORT int nvmlDeviceGetMigDeviceHandleByIndex(void *device, unsigned i, void **instance);
EXPORT int nvmlDeviceGetGpuInstanceId(void *device, unsigned *id);
EXPORT int nvmlDeviceGetComputeInstanceId(void *device, unsigned *id);

/* Handles are addresses in here: GPUs 0 and 1, then instances. */
static char handles[16];

static int index_of(void *device)
{
	return (int)((char *)device - handles);
}

static int fake(const char *what)
{
	const char *set = getenv("FAKE_NVML");

	return set && strcmp(set, what) == 0;
}

int nvmlInit_v2(void)
{
	/* Drivers are talkative. */
	puts("NVML is here");
	fprintf(stderr, "NVML warns\n");
	if (fake("crash"))
		abort();
	if (fake("mismatch"))
		return MISMATCH;
	return fake("unloaded") ? NOT_LOADED : OK;
}

int nvmlShutdown(void)
{
	return OK;
}

const char *nvmlErrorString(int rc)
{
	return rc == MISMATCH ? "Driver/library version mismatch" : "Unknown Error";
}

int nvmlDeviceGetCount_v2(unsigned *count)
{
	*count = 2;
	return OK;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device)
{
	if (index == 0 && fake("lost"))
		return LOST;
	*device = &handles[index];
	return OK;
}

int nvmlDeviceGetName(void *device, char *text, unsigned size)
{
	snprintf(text, size, "%s",
		index_of(device) < 2 ? "Fake H100" : "Fake H100 MIG 1g");
	return OK;
}

int nvmlDeviceGetUUID(void *device, char *text, unsigned size)
{
	int i = index_of(device);

	snprintf(text, size, "%s-0000000%d", i < 2 ? "GPU" : "MIG", i);
	return OK;
}

int nvmlDeviceGetMemoryInfo(void *device, struct memory *memory)
{
	memset(memory, 0, sizeof *memory);
	memory->total = (index_of(device) < 2 ? 80ull : 10ull) << 30;
	return OK;
}

/* An instance is nowhere on PCI: its GPU is. */
int nvmlDeviceGetPciInfo_v3(void *device, struct pci *pci)
{
	int i = index_of(device);

	if (i >= 2)
		return NOT_SUPPORTED;
	memset(pci, 0, sizeof *pci);
	pci->domain = i ? 0x10000 : 0;
	pci->bus = 0x3a + (unsigned)i;
	return OK;
}

int nvmlDeviceGetMigMode(void *device, unsigned *current, unsigned *pending)
{
	*current = *pending = fake("mig") && index_of(device) == 1;
	return OK;
}

int nvmlDeviceGetMaxMigDeviceCount(void *device, unsigned *count)
{
	(void)device;
	*count = 7;
	return OK;
}

int nvmlDeviceGetMigDeviceHandleByIndex(void *device, unsigned i, void **instance)
{
	(void)device;
	if (i >= 2)
		return NOT_FOUND;
	*instance = &handles[2 + i];
	return OK;
}

int nvmlDeviceGetGpuInstanceId(void *device, unsigned *id)
{
	*id = (unsigned)index_of(device) + 5;
	return OK;
}

int nvmlDeviceGetComputeInstanceId(void *device, unsigned *id)
{
	*id = (unsigned)index_of(device) - 2;
	return OK;
}
