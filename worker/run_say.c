/* run_say.c - what is said about one run: its reports in order, then its progress. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "run.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "cleanup.h"
#include "log.h"
#include "runfolder.h"
#include "xalloc.h"

/* What the runner wrote may be seen before it is on disk: what is told must not be lost. */
static int sync_log(const struct run *r, struct err *e)
{
	CLEANUP(close_fd)
	int fd = openat(r->dirfd, RUN_FILE_LOG, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return errno == ENOENT ? 0 : err_sys(e, "open the log of %s", r->name);
	return fdatasync(fd) < 0 ? err_sys(e, "sync the log of %s", r->name) : 0;
}

static void free_report(Cumulus__Worker__Report **m)
{
	if (*m)
		cumulus__worker__report__free_unpacked(*m, NULL);
}

/* A result that no message can hold: the runner's limit should have caught it. */
static void drop_result(Cumulus__Worker__Ended *m)
{
	static const char text[] = "the result is too large for a message";

	free(m->result.data);
	m->result.data = NULL;
	m->result.len = 0;
	m->reason = CUMULUS__ORCHESTRATOR__REASON__RESULT_TOO_LARGE;
	if (m->message != (char *)protobuf_c_empty_string)
		free(m->message);
	m->message = xstrdup(text);
}

static int send_report(
	struct run *r, struct wire_call *call, int64_t number, struct err *e)
{
	if (sync_log(r, e) < 0)
		return -1;
	CLEANUP(free_report)
	Cumulus__Worker__Report *report =
		runfolder_read_report(r->dirfd, r->job, r->attempt, number, e);
	if (!report)
		return -1;

	Cumulus__Worker__FromWorker m = CUMULUS__WORKER__FROM_WORKER__INIT;
	m.kind_case = CUMULUS__WORKER__FROM_WORKER__KIND_REPORT;
	m.report = report;
	if (wire_call_send(call, &m, e) == 0)
		return 0;
	if (e->code != ERR_EXHAUSTED ||
		report->kind_case != CUMULUS__WORKER__REPORT__KIND_ENDED)
		return -1;
	drop_result(report->ended);
	return wire_call_send(call, &m, e);
}

static int send_progress(struct run *r, struct wire_call *call, struct err *e)
{
	Cumulus__Worker__ProgressFile *file = runfolder_read_progress(r->dirfd, e);
	Cumulus__Worker__FromWorker m = CUMULUS__WORKER__FROM_WORKER__INIT;
	Cumulus__Worker__Progress progress = CUMULUS__WORKER__PROGRESS__INIT;

	if (!file)
		return -1;
	m.kind_case = CUMULUS__WORKER__FROM_WORKER__KIND_PROGRESS;
	m.progress = &progress;
	progress.job_id = r->job;
	progress.attempt = r->attempt;
	progress.fraction = file->fraction;
	progress.text = file->text;
	int rc = wire_call_send(call, &m, e);
	cumulus__worker__progress_file__free_unpacked(file, NULL);
	return rc;
}

bool run_say(struct run *r, struct wire_call *call)
{
	int64_t number = reports_next(&r->reports);
	struct err e = { 0 };

	if (!r->known)
		return false;
	if (number) {
		if (send_report(r, call, number, &e) == 0) {
			reports_sent(&r->reports, number);
			return true;
		}
		log_error("cannot report", "run", r->name, "why", e.text, NULL);
		runs_try_again(r->owner, RUNS_AGAIN_MS);
		return false;
	}
	if (r->progress_changed) {
		r->progress_changed = false;
		if (r->state != RUN_OVER && send_progress(r, call, &e) == 0)
			return true;
	}
	return false;
}
