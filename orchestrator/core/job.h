/* job.h - a job: what was asked for, and what has become of it.
 *
 * Thread: loop; plain data.  struct job_facts is the durable part of a job that changes:
 * a record carries a whole copy of it, the store writes it into one row and gives it
 * back at the next start, so nothing has to be replayed.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "digest.h"
#include "id.h"
#include "job_state.h"

#define JOB_DEVICES_MAX 8
#define DEVICE_UUID_MAX 64 /* with its NUL */

/* A share: hundredths of each of so many devices.  {1, 50} is half a GPU, {4, 100} four. */
struct amount {
	uint32_t devices;
	uint32_t hundredths;
};

/* "0.5 GPU", "2 GPUs"; returns out. */
const char *amount_text(char out[32], struct amount a);

struct device_ref {
	char uuid[DEVICE_UUID_MAX];
	int32_t index; /* on its worker */
};

/* What a job had of its share, added up over its devices; memory_quota 0: not measured. */
struct gpu_usage {
	int64_t memory_quota, memory_used,
		memory_peak; /* bytes; peak once it has ended */
	int64_t time_ns;
	int64_t refusals;
	int64_t overruns, overrun_ns;
	int32_t processes;
};

struct job_timing { /* nanoseconds, 0 = unknown or not yet */
	int64_t queued, environment, partition, container, python, run;
};

/* An offset into a job's output: attempt in the high bits, position in its file below. */
#define OUTPUT_OFFSET(attempt, position) ((int64_t)(attempt) << 40 | (int64_t)(position))
#define OUTPUT_ATTEMPT(offset)           ((int32_t)((offset) >> 40))
#define OUTPUT_POSITION(offset)          ((offset) & ((INT64_C(1) << 40) - 1))

struct job_facts {
	enum job_state state;
	enum job_reason reason;
	int32_t attempt;       /* how many placements so far; 0 before the first */
	int32_t retries;       /* of the submission's max_retries, used so far */
	int64_t last_sequence; /* of its state events: 1, 2, 3 ... */
	int64_t created_ns;    /* wall clock; 0 = not yet */
	int64_t started_ns;
	int64_t completed_ns;
	int64_t report;         /* highest report number of this attempt taken */
	int64_t output_end;     /* absolute offset, see OUTPUT_OFFSET */
	int64_t output_bytes;   /* of the attempts that are over, as the job wrote them */
	int64_t output_dropped; /* bytes past the output limit */
	int32_t exit_code;
	bool exit_known;
	bool cancel_requested;
	bool held;
	bool leased;          /* its devices are not free yet */
	char worker[ID_SIZE]; /* of the last placement; "" before the first */
	uint32_t device_count;
	struct device_ref *devices; /* owned, device_count of them */
	char *message;              /* owned, one line; NULL reads as "" */
	char *partition;            /* owned, NULL = none yet */
	char *container;            /* owned, NULL = none yet */
	char *environment; /* owned, its lock's digest; NULL = none, or not yet */
	struct job_timing timing;
	struct gpu_usage gpu; /* of a run that has ended */
};

void job_facts_fini(struct job_facts *f);
/* A deep copy that the caller finishes. */
struct job_facts job_facts_dup(const struct job_facts *f);

/* What a client asked for, as the core wants it.  The whole submission, packed without its
 * package, travels through as opaque bytes: spec. */
struct submission {
	struct amount amount;
	int32_t duration_s;
	int32_t priority; /* -100..100, higher first */
	int32_t max_retries;
	bool no_wait;
	char *owner;            /* owned; the tenant */
	char *name;             /* owned, NULL = none */
	char *key;              /* owned, idempotency key, NULL = none */
	struct digest identity; /* over all fields, the package by its digest */
	struct digest package;  /* of the ZIP */
	uint8_t *labels;        /* owned; packed, opaque here */
	size_t labels_len;
	uint8_t *spec; /* owned; packed, opaque here */
	size_t spec_len;
	uint8_t *zip; /* owned; NULL when the store has it already */
	size_t zip_len;
};

void submission_free(struct submission *s); /* NULL is fine */

/* One numbered state event. */
struct job_state_event {
	int64_t sequence;
	enum job_state state;
	enum job_reason reason;
	int32_t attempt;
	int64_t wall_ns;
	int64_t output_at; /* output below it comes before this event, if it is not lost */
	char *message;     /* owned; NULL reads as "" */
};

void job_state_event_fini(struct job_state_event *ev);
struct job_state_event job_state_event_dup(const struct job_state_event *ev);
