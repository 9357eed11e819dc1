/* writes.c - what changes the database, as ops: records, known packages, removed jobs. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "writes.h"

#include "cleanup.h"
#include "history.h"
#include "packages.h"
#include "str.h"
#include "xalloc.h"

/* ---- records */

struct record_op {
	struct op op;
	struct record *record; /* owned; NULL once it is settled */
};

static int record_run(struct op *op, struct disk *disk, struct err *e)
{
	const struct record *r = ((struct record_op *)op)->record;
	enum taken taken;

	if (r->kind == RECORD_NEW_JOB)
		return rows_add_job(disk, r, &taken, &op->failed, e);
	if (r->kind == RECORD_WORKER)
		return rows_set_worker(disk, r, e);
	return rows_change_job(disk, r, e);
}

static void record_settle(struct op *op)
{
	record_free(take_ptr(&((struct record_op *)op)->record));
}

static void record_deliver(struct op *op, const struct store_callbacks *to)
{
	if (op->failed.code == ERR_NONE)
		to->on_committed(to->ctx, op->number);
	else
		to->on_refused(to->ctx, op->number, &op->failed);
}

static void record_op_free(struct op *op)
{
	record_settle(op);
	free(op);
}

#define RECORD_TYPE                                                                      \
	.writes = true, .run = record_run, .settle = record_settle,                      \
	.deliver = record_deliver, .free = record_op_free

static const struct op_type change_type = { RECORD_TYPE };
static const struct op_type new_job_type = { RECORD_TYPE, .refusable = true };

static size_t record_bytes(const struct record *r)
{
	size_t bytes = sizeof(*r) + r->result_len;

	if (r->submission)
		bytes += r->submission->spec_len + r->submission->zip_len;
	return bytes;
}

struct op *record_op_new(struct record *record)
{
	struct record_op *r = xcalloc(1, sizeof(*r));

	r->record = record;
	r->op.type = record->kind == RECORD_NEW_JOB ? &new_job_type : &change_type;
	r->op.number = record->number;
	r->op.input = record->input;
	r->op.bytes = record_bytes(record);
	return &r->op;
}

/* ---- other writes */

struct add_package {
	struct op op;
	struct digest digest;
	int64_t size;
	store_on_done *on_done;
	void *ctx;
};

static int add_package_run(struct op *op, struct disk *disk, struct err *e)
{
	struct add_package *a = (struct add_package *)op;
	struct err why = { 0 };

	if (package_add_file(disk, &a->digest, a->size, &why) == 0)
		return 0;
	struct err *to = why.code == ERR_NOT_FOUND ? &op->failed : e;
	if (to)
		*to = why;
	return why.code == ERR_NOT_FOUND ? 0 : -1;
}

static void add_package_deliver(struct op *op, const struct store_callbacks *to)
{
	struct add_package *a = (struct add_package *)op;

	(void)to;
	a->on_done(a->ctx, op->failed.code == ERR_NONE ? NULL : &op->failed);
}

static void op_free(struct op *op)
{
	free(op);
}

static const struct op_type add_package_type = {
	.writes = true,
	.refusable = true,
	.run = add_package_run,
	.deliver = add_package_deliver,
	.free = op_free,
};

struct op *add_package_op_new(
	const struct digest *digest, int64_t size, store_on_done *on_done, void *ctx)
{
	struct add_package *a = xcalloc(1, sizeof(*a));

	a->op.type = &add_package_type;
	a->digest = *digest;
	a->size = size;
	a->on_done = on_done;
	a->ctx = ctx;
	return &a->op;
}

/* A removed job: first on its way out, to tell; then on its way in, to forget. */
struct removed_op {
	struct op op;
	struct removed_job job;
};

static void tell_removed_deliver(struct op *op, const struct store_callbacks *to)
{
	const struct removed_job *job = &((struct removed_op *)op)->job;

	to->on_removed(to->ctx, job->id, job->attempts);
}

static const struct op_type tell_removed_type = {
	.deliver = tell_removed_deliver,
	.free = op_free,
};

static int drop_removed_run(struct op *op, struct disk *disk, struct err *e)
{
	STATEMENT s = db_statement(&disk->db, SQL_REMOVED_DROP, e);

	if (!s)
		return -1;
	bind_text(s, 1, ((struct removed_op *)op)->job.id);
	return db_run(&disk->db, s, e);
}

static void drop_removed_deliver(struct op *op, const struct store_callbacks *to)
{
	(void)op;
	(void)to;
}

static const struct op_type drop_removed_type = {
	.writes = true,
	.run = drop_removed_run,
	.deliver = drop_removed_deliver,
	.free = op_free,
};

static struct op *removed_op_new(
	const struct op_type *type, const char *id, int32_t attempts)
{
	struct removed_op *r = xcalloc(1, sizeof(*r));

	r->op.type = type;
	r->job.attempts = attempts;
	if (str_put(r->job.id, sizeof(r->job.id), "%s", id))
		return &r->op;
	free(r);
	return NULL;
}

struct op *tell_removed_op_new(const char *id, int32_t attempts)
{
	return removed_op_new(&tell_removed_type, id, attempts);
}

struct op *drop_removed_op_new(const char *id)
{
	return removed_op_new(&drop_removed_type, id, 0);
}
