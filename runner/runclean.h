/* runclean.h - takes away what is left of a run, and ends one whose runner is gone. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Used by the runner at its end, and by the worker for a run whose runner died.  Whoever
 * calls holds the run's lock.  Each function may be repeated after a crash or a failure at
 * any point: cleaning what is clean does nothing, and the log takes one last record.
 *
 * What tells it where to look is the log alone: the record INTENT is there before the first
 * process, control group or mount; CONTAINER names init by pid, start time and boot.  After
 * a reboot nothing is left but files.
 *
 * Thread: any; blocks for as long as processes take to die, a few milliseconds usually,
 * at most RUN_CLEAN_WAIT_MS.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "runfolder.h"

#define RUN_CLEAN_WAIT_MS 5000

/* The container's own files below the run folder; gone before the last record. */
#define RUN_FOLDER_BUNDLE  "bundle"
#define RUN_FOLDER_SCRATCH "scratch"

struct run_counts {
	int64_t oom_kills;
	int64_t pids_refused;
	int64_t peak_bytes;
};

/* Kill every process of the run (init by its pidfd, then whoever is in its control group),
 * remove the control group, bundle/ and scratch/, then release the partition.  A partition
 * that is gone already is fine.  chronos_dir NULL: Chronos's own.  *counts is what the
 * control group had counted; 0s where it is gone.  ERR_UNAVAILABLE: a process does not
 * die (yet), so the partition is kept: try again later. */
int run_clean(int dirfd, const char *chronos_dir, struct run_counts *counts,
	struct err *e) MUST_CHECK;

/* What else the worker knows of a run that its runner did not end. */
struct run_lost {
	bool stop_asked;
	Cumulus__Worker__StopWhy stop_why;
	const char *why; /* "killed by SIGKILL"; "" or NULL when not known */
};

/* run_clean(), and then the record ENDED: with the exit that init recorded where there is
 * one, COMPLETED where the runner had written the result, else RUNNER_LOST.  A run that has
 * its last record is left as it is. */
int run_clean_and_end(int dirfd, const char *chronos_dir, const struct run_lost *lost,
	struct err *e) MUST_CHECK;
