/* histogram.h - how often a value fell into which range, as Prometheus counts.
 *
 * Thread: its owner's; plain data, copied by assignment.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define HISTOGRAM_BOUNDS_MAX 16

struct histogram {
	const double *bounds; /* rising upper bounds, inclusive; a constant's */
	size_t bound_count;
	uint64_t in[HISTOGRAM_BOUNDS_MAX + 1]; /* not cumulated; the last: above all */
	double sum;
};

/* An empty one over an array of bounds. */
#define HISTOGRAM(array)                                                                 \
	(struct histogram)                                                               \
	{                                                                                \
		.bounds = (array), .bound_count = sizeof(array) / sizeof(*(array))       \
	}

void histogram_add(struct histogram *h, double value);
uint64_t histogram_count(const struct histogram *h);
