/* devices.c - cuInit and the devices. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "fake.h"

CUresult cuInit(unsigned flags)
{
	if (flags)
		return CUDA_ERROR_INVALID_VALUE;
	return begin();
}

CUresult cuDriverGetVersion(int *version)
{
	*version = 13050;
	return CUDA_SUCCESS;
}

CUresult cuDeviceGetCount(int *count)
{
	MAY_FAIL();
	*count = visible_count;
	return CUDA_SUCCESS;
}

CUresult cuDeviceGetUuid(CUuuid *uuid, CUdevice device)
{
	MAY_FAIL();
	if (device < 0 || device >= visible_count)
		return CUDA_ERROR_INVALID_DEVICE;
	memset(uuid, 0, sizeof *uuid);
	uuid->bytes[0] = (char)0xfa;
	/* Of an instance the old function names the GPU. */
	uuid->bytes[15] = (char)(state->split ? 0xff : visible[device]);
	return CUDA_SUCCESS;
}

CUresult cuDeviceGetUuid_v2(CUuuid *uuid, CUdevice device)
{
	CUresult rc = cuDeviceGetUuid(uuid, device);

	if (rc == CUDA_SUCCESS)
		uuid->bytes[15] = (char)visible[device];
	return rc;
}

CUresult cuDeviceTotalMem_v2(size_t *bytes, CUdevice device)
{
	MAY_FAIL();
	if (device < 0 || device >= visible_count)
		return CUDA_ERROR_INVALID_DEVICE;
	*bytes = state->device_bytes;
	return CUDA_SUCCESS;
}

static unsigned clipped(uint64_t bytes)
{
	return bytes > UINT32_MAX ? UINT32_MAX : (unsigned)bytes;
}

CUresult cuDeviceTotalMem(unsigned *bytes, CUdevice device)
{
	size_t all = 0;
	CUresult rc = cuDeviceTotalMem_v2(&all, device);

	*bytes = clipped(all);
	return rc;
}

CUresult cuMemGetInfo_v2(size_t *free_bytes, size_t *total)
{
	CUcontext context;

	MAY_FAIL();
	CUresult rc = current(&context);
	if (rc != CUDA_SUCCESS)
		return rc;
	*free_bytes = free_bytes_of(context->device);
	*total = state->device_bytes;
	return CUDA_SUCCESS;
}

CUresult cuMemGetInfo(unsigned *free_bytes, unsigned *total)
{
	size_t f = 0, t = 0;
	CUresult rc = cuMemGetInfo_v2(&f, &t);

	*free_bytes = clipped(f);
	*total = clipped(t);
	return rc;
}
