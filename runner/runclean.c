/* runclean.c - takes away what is left of a run, and ends one whose runner is gone. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "runclean.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cgroup.h"
#include "chronos.h"
#include "cleanup.h"
#include "clock.h"
#include "exits.h"
#include "fault.h"
#include "file.h"
#include "id.h"
#include "procs.h"
#include "str.h"
#include "xalloc.h"

#define TAIL_MAX (RUN_ERROR_MAX - RUN_MESSAGE_MAX)

static void spec_undo(Cumulus__Worker__RunSpec **spec)
{
	if (*spec)
		cumulus__worker__run_spec__free_unpacked(*spec, NULL);
}

static void intent_undo(Cumulus__Worker__ContainerIntent **intent)
{
	if (*intent)
		cumulus__worker__container_intent__free_unpacked(*intent, NULL);
}

static void made_undo(Cumulus__Worker__ContainerMade **made)
{
	if (*made)
		cumulus__worker__container_made__free_unpacked(*made, NULL);
}

/* ---- processes ---- */

/* Kill init, if the process of that pid is still it, and wait until it is gone: with it all
 * of its pid namespace is. */
static int kill_init(const Cumulus__Worker__ContainerMade *made, struct err *e)
{
	char boot_id[BOOT_ID_SIZE];

	if (clock_boot_id(boot_id, e) < 0)
		return -1;
	if (strcmp(boot_id, made->boot_id) != 0 || made->init_pid <= 1)
		return 0;

	CLEANUP(close_fd) int pidfd = process_open(made->init_pid, made->init_start_time);
	if (pidfd < 0)
		return 0;
	if (process_signal(pidfd, SIGKILL) < 0 && errno != ESRCH)
		return err_sys(e, "kill the container's init");

	struct pollfd gone = { pidfd, POLLIN, 0 };
	if (poll(&gone, 1, RUN_CLEAN_WAIT_MS) == 0)
		return err_set(e, ERR_UNAVAILABLE,
			"the container's processes do not end (pid %d)", made->init_pid);
	return 0;
}

/* Whoever is in the group: a runtime's helpers, or a container whose pid nobody noted. */
static int clean_group(const Cumulus__Worker__ContainerIntent *intent, const char *name,
	struct run_counts *counts, struct err *e)
{
	CLEANUP(cgroup_fini) struct cgroup g = { 0 };
	struct cgroup_counts found;

	if (cgroup_parse(&g, intent->cgroup, name, e) < 0)
		return -1;
	if (cgroup_empty(&g, RUN_CLEAN_WAIT_MS, e) < 0)
		return -1;
	cgroup_count(&g, &found);
	*counts = (struct run_counts){
		.oom_kills = found.oom_kills,
		.pids_refused = found.pids_refused,
		.peak_bytes = found.peak_bytes,
	};
	return cgroup_remove(&g, e);
}

/* Everything that the log says may run, in the order in which it dies. */
static int clean_processes(const struct run_log *log, const char *name,
	struct run_counts *counts, struct err *e)
{
	const struct run_record *r = run_log_find(log, RUN_RECORD_CONTAINER);
	CLEANUP(made_undo) Cumulus__Worker__ContainerMade *made = NULL;
	CLEANUP(intent_undo) Cumulus__Worker__ContainerIntent *intent = NULL;

	if (r) {
		made = cumulus__worker__container_made__unpack(NULL, r->len, r->payload);
		if (made && kill_init(made, e) < 0)
			return -1;
	}
	r = run_log_find(log, RUN_RECORD_INTENT);
	if (!r)
		return 0;
	intent = cumulus__worker__container_intent__unpack(NULL, r->len, r->payload);
	if (!intent)
		return err_set(e, ERR_INVALID, "the log's intent cannot be read");
	return clean_group(intent, name, counts, e);
}

/* ---- partition ---- */

static int release_partition(
	const Cumulus__Worker__RunSpec *spec, const char *chronos_dir, struct err *e)
{
	char key[RUN_KEY_SIZE];
	struct chronos_error ce;

	if (run_partition_key(key, spec, e) < 0)
		return -1;

	struct chronos *c = chronos_open(chronos_dir, &ce);
	if (!c)
		return err_set(e, ERR_UNAVAILABLE, "chronos: %s", ce.text);
	int rc = chronos_release(c, key, &ce);
	chronos_close(c);
	if (rc < 0 && ce.code != CHRONOS_NOT_FOUND)
		return err_set(e, ERR_UNAVAILABLE, "release the partition: %s", ce.text);
	return 0;
}

/* ---- the whole ---- */

static int same_boot(const Cumulus__Worker__RunSpec *spec, bool *same, struct err *e)
{
	char boot_id[BOOT_ID_SIZE];

	if (clock_boot_id(boot_id, e) < 0)
		return -1;
	*same = strcmp(boot_id, spec->boot_id) == 0;
	return 0;
}

