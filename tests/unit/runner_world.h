/* runner_world.h - run folders, a root folder and simulated devices for tests of the runner. */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zip.h>

#include <cmocka.h>

#include "cgroup.h"
#include "chronos.h"
#include "cleanup.h"
#include "clock.h"
#include "file.h"
#include "id.h"
#include "procs.h"
#include "rootfs.h"
#include "runclean.h"
#include "runfolder.h"
#include "str.h"

#define WORLD_WAIT_MS 60000
/* Outside the ranges that a worker hands out, and each test program its own. */
#define WORLD_UID_FIRST UINT32_C(0x60000000)
#define WORLD_UID_COUNT 4000

struct world {
	char base[64];
	char bin[PATH_MAX];
	char *root;
	char chronos_dir[80];
	int runs_fd;
	uint32_t uid_base;
	const char *runtime;
};

/* One run: what is asked for, and what came of it. */
struct trial {
	struct world *w;
	const char *main_py;
	const char *package; /* a ZIP made elsewhere; NULL: of main_py */
	const char *const *args;
	int32_t duration;
	int32_t grace;
	int64_t memory, output, result, disk;
	int32_t pids;
	const char *fault; /* CUMULUS_FAULT */

	char job[ID_SIZE];
	char name[RUN_NAME_SIZE];
	int dirfd;
	pid_t runner;
	int status;                      /* of the runner */
	Cumulus__Worker__Report *report; /* the last one */
	struct buf out;                  /* data of all streams */
	int64_t left[3];                 /* bytes of each */
};

