/* inside.h - the core's own structs, shared by its files and by nobody else.
 *
 * The files, in learning order: inside.h, core.c (inputs, restoring), life.c (how a job
 * moves), report.c (what workers say of runs), hello.c (workers come and go), fleet.c
 * (devices, leases), scheduler.c, explain.c (for what a job waits), drain.c (what
 * operators decide of workers), gate.c, view.c; queue.c and timer.c below them.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "core.h"
#include "list.h"
#include "queue.h"
#include "table.h"
#include "timer.h"

#define NS              INT64_C(1000000000)
#define NEVER           INT64_MAX
#define EVENTS_KEPT     4  /* of each job, in memory */
#define DEVICE_LEASES   10 /* shares are at least 10 hundredths */
#define BACKOFF_MAX_S   30
#define REFUSALS_IN_ROW 3 /* after so many a worker is given a rest */

struct worker;
struct kept_end; /* see report.c */

struct device {
	struct core_device info;
	struct worker *worker;
	bool listed;     /* in its worker's last Hello */
	uint32_t leased; /* hundredths */
	struct job *leases[DEVICE_LEASES];
	uint32_t lease_count;
	struct list by_free; /* in fleet.part[free] while its worker takes runs */
};

/* A run folder of a worker that belongs to no lease. */
struct stray {
	char job[ID_SIZE];
	int32_t attempt;
	bool ours;
};

struct worker {
	struct table_entry by_id;
	struct core_hello said; /* its last Hello, without devices and runs */
	bool present;           /* its stream is open and reconciled */
	bool down;              /* silent for too long */
	bool draining;          /* an operator wants nothing new on it */
	int64_t seen_boot_ns, seen_wall_ns;
	struct timer silence, pause;
	uint32_t refusals; /* in a row */
	struct device **devices;
	size_t device_count;
	struct device_view *views; /* device_count of them, filled when asked for */
	struct list leases;        /* of struct run */
	uint32_t lease_count;
	struct stray *strays;
	size_t stray_count;
	struct list by_whole; /* in fleet.whole[entirely free devices] */
};

/* All workers, indexed by what a job could have of them now. */
struct fleet {
	struct table workers;
	struct worker **sorted; /* by id */
	size_t count;
	struct list part[100];                     /* of devices: 1..99 hundredths free */
	struct list whole[WORKER_DEVICES_MAX + 1]; /* of workers: entirely free devices */
	uint64_t epoch; /* rises when something may become possible that was not */
};

/* What a job has while it holds a lease. */
struct run {
	struct job *job;
	struct worker *worker;
	struct list on_worker;
	struct device *devices[JOB_DEVICES_MAX];
	struct gpu_usage usage[JOB_DEVICES_MAX]; /* of each, when last told */
	float time_share[JOB_DEVICES_MAX];
	uint32_t device_count;
	int64_t ends_ns; /* by its declared duration; NEVER = cannot be told */
	bool overdue;    /* the backstop has struck */
	int64_t taken;   /* highest report number, also not recorded ones */
	int64_t output_durable;
	int64_t output_bytes; /* of it, as the job wrote them: without the form of the file */
	int64_t output_there;   /* all that its folder will ever hold; NEVER = grows */
	uint64_t seen_session;  /* the last Hello that listed it */
	struct kept_end *ended; /* owned; waits for its output, NULL = none */
	float progress;
	char *progress_text; /* owned, NULL = none */
	bool progress_told;  /* an EFFECT_PROGRESS is on its way */
};

struct job {
	struct table_entry by_id, by_key;
	struct queue_node node;
	char id[ID_SIZE];
	bool fresh;   /* not committed yet: invisible */
	bool retried; /* its next placement avoids its last worker */
	uint8_t event_count;
	uint32_t refusals; /* placements refused since it last started */
	char *key;         /* owned: owner, NUL, idempotency key; NULL = none */
	struct job_facts facts;
	struct submission *submission;  /* owned; without spec and zip */
	struct job_state_event *events; /* owned; the last event_count of them */
	uint64_t last_record;
	int64_t committed_sequence;
	struct timer timer;
	struct run *run; /* owned; NULL without a lease */
	struct list fresh_link;
	struct list waiters; /* gate entries of the requests that wait for it */
	core_token *cancels; /* owned; asked for while it was fresh */
	size_t cancel_count;
};

