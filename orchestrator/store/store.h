/* store.h - remembers every job durably: one SQLite file, one connection, one thread.
 *
 * Thread: loop, but for wake(), which the store's thread calls.  The loop stages records
 * and questions and publishes them with store_kick(); the thread commits all that has
 * piled up as one group and hands the outcomes back; store_deliver() calls the callbacks
 * on the loop, strictly in the order in which things were staged.
 *
 * An answer comes out after the commit of every record staged before its question: it
 * shows all of them, and nothing that could still be lost.
 *
 * After a crash exactly the groups that were committed are there, each whole; whatever
 * on_committed() was told is among them.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core.h"
#include "digest.h"
#include "err.h"
#include "histogram.h"
#include "job.h"
#include "record.h"

struct store;

struct store_config {
	/* The folder D/orchestrator; it must exist.  Borrowed for the call. */
	const char *path;

	/* History: a finished job stays this long at least, and longer while there are not
	 * more of them, nor more bytes (package, spec, result, output), than this.  While
	 * the disk is low only the age counts. */
	int64_t history_age_s;
	int64_t history_jobs;
	int64_t history_bytes;

	/* With less than this free the disk is low: see store_disk_low(). */
	int64_t disk_low_bytes;
	/* Preallocated, given up when the disk is full so that what runs can end. */
	int64_t reserve_bytes;

	/* Copies of the database: see backup.h.  NULL: none are made. */
	const char *backup_path; /* absolute; borrowed for the call */
	int64_t backup_every_s;
	int64_t backup_keep;
};

/* 24 h, 100,000 jobs, 16 GiB; 1 GiB; 32 MiB; paths are left NULL. */
extern const struct store_config store_defaults;

/* Called on the loop by store_deliver(), but for wake. */
struct store_callbacks {
	void *ctx;

	/* From the store's thread: there is something to deliver.  Must not block and must
	 * not call back into the store. */
	void (*wake)(void *ctx);

	/* Every record up to and with this number is on disk, but for those refused. */
	void (*on_committed)(void *ctx, uint64_t number);

	/* This new job was not taken: ERR_EXHAUSTED when the disk is full; ERR_CONFLICT when
	 * its id or its owner's key is taken; ERR_NOT_FOUND when it came without its
	 * package and the store does not have it (any more). */
	void (*on_refused)(void *ctx, uint64_t number, const struct err *why);

	/* The disk or the file cannot be trusted, or a record contradicts its row.  Once;
	 * nothing is delivered after it.  The daemon exits and starts again from disk. */
	void (*on_failed)(void *ctx, const struct err *why);

	/* This job's history is gone, and its output files (attempts 1 .. attempts) may go.
	 * When they have, say store_output_removed(); until then each start says it again.
	 * NULL: nobody keeps outputs. */
	void (*on_removed)(void *ctx, const char *job, int32_t attempts);
};

/* ---- opening: on the loop's thread, which waits for the disk */

/* Open or make the database, bring an older schema up to date, raise the epoch by one.
 * ERR_UNSUPPORTED: made by a newer version; ERR_CONFLICT: another program has it open;
 * ERR_INVALID: not our file.  The caller holds the lock on the folder. */
struct store *store_open(const struct store_config *config, struct err *e) MUST_CHECK;

const char *store_cluster_id(const struct store *s); /* "c-...", made once */
uint64_t store_epoch(const struct store *s);         /* 1 at the first open */

/* One job that is not finished or still holds a lease, in the order of submission.  facts
 * and submission (without spec and zip) are taken, on failure too. */
typedef int store_on_restored(void *ctx, const char *id, struct job_facts *facts,
	struct submission *submission, struct err *e);

/* Before store_start().  ERR_INVALID: a row makes no sense; or what the callback said. */
int store_restore(struct store *s, store_on_restored *on_restored, void *ctx,
	struct err *e) MUST_CHECK;

/* At any time: how much history is kept, when the disk is low, how often copies are made;
 * paths and reserve_bytes are not looked at.  Holds from the next look at the disk, a few seconds later. */
