/* memory.c - memory that has an address at once, and arrays. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "fake.h"

static CUresult allocate(CUdeviceptr *at, uint64_t bytes)
{
	CUcontext context;

	if (!at || !bytes)
		return CUDA_ERROR_INVALID_VALUE;
	UNSAFE();
	CUresult rc = current(&context);
	if (rc == CUDA_SUCCESS)
		rc = take(context->device, bytes);
	if (rc != CUDA_SUCCESS)
		return rc;
	*at = new_address(bytes);
	add_thing(*at, bytes, context->device);
	return CUDA_SUCCESS;
}

CUresult cuMemAlloc_v2(CUdeviceptr *at, size_t bytes)
{
	MAY_FAIL();
	return allocate(at, bytes);
}

CUresult cuMemAlloc(unsigned *at, unsigned bytes)
{
	CUdeviceptr all = 0;

	MAY_FAIL();
	CUresult rc = allocate(&all, bytes);
	*at = (unsigned)all;
	return rc;
}

CUresult cuMemAllocManaged(CUdeviceptr *at, size_t bytes, unsigned flags)
{
	(void)flags;
	MAY_FAIL();
	return allocate(at, bytes);
}

CUresult cuMemAllocPitch_v2(CUdeviceptr *at, size_t *pitch, size_t width, size_t height,
	unsigned element_bytes)
{
	(void)element_bytes;
	MAY_FAIL();
	/* Wider than one would expect. */
	*pitch = (width + 1023) / 1024 * 1024;
	return allocate(at, *pitch * height);
}

CUresult cuMemAllocPitch(unsigned *at, unsigned *pitch, unsigned width, unsigned height,
	unsigned element_bytes)
{
	CUdeviceptr all = 0;
	size_t row = 0;
	CUresult rc = cuMemAllocPitch_v2(&all, &row, width, height, element_bytes);

	*at = (unsigned)all;
	*pitch = (unsigned)row;
	return rc;
}

CUresult cuMemFree_v2(CUdeviceptr at)
{
	MAY_FAIL();
	if (!at)
		return CUDA_SUCCESS;
	UNSAFE();
	struct thing *t = take_thing(at);
	if (!t)
		return CUDA_ERROR_INVALID_VALUE;
	free_thing(t);
	return CUDA_SUCCESS;
}

CUresult cuMemFree(unsigned at)
{
	return cuMemFree_v2(at);
}

/* ---- arrays ---- */

static CUresult make_array(void **array, uint64_t bytes)
{
	CUcontext context;
	CUresult rc = current(&context);

	if (rc == CUDA_SUCCESS)
		rc = take(context->device, bytes);
	if (rc != CUDA_SUCCESS)
		return rc;
	*array = malloc(1);
	add_thing((uintptr_t)*array, bytes, context->device);
	return CUDA_SUCCESS;
}

static uint64_t at_least_one(uint64_t n)
{
	return n ? n : 1;
}

/* All tests use formats of four bytes. */
CUresult cuArrayCreate_v2(CUarray *array, const CUDA_ARRAY_DESCRIPTOR *what)
{
	MAY_FAIL();
	return make_array((void **)array,
		what->Width * at_least_one(what->Height) * what->NumChannels * 4);
}

CUresult cuArray3DCreate_v2(CUarray *array, const CUDA_ARRAY3D_DESCRIPTOR *what)
{
	MAY_FAIL();
	return make_array((void **)array, what->Width * at_least_one(what->Height) *
						  at_least_one(what->Depth) *
						  what->NumChannels * 4);
}

/* Of ABIs that nobody uses: they are only there. */
CUresult cuArrayCreate(CUarray *array, const void *what)
{
	(void)what;
	MAY_FAIL();
	return make_array((void **)array, 4);
}

CUresult cuArray3DCreate(CUarray *array, const void *what)
{
	return cuArrayCreate(array, what);
}

CUresult cuMipmappedArrayCreate(
	CUmipmappedArray *array, const CUDA_ARRAY3D_DESCRIPTOR *what, unsigned levels)
{
	uint64_t w = what->Width, h = at_least_one(what->Height), sum = 0;

	MAY_FAIL();
	for (unsigned i = 0; i < levels; i++) {
		sum += w * h * what->NumChannels * 4;
		w = at_least_one(w / 2);
		h = at_least_one(h / 2);
	}
	return make_array((void **)array, sum);
}

static CUresult end_array(void *array)
{
	struct thing *t = take_thing((uintptr_t)array);

	if (!t)
		return CUDA_ERROR_INVALID_HANDLE;
	free_thing(t);
	free(array);
	return CUDA_SUCCESS;
}

CUresult cuArrayDestroy(CUarray array)
{
	MAY_FAIL();
	return end_array(array);
}

CUresult cuMipmappedArrayDestroy(CUmipmappedArray array)
{
	MAY_FAIL();
	return end_array(array);
}
