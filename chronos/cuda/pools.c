/* pools.c - hooks: stream-ordered allocation and its pools. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An allocation is charged before the driver is asked, by how much the pool may have to
 * grow for it (`pending`); afterwards the pool's reserve, as the driver tells it, is what
 * is charged.  The lock is held while the driver is asked for a number, which never waits.
 */
#include "pools.h"

#include "graphs.h"
#include "held.h"
#include "reach.h"
#include "streams.h"

#include <pthread.h>
#include <stdlib.h>

#define PAGE_BYTES UINT64_C(2097152)

struct pool {
	CUmemoryPool handle; /* NULL: the graphs' memory of the device */
	struct device *device;
	uint64_t charged;
	uint64_t pending; /* charged too, for allocations that are being made */
	bool unpaid; /* another process's, which pays for it, or not a device's memory */
	bool ended;  /* by the program; something is still allocated from it */
	struct pool *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct pool *pools;   /* all that were seen */
static uint64_t graph_trims; /* how often graphs were made to give memory back */

/* ---- the list; lock held ---- */

static struct pool *find(CUmemoryPool handle, const struct device *d)
{
	struct pool *p = pools;

	while (p && (p->handle != handle || (d && p->device != d)))
		p = p->next;
	return p;
}

static struct pool *find_or_add(CUmemoryPool handle, struct device *d)
{
	struct pool *p = find(handle, handle ? NULL : d);

