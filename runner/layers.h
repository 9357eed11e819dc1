/* layers.h - the libraries in a job's root folder that hold it to its GPU share.
 *
 * Thread: any.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "chronos.h"

enum layer {
	LAYER_JOB,    /* keeps a job from taking the others off by its environment */
	LAYER_OPENCL, /* loaded by OpenCL's ICD loader */
	LAYER_CUDA,   /* loaded into every program */
	LAYERS
};

/* Where a job finds it: "/opt/cumulus/lib/libchronos-job.so", ... */
const char *layer_path(enum layer layer);
/* Where it is in a folder of the host; the caller frees it. */
char *layer_source(const char *folder, enum layer layer);

/* Which of them hold a job with devices of this kind, `count` in all: bit 1 << layer.  0:
 * nothing holds it, since there is no such device, or no library for it in root_folder. */
unsigned int layers_for(const char *root_folder, enum chronos_kind kind, size_t count);
