/* finish.c - takes everything of a run away, then writes how it ended. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "runner.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "cleanup.h"
#include "clock.h"
#include "fault.h"
#include "file.h"
#include "log.h"
#include "str.h"

#define TAIL_MAX       (RUN_ERROR_MAX - RUN_MESSAGE_MAX)
#define CLEAN_TRIES    60
#define CLEAN_RETRY_MS 1000

/* ---- cleaning ---- */

static void unbind_scratch(const struct runner *r)
{
	CLEANUP(free_ptr) char *path = str_fmt("%s/" RUN_FOLDER_SCRATCH, r->run_path);

	/* Not there when the set-up did not come so far. */
	umount2(path, MNT_DETACH);
}

/* As long as something of the job lives, its share must stay its own. */
static void keep_partition(const struct runner *r)
{
	struct chronos_error ce;

	if (r->chronos && chronos_renew(r->chronos, r->key,
				  (uint64_t)runner_partition_slack_ns(r), NULL, &ce) < 0)
		log_warn("the partition cannot be renewed", "run", r->name, "error",
			ce.text, NULL);
}

/* A process in the kernel's hands can take its time to die. */
static int clean(struct runner *r, struct run_counts *counts, struct err *e)
{
	close_fd(&r->container.lifeline);
	unbind_scratch(r);
	for (int try = 0; try < CLEAN_TRIES; try++) {
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		if (run_clean(r->dirfd, r->options->chronos_dir, counts, e) == 0)
			return 0;
		if (e->code != ERR_UNAVAILABLE)
			return -1;
		log_warn("not clean yet", "run", r->name, "error", e->text, NULL);
		keep_partition(r);
		poll(NULL, 0, CLEAN_RETRY_MS);
	}
	return -1;
}

void runner_abandon(struct runner *r)
{
	struct chronos_error ce = { 0 };
	struct err e = { 0 };

	log_error("the run's folder was removed; it is ended without a report", "run",
		r->name, NULL);
	close_fd(&r->container.lifeline);
	unbind_scratch(r);
	if (cgroup_empty(&r->cgroup, CLEAN_TRIES * CLEAN_RETRY_MS, &e) < 0 ||
		cgroup_remove(&r->cgroup, &e) < 0)
		log_error(
			"its control group stays", "run", r->name, "error", e.text, NULL);
	else if (r->chronos && chronos_release(r->chronos, r->key, &ce) < 0 &&
		 ce.code != CHRONOS_NOT_FOUND)
		log_error("its partition stays until it expires", "run", r->name, "error",
			ce.text, NULL);
}

/* ---- the last words ---- */

/* What a person would ask about, in the output itself. */
static int say_limits(struct runner *r, const struct run_counts *counts,
	const struct verdict *v, struct err *e)
{
	if (r->output.lost &&
		runner_say(r, e,
			"output limit of %" PRId64 " bytes reached: %" PRId64
			" bytes of output were not kept\n",
			r->output.limit, r->output.lost) < 0)
		return -1;
	if (counts->oom_kills &&
		v->reason != CUMULUS__ORCHESTRATOR__REASON__OUT_OF_MEMORY &&
		runner_say(r, e,
			"%" PRId64
			" process(es) of the job were killed for want of memory\n",
			counts->oom_kills) < 0)
		return -1;
	if (counts->pids_refused &&
		runner_say(r, e, "the limit of %d processes was reached\n",
			r->limits.pids) < 0)
		return -1;
	return 0;
}

/* ---- the verdict ---- */

static void judge(const struct runner *r, const struct run_counts *counts,
	const struct exit_record *exit, const struct channel_end *end, struct verdict *v)
{
	const struct ending ending = {
		.exit = *exit,
		.oom_kills = counts->oom_kills,
		.result = end->kind,
		.failure = end->message,
		.traceback = end->traceback,
		.result_limit = r->limits.result_bytes,
		.memory_limit = r->limits.memory_bytes,
		.duration_s = r->start->duration,
		.deadline = r->deadline,
		.disk_full = r->disk_full,
		.share_gone = r->share_gone,
		.disk_limit = r->limits.disk_bytes,
		.stopped = r->stopped,
		.stop_why = r->stop_why,
	};

	verdict_of(&ending, v);
}

/* A run without a container: the set-up said why. */
static void judge_setup(const struct runner *r, struct verdict *v)
{
	*v = (struct verdict){ .reason = r->failed };
	if (r->fault == SETUP_FAILED) {
		str_join(v->message, sizeof(v->message), r->fault_text, "", "");
		return;
	}
	const struct ending ending = {
		.stopped = true, .stop_why = r->stop_why, .duration_s = r->start->duration
	};
	verdict_of(&ending, v);
}

/* ---- the record ---- */

static void fill_timing(const struct runner *r, Cumulus__Orchestrator__Timing *t)
{
	t->environment_ns = r->spec->environment_ns;
	t->partition_ns = r->partition_ns;
	t->container_ns = r->container_ns;
	if (!r->started_ns || !r->channel.main_boot_ns)
		return;
	t->python_ns = r->channel.main_boot_ns - r->started_ns;
	t->run_ns = r->ended_ns - r->channel.main_boot_ns;
}

