/* disk.c - how much of the disk a job takes: its folders, and files without a name. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "file.h"
#include "log.h"
#include "table.h"
#include "xalloc.h"

#define BLOCK    512 /* the unit of st_blocks, whatever the file system's is */
#define DEEPEST  64  /* levels that are walked at once: each holds a descriptor */
#define LATER    256 /* folders below those, held for a walk of their own */
#define MAPS_MAX ((size_t)16 << 20)

static void close_dir(DIR **d)
{
	if (*d)
		closedir(*d);
}

static DIR *open_folder(int dirfd, const char *name)
{
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (fd >= 0 && !dir)
		close(fd);
	return dir;
}

static bool is_dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* ---- folders ---- */

struct walk {
	int64_t used;
	int64_t enough;
	int later[LATER]; /* descriptors of folders that are yet to be walked */
	size_t later_count;
};

static void put_off(struct walk *w, int parent, const char *name)
{
	int fd;

	if (w->later_count == LATER) {
		w->used = w->enough + 1;
		return;
	}
	fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd >= 0)
		w->later[w->later_count++] = fd;
}

static int64_t size_of(const struct stat *st)
{
	int64_t bytes = (int64_t)st->st_blocks * BLOCK;

	if (!S_ISDIR(st->st_mode) && st->st_nlink > 1)
		bytes /= (int64_t)st->st_nlink;
	return bytes + DISK_ENTRY_BYTES;
}

static void walk(struct walk *w, int parent, const char *name, int depth)
{
	CLEANUP(close_dir) DIR *dir = open_folder(parent, name);

	for (struct dirent *it; dir && w->used <= w->enough && (it = readdir(dir));) {
		struct stat st;

		if (is_dots(it->d_name) ||
			fstatat(dirfd(dir), it->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		w->used += size_of(&st);
		if (!S_ISDIR(st.st_mode))
			continue;
		if (depth < DEEPEST)
			walk(w, dirfd(dir), it->d_name, depth + 1);
		else
			put_off(w, dirfd(dir), it->d_name);
	}
}

int64_t disk_used(int dirfd, const char *name, int64_t enough)
{
	struct walk w = { .enough = enough };

	walk(&w, dirfd, name, 0);
	while (w.later_count) {
		CLEANUP(close_fd) int fd = w.later[--w.later_count];

		if (w.used <= enough)
			walk(&w, fd, ".", 0);
	}
	return w.used;
}

/* ---- files without a name ---- */

struct nameless {
	dev_t device;
	int64_t used;
	int64_t enough;
	struct table seen; /* struct inode by number */
};

struct inode {
	struct table_entry by_number;
	ino_t number;
};

static void nameless_fini(struct nameless *n)
{
	for (struct table_entry *it; (it = table_next(&n->seen, NULL));) {
		table_remove(&n->seen, it);
		free(table_value(it, struct inode, by_number));
	}
	table_fini(&n->seen);
}

/* Many may hold the same one. */
static void count_file(struct nameless *n, int dirfd, const char *name)
{
	struct stat st;

	if (fstatat(dirfd, name, &st, 0) < 0 || !S_ISREG(st.st_mode) || st.st_nlink ||
		st.st_dev != n->device ||
		table_find(&n->seen, &st.st_ino, sizeof(st.st_ino)))
		return;

	struct inode *inode = xcalloc(1, sizeof(*inode));
	inode->number = st.st_ino;
	table_add(&n->seen, &inode->by_number, &inode->number, sizeof(inode->number));
	n->used += (int64_t)st.st_blocks * BLOCK + DISK_ENTRY_BYTES;
}

static void count_open(struct nameless *n, pid_t pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	CLEANUP(close_dir) DIR *dir = opendir(path);
	for (struct dirent *it; dir && n->used <= n->enough && (it = readdir(dir));) {
		if (!is_dots(it->d_name))
			count_file(n, dirfd(dir), it->d_name);
	}
}

/* The text is much faster to read than each mapping's link; those of removed files say so. */
static void count_mapped(struct nameless *n, pid_t pid)
{
	CLEANUP(buf_fini) struct buf bytes = { 0 };
	char path[64];
	char *rest = NULL;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	if (file_read(AT_FDCWD, path, MAPS_MAX, &bytes, NULL) < 0)
		return;
	CLEANUP(free_ptr) char *text = buf_take_str(&bytes);
	snprintf(path, sizeof(path), "/proc/%d/map_files", pid);
	CLEANUP(close_fd) int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (char *line = strtok_r(text, "\n", &rest); line && n->used <= n->enough;
		line = strtok_r(NULL, "\n", &rest)) {
		if (!strstr(line, " (deleted)"))
			continue;
		line[strcspn(line, " ")] = '\0';
		count_file(n, folder, line);
	}
}

static int count_process(pid_t pid, void *arg, struct err *e)
{
	(void)e;
	count_open(arg, pid);
	count_mapped(arg, pid);
	return 0;
}

int64_t disk_nameless(const struct cgroup *g, int dirfd, int64_t enough)
{
	CLEANUP(nameless_fini) struct nameless n = { .enough = enough };
	struct stat st;
	struct err e;

	if (fstat(dirfd, &st) < 0)
		return 0;
	n.device = st.st_dev;
	if (cgroup_each(g, count_process, &n, &e) < 0)
		log_debug("a job's processes cannot be listed", "error", e.text, NULL);
	return n.used;
}
