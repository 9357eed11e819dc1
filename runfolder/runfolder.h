/* runfolder.h - the files of one run: what worker and runner tell each other. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runs/<job>.<attempt>/, root's, 0700.  Both sides may be killed at any instruction, and
 * the machine may lose power: whatever was torn reads as absent, never as something else.
 *
 *   spec      worker   RunSpec; durable before the runner is started, and not changed after
 *   lock      both     flock; its holder may write the log
 *   log       holder   records, below; each durable before what follows from it
 *   output    worker, then runner   frames (frame.h)
 *   result    runner   JSON over RUN_RESULT_INLINE; durable before the record ENDED, which
 *                      holds a smaller one itself
 *   progress  runner   ProgressFile; latest wins, not durable
 *   stop      worker   StopRequest
 *   exit      init     how the job's process ended, one line; read by runner and clean-up
 *   oci, src, work, bundle, pid, code.zip ...   scratch of the container; gone before ENDED
 *
 * Who numbers reports: the log does.  Report 1 is Accepted and has no record: it is the
 * existence of spec.  The records SETTING_UP, STARTED, REFUSED and ENDED are reports and get
 * 2, 3, ... in the order in which they are appended.  INTENT and CONTAINER are for
 * whoever cleans up: they are numbered 0 and are never sent.  REFUSED and ENDED are last;
 * nothing is ever appended after one of them.
 *
 * The worker takes the lock to append SETTING_UP (before it starts a runner), and REFUSED
 * or ENDED (for a run whose runner is gone or never was).  A runner that finds any record
 * but SETTING_UP leaves: a run is cleaned up, never started again.
 *
 * Thread: any, one at a time per folder descriptor; no state outside the structs.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"
#include "frame.h"
#include "worker.pb-c.h"

#define RUNFOLDER_FORMAT  1
#define RUN_RESULT_MAX    ((size_t)(16 << 20)) /* what is read at all; limits are lower */
#define RUN_RESULT_INLINE ((size_t)(64 << 10)) /* a larger one is a file */
#define RUN_ERROR_MAX     ((size_t)(64 << 10)) /* Ended.error */
#define RUN_MESSAGE_MAX   ((size_t)1024)       /* Ended.message, and Refused.text */
#define RUN_LOG_MAX       ((size_t)(1 << 20))
#define RUN_PROGRESS_MAX  ((size_t)1024) /* bytes of a progress text */
#define RUN_FIRST_REPORT  1              /* Accepted */

#define RUN_FILE_SPEC     "spec"
#define RUN_FILE_LOCK     "lock"
#define RUN_FILE_LOG      "log"
#define RUN_FILE_OUTPUT   "output"
#define RUN_FILE_RESULT   "result"
#define RUN_FILE_PROGRESS "progress"
#define RUN_FILE_STOP     "stop"
#define RUN_FILE_EXIT     "exit"

/* ---- the folder ---- */

/* Make runs/<name> from its spec (job and attempt name it).  Durable when it returns.  A
 * folder without a spec is what a crash in here left: it is replaced.  ERR_CONFLICT when
 * the run is there already. */
int runfolder_create(
	int runs_fd, const Cumulus__Worker__RunSpec *spec, struct err *e) MUST_CHECK;

/* Put another spec in the place of one whose runner was not started yet.  Durable when it
 * returns. */
int runfolder_replace_spec(
	int dirfd, const Cumulus__Worker__RunSpec *spec, struct err *e) MUST_CHECK;

/* The folder's descriptor, which the caller closes. */
int runfolder_open(int runs_fd, const char *name, struct err *e) MUST_CHECK;

/* Names of all runs that have a spec, sorted; each and the array are the caller's (xalloc).
 * Also removes what an interrupted create or remove left. */
int runfolder_list(int runs_fd, char ***names, size_t *count, struct err *e) MUST_CHECK;
void runfolder_names_free(char **names, size_t count);

/* Remove runs/<name>.  Takes the lock first: ERR_CONFLICT while a runner has it.  Absent is
 * fine.  The name is gone in one step; a crash leaves a remnant for runfolder_list(). */
int runfolder_remove(int runs_fd, const char *name, struct err *e) MUST_CHECK;
/* Has somebody else removed the folder that is open here?  Nothing can be read or written in
 * it then, and never will be. */
bool runfolder_gone(int dirfd);

/* Checked: format, ids, sizes, paths.  ERR_UNSUPPORTED for another format.  Free with
 * cumulus__worker__run_spec__free_unpacked(spec, NULL). */
Cumulus__Worker__RunSpec *runfolder_read_spec(int dirfd, struct err *e) MUST_CHECK;

/* The lock, as a descriptor to keep open (close it to unlock).  Does not wait:
 * ERR_CONFLICT when it is held, ERR_NOT_FOUND when the folder was removed meanwhile.  Never
 * take it only to look: a runner that finds it taken leaves. */
int runfolder_lock(int dirfd, struct err *e) MUST_CHECK;

/* "<worker_id>.<job>.<attempt>", the key of the run's partition. */
#define RUN_KEY_SIZE 128
int run_partition_key(char out[RUN_KEY_SIZE], const Cumulus__Worker__RunSpec *spec,
	struct err *e) MUST_CHECK;

/* ---- the log ---- */

