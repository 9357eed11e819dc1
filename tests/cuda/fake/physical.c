/* physical.c - physical memory and its mappings. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "fake.h"

CUresult cuMemCreate(CUmemGenericAllocationHandle *handle, size_t bytes,
	const CUmemAllocationProp *prop, unsigned long long flags)
{
	(void)flags;
	MAY_FAIL();
	if (bytes % POOL_PAGE)
		return CUDA_ERROR_INVALID_VALUE;
	bool device = prop->location.type == CU_MEM_LOCATION_TYPE_DEVICE;
	CUresult rc = device ? take(prop->location.id, bytes) : CUDA_SUCCESS;
	if (rc != CUDA_SUCCESS)
		return rc;
	*handle = new_address(0);
	struct thing *t =
		add_thing(*handle, device ? bytes : 0, device ? prop->location.id : 0);
	t->handles = 1;
	return CUDA_SUCCESS;
}

static void end_if_unused(struct thing *t)
{
	if (!t->handles && !t->mappings)
		free_thing(take_thing(t->key));
}

CUresult cuMemRelease(CUmemGenericAllocationHandle handle)
{
	MAY_FAIL();
	struct thing *t = find_thing(handle);
	if (!t || !t->handles)
		return CUDA_ERROR_INVALID_VALUE;
	t->handles--;
	end_if_unused(t);
	return CUDA_SUCCESS;
}

CUresult cuMemMap(CUdeviceptr at, size_t bytes, size_t offset,
	CUmemGenericAllocationHandle handle, unsigned long long flags)
{
	(void)offset, (void)flags;
	MAY_FAIL();
	struct thing *t = find_thing(handle);
	if (!t)
		return CUDA_ERROR_INVALID_VALUE;
	t->mappings++;
	struct thing *m = add_thing(at, 0, t->device);
	m->physical = handle;
	m->mapped = bytes;
	return CUDA_SUCCESS;
}

CUresult cuMemUnmap(CUdeviceptr at, size_t bytes)
{
	MAY_FAIL();
	for (CUdeviceptr end = at + bytes; at < end;) {
		struct thing *m = take_thing(at);
		if (!m)
			return CUDA_ERROR_INVALID_VALUE;
		at += m->mapped;
		struct thing *t = find_thing(m->physical);
		t->mappings--;
		end_if_unused(t);
		free(m);
	}
	return CUDA_SUCCESS;
}

CUresult cuMemRetainAllocationHandle(CUmemGenericAllocationHandle *handle, void *at)
{
	MAY_FAIL();
	struct thing *m = find_thing((uintptr_t)at);
	if (!m || !m->physical)
		return CUDA_ERROR_INVALID_VALUE;
	*handle = m->physical;
	find_thing(m->physical)->handles++;
	return CUDA_SUCCESS;
}

BOTH(cuMemMapArrayAsync, cuMemMapArrayAsync_ptsz,
	(CUarrayMapInfo * list, unsigned count, CUstream on), on, {
		(void)list, (void)count, (void)stream;
		return CUDA_SUCCESS;
	})