void store_set_limits(struct store *s, const struct store_config *config);

/* The workers of which an operator decided something; before store_restore(). */
typedef int store_on_worker(void *ctx, const char *id, bool draining, struct err *e);
int store_restore_workers(
	struct store *s, store_on_worker *on_worker, void *ctx, struct err *e) MUST_CHECK;

/* Start the thread, named "store".  All signals are blocked in it. */
int store_start(struct store *s, const struct store_callbacks *callbacks,
	struct err *e) MUST_CHECK;

/* Instead of store_start(), for tests and simulators: no thread, and store_work() does
 * what the thread would do with what was kicked so far, one group at most; it returns
 * whether there was anything to do.  wake() is called from within. */
void store_start_inline(struct store *s, const struct store_callbacks *callbacks);
bool store_work(struct store *s);

/* ---- writing */

/* Stage a record, which is taken.  Numbers must rise. */
void store_post(struct store *s, struct record *record);

/* Publish everything staged so far.  Call it when all the effects of an input have been
 * taken, once per turn of the loop or oftener: records of one input that are published
 * together are never split over two commits.  Cheap when nothing is staged. */
void store_kick(struct store *s);

/* Call what has come back: from the loop, when wake() was called.  The callbacks may post,
 * ask and kick, but not stop or close. */
void store_deliver(struct store *s);

/* Commit all that was staged and join the thread; then store_deliver() gives out the
 * rest.  Waits for the disk. */
void store_stop(struct store *s);

/* Stop if need be, checkpoint, close.  What was not delivered is dropped.  NULL is fine. */
void store_close(struct store *s);

/* A package file that stands in D/orchestrator/packages already, complete and synced (see
 * upload.h), becomes known.  on_done comes when that is on disk: ERR_EXHAUSTED when the
 * disk is full. */
typedef void store_on_done(void *ctx, const struct err *failed /* NULL: done */);
void store_add_package(struct store *s, const struct digest *digest, int64_t size,
	store_on_done *on_done, void *ctx);

/* The output files of this removed job are gone (see on_removed). */
void store_output_removed(struct store *s, const char *job);

/* ---- reading: questions staged like records, each with one answer
 *
 * What an answer holds is freed after the callback; to keep a member, take it and leave
 * NULL.  `failed` is NULL, or ERR_NOT_FOUND, or ERR_INVALID for a bad argument, or
 * ERR_UNAVAILABLE when a package's file cannot be read; then the answer is NULL.  After
 * on_failed() and store_close() open questions get no answer. */

/* What is stored under an owner's idempotency key; found = false is no failure. */
typedef void store_on_key(void *ctx, const struct core_known_key *known);
void store_find_key(struct store *s, const char *owner, const char *key,
	store_on_key *on_key, void *ctx);

struct store_job {
	char id[ID_SIZE];
	struct job_facts facts;
	struct submission *submission; /* without zip; spec only if asked for */
	int64_t package_size;
	char *error;        /* NULL = none; not in lists */
	int64_t result_len; /* -1 = no result */
};

/* For one that was taken. */
void store_job_fini(struct store_job *job);

typedef void store_on_job(void *ctx, struct store_job *job, const struct err *failed);
void store_get_job(
	struct store *s, const char *id, bool with_spec, store_on_job *on_job, void *ctx);

/* The state events after a sequence, at most STORE_EVENTS_MAX of them: an empty slice
 * means that there are no more. */
#define STORE_EVENTS_MAX 64
struct store_events {
	struct job_state_event *events;
	size_t count;
};
typedef void store_on_events(
	void *ctx, struct store_events *events, const struct err *failed);
void store_get_events(struct store *s, const char *id, int64_t after_sequence,
	store_on_events *on_events, void *ctx);

/* What a Start needs that the core does not have. */
struct store_spec {
	uint8_t *bytes; /* submission.spec as it was posted */
	size_t len;
	struct digest package;
	int64_t package_size;
};
typedef void store_on_spec(void *ctx, struct store_spec *spec, const struct err *failed);
void store_get_spec(struct store *s, const char *id, store_on_spec *on_spec, void *ctx);