/* Stored: append, never renumber. */
enum run_record_type {
	RUN_RECORD_INTENT =
		1, /* ContainerIntent: container and cgroup may exist from here */
	RUN_RECORD_CONTAINER = 2,  /* ContainerMade */
	RUN_RECORD_SETTING_UP = 3, /* SettingUp */
	RUN_RECORD_STARTED = 4,    /* Started */
	RUN_RECORD_ENDED = 5,      /* Ended, without a result that has its own file */
	RUN_RECORD_REFUSED = 6,    /* Refused */
};

struct run_record {
	enum run_record_type type;
	int64_t number; /* of the report, 0 for what is none */
	int64_t boot_ns;
	int64_t wall_ns;
	const uint8_t *payload; /* borrowed from the log that was read */
	size_t len;
};

struct run_log {
	struct buf bytes;
	struct run_record *records; /* owned */
	size_t count;
	size_t size;         /* bytes of whole records: anything behind is a torn tail */
	int64_t last_report; /* 1 when no record is a report */
};

/* Read all of it; an absent log is an empty one.  A torn tail is left out, not an error.
 * ERR_EXHAUSTED past RUN_LOG_MAX. */
int run_log_read(int dirfd, struct run_log *log, struct err *e) MUST_CHECK;
/* Zeroed or read: both are fine. */
void run_log_fini(struct run_log *log);
/* The last record of that type, or NULL. */
const struct run_record *run_log_find(
	const struct run_log *log, enum run_record_type type);
/* Has it its last record, ENDED or REFUSED? */
bool run_log_over(const struct run_log *log);

struct run_log_writer {
	int fd; /* -1 when closed */
	int64_t last_report;
	size_t size;
	bool over;
};

/* Only by the holder of the lock.  Cuts a torn tail. */
int run_log_open(int dirfd, struct run_log_writer *w, struct err *e) MUST_CHECK;
void run_log_close(struct run_log_writer *w);
/* Append one record; when sync, durable (with all before it) on return.  On failure the log
 * is as before, or w refuses everything from then on.  ERR_CONFLICT when it is over. */
int run_log_append(struct run_log_writer *w, enum run_record_type type,
	const ProtobufCMessage *payload, bool sync, struct err *e) MUST_CHECK;

/* ---- reports and state ---- */

struct run_state {
	Cumulus__Worker__Phase phase; /* ENDED for a refused run too */
	int64_t last_report;          /* the highest that the folder holds, at least 1 */
	int64_t output_end;           /* end of the last whole frame */
};

/* Reads the log, and the output from output_from on (0, or a boundary known before). */
int runfolder_state(
	int dirfd, int64_t output_from, struct run_state *out, struct err *e) MUST_CHECK;

/* The report of that number, ready to send: the result is filled in.  ERR_NOT_FOUND above
 * last_report.  Free with cumulus__worker__report__free_unpacked(report, NULL). */
Cumulus__Worker__Report *runfolder_read_report(int dirfd, const char *job,
	int32_t attempt, int64_t number, struct err *e) MUST_CHECK;

/* ---- output ---- */

struct run_output {
	int fd;        /* -1 when closed */
	int64_t end;   /* position behind the last frame */
	int64_t limit; /* of the file; SYSTEM frames may pass it by RUN_OUTPUT_RESERVE */
	int64_t kept;  /* bytes of data written through this writer */
	int64_t lost;  /* bytes that came after the limit, or that the disk refused */
	bool full;     /* one byte was lost: nothing of the job is kept after it */
};

#define RUN_OUTPUT_RESERVE ((int64_t)(64 << 10))

/* Open for appending behind the last whole frame, cutting what is behind that. */
int run_output_open(
	int dirfd, int64_t limit, struct run_output *out, struct err *e) MUST_CHECK;
void run_output_close(struct run_output *o);
/* Append as frames, each one whole or not at all.  What does not fit is counted and is
 * no failure.  A disk that is full counts too; any other failure of it is returned. */
int run_output_write(struct run_output *o, enum frame_stream stream, const void *bytes,
	size_t len, struct err *e) MUST_CHECK;
int run_output_sync(struct run_output *o, struct err *e) MUST_CHECK;

/* Append to *frames whole valid frames from the boundary `offset` on, at most max bytes (at
 * least FRAME_MAX).  Nothing is added at the end, or before a torn or bad frame. */
int run_output_read(int dirfd, int64_t offset, size_t max, struct buf *frames,
	struct err *e) MUST_CHECK;
/* Where the last whole frame ends that can be reached from the boundary `from`. */
int run_output_end(int dirfd, int64_t from, int64_t *end, struct err *e) MUST_CHECK;
/* The last data bytes of stdout and stderr, at most max: what an error text quotes. */
int run_output_tail(int dirfd, size_t max, struct buf *data, struct err *e) MUST_CHECK;

/* ---- the small files ---- */

int runfolder_write_progress(
	int dirfd, float fraction, const char *text, struct err *e) MUST_CHECK;
/* ERR_NOT_FOUND when there is none.  Free with
 * cumulus__worker__progress_file__free_unpacked(p, NULL). */
Cumulus__Worker__ProgressFile *runfolder_read_progress(
	int dirfd, struct err *e) MUST_CHECK;

int runfolder_write_stop(
	int dirfd, const Cumulus__Worker__StopRequest *stop, struct err *e) MUST_CHECK;
/* *asked says whether there is one. */
int runfolder_read_stop(int dirfd, bool *asked, Cumulus__Worker__StopWhy *why,
	int32_t *grace, struct err *e) MUST_CHECK;
