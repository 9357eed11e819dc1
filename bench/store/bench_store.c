/* bench_store.c - durable submissions, changes and restarts, beside raw SQLite on the same disk. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Usage: bench_store <folder on the disk to measure> <report.json>
 *
 * Ours and the baseline take turns, ROUNDS times.  The baseline is one table with a random package a row, one
 * prepared INSERT, WAL, synchronous=FULL and the same rows in a commit: no indexes, no
 * events, nobody who waits for an answer.
 */
#include "filler.h"

#include <sqlite3.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "figures.h"
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

static const char *const columns[] = { "beside", "ours" };
enum { BESIDE, OURS, COLUMNS };

static const struct figure submit = { .what = "submissions, 64 in a group, 4 KiB",
	.unit = "1/s",
	.kind = AT_LEAST,
	.aim = 10000,
	.beside = "raw SQLite" };
static const struct figure submit_one = { .what = "submissions, one at a time, 4 KiB",
	.unit = "1/s",
	.kind = AT_LEAST,
	.aim = 1000,
	.beside = "raw SQLite" };
static const struct figure change = { .what = "changes of state with an event",
	.unit = "1/s",
	.kind = AT_LEAST,
	.aim = 10000 };
static const struct figure restart = {
	.what = "open with 100,000 finished, 1,000 waiting",
	.unit = "ms",
	.kind = AT_MOST,
	.aim = 1000
};
static const struct figure restart_waiting = {
	.what = "open with 100,000 waiting", .unit = "ms", .kind = AT_MOST, .aim = 1000
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

static void measure_submissions(
	struct filler *f, const char *parent, struct figures *figures)
{
	const struct {
		const struct figure *figure;
		uint64_t count, group;
	} kinds[] = { { &submit, SUBMISSIONS / GROUP * GROUP, GROUP },
		{ &submit_one, SINGLE, 1 } };

	for (size_t i = 0; i < 2; i++) {
		f->path = fresh_folder(parent);
		figures_add(figures, kinds[i].figure, OURS,
			submit_rate(f, kinds[i].count, kinds[i].group > 1));
		drop_folder(f->path);
		f->path = fresh_folder(parent);
		figures_add(figures, kinds[i].figure, BESIDE,
			raw_rate(f->path, kinds[i].count, kinds[i].group));
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

/* A database of FINISHED and WAITING jobs; the last steps of the first give the changes. */
static void fill_history(struct filler *f, struct figures *figures)
{
	filler_open(f, 2 * FINISHED);
	filler_start(f);
	for (int part = 0; part < ROUNDS; part++) {
		uint64_t first = (uint64_t)part * FINISHED / ROUNDS,
			 n = FINISHED / ROUNDS;

		filler_submit(f, first, n);
		int64_t began_ns = clock_boot_ns();
		filler_finish(f, first, n);
		figures_add(
			figures, &change, OURS, 2 * (double)n / seconds_since(began_ns));
	}
	filler_submit(f, FINISHED, WAITING);
	store_close(f->store);
}

static void measure_restart(struct filler *f, const struct figure *figure, int waiting,
	struct figures *figures)
{
	struct err e = { 0 };
	int count = 0;
	int64_t began_ns = clock_boot_ns();

	filler_open(f, 2 * FINISHED);
	if (store_restore(f->store, count_restored, &count, &e) < 0)
		filler_die("restore", e.text);
	figures_add(figures, figure, OURS, 1000 * seconds_since(began_ns));
	if (count != waiting)
		filler_die("restore", "not the jobs that wait");
	store_close(f->store);
}

static void measure_all(struct filler *f, const char *parent, struct figures *figures)
{
	for (int round = 0; round < ROUNDS; round++)
		measure_submissions(f, parent, figures);
	f->path = fresh_folder(parent);
	fill_history(f, figures);
	for (int round = 0; round < ROUNDS; round++)
		measure_restart(f, &restart, WAITING, figures);
	drop_folder(f->path);
	f->path = fresh_folder(parent);
	filler_open(f, 2 * FINISHED);
	filler_start(f);
	filler_submit(f, 0, FINISHED);
	store_close(f->store);
	for (int round = 0; round < ROUNDS; round++)
		measure_restart(f, &restart_waiting, FINISHED, figures);
	drop_folder(f->path);
}

int main(int argc, char **argv)
{
	struct filler f = {
		.wake = eventfd(0, EFD_CLOEXEC),
		.package_bytes = PACKAGE,
		.ahead = AHEAD,
	};
	struct figures *figures = figures_new(columns, COLUMNS);
	struct err e = { 0 };

	if (argc != 3)
		filler_die("usage", "bench_store <folder> <report.json>");
	measure_all(&f, argv[1], figures);
	figures_print(figures, stdout);
	if (figures_write_json(figures, argv[2], &e) < 0)
		filler_die("report", e.text);
	figures_free(figures);
	return 0;
}
