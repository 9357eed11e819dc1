/* embedded.h - this machine's worker, started by cumulusd.
 *
 * Thread: before threads; cumulusd is still root.  A small keeper process without threads
 * starts cumulus-worker and starts it again when it dies.  Keeper and worker outlive
 * cumulusd: the worker dials the next one, or ends when it has been idle for 30 s.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>

#include "err.h"

struct embedded_worker {
	const char *program; /* absolute */
	const char *data;    /* D */
	const char *socket;  /* D/orchestrator/worker.sock */
	const char *devices;
	const char *log_level;
	bool log_json;
	int data_dir; /* fd of D */
};

/* Start one unless D/worker's locks show that there is a keeper (whose worker may just be
 * dead) or a worker.  *started says which. */
int embedded_start(
	const struct embedded_worker *w, bool *started, struct err *e) MUST_CHECK;
