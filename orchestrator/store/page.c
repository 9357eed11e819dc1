/* page.c - lists of jobs, page by page, each looking at a bounded number of rows. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "cleanup.h"
#include "question.h"
#include "str.h"
#include "xalloc.h"

#define ROWS_LOOKED_AT 2000 /* for one page */
#define PAGE_DEFAULT   100

struct list_jobs {
	struct op op;
	char *owner, *name_prefix; /* NULL = any */
	uint8_t *labels;
	size_t labels_len;
	char *token;
	uint32_t states, page_size;
	int64_t created_after_ns;
	struct store_page page;
	store_on_page *on_page;
	void *ctx;
};

#define FINAL_STATES (1u << JOB_COMPLETED | 1u << JOB_FAILED | 1u << JOB_CANCELLED)

/* The statement that looks at the fewest rows.  The rest of the query is checked row by
 * row, the owner too. */
static enum sql list_statement(const struct list_jobs *q)
{
	bool live = q->states != 0 && (q->states & FINAL_STATES) == 0;

	if (q->labels && !live)
		return SQL_LIST_LABEL;
	if (q->owner)
		return live ? SQL_LIST_OWNER_LIVE : SQL_LIST_OWNER;
	return live ? SQL_LIST_LIVE : SQL_LIST_ALL;
}

/* Does `have` hold every pair of `want`?  Both are in rising order. */
static bool labels_include(
	const uint8_t *have, size_t have_len, const uint8_t *want, size_t want_len)
{
	const char *key, *value, *want_key, *want_value;
	size_t at = 0, want_at = 0;

	while (labels_next(want, want_len, &want_at, &want_key, &want_value)) {
		int order = -1;

		while (order < 0 && labels_next(have, have_len, &at, &key, &value))
			order = strcmp(key, want_key);
		if (order != 0 || strcmp(value, want_value) != 0)
			return false;
	}
	return true;
}

static const char *text_or_empty(sqlite3_stmt *row, int column)
{
	const unsigned char *text = sqlite3_column_text(row, column);

	return text ? (const char *)text : "";
}

static bool row_matches(const struct list_jobs *q, sqlite3_stmt *row)
{
	uint32_t state = (uint32_t)sqlite3_column_int(row, COLUMN_state) & 31;

	if (q->states != 0 && (q->states >> state & 1) == 0)
		return false;
	if (q->owner && strcmp(q->owner, text_or_empty(row, COLUMN_owner)) != 0)
		return false;
	if (q->name_prefix &&
		!str_starts(text_or_empty(row, COLUMN_name), q->name_prefix))
		return false;
	if (q->created_after_ns != 0 &&
		sqlite3_column_int64(row, COLUMN_created_ns) <= q->created_after_ns)
		return false;
	const uint8_t *labels = sqlite3_column_blob(row, COLUMN_labels);
	return labels_include(labels, (size_t)sqlite3_column_bytes(row, COLUMN_labels),
		q->labels, q->labels_len);
}

static void bind_list(
	sqlite3_stmt *s, enum sql which, const struct list_jobs *q, int64_t before)
{
	const char *key = NULL, *value = NULL;
	size_t at = 0;

	bind_number(s, 1, before);
	bind_number(s, 2, ROWS_LOOKED_AT);
	if (which == SQL_LIST_OWNER || which == SQL_LIST_OWNER_LIVE)
		bind_text(s, 3, q->owner);
	if (which == SQL_LIST_LABEL &&
		labels_next(q->labels, q->labels_len, &at, &key, &value)) {
		bind_text(s, 3, key);
		bind_text(s, 4, value);
	}
}

static int64_t set_next(struct store_page *page, int64_t before)
{
	if (!str_put(page->next, sizeof(page->next), "%" PRId64, before))
		page->next[0] = '\0';
	return before;
}

/* A token is the number below which the next page begins. */
static int read_token(const char *token, int64_t *before, struct err *e)
{
	char quoted[STR_QUOTE_SIZE];

	if (str_empty(token)) {
		*before = INT64_MAX;
		return 0;
	}
	if (parse_i64(token, 0, INT64_MAX, before, NULL) < 0)
		return err_set(e, ERR_INVALID, "page_token %s is none of ours",
			str_quote(quoted, token, strlen(token)));
	return 0;
}

static int fill_page(struct list_jobs *q, struct disk *disk, struct err *e)
{
	enum sql which = list_statement(q);
	int64_t before, last = 0;
	uint32_t looked = 0;
	int row = 0;

	if (read_token(q->token, &before, e) < 0)
		return -1;
	STATEMENT s = db_statement(&disk->db, which, e);
	if (!s)
		return -1;
	bind_list(s, which, q, before);
	q->page.jobs = xcalloc(q->page_size, sizeof(*q->page.jobs));
	while (q->page.count < q->page_size && (row = db_step(&disk->db, s, e)) > 0) {
		last = sqlite3_column_int64(s, COLUMN_seq);
		looked++;
		if (!row_matches(q, s))
			continue;
		if (rows_read_job(s, &q->page.jobs[q->page.count], e) < 0)
			return -1;
		q->page.count++;
	}
	if (row < 0)
		return -1;
	if (q->page.count == q->page_size || looked == ROWS_LOOKED_AT)
		set_next(&q->page, last);
	return 0;
}

static int list_run(struct op *op, struct disk *disk, struct err *e)
{
	struct err why = { 0 };

	if (fill_page((struct list_jobs *)op, disk, &why) < 0)
		return question_answer_failed(op, &why, e);
	return 0;
}

static void list_forget(struct op *op)
{
	struct list_jobs *q = (struct list_jobs *)op;

	for (size_t i = 0; q->page.jobs && i < q->page.count; i++)
		store_job_fini(&q->page.jobs[i]);
	free(take_ptr(&q->page.jobs));
	q->page = (struct store_page){ 0 };
}

static void list_deliver(struct op *op, const struct store_callbacks *to)
{
	struct list_jobs *q = (struct list_jobs *)op;
	const struct err *failed = question_failed(op);

	(void)to;
	q->on_page(q->ctx, failed ? NULL : &q->page, failed);
}

static void list_free(struct op *op)
{
	struct list_jobs *q = (struct list_jobs *)op;

	list_forget(op);
	free(q->owner);
	free(q->name_prefix);
	free(q->labels);
	free(q->token);
	free(q);
}

static const struct op_type list_type = {
	.run = list_run,
	.forget = list_forget,
	.deliver = list_deliver,
	.free = list_free,
};

static char *dup_or_null(const char *text)
{
	return str_empty(text) ? NULL : xstrdup(text);
}

void store_list(struct store *s, const struct store_list_query *query,
	store_on_page *on_page, void *ctx)
{
	struct list_jobs *q = question_new(sizeof(*q), &list_type);

	assert(labels_valid(query->labels, query->labels_len));
	q->owner = query->owner ? xstrdup(query->owner) : NULL;
	q->name_prefix = dup_or_null(query->name_prefix);
	q->token = dup_or_null(query->page_token);
	q->states = query->states;
	q->created_after_ns = query->created_after_ns;
	q->page_size = query->page_size == 0               ? PAGE_DEFAULT
		       : query->page_size > STORE_PAGE_MAX ? STORE_PAGE_MAX
							   : query->page_size;
	if (query->labels_len > 0) {
		q->labels = xmemdup(query->labels, query->labels_len);
		q->labels_len = query->labels_len;
	}
	q->on_page = on_page;
	q->ctx = ctx;
	store_stage(s, &q->op);
}
