/* privileges.c - makes the data folder and becomes its unprivileged owner. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "privileges.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "file.h"
#include "log.h"
#include "str.h"
#include "xalloc.h"

/* Below the range of ordinary users and of systemd's dynamic ones. */
#define FALLBACK_ID 61183

void privileges_find_user(const char *name, uid_t *uid, gid_t *gid)
{
	const struct passwd *user = getpwnam(name);

	*uid = user ? user->pw_uid : FALLBACK_ID;
	*gid = user ? user->pw_gid : FALLBACK_ID;
	if (!user) {
		CLEANUP(free_ptr) char *id = str_fmt("%d", FALLBACK_ID);

		log_info("user does not exist, its place is taken by a number", "user",
			name, "uid", id, NULL);
	}
}

static int own_folder(
	int fd, uid_t owner, gid_t group, mode_t mode, const char *name, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_sys(e, "stat %s", name);
	if ((st.st_uid != owner || st.st_gid != group) && geteuid() == 0 &&
		fchown(fd, owner, group) < 0)
		return err_sys(e, "change the owner of %s", name);
	if ((st.st_mode & 07777) != mode && fchmod(fd, mode) < 0)
		return err_sys(e, "change the mode of %s", name);
	return 0;
}

/* A folder that was there before us may be somebody's home, or /tmp: what it is stays. */
static int check_folder(int fd, const char *path, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_sys(e, "stat %s", path);
	if (st.st_uid != 0 || st.st_mode & (S_IWGRP | S_IWOTH))
		return err_set(e, ERR_DENIED,
			"%s can be changed by others than root: choose another --data",
			path);
	if (!(st.st_mode & S_IXOTH))
		return err_set(e, ERR_DENIED,
			"jobs cannot pass folder %s: chmod o+x it, or choose another "
			"--data",
			path);
	return 0;
}

int data_folder_open(const char *path, uid_t owner, gid_t group, struct data_folder *out,
	struct err *e)
{
	bool root = geteuid() == 0;
	bool ours = access(path, F_OK) < 0;

	/* Its parents, where they are made here, must let through as well. */
	mode_t was = umask(root ? 022 : 077);
	int made = dir_make_path(path, root ? 0711 : 0700, e);
	umask(was);
	if (made < 0)
		return err_wrap(e, "data folder");

	CLEANUP(close_fd) int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return err_sys(e, "open data folder %s", path);
	/* The worker's root folder below must be passable for the uids of jobs. */
	if (root && (ours ? own_folder(dir, 0, 0, 0711, path, e)
			  : check_folder(dir, path, e)) < 0)
		return -1;

	CLEANUP(close_fd) int orchestrator = dir_open(dir, "orchestrator", 0700, e);
	if (orchestrator < 0)
		return -1;
	if (own_folder(orchestrator, owner, group, 0700, "orchestrator", e) < 0)
		return -1;

	CLEANUP(close_fd) int lock = lock_file(orchestrator, "lock", e);
	if (lock < 0)
		return err_wrap(e, "another cumulusd uses %s", path);
	if (own_folder(lock, owner, group, 0600, "lock", e) < 0)
		return -1;
	*out = (struct data_folder){ take_fd(&dir), take_fd(&orchestrator),
		take_fd(&lock) };
	return 0;
}

/* The first folder of path that cannot be passed; NULL when all can.  The caller frees. */
static char *find_closed_folder(const char *path)
{
	for (const char *at = path + 1; *at; at++) {
		if (*at != '/')
			continue;

		char *folder = xstrndup(path, (size_t)(at - path));
		if (access(folder, X_OK) < 0)
			return folder;
		free(folder);
	}
	return NULL;
}

int privileges_drop(uid_t uid, gid_t gid, const char *path, struct err *e)
{
	if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 ||
		setresuid(uid, uid, uid) < 0)
		return err_sys(e, "become uid %u", uid);
	if (setresuid(0, 0, 0) == 0)
		return err_set(e, ERR_INTERNAL, "root was not given up");

	CLEANUP(free_ptr) char *closed = find_closed_folder(path);
	if (closed)
		return err_set(e, ERR_DENIED,
			"uid %u cannot pass folder %s: chmod o+x it, or choose another "
			"--data",
			uid, closed);
	return 0;
}
