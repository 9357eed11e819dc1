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
#include "filler.h"

#include <jansson.h>
#include <sqlite3.h>

#include <fcntl.h>
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
	PACKAGE = FILLER_PACKAGE_MAX,
	GROUP = FILLER_GROUP,
	AHEAD = 4 * GROUP,
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

static double seconds_since(int64_t began_ns)
{
	return (double)(clock_boot_ns() - began_ns) / (double)NS_PER_S;
}

/* ---- the baseline */

static void raw_exec(sqlite3 *db, const char *sql)
{
	if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
		filler_die(sql, sqlite3_errmsg(db));
}

static sqlite3 *raw_open(const char *path)
{
	CLEANUP(free_ptr) char *file = str_fmt("%s/raw.db", path);
	sqlite3 *db;

	if (sqlite3_open(file, &db) != SQLITE_OK)
		filler_die(file, "cannot be opened");
	raw_exec(db, "PRAGMA journal_mode = WAL");
	raw_exec(db, "PRAGMA synchronous = FULL");
	raw_exec(db, "CREATE TABLE jobs (id INTEGER PRIMARY KEY, uid TEXT, state, prio, "
		     "created, spec BLOB)");
	return db;
}

static void raw_insert(sqlite3 *db, sqlite3_stmt *s, uint64_t n)
{
	uint8_t package[PACKAGE];
	char id[ID_SIZE];

	filler_job_name(id, n);
	filler_package(package, PACKAGE, n);
	sqlite3_bind_text(s, 1, id, -1, SQLITE_STATIC);
	sqlite3_bind_int64(s, 2, (int64_t)n);
	sqlite3_bind_blob(s, 3, package, PACKAGE, SQLITE_STATIC);
	if (sqlite3_step(s) != SQLITE_DONE)
		filler_die("insert", sqlite3_errmsg(db));
	sqlite3_reset(s);
}

static double raw_rate(const char *path, uint64_t count, uint64_t group)
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
			raw_insert(db, s, n);
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
		filler_die(path, "cannot be made");
	return path;
}

static void drop_folder(char *path)
{
	struct err e = { 0 };

	if (tree_remove(AT_FDCWD, path, &e) < 0)
		filler_die(path, e.text);
	free(path);
}

static double submit_rate(struct filler *f, uint64_t count, bool grouped)
{
	filler_open(f, 2 * FINISHED);
	filler_start(f);
	int64_t began_ns = clock_boot_ns();
	if (grouped)
		filler_submit(f, 0, count);
	for (uint64_t i = 0; !grouped && i < count; i++) {
		filler_post_new(f, i);
		filler_wait(f, f->number);
	}
	double rate = (double)count / seconds_since(began_ns);
	store_close(f->store);
	return rate;
}

static void measure_submissions(struct filler *f, const char *parent, int round)
{
	const struct {
		int row;
		uint64_t count, group;
	} kinds[] = { { SUBMIT, SUBMISSIONS / GROUP * GROUP, GROUP },
		{ SUBMIT_ONE, SINGLE, 1 } };

	for (size_t i = 0; i < 2; i++) {
		struct row *row = &rows[kinds[i].row];

		f->path = fresh_folder(parent);
		row->ours[round] = submit_rate(f, kinds[i].count, kinds[i].group > 1);
		drop_folder(f->path);
		f->path = fresh_folder(parent);
		row->beside[round] = raw_rate(f->path, kinds[i].count, kinds[i].group);
		drop_folder(f->path);
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
static void fill_history(struct filler *f)
{
	filler_open(f, 2 * FINISHED);
	filler_start(f);
	for (int part = 0; part < ROUNDS; part++) {
		uint64_t first = (uint64_t)part * FINISHED / ROUNDS,
			 n = FINISHED / ROUNDS;

		filler_submit(f, first, n);
		int64_t began_ns = clock_boot_ns();
		filler_finish(f, first, n);
		rows[CHANGE].ours[part] = 2 * (double)n / seconds_since(began_ns);
	}
	filler_submit(f, FINISHED, WAITING);
	store_close(f->store);
}

static void measure_restart(struct filler *f, int row, int waiting, int round)
{
	struct err e = { 0 };
	int count = 0;
	int64_t began_ns = clock_boot_ns();

	filler_open(f, 2 * FINISHED);
	if (store_restore(f->store, count_restored, &count, &e) < 0)
		filler_die("restore", e.text);
	rows[row].ours[round] = 1000 * seconds_since(began_ns);
	if (count != waiting)
		filler_die("restore", "not the jobs that wait");
	store_close(f->store);
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
	struct filler f = {
		.wake = eventfd(0, EFD_CLOEXEC),
		.package_bytes = PACKAGE,
		.ahead = AHEAD,
	};
	json_t *list = json_array();

	if (argc != 3)
		filler_die("usage", "bench_store <folder> <report.json>");
	for (int round = 0; round < ROUNDS; round++)
		measure_submissions(&f, argv[1], round);
	f.path = fresh_folder(argv[1]);
	fill_history(&f);
	for (int round = 0; round < ROUNDS; round++)
		measure_restart(&f, RESTART, WAITING, round);
	drop_folder(f.path);
	f.path = fresh_folder(argv[1]);
	filler_open(&f, 2 * FINISHED);
	filler_start(&f);
	filler_submit(&f, 0, FINISHED);
	store_close(f.store);
	for (int round = 0; round < ROUNDS; round++)
		measure_restart(&f, RESTART_WAITING, FINISHED, round);
	drop_folder(f.path);
	for (int i = 0; i < ROWS; i++)
		json_array_append_new(list, report_row(&rows[i]));
	if (json_dump_file(list, argv[2], JSON_INDENT(1) | JSON_REAL_PRECISION(6)) < 0)
		filler_die("write", argv[2]);
	json_decref(list);
	return 0;
}
