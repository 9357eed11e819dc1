/* store.c - the store's thread: what was staged, committed in groups, handed back in order. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "store.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "backup.h"
#include "cleanup.h"
#include "clock.h"
#include "file.h"
#include "history.h"
#include "log.h"
#include "op.h"
#include "packages.h"
#include "reserve.h"
#include "schema.h"
#include "str.h"
#include "writes.h"
#include "xalloc.h"

#define GROUP_OPS_MAX   512
#define GROUP_BYTES_MAX (8 * 1024 * 1024)

/* Pages in the write-ahead log: when nothing else is to be done, and in any case. */
#define CHECKPOINT_IDLE  1000
#define CHECKPOINT_BUSY  8000

#define TICK_NS          (5 * NS_PER_S) /* disk space and history */
#define PACKAGE_WALK_NS  (3600 * NS_PER_S)
#define FULL_DISK_WAIT_S 1

const struct store_config store_defaults = {
	.history_age_s = 24 * 60 * 60,
	.history_jobs = 100000,
	.history_bytes = INT64_C(16) << 30,
	.disk_low_bytes = INT64_C(1) << 30,
	.reserve_bytes = INT64_C(32) << 20,
};

struct store {
	int folder;
	char cluster_id[ID_SIZE];
	uint64_t epoch;
	struct store_callbacks callbacks;
	bool threaded; /* there is a thread to join */

	/* The loop's. */
	struct list staged;
	uint64_t last_number; /* posted */
	uint64_t waiting;     /* records whose outcome is not delivered */
	bool dead;            /* on_failed was called */

	/* Shared. */
	pthread_mutex_t lock;
	pthread_cond_t more; /* in is no longer empty, or stopping */
	struct list in, out;
	atomic_bool stopping;
	atomic_bool disk_low;
	atomic_bool limits_are_fresh; /* the thread has not taken them yet */
	atomic_uint_fast64_t commits, records, refused;
	atomic_int_fast64_t group_began_ns; /* 0 = no group is at work */
	atomic_int_fast64_t history_jobs, history_bytes;
	atomic_int_fast64_t file_bytes, disk_free_bytes;
	atomic_int_fast64_t backup_wall_ns;
	atomic_uint_fast64_t backup_failures;
	struct store_groups groups; /* under the lock */
	struct store_config limits; /* under the lock; path is not kept */

	/* The thread's. */
	pthread_t thread;
	struct list pending;
	struct disk disk;
	struct reserve reserve;
	struct history history;
	struct backup backup;
	int64_t next_tick_ns, next_walk_ns;
	bool failed;
};

static const double group_seconds[] = { 0.0002, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025,
	0.05, 0.1, 0.25, 0.5, 1, 5 };
static const double group_records[] = { 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000 };

static void ops_free(struct list *ops)
{
	list_each_safe(it, ops)
	{
		struct op *op = list_entry(it, struct op, link);

		list_remove(it);
		op->type->free(op);
	}
}

/* Move all of `from` behind `to`. */
static void list_splice(struct list *to, struct list *from)
{
	if (list_empty(from))
		return;
	from->next->prev = to->prev;
	to->prev->next = from->next;
	from->prev->next = to;
	to->prev = from->prev;
	list_init(from);
}

/* ---- opening */

static int meta_get(struct db *db, const char *key, char *out, size_t size, struct err *e)
{
	STATEMENT s = db_statement(db, SQL_META_GET, e);

	if (!s)
		return -1;
	bind_text(s, 1, key);
	int row = db_step(db, s, e);
	if (row < 0)
		return -1;
	const unsigned char *text = row ? sqlite3_column_text(s, 0) : NULL;
	if (!str_put(out, size, "%s", text ? (const char *)text : ""))
		return err_set(e, ERR_SYSTEM, "the stored %s is too long", key);
	return 0;
}

static int meta_set(struct db *db, const char *key, const char *value, struct err *e)
{
	STATEMENT s = db_statement(db, SQL_META_SET, e);

	if (!s)
		return -1;
	bind_text(s, 1, key);
	bind_text(s, 2, value);
	return db_run(db, s, e);
}

