/* samples.c - the middle and the ends of measured values. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "samples.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "xalloc.h"

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double samples_percentile(double *samples, size_t n, double percent)
{
	assert(n > 0);
	qsort(samples, n, sizeof *samples, by_value);
	size_t at = (size_t)((double)n * percent / 100);
	return samples[at < n ? at : n - 1];
}

double samples_median(const double *samples, size_t n)
{
	CLEANUP(free_ptr) double *sorted = xcalloc(n, sizeof *sorted);

	memcpy(sorted, samples, n * sizeof *sorted);
	double upper = samples_percentile(sorted, n, 50);
	return n % 2 ? upper : (sorted[n / 2 - 1] + upper) / 2;
}

double samples_least(const double *samples, size_t n)
{
	double least = samples[0];

	for (size_t i = 1; i < n; i++)
		least = samples[i] < least ? samples[i] : least;
	return least;
}

double samples_greatest(const double *samples, size_t n)
{
	double greatest = samples[0];

	for (size_t i = 1; i < n; i++)
		greatest = samples[i] > greatest ? samples[i] : greatest;
	return greatest;
}
