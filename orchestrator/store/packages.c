/* packages.c - the ZIPs of jobs by their SHA-256: small ones as rows, large ones as files. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "packages.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "clock.h"
#include "file.h"
#include "str.h"
#include "xalloc.h"

#define PART_KEPT_S (24 * 60 * 60)

void package_name(char out[PACKAGE_NAME_SIZE], const struct digest *digest)
{
	hex_encode(out, digest->bytes, sizeof(digest->bytes));
}

int package_find(struct disk *disk, const struct digest *digest, struct package *found,
	struct err *e)
{
	STATEMENT s = db_statement(&disk->db, SQL_PACKAGE_FIND, e);

	if (!s)
		return -1;
	bind_digest(s, 1, digest);
	int row = db_step(&disk->db, s, e);
	if (row < 0)
		return -1;
	*found = row == 0 ? (struct package){ 0 }
			  : (struct package){ sqlite3_column_int64(s, 0),
				    sqlite3_column_int64(s, 1) };
	return 0;
}

/* bytes is NULL where a file holds them. */
static int add_row(struct db *db, const struct digest *digest, const uint8_t *bytes,
	int64_t size, struct package *added, struct err *e)
{
	STATEMENT s = db_statement(db, SQL_PACKAGE_ADD, e);

	if (!s)
		return -1;
	bind_digest(s, 1, digest);
	bind_number(s, 2, size);
	bind_number(s, 3, clock_wall_ns());
	bind_bytes(s, 4, bytes, bytes ? (size_t)size : 0);
	if (db_run(db, s, e) < 0)
		return -1;
	*added = (struct package){ sqlite3_last_insert_rowid(db->handle), size };
	return 0;
}

int package_add(struct disk *disk, const struct digest *digest, const uint8_t *bytes,
	size_t len, struct package *added, struct err *e)
{
	char name[PACKAGE_NAME_SIZE];

	if (len <= PACKAGE_ROW_MAX)
		return add_row(&disk->db, digest, bytes, (int64_t)len, added, e);
	package_name(name, digest);
	if (file_write(disk->packages, name, bytes, len, 0600, true, e) < 0)
		return -1;
	return add_row(&disk->db, digest, NULL, (int64_t)len, added, e);
}

static int check_file(struct disk *disk, const char *name, int64_t size, struct err *e)
{
	struct stat st;

	if (fstatat(disk->packages, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(e, "package %s", name);
	if (!S_ISREG(st.st_mode) || st.st_size != size)
		return err_set(
			e, ERR_NOT_FOUND, "package %s is not of the stated size", name);
	return 0;
}

int package_add_file(
	struct disk *disk, const struct digest *digest, int64_t size, struct err *e)
{
	char name[PACKAGE_NAME_SIZE];
	struct package package;

	if (package_find(disk, digest, &package, e) < 0)
		return -1;
	if (package.id != 0)
		return 0;
	package_name(name, digest);
	if (check_file(disk, name, size, e) < 0)
		return -1;
	return add_row(&disk->db, digest, NULL, size, &package, e);
}

/* ---- reading */

/* One file that cannot be read costs the jobs that need it, not the daemon. */
static int unreadable(struct err *e, const char *name, const char *why)
{
	return err_set(e, ERR_UNAVAILABLE, "package file %s: %s", name, why);
}

static int read_file_slice(struct disk *disk, const struct digest *digest, int64_t offset,
	struct store_slice *slice, struct err *e)
{
	char name[PACKAGE_NAME_SIZE];
	size_t got = 0;

	package_name(name, digest);
	CLEANUP(close_fd)
	int fd = openat(disk->packages, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return unreadable(e, name, strerror(errno));
	while (got < slice->len) {
		ssize_t n = pread(
			fd, slice->bytes + got, slice->len - got, offset + (off_t)got);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return unreadable(e, name, strerror(errno));
		if (n == 0)
			return unreadable(e, name, "it is cut");
		got += (size_t)n;
	}
	return 0;
}

static int read_row_slice(
	sqlite3_stmt *row, int64_t offset, struct store_slice *slice, struct err *e)
{
	const uint8_t *bytes = sqlite3_column_blob(row, 2);

	if (slice->len == 0)
		return 0;
	if (!bytes || sqlite3_column_bytes(row, 2) != slice->total)
		return err_set(
			e, ERR_SYSTEM, "a package's row is not as long as it says");
	memcpy(slice->bytes, bytes + offset, slice->len);
	return 0;
}

int package_read(struct disk *disk, const struct digest *digest, int64_t offset,
	size_t len, struct store_slice *out, struct err *e)
{
	STATEMENT s = db_statement(&disk->db, SQL_PACKAGE_FIND, e);

	if (!s)
		return -1;
	bind_digest(s, 1, digest);
	int row = db_step(&disk->db, s, e);
	if (row < 0)
		return -1;
	if (row == 0)
		return err_set(e, ERR_NOT_FOUND, "no such package");

	struct store_slice slice = { .total = sqlite3_column_int64(s, 1) };
	if (offset < 0 || offset > slice.total)
		return err_set(e, ERR_INVALID, "offset %lld of a package of %lld bytes",
			(long long)offset, (long long)slice.total);
	slice.len = (int64_t)len < slice.total - offset ? len
							: (size_t)(slice.total - offset);
	CLEANUP(free_ptr) uint8_t *bytes = slice.bytes = xmalloc(slice.len + 1);
	bool file = sqlite3_column_type(s, 2) == SQLITE_NULL;
	if ((file ? read_file_slice(disk, digest, offset, &slice, e)
		  : read_row_slice(s, offset, &slice, e)) < 0)
		return -1;
	take_ptr(&bytes);
	*out = slice;
	return 0;
}

/* ---- what a crash left over */

static bool part_is_fresh(const struct disk *disk, const char *name)
{
	struct stat st;

	return str_ends(name, PACKAGE_PART_SUFFIX) &&
	       fstatat(disk->packages, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       st.st_mtime > clock_wall_ns() / NS_PER_S - PART_KEPT_S;
}

static int is_known(struct disk *disk, const char *name, bool *known, struct err *e)
{
	struct package package = { 0 };
	struct digest digest;

	if (strlen(name) == PACKAGE_NAME_SIZE - 1 &&
		hex_decode(digest.bytes, sizeof(digest.bytes), name, NULL) == 0 &&
		package_find(disk, &digest, &package, e) < 0)
		return -1;
	*known = package.id != 0;
	return 0;
}

static bool is_dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static void close_dir(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

int packages_sweep(struct disk *disk, struct err *e)
{
	CLEANUP(close_fd)
	int fd = openat(disk->packages, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEANUP(close_dir) DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (!dir)
		return err_sys(e, "list packages");
	take_fd(&fd);
	for (struct dirent *entry; (entry = readdir(dir));) {
		bool known;

		if (is_dots(entry->d_name) || part_is_fresh(disk, entry->d_name))
			continue;
		if (is_known(disk, entry->d_name, &known, e) < 0)
			return -1;
		if (!known && tree_remove(disk->packages, entry->d_name, e) < 0)
			return err_wrap(e, "packages");
	}
	return 0;
}
