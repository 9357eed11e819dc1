/* memory.c - buffers, images and pipes take of the quota what they have. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "charge.h"
#include "extensions.h"

#include <stdlib.h>

struct charge {
	uint64_t bytes;
	uint32_t life; /* whose it is */
};

struct charge *charge_new(uint64_t bytes, cl_int *rc)
{
	struct charge *c = malloc(sizeof *c);

	*rc = c ? partition_charge(bytes) : CL_OUT_OF_HOST_MEMORY;
	if (*rc != CL_SUCCESS) {
		free(c);
		return NULL;
	}
	*c = (struct charge){ bytes, partition_life() };
	return c;
}

void charge_free(struct charge *c)
{
	if (c->life == partition_life())
		partition_uncharge(c->bytes);
	free(c);
}

static void CL_CALLBACK when_destroyed(cl_mem mem, void *c)
{
	(void)mem;
	charge_free(c);
}

static cl_mem answer(cl_mem mem, cl_int rc, cl_int *errcode)
{
	if (errcode)
		*errcode = rc;
	return mem;
}

/* The object, which now has its charge, or NULL when the driver failed. */
static cl_mem bind_charge(cl_mem mem, cl_int rc, struct charge *c, cl_int *errcode)
{
	if (!mem) {
		charge_free(c);
		return answer(NULL, rc, errcode);
	}
	rc = real.clSetMemObjectDestructorCallback(mem, when_destroyed, c);
	if (rc != CL_SUCCESS) {
		real.clReleaseMemObject(mem);
		charge_free(c);
		return answer(NULL, CL_OUT_OF_RESOURCES, errcode);
	}
	return answer(mem, CL_SUCCESS, errcode);
}

static cl_mem CL_API_CALL hook_clCreateBuffer(
	cl_context context, cl_mem_flags flags, size_t size, void *host, cl_int *errcode)
{
	cl_int rc;
	struct charge *c = charge_new(size, &rc);

	if (!c)
		return answer(NULL, rc, errcode);
	cl_mem mem = real.clCreateBuffer(context, flags, size, host, &rc);
	return bind_charge(mem, rc, c, errcode);
}

static cl_mem CL_API_CALL hook_clCreateBufferWithProperties(cl_context context,
	const cl_mem_properties *properties, cl_mem_flags flags, size_t size, void *host,
	cl_int *errcode)
{
	cl_int rc;
	struct charge *c = charge_new(size, &rc);

	if (!c)
		return answer(NULL, rc, errcode);
	cl_mem mem = real.clCreateBufferWithProperties(
		context, properties, flags, size, host, &rc);
	return bind_charge(mem, rc, c, errcode);
}

/* How large an image is only its driver knows: it is made first, and charged then. */
static cl_mem charge_made(cl_mem mem, cl_int rc, cl_int *errcode)
{
	size_t bytes = 0;

	if (!mem)
		return answer(NULL, rc, errcode);
	rc = real.clGetMemObjectInfo(mem, CL_MEM_SIZE, sizeof bytes, &bytes, NULL);
	struct charge *c = rc == CL_SUCCESS ? charge_new(bytes, &rc) : NULL;
	if (!c) {
		real.clReleaseMemObject(mem);
		return answer(NULL, rc, errcode);
	}
	return bind_charge(mem, rc, c, errcode);
}

static cl_mem CL_API_CALL hook_clCreateImage(cl_context context, cl_mem_flags flags,
	const cl_image_format *format, const cl_image_desc *desc, void *host,
	cl_int *errcode)
{
	cl_int rc = CL_SUCCESS;
	cl_mem mem = real.clCreateImage(context, flags, format, desc, host, &rc);

	/* A view of a buffer has that buffer's bytes. */
	if (mem && desc->buffer)
		return answer(mem, rc, errcode);
	return charge_made(mem, rc, errcode);
}

static cl_mem CL_API_CALL hook_clCreateImageWithProperties(cl_context context,
	const cl_mem_properties *properties, cl_mem_flags flags,
	const cl_image_format *format, const cl_image_desc *desc, void *host,
	cl_int *errcode)
{
	cl_int rc = CL_SUCCESS;
	cl_mem mem = real.clCreateImageWithProperties(
		context, properties, flags, format, desc, host, &rc);

	if (mem && desc->buffer)
		return answer(mem, rc, errcode);
	return charge_made(mem, rc, errcode);
}

static cl_mem CL_API_CALL hook_clCreateImage2D(cl_context context, cl_mem_flags flags,
	const cl_image_format *format, size_t width, size_t height, size_t row_pitch,
	void *host, cl_int *errcode)
{
	cl_int rc = CL_SUCCESS;
	cl_mem mem = real.clCreateImage2D(
		context, flags, format, width, height, row_pitch, host, &rc);

	return charge_made(mem, rc, errcode);
}

static cl_mem CL_API_CALL hook_clCreateImage3D(cl_context context, cl_mem_flags flags,
	const cl_image_format *format, size_t width, size_t height, size_t depth,
	size_t row_pitch, size_t slice_pitch, void *host, cl_int *errcode)
{
	cl_int rc = CL_SUCCESS;
	cl_mem mem = real.clCreateImage3D(context, flags, format, width, height, depth,
		row_pitch, slice_pitch, host, &rc);

	return charge_made(mem, rc, errcode);
}

static cl_mem CL_API_CALL hook_clCreatePipe(cl_context context, cl_mem_flags flags,
	cl_uint packet_bytes, cl_uint packets, const cl_pipe_properties *properties,
	cl_int *errcode)
{
	cl_int rc = CL_SUCCESS;
	cl_mem mem =
		real.clCreatePipe(context, flags, packet_bytes, packets, properties, &rc);

	return charge_made(mem, rc, errcode);
}

/* Before it was of OpenCL itself. */
static cl_mem CL_API_CALL hook_clCreateBufferWithPropertiesINTEL(cl_context context,
	const cl_mem_properties_intel *properties, cl_mem_flags flags, size_t size,
	void *host, cl_int *errcode)
{
	clCreateBufferWithPropertiesINTEL_fn create =
		REAL_EXTENSION(context, clCreateBufferWithPropertiesINTEL);
	cl_int rc = CL_INVALID_CONTEXT;
	struct charge *c = create ? charge_new(size, &rc) : NULL;

	if (!c)
		return answer(NULL, rc, errcode);
	cl_mem mem = create(context, properties, flags, size, host, &rc);
	return bind_charge(mem, rc, c, errcode);
}

void memory_hook(void)
{
	HOOK(clCreateBuffer);
	HOOK(clCreateBufferWithProperties);
	HOOK(clCreateImage);
	HOOK(clCreateImageWithProperties);
	HOOK(clCreateImage2D);
	HOOK(clCreateImage3D);
	HOOK(clCreatePipe);
	HOOK_EXTENSION(clCreateBufferWithPropertiesINTEL);
}
