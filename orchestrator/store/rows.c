/* rows.c - jobs, events and results to rows and back. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "rows.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "buf.h"
#include "cleanup.h"
#include "clock.h"
#include "packages.h"
#include "str.h"
#include "xalloc.h"

/* ---- devices, as lines of text */

static char *devices_pack(const struct job_facts *f)
{
	CLEANUP(buf_fini) struct buf text = { 0 };

	if (f->device_count == 0)
		return NULL;
	for (uint32_t i = 0; i < f->device_count; i++)
		buf_addf(&text, "%" PRId32 " %s\n", f->devices[i].index,
			f->devices[i].uuid);
	return buf_take_str(&text);
}

/* Cut one line "index uuid\n" off *text; -1 when it is none. */
static int device_unpack(char **text, struct device_ref *d)
{
	char *space = strchr(*text, ' ');
	char *end = space ? strchr(space, '\n') : NULL;
	int64_t index;

	if (!end)
		return -1;
	*space = *end = '\0';
	if (parse_i64(*text, INT32_MIN, INT32_MAX, &index, NULL) < 0 ||
		!str_put(d->uuid, sizeof(d->uuid), "%s", space + 1))
		return -1;
	d->index = (int32_t)index;
	*text = end + 1;
	return 0;
}

static int devices_unpack(char *text, struct job_facts *f, struct err *e)
{
	struct device_ref found[JOB_DEVICES_MAX] = { 0 };
	uint32_t count = 0;

	while (text && *text)
		if (count == JOB_DEVICES_MAX || device_unpack(&text, &found[count++]) < 0)
			return err_set(e, ERR_SYSTEM, "its devices make no sense");
	f->device_count = count;
	if (count > 0)
		f->devices = xmemdup(found, count * sizeof(*found));
	return 0;
}

/* ---- facts */

static void bind_fact(sqlite3_stmt *s, int column, int64_t number)
{
	bind_number(s, column + 1, number);
}

/* devices is the packed form, borrowed. */
static void bind_facts(sqlite3_stmt *s, const struct job_facts *f, const char *devices)
{
	bind_fact(s, COLUMN_live, !job_state_final(f->state) || f->leased);
	bind_fact(s, COLUMN_state, f->state);
	bind_fact(s, COLUMN_reason, f->reason);
	bind_fact(s, COLUMN_attempt, f->attempt);
	bind_fact(s, COLUMN_retries, f->retries);
	bind_fact(s, COLUMN_last_sequence, f->last_sequence);
	bind_fact(s, COLUMN_created_ns, f->created_ns);
	bind_fact(s, COLUMN_started_ns, f->started_ns);
	bind_fact(s, COLUMN_completed_ns, f->completed_ns);
	bind_fact(s, COLUMN_report, f->report);
	bind_fact(s, COLUMN_output_end, f->output_end);
	bind_fact(s, COLUMN_output_bytes, f->output_bytes);
	bind_fact(s, COLUMN_output_dropped, f->output_dropped);
	if (f->exit_known)
		bind_fact(s, COLUMN_exit_code, f->exit_code);
	bind_fact(s, COLUMN_cancel_requested, f->cancel_requested);
	bind_fact(s, COLUMN_held, f->held);
	bind_fact(s, COLUMN_leased, f->leased);
	bind_text(s, COLUMN_worker + 1, f->worker);
	bind_text(s, COLUMN_devices + 1, devices);
	bind_text(s, COLUMN_message + 1, f->message);
	bind_text(s, COLUMN_partition + 1, f->partition);
	bind_text(s, COLUMN_container + 1, f->container);
	bind_text(s, COLUMN_environment + 1, f->environment);
	bind_fact(s, COLUMN_queued_ns, f->timing.queued);
	bind_fact(s, COLUMN_environment_ns, f->timing.environment);
	bind_fact(s, COLUMN_partition_ns, f->timing.partition);
	bind_fact(s, COLUMN_container_ns, f->timing.container);
	bind_fact(s, COLUMN_python_ns, f->timing.python);
	bind_fact(s, COLUMN_run_ns, f->timing.run);
	bind_fact(s, COLUMN_gpu_quota_bytes, f->gpu.memory_quota);
	bind_fact(s, COLUMN_gpu_peak_bytes, f->gpu.memory_peak);
	bind_fact(s, COLUMN_gpu_time_ns, f->gpu.time_ns);
	bind_fact(s, COLUMN_gpu_refusals, f->gpu.refusals);
	bind_fact(s, COLUMN_gpu_overruns, f->gpu.overruns);
	bind_fact(s, COLUMN_gpu_overrun_ns, f->gpu.overrun_ns);
}