static int load_cluster_id(struct store *s, struct err *e)
{
	struct db *db = &s->disk.db;

	if (meta_get(db, "cluster_id", s->cluster_id, sizeof(s->cluster_id), e) < 0)
		return -1;
	if (s->cluster_id[0] == '\0') {
		id_make(s->cluster_id, 'c');
		return meta_set(db, "cluster_id", s->cluster_id, e);
	}
	if (!id_valid(s->cluster_id, 'c'))
		return err_set(e, ERR_SYSTEM, "the stored cluster_id is none");
	return 0;
}

static int raise_epoch(struct store *s, struct err *e)
{
	struct db *db = &s->disk.db;
	uint64_t epoch = 0;
	char text[24];

	if (meta_get(db, "epoch", text, sizeof(text), e) < 0)
		return -1;
	if (text[0] != '\0' && parse_u64(text, 1, UINT64_MAX - 1, &epoch, e) < 0)
		return err_wrap(e, "the stored epoch");
	s->epoch = epoch + 1;
	if (!str_put(text, sizeof(text), "%" PRIu64, s->epoch))
		return err_set(e, ERR_INTERNAL, "epoch %" PRIu64, s->epoch);
	return meta_set(db, "epoch", text, e);
}

static int open_identity(struct store *s, struct err *e)
{
	if (db_begin(&s->disk.db, e) < 0)
		return -1;
	if (load_cluster_id(s, e) < 0 || raise_epoch(s, e) < 0 ||
		db_commit(&s->disk.db, e) < 0) {
		db_rollback(&s->disk.db);
		return -1;
	}
	return 0;
}

static int open_tables(struct store *s, struct err *e)
{
	if (schema_upgrade(&s->disk.db, schema_steps, schema_step_count, e) < 0)
		return -1;
	return open_identity(s, e);
}

static int open_database(struct store *s, const char *path, struct err *e)
{
	CLEANUP(free_ptr) char *file = str_fmt("%s/cumulus.db", path);
	struct err full = { 0 };

	if (db_open(&s->disk.db, file, &full) == 0 && open_tables(s, &full) == 0)
		return 0;
	/* What the reserve is for: a start on a full disk. */
	if (full.code == ERR_EXHAUSTED) {
		reserve_give_up(&s->reserve);
		db_close(&s->disk.db);
		full = (struct err){ 0 };
		if (db_open(&s->disk.db, file, &full) == 0 && open_tables(s, &full) == 0)
			return 0;
	}
	if (e)
		*e = full;
	return err_wrap(e, "store %s", file);
}

static void set_limits(struct store *s, const struct store_config *config)
{
	s->reserve = (struct reserve){
		.dirfd = s->folder,
		.bytes = config->reserve_bytes,
		.low_bytes = config->disk_low_bytes,
	};
	s->history = (struct history){
		.age_ns = config->history_age_s * NS_PER_S,
		.jobs_max = config->history_jobs,
		.bytes_max = config->history_bytes,
		.stale = true,
	};
}

static int open_parts(struct store *s, const struct store_config *config, struct err *e)
{
	s->folder = open(config->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->folder < 0)
		return err_sys(e, "open %s", config->path);
	set_limits(s, config);
	s->disk.packages = dir_open(s->folder, "packages", 0700, e);
	if (s->disk.packages < 0)
		return -1;
	if (open_database(s, config->path, e) < 0)
		return -1;
	/* The names of the database, its log and the folder must outlive a power loss too. */
	if (fsync(s->folder) < 0)
		return err_sys(e, "sync %s", config->path);
	reserve_take(&s->reserve);
	atomic_store(&s->disk_low, reserve_disk_low(&s->reserve));
	if (backup_open(&s->backup, config->backup_path, config->backup_every_s,
		    config->backup_keep, e) < 0)
		return -1;
	atomic_store(&s->backup_wall_ns, s->backup.last_wall_ns);
	return packages_sweep(&s->disk, e);
}

static void init_shared(struct store *s)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->more, &attr);
	pthread_condattr_destroy(&attr);
	list_init(&s->in);
	list_init(&s->out);
	list_init(&s->staged);
	list_init(&s->pending);
}

