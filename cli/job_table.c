/* job_table.c - what each column of a list of jobs shows. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "job_table.h"

#include <string.h>
#include <strings.h>

#include "cleanup.h"
#include "clock.h"
#include "narrator.h"
#include "str.h"

/* The heading of each, in the order of JOB_COLUMN_CHOICES; the usual ones stand first. */
enum column {
	COLUMN_ID,
	COLUMN_NAME,
	COLUMN_STATE,
	COLUMN_GPU,
	COLUMN_WORKER,
	COLUMN_WAIT,
	COLUMN_RUN,
	COLUMN_REASON,
	COLUMN_CREATED,
	COLUMN_ENDED,
	COLUMN_ATTEMPT,
	COLUMN_PRIORITY,
	COLUMN_LABELS,
	COLUMN_PARTITION,
	COLUMN_EXIT
};
#define USUAL_COLUMNS (COLUMN_REASON + 1)

static const char *const headings[JOB_COLUMN_COUNT] = { "ID", "NAME", "STATE", "GPU",
	"WORKER", "WAIT", "RUN", "REASON", "CREATED", "ENDED", "ATTEMPT", "PRIORITY",
	"LABELS", "PARTITION", "EXIT" };

/* A narrow terminal shows these last; REASON keeps at least so many columns. */
static const enum column dispensable[] = { COLUMN_WORKER, COLUMN_WAIT, COLUMN_NAME,
	COLUMN_GPU, COLUMN_RUN };
#define REASON_LEAST 8

static int add_column(struct job_table *t, const char *name, size_t len, struct err *e)
{
	char quoted[STR_QUOTE_SIZE];

	if (t->grid.columns == JOB_COLUMNS_MAX)
		return err_set(e, ERR_INVALID, "--columns: more than %d columns",
			JOB_COLUMNS_MAX);
	for (unsigned char c = 0; c < JOB_COLUMN_COUNT; c++) {
		if (strlen(headings[c]) == len &&
			strncasecmp(headings[c], name, len) == 0) {
			t->columns[t->grid.columns++] = c;
			return 0;
		}
	}
	return err_set(e, ERR_INVALID, "--columns: \"%s\" is none of %s",
		str_quote(quoted, name, len), JOB_COLUMN_CHOICES);
}

static int choose(struct job_table *t, const char *names, struct err *e)
{
	t->chosen = true;
	for (const char *at = names;; at++) {
		size_t len = strcspn(at, ",");

		if (add_column(t, at, len, e) < 0)
			return -1;
		at += len;
		if (!*at)
			return 0;
	}
}

int job_table_init(
	struct job_table *t, const char *names, bool with_headings, struct err *e)
{
	*t = (struct job_table){ .now_s = clock_wall_ns() / NS_PER_S };
	if (names && choose(t, names, e) < 0)
		return -1;
	for (unsigned char c = 0; !names && c < USUAL_COLUMNS; c++)
		t->columns[t->grid.columns++] = c;
	for (size_t c = 0; with_headings && c < t->grid.columns; c++)
		grid_add(&t->grid, headings[t->columns[c]]);
	return 0;
}

void job_table_fini(struct job_table *t)
{
	grid_fini(&t->grid);
}

static char *labels_text(const JobStatus *job)
{
	struct buf text = { 0 };

	for (size_t i = 0; i < job->n_labels; i++)
		buf_addf(&text, "%s%s=%s", i ? "," : "", job->labels[i]->key,
			job->labels[i]->value);
	return buf_take_str(&text);
}

static char *number_text(bool known, long long n)
{
	return known ? str_fmt("%lld", n) : str_fmt("%s", "");
}

static char *span_text(int64_t seconds)
{
	char span[SPAN_SIZE];

	return str_fmt("%s", text_span(span, seconds));
}

static char *time_text(int64_t unix_s)
{
	char time[TIME_SIZE];

	return str_fmt("%s", text_time(time, unix_s));
}

static char *gpu_text(const JobStatus *job)
{
	char amount[16];

	return str_fmt("%s", format_hundredths(amount, sizeof(amount),
				     (uint32_t)(job->gpu_memory * 100 + 0.5f)));
}

static int64_t at_least_0(int64_t n)
{
	return n > 0 ? n : 0;
}

/* The caller frees it. */
static char *cell_text(
	const struct job_table *t, enum column column, const JobStatus *job)
{
	int64_t until = job->completed_at ? job->completed_at : t->now_s;
	int64_t started = job->started_at ? job->started_at : until;
	bool exited = job->exit_case == CUMULUS__ORCHESTRATOR__JOB_STATUS__EXIT_EXIT_CODE;

	switch (column) {
	case COLUMN_ID:
		return str_fmt("%s", job->job_id);
	case COLUMN_NAME:
		return str_fmt("%s", job->name);
	case COLUMN_STATE:
		return str_fmt("%s", state_name(job->state));
	case COLUMN_GPU:
		return gpu_text(job);
	case COLUMN_WORKER:
		return str_fmt("%s", job->worker_id);
	case COLUMN_WAIT:
		return span_text(at_least_0(started - job->created_at));
	case COLUMN_RUN:
		return span_text(job->started_at ? at_least_0(until - started) : -1);
	case COLUMN_REASON:
		return str_fmt("%s", state_remark(job->state, job->message));
	case COLUMN_CREATED:
		return time_text(job->created_at);
	case COLUMN_ENDED:
		return time_text(job->completed_at);
	case COLUMN_ATTEMPT:
		return number_text(job->attempt > 0, job->attempt);
	case COLUMN_PRIORITY:
		return number_text(true, job->priority);
	case COLUMN_LABELS:
		return labels_text(job);
	case COLUMN_PARTITION:
		return str_fmt("%s", job->partition_id);
	case COLUMN_EXIT:
		return number_text(exited, job->exit_code);
	}
	return str_fmt("%s", "");
}

void job_table_add(struct job_table *t, const JobStatus *job)
{
	for (size_t c = 0; c < t->grid.columns; c++) {
		CLEANUP(free_ptr) char *text = cell_text(t, t->columns[c], job);

		grid_add(&t->grid, text);
	}
}

static void drop_column(struct job_table *t, enum column column)
{
	for (size_t c = 0; c < t->grid.columns; c++) {
		if (t->columns[c] != column)
			continue;
		memmove(t->columns + c, t->columns + c + 1, t->grid.columns - c - 1);
		grid_drop(&t->grid, c);
		return;
	}
}

void job_table_print(struct job_table *t, size_t max, struct buf *out)
{
	size_t count = sizeof(dispensable) / sizeof(*dispensable);

	if (max)
		grid_shorten(&t->grid, max / 4 > 18 ? max / 4 : 18);
	for (size_t i = 0; max && !t->chosen && i < count; i++)
		if (grid_front(&t->grid) + REASON_LEAST > max)
			drop_column(t, dispensable[i]);
	grid_print(&t->grid, max, out);
}
