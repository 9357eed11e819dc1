/* histogram.c - counts values by range. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "histogram.h"

void histogram_add(struct histogram *h, double value)
{
	size_t i = 0;

	while (i < h->bound_count && value > h->bounds[i])
		i++;
	h->in[i]++;
	h->sum += value;
}

uint64_t histogram_count(const struct histogram *h)
{
	uint64_t count = 0;

	for (size_t i = 0; i <= h->bound_count; i++)
		count += h->in[i];
	return count;
}