static int clean(int dirfd, const Cumulus__Worker__RunSpec *spec,
	const struct run_log *log, const char *chronos_dir, struct run_counts *counts,
	struct err *e)
{
	char name[RUN_NAME_SIZE];
	bool same;

	*counts = (struct run_counts){ 0 };
	run_name(name, spec->start->job_id, spec->start->attempt);
	if (same_boot(spec, &same, e) < 0)
		return -1;
	if (same && clean_processes(log, name, counts, e) < 0)
		return -1;
	fault_point("processes-gone");
	if (tree_remove(dirfd, RUN_FOLDER_BUNDLE, e) < 0 ||
		tree_remove(dirfd, RUN_FOLDER_SCRATCH, e) < 0)
		return -1;
	return release_partition(spec, chronos_dir, e);
}

int run_clean(
	int dirfd, const char *chronos_dir, struct run_counts *counts, struct err *e)
{
	CLEANUP(spec_undo)
	Cumulus__Worker__RunSpec *spec = runfolder_read_spec(dirfd, e);
	CLEANUP(run_log_fini) struct run_log log = { 0 };

	if (!spec || run_log_read(dirfd, &log, e) < 0)
		return -1;
	return clean(dirfd, spec, &log, chronos_dir, counts, e);
}

static bool has_result(int dirfd)
{
	struct stat st;

	return fstatat(dirfd, RUN_FILE_RESULT, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

#define FILE_CLOCK_NS (50 * NS_PER_MS) /* times of files lag behind by a tick */

/* Was it ended by its runner since its time was up?  The runner took that along; but the
 * signal is recorded, and when that was. */
static bool was_overdue(int dirfd, const Cumulus__Worker__RunSpec *spec,
	const struct run_log *log, const struct exit_record *exit)
{
	const struct run_record *started = run_log_find(log, RUN_RECORD_STARTED);
	struct stat st;

	if (!started || exit->kind != EXIT_SIGNALED ||
		(exit->n != SIGTERM && exit->n != SIGKILL) ||
		fstatat(dirfd, RUN_FILE_EXIT, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return false;

	int64_t ended_ns = st.st_mtim.tv_sec * NS_PER_S + st.st_mtim.tv_nsec;
	return ended_ns - started->wall_ns + FILE_CLOCK_NS >=
	       spec->start->duration * NS_PER_S;
}

static int append_ended(int dirfd, const struct verdict *v, bool stopped, struct err *e)
{
	CLEANUP(buf_fini) struct buf tail = { 0 };
	Cumulus__Worker__Ended ended = CUMULUS__WORKER__ENDED__INIT;
	struct run_log_writer w;

	if (run_output_tail(dirfd, TAIL_MAX, &tail, e) < 0 ||
		run_output_end(dirfd, 0, &ended.output_end, e) < 0)
		return -1;
	CLEANUP(free_ptr) char *error = error_text(v->message, NULL, &tail);

	ended.reason = v->reason;
	ended.message = (char *)v->message;
	if (v->reason != CUMULUS__ORCHESTRATOR__REASON__REASON_NONE)
		ended.error = error;
	ended.stopped = stopped;
	if (v->has_exit_code) {
		ended.exit_case = CUMULUS__WORKER__ENDED__EXIT_EXIT_CODE;
		ended.exit_code = v->exit_code;
	}
	if (run_log_open(dirfd, &w, e) < 0)
		return -1;
	int rc = run_log_append(&w, RUN_RECORD_ENDED, &ended.base, true, e);
	run_log_close(&w);
	return rc;
}

int run_clean_and_end(
	int dirfd, const char *chronos_dir, const struct run_lost *lost, struct err *e)
{
	CLEANUP(spec_undo)
	Cumulus__Worker__RunSpec *spec = runfolder_read_spec(dirfd, e);
	CLEANUP(run_log_fini) struct run_log log = { 0 };
	struct run_counts counts;
	struct ending ending = { .runner_lost = true };
	struct verdict verdict;

	if (!spec || run_log_read(dirfd, &log, e) < 0)
		return -1;
	if (clean(dirfd, spec, &log, chronos_dir, &counts, e) < 0)
		return -1;
	if (run_log_over(&log))
		return 0;
	if (exit_record_read(dirfd, &ending.exit, e) < 0)
		return -1;
	ending.oom_kills = counts.oom_kills;
	ending.memory_limit = spec->start->limits ? spec->start->limits->memory_bytes : 0;
	ending.duration_s = spec->start->duration;
	ending.stopped = lost->stop_asked;
	ending.stop_why = lost->stop_why;
	ending.failure = lost->why;
	ending.has_result = has_result(dirfd);
	ending.deadline = was_overdue(dirfd, spec, &log, &ending.exit);
	verdict_of(&ending, &verdict);
	return append_ended(dirfd, &verdict, lost->stop_asked, e);
}
