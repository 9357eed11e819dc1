/* directory.c - opening a directory of partitions, and making its state file. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state file appears complete, by rename, or not at all.  Only who holds the flock
 * of the directory makes or replaces it; opening one that is there needs no flock.
 */
#include "error.h"
#include "fault.h"
#include "share.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define NEW_STATE_NAME "state.new"

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

#define FD_GUARD __attribute__((cleanup(close_fd))) int

/* Give the fd away, past its guard. */
static int take_fd(int *fd)
{
	int given = *fd;

	*fd = -1;
	return given;
}

int chronos_boot_id(char boot_id[STATE_BOOT_ID_BYTES], struct chronos_error *e)
{
	FD_GUARD fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, boot_id, STATE_BOOT_ID_BYTES - 1);

	if (n < 0)
		return chronos_fail_sys(e, "read the boot id");
	boot_id[n] = '\0';
	boot_id[strcspn(boot_id, "\n")] = '\0';
	if (strlen(boot_id) != 36)
		return chronos_fail(e, CHRONOS_SYSTEM, "the kernel gave no boot id");
	return 0;
}

/* Whoever may change the directory or the file may change what everybody holds. */
static int check_trust(const struct stat *st, const char *what, struct chronos_error *e)
{
	if (st->st_uid != 0 && st->st_uid != geteuid())
		return chronos_fail(e, CHRONOS_DENIED,
			"%.150s belongs to user %u, neither to you nor to root", what,
			st->st_uid);
	if (st->st_mode & S_IWOTH)
		return chronos_fail(
			e, CHRONOS_DENIED, "%.150s can be written by everybody", what);
	return 0;
}

static int open_directory(const char *dir, struct chronos_error *e)
{
	int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
	struct stat st;

	FD_GUARD fd = open(dir, flags);
	if (fd < 0 && errno == ENOENT) {
		if (mkdir(dir, 0700) < 0 && errno != EEXIST)
			return chronos_fail_sys(e, "make %.150s", dir);
		fd = open(dir, flags);
	}
	if (fd < 0 || fstat(fd, &st) < 0)
		return chronos_fail_sys(e, "open %.150s", dir);
	if (check_trust(&st, dir, e) < 0)
		return -1;
	return take_fd(&fd);
}

/* flock has no wait with a limit, and a signal is not ours to set: ask again and again.
 * It is held only while a file is made, so there is hardly ever anyone to wait for. */
static int lock_directory(int dirfd, struct chronos_error *e)
{
	const struct timespec pause = { 0, 1000000 };

	for (int waited_ms = 0; flock(dirfd, LOCK_EX | LOCK_NB) < 0; waited_ms++) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return chronos_fail_sys(e, "lock the directory");
		if (waited_ms >= CHRONOS_LOCK_WAIT_MS)
			return chronos_fail(e, CHRONOS_TIMEOUT,
				"another process keeps the directory locked");
		nanosleep(&pause, NULL);
	}
	return 0;
}

/* A directory that its group may write shares its state with that group.  Its owner makes
 * it: a state that belonged to a member would be refused by all the others. */
static int share_with_group(int dirfd, int fd, struct chronos_error *e)
{
	struct stat st;

	if (fstat(dirfd, &st) < 0)
		return chronos_fail_sys(e, "look at the directory");
	if (st.st_uid != geteuid())
		return chronos_fail(e, CHRONOS_DENIED,
			"there is no state yet, and only user %u may make it", st.st_uid);
	bool shared = st.st_mode & S_IWGRP;
	if (shared && fchown(fd, (uid_t)-1, st.st_gid) < 0)
		return chronos_fail_sys(e, "give the state to its group");
	if (fchmod(fd, shared ? 0660 : 0600) < 0)
		return chronos_fail_sys(e, "set the mode of the state");
	return 0;
}

