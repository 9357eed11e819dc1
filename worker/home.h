/* home.h - the worker's own folder: one worker at a time, who it is, whom it obeys.
 *
 *   D/worker/lock                 held for life; a second worker refuses, naming the pid
 *   D/worker/id                   "w-...", made once
 *   D/worker/epoch                how often a worker has started here
 *   D/worker/orchestrator_epoch   the highest that a cumulusd has shown; lower ones are
 *                                 of before a restart and are refused
 *   D/worker/cluster_id           whose worker this is; "" until the first Welcome
 *   D/worker/boot_id              of the boot in which the worker last started
 *   D/worker/runs, packages, root, environments
 *
 * Thread: loop.  Each change is on disk when the call returns.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "clock.h"
#include "err.h"
#include "id.h"

struct home {
	char *path;      /* owned; absolute, D/worker */
	char *data_path; /* owned; absolute, D */
	int fd;
	int lock_fd;
	int runs_fd;
	char worker_id[ID_SIZE];
	char boot_id[BOOT_ID_SIZE];
	bool rebooted; /* the last worker here lived in another boot */
	int64_t process_epoch;
	int64_t orchestrator_epoch; /* 0: none seen yet */
	char cluster_id[64];        /* "": none yet */
};

/* Open (and make) data/worker and take its lock.  ERR_CONFLICT: another worker has it.
 * ERR_DENIED: a folder on the way belongs to somebody else who could swap it. */
int home_open(struct home *h, const char *data, struct err *e) MUST_CHECK;
/* Gives the lock back.  Safe on a zeroed or closed one. */
void home_close(struct home *h);

/* Meet a cumulusd.  ERR_CONFLICT: it is of another cluster, or of an epoch below one seen
 * before.  Otherwise cluster and epoch are kept on disk before this returns. */
int home_obey(
	struct home *h, const char *cluster_id, int64_t epoch, struct err *e) MUST_CHECK;
