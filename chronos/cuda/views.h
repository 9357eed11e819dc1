/* views.h - what a program is told about a device's memory, and what is true. */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "partition.h"

struct view_memory {
	bool known;
	uint64_t free_bytes; /* of the whole device */
	bool own_known;
	uint64_t own_bytes; /* of this process */
};

/* Ask NVML, loading it where that has not been done.  Thread: any. */
void view_measure(const struct device *d, struct view_memory *out);