/* A column of a type that cannot hold more than max, nor less than min. */
static int read_ranged(sqlite3_stmt *row, int column, int64_t min, int64_t max,
	int64_t *out, struct err *e)
{
	int64_t number = sqlite3_column_int64(row, column);

	if (number < min || number > max)
		return err_set(e, ERR_SYSTEM, "column %s holds %" PRId64,
			sqlite3_column_name(row, column), number);
	*out = number;
	return 0;
}

static int read_i32(sqlite3_stmt *row, int column, int32_t *out, struct err *e)
{
	int64_t number = 0;

	if (read_ranged(row, column, INT32_MIN, INT32_MAX, &number, e) < 0)
		return -1;
	*out = (int32_t)number;
	return 0;
}

static int read_u32(sqlite3_stmt *row, int column, uint32_t *out, struct err *e)
{
	int64_t number = 0;

	if (read_ranged(row, column, 0, UINT32_MAX, &number, e) < 0)
		return -1;
	*out = (uint32_t)number;
	return 0;
}

static int read_state(sqlite3_stmt *row, int column, enum job_state *out, struct err *e)
{
	int64_t number = 0;

	if (read_ranged(row, column, JOB_SCHEDULING, JOB_STATE_COUNT - 1, &number, e) < 0)
		return -1;
	*out = (enum job_state)number;
	return 0;
}

static int read_reason(sqlite3_stmt *row, int column, enum job_reason *out, struct err *e)
{
	int64_t number = 0;

	if (read_ranged(row, column, 0, 255, &number, e) < 0)
		return -1;
	*out = (enum job_reason)number;
	return 0;
}

static void read_timing(sqlite3_stmt *row, struct job_timing *t)
{
	t->queued = sqlite3_column_int64(row, COLUMN_queued_ns);
	t->environment = sqlite3_column_int64(row, COLUMN_environment_ns);
	t->partition = sqlite3_column_int64(row, COLUMN_partition_ns);
	t->container = sqlite3_column_int64(row, COLUMN_container_ns);
	t->python = sqlite3_column_int64(row, COLUMN_python_ns);
	t->run = sqlite3_column_int64(row, COLUMN_run_ns);
}

static int read_fact_texts(sqlite3_stmt *row, struct job_facts *f, struct err *e)
{
	CLEANUP(free_ptr) char *devices = column_text_dup(row, COLUMN_devices);
	const unsigned char *worker = sqlite3_column_text(row, COLUMN_worker);

	if (!str_put(f->worker, sizeof(f->worker), "%s",
		    worker ? (const char *)worker : ""))
		return err_set(e, ERR_SYSTEM, "its worker's id is too long");
	f->message = column_text_dup(row, COLUMN_message);
	f->partition = column_text_dup(row, COLUMN_partition);
	f->container = column_text_dup(row, COLUMN_container);
	f->environment = column_text_dup(row, COLUMN_environment);
	return devices_unpack(devices, f, e);
}

static int read_facts(sqlite3_stmt *row, struct job_facts *f, struct err *e)
{
	if (read_state(row, COLUMN_state, &f->state, e) < 0 ||
		read_reason(row, COLUMN_reason, &f->reason, e) < 0 ||
		read_i32(row, COLUMN_attempt, &f->attempt, e) < 0 ||
		read_i32(row, COLUMN_retries, &f->retries, e) < 0 ||
		read_i32(row, COLUMN_exit_code, &f->exit_code, e) < 0)
		return -1;
	f->exit_known = sqlite3_column_type(row, COLUMN_exit_code) != SQLITE_NULL;
	f->last_sequence = sqlite3_column_int64(row, COLUMN_last_sequence);
	f->created_ns = sqlite3_column_int64(row, COLUMN_created_ns);
	f->started_ns = sqlite3_column_int64(row, COLUMN_started_ns);
	f->completed_ns = sqlite3_column_int64(row, COLUMN_completed_ns);
	f->report = sqlite3_column_int64(row, COLUMN_report);
	f->output_end = sqlite3_column_int64(row, COLUMN_output_end);
	f->output_bytes = sqlite3_column_int64(row, COLUMN_output_bytes);
	f->output_dropped = sqlite3_column_int64(row, COLUMN_output_dropped);
	f->cancel_requested = sqlite3_column_int(row, COLUMN_cancel_requested);
	f->held = sqlite3_column_int(row, COLUMN_held);
	f->leased = sqlite3_column_int(row, COLUMN_leased);
	read_timing(row, &f->timing);
	f->gpu = (struct gpu_usage){
		.memory_quota = sqlite3_column_int64(row, COLUMN_gpu_quota_bytes),
		.memory_peak = sqlite3_column_int64(row, COLUMN_gpu_peak_bytes),
		.time_ns = sqlite3_column_int64(row, COLUMN_gpu_time_ns),
		.refusals = sqlite3_column_int64(row, COLUMN_gpu_refusals),
		.overruns = sqlite3_column_int64(row, COLUMN_gpu_overruns),
		.overrun_ns = sqlite3_column_int64(row, COLUMN_gpu_overrun_ns),
	};
	return read_fact_texts(row, f, e);
}

