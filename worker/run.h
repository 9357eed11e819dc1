/* run.h - one run folder, as the worker sees it: who runs it, what cumulusd knows of it.
 *
 *            ┌────────────── its runner died and nothing had begun ──────────────┐
 *            ▼                                                                  │
 *          HELD ──wanted──▶ FETCHING ──package here──▶ WATCHED ──runner died──▶ SWEEPING
 *            │                  │                        │                      │
 *            └── ended unbegun ─┴─▶ SWEEPING             └──▶ OVER ◀── cleaned ─┘
 *
 * A run with requirements waits in PREPARING, between FETCHING and WATCHED, where its
 * environment is not there yet.
 *
 * OVER means that the log has its last record.  The folder goes when cumulusd says Forget.
 *
 * Thread: loop.  Cleaning and removing happen on pool threads, with the run's lock held;
 * the run stays where it is until they are done.  Survives a crash by the folder alone.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "fetch.h"
#include "id.h"
#include "list.h"
#include "minder.h"
#include "prepare.h"
#include "reports.h"
#include "runs.h"
#include "table.h"
#include "upload.h"
#include "watch.h"
#include "worker.pb-c.h"

enum run_state_now {
	RUN_NONE = 0,
	RUN_HELD,
	RUN_FETCHING,
	RUN_PREPARING,
	RUN_WATCHED,
	RUN_SWEEPING,
	RUN_OVER,
	RUN_STATE_COUNT
};

enum run_event {
	RUN_EV_HOLD,
	RUN_EV_FETCH,
	RUN_EV_PREPARE,
	RUN_EV_WATCH,
	RUN_EV_SWEEP,
	RUN_EV_OVER,
	RUN_EVENT_COUNT
};

/* How a run that never began ends. */
struct run_verdict {
	bool refused; /* Refused, else there is none yet */
	Cumulus__Worker__RefusedKind kind;
	bool failed; /* Ended with this reason, else there is none yet */
	Cumulus__Orchestrator__Reason reason;
	char text[RUN_MESSAGE_MAX + 1];
	char *error; /* owned; NULL: no more than the text */
};

struct sweeping;

struct run {
	struct runs *owner;
	struct table_entry by_name; /* key: name */
	struct list all;            /* in owner->all */
	struct list talk; /* in owner->talk while there may be something to say */
	char name[RUN_NAME_SIZE];
	char job[ID_SIZE];
	int32_t attempt;
	int dirfd;

	/* From its spec. */
	char cluster_id[64];
	bool same_boot; /* false: whatever it did is over */
	struct digest package;
	int64_t package_size;
	uint32_t uid_base;

	enum run_state_now state;
	bool adopted; /* WATCHED: the runner is not our child; its lock is tried */
	bool wanted;  /* cumulusd has said that it shall run */
	bool stop_asked;
	bool forgotten;  /* the folder goes as soon as it can */
	bool removing;   /* on a pool thread, now */
	bool lost;       /* its folder is gone, though it was not removed by us */
	bool holds_room; /* its user ids, its package and its environment are taken */
	Cumulus__Worker__StopWhy stop_why;
	struct run_verdict verdict;
	unsigned false_starts;     /* runners that died before anything had begun */
	char last_death[160];      /* how the last one did */
	struct minder *minder;     /* of our child; NULL when there is none */
	struct sweeping *sweeping; /* a cleaning to be tried again; NULL otherwise */
	struct fetch_wait fetch;
	struct prepare prepare;
	struct watch watch;

	bool known; /* to cumulusd, on this stream */
	struct reports reports;
	int64_t started_report; /* number of *started*; 0: none yet */
	int64_t output_at;      /* of *started* */
	bool progress_changed;
	struct upload upload;
};

/* Take over a folder that is there.  What becomes of it is seen at once; it does not start
 * before cumulusd has said that it is wanted. */
int run_adopt(struct runs *owner, const char *name, struct err *e) MUST_CHECK;
/* Make the folder of a new run and start it.  spec without uid_base, which is taken here. */
int run_create(
	struct runs *owner, Cumulus__Worker__RunSpec *spec, struct err *e) MUST_CHECK;
/* Leave the folder and its runner alone; the worker ends. */
void run_free(struct run *r);

/* ---- what cumulusd says */

/* It knows this run, has these reports and this output of it. */
void run_meet(struct run *r, int64_t committed_report, int64_t durable_output);
/* It shall run; once more is fine. */
void run_go(struct run *r);
void run_stop(struct run *r, Cumulus__Worker__StopWhy why, int32_t grace);
void run_committed(struct run *r, int64_t report, int64_t output);
void run_forget(struct run *r);
/* It asks again: all that is not committed is sent again. */
void run_tell_again(struct run *r);
void run_lose_link(struct run *r);

/* Send the next thing about this run; false when there is nothing more. */
bool run_say(struct run *r, struct wire_call *call);

/* A moment has passed: try what had to wait (an adopted runner's lock, a removal). */
void run_try_again(struct run *r);

bool run_is_over(const struct run *r);
