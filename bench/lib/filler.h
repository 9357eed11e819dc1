/* filler.h - fills a store with jobs, through the store's own interface.
 *
 * Thread: one, which waits for the disk.  Whatever goes wrong ends the program: a bench has
 * nobody to tell.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

#include "id.h"
#include "job.h"
#include "store.h"

enum {
	FILLER_PACKAGE_MAX = 4096,
	FILLER_GROUP = 64, /* records that are published together */
};

struct filler {
	char *path; /* the store's folder; the caller's */
	size_t package_bytes;
	uint64_t ahead; /* records that wait for their commit at a time */
	struct store *store;
	int wake;                   /* -1 while no store was ever opened */
	uint64_t number, committed; /* of the last record posted, and on disk */
};

_Noreturn void filler_die(const char *what, const char *why);

/* Open the store at path; history_jobs as in store.h.  To be closed by store_close(). */
void filler_open(struct filler *f, int64_t history_jobs);
/* Start its thread: from here on records may be posted. */
void filler_start(struct filler *f);

/* The id of the n-th job, spread as random ones are, and its package. */
void filler_job_name(char out[ID_SIZE], uint64_t n);
void filler_package(uint8_t *bytes, size_t len, uint64_t n);

void filler_post_new(struct filler *f, uint64_t job);
void filler_post_change(struct filler *f, uint64_t job, enum job_state from,
	enum job_state to, int64_t sequence);
/* Post new jobs in groups and wait until they are on disk. */
void filler_submit(struct filler *f, uint64_t first, uint64_t count);
/* Let jobs that wait fail, as groups, and wait until that is on disk. */
void filler_finish(struct filler *f, uint64_t first, uint64_t count);
/* Until the record with this number is on disk. */
void filler_wait(struct filler *f, uint64_t number);