/* ---- what was asked for */

static void bind_asked(sqlite3_stmt *s, const char *id, const struct submission *asked)
{
	bind_text(s, COLUMN_id + 1, id);
	bind_fact(s, COLUMN_wanted_devices, asked->amount.devices);
	bind_fact(s, COLUMN_hundredths, asked->amount.hundredths);
	bind_fact(s, COLUMN_duration_s, asked->duration_s);
	bind_fact(s, COLUMN_priority, asked->priority);
	bind_fact(s, COLUMN_max_retries, asked->max_retries);
	bind_fact(s, COLUMN_no_wait, asked->no_wait);
	bind_text(s, COLUMN_owner + 1, asked->owner ? asked->owner : "");
	bind_text(s, COLUMN_name + 1, asked->name);
	bind_text(s, COLUMN_key + 1, asked->key);
	bind_digest(s, COLUMN_identity + 1, &asked->identity);
	bind_bytes(s, COLUMN_labels + 1, asked->labels, asked->labels_len);
}

static int read_asked(sqlite3_stmt *row, struct submission *asked, struct err *e)
{
	if (read_u32(row, COLUMN_wanted_devices, &asked->amount.devices, e) < 0 ||
		read_u32(row, COLUMN_hundredths, &asked->amount.hundredths, e) < 0 ||
		read_i32(row, COLUMN_duration_s, &asked->duration_s, e) < 0 ||
		read_i32(row, COLUMN_priority, &asked->priority, e) < 0 ||
		read_i32(row, COLUMN_max_retries, &asked->max_retries, e) < 0 ||
		column_digest(row, COLUMN_identity, &asked->identity, e) < 0 ||
		column_digest(row, COLUMN_package_digest, &asked->package, e) < 0)
		return -1;
	asked->no_wait = sqlite3_column_int(row, COLUMN_no_wait);
	asked->owner = column_text_dup(row, COLUMN_owner);
	asked->name = column_text_dup(row, COLUMN_name);
	asked->key = column_text_dup(row, COLUMN_key);
	asked->labels = column_bytes_dup(row, COLUMN_labels, &asked->labels_len);
	if (!labels_valid(asked->labels, asked->labels_len))
		return err_set(e, ERR_SYSTEM, "its labels make no sense");
	return 0;
}

static int read_job(sqlite3_stmt *row, struct store_job *job, struct err *e)
{
	const char *id = (const char *)sqlite3_column_text(row, COLUMN_id);

	if (!id || !str_put(job->id, sizeof(job->id), "%s", id))
		return err_set(e, ERR_SYSTEM, "a stored job id is too long");
	job->submission = xcalloc(1, sizeof(*job->submission));
	job->package_size = sqlite3_column_int64(row, COLUMN_package_size);
	job->result_len = sqlite3_column_type(row, COLUMN_result_bytes) == SQLITE_NULL
				  ? -1
				  : sqlite3_column_int64(row, COLUMN_result_bytes);
	if (read_facts(row, &job->facts, e) < 0 ||
		read_asked(row, job->submission, e) < 0)
		return err_wrap(e, "job %s", job->id);
	return 0;
}

int rows_read_job(sqlite3_stmt *row, struct store_job *out, struct err *e)
{
	struct store_job job = { 0 };

	if (read_job(row, &job, e) < 0) {
		store_job_fini(&job);
		return -1;
	}
	*out = job;
	return 0;
}

