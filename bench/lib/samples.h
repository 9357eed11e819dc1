/* samples.h - the middle and the ends of measured values. */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>

/* Thread: any.  n is at least 1. */

/* Sorts the samples; the value below which `percent` (0 to 100) of them are. */
double samples_percentile(double *samples, size_t n, double percent);
/* The middle one, of an even number the mean of both; the samples stay as they are. */
double samples_median(const double *samples, size_t n);
double samples_least(const double *samples, size_t n);
double samples_greatest(const double *samples, size_t n);
