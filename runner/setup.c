/* setup.c - brings a run from its spec to a started container. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "runner.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bundle.h"
#include "cleanup.h"
#include "clock.h"
#include "dmem.h"
#include "environment.h"
#include "fault.h"
#include "file.h"
#include "log.h"
#include "package.h"
#include "str.h"
#include "xalloc.h"

#define CHILD_WORDS_MAX ((size_t)512)
#define NO_MESSAGE      "it ended without a word"

/* ---- how a set-up fails ---- */

static int refuse(struct runner *r, Cumulus__Worker__RefusedKind kind, const char *text)
{
	r->fault = SETUP_REFUSED;
	r->refused = kind;
	line_put(r->fault_text, sizeof(r->fault_text), text, "");
	return -1;
}

static int fail(struct runner *r, const struct err *e)
{
	r->fault = SETUP_FAILED;
	r->failed = CUMULUS__ORCHESTRATOR__REASON__CONTAINER_FAILED;
	line_put(r->fault_text, sizeof(r->fault_text), e->text, "");
	return -1;
}

static int stop(struct runner *r)
{
	r->fault = SETUP_STOPPED;
	return -1;
}

static int too_slow(struct runner *r)
{
	r->fault = SETUP_FAILED;
	r->failed = CUMULUS__ORCHESTRATOR__REASON__SETUP_TIMED_OUT;
	str_put(r->fault_text, sizeof(r->fault_text), "set-up took more than %d s",
		r->start->setup_limit);
	return -1;
}

static bool give_up(void *arg)
{
	return runner_look_for_stop(arg);
}

static int64_t setup_until(const struct runner *r)
{
	return r->began_ns + r->start->setup_limit * NS_PER_S;
}

/* A child that did not end by itself: told to stop, or out of time, or broken. */
static int fail_by(struct runner *r, const struct err *e)
{
	if (e->code == ERR_CONFLICT)
		return stop(r);
	return e->code == ERR_TIMEOUT ? too_slow(r) : fail(r, e);
}

static int fail_partition(struct runner *r, const char *text)
{
	r->fault = SETUP_FAILED;
	r->failed = CUMULUS__ORCHESTRATOR__REASON__PARTITION_FAILED;
	line_put(r->fault_text, sizeof(r->fault_text), "partition: ", text);
	return -1;
}

/* ---- partition ---- */

static uint32_t job_uid(const struct runner *r)
{
	return r->spec->uid_base + JOB_UID;
}

static Cumulus__Worker__RefusedKind refusal_of(enum chronos_code code)
{
	switch (code) {
	case CHRONOS_EXHAUSTED:
		return CUMULUS__WORKER__REFUSED_KIND__REFUSED_NO_ROOM;
	case CHRONOS_INVALID:
	case CHRONOS_CONFLICT:
	case CHRONOS_DENIED:
		return CUMULUS__WORKER__REFUSED_KIND__REFUSED_INVALID;
	default:
		return CUMULUS__WORKER__REFUSED_KIND__REFUSED_TRANSIENT;
	}
}

static int create_partition(struct runner *r)
{
	const Cumulus__Worker__Start *start = r->start;
	struct chronos_error ce;
	struct err e;
	const int64_t life = (start->setup_limit + start->duration) * NS_PER_S +
			     runner_partition_slack_ns(r);
	const struct chronos_request request = {
		.key = r->key,
		.devices = (const char *const *)start->device_uuids,
		.device_count = start->n_device_uuids,
		.hundredths = (uint32_t)start->hundredths,
		.duration_ns = (uint64_t)life,
		/* Who may write its file.  The books are out of a job's reach. */
		.owner = job_uid(r),
	};

	r->chronos = chronos_open(r->options->chronos_dir, &ce);
	if (!r->chronos)
		return refuse(
			r, CUMULUS__WORKER__REFUSED_KIND__REFUSED_TRANSIENT, ce.text);
	if (gpus_find(&r->gpus, r->chronos, start->device_uuids, start->n_device_uuids,
		    &e) < 0)
		return refuse(r,
			e.code == ERR_UNSUPPORTED
				? CUMULUS__WORKER__REFUSED_KIND__REFUSED_INVALID
				: CUMULUS__WORKER__REFUSED_KIND__REFUSED_TRANSIENT,
			e.text);
	if (chronos_create(r->chronos, &request, &r->partition, NULL, &ce) < 0)
		return refuse(r, refusal_of(ce.code), ce.text);
	r->partition_ns = clock_boot_ns() - r->began_ns;
	return 0;
}

/* ---- intent and control group ---- */

