/* opencl.h - the driver below the layer, and how a function of it is held. */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#define CL_TARGET_OPENCL_VERSION 300
#define CL_USE_DEPRECATED_OPENCL_1_1_APIS
#define CL_USE_DEPRECATED_OPENCL_1_2_APIS
#include <CL/cl.h>
#include <CL/cl_ext.h>
#include <CL/cl_layer.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The deprecated functions are held because programs use them. */
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

/* What is below: other layers, and the drivers.  Written once, by clInitLayer. */
extern cl_icd_dispatch real;

/* While clInitLayer runs: hook_NAME is called in place of NAME, where NAME is there. */
#define HOOK(name) layer_hook(#name, (void *)hook_##name, offsetof(cl_icd_dispatch, name))
void layer_hook(const char *name, void *function, size_t offset);

/* The same for a function that programs only get by clGetExtensionFunctionAddress. */
#define HOOK_EXTENSION(name) layer_hook(#name, (void *)hook_##name, SIZE_MAX)
/* The hook of that name, or NULL. */
void *layer_find_hook(const char *name);

/* Each file's own. */
void memory_hook(void);
void addresses_hook(void);
void queues_hook(void);
void user_events_hook(void);
void launch_hook(void);
void wait_hook(void);
void extensions_hook(void);
void views_hook(void);
