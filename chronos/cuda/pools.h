/* pools.h - memory that the driver takes in reserve: stream-ordered pools, and graphs'. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a pool has reserved is what it takes from the device, so that is charged, and not
 * what the program has allocated from it.  Thread: any.
 */
#pragma once

#include "partition.h"

/* Charge what has changed since; cheap where there is no pool.  For a place where the
 * program has waited for the device, which is when reserves shrink. */
void pools_settle(void);

/* Make the pools and graphs of the device give back what nobody uses.  False where they
 * have nothing. */
bool pools_give_back(struct device *d);

/* Before a graph is launched, and after: graphs take their memory when they run.  The
 * first is CUDA_ERROR_OUT_OF_MEMORY while they have more than the quota allows. */
CUresult pools_before_graph(struct device *d);
void pools_after_graph(struct device *d);

/* Memory was allocated inside a capture: it is the graph's. */
void pools_note_captured(void);

void pools_in_child(void);
