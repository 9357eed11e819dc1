/* core.h - decides everything: job life cycle, scheduling, leases, cancellation.
 *
 * Thread: loop.  Pure: no I/O, no clock, no threads, no randomness.  It takes one input at
 * a time and returns effects; the daemon and the simulator run the same code.
 *
 * The gate: a record has a journal number, and every effect that tells somebody something
 * rests on the highest number it depends on.  It comes out only when core_committed()
 * says that number is on disk, first in first out.  So nobody sees what could be lost,
 * and nothing overtakes.  EFFECT_RECORD, EFFECT_WAKE_AT and EFFECT_LOG pass no gate.
 *
 * After a crash: core_new(), core_restore_job() for every job that is not finished or
 * still holds a lease, core_restored(); then inputs.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>

#include "job.h"
#include "record.h"

struct core;

struct core_config {
	int64_t setup_limit_ns;       /* from placement to started; 10 min */
	int64_t grace_ns;             /* SIGTERM to SIGKILL; 3 s */
	int64_t worker_down_after_ns; /* without its stream; 15 s */
	int64_t unknown_after_ns;     /* past the backstop; 5 min */
	int64_t first_workers_ns; /* a submission waits so long for the first list; 5 s */
	uint32_t waiting_jobs_max; /* 100,000 */
	char cluster_id[ID_SIZE];
};

struct core_time {
	int64_t boot_ns; /* never jumps: all deadlines */
	int64_t wall_ns; /* what people see */
};

/* A request waiting for an answer: chosen by the caller, given back once. 0 is none. */
typedef uint64_t core_token;

struct core *core_new(const struct core_config *config);
void core_free(struct core *c); /* NULL is fine */

/* ---- restoring, before the first input */

/* One job of the store: not finished, or leased; in the order of their submission.  facts
 * and submission are taken, on failure too; the submission comes without spec and zip.
 * ERR_INVALID: the rows contradict each other. */
int core_restore_job(struct core *c, const char *id, struct job_facts *facts,
	struct submission *s, struct err *e) MUST_CHECK;
/* What an operator decided of a worker, before the first job that it may have. */
int core_restore_worker(
	struct core *c, const char *id, bool draining, struct err *e) MUST_CHECK;
/* All rows are in: oversold or impossible ones are ERR_INVALID; the daemon stops. */
int core_restored(struct core *c, const struct core_time *now, struct err *e) MUST_CHECK;

/* ---- inputs; each may leave effects to take with core_next_effect() */

/* Take set-up limit, grace and the number of waiting jobs from it, nothing else; deadlines
 * that run already stay. */
void core_set_limits(struct core *c, const struct core_config *from);

/* The time; also the answer to EFFECT_WAKE_AT.  Every other input takes the time too. */
void core_tick(struct core *c, const struct core_time *now);

/* What the store found under this submission's idempotency key, looked up in the same
 * first-in-first-out order in which records are posted (see docs/design of the store). */
struct core_known_key {
	bool found;
	char job[ID_SIZE];
	struct digest identity;
};

/* A checked submission; taken.  id is fresh, from the caller's randomness.  Exactly one
 * EFFECT_ANSWER follows: at once, or when the job is durable, or when it is refused. */
void core_submit(struct core *c, const struct core_time *now, core_token token,
	const char *id, struct submission *s, const struct core_known_key *known);

/* Ask for a job's end.  One EFFECT_ANSWER: ERR_NOT_FOUND for a job that is not here, which
 * the caller then looks up in the store (a finished one: cancelled = false). */
void core_cancel(
	struct core *c, const struct core_time *now, core_token token, const char *job);

/* What an operator decides of a worker.  Draining: nothing new is placed there, what runs
 * runs to its end; it stays so over restarts until it is resumed.  Forgotten, only while it
 * is down: its jobs are FAILED with OUTCOME_UNKNOWN (they are not tried again: their code
 * may run still), their shares are given back, and nothing is remembered of it.  Should it
 * come back, it is as a new one that first has to stop what it runs.
 * One EFFECT_ANSWER: ERR_NOT_FOUND for a worker that is not known, ERR_CONFLICT for one to
 * be forgotten that is not down. */
enum worker_wish { WORKER_DRAIN, WORKER_RESUME, WORKER_FORGET };
void core_wish_worker(struct core *c, const struct core_time *now, core_token token,
	const char *worker, enum worker_wish wish);

/* EFFECT_READY with this token once record `number` is committed (0: the last issued). */
void core_await(struct core *c, uint64_t number, core_token token);

/* Everything up to and with this journal number is on disk. */
void core_committed(struct core *c, const struct core_time *now, uint64_t number);
/* The new job of this number was not taken (ERR_EXHAUSTED: disk full, with the text). */
void core_refused(struct core *c, const struct core_time *now, uint64_t number,
	const struct err *why);

/* The engine has said which workers there are for the first time. */
void core_workers_listed(struct core *c, const struct core_time *now);

