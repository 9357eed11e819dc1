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

/* Which of them hold a job on a device of this kind, as bits 1 << layer: all that it takes,
 * or 0.  Then *missing names the first that root_folder has not got, and no job is to run
 * on such a device; NULL: there is nothing to hold, as the device is simulated. */
unsigned int layers_for(
	const char *root_folder, enum chronos_kind kind, const char **missing);