static bool fill_usage(const struct runner *r, Cumulus__Orchestrator__GpuUsage *m)
{
	m->memory_quota_bytes = (int64_t)r->usage.quota_bytes;
	m->memory_peak_bytes = (int64_t)r->usage.peak_bytes;
	m->time_ns = (int64_t)r->usage.time_ns;
	m->refusals = (int64_t)r->usage.refusals;
	m->overruns = (int64_t)r->usage.overruns;
	m->overrun_ns = (int64_t)r->usage.overrun_ns;
	return r->usage.quota_bytes > 0;
}

static int append_ended(
	struct runner *r, const struct verdict *v, const char *traceback, struct err *e)
{
	CLEANUP(buf_fini) struct buf tail = { 0 };
	Cumulus__Worker__Ended ended = CUMULUS__WORKER__ENDED__INIT;
	Cumulus__Orchestrator__Timing timing = CUMULUS__ORCHESTRATOR__TIMING__INIT;
	Cumulus__Orchestrator__GpuUsage usage = CUMULUS__ORCHESTRATOR__GPU_USAGE__INIT;
	bool failed = v->reason != CUMULUS__ORCHESTRATOR__REASON__REASON_NONE;

	if (failed && str_empty(traceback) &&
		run_output_tail(r->dirfd, TAIL_MAX, &tail, e) < 0)
		return -1;
	CLEANUP(free_ptr) char *error = error_text(v->message, traceback, &tail);

	ended.reason = v->reason;
	ended.message = (char *)v->message;
	if (failed)
		ended.error = error;
	else if (r->channel.document.len <= RUN_RESULT_INLINE)
		ended.result = (ProtobufCBinaryData){ r->channel.document.len,
			r->channel.document.data };
	if (v->has_exit_code) {
		ended.exit_case = CUMULUS__WORKER__ENDED__EXIT_EXIT_CODE;
		ended.exit_code = v->exit_code;
	}
	ended.output_end = r->output.end;
	ended.output_dropped = r->output.lost;
	ended.stopped = r->stopped && !r->deadline && !r->disk_full;
	fill_timing(r, &timing);
	ended.timing = &timing;
	if (fill_usage(r, &usage))
		ended.gpu_usage = &usage;
	if (run_log_append(&r->log, RUN_RECORD_ENDED, &ended.base, true, e) < 0)
		return -1;
	log_info("run ended", "run", r->name, "message", v->message, NULL);
	return 0;
}

static int append_refused(struct runner *r, struct err *e)
{
	Cumulus__Worker__Refused refused = CUMULUS__WORKER__REFUSED__INIT;

	refused.kind = r->refused;
	refused.text = r->fault_text;
	if (run_log_append(&r->log, RUN_RECORD_REFUSED, &refused.base, true, e) < 0)
		return -1;
	log_info("run refused", "run", r->name, "why", r->fault_text, NULL);
	return 0;
}

static int finish_without(struct runner *r, struct err *e)
{
	struct verdict v;

	if (r->fault == SETUP_REFUSED)
		return append_refused(r, e);
	judge_setup(r, &v);
	if (run_output_sync(&r->output, e) < 0)
		return -1;
	return append_ended(r, &v, NULL, e);
}

static void end_fini(struct channel_end *end)
{
	free(end->traceback);
}

static int finish_with(struct runner *r, const struct run_counts *counts, struct err *e)
{
	CLEANUP(end_fini) struct channel_end end = { 0 };
	struct exit_record exit;
	struct verdict v;

	if (exit_record_read(r->dirfd, &exit, e) < 0)
		return -1;
	channel_finish(&r->channel, &end);
	judge(r, counts, &exit, &end, &v);
	if (say_limits(r, counts, &v, e) < 0 || run_output_sync(&r->output, e) < 0)
		return -1;
	fault_point("cleaned");
	if (v.reason == CUMULUS__ORCHESTRATOR__REASON__REASON_NONE &&
		r->channel.document.len > RUN_RESULT_INLINE &&
		file_write(r->dirfd, RUN_FILE_RESULT, r->channel.document.data,
			r->channel.document.len, 0600, true, e) < 0)
		return -1;
	fault_point("ended");
	return append_ended(r, &v, end.traceback, e);
}

int runner_finish(struct runner *r, struct err *e)
{
	struct run_counts counts;

	/* A job that fails for want of its share ends before the next look at that. */
	if (r->fault == SETUP_FINE && !r->deadline)
		r->share_gone = r->share_gone || hold_is_gone(r->chronos, &r->partition);
	/* The partition's file goes with the partition. */
	hold_measure(&r->hold, r->chronos, &r->partition, &r->usage);
	if (clean(r, &counts, e) < 0)
		return err_wrap(e, "clean up");
	return r->fault == SETUP_FINE ? finish_with(r, &counts, e) : finish_without(r, e);
}