struct store *store_open(const struct store_config *config, struct err *e)
{
	struct store *s = xcalloc(1, sizeof(*s));

	init_shared(s);
	s->folder = s->disk.packages = -1;
	s->groups.seconds = HISTOGRAM(group_seconds);
	s->groups.records = HISTOGRAM(group_records);
	atomic_store(&s->file_bytes, -1);
	atomic_store(&s->disk_free_bytes, -1);
	if (open_parts(s, config, e) < 0) {
		store_close(s);
		return NULL;
	}
	return s;
}

const char *store_cluster_id(const struct store *s)
{
	return s->cluster_id;
}

uint64_t store_epoch(const struct store *s)
{
	return s->epoch;
}

static int restore_row(
	sqlite3_stmt *row, store_on_restored *on_restored, void *ctx, struct err *e)
{
	struct store_job job = { 0 };

	if (rows_read_job(row, &job, e) < 0) {
		if (e)
			e->code = ERR_INVALID;
		return -1;
	}
	int rc = on_restored(ctx, job.id, &job.facts, take_ptr(&job.submission), e);
	job.facts = (struct job_facts){ 0 };
	store_job_fini(&job);
	return rc;
}

int store_restore_workers(
	struct store *s, store_on_worker *on_worker, void *ctx, struct err *e)
{
	STATEMENT workers = db_statement(&s->disk.db, SQL_WORKERS, e);
	int row;

	if (!workers)
		return -1;
	while ((row = db_step(&s->disk.db, workers, e)) > 0) {
		const char *id = (const char *)sqlite3_column_text(workers, 0);

		if (on_worker(ctx, id ? id : "", sqlite3_column_int(workers, 1), e) < 0)
			return -1;
	}
	return row;
}

static int restore_rows(
	struct store *s, store_on_restored *on_restored, void *ctx, struct err *e)
{
	STATEMENT live = db_statement(&s->disk.db, SQL_JOBS_LIVE, e);
	int row;

	if (!live)
		return -1;
	while ((row = db_step(&s->disk.db, live, e)) > 0)
		if (restore_row(live, on_restored, ctx, e) < 0)
			return -1;
	return row;
}

int store_restore(
	struct store *s, store_on_restored *on_restored, void *ctx, struct err *e)
{
	/* Each page is read once: those that SQLite kept would lie between the jobs that are
	 * made of them, and not be given back. */
	if (db_exec(&s->disk.db, DB_CACHE_SMALL, e) < 0 ||
		restore_rows(s, on_restored, ctx, e) < 0)
		return -1;
	return db_exec(&s->disk.db, DB_CACHE_WHOLE, e);
}

/* ---- staging */

void store_stage(struct store *s, struct op *op)
{
	list_append(&s->staged, &op->link);
}

void store_post(struct store *s, struct record *record)
{
	const struct submission *asked = record->submission;

	assert(record->number > s->last_number);
	assert((record->kind == RECORD_NEW_JOB) == (asked != NULL));
	assert(!asked || labels_valid(asked->labels, asked->labels_len));
	s->last_number = record->number;
	s->waiting++;
	store_stage(s, record_op_new(record));
}

void store_add_package(struct store *s, const struct digest *digest, int64_t size,
	store_on_done *on_done, void *ctx)
{
	store_stage(s, add_package_op_new(digest, size, on_done, ctx));
}

void store_output_removed(struct store *s, const char *job)
{
	struct op *op = drop_removed_op_new(job);

	if (op)
		store_stage(s, op);
}

/* ---- handing back */

static void hand_back(struct store *s, struct list *ops)
{
	if (list_empty(ops))
		return;
	pthread_mutex_lock(&s->lock);
	list_splice(&s->out, ops);
	pthread_mutex_unlock(&s->lock);
	s->callbacks.wake(s->callbacks.ctx);
}

static void failed_deliver(struct op *op, const struct store_callbacks *to)
{
	to->on_failed(to->ctx, &op->failed);
}

static void op_free(struct op *op)
{
	free(op);
}

static const struct op_type failed_type = { .deliver = failed_deliver, .free = op_free };

