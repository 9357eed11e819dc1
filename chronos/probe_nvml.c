/* probe_nvml.c - NVIDIA GPUs as their management library names them. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "probe.h"

#include "error.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

/* The part of NVML's stable interface that is used here. */
enum {
	NVML_SUCCESS = 0,
	NVML_ERROR_NOT_FOUND = 6,
	NVML_ERROR_DRIVER_NOT_LOADED = 9,
};

struct nvml_memory {
	unsigned long long total;
	unsigned long long free;
	unsigned long long used;
};

struct nvml_pci {
	char legacy[16];
	unsigned domain, bus, device, device_id, subsystem_id;
	char text[32];
};

struct nvml {
	void *library;
	int (*init)(void);
	int (*shutdown)(void);
	const char *(*error_string)(int);
	int (*count)(unsigned *);
	int (*by_index)(unsigned, void **);
	int (*name)(void *, char *, unsigned);
	int (*uuid)(void *, char *, unsigned);
	int (*memory)(void *, struct nvml_memory *);
	/* NULL in drivers that have not got them. */
	int (*pci)(void *, struct nvml_pci *);
	int (*mig_mode)(void *, unsigned *current, unsigned *pending);
	int (*mig_max)(void *, unsigned *);
	int (*mig_by_index)(void *, unsigned, void **);
	int (*gpu_instance)(void *, unsigned *);
	int (*compute_instance)(void *, unsigned *);
};

/* 0 when a symbol that we cannot do without is missing. */
static int load(struct nvml *n)
{
	const struct {
		void *slot;
		const char *name;
		int needed;
	} symbols[] = {
		{ &n->init, "nvmlInit_v2", 1 },
		{ &n->shutdown, "nvmlShutdown", 1 },
		{ &n->error_string, "nvmlErrorString", 1 },
		{ &n->count, "nvmlDeviceGetCount_v2", 1 },
		{ &n->by_index, "nvmlDeviceGetHandleByIndex_v2", 1 },
		{ &n->name, "nvmlDeviceGetName", 1 },
		{ &n->uuid, "nvmlDeviceGetUUID", 1 },
		{ &n->memory, "nvmlDeviceGetMemoryInfo", 1 },
		{ &n->pci, "nvmlDeviceGetPciInfo_v3", 0 },
		{ &n->mig_mode, "nvmlDeviceGetMigMode", 0 },
		{ &n->mig_max, "nvmlDeviceGetMaxMigDeviceCount", 0 },
		{ &n->mig_by_index, "nvmlDeviceGetMigDeviceHandleByIndex", 0 },
		{ &n->gpu_instance, "nvmlDeviceGetGpuInstanceId", 0 },
		{ &n->compute_instance, "nvmlDeviceGetComputeInstanceId", 0 },
	};

	for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++) {
		void *found = dlsym(n->library, symbols[i].name);
		if (!found && symbols[i].needed)
			return 0;
		memcpy(symbols[i].slot, &found, sizeof found);
	}
	return 1;
}

static int fail(const struct nvml *n, int rc, const char *what, struct chronos_error *e)
{
	return chronos_fail(
		e, CHRONOS_UNAVAILABLE, "NVML: %s: %.100s", what, n->error_string(rc));
}

static void name_instance(const struct nvml *n, void *instance, struct chronos_device *d)
{
	unsigned gpu = 0, compute = 0;

	if (n->gpu_instance && n->compute_instance &&
		n->gpu_instance(instance, &gpu) == NVML_SUCCESS &&
		n->compute_instance(instance, &compute) == NVML_SUCCESS && gpu < 10000 &&
		compute < 10000)
		snprintf(d->instance, sizeof d->instance, "gi%u/ci%u", gpu, compute);
}

/* A device that cannot be named cannot be given out either: it is left out, and so shows
 * as absent, rather than hiding the healthy ones beside it.  `board` is what has a place on
 * PCI: the GPU itself, or the one that an instance is of. */
static void add(const struct nvml *n, struct probe *p, void *gpu, void *board,
	enum chronos_kind kind)
{
	struct nvml_pci pci = { 0 };
	struct nvml_memory memory = { 0 };
	char uuid[96] = "", name[96] = "";

	if (n->uuid(gpu, uuid, sizeof uuid) != NVML_SUCCESS ||
		n->name(gpu, name, sizeof name) != NVML_SUCCESS ||
		n->memory(gpu, &memory) != NVML_SUCCESS)
		return;
	struct chronos_device *d = chronos_probe_add(p, kind);
	if (!d)
		return;
	memcpy(d->uuid, uuid, strnlen(uuid, sizeof d->uuid - 1));
	memcpy(d->name, name, strnlen(name, sizeof d->name - 1));
	d->memory_bytes = memory.total;
	if (n->pci && n->pci(board, &pci) == NVML_SUCCESS)
		chronos_probe_place(
			d, &(struct probe_pci){ pci.domain, pci.bus, pci.device, 0 });
	if (kind == CHRONOS_KIND_MIG)
		name_instance(n, gpu, d);
}

static int is_split(const struct nvml *n, void *gpu)
{
	unsigned current = 0, pending = 0;

	return n->mig_mode && n->mig_max && n->mig_by_index &&
	       n->mig_mode(gpu, &current, &pending) == NVML_SUCCESS && current == 1;
}

static void add_instances(const struct nvml *n, struct probe *p, void *gpu)
{
	unsigned max = 0;
	void *instance;

	if (n->mig_max(gpu, &max) != NVML_SUCCESS)
		return;
	for (unsigned i = 0; i < max && i < CHRONOS_DEVICES_MAX; i++) {
		if (n->mig_by_index(gpu, i, &instance) == NVML_SUCCESS)
			add(n, p, instance, gpu, CHRONOS_KIND_MIG);
	}
}

static int list(const struct nvml *n, struct probe *p, struct chronos_error *e)
{
	unsigned count = 0;
	void *gpu;

	int rc = n->count(&count);
	if (rc != NVML_SUCCESS)
		return fail(n, rc, "count the GPUs", e);
	for (unsigned i = 0; i < count && i < CHRONOS_DEVICES_MAX; i++) {
		if (n->by_index(i, &gpu) != NVML_SUCCESS)
			continue;
		if (is_split(n, gpu))
			add_instances(n, p, gpu);
		else
			add(n, p, gpu, gpu, CHRONOS_KIND_NVIDIA);
	}
	return 0;
}

int chronos_probe_nvml(struct probe *p, struct chronos_error *e)
{
	struct nvml n = { .library = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL) };

	if (!n.library)
		return 0;
	if (!load(&n))
		return chronos_fail(e, CHRONOS_UNAVAILABLE,
			"libnvidia-ml.so.1 lacks functions that chronos needs");
	int rc = n.init();
	if (rc == NVML_ERROR_DRIVER_NOT_LOADED || rc == NVML_ERROR_NOT_FOUND)
		return 0;
	if (rc != NVML_SUCCESS)
		return fail(&n, rc, "start", e);
	int result = list(&n, p, e);
	n.shutdown();
	return result;
}
