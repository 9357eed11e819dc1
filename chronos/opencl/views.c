/* views.c - what a program is shown of a device is its partition's. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "partition.h"

#include <string.h>

static cl_int CL_API_CALL hook_clGetDeviceInfo(cl_device_id device, cl_device_info info,
	size_t size, void *value, size_t *size_ret)
{
	cl_int rc = real.clGetDeviceInfo(device, info, size, value, size_ret);
	cl_ulong bytes;

	if (rc != CL_SUCCESS || !value || size < sizeof bytes ||
		(info != CL_DEVICE_GLOBAL_MEM_SIZE &&
			info != CL_DEVICE_MAX_MEM_ALLOC_SIZE))
		return rc;
	memcpy(&bytes, value, sizeof bytes);
	if (bytes > partition_quota())
		bytes = partition_quota();
	memcpy(value, &bytes, sizeof bytes);
	return rc;
}

void views_hook(void)
{
	HOOK(clGetDeviceInfo);
}
