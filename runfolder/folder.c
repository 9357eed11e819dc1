/* folder.c - makes, finds, locks and removes run folders. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "runfolder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "file.h"
#include "id.h"
#include "str.h"
#include "xalloc.h"

#define SPEC_MAX    ((size_t)(1 << 20))
#define GONE_PREFIX ".gone-"
#define DEVICES_MAX 64

static const char *spec_fault(const Cumulus__Worker__RunSpec *spec)
{
	const Cumulus__Worker__Start *start = spec->start;

	if (!start)
		return "start is missing";
	if (!id_valid(start->job_id, 'j'))
		return "start.job_id is no job id";
	if (start->attempt < 1)
		return "start.attempt is below 1";
	if (!id_valid(spec->worker_id, 'w'))
		return "worker_id is no worker id";
	if (spec->package_path[0] != '/')
		return "package_path is not absolute";
	if (spec->environment_path[0] && spec->environment_path[0] != '/')
		return "environment_path is not absolute";
	if (start->n_device_uuids < 1 || start->n_device_uuids > DEVICES_MAX)
		return "start.device_uuids is not 1 to 64 devices";
	if (start->hundredths < 1 || start->hundredths > 100)
		return "start.hundredths is not 1 to 100";
	if (start->duration < 1)
		return "start.duration is below 1";
	return NULL;
}

static int spec_check(const Cumulus__Worker__RunSpec *spec, struct err *e)
{
	if (spec->format != RUNFOLDER_FORMAT)
		return err_set(e, ERR_UNSUPPORTED, "run folder format %d, this is %d",
			spec->format, RUNFOLDER_FORMAT);

	const char *fault = spec_fault(spec);
	size_t len = cumulus__worker__run_spec__get_packed_size(spec);

	if (fault)
		return err_set(e, ERR_INVALID, "run spec: %s", fault);
	if (len > SPEC_MAX)
		return err_set(e, ERR_INVALID, "run spec of %zu bytes is too large", len);
	return 0;
}

static bool has_spec(int dirfd)
{
	struct stat st;

	return fstatat(dirfd, RUN_FILE_SPEC, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* 1: it is there and has a spec; 0: the name is free. */
static int make_room(int runs_fd, const char *name, struct err *e)
{
	struct err open_e;
	CLEANUP(close_fd) int fd = runfolder_open(runs_fd, name, &open_e);

	if (fd < 0 && open_e.code == ERR_NOT_FOUND)
		return 0;
	if (fd < 0) {
		*e = open_e;
		return -1;
	}
	if (has_spec(fd))
		return 1;
	return tree_remove(runs_fd, name, e);
}

static int empty_file(int dirfd, const char *name, struct err *e)
{
	CLEANUP(close_fd)
	int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	return fd < 0 ? err_sys(e, "create %s", name) : 0;
}

static int write_spec(int dirfd, const Cumulus__Worker__RunSpec *spec, struct err *e)
{
	size_t len = cumulus__worker__run_spec__get_packed_size(spec);

	CLEANUP(free_ptr) uint8_t *bytes = xmalloc(len + 1);

	cumulus__worker__run_spec__pack(spec, bytes);
	return file_write(dirfd, RUN_FILE_SPEC, bytes, len, 0600, true, e);
}

int runfolder_replace_spec(int dirfd, const Cumulus__Worker__RunSpec *spec, struct err *e)
{
	struct err ignored;

	if (!e)
		e = &ignored;
	return spec_check(spec, e) < 0 ? -1 : write_spec(dirfd, spec, e);
}

int runfolder_create(int runs_fd, const Cumulus__Worker__RunSpec *spec, struct err *e)
{
	struct err ignored;
	char name[RUN_NAME_SIZE];

	if (!e)
		e = &ignored;
	if (spec_check(spec, e) < 0)
		return -1;
	run_name(name, spec->start->job_id, spec->start->attempt);

	int there = make_room(runs_fd, name, e);
	if (there < 0)
		return -1;
	if (there)
		return err_set(e, ERR_CONFLICT, "run %s is there already", name);

	CLEANUP(close_fd) int fd = dir_open(runs_fd, name, 0700, e);
	/* The empty files come first, so that the one sync of the folder makes their names
	 * durable too and the runner has nothing to sync but content. */
	if (fd < 0 || empty_file(fd, RUN_FILE_LOG, e) < 0 ||
		empty_file(fd, RUN_FILE_OUTPUT, e) < 0 || write_spec(fd, spec, e) < 0)
		return err_wrap(e, "run %s", name);
	if (fsync(runs_fd) < 0)
		return err_sys(e, "fsync the folder of runs");
	return 0;
}

