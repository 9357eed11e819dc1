/* layer.c - an OpenCL layer that holds a program to its partition. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ICD loader loads it by OPENCL_LAYERS.  With CHRONOS_PARTITION set, a program's
 * allocations and launches go through libchronos; without it, nothing is changed.
 * Where the partition cannot be joined, everything is refused: a layer that was asked for
 * and does nothing would be worse.
 *
 * Thread: any.  One thread of its own passes the device's lease on for a program that
 * launches and never waits.  While a lock is held, the driver is asked for nothing but to
 * count a reference.
 */
#include "addresses.h"
#include "helper.h"
#include "opencl.h"
#include "partition.h"
#include "queues.h"
#include "user_events.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define LAYER_API __attribute__((visibility("default")))

cl_icd_dispatch real;
static cl_icd_dispatch hooked;

/* ---- hooks ---- */

static struct {
	const char *name;
	void *function;
} hooks[64];
static size_t hook_count;

void layer_hook(const char *name, void *function, size_t offset)
{
	void *below = NULL;

	if (offset != SIZE_MAX) {
		memcpy(&below, (char *)&real + offset, sizeof below);
		/* An older loader or driver has fewer functions. */
		if (!below)
			return;
		memcpy((char *)&hooked + offset, &function, sizeof function);
	}
	if (hook_count == sizeof hooks / sizeof *hooks)
		abort();
	hooks[hook_count].name = name;
	hooks[hook_count++].function = function;
}

void *layer_find_hook(const char *name)
{
	for (size_t i = 0; name && i < hook_count; i++) {
		if (strcmp(hooks[i].name, name) == 0)
			return hooks[i].function;
	}
	return NULL;
}

/* ---- forks, and the loader's door ---- */

/* A child has no part in its parent's partition: it joins for itself when it first asks. */
static void in_child(void)
{
	partition_in_child();
	addresses_in_child();
	queues_in_child();
	user_events_in_child();
	helper_in_child();
}

LAYER_API CL_API_ENTRY cl_int CL_API_CALL clGetLayerInfo(
	cl_layer_info name, size_t size, void *value, size_t *size_ret)
{
	const cl_layer_api_version version = CL_LAYER_API_VERSION_100;
	static const char layer_name[] = "chronos";
	const void *from = name == CL_LAYER_NAME ? (const void *)layer_name : &version;
	size_t bytes = name == CL_LAYER_NAME ? sizeof layer_name : sizeof version;

	if (name != CL_LAYER_API_VERSION && name != CL_LAYER_NAME)
		return CL_INVALID_VALUE;
	if (value && size < bytes)
		return CL_INVALID_VALUE;
	if (value)
		memcpy(value, from, bytes);
	if (size_ret)
		*size_ret = bytes;
	return CL_SUCCESS;
}

LAYER_API CL_API_ENTRY cl_int CL_API_CALL clInitLayer(cl_uint entries,
	const cl_icd_dispatch *target, cl_uint *entries_ret,
	const cl_icd_dispatch **layer)
{
	const cl_uint all = sizeof real / sizeof(void *);
	const char *partition = getenv("CHRONOS_PARTITION");

	if (!target || !entries_ret || !layer)
		return CL_INVALID_VALUE;
	memcpy(&real, target, (entries < all ? entries : all) * sizeof(void *));
	hooked = real;
	if (partition && *partition) {
		memory_hook();
		addresses_hook();
		queues_hook();
		user_events_hook();
		launch_hook();
		wait_hook();
		extensions_hook();
		views_hook();
		pthread_atfork(NULL, NULL, in_child);
	}
	*entries_ret = entries < all ? entries : all;
	*layer = &hooked;
	return CL_SUCCESS;
}