/* The end of this store: say so behind all that is already out, and do nothing more. */
static void fail(struct store *s, const struct err *why)
{
	struct op *op = xcalloc(1, sizeof(*op));
	struct list ops;

	s->failed = true;
	op->type = &failed_type;
	op->failed = *why;
	list_init(&ops);
	list_append(&ops, &op->link);
	hand_back(s, &ops);
}

/* ---- a group */

/* Does a record of this input come before any other? */
static bool input_goes_on(struct list *pending, struct list *from, uint64_t input)
{
	for (struct list *it = from; it != pending; it = it->next) {
		const struct op *op = list_entry(it, struct op, link);

		if (op->input != 0)
			return op->input == input;
	}
	return false;
}

/* Cut the next group off what is pending. */
static void cut_group(struct list *pending, struct list *group)
{
	size_t count = 0, bytes = 0;
	uint64_t input = 0;

	list_each_safe(it, pending)
	{
		struct op *op = list_entry(it, struct op, link);

		if ((count >= GROUP_OPS_MAX || bytes >= GROUP_BYTES_MAX) &&
			(input == 0 || !input_goes_on(pending, it, input)))
			return;
		count++;
		bytes += op->bytes;
		if (op->input != 0)
			input = op->input;
		list_remove(it);
		list_append(group, it);
	}
}

static int run_op(struct op *op, struct disk *disk, bool refuse, struct err *e)
{
	if (op->type->forget)
		op->type->forget(op);
	op->failed = (struct err){ 0 };
	if (refuse && op->type->refusable) {
		err_set(&op->failed, ERR_EXHAUSTED,
			"the disk of the orchestrator's store is full");
		return 0;
	}
	return op->type->run(op, disk, e);
}

static int run_group(struct store *s, struct list *group, bool refuse, struct err *e)
{
	bool writes = false;

	list_each(it, group) writes |= list_entry(it, struct op, link)->type->writes;
	if (writes && db_begin(&s->disk.db, e) < 0)
		return -1;
	list_each(it, group)
	{
		if (run_op(list_entry(it, struct op, link), &s->disk, refuse, e) < 0)
			return -1;
	}
	return writes ? db_commit(&s->disk.db, e) : 0;
}

/* False when the store is stopping. */
static bool wait_for_space(struct store *s)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += FULL_DISK_WAIT_S;
	pthread_mutex_lock(&s->lock);
	while (!atomic_load(&s->stopping) &&
		pthread_cond_timedwait(&s->more, &s->lock, &until) != ETIMEDOUT)
		;
	pthread_mutex_unlock(&s->lock);
	return !atomic_load(&s->stopping);
}

/* The disk is full: without new jobs and on the reserve, for as long as it takes.  What is
 * left are facts about what has happened; they cannot be refused. */
static int run_without_new_jobs(struct store *s, struct list *group, struct err *e)
{
	if (s->reserve.held)
		log_warn("the disk of the store is full: no new jobs", NULL);
	reserve_give_up(&s->reserve);
	atomic_store(&s->disk_low, true);
	for (bool first = true;; first = false) {
		if (run_group(s, group, true, e) == 0)
			return 0;
		db_rollback(&s->disk.db);
		if (e->code != ERR_EXHAUSTED)
			return -1;
		/* A log that begins anew needs no more room. */
		if (db_checkpoint(&s->disk.db, false, e) < 0)
			return -1;
		if (!first && (!s->threaded || !wait_for_space(s)))
			return -1;
	}
}

static int commit_group(struct store *s, struct list *group, struct err *e)
{
	if (!s->reserve.held)
		return run_without_new_jobs(s, group, e);
	if (run_group(s, group, false, e) == 0)
		return 0;
	db_rollback(&s->disk.db);
	return e->code == ERR_EXHAUSTED ? run_without_new_jobs(s, group, e) : -1;
}

