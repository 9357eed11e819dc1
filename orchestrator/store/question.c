/* question.c - what the loop asks of the store: each question one op, each answer bounded. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "question.h"

#include <assert.h>
#include <string.h>

#include "cleanup.h"
#include "packages.h"
#include "str.h"
#include "xalloc.h"

void *question_new(size_t size, const struct op_type *type)
{
	struct op *op = xcalloc(1, size);

	op->type = type;
	op->bytes = size;
	return op;
}

const struct err *question_failed(const struct op *op)
{
	return op->failed.code == ERR_NONE ? NULL : &op->failed;
}

int question_answer_failed(struct op *op, const struct err *why, struct err *e)
{
	if (why->code == ERR_NOT_FOUND || why->code == ERR_INVALID ||
		why->code == ERR_UNAVAILABLE) {
		op->failed = *why;
		return 0;
	}
	if (e)
		*e = *why;
	return -1;
}

/* Most questions are about one job. */
static void copy_id(char out[ID_SIZE], const char *id)
{
	if (!str_put(out, ID_SIZE, "%s", id))
		out[0] = '\0'; /* longer than any id: no such job */
}

/* The only row that a statement has. */
static int only_row(struct db *db, sqlite3_stmt *s, const char *absent, struct err *e)
{
	int row = db_step(db, s, e);

	return row == 0 ? err_set(e, ERR_NOT_FOUND, "%s", absent) : row;
}

/* ---- an owner's key */

struct find_key {
	struct op op;
	char *owner, *key;
	struct core_known_key known;
	store_on_key *on_key;
	void *ctx;
};

static int find_key_run(struct op *op, struct disk *disk, struct err *e)
{
	struct find_key *q = (struct find_key *)op;
	STATEMENT s = db_statement(&disk->db, SQL_KEY_FIND, e);

	q->known = (struct core_known_key){ .found = false };
	if (!s)
		return -1;
	bind_text(s, 1, q->owner);
	bind_text(s, 2, q->key);
	int row = db_step(&disk->db, s, e);
	if (row <= 0)
		return row;
	copy_id(q->known.job, (const char *)sqlite3_column_text(s, 0));
	q->known.found = true;
	return column_digest(s, 1, &q->known.identity, e);
}

static void find_key_deliver(struct op *op, const struct store_callbacks *to)
{
	struct find_key *q = (struct find_key *)op;

	(void)to;
	q->on_key(q->ctx, &q->known);
}

static void find_key_free(struct op *op)
{
	struct find_key *q = (struct find_key *)op;

	free(q->owner);
	free(q->key);
	free(q);
}

static const struct op_type find_key_type = {
	.run = find_key_run,
	.deliver = find_key_deliver,
	.free = find_key_free,
};

void store_find_key(struct store *s, const char *owner, const char *key,
	store_on_key *on_key, void *ctx)
{
	struct find_key *q = question_new(sizeof(*q), &find_key_type);

	q->owner = xstrdup(owner);
	q->key = xstrdup(key);
	q->on_key = on_key;
	q->ctx = ctx;
	store_stage(s, &q->op);
}

/* ---- a job */

struct get_job {
	struct op op;
	char id[ID_SIZE];
	bool with_spec;
	struct store_job job;
	store_on_job *on_job;
	void *ctx;
};

static int read_spec(
	struct disk *disk, const char *id, struct store_spec *out, struct err *e)
{
	STATEMENT s = db_statement(&disk->db, SQL_SPEC_GET, e);

	if (!s)
		return -1;
	bind_text(s, 1, id);
	if (only_row(&disk->db, s, "no such job", e) < 0)
		return -1;
	if (column_digest(s, 1, &out->package, e) < 0)
		return -1;
	out->package_size = sqlite3_column_int64(s, 2);
	out->bytes = column_bytes_dup(s, 0, &out->len);
	return 0;
}

