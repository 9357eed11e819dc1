/* memory.c - hooks: memory that has an address at once, and arrays. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "held.h"
#include "reach.h"

#include <limits.h>

enum { PITCH_BYTES = 512 };

static uint64_t address_of(const CUdeviceptr *at)
{
	return at ? *at : 0;
}

CUresult cuMemAlloc_v2(CUdeviceptr *at, size_t bytes)
{
	struct held_claim c;
	CUresult rc = held_charge(&c, HELD_MEMORY, bytes);

	if (rc != CUDA_SUCCESS)
		return rc;
	rc = REAL(cuMemAlloc_v2)(at, bytes);
	return held_settle(&c, rc, address_of(at));
}

CUresult cuMemAlloc(unsigned *at, unsigned bytes)
{
	struct held_claim c;
	CUresult rc = held_charge(&c, HELD_MEMORY, bytes);

	if (rc != CUDA_SUCCESS)
		return rc;
	rc = REAL(cuMemAlloc)(at, bytes);
	return held_settle(&c, rc, at ? *at : 0);
}

CUresult cuMemAllocManaged(CUdeviceptr *at, size_t bytes, unsigned flags)
{
	struct held_claim c;
	CUresult rc = held_charge(&c, HELD_MEMORY, bytes);

	if (rc != CUDA_SUCCESS)
		return rc;
	rc = REAL(cuMemAllocManaged)(at, bytes, flags);
	return held_settle(&c, rc, address_of(at));
}

/* a * b, and what cannot be is more than any quota. */
static uint64_t product(uint64_t a, uint64_t b)
{
	uint64_t bytes;

	return __builtin_mul_overflow(a, b, &bytes) ? UINT64_MAX : bytes;
}

/* How long a row becomes only the driver knows. */
CUresult cuMemAllocPitch_v2(CUdeviceptr *at, size_t *pitch, size_t width, size_t height,
	unsigned element_bytes)
{
	struct held_claim c;
	uint64_t row = width > SIZE_MAX - PITCH_BYTES
			       ? width
			       : (width + PITCH_BYTES - 1) / PITCH_BYTES * PITCH_BYTES;
	CUresult rc = held_charge(&c, HELD_MEMORY, product(row, height));

	if (rc != CUDA_SUCCESS)
		return rc;
	rc = REAL(cuMemAllocPitch_v2)(at, pitch, width, height, element_bytes);
	if (rc == CUDA_SUCCESS) {
		CUresult more = held_recharge(&c, product(*pitch, height));
		if (more != CUDA_SUCCESS) {
			REAL(cuMemFree_v2)(*at);
			rc = more;
		}
	}
	return held_settle(&c, rc, address_of(at));
}

CUresult cuMemFree_v2(CUdeviceptr at)
{
	struct held *h = held_take(HELD_MEMORY, at);

	return held_freed(h, REAL(cuMemFree_v2)(at));
}

CUresult cuMemFree(unsigned at)
{
	struct held *h = held_take(HELD_MEMORY, at);

	return held_freed(h, REAL(cuMemFree)(at));
}

/* ---- arrays ---- */

/* Of one channel.  What has several planes, is packed or is made of blocks counts as four
 * bytes, which is more than it takes. */
static uint64_t channel_bytes(int format)
{
	switch (format) {
	case 0x01: /* unsigned and signed integers of 8 bits */
	case 0x08:
		return 1;
	case 0x02: /* of 16 bits, and half */
	case 0x09:
	case 0x10:
		return 2;
	default: /* of 32 bits, and float */
		return 4;
	}
}

static uint64_t one_at_least(uint64_t n)
{
	return n ? n : 1;
}

static uint64_t array_bytes(const CUDA_ARRAY3D_DESCRIPTOR *what)
{
	/* Its pages come from others: see cuMemCreate(). */
	if (what->Flags & (CUDA_ARRAY3D_SPARSE | CUDA_ARRAY3D_DEFERRED_MAPPING))
		return 0;
	uint64_t texel =
		channel_bytes((int)what->Format) * one_at_least(what->NumChannels);
	return product(product(one_at_least(what->Width), one_at_least(what->Height)),
		product(one_at_least(what->Depth), texel));
}