int rows_read_event(sqlite3_stmt *row, struct job_state_event *out, struct err *e)
{
	struct job_state_event ev = {
		.sequence = sqlite3_column_int64(row, 0),
		.wall_ns = sqlite3_column_int64(row, 4),
		.output_at = sqlite3_column_int64(row, 5),
	};

	if (read_state(row, 1, &ev.state, e) < 0 ||
		read_reason(row, 2, &ev.reason, e) < 0 ||
		read_i32(row, 3, &ev.attempt, e) < 0)
		return -1;
	ev.message = column_text_dup(row, 6);
	*out = ev;
	return 0;
}

void store_job_fini(struct store_job *job)
{
	job_facts_fini(&job->facts);
	submission_free(take_ptr(&job->submission));
	free(take_ptr(&job->error));
}

int rows_find_seq(struct disk *disk, const char *id, int64_t *seq, struct err *e)
{
	STATEMENT s = db_statement(&disk->db, SQL_JOB_SEQ, e);

	if (!s)
		return -1;
	bind_text(s, 1, id);
	int row = db_step(&disk->db, s, e);
	if (row < 0)
		return -1;
	if (row == 0)
		return err_set(e, ERR_NOT_FOUND, "no such job");
	*seq = sqlite3_column_int64(s, 0);
	return 0;
}

/* ---- writing */

static int add_event(
	struct db *db, int64_t job, const struct job_state_event *ev, struct err *e)
{
	STATEMENT s = db_statement(db, SQL_EVENT_ADD, e);

	if (!s)
		return -1;
	bind_number(s, 1, job);
	bind_number(s, 2, ev->sequence);
	bind_number(s, 3, ev->state);
	bind_number(s, 4, ev->reason);
	bind_number(s, 5, ev->attempt);
	bind_number(s, 6, ev->wall_ns);
	bind_number(s, 7, ev->output_at);
	bind_text(s, 8, ev->message);
	return db_run(db, s, e);
}

static int add_spec(
	struct db *db, int64_t job, const struct submission *asked, struct err *e)
{
	STATEMENT s = db_statement(db, SQL_SPEC_ADD, e);

	if (!s)
		return -1;
	bind_number(s, 1, job);
	bind_bytes(s, 2, asked->spec, asked->spec_len);
	return db_run(db, s, e);
}

static int add_label(
	struct db *db, int64_t job, const char *key, const char *value, struct err *e)
{
	STATEMENT s = db_statement(db, SQL_LABEL_ADD, e);

	if (!s)
		return -1;
	bind_text(s, 1, key);
	bind_text(s, 2, value);
	bind_number(s, 3, job);
	return db_run(db, s, e);
}

static int add_labels(
	struct db *db, int64_t job, const struct submission *asked, struct err *e)
{
	const char *key, *value;
	size_t at = 0;

	while (labels_next(asked->labels, asked->labels_len, &at, &key, &value))
		if (add_label(db, job, key, value, e) < 0)
			return -1;
	return 0;
}

static int add_result(struct db *db, int64_t job, const struct record *r, struct err *e)
{
	STATEMENT s = db_statement(db, SQL_RESULT_ADD, e);
	struct digest digest;

	if (!s)
		return -1;
	bind_number(s, 1, job);
	if (r->result) {
		digest = digest_of(r->result, r->result_len);
		bind_digest(s, 2, &digest);
	}
	bind_text(s, 3, r->error);
	bind_bytes(s, 4, r->result, r->result_len);
	return db_run(db, s, e);
}

static int add_job_row(struct db *db, const struct record *r,
	const struct package *package, int64_t *seq, struct err *e)
{
	CLEANUP(free_ptr) char *devices = devices_pack(&r->facts);
	STATEMENT s = db_statement(db, SQL_JOB_ADD, e);

	if (!s)
		return -1;
	bind_facts(s, &r->facts, devices);
	bind_asked(s, r->job, r->submission);
	bind_number(s, ADD_PACKAGE, package->id);
	bind_number(s, ADD_BYTES, package->size + (int64_t)r->submission->spec_len);
	if (db_run(db, s, e) < 0)
		return -1;
	*seq = sqlite3_last_insert_rowid(db->handle);
	return 0;
}