static int log_intent(struct runner *r)
{
	Cumulus__Worker__ContainerIntent intent = CUMULUS__WORKER__CONTAINER_INTENT__INIT;
	struct err e;

	if (cgroup_plan(&r->cgroup, r->name, r->runtime.runc, &e) < 0)
		return fail(r, &e);

	CLEANUP(free_ptr) char *where = cgroup_format(&r->cgroup);
	intent.container_id = r->name;
	intent.cgroup = where;
	intent.partition_id = r->partition.id;
	if (run_log_append(&r->log, RUN_RECORD_INTENT, &intent.base, true, &e) < 0)
		return fail(r, &e);
	return 0;
}

static struct cgroup_limits group_limits(const struct runner *r)
{
	return (struct cgroup_limits){
		.memory_bytes = r->limits.memory_bytes,
		.pids = r->limits.pids,
		.cpus = r->limits.cpus,
		.devices = r->gpus.rules,
		.device_count = r->gpus.node_count,
		.dmem = r->dmem,
	};
}

/* Where the kernel counts the devices' memory it holds the job to its share of it. */
static void plan_dmem(struct runner *r)
{
	CLEANUP(free_ptr) char *regions = cgroup_dmem_regions();
	struct dmem_share shares[GPUS_MAX];

	if (!regions)
		return;
	for (size_t i = 0; i < r->gpus.count; i++)
		shares[i] = (struct dmem_share){ &r->gpus.devices[i],
			r->partition.hundredths };
	r->dmem = dmem_limits(regions, shares, r->gpus.count);
}

static int make_cgroup(struct runner *r)
{
	plan_dmem(r);

	const struct cgroup_limits limits = group_limits(r);
	struct err e;

	if (r->runtime.runc) /* makes them itself */
		return 0;
	return cgroup_make(&r->cgroup, &limits, &e) < 0 ? fail(r, &e) : 0;
}

/* ---- files ---- */

