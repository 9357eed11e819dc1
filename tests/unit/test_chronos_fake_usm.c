/* test_chronos_fake_usm.c - an OpenCL layer that gives PoCL extensions which it lacks. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * It stands between chronos' layer and the driver, and has Intel's unified shared memory
 * and ARM's shared virtual memory, of the host's memory.
 */
#define CL_TARGET_OPENCL_VERSION 300
#include <CL/cl.h>
#include <CL/cl_ext.h>
#include <CL/cl_layer.h>

#include <stdlib.h>
#include <string.h>

static const cl_icd_dispatch *below;
static cl_icd_dispatch mine;

static void *CL_API_CALL usm_alloc(cl_context context, cl_device_id device,
	const cl_mem_properties_intel *properties, size_t size, cl_uint alignment,
	cl_int *errcode)
{
	(void)context;
	(void)device;
	(void)properties;
	(void)alignment;
	void *at = malloc(size);
	if (errcode)
		*errcode = at ? CL_SUCCESS : CL_OUT_OF_HOST_MEMORY;
	return at;
}

static void *CL_API_CALL usm_alloc_host(cl_context context,
	const cl_mem_properties_intel *properties, size_t size, cl_uint alignment,
	cl_int *errcode)
{
	return usm_alloc(context, NULL, properties, size, alignment, errcode);
}

static cl_int CL_API_CALL usm_free(cl_context context, void *at)
{
	(void)context;
	free(at);
	return CL_SUCCESS;
}

static void *CL_API_CALL svm_alloc(
	cl_context context, cl_svm_mem_flags_arm flags, size_t size, cl_uint alignment)
{
	(void)context;
	(void)flags;
	(void)alignment;
	return malloc(size);
}

static void CL_API_CALL svm_free(cl_context context, void *at)
{
	(void)context;
	free(at);
}

typedef void(CL_CALLBACK *free_function)(cl_command_queue, cl_uint, void **, void *);

/* At once, which is soon enough. */
static cl_int CL_API_CALL svm_enqueue_free(cl_command_queue queue, cl_uint count,
	void *pointers[], free_function release, void *arg, cl_uint waits,
	const cl_event *wait, cl_event *event)
{
	if (release)
		release(queue, count, pointers, arg);
	for (cl_uint i = 0; !release && i < count; i++)
		free(pointers[i]);
	return below->clEnqueueMarkerWithWaitList(queue, waits, wait, event);
}

/* AMD's: what is free, and the largest block of it, in KiB. */
static cl_int CL_API_CALL device_info(cl_device_id device, cl_device_info info,
	size_t size, void *value, size_t *size_ret)
{
	const size_t kib[2] = { (size_t)1 << 30, (size_t)1 << 29 };

	if (info != CL_DEVICE_GLOBAL_FREE_MEMORY_AMD)
		return below->clGetDeviceInfo(device, info, size, value, size_ret);
	if (value)
		memcpy(value, kib, size < sizeof kib ? size : sizeof kib);
	if (size_ret)
		*size_ret = sizeof kib;
	return CL_SUCCESS;
}

static cl_mem CL_API_CALL create_buffer(cl_context context,
	const cl_mem_properties_intel *properties, cl_mem_flags flags, size_t size,
	void *host, cl_int *errcode)
{
	(void)properties;
	return below->clCreateBuffer(context, flags, size, host, errcode);
}

static void *find(const char *name)
{
	static const struct {
		const char *name;
		void *function;
	} all[] = {
		{ "clDeviceMemAllocINTEL", (void *)usm_alloc },
		{ "clSharedMemAllocINTEL", (void *)usm_alloc },
		{ "clHostMemAllocINTEL", (void *)usm_alloc_host },
		{ "clMemFreeINTEL", (void *)usm_free },
		{ "clMemBlockingFreeINTEL", (void *)usm_free },
		{ "clSVMAllocARM", (void *)svm_alloc },
		{ "clSVMFreeARM", (void *)svm_free },
		{ "clEnqueueSVMFreeARM", (void *)svm_enqueue_free },
		{ "clCreateBufferWithPropertiesINTEL", (void *)create_buffer },
	};

	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		if (strcmp(all[i].name, name) == 0)
			return all[i].function;
	}
	return NULL;
}

/* A driver may give its other functions by name, too. */
static void *CL_API_CALL find_for_platform(cl_platform_id platform, const char *name)
{
	void *found = find(name);

	if (!found && strcmp(name, "clCreateBuffer") == 0)
		return (void *)below->clCreateBuffer;
	return found ? found
		     : below->clGetExtensionFunctionAddressForPlatform(platform, name);
}

__attribute__((visibility("default"))) CL_API_ENTRY cl_int CL_API_CALL clGetLayerInfo(
	cl_layer_info name, size_t size, void *value, size_t *size_ret)
{
	const cl_layer_api_version version = CL_LAYER_API_VERSION_100;

	if (name != CL_LAYER_API_VERSION || (value && size < sizeof version))
		return CL_INVALID_VALUE;
	if (value)
		memcpy(value, &version, sizeof version);
	if (size_ret)
		*size_ret = sizeof version;
	return CL_SUCCESS;
}

__attribute__((visibility("default"))) CL_API_ENTRY cl_int CL_API_CALL clInitLayer(
	cl_uint entries, const cl_icd_dispatch *target, cl_uint *entries_ret,
	const cl_icd_dispatch **layer)
{
	const cl_uint all = sizeof mine / sizeof(void *);

	memcpy(&mine, target, (entries < all ? entries : all) * sizeof(void *));
	below = target;
	mine.clGetExtensionFunctionAddressForPlatform = find_for_platform;
	mine.clGetDeviceInfo = device_info;
	*entries_ret = entries < all ? entries : all;
	*layer = &mine;
	return CL_SUCCESS;
}
