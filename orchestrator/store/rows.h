/* rows.h - jobs, events and results to rows and back.
 *
 * Thread: the store's.  Nothing here begins or ends a transaction.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "db.h"
#include "record.h"
#include "store.h"

/* All that the store's thread owns of the disk. */
struct disk {
	struct db db;
	int packages; /* the folder of package files; -1 = not open */
};

/* What became of a row that may be refused. */
enum taken { TAKEN, NOT_TAKEN };

/* A new job with all its rows, and its package.  NOT_TAKEN with *refused: ERR_CONFLICT or
 * ERR_NOT_FOUND, and nothing is written but perhaps the package.  -1: see db.h. */
int rows_add_job(struct disk *disk, const struct record *r, enum taken *taken,
	struct err *refused, struct err *e) MUST_CHECK;

/* A job's new facts, with event and result.  ERR_INTERNAL when the row is not as the
 * record says. */
int rows_change_job(struct disk *disk, const struct record *r, struct err *e) MUST_CHECK;

/* What an operator decided of a worker. */
int rows_set_worker(struct disk *disk, const struct record *r, struct err *e) MUST_CHECK;

/* The job in the present row of a statement that selects JOB_ROW (sql.c); without spec
 * and error.  ERR_SYSTEM when the row makes no sense. */
int rows_read_job(sqlite3_stmt *row, struct store_job *out, struct err *e) MUST_CHECK;
/* The same of SQL_EVENTS_AFTER. */
int rows_read_event(
	sqlite3_stmt *row, struct job_state_event *out, struct err *e) MUST_CHECK;

/* ERR_NOT_FOUND when there is no such job. */
int rows_find_seq(
	struct disk *disk, const char *id, int64_t *seq, struct err *e) MUST_CHECK;
