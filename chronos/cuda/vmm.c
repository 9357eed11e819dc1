/* vmm.c - hooks: physical memory, which lives while a handle or a mapping is left. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handles are counted: cuMemCreate and cuMemRetainAllocationHandle add one, cuMemRelease
 * takes one; so are mappings, each of which cuMemUnmap takes as a whole.  The lock is held
 * while the driver is called, so that a value that it gives out again is never mistaken
 * for the one before.  Memory that was imported is its exporter's and is not here.
 */
#include "vmm.h"

#include "partition.h"
#include "reach.h"

#include <pthread.h>
#include <search.h>
#include <stdlib.h>

struct physical {
	CUmemGenericAllocationHandle handle; /* valid while handles > 0 */
	uint64_t bytes;
	struct device *device;
	uint32_t handles, mappings;
};

struct mapping {
	CUdeviceptr at;
	uint64_t bytes;
	struct physical *physical;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static void *by_handle;  /* of struct physical, those with handles */
static void *by_address; /* of struct mapping */

static int compare_handles(const void *x, const void *y)
{
	const struct physical *a = x, *b = y;

	return (a->handle > b->handle) - (a->handle < b->handle);
}

/* Ranges that overlap are the same: an address finds the mapping that it lies in. */
static int compare_addresses(const void *x, const void *y)
{
	const struct mapping *a = x, *b = y;

	if (a->at + a->bytes <= b->at)
		return -1;
	return a->at >= b->at + b->bytes;
}

static struct physical *find_handle(CUmemGenericAllocationHandle handle)
{
	const struct physical like = { .handle = handle };
	struct physical **at = tfind(&like, &by_handle, compare_handles);

	return at ? *at : NULL;
}

static struct mapping *find_mapping(CUdeviceptr at)
{
	const struct mapping like = { .at = at, .bytes = 1 };
	struct mapping **found = tfind(&like, &by_address, compare_addresses);

	return found ? *found : NULL;
}

static void free_if_gone(struct physical *p)
{
	if (p->handles || p->mappings)
		return;
	device_uncharge(p->device, p->bytes);
	free(p);
}

static void add_handle(struct physical *p)
{
	struct physical **at = tsearch(p, &by_handle, compare_handles);

	/* One whose release we have not seen had this value before: it is gone. */
	if (at && *at != p) {
		struct physical *stale = *at;
		*at = p;
		stale->handles = 0;
		free_if_gone(stale);
	}
}

CUresult cuMemCreate(CUmemGenericAllocationHandle *handle, size_t bytes,
	const CUmemAllocationProp *prop, unsigned long long flags)
{
	CUdevice number = prop ? partition_number_of(&prop->location) : -1;
	CUresult rc = CUDA_SUCCESS;
	struct device *d = number < 0 ? NULL : partition_device(number, &rc);

	if (rc != CUDA_SUCCESS)
		return rc;
	if (!d)
		return REAL(cuMemCreate)(handle, bytes, prop, flags);
	struct physical *p = malloc(sizeof *p);
	rc = p ? device_charge(d, bytes) : CUDA_ERROR_OUT_OF_MEMORY;
	if (rc != CUDA_SUCCESS) {
		free(p);
		return rc;
	}
	*p = (struct physical){ .bytes = bytes, .device = d };
	pthread_mutex_lock(&lock);
	rc = REAL(cuMemCreate)(handle, bytes, prop, flags);
	if (rc == CUDA_SUCCESS) {
		p->handle = *handle;
		p->handles = 1;
		add_handle(p);
	} else {
		free_if_gone(p);
	}
	pthread_mutex_unlock(&lock);
	return rc;
}

CUresult cuMemRelease(CUmemGenericAllocationHandle handle)
{
	if (!partition_is_set())
		return REAL(cuMemRelease)(handle);
	pthread_mutex_lock(&lock);
	CUresult rc = REAL(cuMemRelease)(handle);
	struct physical *p = rc == CUDA_SUCCESS ? find_handle(handle) : NULL;
	if (p && --p->handles == 0) {
		tdelete(p, &by_handle, compare_handles);
		free_if_gone(p);
	}
	pthread_mutex_unlock(&lock);
	return rc;
}

CUresult cuMemRetainAllocationHandle(CUmemGenericAllocationHandle *handle, void *at)
{
	if (!partition_is_set())
		return REAL(cuMemRetainAllocationHandle)(handle, at);
	pthread_mutex_lock(&lock);
	CUresult rc = REAL(cuMemRetainAllocationHandle)(handle, at);
	struct mapping *m = rc == CUDA_SUCCESS ? find_mapping((uintptr_t)at) : NULL;
	if (m && m->physical->handles++ == 0) {
		m->physical->handle = *handle;
		add_handle(m->physical);
	}
	pthread_mutex_unlock(&lock);
	return rc;
}

/* Lock held. */
static void note_mapping(CUdeviceptr at, size_t bytes, struct physical *p)
{
	struct mapping *m = malloc(sizeof *m);

	if (!m)
		return;
	*m = (struct mapping){ at, bytes, p };
	struct mapping **put = tsearch(m, &by_address, compare_addresses);
	if (put && *put == m)
		p->mappings++;
	else
		free(m);
}

CUresult cuMemMap(CUdeviceptr at, size_t bytes, size_t offset,
	CUmemGenericAllocationHandle handle, unsigned long long flags)
{
	if (!partition_is_set())
		return REAL(cuMemMap)(at, bytes, offset, handle, flags);
	pthread_mutex_lock(&lock);
	CUresult rc = REAL(cuMemMap)(at, bytes, offset, handle, flags);
	struct physical *p = rc == CUDA_SUCCESS ? find_handle(handle) : NULL;
	if (p)
		note_mapping(at, bytes, p);
	pthread_mutex_unlock(&lock);
	return rc;
}

CUresult cuMemUnmap(CUdeviceptr at, size_t bytes)
{
	if (!partition_is_set())
		return REAL(cuMemUnmap)(at, bytes);
	pthread_mutex_lock(&lock);
	CUresult rc = REAL(cuMemUnmap)(at, bytes);
	/* It may span several mappings, with imported ones among them. */
	for (CUdeviceptr end = at + bytes; rc == CUDA_SUCCESS && at < end;) {
		const struct mapping range = { .at = at, .bytes = end - at };
		struct mapping **found = tfind(&range, &by_address, compare_addresses);
		if (!found)
			break;
		struct mapping *m = *found;
		struct physical *p = m->physical;
		tdelete(m, &by_address, compare_addresses);
		free(m);
		p->mappings--;
		free_if_gone(p);
	}
	pthread_mutex_unlock(&lock);
	return rc;
}

void vmm_in_child(void)
{
	pthread_mutex_init(&lock, NULL);
	by_handle = by_address = NULL;
}
