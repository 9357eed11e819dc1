/* bench_store.c - durable submissions, changes and restarts, beside raw SQLite on the same disk. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Usage: bench_store <folder on the disk to measure> <report.json>
 *
 * Ours and the baseline take turns, ROUNDS times; a value is the median of the rounds with
 * the least and the greatest.  The baseline is one table with a random package a row, one
 * prepared INSERT, WAL, synchronous=FULL and the same rows in a commit: no indexes, no
 * events, nobody who waits for an answer.
 */
#include "store.h"

#include <jansson.h>
#include <sqlite3.h>

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "file.h"
#include "str.h"
#include "xalloc.h"

enum {
	ROUNDS = 5,
	PACKAGE = 4096,
	GROUP = 64,
	AHEAD = 4 * GROUP, /* submissions that wait for their commit at a time */
	SUBMISSIONS = 20000,
	SINGLE = 1500, /* one at a time */
	FINISHED = 100000,
	WAITING = 1000,
};

enum { SUBMIT, SUBMIT_ONE, CHANGE, RESTART, RESTART_WAITING, ROWS };

struct row {
	const char *what, *unit;
	double aim;
	double ours[ROUNDS], beside[ROUNDS];
	bool less_is_better, has_beside;
};

static struct row rows[ROWS] = {
	[SUBMIT] = { .what = "submissions, 64 in a group, 4 KiB",
		.unit = "1/s",
		.aim = 10000,
		.has_beside = true },
	[SUBMIT_ONE] = { .what = "submissions, one at a time, 4 KiB",
		.unit = "1/s",
		.aim = 1000,
		.has_beside = true },
	[CHANGE] = { .what = "changes of state with an event",
		.unit = "1/s",
		.aim = 10000 },
	[RESTART] = { .what = "open with 100,000 finished, 1,000 waiting",
		.unit = "ms",
		.aim = 1000,
		.less_is_better = true },
	[RESTART_WAITING] = { .what = "open with 100,000 waiting",
		.unit = "ms",
		.aim = 1000,
		.less_is_better = true },
};

static _Noreturn void die(const char *what, const char *why)
{
	fprintf(stderr, "bench_store: %s: %s\n", what, why);
	exit(1);
}

static double seconds_since(int64_t began_ns)
{
	return (double)(clock_boot_ns() - began_ns) / (double)NS_PER_S;
}

/* ---- a store and who waits for it */

struct bench {
	char *path; /* owned */
	struct store *store;
	int wake;
	uint64_t number, committed;
	uint8_t package[PACKAGE];
};

static void on_wake(void *ctx)
{
	if (write(((struct bench *)ctx)->wake, &(uint64_t){ 1 }, sizeof(uint64_t)) < 0)
		abort();
}

static void on_committed(void *ctx, uint64_t number)
{
	((struct bench *)ctx)->committed = number;
}

static void on_refused(void *ctx, uint64_t number, const struct err *why)
{
	(void)ctx;
	(void)number;
	die("refused", why->text);
}

static void on_failed(void *ctx, const struct err *why)
{
	(void)ctx;
	die("failed", why->text);
}

static void bench_open(struct bench *b)
{
	struct store_config config = store_defaults;
	struct err e = { 0 };

	config.path = b->path;
	config.history_jobs = 2 * FINISHED;
	b->number = b->committed = 0;
	b->store = store_open(&config, &e);
	if (!b->store)
		die("store_open", e.text);
}

static void bench_start(struct bench *b)
{
	struct store_callbacks callbacks = {
		.ctx = b,
		.wake = on_wake,
		.on_committed = on_committed,
		.on_refused = on_refused,
		.on_failed = on_failed,
	};
	struct err e = { 0 };

	if (store_start(b->store, &callbacks, &e) < 0)
		die("store_start", e.text);
}

static void wait_for(struct bench *b, uint64_t number)
{
	store_kick(b->store);
	while (b->committed < number) {
		struct pollfd p = { .fd = b->wake, .events = POLLIN };
		uint64_t count;

		poll(&p, 1, -1);
		if (read(b->wake, &count, sizeof(count)) > 0)
			store_deliver(b->store);
	}
}

/* ---- records */

static void job_name(char out[ID_SIZE], uint64_t n)
{
	uint8_t random[ID_RANDOM] = { 0 };

	/* Spread like random ids, for the index that they are in. */
	n *= UINT64_C(0x9e3779b97f4a7c15);
	memcpy(random, &n, sizeof(n));
	id_format(out, 'j', random);
}

static void fill(uint8_t bytes[PACKAGE], uint64_t n)
{
	for (size_t i = 0; i < PACKAGE; i += sizeof(n)) {
		n = n * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		memcpy(bytes + i, &n, sizeof(n));
	}
}

static struct record *record_of(struct bench *b, uint64_t job)
{
	struct record *r = xcalloc(1, sizeof(*r));