#define WORKER_DEVICES_MAX 64 /* of one worker; more are not looked at */

/* What a run had of one device at the worker's last look. */
struct core_partition {
	char job[ID_SIZE];
	int32_t attempt;
	struct gpu_usage usage;
	float time_share; /* of the device's time, since the look before */
};

struct core_device {
	char uuid[DEVICE_UUID_MAX];
	int32_t index;
	char name[128];
	char kind[16]; /* nvidia, mig, opencl, opencl-cpu, simulated */
	int64_t memory_bytes;
	int64_t memory_used_bytes;
	uint32_t foreign; /* hundredths that strangers hold */
	bool healthy;
	char health[256];                        /* "ok", or what is wrong with it */
	char enforcement[32];                    /* of shares; "off: why" */
	const struct core_partition *partitions; /* borrowed for the call */
	size_t partition_count;
};

enum run_phase { RUN_SETTING_UP, RUN_RUNNING, RUN_ENDED };

struct core_run { /* a run folder that a worker has */
	char job[ID_SIZE];
	int32_t attempt;
	enum run_phase phase;
	int64_t last_report;
	int64_t output_end; /* bytes in its output file */
	bool ours;          /* it carries this store's cluster_id */
};

struct core_hello {
	char worker[ID_SIZE];
	uint64_t session; /* the stream, counted by the engine; newer wins */
	char hostname[128];
	char address[128];
	char version[32];
	char boot_id[40];
	char enforcement[32];
	int32_t cpus;
	int64_t memory_bytes;
	uint32_t run_slots;                /* how many runs it can hold at once */
	const struct core_device *devices; /* borrowed for the call */
	size_t device_count;
	const struct core_run *runs; /* borrowed for the call */
	size_t run_count;
};

/* A worker's stream has opened.  EFFECT_WELCOME answers, then what it needs to be told. */
void core_worker_hello(
	struct core *c, const struct core_time *now, const struct core_hello *hello);
/* That stream is over; an older session than the present one is ignored. */
void core_worker_gone(struct core *c, const struct core_time *now, const char *worker,
	uint64_t session);
/* Something came from it. */
void core_worker_seen(struct core *c, const struct core_time *now, const char *worker);
void core_device_update(struct core *c, const struct core_time *now, const char *worker,
	const struct core_device *device);

enum report_kind {
	REPORT_ACCEPTED,
	REPORT_SETTING_UP,
	REPORT_STARTED,
	REPORT_ENDED,
	REPORT_REFUSED,
};

enum refused_kind { REFUSED_NO_ROOM, REFUSED_TRANSIENT, REFUSED_INVALID };

struct core_report {
	char worker[ID_SIZE];
	uint64_t session;
	char job[ID_SIZE];
	int32_t attempt;
	int64_t number;
	enum report_kind kind;
	/* SETTING_UP */
	const char *environment; /* its lock's digest; borrowed, like all pointers here */
	/* STARTED */
	const char *partition;
	const char *container;
	int64_t output_at; /* bytes of this attempt's output before it */
	/* ENDED */
	enum job_reason reason; /* REASON_NONE: main() returned */
	bool exit_known;
	int32_t exit_code;
	const char *message;
	const char *error;
	const uint8_t *result;
	size_t result_len;
	int64_t output_end; /* bytes of this attempt's output in all */
	int64_t output_dropped;
	struct job_timing timing;
	struct gpu_usage gpu;
	/* REFUSED */
	enum refused_kind refused;
	const char *text;
};

/* A report; of an older attempt, session or worker it is fenced off.  *ended* of a run is
 * kept until core_output_durable() has reached its output_end. */
void core_report(
	struct core *c, const struct core_time *now, const struct core_report *r);
/* cumulusd's copy of this run's output is durable up to `end` bytes.  Where no report will
 * say where the output of an attempt ends, it ends at the last `end` told here. */
void core_output_durable(struct core *c, const struct core_time *now, const char *job,
	int32_t attempt, int64_t end);
/* How many bytes of the job's own that copy holds; before core_output_durable(). */
void core_output_size(struct core *c, const char *job, int32_t attempt, int64_t bytes);
void core_progress(struct core *c, const struct core_time *now, const char *job,
	int32_t attempt, float fraction, const char *text);

/* ---- effects */

enum effect_kind {
	EFFECT_RECORD,    /* to the store; no gate */
	EFFECT_ANSWER,    /* to the request `token` */
	EFFECT_READY,     /* core_await() is over */
	EFFECT_JOB_MOVED, /* its committed sequence rose: wake its watchers */
	EFFECT_PROGRESS,  /* its progress changed: wake its watchers */
	EFFECT_WELCOME,   /* to a worker, before anything else */
	EFFECT_START,     /* bring run (job, attempt) to a worker */
	EFFECT_STOP,      /* end it */
	EFFECT_COMMITTED, /* reports up to `report` are on disk */
	EFFECT_FORGET,    /* its folder may go */
	EFFECT_WAKE_AT, /* call core_tick() at `boot_ns`; replaces an earlier wish; no gate */
	EFFECT_LOG,     /* a state change, for the log; no gate */
};

