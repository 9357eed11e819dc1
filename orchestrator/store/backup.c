/* backup.c - copies the database beside the work. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "backup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "file.h"
#include "log.h"
#include "str.h"
#include "xalloc.h"

#define PART        "cumulus.part"
#define STEP_PAGES  64
#define RETRY_S     300
#define NAMES_MAX   4096      /* copies that are looked at; more is somebody's mistake */
#define EPOCHS_LEFT "1000000" /* starts between a copy and its restoring, at most */

/* What makes a copy fit to be put in the database's place. */
static const char raise_epoch[] =
	"UPDATE meta SET value = CAST(value AS INTEGER) + " EPOCHS_LEFT
	" WHERE key = 'epoch'";

/* ---- which copies there are */

static bool is_copy(const char *name)
{
	return str_starts(name, "cumulus-") && str_ends(name, ".db") &&
	       strlen(name) == strlen("cumulus-20260102T030405Z.db");
}

static void close_folder(DIR **d)
{
	if (*d)
		closedir(*d);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* Their names, which sort by time; the caller frees. */
static int list_copies(const struct backup *b, char (**names)[BACKUP_NAME_SIZE],
	size_t *count, struct err *e)
{
	CLEANUP(close_fd)
	int fd = openat(b->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEANUP(close_folder) DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *it;

	if (!d)
		return err_sys(e, "read %s", b->path);
	take_fd(&fd);
	*names = xcalloc(NAMES_MAX, sizeof(**names));
	*count = 0;
	while (*count < NAMES_MAX && (it = readdir(d)))
		if (is_copy(it->d_name))
			str_put((*names)[(*count)++], BACKUP_NAME_SIZE, "%s", it->d_name);
	qsort(*names, *count, sizeof(**names), by_name);
	return 0;
}

static void remove_old(const struct backup *b)
{
	CLEANUP(free_ptr) char(*names)[BACKUP_NAME_SIZE] = NULL;
	size_t count = 0;
	struct err e;

	if (list_copies(b, &names, &count, &e) < 0)
		return; /* the next copy removes more */
	for (size_t i = 0; i < count && (int64_t)(count - i) > b->keep; i++)
		if (unlinkat(b->folder, names[i], 0) < 0)
			log_warn("cannot remove an old backup", "name", names[i], "why",
				strerror(errno), NULL);
}

static void drop(struct backup *b)
{
	if (b->copy)
		sqlite3_backup_finish(take_ptr(&b->copy));
	sqlite3_close(take_ptr(&b->to));
	if (b->path)
		unlinkat(b->folder, PART, 0);
}

int backup_open(
	struct backup *b, const char *path, int64_t every_s, int64_t keep, struct err *e)
{
	CLEANUP(free_ptr) char(*names)[BACKUP_NAME_SIZE] = NULL;
	size_t count = 0;
	struct stat st;

	*b = (struct backup){ .folder = -1 };
	if (!path)
		return 0;
	if (dir_make_path(path, 0700, e) < 0)
		return err_wrap(e, "backup folder");
	b->folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (b->folder < 0)
		return err_sys(e, "backup folder %s", path);
	b->path = xstrdup(path);
	b->keep = keep;
	drop(b); /* what a crash left */
	if (list_copies(b, &names, &count, e) < 0)
		return -1;
	if (count && fstatat(b->folder, names[count - 1], &st, 0) == 0)
		b->last_wall_ns = st.st_mtim.tv_sec * NS_PER_S;
	backup_set_every(b, every_s);
	return 0;
}

void backup_set_every(struct backup *b, int64_t every_s)
{
	b->every_ns = every_s * NS_PER_S;
	b->due_ns = clock_boot_ns();
	if (b->last_wall_ns)
		b->due_ns += b->last_wall_ns + b->every_ns - clock_wall_ns();
}

void backup_close(struct backup *b)
{
	drop(b);
	free(b->path);
	if (b->path)
		close_fd(&b->folder);
	b->path = NULL;
}

bool backup_is_due(const struct backup *b, int64_t boot_ns)
{
	return b->path && (b->copy || boot_ns >= b->due_ns);
}

/* ---- one copy */

static int failed_to(const struct backup *b, struct err *e)
{
	return err_set(e, ERR_SYSTEM, "backup to %s: %s", b->path,
		b->to ? sqlite3_errmsg(b->to) : "out of memory");
}

static int begin(struct backup *b, struct db *db, int64_t wall_ns, struct err *e)
{
	CLEANUP(free_ptr) char *file = str_fmt("%s/%s", b->path, PART);
	time_t seconds = (time_t)(wall_ns / NS_PER_S);
	struct tm tm;

	gmtime_r(&seconds, &tm);
	strftime(b->name, sizeof(b->name), "cumulus-%Y%m%dT%H%M%SZ.db", &tm);
	/* It is synced once, as a whole, before it gets its name. */
	if (sqlite3_open_v2(file, &b->to,
		    SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
		    NULL) != SQLITE_OK ||
		sqlite3_exec(b->to, "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF",
			NULL, NULL, NULL) != SQLITE_OK)
		return failed_to(b, e);
	b->copy = sqlite3_backup_init(b->to, "main", db->handle, "main");
	return b->copy ? 0 : failed_to(b, e);
}

/* Let the disk begin with what is written, so that the sync at the end is short. */
static void write_out(const struct backup *b)
{
	CLEANUP(close_fd)
	int fd = openat(b->folder, PART, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd >= 0)
		sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
}

static int give_name(struct backup *b, struct err *e)
{
	CLEANUP(close_fd)
	int fd = openat(b->folder, PART, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0 || fsync(fd) < 0)
		return err_sys(e, "backup to %s", b->path);
	if (renameat(b->folder, PART, b->folder, b->name) < 0 || fsync(b->folder) < 0)
		return err_sys(e, "backup %s/%s", b->path, b->name);
	return 0;
}

static int end(struct backup *b, struct err *e)
{
	if (sqlite3_backup_finish(take_ptr(&b->copy)) != SQLITE_OK ||
		sqlite3_exec(b->to, raise_epoch, NULL, NULL, NULL) != SQLITE_OK)
		return failed_to(b, e);
	sqlite3_close(take_ptr(&b->to));
	return give_name(b, e);
}

static int step(
	struct backup *b, struct db *db, int64_t boot_ns, int64_t wall_ns, struct err *e)
{
	if (!b->copy)
		return begin(b, db, wall_ns, e);

	int rc = sqlite3_backup_step(b->copy, STEP_PAGES);
	write_out(b);
	if (rc == SQLITE_OK)
		return 0;
	if (rc != SQLITE_DONE)
		return err_set(e, rc == SQLITE_FULL ? ERR_EXHAUSTED : ERR_SYSTEM,
			"backup to %s: %s", b->path, sqlite3_errstr(rc));
	if (end(b, e) < 0)
		return -1;
	b->last_wall_ns = wall_ns;
	b->due_ns = boot_ns + b->every_ns;
	log_info("backup made", "folder", b->path, "name", b->name, NULL);
	remove_old(b);
	return 0;
}

int backup_step(
	struct backup *b, struct db *db, int64_t boot_ns, int64_t wall_ns, struct err *e)
{
	if (step(b, db, boot_ns, wall_ns, e) == 0)
		return 0;
	drop(b);
	b->failures++;
	b->due_ns = boot_ns + RETRY_S * NS_PER_S;
	return -1;
}
