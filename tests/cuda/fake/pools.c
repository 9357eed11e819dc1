/* pools.c - stream-ordered memory. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "fake.h"

static struct CUmemPoolHandle_st default_pools[FAKE_DEVICES_MAX];
static CUmemoryPool current_pools[FAKE_DEVICES_MAX]; /* NULL: the default one */

static CUmemoryPool default_pool(int device)
{
	default_pools[device].device = device;
	return &default_pools[device];
}

static CUmemoryPool current_pool(int device)
{
	return current_pools[device] ? current_pools[device] : default_pool(device);
}

void trim_default_pools(void)
{
	for (int i = 0; i < FAKE_DEVICES_MAX; i++) {
		CUmemoryPool p = default_pool(i);
		if (p->reserved > p->used && !p->threshold)
			cuMemPoolTrimTo(p, 0);
	}
}

void reset_pools(int device)
{
	CUmemoryPool p = default_pool(device);

	free_things_from(p);
	cuMemPoolTrimTo(p, 0);
}

static CUresult pool_take(CUmemoryPool pool, uint64_t bytes)
{
	return pool->on_host ? CUDA_SUCCESS : take(pool->device, bytes);
}

static void pool_give(CUmemoryPool pool, uint64_t bytes)
{
	if (!pool->on_host)
		give(pool->device, bytes);
}

static CUresult pool_alloc(
	CUdeviceptr *at, uint64_t bytes, CUmemoryPool pool, CUstream stream)
{
	struct CUstream_st *s;
	CUresult rc = resolve(stream, &s);

	if (rc != CUDA_SUCCESS)
		return rc;
	if (s->capture) {
		CUDA_MEM_ALLOC_NODE_PARAMS node = { .bytesize = bytes,
			.poolProps.location = {
				CU_MEM_LOCATION_TYPE_DEVICE, s->device } };
		graph_alloc(s->capture, &node);
		*at = node.dptr;
		return CUDA_SUCCESS;
	}
	if (!pool)
		pool = current_pool(s->device);
	pthread_mutex_lock(&lock);
	uint64_t spare = pool->reserved - pool->used;
	if (bytes > spare) {
		uint64_t grow = (bytes - spare + POOL_PAGE - 1) / POOL_PAGE * POOL_PAGE;
		rc = pool_take(pool, grow);
		if (rc == CUDA_SUCCESS)
			pool->reserved += grow;
	}
	if (rc == CUDA_SUCCESS)
		pool->used += bytes;
	pthread_mutex_unlock(&lock);
	if (rc != CUDA_SUCCESS)
		return rc;
	*at = new_address(bytes);
	add_thing(*at, bytes, pool->device)->pool = pool;
	return CUDA_SUCCESS;
}

BOTH(cuMemAllocAsync, cuMemAllocAsync_ptsz, (CUdeviceptr * at, size_t bytes, CUstream on),
	on, { return pool_alloc(at, bytes, NULL, stream); })
BOTH(cuMemAllocFromPoolAsync, cuMemAllocFromPoolAsync_ptsz,
	(CUdeviceptr * at, size_t bytes, CUmemoryPool pool, CUstream on), on,
	{ return pool_alloc(at, bytes, pool, stream); })
BOTH(cuMemFreeAsync, cuMemFreeAsync_ptsz, (CUdeviceptr at, CUstream on), on, {
	struct CUstream_st *s;
	CUresult rc = resolve(stream, &s);
	if (rc != CUDA_SUCCESS)
		return rc;
	if (s->capture) {
		graph_free(s->capture, at);
		return CUDA_SUCCESS;
	}
	struct thing *t = take_thing(at);
	if (!t)
		return CUDA_ERROR_INVALID_VALUE;
	free_thing(t);
	return CUDA_SUCCESS;
})

CUresult cuMemPoolCreate(CUmemoryPool *pool, const CUmemPoolProps *props)
{
	MAY_FAIL();
	*pool = calloc(1, sizeof **pool);
	(*pool)->device = props->location.id;
	(*pool)->on_host = props->location.type != CU_MEM_LOCATION_TYPE_DEVICE;
	return CUDA_SUCCESS;
}

CUresult cuMemPoolTrimTo(CUmemoryPool pool, size_t keep)
{
	MAY_FAIL();
	UNSAFE();
	pthread_mutex_lock(&lock);
	uint64_t least = pool->used > keep ? pool->used : keep;
	least = (least + POOL_PAGE - 1) / POOL_PAGE * POOL_PAGE;
	if (pool->reserved > least) {
		pool_give(pool, pool->reserved - least);
		pool->reserved = least;
	}
	pthread_mutex_unlock(&lock);
	return CUDA_SUCCESS;
}

CUresult cuMemPoolDestroy(CUmemoryPool pool)
{
	MAY_FAIL();
	/* What is still allocated from it stays so. */
	pool_give(pool, pool->reserved - pool->used);
	if (!pool->used)
		free(pool);
	return CUDA_SUCCESS;
}

CUresult cuMemPoolGetAttribute(CUmemoryPool pool, CUmemPool_attribute what, void *value)
{
	uint64_t n;

	MAY_FAIL();
	pthread_mutex_lock(&lock);
	n = what == CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT ? pool->reserved
	    : what == CU_MEMPOOL_ATTR_USED_MEM_CURRENT   ? pool->used
							 : pool->threshold;
	pthread_mutex_unlock(&lock);
	memcpy(value, &n, sizeof n);
	return CUDA_SUCCESS;
}

CUresult cuMemPoolSetAttribute(CUmemoryPool pool, CUmemPool_attribute what, void *value)
{
	MAY_FAIL();
	if (what == CU_MEMPOOL_ATTR_RELEASE_THRESHOLD)
		memcpy(&pool->threshold, value, sizeof pool->threshold);
	return CUDA_SUCCESS;
}

CUresult cuMemPoolImportFromShareableHandle(CUmemoryPool *pool, void *handle,
	CUmemAllocationHandleType type, unsigned long long flags)
{
	(void)handle, (void)type, (void)flags;
	MAY_FAIL();
	*pool = calloc(1, sizeof **pool);
	return CUDA_SUCCESS;
}

CUresult cuDeviceGetMemPool(CUmemoryPool *pool, CUdevice device)
{
	MAY_FAIL();
	*pool = current_pool(device);
	return CUDA_SUCCESS;
}

CUresult cuDeviceGetDefaultMemPool(CUmemoryPool *pool, CUdevice device)
{
	MAY_FAIL();
	*pool = default_pool(device);
	return CUDA_SUCCESS;
}

CUresult cuMemGetDefaultMemPool(
	CUmemoryPool *pool, CUmemLocation *place, CUmemAllocationType type)
{
	static struct CUmemPoolHandle_st host = { .on_host = true };

	(void)type;
	MAY_FAIL();
	*pool = place->type == CU_MEM_LOCATION_TYPE_DEVICE ? default_pool(place->id)
							   : &host;
	return CUDA_SUCCESS;
}

CUresult cuMemGetMemPool(
	CUmemoryPool *pool, CUmemLocation *place, CUmemAllocationType type)
{
	return cuMemGetDefaultMemPool(pool, place, type);
}

CUresult cuDeviceSetMemPool(CUdevice device, CUmemoryPool pool)
{
	MAY_FAIL();
	current_pools[device] = pool;
	return CUDA_SUCCESS;
}
