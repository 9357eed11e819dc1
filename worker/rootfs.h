/* rootfs.h - the root folder that all jobs of this machine share, read-only. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A skeleton of empty mount points, a small /etc copied from the host, cumulus-init, the
 * harness, the libraries of layers.h and the system call filter; the host's /usr is bound over it for each job.  It is
 * built as a new folder and renamed, named by the digest of its sources: a running job keeps
 * the one that it began with.
 *
 *   STATE/root/<16 hex digits>/     STATE and all above it passable for all (0711)
 *
 * Thread: any, before jobs; one process at a time.
 */
#pragma once

#include "err.h"

struct rootfs_sources {
	const char *init;     /* cumulus-init, static */
	const char *start;    /* start.py */
	const char *harness;  /* harness.py */
	const char *compiled; /* harness.pyc; NULL = none */
	const char *job_lib;  /* cumulus.py */
	/* The folder of the libraries that hold jobs to their GPU shares, those that are
	 * there; NULL: none. */
	const char *layers;
};

/* Find or build the root folder below state_dir (absolute).  Returns its absolute path,
 * which the caller frees; older ones that no longer fit are removed unless they are
 * younger than the longest job.  An error names what is missing, or the parent folder that
 * a job's user could not pass. */
char *rootfs_build(const char *state_dir, const struct rootfs_sources *sources,
	struct err *e) MUST_CHECK;

/* Run one empty container there by `runner` (the program), to see that this machine can.
 * runtime is "crun", "runc" or "auto".  The error is its reason, one line: no root, no
 * runtime, no user namespaces, no fresh /proc or /sys, a controller that is missing ... */
int rootfs_check(const char *runner, const char *root, const char *runtime,
	struct err *e) MUST_CHECK;
