/* disk.c - how much of the disk a job's own folders take. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"

#define BLOCK 512 /* the unit of st_blocks, whatever the file system's is */

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

static void add(int parent, const char *name, int depth, int64_t enough, int64_t *used)
{
	CLEANUP(close_dir) DIR *dir = open_folder(parent, name);

	for (struct dirent *it; dir && *used <= enough && (it = readdir(dir));) {
		struct stat st;

		if (strcmp(it->d_name, ".") == 0 || strcmp(it->d_name, "..") == 0 ||
			fstatat(dirfd(dir), it->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		*used += (int64_t)st.st_blocks * BLOCK;
		if (S_ISDIR(st.st_mode) && depth < DISK_DEPTH_MAX)
			add(dirfd(dir), it->d_name, depth + 1, enough, used);
	}
}

int64_t disk_used(int dirfd, const char *name, int64_t enough)
{
	int64_t used = 0;

	add(dirfd, name, 0, enough, &used);
	return used;
}
