/* file.c - whole files through folder descriptors. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "str.h"

int write_all(int fd, const void *bytes, size_t len)
{
	const uint8_t *at = bytes;

	while (len) {
		ssize_t n = write(fd, at, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

int pwrite_all(int fd, const void *bytes, size_t len, off_t at)
{
	const uint8_t *from = bytes;

	while (len) {
		ssize_t n = pwrite(fd, from, len, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		from += n;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

int file_read(int dirfd, const char *name, size_t max, struct buf *out, struct err *e)
{
	CLEANUP(close_fd) int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	size_t before = out->len;

	if (fd < 0)
		return err_sys(e, "open %s", name);
	for (;;) {
		size_t left = max - (out->len - before);
		size_t want = left < 65536 ? left + 1 : 65536;
		ssize_t n = read(fd, buf_reserve(out, want), want);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			err_sys(e, "read %s", name);
			out->len = before;
			return -1;
		}
		if (n == 0)
			return 0;
		if ((size_t)n > left) {
			out->len = before;
			return err_set(e, ERR_EXHAUSTED, "%s is larger than %zu bytes",
				name, max);
		}
		buf_added(out, (size_t)n);
	}
}

struct temp_name {
	int dirfd;
	const char *name; /* NULL once there is nothing to undo */
};

static void temp_name_undo(struct temp_name *t)
{
	if (t->name)
		unlinkat(t->dirfd, t->name, 0);
}

