/* core_driver.h - drives the real core with a fake clock and a fake store.
 *
 * Thread: any, one at a time.  Every call takes out all effects that come; with
 * auto_commit set each record is on disk at once, else driver_commit() says when.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "core.h"

#define S        INT64_C(1000000000)
#define W1       "w-aaaaaaaaaaaaaaaa"
#define W2       "w-bbbbbbbbbbbbbbbb"

#define PART(h)  ((struct amount){ 1, (h) })
#define WHOLE(n) ((struct amount){ (n), 100 })

struct driver {
	struct core *core;
	struct core_config config;
	struct core_time now;
	bool auto_commit;
	uint64_t session;          /* of the last Hello */
	char (*sessions)[ID_SIZE]; /* whose each of them is */
	uint64_t tokens;           /* the last one given */
	uint32_t ids;              /* the last one given */
	struct effect *effects;    /* all that came out, in order, but records */
	size_t effect_count;
	struct record **records; /* all that came out, in order */
	size_t record_count;
};

struct wish { /* what a test submits; zero fields become half a GPU for 60 s */
	struct amount amount;
	int32_t duration_s, priority, max_retries;
	bool no_wait;
	const char *key, *owner;
	uint8_t identity; /* first byte of it */
};

struct driver *driver_new(void);
void driver_free(struct driver *d);
/* A test's teardown, where *state is its driver. */
int driver_teardown(void **state);
/* Forget the effects so far; records stay. */
void driver_clear(struct driver *d);
void driver_drain(struct driver *d);
void driver_commit(struct driver *d); /* all that was issued */
void driver_commit_to(struct driver *d, uint64_t number);
void driver_pass(struct driver *d, int64_t ns); /* time; wakes the core */

/* A worker with so many simulated devices, "<worker>-0" ..., and 64 slots. */
void driver_hello(struct driver *d, const char *worker, size_t devices);
void driver_hello_runs(struct driver *d, const char *worker, size_t devices,
	const struct core_run *runs, size_t run_count);
void driver_hello_with(struct driver *d, struct core_hello *h);
struct core_device driver_device(const char *worker, int32_t index);

/* Returns the id that it was given, which lives as long as the driver does. */
const char *driver_submit(struct driver *d, struct wish w);
/* Half a GPU for 60 s. */
const char *driver_submit_half(struct driver *d);
core_token driver_cancel(struct driver *d, const char *job);
/* A report of the job's present attempt and worker, in the present session. */
struct core_report driver_report_of(
	struct driver *d, const char *job, enum report_kind kind, int64_t number);
void driver_report(struct driver *d, const struct core_report *r);
void driver_started(struct driver *d, const char *job);                         /* 2 */
void driver_ended(struct driver *d, const char *job, enum job_reason why);      /* 3 */
void driver_refused(struct driver *d, const char *job, enum refused_kind kind); /* 1 */

/* The newest record of the job; NULL = none. */
const struct record *driver_record(const struct driver *d, const char *job);
/* By its newest record; JOB_NONE = none. */
enum job_state driver_state(const struct driver *d, const char *job);
/* How many effects of this kind, of this job unless NULL. */
size_t driver_count(const struct driver *d, enum effect_kind kind, const char *job);
/* The newest of them; NULL = none. */
const struct effect *driver_last(
	const struct driver *d, enum effect_kind kind, const char *job);
/* The answer to a token; NULL = none yet. */
const struct effect *driver_answer(const struct driver *d, core_token token);
/* What a crash leaves: a new driver with a new core, restored from what was committed. */
struct driver *driver_crash(struct driver *d);
