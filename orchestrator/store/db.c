/* db.c - the one SQLite connection: how it is opened, its kept statements, its errors. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "db.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "cleanup.h"
#include "xalloc.h"

/* Exclusive: a second connection is refused, which SQLite's WAL-reset bug (3.7.0 to
 * 3.51.2) makes necessary, and there is no -shm file whose mapping a full disk could
 * turn into a SIGBUS.  Checkpoints are ours, since the automatic one drops a failed
 * fsync silently, and the kernel reports it only once. */
static const char *const settings[] = {
	"PRAGMA locking_mode = EXCLUSIVE",
	"PRAGMA journal_mode = WAL",
	"PRAGMA synchronous = FULL",
	"PRAGMA wal_autocheckpoint = 0",
	"PRAGMA journal_size_limit = 67108864",
	"PRAGMA foreign_keys = ON",
	"PRAGMA trusted_schema = OFF",
	"PRAGMA cell_size_check = ON",
	"PRAGMA mmap_size = 0",
	"PRAGMA temp_store = MEMORY",
	DB_CACHE_WHOLE,
};

/* SQLite knows ENOSPC as a full disk, but not a quota or a limit on the file's size; and it
 * keeps errno with the file that it was writing, the log. */
static bool no_space(sqlite3 *handle)
{
	sqlite3_file *log = NULL;
	int sys = 0;

	if (sqlite3_file_control(handle, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log) !=
			SQLITE_OK ||
		!log || !log->pMethods ||
		log->pMethods->xFileControl(log, SQLITE_FCNTL_LAST_ERRNO, &sys) !=
			SQLITE_OK)
		return false;
	return sys == EDQUOT || sys == EFBIG;
}

/* SQLite's codes become ours here and nowhere else. */
static int db_error(const struct db *db, int rc, struct err *e)
{
	const char *text = db->handle ? sqlite3_errmsg(db->handle) : sqlite3_errstr(rc);

	switch (rc & 0xff) {
	case SQLITE_FULL:
		return err_set(e, ERR_EXHAUSTED, "the disk of the store is full");
	case SQLITE_CONSTRAINT:
		return err_set(e, ERR_CONFLICT, "%s", text);
	case SQLITE_BUSY:
		return err_set(e, ERR_CONFLICT, "another program has the store open");
	case SQLITE_NOTADB:
		return err_set(e, ERR_INVALID, "not a database");
	case SQLITE_NOMEM: /* what xmalloc would have done */
		abort();
	case SQLITE_IOERR:
		if (rc == SQLITE_IOERR_WRITE && no_space(db->handle))
			return err_set(e, ERR_EXHAUSTED, "the disk of the store is full");
		break;
	}
	err_set(e, ERR_SYSTEM, "%s (SQLite %d)", text, rc);
	if (e && db->handle)
		e->sys = sqlite3_system_errno(db->handle);
	return -1;
}

static int log_grew(void *ctx, sqlite3 *handle, const char *name, int pages)
{
	struct db *db = ctx;

	(void)handle;
	(void)name;
	db->wal_pages = pages;
	return SQLITE_OK;
}

/* The pragma that sets the mode does not fail where there can be no such log. */
static int check_log_mode(struct db *db, struct err *e)
{
	sqlite3_stmt *mode = NULL;
	bool wal = sqlite3_prepare_v2(db->handle, "PRAGMA journal_mode", -1, &mode,
			   NULL) == SQLITE_OK &&
		   sqlite3_step(mode) == SQLITE_ROW &&
		   strcmp((const char *)sqlite3_column_text(mode, 0), "wal") == 0;

	sqlite3_finalize(mode);
	return wal ? 0
		   : err_set(e, ERR_UNSUPPORTED, "no write-ahead log is possible here");
}

/* They cost a lock for each piece of memory, and nobody reads them.  Where SQLite is already
 * in use this is refused, and changes nothing. */
static void keep_no_memory_accounts(void)
{
	sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

int db_open(struct db *db, const char *path, struct err *e)
{
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX |
		    SQLITE_OPEN_EXRESCODE;

	keep_no_memory_accounts();
	int rc = sqlite3_open_v2(path, &db->handle, flags, NULL);

	if (rc != SQLITE_OK) {
		db_error(db, rc, e);
		goto failed;
	}
	for (size_t i = 0; i < sizeof(settings) / sizeof(*settings); i++)
		if (db_exec(db, settings[i], e) < 0)
			goto failed;

	if (check_log_mode(db, e) < 0)
		goto failed;
	sqlite3_wal_hook(db->handle, log_grew, db);
	return 0;
failed:
	db_close(db);
	return -1;
}

void db_close(struct db *db)
{
	for (size_t i = 0; i < SQL_COUNT; i++)
		sqlite3_finalize(take_ptr(&db->kept[i]));
	sqlite3_close(take_ptr(&db->handle));
}

int db_exec(struct db *db, const char *sql, struct err *e)
{
	int rc = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);

	return rc == SQLITE_OK ? 0 : db_error(db, rc, e);
}

