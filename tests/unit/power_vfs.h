/* power_vfs.h - an SQLite VFS whose machine loses power: what was not synced is dropped or torn.
 *
 * It passes everything on to the real VFS, and keeps beside each file what a disk would
 * surely have: its content at the last sync, the operations since then, and whether its
 * name is on disk.  At the cut every pending write is kept, dropped or torn, each by its
 * own chance and in pieces of 512 bytes, so that later ones may survive earlier ones; a
 * removed file may be back, a new one gone.  From then on each call fails, until
 * power_on() writes what survived to the real files.
 *
 * As with SQLite's unix VFS, a write damages nothing outside its own range ("powersafe
 * overwrite"), and the first sync of a new log syncs the folder.
 *
 * Thread: one.  Included by the tests of power loss only.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <fcntl.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "file.h"
#include "xalloc.h"

#define POWER_FILES  8
#define POWER_SECTOR 512

struct power_op {
	bool truncate;
	int64_t at; /* truncate: the new size */
	uint8_t *bytes;
	size_t len;
};

/* A file of this name as the disk has it; one that was removed lives on until that is sure. */
struct power_disk_file {
	char *path; /* NULL: this place is free */
	bool removed;
	bool named; /* its name is on disk */
	bool log;   /* of a kind whose first sync takes the folder along */
	struct buf synced;
	struct power_op *ops;
	size_t count, room;
};

struct power_file {
	sqlite3_file base;
	struct power_disk_file *disk; /* NULL: a temporary file, of no interest */
	sqlite3_file *real;
};

static struct {
	sqlite3_vfs vfs;
	sqlite3_vfs *real;
	struct power_disk_file files[POWER_FILES];
	bool off;
	long cut_after; /* calls that change something, from now on; < 0: never */
	long calls;
	uint64_t seed;
} power;

static uint32_t power_random(uint32_t below)
{
	power.seed = power.seed * UINT64_C(6364136223846793005) +
		     UINT64_C(1442695040888963407);
	return (uint32_t)(power.seed >> 33) % below;
}

/* Is the power still on for this call?  The call at which it goes is done in part. */
static bool power_holds(void)
{
	if (power.off)
		return false;
	power.calls++;
	if (power.cut_after >= 0 && power.cut_after-- == 0)
		power.off = true;
	return true;
}

/* ---- what the disk has ---- */

static void power_forget_ops(struct power_disk_file *f)
{
	for (size_t i = 0; i < f->count; i++)
		free(f->ops[i].bytes);
	f->count = 0;
}

static void power_drop(struct power_disk_file *f)
{
	power_forget_ops(f);
	free(f->ops);
	free(f->path);
	buf_fini(&f->synced);
	*f = (struct power_disk_file){ 0 };
}

static struct power_disk_file *power_find(const char *path, bool removed)
{
	for (size_t i = 0; i < POWER_FILES; i++) {
		struct power_disk_file *f = &power.files[i];

		if (f->path && f->removed == removed && strcmp(f->path, path) == 0)
			return f;
	}
	return NULL;
}

static struct power_disk_file *power_add(const char *path)
{
	for (size_t i = 0; i < POWER_FILES; i++) {
		struct power_disk_file *f = &power.files[i];

		if (f->path)
			continue;
		f->path = xstrdup(path);
		return f;
	}
	abort();
}

static void power_put(struct buf *image, int64_t at, const uint8_t *bytes, size_t len)
{
	while (image->len < (size_t)at + len) {
		static const uint8_t zeros[4096];
		size_t gap = (size_t)at + len - image->len;

		buf_add(image, zeros, gap < sizeof(zeros) ? gap : sizeof(zeros));
	}
	memcpy(image->data + at, bytes, len);
}

static void power_apply(struct buf *image, const struct power_op *op)
{
	if (!op->truncate)
		power_put(image, op->at, op->bytes, op->len);
	else if (image->len > (size_t)op->at)
		image->len = (size_t)op->at;
}

/* In part: some sectors are new, some old, and one now and then is neither. */
static void power_tear(struct buf *image, const struct power_op *op)
{
	uint8_t junk[POWER_SECTOR];

	memset(junk, 0xa5, sizeof(junk));
	for (size_t done = 0; done < op->len;) {
		int64_t at = op->at + (int64_t)done;
		size_t len = POWER_SECTOR - (size_t)(at % POWER_SECTOR);
		uint32_t luck = power_random(16);

		if (len > op->len - done)
			len = op->len - done;
		if (luck == 0)
			power_put(image, at, junk, len);
		else if (luck < 9)
			power_put(image, at, op->bytes + done, len);
		done += len;
	}
}