static void settle_group(struct store *s, struct list *group, int64_t took_ns)
{
	uint64_t records = 0;

	list_each(it, group)
	{
		struct op *op = list_entry(it, struct op, link);

		records += op->number != 0;
		if (op->number != 0 && op->failed.code != ERR_NONE)
			atomic_fetch_add(&s->refused, 1);
		s->history.stale |= op->number != 0;
		if (op->type->settle)
			op->type->settle(op);
	}
	atomic_fetch_add(&s->commits, 1);
	atomic_fetch_add(&s->records, records);
	if (!records)
		return;
	pthread_mutex_lock(&s->lock);
	histogram_add(&s->groups.seconds, (double)took_ns / (double)NS_PER_S);
	histogram_add(&s->groups.records, (double)records);
	pthread_mutex_unlock(&s->lock);
}

static void work_group(struct store *s)
{
	int64_t began_ns = clock_boot_ns();
	struct err e = { 0 };
	struct list group;

	list_init(&group);
	cut_group(&s->pending, &group);
	atomic_store(&s->group_began_ns, began_ns);
	if (commit_group(s, &group, &e) < 0) {
		db_rollback(&s->disk.db);
		ops_free(&group);
		fail(s, &e);
		return; /* group_began_ns stays: whoever looks sees a store that hangs */
	}
	settle_group(s, &group, clock_boot_ns() - began_ns);
	atomic_store(&s->group_began_ns, 0);
	hand_back(s, &group);
}

/* ---- beside the groups */

static void hand_back_removed(struct store *s, const struct history_removed *removed)
{
	struct list ops;

	list_init(&ops);
	for (size_t i = 0; s->callbacks.on_removed && i < removed->job_count; i++) {
		const struct removed_job *job = &removed->jobs[i];
		struct op *op = tell_removed_op_new(job->id, job->attempts);

		if (op)
			list_append(&ops, &op->link);
	}
	hand_back(s, &ops);
	for (size_t i = 0; i < removed->package_count; i++) {
		char name[PACKAGE_NAME_SIZE];

		package_name(name, &removed->packages[i]);
		unlinkat(s->disk.packages, name, 0); /* else the next sweep does it */
	}
}

static int clean_history(struct store *s, struct err *e)
{
	struct history_removed removed;
	struct err why = { 0 };

	if (history_slice(&s->history, &s->disk, clock_wall_ns(),
		    atomic_load(&s->disk_low), &removed, &why) < 0) {
		if (why.code == ERR_EXHAUSTED) /* another time */
			return 0;
		*e = why;
		return err_wrap(e, "clean up history");
	}
	atomic_store(&s->history_jobs, s->history.jobs);
	atomic_store(&s->history_bytes, s->history.bytes);
	hand_back_removed(s, &removed);
	return 0;
}

static void take_limits(struct store *s)
{
	struct store_config limits;

	if (!atomic_exchange(&s->limits_are_fresh, false))
		return;
	pthread_mutex_lock(&s->lock);
	limits = s->limits;
	pthread_mutex_unlock(&s->lock);
	s->reserve.low_bytes = limits.disk_low_bytes;
	s->history.age_ns = limits.history_age_s * NS_PER_S;
	s->history.jobs_max = limits.history_jobs;
	s->history.bytes_max = limits.history_bytes;
	if (s->backup.path && s->backup.every_ns != limits.backup_every_s * NS_PER_S)
		backup_set_every(&s->backup, limits.backup_every_s);
	s->backup.keep = limits.backup_keep;
}

static int64_t size_of(const struct store *s, const char *name)
{
	struct stat st;

	return fstatat(s->folder, name, &st, AT_SYMLINK_NOFOLLOW) == 0 ? st.st_size : 0;
}

static void look_at_disk(struct store *s)
{
	atomic_store(&s->disk_low, reserve_disk_low(&s->reserve));
	atomic_store(&s->disk_free_bytes, reserve_free_bytes(&s->reserve));
	atomic_store(
		&s->file_bytes, size_of(s, "cumulus.db") + size_of(s, "cumulus.db-wal"));
}

/* Every few seconds, and for as long as the clean-up has more to do. */
static int tick(struct store *s, int64_t now_ns, struct err *e)
{
	s->next_tick_ns = now_ns + TICK_NS;
	if (now_ns >= s->next_walk_ns) {
		s->next_walk_ns = now_ns + PACKAGE_WALK_NS;
		s->history.packages_due = true;
	}
	take_limits(s);
	reserve_take(&s->reserve);
	look_at_disk(s);
	return clean_history(s, e);
}