static int read_error(struct disk *disk, int64_t seq, char **out, struct err *e)
{
	STATEMENT s = db_statement(&disk->db, SQL_ERROR_GET, e);

	if (!s)
		return -1;
	bind_number(s, 1, seq);
	int row = db_step(&disk->db, s, e);
	if (row > 0)
		*out = column_text_dup(s, 0);
	return row < 0 ? -1 : 0;
}

static int read_job_row(struct disk *disk, const char *id, struct store_job *out,
	int64_t *seq, struct err *e)
{
	STATEMENT s = db_statement(&disk->db, SQL_JOB_BY_ID, e);

	if (!s)
		return -1;
	bind_text(s, 1, id);
	if (only_row(&disk->db, s, "no such job", e) < 0)
		return -1;
	*seq = sqlite3_column_int64(s, COLUMN_seq);
	return rows_read_job(s, out, e);
}

static int read_whole_job(struct get_job *q, struct disk *disk, struct err *e)
{
	struct store_spec spec = { 0 };
	int64_t seq = 0;

	if (read_job_row(disk, q->id, &q->job, &seq, e) < 0 ||
		read_error(disk, seq, &q->job.error, e) < 0)
		return -1;
	if (!q->with_spec)
		return 0;
	if (read_spec(disk, q->id, &spec, e) < 0)
		return -1;
	q->job.submission->spec = spec.bytes;
	q->job.submission->spec_len = spec.len;
	return 0;
}

static int get_job_run(struct op *op, struct disk *disk, struct err *e)
{
	struct err why = { 0 };

	if (read_whole_job((struct get_job *)op, disk, &why) < 0)
		return question_answer_failed(op, &why, e);
	return 0;
}

static void get_job_forget(struct op *op)
{
	struct get_job *q = (struct get_job *)op;

	store_job_fini(&q->job);
	q->job = (struct store_job){ 0 };
}

static void get_job_deliver(struct op *op, const struct store_callbacks *to)
{
	struct get_job *q = (struct get_job *)op;
	const struct err *failed = question_failed(op);

	(void)to;
	q->on_job(q->ctx, failed ? NULL : &q->job, failed);
}

static void get_job_free(struct op *op)
{
	get_job_forget(op);
	free(op);
}

static const struct op_type get_job_type = {
	.run = get_job_run,
	.forget = get_job_forget,
	.deliver = get_job_deliver,
	.free = get_job_free,
};

void store_get_job(
	struct store *s, const char *id, bool with_spec, store_on_job *on_job, void *ctx)
{
	struct get_job *q = question_new(sizeof(*q), &get_job_type);

	copy_id(q->id, id);
	q->with_spec = with_spec;
	q->on_job = on_job;
	q->ctx = ctx;
	store_stage(s, &q->op);
}

/* ---- events */

struct get_events {
	struct op op;
	char id[ID_SIZE];
	int64_t after;
	struct store_events found;
	store_on_events *on_events;
	void *ctx;
};

static int read_events(struct get_events *q, struct disk *disk, struct err *e)
{
	int64_t seq = 0;
	int row;

	if (rows_find_seq(disk, q->id, &seq, e) < 0)
		return -1;
	STATEMENT s = db_statement(&disk->db, SQL_EVENTS_AFTER, e);
	if (!s)
		return -1;
	bind_number(s, 1, seq);
	bind_number(s, 2, q->after);
	bind_number(s, 3, STORE_EVENTS_MAX);
	q->found.events = xcalloc(STORE_EVENTS_MAX, sizeof(*q->found.events));
	while ((row = db_step(&disk->db, s, e)) > 0) {
		if (rows_read_event(s, &q->found.events[q->found.count], e) < 0)
			return err_wrap(e, "job %s", q->id);
		q->found.count++;
	}
	return row;
}

static int get_events_run(struct op *op, struct disk *disk, struct err *e)
{
	struct err why = { 0 };

	if (read_events((struct get_events *)op, disk, &why) < 0)
		return question_answer_failed(op, &why, e);
	return 0;
}

