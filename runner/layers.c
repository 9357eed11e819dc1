/* layers.c - the libraries in a job's root folder that hold it to its GPU share. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "layers.h"

#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "str.h"

#define FOLDER "/opt/cumulus/lib/"

static const char *const paths[LAYERS] = {
	[LAYER_JOB] = FOLDER "libchronos-job.so",
	[LAYER_OPENCL] = FOLDER "libchronos-opencl.so",
	[LAYER_CUDA] = FOLDER "libchronos-cuda.so",
};

const char *layer_path(enum layer layer)
{
	return paths[layer];
}

char *layer_source(const char *folder, enum layer layer)
{
	return str_fmt("%s/%s", folder, paths[layer] + strlen(FOLDER));
}

static bool is_in(const char *root_folder, enum layer layer)
{
	CLEANUP(free_ptr) char *path = str_fmt("%s%s", root_folder, paths[layer]);

	return access(path, R_OK) == 0;
}

static unsigned int wanted(enum chronos_kind kind)
{
	switch (kind) {
	case CHRONOS_KIND_NVIDIA:
	case CHRONOS_KIND_MIG:
		return 1U << LAYER_JOB | 1U << LAYER_OPENCL | 1U << LAYER_CUDA;
	case CHRONOS_KIND_OPENCL:
	case CHRONOS_KIND_OPENCL_CPU:
		return 1U << LAYER_JOB | 1U << LAYER_OPENCL;
	default:
		return 0;
	}
}

unsigned int layers_for(
	const char *root_folder, enum chronos_kind kind, const char **missing)
{
	const unsigned int all = wanted(kind);

	*missing = NULL;
	for (enum layer i = 0; i < LAYERS; i++) {
		if ((all & 1U << i) && !is_in(root_folder, i)) {
			*missing = paths[i] + strlen(FOLDER);
			return 0;
		}
	}
	return all;
}