/* A request that came before the first list of workers. */
struct early {
	struct list link;
	core_token token;
	char id[ID_SIZE];
	struct submission *submission;
	struct core_known_key known;
};

/* The devices that come free earliest for the first job that cannot start. */
struct reservation {
	struct job *job; /* NULL = none */
	struct device *devices[JOB_DEVICES_MAX];
	uint32_t count;
	int64_t at_ns;
};

struct placement {
	struct worker *worker;
	struct device *devices[JOB_DEVICES_MAX];
	uint32_t count;
};

/* When a lease is over: NEVER = cannot be told. */
typedef int64_t lease_end_fn(const struct core *c, const struct job *job);

struct gate {
	struct list open;   /* entries that pass no gate */
	struct list closed; /* entries in order */
	int64_t woken_ns;   /* the last EFFECT_WAKE_AT */
};

struct core {
	struct core_config config;
	struct core_time now;
	struct table jobs, keys;
	struct fleet fleet;
	struct queue queue;
	struct timers timers;
	struct gate gate;
	struct reservation reserved;
	uint64_t unreservable[AMOUNT_KINDS]; /* the fleet's epoch + 1 of that finding */
	struct list fresh;                   /* of jobs, by number */
	struct list refused; /* numbers of new jobs above what is committed, sorted */
	struct list early;
	struct timer first_workers;
	bool listed; /* the first list of workers came, or is waited for no more */
	bool dirty;  /* the scheduler has something to look at */
	uint32_t fresh_count;
	uint64_t order; /* of the last submission */
	uint64_t input;
	uint64_t issued, committed;
	uint64_t steps; /* of the scheduler, for tests */
	struct core_counts counts;
};

/* ---- gate.c */

void gate_init(struct gate *g);
void gate_fini(struct gate *g);
/* Push an effect, which is taken.  It rests on `rests_on`; the open kinds on nothing. */
void gate_push(struct core *c, const struct effect *effect, uint64_t rests_on);
/* The same for the answer to a new job's request: job_settle() may change it. */
void gate_push_waiter(struct core *c, const struct effect *effect, struct job *job);
/* The new job was refused: so its waiters are told. */
void gate_refuse_waiters(struct job *job, const struct err *why);
/* EFFECT_JOB_MOVED: its events up to `sequence` are committed.  0: nothing comes out, but
 * the job is settled when its last record is committed. */
void gate_push_moved(struct core *c, const struct job *job, int64_t sequence);

/* ---- fleet.c */

void fleet_init(struct fleet *f);
void fleet_fini(struct core *c);
struct worker *fleet_find(const struct fleet *f, const char *id);
/* One that is not there is made: absent, silent, without devices. */
struct worker *fleet_get(struct core *c, const char *id);
struct device *worker_device(const struct worker *w, const char *uuid);
struct device *worker_add_device(struct worker *w, const char *uuid);
void worker_drop_device(struct worker *w, size_t i);
/* Its state, devices, leases or slots changed: index it again. */
void worker_changed(struct core *c, struct worker *w);
/* Here, heard of, and not draining. */
bool worker_is_ready(const struct worker *w);
/* Can it be given a run now, devices apart?  One that holds runs of ours which nobody
 * knows any more has to stop them first. */
bool worker_takes_runs(const struct worker *w);
void worker_seen(struct core *c, struct worker *w);
uint32_t device_free(const struct device *d);
/* Of all ready workers, the most that one job could ever have. */
struct amount fleet_largest(const struct fleet *f);
bool fleet_any_ready(const struct fleet *f);

/* Take the shares for a job: job->run is made.  They must be free. */
void lease_take(struct core *c, struct job *job, const struct placement *p);
void lease_release(struct core *c, struct job *job);
/* It is gone for good: free it.  It must hold no lease. */
void fleet_remove(struct core *c, struct worker *w);
struct stray *worker_stray(const struct worker *w, const char *job, int32_t attempt);
void worker_forget_stray(struct core *c, struct worker *w, struct stray *s);

/* ---- scheduler.c */