static void power_survive(struct power_disk_file *f)
{
	uint32_t bias = power_random(4); /* whole disks are more or less lucky */

	for (size_t i = 0; i < f->count; i++) {
		uint32_t luck = power_random(4);

		if (luck < bias)
			power_apply(&f->synced, &f->ops[i]);
		else if (luck == 3 && !f->ops[i].truncate)
			power_tear(&f->synced, &f->ops[i]);
	}
	power_forget_ops(f);
}

static void power_write_real(const struct power_disk_file *f)
{
	int fd = open(f->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || write_all(fd, f->synced.data, f->synced.len) < 0)
		abort();
	close(fd);
}

/* The machine starts again.  Nothing of SQLite may be open. */
static void power_on(void)
{
	for (size_t i = 0; i < POWER_FILES; i++) {
		struct power_disk_file *f = &power.files[i];
		struct power_disk_file *other;

		if (!f->path)
			continue;
		power_survive(f);
		/* Of two files that had one name, the folder has the one or the other. */
		other = power_find(f->path, !f->removed);
		if (other && power_random(2)) {
			power_drop(f);
		} else if (!f->named && !other && power_random(2)) {
			unlink(f->path);
			power_drop(f);
		} else if (f->removed && !other && power_random(2)) {
			power_drop(f);
		} else {
			if (other)
				power_drop(other);
			f->removed = false;
			f->named = true;
			power_write_real(f);
		}
	}
	power.off = false;
	power.cut_after = -1;
}

/* Forget everything; the real files stay. */
static void power_reset(uint64_t seed)
{
	for (size_t i = 0; i < POWER_FILES; i++)
		power_drop(&power.files[i]);
	power.off = false;
	power.cut_after = -1;
	power.calls = 0;
	power.seed = seed * 2 + 1;
}

/* ---- the VFS ---- */

static struct power_op *power_pend(struct power_disk_file *f)
{
	if (f->count == f->room) {
		f->room = f->room ? 2 * f->room : 64;
		f->ops = xrealloc(f->ops, f->room * sizeof(*f->ops));
	}
	f->ops[f->count] = (struct power_op){ 0 };
	return &f->ops[f->count++];
}

static struct power_file *power_of(sqlite3_file *file)
{
	return (struct power_file *)file;
}

static int power_close(sqlite3_file *file)
{
	return power_of(file)->real->pMethods->xClose(power_of(file)->real);
}

static int power_read(sqlite3_file *file, void *to, int len, sqlite3_int64 at)
{
	sqlite3_file *real = power_of(file)->real;

	return power.off ? SQLITE_IOERR_READ : real->pMethods->xRead(real, to, len, at);
}

static int power_write(sqlite3_file *file, const void *from, int len, sqlite3_int64 at)
{
	struct power_file *p = power_of(file);

	if (!power_holds())
		return SQLITE_IOERR_WRITE;
	if (p->disk) {
		struct power_op *op = power_pend(p->disk);

		op->at = at;
		op->len = (size_t)len;
		op->bytes = xmemdup(from, (size_t)len);
	}
	return power.off ? SQLITE_IOERR_WRITE
			 : p->real->pMethods->xWrite(p->real, from, len, at);
}

static int power_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	struct power_file *p = power_of(file);

	if (!power_holds())
		return SQLITE_IOERR_TRUNCATE;
	if (p->disk) {
		struct power_op *op = power_pend(p->disk);

		op->truncate = true;
		op->at = size;
	}
	return power.off ? SQLITE_IOERR_TRUNCATE
			 : p->real->pMethods->xTruncate(p->real, size);
}

/* All names are as they are now. */
static void power_sync_folder(void)
{
	for (size_t i = 0; i < POWER_FILES; i++) {
		power.files[i].named = power.files[i].path != NULL;
		if (power.files[i].removed)
			power_drop(&power.files[i]);
	}
}

