/* exits.h - from how a container ended to what is reported about it.
 *
 * Thread: any; nothing here does I/O but exit_record_read().
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"
#include "runfolder.h"

/* What cumulus-init wrote last; see init.c. */
enum exit_kind {
	EXIT_UNKNOWN = 0, /* no record: init itself was killed, or never began */
	EXIT_EXITED,
	EXIT_SIGNALED,
	EXIT_GUARD,
	EXIT_FILTER,
	EXIT_FORK,
	EXIT_EXEC,
	EXIT_LIFELINE,
};

struct exit_record {
	enum exit_kind kind;
	int n; /* status, signal or errno */
};

/* Absent or torn reads as EXIT_UNKNOWN. */
int exit_record_read(int dirfd, struct exit_record *out, struct err *e) MUST_CHECK;

/* What the job's channel brought. */
enum result_kind {
	RESULT_NONE = 0, /* main() did not return and raised nothing that was seen */
	RESULT_SUCCESS,
	RESULT_FAILURE,
	RESULT_INVALID, /* JSON cannot hold it */
	RESULT_TOO_LARGE,
};

struct ending {
	struct exit_record exit;
	int64_t oom_kills;
	enum result_kind result;
	const char *failure;   /* FAILURE, INVALID: the one line; borrowed */
	const char *traceback; /* FAILURE: text, may be ""; borrowed */
	int64_t result_limit;
	int64_t memory_limit;
	int32_t duration_s;
	int64_t disk_limit;
	bool disk_full;  /* the runner ended it since its files took too much */
	bool deadline;   /* the runner ended it since its time was up, for all we know */
	bool share_gone; /* somebody else released its partition */
	bool stopped;    /* the runner ended it since it was asked to */
	Cumulus__Worker__StopWhy stop_why;
	bool runner_lost; /* this is written by who cleans up behind a dead runner */
	bool has_result;  /* runner_lost: the result's file is there */
};

struct verdict {
	Cumulus__Orchestrator__Reason reason;
	bool has_exit_code;
	int32_t exit_code;
	char message[RUN_MESSAGE_MAX + 1];
};

/* The pure decision. */
void verdict_of(const struct ending *in, struct verdict *out);

/* JobStatus.error: the message, then the traceback, or else the last of the output; at
 * most RUN_ERROR_MAX bytes of valid UTF-8.  The caller frees. */
char *error_text(const char *message, const char *traceback, const struct buf *output);

/* a + b as one line of valid UTF-8, cut to fit: texts of jobs, packages and runtimes go to
 * clients, and a string that is not UTF-8 would be refused on the way. */
void line_put(char *out, size_t size, const char *a, const char *b);

/* "SIGSEGV" for 11; "signal 40" where it has no name. */
const char *signal_name(int signal, char out[24]);