	r->number = r->input = ++b->number;
	job_name(r->job, job);
	return r;
}

static void post_new(struct bench *b, uint64_t job)
{
	struct record *r = record_of(b, job);
	struct submission *s = r->submission = xcalloc(1, sizeof(*s));

	r->kind = RECORD_NEW_JOB;
	s->amount = (struct amount){ 1, 50 };
	s->duration_s = 60;
	s->owner = xstrdup("ada");
	fill(b->package, job);
	memcpy(s->package.bytes, b->package, sizeof(s->package.bytes));
	s->zip = xmemdup(b->package, PACKAGE);
	s->zip_len = PACKAGE;
	s->spec = xmemdup(b->package, 300);
	s->spec_len = 300;
	r->facts.state = JOB_SCHEDULING;
	r->facts.created_ns = (int64_t)job + 1;
	r->event = (struct job_state_event){ .sequence = 1, .state = JOB_SCHEDULING };
	store_post(b->store, r);
}

static void post_change(struct bench *b, uint64_t job, enum job_state from,
	enum job_state to, int64_t sequence)
{
	struct record *r = record_of(b, job);

	r->kind = RECORD_CHANGE;
	r->from = from;
	r->facts.state = to;
	r->facts.attempt = 1;
	r->facts.completed_ns = job_state_final(to) ? clock_wall_ns() : 0;
	r->facts.message = xstrdup("a line of what has happened");
	r->event = (struct job_state_event){ .sequence = sequence, .state = to };
	store_post(b->store, r);
}

static void submit(struct bench *b, uint64_t first, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++) {
		post_new(b, first + i);
		if ((i + 1) % GROUP == 0) {
			store_kick(b->store);
			if (b->number > AHEAD)
				wait_for(b, b->number - AHEAD);
		}
	}
	wait_for(b, b->number);
}

/* ---- the baseline */

static void raw_exec(sqlite3 *db, const char *sql)
{
	if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
		die(sql, sqlite3_errmsg(db));
}

static sqlite3 *raw_open(const char *path)
{
	CLEANUP(free_ptr) char *file = str_fmt("%s/raw.db", path);
	sqlite3 *db;

	if (sqlite3_open(file, &db) != SQLITE_OK)
		die(file, "cannot be opened");
	raw_exec(db, "PRAGMA journal_mode = WAL");
	raw_exec(db, "PRAGMA synchronous = FULL");
	raw_exec(db, "CREATE TABLE jobs (id INTEGER PRIMARY KEY, uid TEXT, state, prio, "
		     "created, spec BLOB)");
	return db;
}

static void raw_insert(sqlite3 *db, sqlite3_stmt *s, uint64_t n, uint8_t *package)
{
	char id[ID_SIZE];

	job_name(id, n);
	fill(package, n);
	sqlite3_bind_text(s, 1, id, -1, SQLITE_STATIC);
	sqlite3_bind_int64(s, 2, (int64_t)n);
	sqlite3_bind_blob(s, 3, package, PACKAGE, SQLITE_STATIC);
	if (sqlite3_step(s) != SQLITE_DONE)
		die("insert", sqlite3_errmsg(db));
	sqlite3_reset(s);
}

static double raw_rate(struct bench *b, const char *path, uint64_t count, uint64_t group)
{
	sqlite3 *db = raw_open(path);
	sqlite3_stmt *s = NULL;

	sqlite3_prepare_v2(db,
		"INSERT INTO jobs (uid, state, prio, created, spec) VALUES (?, 1, 0, ?, "
		"?)",
		-1, &s, NULL);
	int64_t began_ns = clock_boot_ns();
	for (uint64_t i = 0; i < count; i += group) {
		raw_exec(db, "BEGIN IMMEDIATE");
		for (uint64_t n = i; n < i + group; n++)
			raw_insert(db, s, n, b->package);
		raw_exec(db, "COMMIT");
	}
	double rate = (double)count / seconds_since(began_ns);
	sqlite3_finalize(s);
	sqlite3_close(db);
	return rate;
}

/* ---- rounds */

static char *fresh_folder(const char *parent)
{
	char *path = str_fmt("%s/store-XXXXXX", parent);

	if (!mkdtemp(path))
		die(path, "cannot be made");
	return path;
}

static void drop_folder(char *path)
{
	struct err e = { 0 };

	if (tree_remove(AT_FDCWD, path, &e) < 0)
		die(path, e.text);
	free(path);
}

static double submit_rate(struct bench *b, uint64_t count, bool grouped)
{
	bench_open(b);
	bench_start(b);
	int64_t began_ns = clock_boot_ns();
	if (grouped)
		submit(b, 0, count);
	for (uint64_t i = 0; !grouped && i < count; i++) {
		post_new(b, i);
		wait_for(b, b->number);
	}
	double rate = (double)count / seconds_since(began_ns);
	store_close(b->store);
	return rate;
}