int runfolder_open(int runs_fd, const char *name, struct err *e)
{
	int fd = openat(runs_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	return fd < 0 ? err_sys(e, "open run folder %s", name) : fd;
}

static void close_dir(DIR **d)
{
	if (*d)
		closedir(*d);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

struct names {
	char **names;
	size_t count;
};

static void names_undo(struct names *n)
{
	runfolder_names_free(n->names, n->count);
}

/* 1: a run; 0: something else, removed where it is a remnant of ours. */
static int look_at(int runs_fd, const char *name, struct err *e)
{
	char job[ID_SIZE];
	int32_t attempt;

	if (str_starts(name, GONE_PREFIX))
		return tree_remove(runs_fd, name, e);
	if (!run_name_parse(name, job, &attempt))
		return 0;
	return make_room(runs_fd, name, e);
}

int runfolder_list(int runs_fd, char ***names, size_t *count, struct err *e)
{
	struct err ignored;
	int copy = openat(runs_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEANUP(close_dir) DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	CLEANUP(names_undo) struct names found = { 0 };

	if (!e)
		e = &ignored;
	if (!dir)
		return err_sys(e, "list the folder of runs");
	for (struct dirent *it; (it = readdir(dir));) {
		int is_run = look_at(runs_fd, it->d_name, e);

		if (is_run < 0)
			return -1;
		if (!is_run)
			continue;
		found.names =
			xreallocarray(found.names, found.count + 1, sizeof(*found.names));
		found.names[found.count++] = xstrdup(it->d_name);
	}
	if (found.count)
		qsort(found.names, found.count, sizeof(*found.names), compare_names);
	*count = found.count;
	*names = take_ptr(&found.names);
	found.count = 0;
	return 0;
}

void runfolder_names_free(char **names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(names[i]);
	free(names);
}

int runfolder_remove(int runs_fd, const char *name, struct err *e)
{
	struct err open_e;
	char gone[sizeof(GONE_PREFIX) + RUN_NAME_SIZE];
	CLEANUP(close_fd) int fd = runfolder_open(runs_fd, name, &open_e);

	if (fd < 0 && open_e.code == ERR_NOT_FOUND)
		return 0;
	if (fd < 0)
		return err_set(e, open_e.code, "%s", open_e.text);
	if (!str_put(gone, sizeof(gone), GONE_PREFIX "%s", name))
		return err_set(e, ERR_INVALID, "%s is no name of a run", name);

	CLEANUP(close_fd) int lock = runfolder_lock(fd, e);
	if (lock < 0)
		return -1;
	if (tree_remove(runs_fd, gone, e) < 0)
		return -1;
	if (renameat(runs_fd, name, runs_fd, gone) < 0)
		return err_sys(e, "rename run folder %s", name);
	return tree_remove(runs_fd, gone, e);
}

bool runfolder_gone(int dirfd)
{
	struct stat st;

	return fstat(dirfd, &st) == 0 && st.st_nlink == 0;
}

Cumulus__Worker__RunSpec *runfolder_read_spec(int dirfd, struct err *e)
{
	CLEANUP(buf_fini) struct buf bytes = { 0 };

	if (file_read(dirfd, RUN_FILE_SPEC, SPEC_MAX, &bytes, e) < 0)
		return NULL;

	Cumulus__Worker__RunSpec *spec =
		cumulus__worker__run_spec__unpack(NULL, bytes.len, bytes.data);
	if (!spec) {
		err_set(e, ERR_INVALID, "run spec: not a RunSpec");
		return NULL;
	}
	if (spec_check(spec, e) < 0) {
		cumulus__worker__run_spec__free_unpacked(spec, NULL);
		return NULL;
	}
	return spec;
}

int runfolder_lock(int dirfd, struct err *e)
{
	CLEANUP(close_fd) int fd = lock_file(dirfd, RUN_FILE_LOCK, e);
	struct stat st;

	if (fd < 0)
		return -1;
	/* Whoever removed the folder held this lock: having it says nothing any more. */
	if (fstat(fd, &st) < 0)
		return err_sys(e, "stat the lock");
	if (st.st_nlink == 0)
		return err_set(e, ERR_NOT_FOUND, "the run folder was removed");
	return take_fd(&fd);
}

int run_partition_key(
	char out[RUN_KEY_SIZE], const Cumulus__Worker__RunSpec *spec, struct err *e)
{
	char run[RUN_NAME_SIZE];

	run_name(run, spec->start->job_id, spec->start->attempt);
	if (!str_put(out, RUN_KEY_SIZE, "%s.%s", spec->worker_id, run))
		return err_set(e, ERR_INTERNAL, "the partition's key is too long");
	return 0;
}