int file_write(int dirfd, const char *name, const void *bytes, size_t len, mode_t mode,
	bool durable, struct err *e)
{
	char temp[NAME_MAX + 1];

	if (!str_put(temp, sizeof(temp), ".%s.tmp", name))
		return err_set(e, ERR_INVALID, "name %s is too long", name);

	CLEANUP(temp_name_undo) struct temp_name undo = { dirfd, NULL };
	CLEANUP(close_fd)
	int fd = openat(
		dirfd, temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
	if (fd < 0)
		return err_sys(e, "create %s", temp);
	undo.name = temp;
	if (write_all(fd, bytes, len) < 0)
		return err_sys(e, "write %s", temp);
	if (durable && fsync(fd) < 0)
		return err_sys(e, "fsync %s", temp);
	if (renameat(dirfd, temp, dirfd, name) < 0)
		return err_sys(e, "rename %s to %s", temp, name);
	undo.name = NULL;
	if (durable && fsync(dirfd) < 0)
		return err_sys(e, "fsync the folder of %s", name);
	return 0;
}

int file_tell(const char *folder, const char *name, const char *text, struct err *e)
{
	CLEANUP(free_ptr) char *path = str_fmt("%s/%s", folder, name);
	CLEANUP(close_fd) int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return err_sys(e, "open %s", path);
	if (write(fd, text, strlen(text)) < 0)
		return err_sys(e, "write \"%s\" to %s", text, path);
	return 0;
}

int dir_open(int dirfd, const char *name, mode_t mode, struct err *e)
{
	if (mkdirat(dirfd, name, mode) < 0 && errno != EEXIST)
		return err_sys(e, "make folder %s", name);

	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return err_sys(e, "open folder %s", name);
	return fd;
}

int dir_make_path(const char *path, mode_t mode, struct err *e)
{
	char part[PATH_MAX];

	if (!str_put(part, sizeof(part), "%s", path))
		return err_set(e, ERR_INVALID, "path is too long");
	for (char *at = part + 1; *part; at++) {
		char was = *at;

		if (was && was != '/')
			continue;
		*at = '\0';
		if (mkdir(part, mode) < 0 && errno != EEXIST)
			return err_sys(e, "make folder %s", part);
		*at = was;
		if (!was)
			break;
	}
	return 0;
}

/* A tree being removed.  Its depth comes from outside, so it is not that of our stack and
 * our descriptors: folders below DEEPEST are moved up to the top, and come later. */
struct removal {
	int top; /* the tree's own folder */
	dev_t device;
	unsigned long moved; /* how many were, for their new names */
};

#define DEEPEST 32

static void close_dir(DIR **d)
{
	if (*d)
		closedir(*d);
}

static int empty_folder(struct removal *r, int fd, int depth, struct err *e);

static int move_to_top(struct removal *r, int dirfd, const char *name, struct err *e)
{
	char moved[64];
	int rc;

	do {
		snprintf(moved, sizeof(moved), ".removing-%lu", r->moved++);
		rc = renameat2(dirfd, name, r->top, moved, RENAME_NOREPLACE);
	} while (rc < 0 && errno == EEXIST);
	return rc < 0 ? err_sys(e, "move folder %s", name) : 0;
}

static int remove_entry(
	struct removal *r, int dirfd, const char *name, int depth, struct err *e)
{
	struct stat st;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : err_sys(e, "stat %s", name);
	if (S_ISDIR(st.st_mode)) {
		if (st.st_dev != r->device)
			return err_set(e, ERR_CONFLICT, "%s is a mount point", name);
		if (depth > DEEPEST)
			return move_to_top(r, dirfd, name, e);

		CLEANUP(close_fd)
		int fd = openat(
			dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		if (fd < 0)
			return err_sys(e, "open folder %s", name);
		if (empty_folder(r, fd, depth, e) < 0)
			return -1;
	}
	if (unlinkat(dirfd, name, S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0) < 0 &&
		errno != ENOENT)
		return err_sys(e, "remove %s", name);
	return 0;
}

static int empty_folder(struct removal *r, int fd, int depth, struct err *e)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	CLEANUP(close_dir) DIR *dir = copy < 0 ? NULL : fdopendir(copy);

	if (!dir)
		return err_sys(e, "read a folder");
	for (struct dirent *it; (it = readdir(dir));) {
		if (strcmp(it->d_name, ".") == 0 || strcmp(it->d_name, "..") == 0)
			continue;
		if (remove_entry(r, fd, it->d_name, depth + 1, e) < 0)
			return -1;
	}
	return 0;
}

/* Until a pass has moved nothing up, which may have come behind the reading. */
static int empty_top(struct removal *r, struct err *e)
{
	for (;;) {
		unsigned long before = r->moved;

		if (empty_folder(r, r->top, 0, e) < 0)
			return -1;
		if (r->moved == before)
			return 0;
		/* The copies of a descriptor share one position. */
		if (lseek(r->top, 0, SEEK_SET) < 0)
			return err_sys(e, "read a folder again");
	}
}

int tree_remove(int dirfd, const char *name, struct err *e)
{
	struct stat st;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : err_sys(e, "stat %s", name);
	if (S_ISDIR(st.st_mode)) {
		CLEANUP(close_fd)
		int top = openat(
			dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		struct removal r = { .top = top, .device = st.st_dev };

		if (top < 0)
			return err_sys(e, "open folder %s", name);
		if (empty_top(&r, e) < 0)
			return -1;
	}
	if (unlinkat(dirfd, name, S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0) < 0 &&
		errno != ENOENT)
		return err_sys(e, "remove %s", name);
	return 0;
}

int lock_file(int dirfd, const char *name, struct err *e)
{
	char holder[32] = "";
	CLEANUP(close_fd)
	int fd = openat(dirfd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return err_sys(e, "open lock %s", name);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK)
			return err_sys(e, "lock %s", name);

		ssize_t n = pread(fd, holder, sizeof(holder) - 1, 0);
		holder[n > 0 ? n : 0] = '\0';
		holder[strcspn(holder, "\n")] = '\0';
		return err_set(e, ERR_CONFLICT, "%s is held by pid %s", name,
			*holder ? holder : "unknown");
	}
	int len = snprintf(holder, sizeof(holder), "%d\n", getpid());
	if (ftruncate(fd, 0) < 0 || pwrite_all(fd, holder, (size_t)len, 0) < 0)
		return err_sys(e, "write lock %s", name);
	return take_fd(&fd);
}

char *file_find_sibling(const char *name, struct err *e)
{
	char self[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (len < 0) {
		err_sys(e, "find this program's folder");
		return NULL;
	}
	self[len] = '\0';
	*strrchr(self, '/') = '\0';

	CLEANUP(free_ptr) char *beside = str_fmt("%s/%s", self, name);
	CLEANUP(free_ptr) char *installed = str_fmt("%s/../lib/cumulus/%s", self, name);
	if (access(beside, R_OK) == 0)
		return take_ptr(&beside);
	char *found = realpath(installed, NULL);
	if (!found)
		err_set(e, ERR_NOT_FOUND, "%s is neither %s nor %s", name, beside,
			installed);
	return found;
}