/* A copy that fails costs nobody but the copy. */
static bool back_up(struct store *s, int64_t now_ns)
{
	struct err e = { 0 };

	if (atomic_load(&s->stopping) || !backup_is_due(&s->backup, now_ns))
		return false;
	if (backup_step(&s->backup, &s->disk.db, now_ns, clock_wall_ns(), &e) < 0)
		log_error("no backup is made", "why", e.text, NULL);
	atomic_store(&s->backup_wall_ns, s->backup.last_wall_ns);
	atomic_store(&s->backup_failures, s->backup.failures);
	return backup_is_due(&s->backup, now_ns);
}

static int checkpoint_if_due(struct store *s, int pages, struct err *e)
{
	return s->disk.db.wal_pages >= pages ? db_checkpoint(&s->disk.db, false, e) : 0;
}

static void take_in(struct store *s)
{
	pthread_mutex_lock(&s->lock);
	list_splice(&s->pending, &s->in);
	pthread_mutex_unlock(&s->lock);
}

bool store_work(struct store *s)
{
	struct err e = { 0 };
	int64_t now_ns = clock_boot_ns();
	bool busy;

	take_in(s);
	if (s->failed) {
		ops_free(&s->pending);
		return false;
	}
	busy = !list_empty(&s->pending);
	if (busy)
		work_group(s);
	if (s->failed)
		return true;
	if (checkpoint_if_due(s, busy ? CHECKPOINT_BUSY : CHECKPOINT_IDLE, &e) < 0 ||
		((now_ns >= s->next_tick_ns || (!busy && s->history.more)) &&
			tick(s, now_ns, &e) < 0)) {
		fail(s, &e);
		return true;
	}
	bool more = back_up(s, now_ns);
	return busy || more || (s->history.more && !atomic_load(&s->stopping));
}

/* ---- the thread */

/* False when all is done and the store is stopping. */
static bool wait_for_more(struct store *s)
{
	struct timespec until;
	bool go_on;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += TICK_NS / NS_PER_S;
	pthread_mutex_lock(&s->lock);
	while (list_empty(&s->in) && !atomic_load(&s->stopping) &&
		pthread_cond_timedwait(&s->more, &s->lock, &until) != ETIMEDOUT)
		;
	go_on = !list_empty(&s->in) || !atomic_load(&s->stopping);
	pthread_mutex_unlock(&s->lock);
	return go_on;
}

static void *thread_main(void *ctx)
{
	struct store *s = ctx;

	pthread_setname_np(pthread_self(), "store");
	for (;;)
		if (!store_work(s) && !wait_for_more(s))
			return NULL;
}

/* What was removed and whose output files may still be there. */
static int tell_removed_before(struct store *s, struct err *e)
{
	STATEMENT statement = db_statement(&s->disk.db, SQL_REMOVED_ALL, e);
	struct list ops;
	int row;

	if (!statement)
		return -1;
	list_init(&ops);
	while ((row = db_step(&s->disk.db, statement, e)) > 0) {
		const unsigned char *id = sqlite3_column_text(statement, 0);
		struct op *op = tell_removed_op_new(
			(const char *)id, sqlite3_column_int(statement, 1));

		if (op)
			list_append(&ops, &op->link);
	}
	if (row < 0)
		ops_free(&ops);
	else
		hand_back(s, &ops);
	return row;
}

static int take_callbacks(
	struct store *s, const struct store_callbacks *callbacks, struct err *e)
{
	s->callbacks = *callbacks;
	s->history.announce = callbacks->on_removed != NULL;
	return callbacks->on_removed ? tell_removed_before(s, e) : 0;
}

int store_start(struct store *s, const struct store_callbacks *callbacks, struct err *e)
{
	sigset_t all, before;

	if (take_callbacks(s, callbacks, e) < 0)
		return -1;
	s->threaded = true;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int rc = pthread_create(&s->thread, NULL, thread_main, s);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc == 0)
		return 0;
	s->threaded = false;
	errno = rc;
	return err_sys(e, "start the store's thread");
}

