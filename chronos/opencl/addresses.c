/* addresses.c - memory that programs know by its address takes of the quota, too. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared virtual memory, of OpenCL 2.0 and of ARM's extension, and Intel's "unified shared
 * memory", but for that of the host.
 */
#include "addresses.h"

#include "charge.h"
#include "extensions.h"

#include <pthread.h>
#include <stdlib.h>

typedef void *(CL_API_CALL *clSVMAllocARM_fn)(
	cl_context, cl_svm_mem_flags_arm, size_t, cl_uint);
typedef void(CL_API_CALL *clSVMFreeARM_fn)(cl_context, void *);

enum { BUCKETS = 1024 };

struct block {
	void *at;
	struct charge *charge;
	struct block *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct block *buckets[BUCKETS]; /* guarded by lock */

static struct block **bucket_of(const void *at)
{
	return &buckets[((uintptr_t)at >> 6) % BUCKETS];
}

static struct block *block_new(uint64_t bytes, cl_int *rc)
{
	struct block *b = malloc(sizeof *b);

	*rc = CL_OUT_OF_HOST_MEMORY;
	if (b && (b->charge = charge_new(bytes, rc)))
		return b;
	free(b);
	return NULL;
}

static void block_free(struct block *b)
{
	if (!b)
		return;
	charge_free(b->charge);
	free(b);
}

/* Now it is at that address, or nowhere when the driver failed. */
static void *keep(struct block *b, void *at)
{
	if (!at) {
		block_free(b);
		return NULL;
	}
	b->at = at;
	pthread_mutex_lock(&lock);
	struct block **bucket = bucket_of(at);
	b->next = *bucket;
	*bucket = b;
	pthread_mutex_unlock(&lock);
	return at;
}

/* NULL: none of ours. */
static struct block *take(const void *at)
{
	struct block **link, *found;

