/* history.c - how finished jobs and unused packages go, a bounded slice at a time. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "history.h"

#include <string.h>

#include "cleanup.h"
#include "str.h"

struct finished_job {
	int64_t seq, bytes;
	struct removed_job as_removed;
	uint8_t *labels; /* owned */
	size_t labels_len;
};

struct slice {
	struct finished_job jobs[HISTORY_SLICE];
	size_t count;
};

static void slice_fini(struct slice *s)
{
	for (size_t i = 0; i < s->count; i++)
		free(s->jobs[i].labels);
}

int history_count(struct history *h, struct disk *disk, struct err *e)
{
	STATEMENT s = db_statement(&disk->db, SQL_HISTORY_COUNT, e);

	if (!s || db_step(&disk->db, s, e) < 0)
		return -1;
	h->jobs = sqlite3_column_int64(s, 0);
	h->bytes = sqlite3_column_int64(s, 1);
	h->stale = false;
	return 0;
}

static bool too_much(const struct history *h, bool pressed)
{
	return h->jobs > 0 &&
	       (pressed || h->jobs > h->jobs_max || h->bytes > h->bytes_max);
}

static int find_oldest(
	struct disk *disk, int64_t before_ns, struct slice *found, struct err *e)
{
	STATEMENT s = db_statement(&disk->db, SQL_HISTORY_OLDEST, e);
	int row;

	if (!s)
		return -1;
	bind_number(s, 1, before_ns);
	bind_number(s, 2, HISTORY_SLICE);
	while ((row = db_step(&disk->db, s, e)) > 0) {
		struct finished_job *job = &found->jobs[found->count++];
		const unsigned char *id = sqlite3_column_text(s, 1);

		job->labels = column_bytes_dup(s, 3, &job->labels_len);
		job->seq = sqlite3_column_int64(s, 0);
		job->as_removed.attempts = sqlite3_column_int(s, 2);
		job->bytes = sqlite3_column_int64(s, 4);
		if (!id || !str_put(job->as_removed.id, ID_SIZE, "%s", (const char *)id))
			return err_set(e, ERR_SYSTEM, "a stored job id is too long");
	}
	return row;
}

/* ---- one job */

static int remove_rows(struct db *db, enum sql which, int64_t job, struct err *e)
{
	STATEMENT s = db_statement(db, which, e);

	if (!s)
		return -1;
	bind_number(s, 1, job);
	return db_run(db, s, e);
}

static int remove_label(
	struct db *db, const char *key, const char *value, int64_t job, struct err *e)
{
	STATEMENT s = db_statement(db, SQL_LABEL_REMOVE, e);

	if (!s)
		return -1;
	bind_text(s, 1, key);
	bind_text(s, 2, value);
	bind_number(s, 3, job);
	return db_run(db, s, e);
}

static int announce(struct db *db, const struct removed_job *job, struct err *e)
{
	STATEMENT s = db_statement(db, SQL_REMOVED_ADD, e);

	if (!s)
		return -1;
	bind_text(s, 1, job->id);
	bind_number(s, 2, job->attempts);
	return db_run(db, s, e);
}

/* Children before the row that they refer to. */
static int remove_job(const struct history *h, struct db *db,
	const struct finished_job *job, struct err *e)
{
	static const enum sql rows[] = { SQL_SPEC_REMOVE, SQL_RESULT_REMOVE,
		SQL_EVENTS_REMOVE, SQL_JOB_REMOVE };
	const char *key, *value;
	size_t at = 0;

	while (labels_next(job->labels, job->labels_len, &at, &key, &value))
		if (remove_label(db, key, value, job->seq, e) < 0)
			return -1;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		if (remove_rows(db, rows[i], job->seq, e) < 0)
			return -1;
	return h->announce ? announce(db, &job->as_removed, e) : 0;
}

static int remove_jobs(struct history *h, struct disk *disk, int64_t before_ns,
	bool pressed, struct history_removed *removed, struct err *e)
{
	CLEANUP(slice_fini) struct slice oldest = { .count = 0 };

	if (!too_much(h, pressed))
		return 0;
	if (find_oldest(disk, before_ns, &oldest, e) < 0)
		return -1;
	for (size_t i = 0; i < oldest.count && too_much(h, pressed); i++) {
		const struct finished_job *job = &oldest.jobs[i];

		if (remove_job(h, &disk->db, job, e) < 0)
			return err_wrap(e, "remove job %s", job->as_removed.id);
		removed->jobs[removed->job_count++] = job->as_removed;
		h->jobs--;
		h->bytes -= job->bytes;
	}
	if (removed->job_count > 0)
		h->packages_due = true;
	h->more |= oldest.count == HISTORY_SLICE && too_much(h, pressed);
	return 0;
}

/* ---- packages that no job names */

struct old_package {
	int64_t id;
	struct digest digest;
	bool old, file;
};

static int next_packages(struct history *h, struct disk *disk, int64_t before_ns,
	struct old_package found[HISTORY_SLICE], size_t *count, struct err *e)
{
	STATEMENT s = db_statement(&disk->db, SQL_PACKAGES_AFTER, e);
	int row;

	if (!s)
		return -1;
	bind_number(s, 1, h->package);
	bind_number(s, 2, HISTORY_SLICE);
	while ((row = db_step(&disk->db, s, e)) > 0) {
		struct old_package *p = &found[(*count)++];

		p->id = sqlite3_column_int64(s, 0);
		p->old = sqlite3_column_int64(s, 2) < before_ns;
		p->file = sqlite3_column_int(s, 3);
		if (column_digest(s, 1, &p->digest, e) < 0)
			return -1;
	}
	return row;
}

static int remove_packages(struct history *h, struct disk *disk, int64_t before_ns,
	struct history_removed *removed, struct err *e)
{
	struct old_package found[HISTORY_SLICE] = { 0 };
	size_t count = 0;

	if (!h->packages_due)
		return 0;
	if (next_packages(h, disk, before_ns, found, &count, e) < 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		if (!found[i].old)
			continue;
		if (remove_rows(&disk->db, SQL_PACKAGE_REMOVE, found[i].id, e) < 0)
			return err_wrap(e, "remove package");
		if (found[i].file && sqlite3_changes(disk->db.handle) > 0)
			removed->packages[removed->package_count++] = found[i].digest;
	}
	h->packages_due = count == HISTORY_SLICE;
	h->package = h->packages_due ? found[count - 1].id : 0;
	h->more |= h->packages_due;
	return 0;
}

static int slice_in_transaction(struct history *h, struct disk *disk, int64_t wall_ns,
	bool pressed, struct history_removed *removed, struct err *e)
{
	int64_t before_ns = wall_ns - h->age_ns;

	if (h->stale && history_count(h, disk, e) < 0)
		return -1;
	if (remove_jobs(h, disk, before_ns, pressed, removed, e) < 0 ||
		remove_packages(h, disk, before_ns, removed, e) < 0)
		return -1;
	return db_commit(&disk->db, e);
}

int history_slice(struct history *h, struct disk *disk, int64_t wall_ns, bool pressed,
	struct history_removed *removed, struct err *e)
{
	struct history after = *h;

	memset(removed, 0, sizeof(*removed));
	after.more = false;
	if (!after.stale && !after.packages_due && !too_much(&after, pressed)) {
		h->more = false;
		return 0;
	}
	if (db_begin(&disk->db, e) < 0)
		return -1;
	if (slice_in_transaction(&after, disk, wall_ns, pressed, removed, e) < 0) {
		db_rollback(&disk->db);
		memset(removed, 0, sizeof(*removed));
		h->more = false;
		return -1;
	}
	*h = after;
	return 0;
}
