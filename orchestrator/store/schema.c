/* schema.c - the tables, and how an older file becomes one of today. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "schema.h"

#include <stdio.h>

#include "str.h"

#define APPLICATION_ID 0x436d6c73 /* "Cmls" */

/* seq is the order of submission: it is what pages and watches go by, and costs no index.
 *
 * live is 1 while a job is not finished or still holds a lease.  The partial indexes on it
 * let a start read only those jobs, and the clean-up only the others.
 *
 * What never changes and may be long (the spec) lies apart, so that a change of state
 * rewrites a few hundred bytes. */
static const char version_1[] =
	"CREATE TABLE meta ("
	"  key   TEXT PRIMARY KEY,"
	"  value NOT NULL"
	") WITHOUT ROWID;"

	"CREATE TABLE packages ("
	"  id       INTEGER PRIMARY KEY,"
	"  digest   BLOB    NOT NULL UNIQUE,"
	"  size     INTEGER NOT NULL,"
	"  added_ns INTEGER NOT NULL,"
	"  bytes    BLOB" /* NULL: a file in packages/ */
	");"

	"CREATE TABLE jobs ("
	"  seq              INTEGER PRIMARY KEY,"
	"  id               TEXT    NOT NULL UNIQUE,"
	"  live             INTEGER NOT NULL,"
	"  state            INTEGER NOT NULL,"
	"  reason           INTEGER NOT NULL,"
	"  attempt          INTEGER NOT NULL,"
	"  retries          INTEGER NOT NULL,"
	"  last_sequence    INTEGER NOT NULL,"
	"  created_ns       INTEGER NOT NULL,"
	"  started_ns       INTEGER NOT NULL,"
	"  completed_ns     INTEGER NOT NULL,"
	"  report           INTEGER NOT NULL,"
	"  output_end       INTEGER NOT NULL,"
	"  output_dropped   INTEGER NOT NULL,"
	"  exit_code        INTEGER," /* NULL: not known */
	"  cancel_requested INTEGER NOT NULL,"
	"  held             INTEGER NOT NULL,"
	"  leased           INTEGER NOT NULL,"
	"  worker           TEXT    NOT NULL,"
	"  devices          TEXT," /* a line each: index, space, uuid */
	"  message          TEXT,"
	"  partition        TEXT,"
	"  container        TEXT,"
	"  queued_ns        INTEGER NOT NULL,"
	"  environment_ns   INTEGER NOT NULL,"
	"  partition_ns     INTEGER NOT NULL,"
	"  container_ns     INTEGER NOT NULL,"
	"  python_ns        INTEGER NOT NULL,"
	"  run_ns           INTEGER NOT NULL,"
	"  wanted_devices   INTEGER NOT NULL,"
	"  hundredths       INTEGER NOT NULL,"
	"  duration_s       INTEGER NOT NULL,"
	"  priority         INTEGER NOT NULL,"
	"  max_retries      INTEGER NOT NULL,"
	"  no_wait          INTEGER NOT NULL,"
	"  owner            TEXT    NOT NULL,"
	"  name             TEXT,"
	"  key              TEXT,"
	"  identity         BLOB    NOT NULL,"
	"  package          INTEGER NOT NULL REFERENCES packages (id),"
	"  labels           BLOB,"
	"  result_bytes     INTEGER,"         /* NULL: no result */
	"  bytes            INTEGER NOT NULL" /* what the job counts in the history */
	");"
	"CREATE UNIQUE INDEX jobs_by_key ON jobs (owner, key) WHERE key IS NOT NULL;"
	"CREATE INDEX jobs_by_owner ON jobs (owner);"
	"CREATE INDEX jobs_by_package ON jobs (package);"
	"CREATE INDEX jobs_live ON jobs (live) WHERE live = 1;"
	"CREATE INDEX jobs_live_by_owner ON jobs (owner) WHERE live = 1;"
	"CREATE INDEX jobs_finished ON jobs (live, completed_ns, bytes) WHERE live = 0;"

	"CREATE TABLE specs ("
	"  job  INTEGER PRIMARY KEY REFERENCES jobs (seq),"
	"  spec BLOB"
	");"

	"CREATE TABLE results ("
	"  job    INTEGER PRIMARY KEY REFERENCES jobs (seq),"
	"  digest BLOB,"
	"  error  TEXT,"
	"  result BLOB"
	");"

	"CREATE TABLE events ("
	"  job       INTEGER NOT NULL REFERENCES jobs (seq),"
	"  sequence  INTEGER NOT NULL,"
	"  state     INTEGER NOT NULL,"
	"  reason    INTEGER NOT NULL,"
	"  attempt   INTEGER NOT NULL,"
	"  wall_ns   INTEGER NOT NULL,"
	"  output_at INTEGER NOT NULL,"
	"  message   TEXT,"
	"  PRIMARY KEY (job, sequence)"
	") WITHOUT ROWID;"

	"CREATE TABLE labels ("
	"  key   TEXT    NOT NULL,"
	"  value TEXT    NOT NULL,"
	"  job   INTEGER NOT NULL," /* removed with its job, by its pairs */
	"  PRIMARY KEY (key, value, job)"
	") WITHOUT ROWID;"

	/* Removed jobs whose output files may still be there. */
	"CREATE TABLE removed ("
	"  id       TEXT    PRIMARY KEY,"
	"  attempts INTEGER NOT NULL"
	") WITHOUT ROWID;";

