/* extensions.c - functions that programs get by their names, past the loader's table. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "extensions.h"

#include <stdlib.h>

static cl_platform_id platform_of(cl_device_id device)
{
	cl_platform_id platform = NULL;

	real.clGetDeviceInfo(
		device, CL_DEVICE_PLATFORM, sizeof platform, &platform, NULL);
	return platform;
}

static void *extension_of_device(cl_device_id device, const char *name)
{
	cl_platform_id platform = device ? platform_of(device) : NULL;

	return platform ? real.clGetExtensionFunctionAddressForPlatform(platform, name)
			: NULL;
}

void *extension_of_context(cl_context context, const char *name)
{
	cl_device_id *devices, device = NULL;
	size_t bytes = 0;

	/* Any of its devices will do: they are of one platform. */
	if (real.clGetContextInfo(context, CL_CONTEXT_DEVICES, 0, NULL, &bytes) !=
			CL_SUCCESS ||
		bytes < sizeof *devices || !(devices = malloc(bytes)))
		return NULL;
	if (real.clGetContextInfo(context, CL_CONTEXT_DEVICES, bytes, devices, NULL) ==
		CL_SUCCESS)
		device = devices[0];
	free(devices);
	return extension_of_device(device, name);
}

void *extension_of_queue(cl_command_queue queue, const char *name)
{
	cl_device_id device = NULL;

	real.clGetCommandQueueInfo(queue, CL_QUEUE_DEVICE, sizeof device, &device, NULL);
	return extension_of_device(device, name);
}

/* What the driver does not have, nobody gets; and a driver that gives its other functions
 * out by name, too, gives out the layer's. */
static void *CL_API_CALL hook_clGetExtensionFunctionAddressForPlatform(
	cl_platform_id platform, const char *name)
{
	void *found = real.clGetExtensionFunctionAddressForPlatform(platform, name);
	void *hook = found ? layer_find_hook(name) : NULL;

	return hook ? hook : found;
}

static void *CL_API_CALL hook_clGetExtensionFunctionAddress(const char *name)
{
	void *found = real.clGetExtensionFunctionAddress(name);
	void *hook = found ? layer_find_hook(name) : NULL;

	return hook ? hook : found;
}

void extensions_hook(void)
{
	HOOK(clGetExtensionFunctionAddressForPlatform);
	HOOK(clGetExtensionFunctionAddress);
}
