/* charge.h - what an object of OpenCL takes of the quota, for as long as it lives. */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "partition.h"

struct charge;

/* NULL and *rc where the quota, or anything else, does not allow it. */
struct charge *charge_new(uint64_t bytes, cl_int *rc);
/* Give it back, unless it is one's parent's. */
void charge_free(struct charge *c);