struct store_result {
	uint8_t *bytes;
	size_t len;
	struct digest digest;
};
typedef void store_on_result(
	void *ctx, struct store_result *result, const struct err *failed);
void store_get_result(
	struct store *s, const char *id, store_on_result *on_result, void *ctx);

/* Newest submission first.  A page may be short, even empty, while `next` is not "": only
 * so many rows are looked at for one page.  Paging shows each job that was there at the
 * first page and is not removed meanwhile exactly once. */
#define STORE_PAGE_MAX 1000
struct store_list_query {        /* borrowed for the call */
	const char *owner;       /* NULL = all owners */
	uint32_t states;         /* bits 1 << JOB_...; 0 = all */
	const char *name_prefix; /* NULL or "" = any */
	/* Labels that a job must all have; packed as in submission.labels. */
	const uint8_t *labels;
	size_t labels_len;
	int64_t created_after_ns; /* strictly; 0 = any */
	uint32_t page_size;       /* 1 .. STORE_PAGE_MAX; 0 = 100; more is cut */
	const char *page_token;   /* NULL or "" = the first page; else a `next` */
};

struct store_page {
	struct store_job *jobs;
	size_t count;
	char next[32]; /* "" = that was all */
};
typedef void store_on_page(void *ctx, struct store_page *page, const struct err *failed);
void store_list(struct store *s, const struct store_list_query *query,
	store_on_page *on_page, void *ctx);

/* A piece of a package, at most STORE_SLICE_MAX bytes; short only at its end. */
#define STORE_SLICE_MAX (256 * 1024)
struct store_slice {
	uint8_t *bytes;
	size_t len;
	int64_t total;
};
typedef void store_on_slice(
	void *ctx, struct store_slice *slice, const struct err *failed);
void store_read_package(struct store *s, const struct digest *digest, int64_t offset,
	size_t len, store_on_slice *on_slice, void *ctx);

/* Which of these packages the store does not have: missing[i] for digests[i], in order.
 * At most STORE_DIGESTS_MAX; more is a bug of the caller. */
#define STORE_DIGESTS_MAX 1000
typedef void store_on_missing(void *ctx, const bool *missing, size_t count);
void store_missing_packages(struct store *s, const struct digest *digests, size_t count,
	store_on_missing *on_missing, void *ctx);

/* ---- how it is: at once, from the loop, without a lock */

/* Less than disk_low_bytes are free, or the reserve is given up: take no new jobs.  Looked
 * at after every commit and every few seconds. */
bool store_disk_low(const struct store *s);

struct store_stats {
	uint64_t commits;      /* groups since the start */
	uint64_t records;      /* in them */
	uint64_t refused;      /* new jobs not taken */
	uint64_t waiting;      /* records posted whose outcome is not delivered yet */
	int64_t commit_age_ns; /* the group at work has taken so long; 0 = none is */
	int64_t history_jobs;  /* finished jobs stored */
	int64_t history_bytes; /* what counts against the limit */
	/* Looked at every few seconds; -1: not known. */
	int64_t file_bytes; /* of the database and its log */
	int64_t disk_free_bytes;
	bool backs_up;
	int64_t backup_wall_ns;   /* of the newest copy; 0: there is none */
	uint64_t backup_failures; /* since the start */
};
struct store_stats store_stats(const struct store *s);

/* Groups that wrote something, since the start. */
struct store_groups {
	struct histogram seconds; /* to run and commit one */
	struct histogram records; /* in one */
};
/* Waits for a lock, which is never held for long. */
struct store_groups store_groups(struct store *s);

/* ---- packed labels: key NUL value NUL key NUL value NUL ..., keys rising and unique
 *
 * This is the form of submission.labels.  The store keeps it, and each pair as a row. */

/* The next pair at *at (0 at first), borrowed from bytes; false at the end. */
bool labels_next(const uint8_t *bytes, size_t len, size_t *at, const char **key,
	const char **value);
/* Well formed?  store_post() asserts it. */
bool labels_valid(const uint8_t *bytes, size_t len);