static void get_events_forget(struct op *op)
{
	struct get_events *q = (struct get_events *)op;

	for (size_t i = 0; q->found.events && i < q->found.count; i++)
		job_state_event_fini(&q->found.events[i]);
	free(take_ptr(&q->found.events));
	q->found.count = 0;
}

static void get_events_deliver(struct op *op, const struct store_callbacks *to)
{
	struct get_events *q = (struct get_events *)op;
	const struct err *failed = question_failed(op);

	(void)to;
	q->on_events(q->ctx, failed ? NULL : &q->found, failed);
}

static void get_events_free(struct op *op)
{
	get_events_forget(op);
	free(op);
}

static const struct op_type get_events_type = {
	.run = get_events_run,
	.forget = get_events_forget,
	.deliver = get_events_deliver,
	.free = get_events_free,
};

void store_get_events(struct store *s, const char *id, int64_t after_sequence,
	store_on_events *on_events, void *ctx)
{
	struct get_events *q = question_new(sizeof(*q), &get_events_type);

	copy_id(q->id, id);
	q->after = after_sequence;
	q->on_events = on_events;
	q->ctx = ctx;
	store_stage(s, &q->op);
}

/* ---- a spec */

struct get_spec {
	struct op op;
	char id[ID_SIZE];
	struct store_spec spec;
	store_on_spec *on_spec;
	void *ctx;
};

static int get_spec_run(struct op *op, struct disk *disk, struct err *e)
{
	struct get_spec *q = (struct get_spec *)op;
	struct err why = { 0 };

	if (read_spec(disk, q->id, &q->spec, &why) < 0)
		return question_answer_failed(op, &why, e);
	return 0;
}

static void get_spec_forget(struct op *op)
{
	free(take_ptr(&((struct get_spec *)op)->spec.bytes));
}

static void get_spec_deliver(struct op *op, const struct store_callbacks *to)
{
	struct get_spec *q = (struct get_spec *)op;
	const struct err *failed = question_failed(op);

	(void)to;
	q->on_spec(q->ctx, failed ? NULL : &q->spec, failed);
}

static void get_spec_free(struct op *op)
{
	get_spec_forget(op);
	free(op);
}

static const struct op_type get_spec_type = {
	.run = get_spec_run,
	.forget = get_spec_forget,
	.deliver = get_spec_deliver,
	.free = get_spec_free,
};

void store_get_spec(struct store *s, const char *id, store_on_spec *on_spec, void *ctx)
{
	struct get_spec *q = question_new(sizeof(*q), &get_spec_type);

	copy_id(q->id, id);
	q->on_spec = on_spec;
	q->ctx = ctx;
	store_stage(s, &q->op);
}

/* ---- a result */

struct get_result {
	struct op op;
	char id[ID_SIZE];
	struct store_result result;
	store_on_result *on_result;
	void *ctx;
};

static int read_result(
	struct disk *disk, const char *id, struct store_result *out, struct err *e)
{
	STATEMENT s = db_statement(&disk->db, SQL_RESULT_GET, e);

	if (!s)
		return -1;
	bind_text(s, 1, id);
	if (only_row(&disk->db, s, "no such job, or it has no result", e) < 0)
		return -1;
	if (column_digest(s, 1, &out->digest, e) < 0)
		return -1;
	out->bytes = column_bytes_dup(s, 0, &out->len);
	return 0;
}

static int get_result_run(struct op *op, struct disk *disk, struct err *e)
{
	struct get_result *q = (struct get_result *)op;
	struct err why = { 0 };

	if (read_result(disk, q->id, &q->result, &why) < 0)
		return question_answer_failed(op, &why, e);
	return 0;
}

static void get_result_forget(struct op *op)
{
	free(take_ptr(&((struct get_result *)op)->result.bytes));
}

static void get_result_deliver(struct op *op, const struct store_callbacks *to)
{
	struct get_result *q = (struct get_result *)op;
	const struct err *failed = question_failed(op);

	(void)to;
	q->on_result(q->ctx, failed ? NULL : &q->result, failed);
}

static void get_result_free(struct op *op)
{
	get_result_forget(op);
	free(op);
}

