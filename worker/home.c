/* home.c - the worker's own folder: one worker at a time, who it is, whom it obeys. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "home.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buf.h"
#include "cleanup.h"
#include "file.h"
#include "str.h"
#include "xalloc.h"

#define SMALL_FILE   256
#define LOCK_TRIES   100
#define LOCK_WAIT_MS 20

/* Whoever may rename a folder on the way to ours could put another in its place. */
static int check_folder(const char *path, struct err *e)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return err_sys(e, "look at %s", path);
	if (st.st_uid != 0 && st.st_uid != geteuid())
		return err_set(e, ERR_DENIED,
			"%s belongs to user %u: the worker's data needs folders that "
			"only "
			"root can change",
			path, st.st_uid);
	if ((st.st_mode & (S_IWGRP | S_IWOTH)) && !(st.st_mode & S_ISVTX))
		return err_set(e, ERR_DENIED,
			"%s may be changed by others (mode %04o): the worker's data "
			"needs "
			"folders that only root can change",
			path, st.st_mode & 07777);
	return 0;
}

static int check_way(const char *absolute, struct err *e)
{
	CLEANUP(free_ptr) char *part = xstrdup(absolute);

	for (;;) {
		if (check_folder(*part ? part : "/", e) < 0)
			return -1;

		char *slash = strrchr(part, '/');
		if (!slash)
			return 0;
		*slash = '\0';
	}
}

/* The line in a small file, without its newline; ERR_NOT_FOUND when there is none. */
static int read_line(int dirfd, const char *name, char *out, size_t size, struct err *e)
{
	CLEANUP(buf_fini) struct buf b = { 0 };

	if (file_read(dirfd, name, SMALL_FILE, &b, e) < 0)
		return -1;
	while (b.len && b.data[b.len - 1] == '\n')
		b.len--;
	if (b.len >= size || memchr(b.data ? b.data : (void *)"", '\0', b.len))
		return err_set(
			e, ERR_INVALID, "%s is not what a worker writes there", name);
	if (b.len)
		memcpy(out, b.data, b.len);
	out[b.len] = '\0';
	return 0;
}

static int write_line(int dirfd, const char *name, const char *line, struct err *e)
{
	CLEANUP(free_ptr) char *text = str_fmt("%s\n", line);

	return file_write(dirfd, name, text, strlen(text), 0600, true, e);
}

/* A number that a missing file means as 0. */
static int read_number(int dirfd, const char *name, int64_t *n, struct err *e)
{
	char line[32];
	struct err why = { 0 };

	if (read_line(dirfd, name, line, sizeof(line), &why) < 0) {
		if (why.code != ERR_NOT_FOUND) {
			*e = why;
			return -1;
		}
		*n = 0;
		return 0;
	}
	if (parse_i64(line, 0, INT64_MAX, n, e) < 0)
		return err_wrap(e, "%s", name);
	return 0;
}

static int write_number(int dirfd, const char *name, int64_t n, struct err *e)
{
	char line[32];

	str_put(line, sizeof(line), "%" PRId64, n);
	return write_line(dirfd, name, line, e);
}

static int load_worker_id(struct home *h, struct err *e)
{
	struct err why = { 0 };
	char id[ID_SIZE];

	if (read_line(h->fd, "id", id, sizeof(id), &why) < 0) {
		if (why.code != ERR_NOT_FOUND) {
			*e = why;
			return -1;
		}
		id_make(id, 'w');
		if (write_line(h->fd, "id", id, e) < 0)
			return -1;
	}
	if (!id_valid(id, 'w'))
		return err_set(e, ERR_INVALID,
			"%s/id holds \"%s\", which is no worker's id", h->path, id);
	memcpy(h->worker_id, id, sizeof(id));
	return 0;
}

static int load_cluster(struct home *h, struct err *e)
{
	struct err why = { 0 };

	if (read_line(h->fd, "cluster_id", h->cluster_id, sizeof(h->cluster_id), &why) <
			0 &&
		why.code != ERR_NOT_FOUND) {
		*e = why;
		return -1;
	}
	return read_number(h->fd, "orchestrator_epoch", &h->orchestrator_epoch, e);
}

static int load_boot(struct home *h, struct err *e)
{
	struct err why = { 0 };
	char last[BOOT_ID_SIZE] = "";

	if (clock_boot_id(h->boot_id, e) < 0)
		return -1;
	if (read_line(h->fd, "boot_id", last, sizeof(last), &why) < 0 &&
		why.code != ERR_NOT_FOUND) {
		*e = why;
		return -1;
	}
	h->rebooted = strcmp(last, h->boot_id) != 0;
	return h->rebooted ? write_line(h->fd, "boot_id", h->boot_id, e) : 0;
}

