/* test_chronos_fake_opencl.c - a libOpenCL with GPUs of AMD's and Intel's, for machines without. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One platform with four GPUs: two say where they are on PCI as Khronos has it, one as AMD has
 * it, one not at all.  Only what a probe asks is answered.
 */
#include <stdint.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

enum { SUCCESS = 0, INVALID_VALUE = -30, DEVICE_NOT_FOUND = -1 };
enum {
	PLATFORM_NAME = 0x0902,
	PLATFORM_VENDOR = 0x0903,
	DEVICE_MEMORY = 0x101F,
	DEVICE_NAME = 0x102B,
	DEVICE_EXTENSIONS = 0x1030,
	DEVICE_TOPOLOGY_AMD = 0x4037,
	DEVICE_PCI_BUS_INFO_KHR = 0x410F,
};
enum { KHRONOS, AMD, NOWHERE, LOCKED, GPUS };

static const uint64_t GPU = 1u << 2;

EXPORT int32_t clGetPlatformIDs(uint32_t room, void **out, uint32_t *count);
EXPORT int32_t clGetPlatformInfo(
	void *platform, uint32_t what, size_t room, void *out, size_t *size);
EXPORT int32_t clGetDeviceIDs(
	void *platform, uint64_t type, uint32_t room, void **out, uint32_t *count);
EXPORT int32_t clGetDeviceInfo(
	void *device, uint32_t what, size_t room, void *out, size_t *size);

static char handles[GPUS];

static int32_t answer(const void *value, size_t size, size_t room, void *out)
{
	if (size > room)
		return INVALID_VALUE;
	memcpy(out, value, size);
	return SUCCESS;
}

static int32_t answer_text(const char *text, size_t room, void *out)
{
	return answer(text, strlen(text) + 1, room, out);
}

int32_t clGetPlatformIDs(uint32_t room, void **out, uint32_t *count)
{
	*count = 1;
	if (room)
		out[0] = handles;
	return SUCCESS;
}

int32_t clGetPlatformInfo(
	void *platform, uint32_t what, size_t room, void *out, size_t *size)
{
	(void)platform;
	(void)size;
	if (what != PLATFORM_NAME && what != PLATFORM_VENDOR)
		return INVALID_VALUE;
	return answer_text("Fake", room, out);
}

int32_t clGetDeviceIDs(
	void *platform, uint64_t type, uint32_t room, void **out, uint32_t *count)
{
	(void)platform;
	if (!(type & GPU))
		return DEVICE_NOT_FOUND;
	*count = GPUS;
	for (uint32_t i = 0; i < GPUS && i < room; i++)
		out[i] = &handles[i];
	return SUCCESS;
}

int32_t clGetDeviceInfo(void *device, uint32_t what, size_t room, void *out, size_t *size)
{
	static const char *const names[GPUS] = { "Fake Arc", "Fake Instinct", "Fake",
		"Fake Locked" };
	static const char *const extensions[GPUS] = { "cl_khr_fp64 cl_khr_pci_bus_info",
		"cl_amd_device_attribute_query", "cl_khr_pci_bus_info_not",
		"cl_khr_pci_bus_info" };
	static const uint32_t khronos[GPUS][4] = {
		[KHRONOS] = { 1, 0x3a, 0, 1 }, [LOCKED] = { 0, 0xc4, 0, 0 }
	};
	static const uint64_t memory = UINT64_C(8) << 30;
	/* A word that says PCIe, 17 bytes of nothing, bus, device and function. */
	unsigned char amd[24] = { 1, [21] = 0xc3, 0x1f, 0 };
	int gpu = (int)((char *)device - handles);

	(void)size;
	switch (what) {
	case DEVICE_NAME:
		return answer_text(names[gpu], room, out);
	case DEVICE_EXTENSIONS:
		return answer_text(extensions[gpu], room, out);
	case DEVICE_MEMORY:
		return answer(&memory, sizeof memory, room, out);
	case DEVICE_PCI_BUS_INFO_KHR:
		return gpu == KHRONOS || gpu == LOCKED
			       ? answer(khronos[gpu], sizeof khronos[gpu], room, out)
			       : INVALID_VALUE;
	case DEVICE_TOPOLOGY_AMD:
		return gpu == AMD ? answer(amd, sizeof amd, room, out) : INVALID_VALUE;
	default:
		return INVALID_VALUE;
	}
}