/* Not passed on: the real disk is not asked to last. */
static int power_sync(sqlite3_file *file, int flags)
{
	struct power_disk_file *f = power_of(file)->disk;

	(void)flags;
	if (!power_holds() || power.off)
		return SQLITE_IOERR_FSYNC;
	if (!f)
		return SQLITE_OK;
	for (size_t i = 0; i < f->count; i++)
		power_apply(&f->synced, &f->ops[i]);
	power_forget_ops(f);
	if (f->log && !f->named)
		power_sync_folder();
	return SQLITE_OK;
}

static int power_file_size(sqlite3_file *file, sqlite3_int64 *size)
{
	sqlite3_file *real = power_of(file)->real;

	return power.off ? SQLITE_IOERR_FSTAT : real->pMethods->xFileSize(real, size);
}

static int power_lock(sqlite3_file *file, int lock)
{
	sqlite3_file *real = power_of(file)->real;

	return real->pMethods->xLock(real, lock);
}

static int power_unlock(sqlite3_file *file, int lock)
{
	sqlite3_file *real = power_of(file)->real;

	return real->pMethods->xUnlock(real, lock);
}

static int power_check_lock(sqlite3_file *file, int *taken)
{
	sqlite3_file *real = power_of(file)->real;

	return real->pMethods->xCheckReservedLock(real, taken);
}

static int power_control(sqlite3_file *file, int op, void *arg)
{
	sqlite3_file *real = power_of(file)->real;

	/* Growing a file in advance would be a write that is not seen here. */
	return op == SQLITE_FCNTL_SIZE_HINT ? SQLITE_OK
					    : real->pMethods->xFileControl(real, op, arg);
}

static int power_sector_size(sqlite3_file *file)
{
	(void)file;
	return POWER_SECTOR;
}

static int power_characteristics(sqlite3_file *file)
{
	(void)file;
	return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

/* Version 1: no shared memory, which a store that is alone does not use. */
static const sqlite3_io_methods power_methods = {
	.iVersion = 1,
	.xClose = power_close,
	.xRead = power_read,
	.xWrite = power_write,
	.xTruncate = power_truncate,
	.xSync = power_sync,
	.xFileSize = power_file_size,
	.xLock = power_lock,
	.xUnlock = power_unlock,
	.xCheckReservedLock = power_check_lock,
	.xFileControl = power_control,
	.xSectorSize = power_sector_size,
	.xDeviceCharacteristics = power_characteristics,
};

static int power_open(
	sqlite3_vfs *vfs, sqlite3_filename path, sqlite3_file *file, int flags, int *out)
{
	struct power_file *p = power_of(file);
	int rc;

	(void)vfs;
	p->base.pMethods = NULL;
	p->disk = NULL;
	p->real = (sqlite3_file *)(p + 1);
	if (power.off)
		return SQLITE_CANTOPEN;
	rc = power.real->xOpen(power.real, path, p->real, flags, out);
	if (rc != SQLITE_OK)
		return rc;
	p->base.pMethods = &power_methods;
	if (path && !(p->disk = power_find(path, false)))
		p->disk = power_add(path);
	if (p->disk)
		p->disk->log = flags & (SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL);
	return SQLITE_OK;
}

static int power_delete(sqlite3_vfs *vfs, const char *path, int sync)
{
	struct power_disk_file *f = power_find(path, false);
	struct power_disk_file *before;

	(void)vfs;
	if (!power_holds() || power.off)
		return SQLITE_IOERR_DELETE;
	if (f && (sync || !f->named)) {
		power_drop(f);
	} else if (f) {
		before = power_find(path, true);
		if (before)
			power_drop(before);
		f->removed = true;
	}
	return power.real->xDelete(power.real, path, 0);
}

static int power_access(sqlite3_vfs *vfs, const char *path, int flags, int *out)
{
	(void)vfs;
	return power.off ? SQLITE_IOERR_ACCESS
			 : power.real->xAccess(power.real, path, flags, out);
}

/* Becomes the VFS of every connection that names none. */
static void power_install(void)
{
	power.real = sqlite3_vfs_find(NULL);
	power.vfs = *power.real;
	power.vfs.iVersion = 1;
	power.vfs.pNext = NULL;
	power.vfs.zName = "power";
	power.vfs.szOsFile = (int)sizeof(struct power_file) + power.real->szOsFile;
	power.vfs.xOpen = power_open;
	power.vfs.xDelete = power_delete;
	power.vfs.xAccess = power_access;
	power.cut_after = -1;
	if (sqlite3_vfs_register(&power.vfs, 1) != SQLITE_OK)
		abort();
}
