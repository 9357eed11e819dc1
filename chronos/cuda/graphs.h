/* graphs.h - the memory that graphs allocate for themselves. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A graph takes its memory when it is launched or uploaded; how much that is at most, the
 * addresses of its nodes say when it is instantiated.  Thread: any.
 */
#pragma once

#include "partition.h"

struct graph_claim {
	CUgraphExec exec; /* NULL: it has no memory of its own */
	uint64_t trims;
	uint64_t bytes[CHRONOS_DEVICES_MAX]; /* charged, by partition_nth_device() */
};

/* Before it takes its memory on the stream, which is never 0. */
CUresult graphs_begin(struct graph_claim *c, CUgraphExec exec, CUstream stream);
/* The driver answered `rc`.  Returns rc. */
CUresult graphs_end(const struct graph_claim *c, CUresult rc);

/* Memory was allocated inside a capture: it is the graph's. */
void graphs_note_captured(void);

void graphs_in_child(void);
