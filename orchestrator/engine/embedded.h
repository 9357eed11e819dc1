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
	const char *log_file; /* NULL: stderr */
	int data_dir;         /* fd of D */
	char **argv; /* cumulusd's own: the keeper writes its name over it, for ps */
};

/* Start one unless D/worker's locks show that there is a keeper (whose worker may just be
 * dead) or a worker.  *go is then -1, else a descriptor: the keeper does nothing before
 * embedded_go(), and ends when the descriptor is closed before, so also when cumulusd cannot
 * start.  The caller closes it. */
int embedded_start(const struct embedded_worker *w, int *go, struct err *e) MUST_CHECK;
/* cumulusd serves: the worker may start.  -1 is fine. */
void embedded_go(int *go);
/* Has the keeper ended, and its worker before it?  -1, which is no keeper of ours: yes. */
bool embedded_is_gone(int go);