static struct state *map_file(int fd, struct chronos_error *e)
{
	void *at = mmap(
		NULL, sizeof(struct state), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (at == MAP_FAILED) {
		chronos_fail_sys(e, "map the state");
		return NULL;
	}
	return at;
}

/* Fills the new file.  All of it is allocated: a store into a hole of a full tmpfs would
 * kill the process. */
static int fill_new_state(int fd, const char *boot_id, struct chronos_error *e)
{
	uint32_t generation;

	int rc = posix_fallocate(fd, 0, sizeof(struct state));
	if (rc != 0) {
		errno = rc;
		return chronos_fail_sys(
			e, "allocate %zu bytes of state", sizeof(struct state));
	}
	if (getrandom(&generation, sizeof generation, 0) != sizeof generation)
		return chronos_fail_sys(e, "random number");

	struct state *s = map_file(fd, e);
	if (!s)
		return -1;
	chronos_state_init(s, boot_id, generation);
	munmap(s, sizeof *s);
	return 0;
}

static int make_state(int dirfd, const char *boot_id, struct chronos_error *e)
{
	if (unlinkat(dirfd, NEW_STATE_NAME, 0) < 0 && errno != ENOENT)
		return chronos_fail_sys(e, "remove an unfinished state");
	FD_GUARD fd = openat(dirfd, NEW_STATE_NAME,
		O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return chronos_fail_sys(e, "create the state");
	FAULT_POINT("new state created");

	if (share_with_group(dirfd, fd, e) < 0 || fill_new_state(fd, boot_id, e) < 0) {
		unlinkat(dirfd, NEW_STATE_NAME, 0);
		return -1;
	}
	FAULT_POINT("new state filled");
	if (renameat(dirfd, NEW_STATE_NAME, dirfd, STATE_FILE_NAME) < 0)
		return chronos_fail_sys(e, "publish the state");
	return 0;
}

enum attach {
	ATTACHED,
	ATTACH_NOTHING, /* no state, or one of another boot */
	ATTACH_FAILED,
};

/* Map the state that is there, if it may and can be used, into c. */
static enum attach attach(struct chronos *c, const char *boot_id, struct chronos_error *e)
{
	struct state_header h = { 0 };
	struct stat st;

	FD_GUARD fd = chronos_share_open(c->dirfd, STATE_FILE_NAME, O_RDWR);
	if (fd < 0 && errno == ENOENT)
		return ATTACH_NOTHING;
	if (fd < 0 || fstat(fd, &st) < 0) {
		chronos_fail_sys(e, "open the state");
		return ATTACH_FAILED;
	}
	if (!S_ISREG(st.st_mode)) {
		chronos_fail(e, CHRONOS_UNAVAILABLE, "the state is not a regular file");
		return ATTACH_FAILED;
	}
	if (check_trust(&st, "the state", e) < 0)
		return ATTACH_FAILED;
	if (pread(fd, &h, sizeof h, 0) < 0) {
		chronos_fail_sys(e, "read the state");
		return ATTACH_FAILED;
	}
	switch (chronos_state_check_header(&h, (uint64_t)st.st_size, boot_id, e)) {
	case STATE_FITS:
		break;
	case STATE_OF_ANOTHER_BOOT:
		return ATTACH_NOTHING;
	case STATE_REFUSED:
		return ATTACH_FAILED;
	}
	c->state = map_file(fd, e);
	if (!c->state)
		return ATTACH_FAILED;
	c->fd = take_fd(&fd);
	return chronos_state_take_number(c, e) < 0 ? ATTACH_FAILED : ATTACHED;
}

static int attach_or_make(struct chronos *c, struct chronos_error *e)
{
	char boot_id[STATE_BOOT_ID_BYTES];

	if (chronos_boot_id(boot_id, e) < 0)
		return -1;

	enum attach how = attach(c, boot_id, e);
	if (how == ATTACH_NOTHING) {
		/* Whoever had the directory before us may have made it by now. */
		if (lock_directory(c->dirfd, e) < 0)
			return -1;
		how = attach(c, boot_id, e);
		if (how == ATTACH_NOTHING && make_state(c->dirfd, boot_id, e) == 0)
			how = attach(c, boot_id, e);
		flock(c->dirfd, LOCK_UN);
	}
	return how == ATTACHED ? 0 : -1;
}

static int audit(struct chronos *c, struct chronos_error *e)
{
	if (chronos_state_lock(c, e) < 0)
		return -1;
	int rc = chronos_state_audit(c->state, e);
	chronos_state_unlock(c);
	return rc;
}

static const char *directory_of(const char *dir)
{
	if (dir)
		return dir;
	dir = secure_getenv("CHRONOS_DIR");
	return dir && *dir ? dir : CHRONOS_DEFAULT_DIR;
}

/* Which directory it was, before what was wrong with it. */
static void name_directory(const char *dir, struct chronos_error *e)
{
	struct chronos_error inner;

	if (!e || strstr(e->text, dir))
		return;
	inner = *e;
	snprintf(e->text, sizeof e->text, "%.120s: %.130s", dir, inner.text);
}

/* Its number is its parent's.  It takes its own at once: later it may be another user's
 * process, who may not open the file. */
static void in_child(struct fork_watch *w)
{
	struct chronos *c =
		(struct chronos *)((char *)w - offsetof(struct chronos, forks));

	close_fd(&c->me.fd);
	c->me = (struct lock_holder){ .fd = -1 };
	(void)!chronos_state_take_number(c, NULL);
}

static struct chronos *handle_new(const char *dir)
{
	struct chronos *c = calloc(1, sizeof *c);
	char *copy = strdup(dir);

	if (!c || !copy) {
		free(c);
		free(copy);
		return NULL;
	}
	c->dir = copy;
	c->fd = c->dirfd = c->me.fd = -1;
	chronos_forks_watch(&c->forks, in_child);
	return c;
}

struct chronos *chronos_open(const char *dir, struct chronos_error *e)
{
	dir = directory_of(dir);
	/* Not the default: a caller's variable that is empty by mistake is no choice. */
	if (!*dir) {
		chronos_fail(e, CHRONOS_INVALID, "the name of the directory is empty");
		return NULL;
	}
	struct chronos *c = handle_new(dir);
	if (!c) {
		errno = ENOMEM;
		chronos_fail_sys(e, "open %.150s", dir);
		return NULL;
	}
	c->dirfd = open_directory(dir, e);
	if (c->dirfd < 0 || chronos_clock_check(e) < 0 || attach_or_make(c, e) < 0 ||
		audit(c, e) < 0) {
		name_directory(dir, e);
		chronos_close(c);
		return NULL;
	}
	return c;
}

void chronos_close(struct chronos *c)
{
	if (!c)
		return;
	chronos_forks_unwatch(&c->forks);
	if (c->state)
		munmap(c->state, sizeof *c->state);
	close_fd(&c->fd);
	close_fd(&c->me.fd);
	close_fd(&c->dirfd);
	free(c->dir);
	free(c);
}
