/* runner.c - takes a run folder over, and lets it go. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "runner.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "log.h"
#include "str.h"

/* Where a spec leaves a limit open; the rest is the machine's. */
#define DEFAULT_PIDS    512
#define DEFAULT_OUTPUT  ((int64_t)64 << 20)
#define DEFAULT_RESULT  ((int64_t)(7 << 19)) /* 3.5 MiB */
#define DEFAULT_DISK    ((int64_t)2 << 30)
#define DEFAULT_MEMORY  ((int64_t)4 << 30)
#define DEFAULT_SETUP_S 600
#define DEFAULT_GRACE_S 3
#define GRACE_MAX_S     3600
/* From SIGKILL to a released partition; see runner_partition_slack_ns(). */
#define CLEANING_S 30

static int64_t default_memory(void)
{
	struct sysinfo info;
	int64_t half = INT64_MAX;

	if (sysinfo(&info) == 0)
		half = (int64_t)(info.totalram * info.mem_unit / 2);
	return half < DEFAULT_MEMORY ? half : DEFAULT_MEMORY;
}

static void fill_limits(struct runner *r)
{
	Cumulus__Worker__RunLimits *l = &r->limits;
	Cumulus__Worker__Start *start = r->spec->start;

	cumulus__worker__run_limits__init(l);
	if (start->limits)
		*l = *start->limits;
	if (l->cpus <= 0)
		l->cpus = (double)sysconf(_SC_NPROCESSORS_ONLN);
	if (l->memory_bytes <= 0)
		l->memory_bytes = default_memory();
	if (l->pids <= 0)
		l->pids = DEFAULT_PIDS;
	if (l->output_bytes <= 0)
		l->output_bytes = DEFAULT_OUTPUT;
	if (l->result_bytes <= 0)
		l->result_bytes = DEFAULT_RESULT;
	if (l->result_bytes > (int64_t)RUN_RESULT_MAX)
		l->result_bytes = (int64_t)RUN_RESULT_MAX;
	if (l->disk_bytes <= 0)
		l->disk_bytes = DEFAULT_DISK;
	if (start->setup_limit <= 0)
		start->setup_limit = DEFAULT_SETUP_S;
	if (start->grace <= 0)
		start->grace = DEFAULT_GRACE_S;
	if (start->grace > GRACE_MAX_S)
		start->grace = GRACE_MAX_S;
}

int64_t runner_partition_slack_ns(const struct runner *r)
{
	return 2 * r->grace_ns + CLEANING_S * NS_PER_S;
}

/* A run begins once: any record but those of its preparation says that it has. */
static int check_fresh(int dirfd, struct err *e)
{
	CLEANUP(run_log_fini) struct run_log log = { 0 };

	if (run_log_read(dirfd, &log, e) < 0)
		return -1;
	for (size_t i = 0; i < log.count; i++) {
		if (log.records[i].type != RUN_RECORD_SETTING_UP)
			return err_set(e, ERR_CONFLICT, "this run has begun before");
	}
	return 0;
}

/* Watched before it is looked for, so that none is missed. */
static int watch_for_stop(struct runner *r, struct err *e)
{
	r->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (r->inotify < 0)
		return err_sys(e, "make an inotify");
	if (inotify_add_watch(r->inotify, r->run_path, IN_MOVED_TO | IN_ONLYDIR) < 0)
		return err_sys(e, "watch the run folder");
	return 0;
}

bool runner_look_for_stop(struct runner *r)
{
	char events[4096];
	struct err e;
	bool asked = false;
	int32_t grace = 0;
	Cumulus__Worker__StopWhy why = CUMULUS__WORKER__STOP_WHY__STOP_CANCEL;

	while (read(r->inotify, events, sizeof(events)) > 0)
		;
	r->stop_unseen = false;
	if (runfolder_read_stop(r->dirfd, &asked, &why, &grace, &e) < 0) {
		log_warn("stop cannot be read", "run", r->name, "error", e.text, NULL);
		/* One that makes no sense is still one: somebody wants this run to end.  For
		 * want of descriptors or a disk it may not even be there: see later. */
		asked = e.code == ERR_INVALID || e.code == ERR_UNSUPPORTED;
		r->stop_unseen = !asked;
	}
	if (!asked)
		return r->stopped;
	r->stopped = true;
	r->stop_why = why;
	if (grace <= 0)
		grace = r->start->grace;
	r->stop_grace_ns = (grace > GRACE_MAX_S ? GRACE_MAX_S : grace) * NS_PER_S;
	return true;
}

static int open_files(struct runner *r, struct err *e)
{
	if (run_log_open(r->dirfd, &r->log, e) < 0)
		return -1;
	if (run_output_open(r->dirfd, r->limits.output_bytes, &r->output, e) < 0)
		return -1;
	return watch_for_stop(r, e);
}

static int open_all(struct runner *r, struct err *e)
{
	r->run_path = realpath(r->options->run_folder, NULL);
	if (!r->run_path)
		return err_sys(e, "%s", r->options->run_folder);
	r->dirfd = runfolder_open(AT_FDCWD, r->run_path, e);
	if (r->dirfd < 0)
		return -1;
	r->lock = runfolder_lock(r->dirfd, e);
	if (r->lock < 0 || check_fresh(r->dirfd, e) < 0)
		return -1;
	r->spec = runfolder_read_spec(r->dirfd, e);
	if (!r->spec || run_partition_key(r->key, r->spec, e) < 0)
		return -1;
	fill_limits(r);
	r->start = r->spec->start;
	r->grace_ns = r->start->grace * NS_PER_S;
	run_name(r->name, r->start->job_id, r->start->attempt);
	channel_init(&r->channel, (size_t)r->limits.result_bytes);
	return open_files(r, e);
}

int runner_open(struct runner *r, const struct options *o, struct err *e)
{
	*r = (struct runner){
		.options = o,
		.dirfd = -1,
		.lock = -1,
		.inotify = -1,
		.log = { .fd = -1 },
		.output = { .fd = -1 },
		.container = { .pidfd = -1,
			.out = -1,
			.err = -1,
			.channel = -1,
			.lifeline = -1 },
		.began_ns = clock_boot_ns(),
	};
	if (open_all(r, e) == 0)
		return 0;
	runner_close(r);
	return -1;
}

int runner_say(struct runner *r, struct err *e, const char *format, ...)
{
	char line[256];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	return run_output_write(&r->output, FRAME_SYSTEM, line, strlen(line), e);
}

void runner_close(struct runner *r)
{
	container_close(&r->container);
	channel_fini(&r->channel);
	cgroup_fini(&r->cgroup);
	runtime_fini(&r->runtime);
	hold_fini(&r->hold);
	gpus_fini(&r->gpus);
	free(r->dmem);
	chronos_close(r->chronos);
	run_output_close(&r->output);
	run_log_close(&r->log);
	close_fd(&r->inotify);
	if (r->spec)
		cumulus__worker__run_spec__free_unpacked(r->spec, NULL);
	close_fd(&r->lock); /* last: until here the folder is ours */
	close_fd(&r->dirfd);
	free(r->run_path);
}
