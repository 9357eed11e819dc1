/* reserve.c - disk space held back, so that what runs can end on a full disk. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "reserve.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "cleanup.h"

#define NAME "reserve"

int64_t reserve_free_bytes(const struct reserve *r)
{
	struct statvfs st;

	if (fstatvfs(r->dirfd, &st) < 0)
		return -1;
	return (int64_t)(st.f_bavail * st.f_frsize);
}

/* Left by the process before, and whole? */
static bool is_there(const struct reserve *r)
{
	struct stat st;

	return fstatat(r->dirfd, NAME, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       S_ISREG(st.st_mode) && st.st_size == r->bytes;
}

static bool make(const struct reserve *r)
{
	CLEANUP(close_fd)
	int fd =
		openat(r->dirfd, NAME, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	return fd >= 0 && ftruncate(fd, 0) == 0 && posix_fallocate(fd, 0, r->bytes) == 0;
}

void reserve_take(struct reserve *r)
{
	if (r->held || r->bytes == 0 || is_there(r)) {
		r->held = true;
		return;
	}
	if (reserve_free_bytes(r) < r->low_bytes + r->bytes)
		return;
	if (make(r))
		r->held = true;
	else
		unlinkat(r->dirfd, NAME, 0);
}

void reserve_give_up(struct reserve *r)
{
	unlinkat(r->dirfd, NAME, 0);
	r->held = false;
}

bool reserve_disk_low(const struct reserve *r)
{
	return !r->held || reserve_free_bytes(r) < r->low_bytes;
}