static int count_start(struct home *h, struct err *e)
{
	int64_t epoch;

	if (read_number(h->fd, "epoch", &epoch, e) < 0)
		return -1;
	h->process_epoch = epoch + 1;
	return write_number(h->fd, "epoch", h->process_epoch, e);
}

/* Who the lock's file says has it; 0 when it does not say. */
static pid_t lock_holder(int dirfd)
{
	char line[32];
	struct err ignored;
	uint64_t pid;

	if (read_line(dirfd, "lock", line, sizeof(line), &ignored) < 0 ||
		parse_u64(line, 1, INT32_MAX, &pid, &ignored) < 0)
		return 0;
	return (pid_t)pid;
}

/* A worker that was killed while it started a program leaves its lock to the child until
 * that has come to its exec: a moment, in which nobody is there to be told of. */
static int take_lock(int dirfd, struct err *e)
{
	for (int tries = 0;; tries++) {
		int fd = lock_file(dirfd, "lock", e);

		if (fd >= 0 || e->code != ERR_CONFLICT || tries == LOCK_TRIES)
			return fd;
		pid_t pid = lock_holder(dirfd);
		if (!pid || kill(pid, 0) == 0 || errno != ESRCH)
			return fd;
		poll(NULL, 0, LOCK_WAIT_MS);
	}
}

static int open_folders(struct home *h, const char *data, struct err *e)
{
	char absolute[PATH_MAX];

	if (dir_make_path(data, 0711, e) < 0)
		return -1;
	if (!realpath(data, absolute))
		return err_sys(e, "find %s", data);
	if (check_way(absolute, e) < 0)
		return -1;
	h->data_path = xstrdup(absolute);
	h->path = str_fmt("%s/worker", absolute);

	h->fd = dir_open(AT_FDCWD, h->path, 0711, e);
	if (h->fd < 0 || check_folder(h->path, e) < 0)
		return -1;
	/* Jobs pass through it on the way to their root folder; they may not list it. */
	if (fchmod(h->fd, 0711) < 0)
		return err_sys(e, "chmod %s", h->path);
	h->lock_fd = take_lock(h->fd, e);
	if (h->lock_fd < 0)
		return err_wrap(e, "another worker is at work in %s", h->path);
	h->runs_fd = dir_open(h->fd, "runs", 0700, e);
	return h->runs_fd < 0 ? -1 : 0;
}

int home_open(struct home *h, const char *data, struct err *e)
{
	*h = (struct home){ .fd = -1, .lock_fd = -1, .runs_fd = -1 };
	if (open_folders(h, data, e) < 0 || load_worker_id(h, e) < 0 ||
		load_cluster(h, e) < 0 || load_boot(h, e) < 0 || count_start(h, e) < 0) {
		home_close(h);
		return -1;
	}
	return 0;
}

void home_close(struct home *h)
{
	if (!h->path && !h->data_path)
		return;
	close_fd(&h->runs_fd);
	close_fd(&h->lock_fd);
	close_fd(&h->fd);
	free(h->path);
	free(h->data_path);
	*h = (struct home){ .fd = -1, .lock_fd = -1, .runs_fd = -1 };
}

int home_obey(struct home *h, const char *cluster_id, int64_t epoch, struct err *e)
{
	char quoted[STR_QUOTE_SIZE];

	if (str_empty(cluster_id) || strlen(cluster_id) >= sizeof(h->cluster_id) ||
		strchr(cluster_id, '\n'))
		return err_set(e, ERR_INVALID, "cluster id \"%s\" is none",
			str_quote(quoted, cluster_id, strlen(cluster_id)));
	if (*h->cluster_id && strcmp(h->cluster_id, cluster_id) != 0)
		return err_set(e, ERR_CONFLICT,
			"this worker belongs to cluster %s, that cumulusd to %s",
			h->cluster_id, cluster_id);
	if (epoch < h->orchestrator_epoch)
		return err_set(e, ERR_CONFLICT,
			"cumulusd shows epoch %" PRId64 " and epoch %" PRId64
			" was seen before: "
			"it is an older one, or its store was put back",
			epoch, h->orchestrator_epoch);

	/* The epoch first: it guards even where a crash loses the cluster's name. */
	if (epoch > h->orchestrator_epoch) {
		if (write_number(h->fd, "orchestrator_epoch", epoch, e) < 0)
			return -1;
		h->orchestrator_epoch = epoch;
	}
	if (!*h->cluster_id) {
		if (write_line(h->fd, "cluster_id", cluster_id, e) < 0)
			return -1;
		str_put(h->cluster_id, sizeof(h->cluster_id), "%s", cluster_id);
	}
	return 0;
}
