/* text.h - Prometheus's text format: a family of metrics, then its samples.
 *
 * Thread: any, one at a time.  Values of labels are escaped; names, helps and the names of
 * labels are constants of ours and are written as they are.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "buf.h"
#include "histogram.h"

/* A sample's labels: names and values by turns, ending with NULL; NULL for none. */
typedef const char *const *text_labels;
#define LABELS(...) ((const char *const[]){ __VA_ARGS__, NULL })

/* type: counter, gauge or histogram. */
void text_family(struct buf *out, const char *name, const char *type, const char *help);
void text_sample(struct buf *out, const char *name, text_labels labels, double value);
/* Exact, where a double would round. */
void text_count(struct buf *out, const char *name, text_labels labels, uint64_t value);
/* Its buckets, sum and count. */
void text_histogram(
	struct buf *out, const char *name, text_labels labels, const struct histogram *h);

/* A family of one sample without labels. */
void text_gauge(struct buf *out, const char *name, const char *help, double value);
void text_counter(struct buf *out, const char *name, const char *help, uint64_t value);
