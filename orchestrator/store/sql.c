/* sql.c - every statement that the store keeps prepared. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "sql.h"

#define NAMED(name)    #name ", "
#define PLACED(name)   ":" #name ", "
#define ASSIGNED(name) #name " = :" #name ", "
#define OF_JOB(name)   "j." #name ", "

#define JOB_ROW                                                                          \
	FACT_COLUMNS(OF_JOB)                                                             \
	ASKED_COLUMNS(OF_JOB) "j.seq, j.result_bytes, p.digest, p.size"
#define JOBS_AND_PACKAGES " CROSS JOIN packages p ON p.id = j.package "

const char *const sql_text[SQL_COUNT] = {
	[SQL_BEGIN] = "BEGIN IMMEDIATE",
	[SQL_COMMIT] = "COMMIT",
	[SQL_META_GET] = "SELECT value FROM meta WHERE key = ?",
	[SQL_META_SET] = "INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)",
	[SQL_WORKERS] = "SELECT id, draining FROM workers ORDER BY id",
	[SQL_WORKER_SET] = "INSERT OR REPLACE INTO workers (id, draining) VALUES (?, 1)",
	[SQL_WORKER_DROP] = "DELETE FROM workers WHERE id = ?",

	[SQL_JOB_ADD] = "INSERT INTO jobs (" FACT_COLUMNS(NAMED)
		ASKED_COLUMNS(NAMED) "package, bytes) VALUES (" FACT_COLUMNS(PLACED)
			ASKED_COLUMNS(PLACED) ":package, :bytes)",
	[SQL_JOB_CHANGE] = "UPDATE jobs SET " FACT_COLUMNS(
		ASSIGNED) "result_bytes = coalesce(:result_bytes, result_bytes), "
			  "bytes = bytes + :more_bytes "
			  "WHERE id = :id AND state = :from RETURNING seq",
	[SQL_SPEC_ADD] = "INSERT INTO specs (job, spec) VALUES (?, ?)",
	[SQL_RESULT_ADD] = "INSERT INTO results (job, digest, error, result) "
			   "VALUES (?, ?, ?, ?)",
	[SQL_EVENT_ADD] = "INSERT INTO events (job, sequence, state, reason, attempt, "
			  "wall_ns, output_at, message) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
	[SQL_LABEL_ADD] = "INSERT INTO labels (key, value, job) VALUES (?, ?, ?)",

	[SQL_JOBS_LIVE] =
		"SELECT " JOB_ROW " FROM jobs j INDEXED BY jobs_live" JOBS_AND_PACKAGES
		"WHERE j.live = 1 ORDER BY j.seq",
	[SQL_JOB_BY_ID] =
		"SELECT " JOB_ROW " FROM jobs j" JOBS_AND_PACKAGES "WHERE j.id = ?",
	[SQL_JOB_SEQ] = "SELECT seq FROM jobs WHERE id = ?",
	[SQL_KEY_FIND] = "SELECT id, identity FROM jobs WHERE owner = ? AND key = ?",
	[SQL_EVENTS_AFTER] =
		"SELECT sequence, state, reason, attempt, wall_ns, output_at, "
		"message FROM events WHERE job = ? AND sequence > ? "
		"ORDER BY sequence LIMIT ?",
	[SQL_SPEC_GET] = "SELECT s.spec, p.digest, p.size FROM jobs j" JOBS_AND_PACKAGES
			 "CROSS JOIN specs s ON s.job = j.seq WHERE j.id = ?",
	[SQL_RESULT_GET] = "SELECT r.result, r.digest FROM jobs j "
			   "CROSS JOIN results r ON r.job = j.seq "
			   "WHERE j.id = ? AND j.result_bytes IS NOT NULL",
	[SQL_ERROR_GET] = "SELECT error FROM results WHERE job = ?",

	/* All lists: what comes before a seq, newest first, so many rows. */
	[SQL_LIST_ALL] = "SELECT " JOB_ROW " FROM jobs j" JOBS_AND_PACKAGES
			 "WHERE j.seq < ?1 ORDER BY j.seq DESC LIMIT ?2",
	[SQL_LIST_LIVE] =
		"SELECT " JOB_ROW " FROM jobs j INDEXED BY jobs_live" JOBS_AND_PACKAGES
		"WHERE j.live = 1 AND j.seq < ?1 ORDER BY j.seq DESC LIMIT ?2",
	[SQL_LIST_OWNER] =
		"SELECT " JOB_ROW
		" FROM jobs j INDEXED BY jobs_by_owner" JOBS_AND_PACKAGES
		"WHERE j.owner = ?3 AND j.seq < ?1 ORDER BY j.seq DESC LIMIT ?2",
	[SQL_LIST_OWNER_LIVE] =
		"SELECT " JOB_ROW
		" FROM jobs j INDEXED BY jobs_live_by_owner" JOBS_AND_PACKAGES
		"WHERE j.live = 1 AND j.owner = ?3 AND j.seq < ?1 "
		"ORDER BY j.seq DESC LIMIT ?2",
	[SQL_LIST_LABEL] =
		"SELECT " JOB_ROW
		" FROM labels l CROSS JOIN jobs j ON j.seq = l.job" JOBS_AND_PACKAGES
		"WHERE l.key = ?3 AND l.value = ?4 AND l.job < ?1 "
		"ORDER BY l.job DESC LIMIT ?2",

	[SQL_PACKAGE_FIND] = "SELECT id, size, bytes FROM packages WHERE digest = ?",
	[SQL_PACKAGE_ADD] = "INSERT INTO packages (digest, size, added_ns, bytes) "
			    "VALUES (?, ?, ?, ?)",
	[SQL_PACKAGE_REMOVE] = "DELETE FROM packages WHERE id = ?1 AND NOT EXISTS "
			       "(SELECT 1 FROM jobs WHERE package = ?1)",
	[SQL_PACKAGES_AFTER] = "SELECT id, digest, added_ns, bytes IS NULL FROM packages "
			       "WHERE id > ? ORDER BY id LIMIT ?",

	[SQL_HISTORY_COUNT] = "SELECT jobs, bytes FROM history",
	[SQL_HISTORY_OLDEST] =
		"SELECT seq, id, attempt, labels, bytes FROM jobs "
		"INDEXED BY jobs_finished WHERE live = 0 AND completed_ns < ? "
		"ORDER BY completed_ns LIMIT ?",
	[SQL_JOB_REMOVE] = "DELETE FROM jobs WHERE seq = ?",
	[SQL_SPEC_REMOVE] = "DELETE FROM specs WHERE job = ?",
	[SQL_RESULT_REMOVE] = "DELETE FROM results WHERE job = ?",
	[SQL_EVENTS_REMOVE] = "DELETE FROM events WHERE job = ?",
	[SQL_LABEL_REMOVE] = "DELETE FROM labels WHERE key = ? AND value = ? AND job = ?",
	[SQL_REMOVED_ADD] = "INSERT INTO removed (id, attempts) VALUES (?, ?)",
	[SQL_REMOVED_ALL] = "SELECT id, attempts FROM removed",
	[SQL_REMOVED_DROP] = "DELETE FROM removed WHERE id = ?",
};
