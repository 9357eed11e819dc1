/* sql.h - every statement that the store keeps prepared, and the columns they share.
 *
 * Thread: any; constants.  Values are always bound, never written into the text.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

enum sql {
	SQL_BEGIN,
	SQL_COMMIT,
	SQL_META_GET,
	SQL_META_SET,
	SQL_WORKERS,
	SQL_WORKER_SET,
	SQL_WORKER_DROP,

	SQL_JOB_ADD,
	SQL_JOB_CHANGE,
	SQL_SPEC_ADD,
	SQL_RESULT_ADD,
	SQL_EVENT_ADD,
	SQL_LABEL_ADD,

	SQL_JOBS_LIVE,
	SQL_JOB_BY_ID,
	SQL_JOB_SEQ,
	SQL_KEY_FIND,
	SQL_EVENTS_AFTER,
	SQL_SPEC_GET,
	SQL_RESULT_GET,
	SQL_ERROR_GET,
	SQL_LIST_ALL,
	SQL_LIST_LIVE,
	SQL_LIST_OWNER,
	SQL_LIST_OWNER_LIVE,
	SQL_LIST_LABEL,

	SQL_PACKAGE_FIND,
	SQL_PACKAGE_ADD,
	SQL_PACKAGE_REMOVE,
	SQL_PACKAGES_AFTER,

	SQL_HISTORY_COUNT,
	SQL_HISTORY_OLDEST,
	SQL_JOB_REMOVE,
	SQL_SPEC_REMOVE,
	SQL_RESULT_REMOVE,
	SQL_EVENTS_REMOVE,
	SQL_LABEL_REMOVE,
	SQL_REMOVED_ADD,
	SQL_REMOVED_ALL,
	SQL_REMOVED_DROP,
	SQL_COUNT
};

extern const char *const sql_text[SQL_COUNT];

/* The columns of struct job_facts, in the one order in which they are bound (from
 * parameter 1) and read (from column 0) everywhere. */
#define FACT_COLUMNS(X)                                                                  \
	X(live)                                                                          \
	X(state)                                                                         \
	X(reason)                                                                        \
	X(attempt)                                                                       \
	X(retries)                                                                       \
	X(last_sequence)                                                                 \
	X(created_ns)                                                                    \
	X(started_ns)                                                                    \
	X(completed_ns)                                                                  \
	X(report)                                                                        \
	X(output_end)                                                                    \
	X(output_bytes)                                                                  \
	X(output_dropped)                                                                \
	X(exit_code)                                                                     \
	X(cancel_requested)                                                              \
	X(held)                                                                          \
	X(leased)                                                                        \
	X(worker)                                                                        \
	X(devices)                                                                       \
	X(message)                                                                       \
	X(partition)                                                                     \
	X(container)                                                                     \
	X(environment)                                                                   \
	X(queued_ns)                                                                     \
	X(environment_ns)                                                                \
	X(partition_ns)                                                                  \
	X(container_ns)                                                                  \
	X(python_ns)                                                                     \
	X(run_ns)                                                                        \
	X(gpu_quota_bytes)                                                               \
	X(gpu_peak_bytes)                                                                \
	X(gpu_time_ns)                                                                   \
	X(gpu_refusals)                                                                  \
	X(gpu_overruns)                                                                  \
	X(gpu_overrun_ns)

/* Those of struct submission and what else is written once, following them. */
#define ASKED_COLUMNS(X)                                                                 \
	X(id)                                                                            \
	X(wanted_devices)                                                                \
	X(hundredths)                                                                    \
	X(duration_s)                                                                    \
	X(priority)                                                                      \
	X(max_retries)                                                                   \
	X(no_wait)                                                                       \
	X(owner)                                                                         \
	X(name)                                                                          \
	X(key)                                                                           \
	X(identity)                                                                      \
	X(labels)

#define COLUMN_ENUM(name) COLUMN_##name,
enum {
	FACT_COLUMNS(COLUMN_ENUM) ASKED_COLUMNS(COLUMN_ENUM)
	/* Reading goes on with these; writing with ADD_ and CHANGE_ below. */
	COLUMN_seq,
	COLUMN_result_bytes,
	COLUMN_package_digest,
	COLUMN_package_size
};
#undef COLUMN_ENUM

#define FACT_COUNT COLUMN_id /* facts are parameters 1 .. FACT_COUNT */

/* Further parameters of SQL_JOB_ADD and SQL_JOB_CHANGE. */
enum { ADD_PACKAGE = COLUMN_seq + 1, ADD_BYTES };
enum { CHANGE_RESULT_BYTES = FACT_COUNT + 1, CHANGE_MORE_BYTES, CHANGE_ID, CHANGE_FROM };