int db_exec_number(struct db *db, const char *sql, int64_t *number, struct err *e)
{
	sqlite3_stmt *statement = NULL;
	int rc = sqlite3_prepare_v2(db->handle, sql, -1, &statement, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(statement);
	if (rc == SQLITE_ROW)
		*number = sqlite3_column_int64(statement, 0);
	sqlite3_finalize(statement);
	return rc == SQLITE_ROW ? 0 : db_error(db, rc, e);
}

int db_begin(struct db *db, struct err *e)
{
	STATEMENT s = db_statement(db, SQL_BEGIN, e);

	return s ? db_run(db, s, e) : -1;
}

int db_commit(struct db *db, struct err *e)
{
	STATEMENT s = db_statement(db, SQL_COMMIT, e);

	return s ? db_run(db, s, e) : -1;
}

void db_rollback(struct db *db)
{
	if (!sqlite3_get_autocommit(db->handle))
		(void)sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
}

int db_checkpoint(struct db *db, bool truncate, struct err *e)
{
	int mode = truncate ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_PASSIVE;
	int rc = sqlite3_wal_checkpoint_v2(db->handle, NULL, mode, NULL, NULL);
	struct err failed = { 0 };

	if (rc == SQLITE_OK) {
		db->wal_pages = 0;
		return 0;
	}
	if (db_error(db, rc, &failed) < 0 && failed.code == ERR_EXHAUSTED)
		return 0;
	if (e)
		*e = failed;
	return err_wrap(e, "checkpoint");
}

sqlite3_stmt *db_statement(struct db *db, enum sql which, struct err *e)
{
	sqlite3_stmt **kept = &db->kept[which];

	if (!*kept) {
		int rc = sqlite3_prepare_v3(db->handle, sql_text[which], -1,
			SQLITE_PREPARE_PERSISTENT, kept, NULL);
		if (rc != SQLITE_OK) {
			db_error(db, rc, e);
			return NULL;
		}
	}
	return *kept;
}

void db_statement_done(sqlite3_stmt **statement)
{
	if (!*statement)
		return;
	sqlite3_reset(*statement);
	sqlite3_clear_bindings(*statement);
}

int db_step(struct db *db, sqlite3_stmt *statement, struct err *e)
{
	int rc = sqlite3_step(statement);

	if (rc == SQLITE_ROW)
		return 1;
	return rc == SQLITE_DONE ? 0 : db_error(db, rc, e);
}

int db_run(struct db *db, sqlite3_stmt *statement, struct err *e)
{
	int rows;

	do
		rows = db_step(db, statement, e);
	while (rows > 0);
	return rows;
}

/* Binding fails for want of memory, for a size over SQLite's 1 GB, and for our mistakes. */
static void bound(int rc)
{
	if (rc == SQLITE_NOMEM)
		abort();
	assert(rc == SQLITE_OK);
}

void bind_number(sqlite3_stmt *statement, int at, int64_t number)
{
	bound(sqlite3_bind_int64(statement, at, number));
}

void bind_text(sqlite3_stmt *statement, int at, const char *text)
{
	bound(sqlite3_bind_text(statement, at, text, -1, SQLITE_STATIC));
}

void bind_bytes(sqlite3_stmt *statement, int at, const void *bytes, size_t len)
{
	bound(sqlite3_bind_blob64(statement, at, bytes, len, SQLITE_STATIC));
}

void bind_digest(sqlite3_stmt *statement, int at, const struct digest *digest)
{
	bind_bytes(statement, at, digest->bytes, sizeof(digest->bytes));
}

char *column_text_dup(sqlite3_stmt *statement, int at)
{
	const unsigned char *text = sqlite3_column_text(statement, at);

	return text ? xstrdup((const char *)text) : NULL;
}

uint8_t *column_bytes_dup(sqlite3_stmt *statement, int at, size_t *len)
{
	const void *bytes = sqlite3_column_blob(statement, at);

	*len = bytes ? (size_t)sqlite3_column_bytes(statement, at) : 0;
	return bytes ? xmemdup(bytes, *len) : NULL;
}

int column_digest(sqlite3_stmt *statement, int at, struct digest *out, struct err *e)
{
	const void *bytes = sqlite3_column_blob(statement, at);

	if (!bytes || sqlite3_column_bytes(statement, at) != sizeof(out->bytes))
		return err_set(e, ERR_SYSTEM, "a stored digest is not 32 bytes long");
	memcpy(out->bytes, bytes, sizeof(out->bytes));
	return 0;
}