enum stop_why { STOP_WHY_CANCEL, STOP_WHY_BACKSTOP, STOP_WHY_DRAIN, STOP_WHY_PAUSE };

enum run_want { WANT_RUN_ON, WANT_STOPPED, WANT_FORGOTTEN, WANT_LEFT_ALONE };

struct effect_wanted_run {
	char job[ID_SIZE];
	int32_t attempt;
	int64_t committed_report;
	enum run_want want;
};

/* Why UNAVAILABLE: the trailer cumulus-reason. */
enum unavailable_why {
	UNAVAILABLE_NONE,
	UNAVAILABLE_NO_WORKER,
	UNAVAILABLE_NEVER_FITS,
	UNAVAILABLE_NO_WAIT
};

struct effect {
	enum effect_kind kind;
	char job[ID_SIZE];
	int32_t attempt;
	char worker[ID_SIZE];
	uint64_t session;

	struct record *record; /* RECORD: taken by whoever takes the effect */

	/* ANSWER, READY */
	core_token token;
	struct err error; /* code ERR_NONE: fine */
	enum unavailable_why why;
	bool cancelled;
	bool existed; /* submit: the key's job of before */
	enum job_state state;

	/* START: what the core decided; the rest is in the stored submission. */
	struct amount amount;
	int32_t duration_s;
	struct device_ref *devices; /* owned, amount.devices of them */

	enum stop_why stop_why;
	int64_t report;

	/* WELCOME */
	struct effect_wanted_run *wanted; /* owned */
	size_t wanted_count;

	int64_t boot_ns; /* WAKE_AT */

	/* LOG */
	enum job_state from, to;
	enum job_reason reason;
	char *text; /* owned, may be NULL */
};

/* The next effect, which the caller finishes; false when there is none. */
bool core_next_effect(struct core *c, struct effect *out);
void effect_fini(struct effect *e);

/* ---- reading; what is returned is borrowed until the next input */

struct job_view {
	const char *id;
	const struct job_facts *facts;
	const struct submission *submission; /* without spec and zip */
	uint64_t last_record;                /* answers about the job rest on it */
	int64_t committed_sequence;
	float progress;
	const char *progress_text; /* "" = none */
	/* Of all its devices; from core_lease_after(), of that one. */
	struct gpu_usage gpu;
	float time_share; /* only from core_lease_after() */
};

/* A job that is not finished, or whose end is not committed yet.  ERR_NOT_FOUND: ask the
 * store, which then has it or nobody has. */
int core_job(const struct core *c, const char *id, struct job_view *out,
	struct err *e) MUST_CHECK;
/* One of its last few state events, also uncommitted ones; NULL: ask the store. */
const struct job_state_event *core_job_event(
	const struct core *c, const char *id, int64_t sequence);
bool core_is_committed(const struct core *c, uint64_t number);

enum worker_state { WORKER_READY, WORKER_DOWN, WORKER_DRAINING };

struct device_view {
	const struct core_device *device;
	uint32_t allocated; /* hundredths leased */
};

struct worker_view {
	const char *id, *hostname, *address, *version, *enforcement;
	enum worker_state state;
	int64_t last_seen_wall_ns;
	int32_t cpus;
	int64_t memory_bytes;
	uint32_t running_jobs;
	const struct device_view *devices;
	size_t device_count;
};

/* Is this stream the one through which the worker is known?  If not, it has to say Hello. */
bool core_worker_is_here(const struct core *c, const char *worker, uint64_t session);
/* Walk the workers in order of their ids: after "" comes the first; false at the end. */
bool core_worker_after(const struct core *c, const char *after, struct worker_view *out);
/* Walk the jobs that hold a lease on one device of a worker, in order of their ids. */
bool core_lease_after(const struct core *c, const char *worker, const char *uuid,
	const char *after_job, struct job_view *out);

struct core_counts {
	uint32_t waiting;                       /* SCHEDULING */
	uint32_t active;                        /* CREATING_PARTITION or RUNNING */
	uint32_t in_state[JOB_STATE_COUNT];     /* of those that are not finished */
	uint32_t waiting_for[JOB_REASON_COUNT]; /* of those in SCHEDULING, by reason */
	uint32_t ready_workers;
	uint32_t draining_workers;          /* neither ready nor down */
	uint64_t finished[JOB_STATE_COUNT]; /* since the start, by final state */
	uint64_t submitted;
	uint32_t hundredths_total,
		hundredths_leased; /* of ready workers; total: healthy devices */
	uint64_t last_issued, last_committed; /* journal numbers */
};
struct core_counts core_count(const struct core *c);
