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

/* ---- for graphs.c ---- */

/* Graphs of the device are about to take up to so many bytes more: charge them.
 * CUDA_ERROR_OUT_OF_MEMORY also while they have more than the quota allows. */
CUresult pools_claim_graphs(struct device *d, uint64_t bytes);
/* They did, or did not: charge what they have instead. */
CUresult pools_settle_graphs(struct device *d, uint64_t bytes);
/* How often graphs were made to give back what they do not use. */
uint64_t pools_graph_trims(void);

void pools_in_child(void);
