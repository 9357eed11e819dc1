/* job_table.h - jobs as rows, in the columns that were asked for or that fit.
 *
 * Thread: any; pure.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>

#include "remote.h"
#include "text.h"

#define JOB_COLUMN_CHOICES                                                                \
	"id,name,state,gpu,worker,wait,run,reason,created,ended,attempt,priority,labels," \
	"partition,exit"
#define JOB_COLUMN_COUNT 15
/* Columns may be named more than once, but not without end. */
#define JOB_COLUMNS_MAX 32

struct job_table {
	struct grid grid;
	unsigned char columns[JOB_COLUMNS_MAX];
	bool chosen; /* by the user: none is left out */
	int64_t now_s;
};

/* names is "id,state", NULL for the usual ones.  With headings the first row is theirs. */
int job_table_init(
	struct job_table *t, const char *names, bool headings, struct err *e) MUST_CHECK;
void job_table_fini(struct job_table *t);
void job_table_add(struct job_table *t, const JobStatus *job);
/* Append the lines, each fit for so many columns of a terminal (0: whole).  Where the
 * usual columns do not fit, the least important ones are left out. */
void job_table_print(struct job_table *t, size_t max, struct buf *out);
