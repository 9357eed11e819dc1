/* gpu.h - which devices a run gets, and which nodes of /dev they take.
 *
 * Thread: any.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "cgroup.h"
#include "chronos.h"
#include "err.h"

#define GPUS_MAX       64
#define GPU_GROUPS_MAX 4

struct gpus {
	struct chronos_device devices[GPUS_MAX]; /* in the order of the job's numbers */
	size_t count;
	char **nodes;                /* owned; "/dev/nvidia0" ... */
	struct cgroup_device *rules; /* owned; one for each node */
	size_t node_count;
	gid_t groups
		[GPU_GROUPS_MAX]; /* that a process needs for the nodes, of the host */
	size_t group_count;
};

/* Look the devices up by uuid.  ERR_NOT_FOUND: one, or a node of one, is not there (now);
 * ERR_UNSUPPORTED: which nodes it takes is not known. */
int gpus_find(struct gpus *g, struct chronos *c, char *const *uuids, size_t count,
	struct err *e) MUST_CHECK;
void gpus_fini(struct gpus *g);