static const struct op_type get_result_type = {
	.run = get_result_run,
	.forget = get_result_forget,
	.deliver = get_result_deliver,
	.free = get_result_free,
};

void store_get_result(
	struct store *s, const char *id, store_on_result *on_result, void *ctx)
{
	struct get_result *q = question_new(sizeof(*q), &get_result_type);

	copy_id(q->id, id);
	q->on_result = on_result;
	q->ctx = ctx;
	store_stage(s, &q->op);
}

/* ---- a piece of a package */

struct read_package {
	struct op op;
	struct digest digest;
	int64_t offset;
	size_t len;
	struct store_slice slice;
	store_on_slice *on_slice;
	void *ctx;
};

static int read_package_run(struct op *op, struct disk *disk, struct err *e)
{
	struct read_package *q = (struct read_package *)op;
	struct err why = { 0 };

	if (package_read(disk, &q->digest, q->offset, q->len, &q->slice, &why) < 0)
		return question_answer_failed(op, &why, e);
	return 0;
}

static void read_package_forget(struct op *op)
{
	free(take_ptr(&((struct read_package *)op)->slice.bytes));
}

static void read_package_deliver(struct op *op, const struct store_callbacks *to)
{
	struct read_package *q = (struct read_package *)op;
	const struct err *failed = question_failed(op);

	(void)to;
	q->on_slice(q->ctx, failed ? NULL : &q->slice, failed);
}

static void read_package_free(struct op *op)
{
	read_package_forget(op);
	free(op);
}

static const struct op_type read_package_type = {
	.run = read_package_run,
	.forget = read_package_forget,
	.deliver = read_package_deliver,
	.free = read_package_free,
};

void store_read_package(struct store *s, const struct digest *digest, int64_t offset,
	size_t len, store_on_slice *on_slice, void *ctx)
{
	struct read_package *q = question_new(sizeof(*q), &read_package_type);

	q->digest = *digest;
	q->offset = offset;
	q->len = len < STORE_SLICE_MAX ? len : STORE_SLICE_MAX;
	q->op.bytes += q->len;
	q->on_slice = on_slice;
	q->ctx = ctx;
	store_stage(s, &q->op);
}

/* ---- which packages are missing */

struct missing_packages {
	struct op op;
	struct digest *digests; /* owned */
	size_t count;
	bool *missing; /* owned */
	store_on_missing *on_missing;
	void *ctx;
};

static int missing_packages_run(struct op *op, struct disk *disk, struct err *e)
{
	struct missing_packages *q = (struct missing_packages *)op;

	for (size_t i = 0; i < q->count; i++) {
		struct package package;

		if (package_find(disk, &q->digests[i], &package, e) < 0)
			return -1;
		q->missing[i] = package.id == 0;
	}
	return 0;
}

static void missing_packages_deliver(struct op *op, const struct store_callbacks *to)
{
	struct missing_packages *q = (struct missing_packages *)op;

	(void)to;
	q->on_missing(q->ctx, q->missing, q->count);
}

static void missing_packages_free(struct op *op)
{
	struct missing_packages *q = (struct missing_packages *)op;

	free(q->digests);
	free(q->missing);
	free(q);
}

static const struct op_type missing_packages_type = {
	.run = missing_packages_run,
	.deliver = missing_packages_deliver,
	.free = missing_packages_free,
};

void store_missing_packages(struct store *s, const struct digest *digests, size_t count,
	store_on_missing *on_missing, void *ctx)
{
	struct missing_packages *q = question_new(sizeof(*q), &missing_packages_type);

	assert(count <= STORE_DIGESTS_MAX);
	q->digests = xcalloc(count + 1, sizeof(*q->digests));
	if (count > 0)
		memcpy(q->digests, digests, count * sizeof(*digests));
	q->missing = xcalloc(count + 1, sizeof(*q->missing));
	q->count = count;
	q->on_missing = on_missing;
	q->ctx = ctx;
	store_stage(s, &q->op);
}
