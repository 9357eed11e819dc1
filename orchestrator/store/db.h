/* db.h - the one SQLite connection: how it is opened, its kept statements, its errors.
 *
 * Thread: the store's (the loop's before it starts and after it has ended).
 *
 * An error's code says what to do: ERR_EXHAUSTED, the disk is full and rolling back helps;
 * ERR_CONFLICT, a constraint refused the row; anything else, the file cannot be trusted.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "digest.h"
#include "err.h"
#include "sql.h"

struct db {
	sqlite3 *handle;
	sqlite3_stmt *kept[SQL_COUNT]; /* prepared at first use */
	int wal_pages; /* in the write-ahead log since its last checkpoint */
};

/* db is zeroed.  Opens or makes the file, with every setting that durability rests on. */
int db_open(struct db *db, const char *path, struct err *e) MUST_CHECK;
void db_close(struct db *db);

/* Constant SQL without values: pragmas, schema, BEGIN. */
int db_exec(struct db *db, const char *sql, struct err *e) MUST_CHECK;
/* The first column of the first row of such SQL. */
int db_exec_number(
	struct db *db, const char *sql, int64_t *number, struct err *e) MUST_CHECK;

/* How much of the file is kept in memory, for db_exec(): 64 MiB, and 1 MiB. */
#define DB_CACHE_WHOLE "PRAGMA cache_size = -65536"
#define DB_CACHE_SMALL "PRAGMA cache_size = -1024"

int db_begin(struct db *db, struct err *e) MUST_CHECK;
int db_commit(struct db *db, struct err *e) MUST_CHECK;
void db_rollback(struct db *db); /* fine when SQLite has done so itself */

/* Move the write-ahead log into the file.  A full disk is no failure: the log stays. */
int db_checkpoint(struct db *db, bool truncate, struct err *e) MUST_CHECK;

/* A statement ready to be bound; STATEMENT releases what it holds when its scope ends. */
sqlite3_stmt *db_statement(struct db *db, enum sql which, struct err *e) MUST_CHECK;
void db_statement_done(sqlite3_stmt **statement);
#define STATEMENT CLEANUP(db_statement_done) sqlite3_stmt *

/* 1 = a row, 0 = no more, -1 = failed. */
int db_step(struct db *db, sqlite3_stmt *statement, struct err *e) MUST_CHECK;
/* For a statement without rows. */
int db_run(struct db *db, sqlite3_stmt *statement, struct err *e) MUST_CHECK;

/* Parameters count from 1.  What is bound must live until the statement is done; a NULL
 * text or NULL bytes are SQL's NULL. */
void bind_number(sqlite3_stmt *statement, int at, int64_t number);
void bind_text(sqlite3_stmt *statement, int at, const char *text);
void bind_bytes(sqlite3_stmt *statement, int at, const void *bytes, size_t len);
void bind_digest(sqlite3_stmt *statement, int at, const struct digest *digest);

/* Columns count from 0.  Copies that the caller frees; NULL for SQL's NULL. */
char *column_text_dup(sqlite3_stmt *statement, int at);
uint8_t *column_bytes_dup(sqlite3_stmt *statement, int at, size_t *len);
/* ERR_SYSTEM when the column is no digest. */
int column_digest(
	sqlite3_stmt *statement, int at, struct digest *out, struct err *e) MUST_CHECK;