static int make_job_folder(struct runner *r, int scratch, const char *name, struct err *e)
{
	if (mkdirat(scratch, name, 0755) < 0)
		return err_sys(e, "make scratch/%s", name);
	/* mkdir's mode is cut by the umask. */
	if (fchmodat(scratch, name, 0755, 0) < 0 ||
		fchownat(scratch, name, job_uid(r), job_uid(r), AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(e, "give scratch/%s to the job", name);
	return 0;
}

/* crun in a user namespace forgets nosuid and nodev of a writable bind; what is inherited
 * from the mount that it binds is locked. */
static int bind_scratch(const struct runner *r, struct err *e)
{
	CLEANUP(free_ptr) char *path = str_fmt("%s/" RUN_FOLDER_SCRATCH, r->run_path);

	if (mount(path, path, NULL, MS_BIND, NULL) < 0 ||
		mount(NULL, path, NULL, MS_BIND | MS_REMOUNT | MS_NOSUID | MS_NODEV,
			NULL) < 0)
		return err_sys(e, "bind scratch");
	return 0;
}

static int make_folders(struct runner *r)
{
	struct err e;
	CLEANUP(close_fd) int bundle = dir_open(r->dirfd, RUN_FOLDER_BUNDLE, 0700, &e);
	CLEANUP(close_fd)
	int scratch = bundle < 0 ? -1 : dir_open(r->dirfd, RUN_FOLDER_SCRATCH, 0711, &e);

	if (scratch < 0 || make_job_folder(r, scratch, "src", &e) < 0 ||
		make_job_folder(r, scratch, "work", &e) < 0 || bind_scratch(r, &e) < 0)
		return fail(r, &e);
	return 0;
}

/* ---- package ---- */

struct unpacking {
	pid_t pid;
	int words; /* reading end: why it failed */
};

static int open_package(const struct runner *r, struct err *e)
{
	struct stat st;
	CLEANUP(close_fd)
	int fd = open(r->spec->package_path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, "package %s", r->spec->package_path);
	/* The job reads it as /job/code.zip; on the host its folder keeps others out. */
	if (!(st.st_mode & S_IROTH) && fchmod(fd, 0644) < 0)
		return err_sys(e, "package %s", r->spec->package_path);
	return take_fd(&fd);
}

/* Limits first: 0 is "as much as the ZIP may have". */
static uint64_t unpack_limit(const struct runner *r)
{
	return r->limits.disk_bytes > 0 ? (uint64_t)r->limits.disk_bytes
					: PACKAGE_BYTES_MAX;
}

static int begin_unpacking(struct runner *r, struct unpacking *u)
{
	struct err e;
	int ends[2];
	CLEANUP(close_fd) int zip = open_package(r, &e);
	CLEANUP(close_fd)
	int folder = openat(
		r->dirfd, RUN_FOLDER_SCRATCH "/src", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (zip < 0)
		return fail(r, &e);
	if (folder < 0 || pipe2(ends, O_CLOEXEC) < 0) {
		err_sys(&e, "unpack the package");
		return fail(r, &e);
	}
	CLEANUP(close_fd) int to = ends[1];
	u->words = ends[0];
	u->pid = r->runtime.runc ? fork() : cgroup_fork(&r->cgroup);
	if (u->pid < 0) {
		err_sys(&e, "fork");
		return fail(r, &e);
	}
	if (u->pid == 0)
		package_extract_and_exit(zip, folder, unpack_limit(r), job_uid(r),
			r->start->setup_limit, to);
	return 0;
}

static int explain_unpacking(struct runner *r, int words_fd, int status)
{
	char words[CHILD_WORDS_MAX + 1], name[24];
	struct err e;
	ssize_t n = read(words_fd, words, CHILD_WORDS_MAX);

	words[n > 0 ? n : 0] = '\0';
	if (WIFSIGNALED(status))
		err_set(&e, ERR_INVALID, "package: unpacking it was killed by %s",
			signal_name(WTERMSIG(status), name));
	else
		err_set(&e, ERR_INVALID, "%s", *words ? words : "package: " NO_MESSAGE);
	return fail(r, &e);
}

static int end_unpacking(struct runner *r, struct unpacking *u)
{
	CLEANUP(close_fd) int words = u->words;
	const struct patience patience = { setup_until(r), r->inotify, give_up, r };
	struct err e;
	int status;

	if (child_wait(u->pid, &patience, &status, &e) < 0)
		return fail_by(r, &e);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	return explain_unpacking(r, words, status);
}

/* ---- container ---- */

/* The caller frees the array, and only that. */
static const char **job_args(const struct runner *r)
{
	static const char *const program[] = { JOB_PROGRAM_INIT, "/opt/cumulus/filter",
		"/usr/bin/python3", "-I", "-S", "-B", "/opt/cumulus/start.py" };
	const size_t own = sizeof(program) / sizeof(*program);
	const char **args = xcalloc(own + r->start->n_args + 1, sizeof(*args));

	memcpy(args, program, sizeof(program));
	for (size_t i = 0; i < r->start->n_args; i++)
		args[own + i] = r->start->args[i];
	return args;
}

static int make_hold(struct runner *r, int bundle, const char *bundle_path)
{
	const struct hold_source from = {
		.chronos = r->chronos,
		.partition = &r->partition,
		.gpus = &r->gpus,
		.root_folder = r->options->root_folder,
		.bundle = bundle,
		.bundle_path = bundle_path,
	};
	struct err e;

	if (hold_make(&r->hold, &from, &e) == 0)
		return 0;
	if (e.code == ERR_UNAVAILABLE)
		return refuse(
			r, CUMULUS__WORKER__REFUSED_KIND__REFUSED_TRANSIENT, e.text);
	return fail_partition(r, e.text);
}

/* What is not the job's to set, or would change how others' code runs, is left out. */
static int say_left_out(struct runner *r, const struct environment *env, struct err *e)
{
	for (size_t i = 0; i < r->start->n_env; i++) {
		const char *name = r->start->env[i]->key;

		if (!environment_has(env, name, r->start->env[i]->value) &&
			runner_say(r, e,
				"variable %.128s is not set as asked: it is not "
				"the job's to set\n",
				name) < 0)
			return -1;
	}
	return 0;
}

static int write_bundle(struct runner *r)
{
	struct err e;
	const struct cgroup_limits limits = group_limits(r);
	CLEANUP(environment_fini) struct environment env = { 0 };
	CLEANUP(free_ptr) char *scratch = str_fmt("%s/" RUN_FOLDER_SCRATCH, r->run_path);
	CLEANUP(free_ptr) char *group = str_fmt("cumulus/%s", r->name);
	CLEANUP(free_ptr) const char **args = job_args(r);
	CLEANUP(free_ptr) char *path = str_fmt("%s/" RUN_FOLDER_BUNDLE, r->run_path);
	CLEANUP(close_fd) int bundle = dir_open(r->dirfd, RUN_FOLDER_BUNDLE, 0700, &e);

	if (bundle < 0)
		return fail(r, &e);
	if (make_hold(r, bundle, path) < 0)
		return -1;
	environment_fill(&env, r);
	if (say_left_out(r, &env, &e) < 0)
		return fail(r, &e);

	const struct bundle b = {
		.root = r->options->root_folder,
		.package = r->spec->package_path,
		.scratch = scratch,
		.environment = str_empty(r->spec->environment_path)
				       ? NULL
				       : r->spec->environment_path,
		.uid_base = r->spec->uid_base,
		.tmp_bytes = r->limits.memory_bytes / 2,
		.file_bytes = r->limits.disk_bytes,
		.args = args,
		.env = (const char *const *)env.texts,
		.binds = r->hold.binds,
		.bind_count = r->hold.bind_count,
		.nodes = (const char *const *)r->gpus.nodes,
		.node_count = r->gpus.node_count,
		.groups = r->gpus.groups,
		.group_count = r->gpus.group_count,
		.cwd = "/job/src",
		.cgroup_path = r->runtime.runc ? group : NULL,
		.limits = &limits,
	};
	return bundle_write(bundle, &b, &e) < 0 ? fail(r, &e) : 0;
}

static int start_container(struct runner *r)
{
	const struct patience patience = { setup_until(r), r->inotify, give_up, r };
	const struct container_start start = {
		.runtime = &r->runtime,
		.cgroup = &r->cgroup,
		.dirfd = r->dirfd,
		.run_path = r->run_path,
		.id = r->name,
		.patience = &patience,
	};
	struct err e;
	int64_t before = clock_boot_ns();

	if (container_start(&r->container, &start, &e) < 0)
		return fail_by(r, &e);
	r->started_ns = clock_boot_ns();
	r->container_ns = r->started_ns - before;
	return 0;
}

static int log_container(struct runner *r, struct err *e)
{
	Cumulus__Worker__ContainerMade made = CUMULUS__WORKER__CONTAINER_MADE__INIT;
	char boot_id[BOOT_ID_SIZE];

	if (clock_boot_id(boot_id, e) < 0)
		return -1;
	made.init_pid = r->container.init;
	made.init_start_time = r->container.init_start_time;
	made.boot_id = boot_id;
	return run_log_append(&r->log, RUN_RECORD_CONTAINER, &made.base, false, e);
}

static int log_started(struct runner *r, struct err *e)
{
	Cumulus__Worker__Started started = CUMULUS__WORKER__STARTED__INIT;
	int32_t indexes[GPUS_MAX];

	for (size_t i = 0; i < r->gpus.count; i++)
		indexes[i] = (int32_t)r->gpus.devices[i].index;
	started.partition_id = r->partition.id;
	started.container_id = r->name;
	started.device_indexes = indexes;
	started.n_device_indexes = r->gpus.count;
	started.boottime_ns = r->started_ns;
	started.output_at = r->output.end;
	return run_log_append(&r->log, RUN_RECORD_STARTED, &started.base, true, e);
}

/* The job's time counts from now; what is left of the set-up's is not its own. */
static int log_start(struct runner *r)
{
	struct chronos_error ce;
	struct err e;
	const int64_t life = r->start->duration * NS_PER_S + runner_partition_slack_ns(r);

	if (log_container(r, &e) < 0 || log_started(r, &e) < 0)
		return fail(r, &e);
	fault_point("started");
	if (chronos_renew(r->chronos, r->partition.id, (uint64_t)life, NULL, &ce) < 0)
		return fail_partition(r, ce.text);
	if (r->dmem && chronos_note_dmem(r->chronos, r->partition.id, &ce) < 0)
		return fail_partition(r, ce.text);
	return 0;
}

/* Unpacking runs beside what does not need it. */
static int prepare_container(struct runner *r)
{
	struct unpacking u;

	if (make_cgroup(r) < 0 || make_folders(r) < 0 || begin_unpacking(r, &u) < 0)
		return -1;

	int rc = write_bundle(r);
	return end_unpacking(r, &u) < 0 ? -1 : rc;
}

int runner_set_up(struct runner *r)
{
	struct err e;

	if (runner_look_for_stop(r))
		return stop(r);
	if (container_prepare(&e) < 0 ||
		runtime_find(&r->runtime, r->options->runtime, &e) < 0)
		return refuse(r, CUMULUS__WORKER__REFUSED_KIND__REFUSED_INVALID, e.text);
	if (create_partition(r) < 0)
		return -1;
	fault_point("partition");
	if (log_intent(r) < 0)
		return -1;
	fault_point("intent");
	if (prepare_container(r) < 0)
		return -1;
	fault_point("prepared");
	if (start_container(r) < 0)
		return -1;
	fault_point("container");
	return log_start(r);
}