/* Where the job could start now; reserved: it comes after the one with the reservation. */
bool scheduler_find(
	struct core *c, const struct job *job, bool reserved, struct placement *out);
/* Would it start now, were it submitted? */
bool scheduler_would_start(struct core *c, const struct job *job, struct placement *out);
void scheduler_run(struct core *c);
/* By what it declared, set-up apart. */
int64_t scheduler_lease_ends(const struct core *c, const struct job *job);
/* By its declared duration, the whole set-up included: it is over by then unless something
 * breaks. */
int64_t scheduler_lease_ends_latest(const struct core *c, const struct job *job);
/* The devices that come free earliest for such an amount, on any ready worker, were
 * nothing else started; at_ns is NEVER when that cannot be told. */
struct reservation scheduler_earliest(
	struct core *c, struct amount a, lease_end_fn *lease_end);
/* When the job that has the reservation starts at the latest, also if what may be filled
 * in before it takes its whole set-up. */
int64_t scheduler_reserved_latest(struct core *c);
void scheduler_forget(struct core *c, const struct job *job);

/* ---- life.c */

struct ending { /* borrowed */
	enum job_event event;
	enum job_reason reason;
	const uint8_t *result;
	size_t result_len;
	const char *error;
};

struct job *job_find(const struct core *c, const char *id);
void job_free(struct core *c, struct job *job);
/* It has become durable: it waits, or starts with its lease of no_wait. */
void job_enqueue(struct core *c, struct job *job);
void job_new_record(struct core *c, struct job *job, struct submission *whole);
/* Move it by an event; facts other than the state are set already.  message is taken. */
void job_move(struct core *c, struct job *job, enum job_event ev, enum job_reason reason,
	char *message, const struct ending *end);
/* Record its facts without an event. */
void job_touch(struct core *c, struct job *job);
/* Tell its watchers of its last event. */
void job_tell(struct core *c, struct job *job);
void job_place(struct core *c, struct job *job, const struct placement *p);
void job_placed(struct core *c, struct job *job);
/* Back to SCHEDULING after a wait; the lease goes. */
void job_requeue(struct core *c, struct job *job, enum job_event ev,
	enum job_reason reason, char *message);
/* Its run is over for good: the terminal record, or a retry.  message is taken. */
void job_end(struct core *c, struct job *job, const struct ending *end, char *message,
	bool release);
/* gone: its run is surely over; else its lease is kept. */
void job_outcome_unknown(struct core *c, struct job *job, const char *why, bool gone);
void job_overdue(struct core *c, struct job *job);
/* A finished job whose lease was kept: its run is gone at last. */
void job_release_late(struct core *c, struct job *job);
/* Its back-off is over. */
void job_ready(struct core *c, struct job *job);
/* It waits, or is marked for its end; one answer. */
void job_cancel(struct core *c, struct job *job, core_token token);
/* Free it when it is finished, holds no lease and all of it is committed. */
void job_settle(struct core *c, struct job *job);
/* All rows are in: it waits or is watched over from now. */
void job_restored(struct core *c, struct job *job);
/* Something came of its run: the backstop begins again. */
void job_deadline(struct core *c, struct job *job);
/* By its declared duration, as if it started now. */
void job_expect_end(struct core *c, struct job *job);

/* What it waits for now, of a job in SCHEDULING or one that is not submitted yet. */
struct waiting {
	enum job_reason reason; /* NONE: for nothing */
	char text[256];
};
struct waiting job_waits_for(struct core *c, const struct job *job);

/* ---- report.c */

void run_free(struct run *run);
/* Take its kept end if the output is there; its lease is gone afterwards. */
void run_take_end(struct core *c, struct job *job);
/* No more than `there` bytes of its output will ever come; then as run_take_end(). */
void run_close_output(struct core *c, struct job *job, int64_t there);
void run_tell(
	struct core *c, const struct job *job, enum effect_kind kind, enum stop_why why);

/* ---- hello.c */

void worker_silent(struct core *c, struct worker *w);

/* ---- core.c */

/* Around each input: the time comes first; what is due and what can start, last. */
void core_begin(struct core *c, const struct core_time *now);
void core_finish(struct core *c);
void core_log(struct core *c, const struct job *job, enum job_state from,
	enum job_state to, enum job_reason reason, const char *text);
