/* probe_opencl.c - devices as OpenCL names them. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "probe.h"

#include "error.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

/* The part of OpenCL's stable interface that is used here. */
enum {
	CL_SUCCESS = 0,
	CL_PLATFORM_NOT_FOUND_KHR = -1001,
	CL_PLATFORM_NAME = 0x0902,
	CL_PLATFORM_VENDOR = 0x0903,
	CL_DEVICE_GLOBAL_MEM_SIZE = 0x101F,
	CL_DEVICE_NAME = 0x102B,
	CL_DEVICE_EXTENSIONS = 0x1030,
	CL_DEVICE_UUID_KHR = 0x106A,
	CL_DEVICE_PCI_BUS_INFO_KHR = 0x410F,
	CL_DEVICE_TOPOLOGY_AMD = 0x4037,
	CL_DEVICE_TOPOLOGY_TYPE_PCIE_AMD = 1,
	CL_UUID_BYTES = 16,
	PLATFORMS_MAX = 32,
};

static const uint64_t CL_DEVICE_TYPE_CPU = 1u << 1;
static const uint64_t CL_DEVICE_TYPE_GPU = 1u << 2;

struct amd_topology {
	uint32_t type;
	unsigned char unused[17];
	unsigned char bus, device, function;
};

struct opencl {
	int32_t (*platforms)(uint32_t, void **, uint32_t *);
	int32_t (*platform_info)(void *, uint32_t, size_t, void *, size_t *);
	int32_t (*devices)(void *, uint64_t, uint32_t, void **, uint32_t *);
	int32_t (*device_info)(void *, uint32_t, size_t, void *, size_t *);
};

static int load(struct opencl *cl, void *library)
{
	const struct {
		void *slot;
		const char *name;
	} symbols[] = {
		{ &cl->platforms, "clGetPlatformIDs" },
		{ &cl->platform_info, "clGetPlatformInfo" },
		{ &cl->devices, "clGetDeviceIDs" },
		{ &cl->device_info, "clGetDeviceInfo" },
	};

	for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++) {
		void *found = dlsym(library, symbols[i].name);
		if (!found)
			return 0;
		memcpy(symbols[i].slot, &found, sizeof found);
	}
	return 1;
}