CUresult cuArrayCreate_v2(CUarray *array, const CUDA_ARRAY_DESCRIPTOR *what)
{
	CUDA_ARRAY3D_DESCRIPTOR all = { 0 };
	struct held_claim c;

	if (what) {
		all.Width = what->Width;
		all.Height = what->Height;
		all.Format = what->Format;
		all.NumChannels = what->NumChannels;
	}
	CUresult rc = held_charge(&c, HELD_ARRAY, what ? array_bytes(&all) : 0);
	if (rc != CUDA_SUCCESS)
		return rc;
	rc = REAL(cuArrayCreate_v2)(array, what);
	return held_settle(&c, rc, array ? (uintptr_t)*array : 0);
}

CUresult cuArray3DCreate_v2(CUarray *array, const CUDA_ARRAY3D_DESCRIPTOR *what)
{
	struct held_claim c;
	CUresult rc = held_charge(&c, HELD_ARRAY, what ? array_bytes(what) : 0);

	if (rc != CUDA_SUCCESS)
		return rc;
	rc = REAL(cuArray3DCreate_v2)(array, what);
	return held_settle(&c, rc, array ? (uintptr_t)*array : 0);
}

CUresult cuArrayDestroy(CUarray array)
{
	struct held *h = held_take(HELD_ARRAY, (uintptr_t)array);

	return held_freed(h, REAL(cuArrayDestroy)(array));
}

/* Each level has half the extent of the one before. */
static uint64_t mipmap_bytes(const CUDA_ARRAY3D_DESCRIPTOR *what, unsigned levels)
{
	CUDA_ARRAY3D_DESCRIPTOR level = *what;
	uint64_t sum = 0;

	for (unsigned i = 0; i < levels && i < 64; i++) {
		if (__builtin_add_overflow(sum, array_bytes(&level), &sum))
			return UINT64_MAX;
		if (level.Width <= 1 && level.Height <= 1 && level.Depth <= 1)
			break;
		level.Width = one_at_least(level.Width / 2);
		level.Height /= level.Height > 1 ? 2 : 1;
		level.Depth /= level.Depth > 1 ? 2 : 1;
	}
	return sum;
}

CUresult cuMipmappedArrayCreate(
	CUmipmappedArray *array, const CUDA_ARRAY3D_DESCRIPTOR *what, unsigned levels)
{
	struct held_claim c;
	CUresult rc = held_charge(&c, HELD_ARRAY, what ? mipmap_bytes(what, levels) : 0);

	if (rc != CUDA_SUCCESS)
		return rc;
	rc = REAL(cuMipmappedArrayCreate)(array, what, levels);
	return held_settle(&c, rc, array ? (uintptr_t)*array : 0);
}

CUresult cuMipmappedArrayDestroy(CUmipmappedArray array)
{
	struct held *h = held_take(HELD_ARRAY, (uintptr_t)array);

	return held_freed(h, REAL(cuMipmappedArrayDestroy)(array));
}

/* ---- what is refused ---- */

/* Earlier ABIs, with lengths of 32 bits and an extent of another layout: no program of 64
 * bits has a use for them. */
#define REFUSE(call) return partition_is_set() ? CUDA_ERROR_NOT_SUPPORTED : (call)

CUresult cuMemAllocPitch(unsigned *at, unsigned *pitch, unsigned width, unsigned height,
	unsigned element_bytes)
{
	REFUSE(REAL(cuMemAllocPitch)(at, pitch, width, height, element_bytes));
}

CUresult cuArrayCreate(CUarray *array, const void *what)
{
	REFUSE(REAL(cuArrayCreate)(array, what));
}

CUresult cuArray3DCreate(CUarray *array, const void *what)
{
	REFUSE(REAL(cuArray3DCreate)(array, what));
}

/* An array would keep physical memory that the program has released: whose it is then, and
 * until when, the driver does not tell. */
CUresult cuMemMapArrayAsync(CUarrayMapInfo *list, unsigned count, CUstream stream)
{
	REFUSE(REAL(cuMemMapArrayAsync)(list, count, stream));
}

CUresult cuMemMapArrayAsync_ptsz(CUarrayMapInfo *list, unsigned count, CUstream stream)
{
	REFUSE(REAL(cuMemMapArrayAsync_ptsz)(list, count, stream));
}
