/* runs.h - all run folders of this worker, and what they share.
 *
 * Thread: loop.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "err.h"
#include "fetch.h"
#include "home.h"
#include "list.h"
#include "packages.h"
#include "table.h"
#include "uids.h"
#include "upload.h"
#include "watch.h"
#include "worker.pb-c.h"

struct environments;
struct run;

struct runs {
	uv_loop_t *loop;
	struct home *home;                 /* borrowed */
	struct packages *packages;         /* borrowed */
	struct environments *environments; /* borrowed; after runs_open() */
	struct uids uids;
	struct fetcher *fetcher;
	struct uploads *uploads;
	struct watcher *watcher;
	const char *runner_path; /* borrowed, as the next three */
	const char *root_path;   /* the root folder of jobs */
	const char *runtime;     /* crun, runc or auto */
	const char *chronos_dir; /* NULL: Chronos's own */
	struct table by_name;
	struct list all;
	struct list talk;     /* runs that may have something to say */
	struct list refusals; /* of runs without a folder, to be sent on this stream */
	uv_timer_t again;     /* while some run has to try again */
	bool open;            /* all of the above stands */
	size_t busy;          /* cleanings and removals on pool threads */
	/* There is something to say. */
	void (*wake)(void *user);
	/* A run is gone, or over. */
	void (*fewer)(void *user);
	/* A run has vanished that cumulusd still knows: it is to hear what there is. */
	void (*lost)(void *user);
	void *user;
};

/* The fields up to uids and the callbacks are set by the caller.  most: ranges of user
 * ids, one for each run at once. */
int runs_open(struct runs *rs, uint32_t most, struct err *e) MUST_CHECK;
/* Read all folders; each run that cannot be read is logged and left alone. */
int runs_load(struct runs *rs, struct err *e) MUST_CHECK;
/* After the link is closed; safe on a zeroed one.  The runners go on.  The loop must run until it is empty. */
void runs_close(struct runs *rs);

struct run *runs_find(const struct runs *rs, const char *job, int32_t attempt);
/* The run of this job with the highest attempt; NULL when there is none. */
struct run *runs_find_last(const struct runs *rs, const char *job);
size_t runs_count(const struct runs *rs); /* folders */
size_t runs_live(const struct runs *rs);  /* runs that are not over */

/* Tell cumulusd on this stream that a run without a folder does not start here. */
void runs_refuse(struct runs *rs, const char *job, int32_t attempt,
	Cumulus__Worker__RefusedKind kind, const char *text);

/* Connection found and lost. */
void runs_use(struct runs *rs, struct wire_client *client);
/* Send the most urgent thing about any run; false when there is nothing. */
bool runs_say(struct runs *rs, struct wire_call *call);

/* ---- for run.c */

void runs_add(struct runs *rs, struct run *r);
void runs_remove(struct runs *rs, struct run *r);
void runs_talk(struct runs *rs, struct run *r);
/* Call run_try_again() for all after so long, or before. */
#define RUNS_SOON_MS  20
#define RUNS_AGAIN_MS 500
void runs_try_again(struct runs *rs, uint64_t wait_ms);