	if (!at)
		return NULL;
	pthread_mutex_lock(&lock);
	for (link = bucket_of(at); *link && (*link)->at != at;)
		link = &(*link)->next;
	found = *link;
	if (found)
		*link = found->next;
	pthread_mutex_unlock(&lock);
	return found;
}

void addresses_in_child(void)
{
	for (size_t i = 0; i < BUCKETS; i++)
		buckets[i] = NULL;
	pthread_mutex_init(&lock, NULL);
}

/* ---- shared virtual memory ---- */

static void *CL_API_CALL hook_clSVMAlloc(
	cl_context context, cl_svm_mem_flags flags, size_t size, cl_uint alignment)
{
	cl_int rc;
	struct block *b = block_new(size, &rc);

	return b ? keep(b, real.clSVMAlloc(context, flags, size, alignment)) : NULL;
}

static void CL_API_CALL hook_clSVMFree(cl_context context, void *at)
{
	struct block *b = take(at);

	real.clSVMFree(context, at);
	block_free(b);
}

static void *CL_API_CALL hook_clSVMAllocARM(
	cl_context context, cl_svm_mem_flags_arm flags, size_t size, cl_uint alignment)
{
	clSVMAllocARM_fn alloc = REAL_EXTENSION(context, clSVMAllocARM);
	cl_int rc;
	struct block *b = alloc ? block_new(size, &rc) : NULL;

	return b ? keep(b, alloc(context, flags, size, alignment)) : NULL;
}

static void CL_API_CALL hook_clSVMFreeARM(cl_context context, void *at)
{
	clSVMFreeARM_fn release = REAL_EXTENSION(context, clSVMFreeARM);

	if (!release)
		return;
	struct block *b = take(at);
	release(context, at);
	block_free(b);
}

/* What the driver will have freed when a command is done. */
struct freeing {
	cl_uint count;
	struct block *blocks[];
};

static void CL_CALLBACK when_freed(cl_event event, cl_int status, void *arg)
{
	struct freeing *f = arg;

	(void)event;
	(void)status;
	for (cl_uint i = 0; i < f->count; i++)
		block_free(f->blocks[i]);
	free(f);
}

static void put_back(struct freeing *f)
{
	for (cl_uint i = 0; i < f->count; i++) {
		if (f->blocks[i])
			keep(f->blocks[i], f->blocks[i]->at);
	}
	free(f);
}

typedef void(CL_CALLBACK *free_function)(cl_command_queue, cl_uint, void **, void *);

typedef cl_int(CL_API_CALL *clEnqueueSVMFree_fn)(cl_command_queue, cl_uint, void *[],
	free_function, void *, cl_uint, const cl_event *, cl_event *);

/* A function of the program's frees by clSVMFree: that is seen there. */
static cl_int free_later(clEnqueueSVMFree_fn enqueue, cl_command_queue queue,
	cl_uint count, void *pointers[], free_function release, void *arg, cl_uint waits,
	const cl_event *wait, cl_event *event)
{
	cl_event own = NULL, *done = event ? event : &own;

	if (release || !pointers)
		return enqueue(queue, count, pointers, release, arg, waits, wait, event);
	struct freeing *f = malloc(sizeof *f + count * sizeof(f->blocks[0]));
	if (!f)
		return CL_OUT_OF_HOST_MEMORY;
	f->count = count;
	for (cl_uint i = 0; i < count; i++)
		f->blocks[i] = take(pointers[i]);
	cl_int rc = enqueue(queue, count, pointers, NULL, NULL, waits, wait, done);
	if (rc != CL_SUCCESS) {
		put_back(f);
		return rc;
	}
	/* Where the driver would not tell, it is freed soon. */
	if (real.clSetEventCallback(*done, CL_COMPLETE, when_freed, f) != CL_SUCCESS)
		when_freed(*done, CL_COMPLETE, f);
	if (own)
		real.clReleaseEvent(own);
	return CL_SUCCESS;
}

static cl_int CL_API_CALL hook_clEnqueueSVMFree(cl_command_queue queue, cl_uint count,
	void *pointers[], free_function release, void *arg, cl_uint waits,
	const cl_event *wait, cl_event *event)
{
	return free_later(real.clEnqueueSVMFree, queue, count, pointers, release, arg,
		waits, wait, event);
}

static cl_int CL_API_CALL hook_clEnqueueSVMFreeARM(cl_command_queue queue, cl_uint count,
	void *pointers[], free_function release, void *arg, cl_uint waits,
	const cl_event *wait, cl_event *event)
{
	clEnqueueSVMFree_fn enqueue =
		(clEnqueueSVMFree_fn)extension_of_queue(queue, "clEnqueueSVMFreeARM");

	if (!enqueue)
		return CL_INVALID_COMMAND_QUEUE;
	return free_later(
		enqueue, queue, count, pointers, release, arg, waits, wait, event);
}

/* ---- Intel's ---- */

static void *usm_answer(void *at, cl_int rc, cl_int *errcode)
{
	/* The names of its errors are those of clCreateBuffer's. */
	if (errcode)
		*errcode = rc;
	return at;
}

typedef clDeviceMemAllocINTEL_fn usm_alloc; /* and of the shared one */

static void *usm_take(usm_alloc alloc, cl_context context, cl_device_id device,
	const cl_mem_properties_intel *properties, size_t size, cl_uint alignment,
	cl_int *errcode)
{
	cl_int rc = CL_INVALID_CONTEXT;
	struct block *b = alloc ? block_new(size, &rc) : NULL;

	if (!b)
		return usm_answer(NULL, rc, errcode);
	void *at = keep(b, alloc(context, device, properties, size, alignment, &rc));
	return usm_answer(at, rc, errcode);
}

static void *CL_API_CALL hook_clDeviceMemAllocINTEL(cl_context context,
	cl_device_id device, const cl_mem_properties_intel *properties, size_t size,
	cl_uint alignment, cl_int *errcode)
{
	return usm_take(REAL_EXTENSION(context, clDeviceMemAllocINTEL), context, device,
		properties, size, alignment, errcode);
}

static void *CL_API_CALL hook_clSharedMemAllocINTEL(cl_context context,
	cl_device_id device, const cl_mem_properties_intel *properties, size_t size,
	cl_uint alignment, cl_int *errcode)
{
	return usm_take(REAL_EXTENSION(context, clSharedMemAllocINTEL), context, device,
		properties, size, alignment, errcode);
}

typedef clMemFreeINTEL_fn usm_free; /* and of the one that waits */

static cl_int usm_give(usm_free release, cl_context context, void *at)
{
	if (!release)
		return CL_INVALID_CONTEXT;
	/* Before the driver: another thread may be given that address at once. */
	struct block *b = take(at);
	cl_int rc = release(context, at);
	if (rc == CL_SUCCESS)
		block_free(b);
	else if (b)
		keep(b, at);
	return rc;
}

static cl_int CL_API_CALL hook_clMemFreeINTEL(cl_context context, void *at)
{
	return usm_give(REAL_EXTENSION(context, clMemFreeINTEL), context, at);
}

static cl_int CL_API_CALL hook_clMemBlockingFreeINTEL(cl_context context, void *at)
{
	return usm_give(REAL_EXTENSION(context, clMemBlockingFreeINTEL), context, at);
}

void addresses_hook(void)
{
	HOOK(clSVMAlloc);
	HOOK(clSVMFree);
	HOOK(clEnqueueSVMFree);
	HOOK_EXTENSION(clSVMAllocARM);
	HOOK_EXTENSION(clSVMFreeARM);
	HOOK_EXTENSION(clEnqueueSVMFreeARM);
	HOOK_EXTENSION(clDeviceMemAllocINTEL);
	HOOK_EXTENSION(clSharedMemAllocINTEL);
	HOOK_EXTENSION(clMemFreeINTEL);
	HOOK_EXTENSION(clMemBlockingFreeINTEL);
}
