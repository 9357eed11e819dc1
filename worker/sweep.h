/* sweep.h - ends a run whose runner is gone or never was: cleans, then writes how it ended.
 *
 * Thread: pool; the caller holds the run's lock.  Repeating it after a crash or a failure
 * at any point is fine: cleaning what is clean does nothing, and the log takes one end.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "worker.pb-c.h"

struct sweep {
	int dirfd;               /* the run folder */
	const char *chronos_dir; /* NULL: Chronos's own */
	bool same_boot;
	bool stop_asked;
	Cumulus__Worker__StopWhy stop_why;
	bool refused; /* it could not be started: kind and text say why */
	Cumulus__Worker__RefusedKind kind;
	const char *text;
	bool failed; /* it could not be set up: reason, text and error say why */
	Cumulus__Orchestrator__Reason reason;
	const char *error;      /* text, then more; NULL: there is no more */
	const char *last_death; /* how its last runner died; "" when not known */
};

/* ERR_UNAVAILABLE and others: something of the run is still there; try again. */
int sweep_run(const struct sweep *s, struct err *e) MUST_CHECK;