void store_start_inline(struct store *s, const struct store_callbacks *callbacks)
{
	struct err e = { 0 };

	if (take_callbacks(s, callbacks, &e) < 0)
		fail(s, &e);
}

/* ---- the loop's side */

void store_kick(struct store *s)
{
	if (list_empty(&s->staged))
		return;
	pthread_mutex_lock(&s->lock);
	list_splice(&s->in, &s->staged);
	pthread_cond_signal(&s->more);
	pthread_mutex_unlock(&s->lock);
}

/* Neighbours that are committed are told by the last one's number. */
static bool is_told_by_next(const struct op *op, const struct list *ops)
{
	const struct op *next;

	if (op->number == 0 || op->failed.code != ERR_NONE || op->link.next == ops)
		return false;
	next = list_entry(op->link.next, struct op, link);
	return next->number != 0 && next->failed.code == ERR_NONE;
}

static void deliver_op(struct store *s, struct op *op, const struct list *ops)
{
	if (op->number != 0)
		s->waiting--;
	if (!s->dead && !is_told_by_next(op, ops))
		op->type->deliver(op, &s->callbacks);
	s->dead |= op->type == &failed_type;
}

void store_deliver(struct store *s)
{
	struct list ops;

	list_init(&ops);
	pthread_mutex_lock(&s->lock);
	list_splice(&ops, &s->out);
	pthread_mutex_unlock(&s->lock);
	list_each_safe(it, &ops)
	{
		struct op *op = list_entry(it, struct op, link);

		deliver_op(s, op, &ops);
		list_remove(it);
		op->type->free(op);
	}
}

void store_stop(struct store *s)
{
	store_kick(s);
	if (!s->threaded)
		return;
	pthread_mutex_lock(&s->lock);
	atomic_store(&s->stopping, true);
	pthread_cond_signal(&s->more);
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->thread, NULL);
	s->threaded = false;
}

void store_close(struct store *s)
{
	struct err e = { 0 };

	if (!s)
		return;
	store_stop(s);
	if (s->disk.db.handle && !s->failed && db_checkpoint(&s->disk.db, true, &e) < 0)
		log_error("the store's last checkpoint failed", "why", e.text, NULL);
	ops_free(&s->staged);
	ops_free(&s->in);
	ops_free(&s->pending);
	ops_free(&s->out);
	backup_close(&s->backup);
	db_close(&s->disk.db);
	close_fd(&s->disk.packages);
	close_fd(&s->folder);
	pthread_cond_destroy(&s->more);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

bool store_disk_low(const struct store *s)
{
	return atomic_load(&s->disk_low);
}

struct store_stats store_stats(const struct store *s)
{
	int64_t began_ns = atomic_load(&s->group_began_ns);

	return (struct store_stats){
		.commits = atomic_load(&s->commits),
		.records = atomic_load(&s->records),
		.refused = atomic_load(&s->refused),
		.waiting = s->waiting,
		.commit_age_ns = began_ns == 0 ? 0 : clock_boot_ns() - began_ns,
		.history_jobs = atomic_load(&s->history_jobs),
		.history_bytes = atomic_load(&s->history_bytes),
		.file_bytes = atomic_load(&s->file_bytes),
		.disk_free_bytes = atomic_load(&s->disk_free_bytes),
		.backs_up = s->backup.path != NULL,
		.backup_wall_ns = atomic_load(&s->backup_wall_ns),
		.backup_failures = atomic_load(&s->backup_failures),
	};
}

struct store_groups store_groups(struct store *s)
{
	pthread_mutex_lock(&s->lock);
	struct store_groups groups = s->groups;
	pthread_mutex_unlock(&s->lock);
	return groups;
}

void store_set_limits(struct store *s, const struct store_config *config)
{
	pthread_mutex_lock(&s->lock);
	s->limits = *config;
	s->limits.path = s->limits.backup_path = NULL;
	pthread_mutex_unlock(&s->lock);
	atomic_store(&s->limits_are_fresh, true);
}