static void measure_submissions(struct bench *b, const char *parent, int round)
{
	const struct {
		int row;
		uint64_t count, group;
	} kinds[] = { { SUBMIT, SUBMISSIONS / GROUP * GROUP, GROUP },
		{ SUBMIT_ONE, SINGLE, 1 } };

	for (size_t i = 0; i < 2; i++) {
		struct row *row = &rows[kinds[i].row];

		b->path = fresh_folder(parent);
		row->ours[round] = submit_rate(b, kinds[i].count, kinds[i].group > 1);
		drop_folder(b->path);
		b->path = fresh_folder(parent);
		row->beside[round] = raw_rate(b, b->path, kinds[i].count, kinds[i].group);
		drop_folder(b->path);
	}
}

static int count_restored(void *ctx, const char *id, struct job_facts *facts,
	struct submission *submission, struct err *e)
{
	(void)id;
	(void)e;
	++*(int *)ctx;
	job_facts_fini(facts);
	submission_free(submission);
	return 0;
}

/* A database of FINISHED and WAITING jobs; the last steps of the first give CHANGE. */
static void fill_history(struct bench *b)
{
	bench_open(b);
	bench_start(b);
	for (int part = 0; part < ROUNDS; part++) {
		uint64_t first = (uint64_t)part * FINISHED / ROUNDS,
			 n = FINISHED / ROUNDS;

		submit(b, first, n);
		int64_t began_ns = clock_boot_ns();
		for (uint64_t i = 0; i < n; i++) {
			post_change(
				b, first + i, JOB_SCHEDULING, JOB_CREATING_PARTITION, 2);
			post_change(b, first + i, JOB_CREATING_PARTITION, JOB_FAILED, 3);
			if (i % (GROUP / 2) == 0)
				wait_for(b, b->number > AHEAD ? b->number - AHEAD : 0);
		}
		wait_for(b, b->number);
		rows[CHANGE].ours[part] = 2 * (double)n / seconds_since(began_ns);
	}
	submit(b, FINISHED, WAITING);
	store_close(b->store);
}

static void measure_restart(struct bench *b, int row, int waiting, int round)
{
	struct err e = { 0 };
	int count = 0;
	int64_t began_ns = clock_boot_ns();

	bench_open(b);
	if (store_restore(b->store, count_restored, &count, &e) < 0)
		die("restore", e.text);
	rows[row].ours[round] = 1000 * seconds_since(began_ns);
	if (count != waiting)
		die("restore", "not the jobs that wait");
	store_close(b->store);
}

/* ---- the report */

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double values[ROUNDS])
{
	qsort(values, ROUNDS, sizeof(*values), by_value);
	return values[ROUNDS / 2];
}

static json_t *report_row(struct row *row)
{
	double ours = median(row->ours), beside = median(row->beside);
	bool met = row->less_is_better ? ours <= row->aim : ours >= row->aim;
	json_t *json = json_pack("{s:s, s:f, s:s, s:f, s:f, s:f, s:b}", "what", row->what,
		"value", ours, "unit", row->unit, "min", row->ours[0], "max",
		row->ours[ROUNDS - 1], "aim", row->aim, "met", met);

	printf("%-42s %9.0f %-4s %6.0f..%-6.0f aim %6.0f %s", row->what, ours, row->unit,
		row->ours[0], row->ours[ROUNDS - 1], row->aim, met ? "met" : "NOT MET");
	if (row->has_beside) {
		printf("; raw SQLite %.0f (%.2f)", beside, ours / beside);
		json_object_set_new(json, "beside", json_string("raw SQLite"));
		json_object_set_new(json, "beside_value", json_real(beside));
		json_object_set_new(json, "ratio", json_real(ours / beside));
	}
	putchar('\n');
	return json;
}

int main(int argc, char **argv)
{
	struct bench b = { .wake = eventfd(0, EFD_CLOEXEC) };
	json_t *list = json_array();

	if (argc != 3)
		die("usage", "bench_store <folder> <report.json>");
	for (int round = 0; round < ROUNDS; round++)
		measure_submissions(&b, argv[1], round);
	b.path = fresh_folder(argv[1]);
	fill_history(&b);
	for (int round = 0; round < ROUNDS; round++)
		measure_restart(&b, RESTART, WAITING, round);
	drop_folder(b.path);
	b.path = fresh_folder(argv[1]);
	bench_open(&b);
	bench_start(&b);
	submit(&b, 0, FINISHED);
	store_close(b.store);
	for (int round = 0; round < ROUNDS; round++)
		measure_restart(&b, RESTART_WAITING, FINISHED, round);
	drop_folder(b.path);
	for (int i = 0; i < ROWS; i++)
		json_array_append_new(list, report_row(&rows[i]));
	if (json_dump_file(list, argv[2], JSON_INDENT(1) | JSON_REAL_PRECISION(6)) < 0)
		die("write", argv[2]);
	json_decref(list);
	return 0;
}
