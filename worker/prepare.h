/* prepare.h - gets one run its environment before its runner is started.
 *
 * While it is being built, what pip says goes into the run's output as SYSTEM frames; at
 * the end the spec names the environment and the log has the report SETTING_UP.
 *
 * Thread: loop.  Survives a crash by the run folder alone; the next worker begins anew and
 * finds the environment where it was finished.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "digest.h"
#include "environments.h"
#include "err.h"
#include "runfolder.h"

struct prepare {
	struct environments *environments; /* borrowed */
	int dirfd;                         /* borrowed; the run folder */
	bool needed;                       /* the run has requirements */
	struct digest request;
	bool pinned; /* lock is, in environments */
	struct digest lock;
	int64_t output_limit;
	int64_t limit_ns; /* the set-up's */
	int64_t began_ns; /* boottime; 0: not yet */
	struct env_wait wait;
	struct run_output output; /* while it waits */
	/* The build has ended.  READY: prepare_take() is next. */
	void (*done)(struct prepare *p, const struct env_end *end);
};

/* From the run's spec; one that names its environment already has it pinned. */
void prepare_init(struct prepare *p, struct environments *environments, int dirfd,
	const Cumulus__Worker__RunSpec *spec);
/* Waits no more, and pins nothing. */
void prepare_fini(struct prepare *p);

/* Is the environment there?  Then prepare_take() it. */
bool prepare_find(struct prepare *p, struct digest *lock);
/* Wait for it to be built; done is called. */
int prepare_want(struct prepare *p, struct err *e) MUST_CHECK;
void prepare_leave(struct prepare *p);
/* The set-up's time is up; only where it waits. */
bool prepare_is_late(const struct prepare *p);
/* Let the run have it.  ERR_CONFLICT: somebody runs it already. */
int prepare_take(struct prepare *p, const struct digest *lock, struct err *e) MUST_CHECK;