#define assert_ok(call)                                                                  \
	do {                                                                             \
		struct err e_ = { 0 };                                                   \
		struct err *e = &e_;                                                     \
		if ((call) < 0)                                                          \
			fail_msg("%s: %s", #call, e->text);                              \
	} while (0)

static inline void world_init(struct world *w)
{
	struct err why;
	struct chronos_error ce;
	struct chronos_device_spec spec = { CHRONOS_DEVICES_SIMULATED, 2 };
	struct chronos_device devices[CHRONOS_DEVICES_MAX];
	size_t n;
	ssize_t len;

	memset(w, 0, sizeof *w);
	/* What a killed runner leaves becomes ours to reap. */
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
	w->uid_base = WORLD_UID_FIRST + (uint32_t)(getpid() % WORLD_UID_COUNT) * 65536;
	w->runtime = getenv("TEST_RUNTIME") ? getenv("TEST_RUNTIME") : "auto";
	snprintf(w->base, sizeof w->base, "/var/tmp/test_runner.XXXXXX");
	assert_non_null(mkdtemp(w->base));
	assert_int_equal(chmod(w->base, 0711), 0);

	len = readlink("/proc/self/exe", w->bin, sizeof w->bin - 1);
	assert_true(len > 0);
	w->bin[len] = '\0';
	*strrchr(w->bin, '/') = '\0';
	*strrchr(w->bin, '/') = '\0';

	CLEANUP(free_ptr) char *init = str_fmt("%s/bin/cumulus-init", w->bin);
	CLEANUP(free_ptr) char *harness = str_fmt("%s/lib/cumulus/harness.py", w->bin);
	CLEANUP(free_ptr) char *lib = str_fmt("%s/lib/cumulus/cumulus.py", w->bin);
	CLEANUP(free_ptr) char *start = str_fmt("%s/lib/cumulus/start.py", w->bin);
	CLEANUP(free_ptr) char *compiled = str_fmt("%s/lib/cumulus/harness.pyc", w->bin);
	const struct rootfs_sources sources = {
		.init = init,
		.start = start,
		.harness = harness,
		.compiled = compiled,
		.job_lib = lib,
	};
	w->root = rootfs_build(w->base, &sources, &why);
	if (!w->root)
		fail_msg("rootfs_build: %s", why.text);

	snprintf(w->chronos_dir, sizeof w->chronos_dir, "%s/chronos", w->base);
	struct chronos *c = chronos_open(w->chronos_dir, &ce);
	assert_non_null(c);
	assert_int_equal(
		chronos_devices_discover(&spec, devices, CHRONOS_DEVICES_MAX, &n, &ce),
		0);
	assert_int_equal(chronos_devices_register(c, devices, n, &ce), 0);
	chronos_close(c);

	w->runs_fd = open(w->base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(w->runs_fd >= 0);
	int runs = dir_open(w->runs_fd, "runs", 0700, &why);
	assert_true(runs >= 0);
	close(w->runs_fd);
	w->runs_fd = runs;
}

static inline void world_fini(struct world *w)
{
	assert_ok(tree_remove(AT_FDCWD, w->base, e));
	close(w->runs_fd);
	free(w->root);
}

/* ---- packages ---- */

static inline zip_t *zip_begin(const char *path)
{
	int code;
	zip_t *z = zip_open(path, ZIP_CREATE | ZIP_TRUNCATE, &code);

	assert_non_null(z);
	return z;
}

static inline zip_int64_t zip_put(
	zip_t *z, const char *name, const void *data, size_t len)
{
	zip_source_t *s = zip_source_buffer(z, data, len, 0);
	zip_int64_t i = zip_file_add(z, name, s, ZIP_FL_ENC_UTF_8);

	assert_true(i >= 0);
	return i;
}

static inline char *zip_of(struct world *w, const char *main_py)
{
	char *path = str_fmt("%s/package.zip", w->base);
	zip_t *z = zip_begin(path);

	zip_put(z, "main.py", main_py, strlen(main_py));
	assert_int_equal(zip_close(z), 0);
	return path;
}

/* ---- runs ---- */

static inline void trial_create(struct trial *t)
{
	Cumulus__Worker__RunSpec spec = CUMULUS__WORKER__RUN_SPEC__INIT;
	Cumulus__Worker__Start start = CUMULUS__WORKER__START__INIT;
	Cumulus__Worker__RunLimits limits = CUMULUS__WORKER__RUN_LIMITS__INIT;
	char boot[BOOT_ID_SIZE], worker[ID_SIZE];
	static char uuid[96];
	static char *uuids[] = { uuid };
	struct chronos_device d[2];
	struct chronos_error ce;
	size_t n;
	CLEANUP(free_ptr)
	char *package = t->package ? strdup(t->package) : zip_of(t->w, t->main_py);

	struct chronos *c = chronos_open(t->w->chronos_dir, &ce);
	assert_non_null(c);
	assert_int_equal(chronos_devices(c, d, 2, &n, &ce), 0);
	chronos_close(c);
	snprintf(uuid, sizeof uuid, "%s", d[0].uuid);

	id_make(t->job, 'j');
	id_make(worker, 'w');
	assert_ok(clock_boot_id(boot, e));
	start.job_id = t->job;
	start.attempt = 1;
	start.device_uuids = uuids;
	start.n_device_uuids = 1;
	start.hundredths = 50;
	start.duration = t->duration ? t->duration : 30;
	start.grace = t->grace ? t->grace : 2;
	start.setup_limit = 60;
	for (; t->args && t->args[start.n_args]; start.n_args++)
		;
	start.args = (char **)(uintptr_t)t->args;
	limits.memory_bytes = t->memory ? t->memory : (int64_t)256 << 20;
	limits.pids = t->pids ? t->pids : 64;
	limits.cpus = 1;
	limits.output_bytes = t->output;
	limits.result_bytes = t->result;
	limits.disk_bytes = t->disk;
	start.limits = &limits;
	spec.format = RUNFOLDER_FORMAT;
	spec.worker_id = worker;
	spec.boot_id = boot;
	spec.start = &start;
	spec.uid_base = t->w->uid_base;
	spec.package_path = package;
	run_name(t->name, t->job, 1);
	assert_ok(runfolder_create(t->w->runs_fd, &spec, e));

	struct err why;
	t->dirfd = runfolder_open(t->w->runs_fd, t->name, &why);
	assert_true(t->dirfd >= 0);
}

/* Start the runner; its stdio as the worker gives it. */
static inline void trial_start(struct trial *t)
{
	CLEANUP(free_ptr) char *program = str_fmt("%s/bin/cumulus-runner", t->w->bin);
	CLEANUP(free_ptr) char *folder = str_fmt("%s/runs/%s", t->w->base, t->name);
	int in[2], out[2];

	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	close(in[1]);
	close(out[0]);
	t->runner = fork();
	assert_true(t->runner >= 0);
	if (t->runner == 0) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		setsid();
		if (t->fault)
			setenv("CUMULUS_FAULT", t->fault, 1);
		execl(program, program, "--run-folder", folder, "--root-folder",
			t->w->root, "--chronos-dir", t->w->chronos_dir, "--runtime",
			t->w->runtime, "--log-level", "warn", (char *)NULL);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
}

static inline void trial_wait(struct trial *t)
{
	int pidfd = process_open_child(t->runner);
	struct pollfd p = { pidfd, POLLIN, 0 };

	assert_true(pidfd >= 0);
	if (poll(&p, 1, WORLD_WAIT_MS) <= 0) {
		kill(t->runner, SIGKILL);
		waitpid(t->runner, NULL, 0);
		fail_msg("the runner of %s did not end", t->name);
	}
	close(pidfd);
	assert_int_equal(waitpid(t->runner, &t->status, 0), t->runner);
}

static inline void trial_read(struct trial *t)
{
	CLEANUP(buf_fini) struct buf frames = { 0 };
	struct run_state state;
	struct frame f;
	int64_t at = 0;

	assert_ok(runfolder_state(t->dirfd, 0, &state, e));
	struct err why;
	t->report = runfolder_read_report(t->dirfd, t->job, 1, state.last_report, &why);
	if (!t->report)
		fail_msg("read report: %s", why.text);
	while (at < state.output_end) {
		buf_clear(&frames);
		assert_ok(run_output_read(t->dirfd, at, 1 << 20, &frames, e));
		assert_true(frames.len > 0);
		for (size_t i = 0; i < frames.len; i += f.size) {
			assert_int_equal(frame_read(frames.data + i, frames.len - i, &f),
				FRAME_OK);
			t->left[f.stream] += (int64_t)f.len;
			if (t->out.len < (1 << 20))
				buf_add(&t->out, f.data, f.len);
		}
		at += (int64_t)frames.len;
	}
	buf_add(&t->out, "", 1);
}

/* Run it to its end and read what it left. */
static inline void trial_run(struct trial *t)
{
	trial_create(t);
	trial_start(t);
	trial_wait(t);
	trial_read(t);
}

static inline const Cumulus__Worker__Ended *trial_ended(const struct trial *t)
{
	if (t->report->kind_case == CUMULUS__WORKER__REPORT__KIND_REFUSED)
		fail_msg("refused: %s", t->report->refused->text);
	assert_int_equal(t->report->kind_case, CUMULUS__WORKER__REPORT__KIND_ENDED);
	return t->report->ended;
}

static inline void assert_reason(
	const struct trial *t, Cumulus__Orchestrator__Reason reason, const char *message)
{
	const Cumulus__Worker__Ended *ended = trial_ended(t);

	if (ended->reason != reason || strcmp(ended->message, message) != 0)
		fail_msg("reason %d \"%s\", expected %d \"%s\"; error: %s; output: %s",
			ended->reason, ended->message, reason, message, ended->error,
			(char *)t->out.data);
}

static inline void assert_contains(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("\"%s\" is not in: %s", part, text);
}

/* ---- nothing is left ---- */

static inline void assert_no_cgroup(const char *name)
{
	CLEANUP(cgroup_fini) struct cgroup g = { 0 };
	struct stat st;

	assert_ok(cgroup_plan(&g, name, true, e));
	for (size_t i = 0; i < CGROUP_CONTROLLERS; i++) {
		if (g.dirs[i] && stat(g.dirs[i], &st) == 0)
			fail_msg("%s is left", g.dirs[i]);
	}
	for (size_t i = 0; i < g.other_count; i++) {
		if (stat(g.others[i], &st) == 0)
			fail_msg("%s is left", g.others[i]);
	}
}

/* No process has a user id of the run's range. */
static inline void assert_no_process(const struct world *w)
{
	DIR *dir = opendir("/proc");
	struct dirent *it;

	assert_non_null(dir);
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	while ((it = readdir(dir))) {
		char path[300];
		struct stat st;

		snprintf(path, sizeof path, "/proc/%s", it->d_name);
		if (it->d_name[0] < '0' || it->d_name[0] > '9' || stat(path, &st) < 0)
			continue;
		if (st.st_uid >= w->uid_base && st.st_uid < w->uid_base + 65536)
			fail_msg("process %s of the run is left", it->d_name);
	}
	closedir(dir);
}

static inline void assert_no_mount(const char *name)
{
	CLEANUP(buf_fini) struct buf text = { 0 };

	assert_ok(file_read(AT_FDCWD, "/proc/self/mountinfo", 4 << 20, &text, e));
	buf_add(&text, "", 1);
	if (strstr((char *)text.data, name))
		fail_msg("a mount of %s is left", name);
}

static inline void assert_no_partition(struct world *w)
{
	struct chronos_error ce;
	struct chronos *c = chronos_open(w->chronos_dir, &ce);
	struct chronos_partition *list;
	size_t n;

	assert_non_null(c);
	assert_int_equal(chronos_list(c, &list, &n, &ce), 0);
	chronos_partitions_free(list);
	chronos_close(c);
	assert_int_equal(n, 0);
}

static inline void assert_nothing_left(const struct trial *t)
{
	struct stat st;

	assert_no_cgroup(t->name);
	assert_no_process(t->w);
	assert_no_mount(t->name);
	assert_no_partition(t->w);
	assert_int_equal(fstatat(t->dirfd, RUN_FOLDER_BUNDLE, &st, 0), -1);
	assert_int_equal(fstatat(t->dirfd, RUN_FOLDER_SCRATCH, &st, 0), -1);
	assert_int_equal(stat("/dev/null", &st), 0);
	assert_int_equal(st.st_uid, 0);
	assert_int_equal(st.st_mode & 07777, 0666);
}

static inline void trial_fini(struct trial *t)
{
	assert_nothing_left(t);
	assert_ok(runfolder_remove(t->w->runs_fd, t->name, e));
	if (t->report)
		cumulus__worker__report__free_unpacked(t->report, NULL);
	buf_fini(&t->out);
	close(t->dirfd);
}
