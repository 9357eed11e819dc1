/* history.h - how finished jobs and unused packages go, a bounded slice at a time.
 *
 * Thread: the store's.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "rows.h"

struct history {
	int64_t age_ns, jobs_max, bytes_max; /* limits; see struct store_config */
	bool announce;                       /* somebody removes the output files */

	int64_t jobs, bytes; /* finished jobs there are */
	bool stale;          /* the two must be counted again */
	bool more;           /* another slice has something to do */
	bool packages_due;   /* a walk over the packages is under way or wanted */
	int64_t package;     /* where it is: the last id looked at */
};

#define HISTORY_SLICE 64

struct removed_job {
	char id[ID_SIZE];
	int32_t attempts;
};

/* What one slice has removed, so that files can follow once that is committed. */
struct history_removed {
	struct removed_job jobs[HISTORY_SLICE];
	size_t job_count;
	struct digest packages[HISTORY_SLICE]; /* those that were files */
	size_t package_count;
};

/* One slice, in a transaction of its own.  pressed: the disk is low, only the age counts.
 * ERR_EXHAUSTED: the disk is so full that not even this can be written now. */
int history_slice(struct history *h, struct disk *disk, int64_t wall_ns, bool pressed,
	struct history_removed *removed, struct err *e) MUST_CHECK;

/* Count what there is. */
int history_count(struct history *h, struct disk *disk, struct err *e) MUST_CHECK;
