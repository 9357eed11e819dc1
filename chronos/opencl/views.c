/* views.c - what a program is shown of a device is its partition's. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "partition.h"

#include <string.h>

static void show_at_most(void *value, size_t size, uint64_t most)
{
	cl_ulong shown;

	if (size < sizeof shown)
		return;
	memcpy(&shown, value, sizeof shown);
	if (shown > most)
		shown = most;
	memcpy(value, &shown, sizeof shown);
}

/* In KiB: what is free, and, where it was asked for, the largest block of it. */
static void show_free_kib(void *value, size_t size)
{
	const uint64_t most = partition_free() / 1024;
	size_t shown[2];

	if (size > sizeof shown)
		size = sizeof shown;
	memcpy(shown, value, size);
	for (size_t i = 0; i < size / sizeof shown[0]; i++)
		if (shown[i] > most)
			shown[i] = (size_t)most;
	memcpy(value, shown, size);
}

static cl_int CL_API_CALL hook_clGetDeviceInfo(cl_device_id device, cl_device_info info,
	size_t size, void *value, size_t *size_ret)
{
	cl_int rc = real.clGetDeviceInfo(device, info, size, value, size_ret);

	if (rc != CL_SUCCESS || !value)
		return rc;
	if (info == CL_DEVICE_GLOBAL_MEM_SIZE || info == CL_DEVICE_MAX_MEM_ALLOC_SIZE)
		show_at_most(value, size, partition_quota());
	if (info == CL_DEVICE_GLOBAL_FREE_MEMORY_AMD)
		show_free_kib(value, size);
	return rc;
}

void views_hook(void)
{
	HOOK(clGetDeviceInfo);
}
