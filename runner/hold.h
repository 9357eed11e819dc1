/* hold.h - what a job's container gets so that it is held to its partition.
 *
 * The partition's own file writable, the leases of its devices, the libraries (layers.h) by
 * an /etc/ld.so.preload of its own, and a file that says which partition it is.  Nothing of
 * another partition, and nothing of Chronos's books, is in the container.
 *
 * Thread: loop.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "bundle.h"
#include "chronos.h"
#include "err.h"
#include "gpu.h"

/* In the container. */
#define HOLD_FOLDER "/run/chronos"

struct hold {
	unsigned int
		layers; /* bits of layers.h; 0: nothing holds it, all else is empty */
	struct bundle_bind *binds; /* owned, with what they name */
	size_t bind_count;
	char *devices; /* owned; indexes as CHRONOS_DEVICE lists them: "3" or "0,1" */
	char *uuids;   /* owned; in the same order */
};

struct hold_source {
	struct chronos *chronos;
	const struct chronos_partition *partition;
	const struct gpus *gpus;
	const char *root_folder;
	int bundle; /* folder for the files that are made */
	const char *bundle_path;
};

/* Make the partition's files and those in the bundle's folder.  ERR_UNAVAILABLE: Chronos
 * failed or a library is missing, and the run is not to begin. */
int hold_make(struct hold *h, const struct hold_source *from, struct err *e) MUST_CHECK;
void hold_fini(struct hold *h);

/* What the job had of its share, over all its devices. */
struct hold_usage {
	uint64_t quota_bytes; /* 0: nothing was measured */
	uint64_t peak_bytes;  /* the most that hold_measure() saw */
	uint64_t time_ns;
	uint64_t refusals;
	uint64_t overruns, overrun_ns;
};

/* Look at it now; what cannot be read leaves *u as it was. */
void hold_measure(const struct hold *h, struct chronos *c,
	const struct chronos_partition *p, struct hold_usage *u);

/* Did somebody release it?  False where that cannot be found out. */
bool hold_is_gone(struct chronos *c, const struct chronos_partition *p);

/* NAME and value of variable i of those that the layers read; false past the last one. */
bool hold_variable(const struct hold *h, const struct chronos_partition *p, size_t i,
	const char **name, const char **value);