static const char version_2[] =
	"ALTER TABLE jobs ADD COLUMN environment TEXT;"; /* its lock's digest */

/* What a finished job had of its share; 0: not measured. */
static const char version_3[] =
	"ALTER TABLE jobs ADD COLUMN gpu_quota_bytes INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE jobs ADD COLUMN gpu_peak_bytes INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE jobs ADD COLUMN gpu_time_ns INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE jobs ADD COLUMN gpu_refusals INTEGER NOT NULL DEFAULT 0;";

/* What operators decided of workers; one that is not here is as it comes. */
static const char version_4[] = "CREATE TABLE workers ("
				"  id       TEXT    PRIMARY KEY,"
				"  draining INTEGER NOT NULL"
				") WITHOUT ROWID;";

static const char version_5[] =
	"ALTER TABLE jobs ADD COLUMN output_bytes INTEGER NOT NULL DEFAULT 0;";

/* What the finished jobs are and count together, in one row that triggers keep: to count
 * them anew would cost more with every job there is. */
static const char version_6[] =
	"CREATE TABLE history (jobs INTEGER NOT NULL, bytes INTEGER NOT NULL);"
	"INSERT INTO history SELECT count(*), coalesce(sum(bytes), 0) FROM jobs "
	"WHERE live = 0;"
	"CREATE TRIGGER history_add AFTER INSERT ON jobs WHEN NEW.live = 0 BEGIN "
	"  UPDATE history SET jobs = jobs + 1, bytes = bytes + NEW.bytes;"
	"END;"
	"CREATE TRIGGER history_change AFTER UPDATE OF live, bytes ON jobs "
	"WHEN OLD.live = 0 OR NEW.live = 0 BEGIN "
	"  UPDATE history SET jobs = jobs + (NEW.live = 0) - (OLD.live = 0),"
	"    bytes = bytes + NEW.bytes * (NEW.live = 0) - OLD.bytes * (OLD.live = 0);"
	"END;"
	"CREATE TRIGGER history_remove AFTER DELETE ON jobs WHEN OLD.live = 0 BEGIN "
	"  UPDATE history SET jobs = jobs - 1, bytes = bytes - OLD.bytes;"
	"END;"
	"DROP INDEX jobs_finished;"
	"CREATE INDEX jobs_finished ON jobs (completed_ns) WHERE live = 0;";

/* Jobs that had finished before version 5 show what versions of then told: the size of the
 * last attempt's file. */
static const char version_7[] =
	"UPDATE jobs SET output_bytes = output_end & 0xffffffffff "
	"WHERE live = 0 AND output_bytes = 0;";

static const char version_8[] =
	"ALTER TABLE jobs ADD COLUMN gpu_overruns INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE jobs ADD COLUMN gpu_overrun_ns INTEGER NOT NULL DEFAULT 0;";

const char *const schema_steps[] = {
	version_1,
	version_2,
	version_3,
	version_4,
	version_5,
	version_6,
	version_7,
	version_8,
};
const size_t schema_step_count = sizeof(schema_steps) / sizeof(*schema_steps);

/* A pragma takes no bound value; what goes in is a count of ours. */
static int set_version(struct db *db, size_t version, struct err *e)
{
	char sql[64];

	if (!str_put(sql, sizeof(sql), "PRAGMA user_version = %zu", version))
		return err_set(e, ERR_INTERNAL, "schema version %zu", version);
	return db_exec(db, sql, e);
}

static int mark_as_ours(struct db *db, struct err *e)
{
	char sql[64];

	if (!str_put(sql, sizeof(sql), "PRAGMA application_id = %d", APPLICATION_ID))
		return err_set(e, ERR_INTERNAL, "application id");
	return db_exec(db, sql, e);
}

static int check_ours(struct db *db, int64_t version, size_t newest, struct err *e)
{
	int64_t application, tables;

	if (db_exec_number(db, "PRAGMA application_id", &application, e) < 0 ||
		db_exec_number(db, "SELECT count(*) FROM sqlite_schema", &tables, e) < 0)
		return -1;
	bool fresh = application == 0 && version == 0 && tables == 0;
	if (!fresh && application != APPLICATION_ID)
		return err_set(e, ERR_INVALID, "not a store of Cumulus");
	if (version < 0 || (uint64_t)version > newest)
		return err_set(e, ERR_UNSUPPORTED,
			"made by a newer Cumulus: its schema is version %lld, "
			"this program knows up to %zu",
			(long long)version, newest);
	return 0;
}

static int upgrade_in_transaction(
	struct db *db, const char *const *steps, size_t count, struct err *e)
{
	int64_t version;

	if (db_exec_number(db, "PRAGMA user_version", &version, e) < 0 ||
		check_ours(db, version, count, e) < 0)
		return -1;
	if ((size_t)version == count)
		return 0;
	for (size_t i = (size_t)version; i < count; i++)
		if (db_exec(db, steps[i], e) < 0)
			return err_wrap(e, "schema version %zu", i + 1);
	if (mark_as_ours(db, e) < 0)
		return -1;
	return set_version(db, count, e);
}

int schema_upgrade(struct db *db, const char *const *steps, size_t count, struct err *e)
{
	if (db_exec(db, "BEGIN IMMEDIATE", e) < 0)
		return -1;
	if (upgrade_in_transaction(db, steps, count, e) < 0) {
		db_rollback(db);
		return -1;
	}
	return db_exec(db, "COMMIT", e);
}