static uint64_t hash_text(uint64_t hash, const char *text)
{
	for (; *text; text++)
		hash = (hash ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
	return hash * UINT64_C(0x100000001b3); /* the end counts too */
}

/* A list of names between spaces. */
static bool has_extension(const char *list, const char *name)
{
	size_t n = strlen(name);

	for (const char *at = list; (at = strstr(at, name)); at += n) {
		if ((at == list || at[-1] == ' ') && (at[n] == ' ' || at[n] == '\0'))
			return true;
	}
	return false;
}

static bool device_has(const struct opencl *cl, void *device, const char *extension)
{
	char extensions[8192] = "";

	return cl->device_info(device, CL_DEVICE_EXTENSIONS, sizeof extensions - 1,
		       extensions, NULL) == CL_SUCCESS &&
	       has_extension(extensions, extension);
}

static bool find_place(const struct opencl *cl, void *device, struct probe_pci *at)
{
	struct amd_topology amd = { 0 };

	if (device_has(cl, device, "cl_khr_pci_bus_info"))
		return cl->device_info(device, CL_DEVICE_PCI_BUS_INFO_KHR, sizeof *at, at,
			       NULL) == CL_SUCCESS;
	if (!device_has(cl, device, "cl_amd_device_attribute_query") ||
		cl->device_info(device, CL_DEVICE_TOPOLOGY_AMD, sizeof amd, &amd, NULL) !=
			CL_SUCCESS ||
		amd.type != CL_DEVICE_TOPOLOGY_TYPE_PCIE_AMD)
		return false;
	*at = (struct probe_pci){ 0, amd.bus, amd.device, amd.function };
	return true;
}

static bool own_uuid(const struct opencl *cl, void *device, char *uuid, size_t size)
{
	unsigned char id[CL_UUID_BYTES];
	int at = snprintf(uuid, size, "opencl-");

	if (!device_has(cl, device, "cl_khr_device_uuid") ||
		cl->device_info(device, CL_DEVICE_UUID_KHR, sizeof id, id, NULL) !=
			CL_SUCCESS)
		return false;
	for (size_t i = 0; i < sizeof id; i++)
		at += snprintf(uuid + at, size - (size_t)at, "%02x", id[i]);
	return true;
}

/* Devices without a uuid of their own are told apart by their names, and equal ones by
 * the order in which the driver lists them. */
static void made_uuid(const struct probe *p, const char *platform, const char *name,
	char *uuid, size_t size)
{
	uint64_t hash = hash_text(UINT64_C(0xcbf29ce484222325), platform);
	unsigned nth = 0;

	hash = hash_text(hash, name);
	for (uint32_t i = 0; i < p->count; i++)
		nth += strcmp(p->devices[i].name, name) == 0;
	snprintf(uuid, size, "opencl-%016llx-%u", (unsigned long long)hash, nth);
}

static void add(const struct opencl *cl, struct probe *p, void *device,
	const char *platform, enum chronos_kind kind)
{
	char name[96] = "", uuid[96];
	struct probe_pci at;
	uint64_t bytes = 0;

	if (cl->device_info(device, CL_DEVICE_NAME, sizeof name - 1, name, NULL) !=
			CL_SUCCESS ||
		cl->device_info(device, CL_DEVICE_GLOBAL_MEM_SIZE, sizeof bytes, &bytes,
			NULL) != CL_SUCCESS)
		return;
	if (!own_uuid(cl, device, uuid, sizeof uuid))
		made_uuid(p, platform, name, uuid, sizeof uuid);
	struct chronos_device *d = chronos_probe_add(p, kind);
	if (!d)
		return;
	memcpy(d->uuid, uuid, sizeof d->uuid);
	memcpy(d->name, name, sizeof d->name);
	d->memory_bytes = bytes;
	if (find_place(cl, device, &at))
		chronos_probe_place(d, &at);
}

static void list_platform(const struct opencl *cl, struct probe *p, void *platform,
	struct probe_opencl_want want)
{
	uint64_t type = want.cpus ? CL_DEVICE_TYPE_CPU : CL_DEVICE_TYPE_GPU;
	void *devices[CHRONOS_DEVICES_MAX];
	char vendor[64] = "", name[96] = "";
	uint32_t count = 0;

	cl->platform_info(platform, CL_PLATFORM_VENDOR, sizeof vendor - 1, vendor, NULL);
	cl->platform_info(platform, CL_PLATFORM_NAME, sizeof name - 1, name, NULL);
	if (want.skip_nvidia && strncmp(vendor, "NVIDIA", 6) == 0)
		return;
	if (cl->devices(platform, type, CHRONOS_DEVICES_MAX, devices, &count) !=
		CL_SUCCESS)
		return; /* it has none of this type */
	for (uint32_t i = 0; i < count && i < CHRONOS_DEVICES_MAX; i++)
		add(cl, p, devices[i], name,
			want.cpus ? CHRONOS_KIND_OPENCL_CPU : CHRONOS_KIND_OPENCL);
}

int chronos_probe_opencl(
	struct probe *p, struct probe_opencl_want want, struct chronos_error *e)
{
	void *library = dlopen("libOpenCL.so.1", RTLD_NOW | RTLD_LOCAL);
	void *platforms[PLATFORMS_MAX];
	struct opencl cl;
	uint32_t count = 0;

	if (!library)
		return 0;
	if (!load(&cl, library))
		return chronos_fail(e, CHRONOS_UNAVAILABLE,
			"libOpenCL.so.1 lacks functions that chronos needs");
	int32_t rc = cl.platforms(PLATFORMS_MAX, platforms, &count);
	if (rc == CL_PLATFORM_NOT_FOUND_KHR)
		return 0;
	if (rc != CL_SUCCESS)
		return chronos_fail(
			e, CHRONOS_UNAVAILABLE, "OpenCL: no platforms: error %d", rc);
	for (uint32_t i = 0; i < count && i < PLATFORMS_MAX; i++)
		list_platform(&cl, p, platforms[i], want);
	return 0;
}