	if (!p && (p = calloc(1, sizeof *p))) {
		p->handle = handle;
		p->device = d;
		p->next = pools;
		__atomic_store_n(&pools, p, __ATOMIC_RELEASE);
	}
	return p;
}

static void forget(struct pool *gone)
{
	struct pool **at = &pools;

	while (*at && *at != gone)
		at = &(*at)->next;
	if (*at)
		__atomic_store_n(at, gone->next, __ATOMIC_RELEASE);
	device_uncharge(gone->device, gone->charged);
	free(gone);
}

static bool is_there(const struct pool *wanted)
{
	const struct pool *p = pools;

	while (p && p != wanted)
		p = p->next;
	return p != NULL;
}

/* ---- what they have; lock held ---- */

static bool ask_reserved(const struct pool *p, uint64_t *bytes)
{
	*bytes = 0;
	if (p->handle)
		return REAL(cuMemPoolGetAttribute)(p->handle,
			       CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT,
			       bytes) == CUDA_SUCCESS;
	return REAL(cuDeviceGetGraphMemAttribute)(p->device->number,
		       CU_GRAPH_MEM_ATTR_RESERVED_MEM_CURRENT, bytes) == CUDA_SUCCESS;
}

static uint64_t ask_used(const struct pool *p)
{
	uint64_t bytes = 0;

	return REAL(cuMemPoolGetAttribute)(p->handle, CU_MEMPOOL_ATTR_USED_MEM_CURRENT,
		       &bytes) == CUDA_SUCCESS
		       ? bytes
		       : 0;
}

/* Give `released` of pending back, and charge what the pool has.  What is pending for
 * other threads may be part of that already: for so long it counts twice. */
static CUresult settle(struct pool *p, uint64_t released)
{
	uint64_t reserved, had = p->charged + released;

	p->pending -= released;
	if (p->unpaid || !ask_reserved(p, &reserved))
		reserved = p->charged;
	if (reserved <= had) {
		device_uncharge(p->device, had - reserved);
		p->charged = reserved;
		return CUDA_SUCCESS;
	}
	CUresult rc = device_charge_now(p->device, reserved - had);
	p->charged = rc == CUDA_SUCCESS ? reserved : had;
	return rc;
}

/* How much the pool must grow for it, as far as can be known. */
static uint64_t growth(const struct pool *p, uint64_t bytes)
{
	uint64_t reserved, used = ask_used(p);

	if (!ask_reserved(p, &reserved) || used > reserved)
		return bytes;
	if (bytes <= reserved - used)
		return 0;
	if (bytes > UINT64_MAX - PAGE_BYTES)
		return bytes;
	return (bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
}

static void trim(const struct pool *p)
{
	if (p->handle) {
		REAL(cuMemPoolTrimTo)(p->handle, 0);
		return;
	}
	REAL(cuDeviceGraphMemTrim)(p->device->number);
	__atomic_add_fetch(&graph_trims, 1, __ATOMIC_RELEASE);
}

/* The driver ends a pool at once, and keeps what is still allocated from it without being
 * asked about that any more.  So it is asked to only when nothing is. */
static bool end_pool(struct pool *p)
{
	if (ask_used(p) > 0) {
		trim(p);
		return false;
	}
	REAL(cuMemPoolDestroy)(p->handle);
	forget(p);
	return true;
}

void pools_settle(void)
{
	if (!__atomic_load_n(&pools, __ATOMIC_ACQUIRE))
		return;
	pthread_mutex_lock(&lock);
	for (struct pool *p = pools, *next; p; p = next) {
		next = p->next;
		if (!p->ended || !end_pool(p))
			(void)settle(p, 0);
	}
	pthread_mutex_unlock(&lock);
}

bool pools_give_back(struct device *d)
{
	bool any = false;

	if (!__atomic_load_n(&pools, __ATOMIC_ACQUIRE))
		return false;
	CUstreamCaptureMode mode = streams_begin_unsafe();
	pthread_mutex_lock(&lock);
	for (struct pool *p = pools; p; p = p->next) {
		if (p->device != d || p->unpaid)
			continue;
		any = true;
		trim(p);
		(void)settle(p, 0);
	}
	pthread_mutex_unlock(&lock);
	streams_end_unsafe(mode);
	return any;
}

/* ---- allocating ---- */

struct pool_claim {
	struct pool *pool; /* NULL: nothing is charged */
	uint64_t bytes;    /* pending for it */
};

/* With handle NULL, from the device's current pool. */
static CUresult claim_locked(
	struct pool_claim *c, struct device *d, CUmemoryPool handle, uint64_t bytes)
{
	if (!handle) {
		CUresult rc = REAL(cuDeviceGetMemPool)(&handle, d->number);
		if (rc != CUDA_SUCCESS)
			return rc;
	}
	struct pool *p = find_or_add(handle, d);
	if (!p)
		return CUDA_ERROR_OUT_OF_MEMORY;
	if (p->unpaid)
		return device_check(d);
	uint64_t grow = growth(p, bytes);
	CUresult rc = device_charge_now(p->device, grow);
	if (rc != CUDA_SUCCESS)
		return rc;
	p->pending += grow;
	*c = (struct pool_claim){ p, grow };
	return CUDA_SUCCESS;
}

static CUresult claim(struct pool_claim *c, struct device *d, CUmemoryPool handle,
	uint64_t bytes, CUstream stream)
{
	pthread_mutex_lock(&lock);
	CUresult rc = claim_locked(c, d, handle, bytes);
	pthread_mutex_unlock(&lock);
	if (rc != CUDA_ERROR_OUT_OF_MEMORY)
		return rc;
	/* What is being freed can be given back once the stream gets there; the driver
	 * waits for it too when a device is full. */
	streams_wait(stream);
	pools_give_back(d);
	pthread_mutex_lock(&lock);
	rc = claim_locked(c, d, handle, bytes);
	pthread_mutex_unlock(&lock);
	return rc;
}

static CUresult settle_claim(const struct pool_claim *c)
{
	CUresult rc = CUDA_SUCCESS;

	pthread_mutex_lock(&lock);
	if (c->pool && is_there(c->pool))
		rc = settle(c->pool, c->bytes);
	pthread_mutex_unlock(&lock);
	return rc;
}

/* Which of the functions was called. */
struct async_call {
	CUstream stream; /* not 0: that has been said by its name */
	__typeof__(&cuMemAllocAsync) alloc;
	__typeof__(&cuMemAllocFromPoolAsync) alloc_from;
	__typeof__(&cuMemFreeAsync) free;
	CUmemoryPool pool; /* NULL: the device's */
};

static CUresult call_driver(
	const struct async_call *call, CUdeviceptr *at, size_t bytes, CUstream stream)
{
	return call->pool ? call->alloc_from(at, bytes, call->pool, stream)
			  : call->alloc(at, bytes, stream);
}

static CUresult alloc_async(
	const struct async_call *call, CUdeviceptr *at, size_t bytes, CUstream stream)
{
	struct pool_claim c = { 0 };
	CUresult rc;
	struct device *d = streams_device(call->stream, &rc);

	if (rc != CUDA_SUCCESS)
		return rc;
	if (!d)
		return call_driver(call, at, bytes, stream);
	if (streams_is_capturing(call->stream)) {
		rc = device_check(d);
		if (rc != CUDA_SUCCESS)
			return rc;
		graphs_note_captured();
		return call_driver(call, at, bytes, stream);
	}
	rc = claim(&c, d, call->pool, bytes, call->stream);
	if (rc != CUDA_SUCCESS)
		return rc;
	rc = call_driver(call, at, bytes, stream);
	CUresult more = settle_claim(&c);
	if (rc != CUDA_SUCCESS || more == CUDA_SUCCESS)
		return rc;
	/* The pool grew by more than was foreseen, and by more than there is. */
	call->free(*at, stream);
	streams_wait(call->stream);
	pools_give_back(d);
	return more;
}

CUresult cuMemAllocAsync(CUdeviceptr *at, size_t bytes, CUstream stream)
{
	const struct async_call call = { .stream = legacy(stream),
		.alloc = REAL(cuMemAllocAsync),
		.free = REAL(cuMemFreeAsync) };

	return alloc_async(&call, at, bytes, stream);
}

CUresult cuMemAllocAsync_ptsz(CUdeviceptr *at, size_t bytes, CUstream stream)
{
	const struct async_call call = { .stream = per_thread(stream),
		.alloc = REAL(cuMemAllocAsync_ptsz),
		.free = REAL(cuMemFreeAsync_ptsz) };

	return alloc_async(&call, at, bytes, stream);
}

CUresult cuMemAllocFromPoolAsync(
	CUdeviceptr *at, size_t bytes, CUmemoryPool pool, CUstream stream)
{
	const struct async_call call = { .stream = legacy(stream),
		.alloc_from = REAL(cuMemAllocFromPoolAsync),
		.free = REAL(cuMemFreeAsync),
		.pool = pool };

	return pool ? alloc_async(&call, at, bytes, stream)
		    : call.alloc_from(at, bytes, pool, stream);
}

CUresult cuMemAllocFromPoolAsync_ptsz(
	CUdeviceptr *at, size_t bytes, CUmemoryPool pool, CUstream stream)
{
	const struct async_call call = { .stream = per_thread(stream),
		.alloc_from = REAL(cuMemAllocFromPoolAsync_ptsz),
		.free = REAL(cuMemFreeAsync_ptsz),
		.pool = pool };

	return pool ? alloc_async(&call, at, bytes, stream)
		    : call.alloc_from(at, bytes, pool, stream);
}

/* ---- freeing ---- */

/* What cuMemAlloc() gave may be freed so too; the pool's own is not on our books. */
CUresult cuMemFreeAsync(CUdeviceptr at, CUstream stream)
{
	struct held *h = held_take(HELD_MEMORY, at);

	return held_freed(h, REAL(cuMemFreeAsync)(at, stream));
}

CUresult cuMemFreeAsync_ptsz(CUdeviceptr at, CUstream stream)
{
	struct held *h = held_take(HELD_MEMORY, at);

	return held_freed(h, REAL(cuMemFreeAsync_ptsz)(at, stream));
}

/* ---- pools ---- */

/* Whose memory is in it. */
static CUresult note_pool(CUmemoryPool handle, const CUmemLocation *place)
{
	CUresult rc = CUDA_SUCCESS;
	CUdevice number = partition_number_of(place);
	struct device *d =
		number < 0 ? partition_nth_device(0) : partition_device(number, &rc);

	if (!d)
		return rc;
	pthread_mutex_lock(&lock);
	struct pool *p = find_or_add(handle, d);
	if (p && number < 0)
		p->unpaid = true;
	pthread_mutex_unlock(&lock);
	return p ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult cuMemPoolCreate(CUmemoryPool *pool, const CUmemPoolProps *props)
{
	CUresult rc = REAL(cuMemPoolCreate)(pool, props);

	if (rc != CUDA_SUCCESS || !props)
		return rc;
	rc = note_pool(*pool, &props->location);
	if (rc != CUDA_SUCCESS)
		REAL(cuMemPoolDestroy)(*pool);
	return rc;
}

/* Where a program gets one from: what is allocated from it is charged to its device, and
 * not to that of the stream. */
#define GET_POOL(pool, place, call)                                                      \
	do {                                                                             \
		CUresult rc = call;                                                      \
		return rc == CUDA_SUCCESS ? note_pool(*(pool), place) : rc;              \
	} while (0)

CUresult cuDeviceGetDefaultMemPool(CUmemoryPool *pool, CUdevice device)
{
	const CUmemLocation place = { .type = CU_MEM_LOCATION_TYPE_DEVICE, .id = device };

	GET_POOL(pool, &place, REAL(cuDeviceGetDefaultMemPool)(pool, device));
}

CUresult cuDeviceGetMemPool(CUmemoryPool *pool, CUdevice device)
{
	const CUmemLocation place = { .type = CU_MEM_LOCATION_TYPE_DEVICE, .id = device };

	GET_POOL(pool, &place, REAL(cuDeviceGetMemPool)(pool, device));
}

CUresult cuMemGetDefaultMemPool(
	CUmemoryPool *pool, CUmemLocation *place, CUmemAllocationType type)
{
	GET_POOL(pool, place, REAL(cuMemGetDefaultMemPool)(pool, place, type));
}

CUresult cuMemGetMemPool(
	CUmemoryPool *pool, CUmemLocation *place, CUmemAllocationType type)
{
	GET_POOL(pool, place, REAL(cuMemGetMemPool)(pool, place, type));
}

/* The program is done with it: nothing more is allocated from it. */
static void leave(const struct pool *p)
{
	CUdevice number = p->device->number;
	CUmemoryPool current, standard;

	if (REAL(cuDeviceGetMemPool)(&current, number) == CUDA_SUCCESS &&
		current == p->handle &&
		REAL(cuDeviceGetDefaultMemPool)(&standard, number) == CUDA_SUCCESS)
		REAL(cuDeviceSetMemPool)(number, standard);
}

CUresult cuMemPoolDestroy(CUmemoryPool pool)
{
	pthread_mutex_lock(&lock);
	struct pool *p = find(pool, NULL);
	bool later = p && !p->unpaid && ask_used(p) > 0;
	if (later) {
		p->ended = true;
		leave(p);
	}
	CUresult rc = later ? CUDA_SUCCESS : REAL(cuMemPoolDestroy)(pool);
	if (p && !later && rc == CUDA_SUCCESS)
		forget(p);
	pthread_mutex_unlock(&lock);
	return rc;
}

CUresult cuMemPoolTrimTo(CUmemoryPool pool, size_t keep_bytes)
{
	CUresult rc = REAL(cuMemPoolTrimTo)(pool, keep_bytes);

	pools_settle();
	return rc;
}

/* The process that made it pays for what is in it. */
CUresult cuMemPoolImportFromShareableHandle(CUmemoryPool *pool, void *handle,
	CUmemAllocationHandleType type, unsigned long long flags)
{
	CUresult rc = REAL(cuMemPoolImportFromShareableHandle)(pool, handle, type, flags);
	struct device *d = partition_nth_device(0);

	if (rc != CUDA_SUCCESS || !d)
		return rc;
	pthread_mutex_lock(&lock);
	struct pool *p = find_or_add(*pool, d);
	if (p)
		p->unpaid = true;
	pthread_mutex_unlock(&lock);
	return rc;
}

/* ---- graphs ---- */

uint64_t pools_graph_trims(void)
{
	return __atomic_load_n(&graph_trims, __ATOMIC_ACQUIRE);
}

CUresult pools_claim_graphs(struct device *d, uint64_t bytes)
{
	pthread_mutex_lock(&lock);
	struct pool *p = find_or_add(NULL, d);
	CUresult rc = p ? settle(p, 0) : CUDA_ERROR_OUT_OF_MEMORY;
	if (rc == CUDA_SUCCESS)
		rc = device_charge_now(d, bytes);
	if (rc == CUDA_SUCCESS)
		p->pending += bytes;
	pthread_mutex_unlock(&lock);
	return rc;
}

CUresult pools_settle_graphs(struct device *d, uint64_t bytes)
{
	pthread_mutex_lock(&lock);
	struct pool *p = find_or_add(NULL, d);
	CUresult rc = p ? settle(p, bytes) : CUDA_ERROR_OUT_OF_MEMORY;
	pthread_mutex_unlock(&lock);
	return rc;
}

CUresult cuDeviceGraphMemTrim(CUdevice device)
{
	CUresult rc = REAL(cuDeviceGraphMemTrim)(device);

	__atomic_add_fetch(&graph_trims, 1, __ATOMIC_RELEASE);
	pools_settle();
	return rc;
}

void pools_in_child(void)
{
	pthread_mutex_init(&lock, NULL);
	pools = NULL;
}