/* The package that the submission names, or which it brings.  package->id = 0: neither. */
static int find_or_add_package(struct disk *disk, const struct submission *asked,
	struct package *package, struct err *e)
{
	if (package_find(disk, &asked->package, package, e) < 0)
		return -1;
	if (package->id != 0 || !asked->zip)
		return 0;
	return package_add(disk, &asked->package, asked->zip, asked->zip_len, package, e);
}

/* No descriptor for a package file is a limit of this process, not of the disk. */
static bool no_descriptor(const struct err *e)
{
	return e->sys == EMFILE || e->sys == ENFILE;
}

int rows_add_job(struct disk *disk, const struct record *r, enum taken *taken,
	struct err *refused, struct err *e)
{
	struct package package = { 0 };
	struct err why = { 0 };
	int64_t seq = 0;

	*taken = NOT_TAKEN;
	if (find_or_add_package(disk, r->submission, &package, &why) < 0) {
		struct err *to = no_descriptor(&why) ? refused : e;
		if (to)
			*to = why;
		return no_descriptor(&why) ? 0 : -1;
	}
	if (package.id == 0) {
		err_set(refused, ERR_NOT_FOUND,
			"the package is not stored here any more: send it again");
		return 0;
	}
	/* This row comes first: where a constraint refuses it nothing else is there. */
	if (add_job_row(&disk->db, r, &package, &seq, &why) < 0) {
		struct err *to = why.code == ERR_CONFLICT ? refused : e;
		if (to)
			*to = why;
		return why.code == ERR_CONFLICT ? 0 : -1;
	}
	if (add_spec(&disk->db, seq, r->submission, e) < 0 ||
		add_labels(&disk->db, seq, r->submission, e) < 0)
		return -1;
	if (r->event.sequence > 0 && add_event(&disk->db, seq, &r->event, e) < 0)
		return -1;
	*taken = TAKEN;
	return 0;
}

static int64_t more_bytes(const struct record *r)
{
	int64_t bytes = (int64_t)r->result_len;

	if (r->error)
		bytes += (int64_t)strlen(r->error);
	if (job_state_final(r->facts.state) && !job_state_final(r->from))
		bytes += OUTPUT_POSITION(r->facts.output_end);
	return bytes;
}

static int change_job_row(
	struct db *db, const struct record *r, int64_t *seq, struct err *e)
{
	CLEANUP(free_ptr) char *devices = devices_pack(&r->facts);
	STATEMENT s = db_statement(db, SQL_JOB_CHANGE, e);

	if (!s)
		return -1;
	bind_facts(s, &r->facts, devices);
	if (r->result)
		bind_number(s, CHANGE_RESULT_BYTES, (int64_t)r->result_len);
	bind_number(s, CHANGE_MORE_BYTES, more_bytes(r));
	bind_text(s, CHANGE_ID, r->job);
	bind_number(s, CHANGE_FROM, r->from);

	int row = db_step(db, s, e);
	if (row < 0)
		return -1;
	if (row == 0)
		return err_set(e, ERR_INTERNAL, "its row is not in state %s",
			job_state_name(r->from));
	*seq = sqlite3_column_int64(s, 0);
	return db_run(db, s, e);
}

static int change_job(struct disk *disk, const struct record *r, struct err *e)
{
	int64_t seq = 0;

	if (change_job_row(&disk->db, r, &seq, e) < 0)
		return -1;
	if (r->event.sequence > 0 && add_event(&disk->db, seq, &r->event, e) < 0)
		return -1;
	if ((r->result || r->error) && add_result(&disk->db, seq, r, e) < 0)
		return -1;
	return 0;
}

int rows_change_job(struct disk *disk, const struct record *r, struct err *e)
{
	struct err why = { 0 };

	if (change_job(disk, r, &why) == 0)
		return 0;
	/* A second event of one number, a second result: what the core must never ask. */
	if (why.code == ERR_CONFLICT)
		why.code = ERR_INTERNAL;
	if (e)
		*e = why;
	return why.code == ERR_EXHAUSTED ? -1 : err_wrap(e, "record of job %s", r->job);
}

int rows_set_worker(struct disk *disk, const struct record *r, struct err *e)
{
	STATEMENT s = db_statement(
		&disk->db, r->draining ? SQL_WORKER_SET : SQL_WORKER_DROP, e);

	if (!s)
		return -1;
	bind_text(s, 1, r->worker);
	return db_run(&disk->db, s, e);
}
