/* report.c - what a run folder says: its state, its reports, its small files. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "runfolder.h"

#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "file.h"
#include "id.h"
#include "str.h"
#include "xalloc.h"

#define SMALL_FILE_MAX ((size_t)4096)

int runfolder_state(int dirfd, int64_t output_from, struct run_state *out, struct err *e)
{
	CLEANUP(run_log_fini) struct run_log log = { 0 };
	struct run_state state;

	if (run_log_read(dirfd, &log, e) < 0)
		return -1;
	state.last_report = log.last_report;
	state.phase = run_log_over(&log) ? CUMULUS__WORKER__PHASE__PHASE_ENDED
		      : run_log_find(&log, RUN_RECORD_STARTED)
			      ? CUMULUS__WORKER__PHASE__PHASE_RUNNING
			      : CUMULUS__WORKER__PHASE__PHASE_SETTING_UP;
	if (run_output_end(dirfd, output_from, &state.output_end, e) < 0)
		return -1;
	*out = state;
	return 0;
}

/* ---- reports ---- */

static void report_undo(Cumulus__Worker__Report **r)
{
	if (*r)
		cumulus__worker__report__free_unpacked(*r, NULL);
}

/* A report as its reader frees it: all of it on the heap. */
static Cumulus__Worker__Report *report_make(
	const char *job, int32_t attempt, int64_t number)
{
	Cumulus__Worker__Report *r = xmalloc(sizeof(*r));

	cumulus__worker__report__init(r);
	r->job_id = xstrdup(job);
	r->attempt = attempt;
	r->number = number;
	return r;
}

static void report_accepted(Cumulus__Worker__Report *r)
{
	r->kind_case = CUMULUS__WORKER__REPORT__KIND_ACCEPTED;
	r->accepted = xmalloc(sizeof(*r->accepted));
	cumulus__worker__accepted__init(r->accepted);
}

static int read_result(int dirfd, ProtobufCBinaryData *out, struct err *e)
{
	CLEANUP(buf_fini) struct buf bytes = { 0 };
	struct err read_e;

	if (file_read(dirfd, RUN_FILE_RESULT, RUN_RESULT_MAX, &bytes, &read_e) < 0) {
		if (read_e.code == ERR_NOT_FOUND)
			return 0;
		return err_set(e, read_e.code, "%s", read_e.text);
	}
	out->len = bytes.len;
	out->data = take_ptr(&bytes.data);
	return 0;
}

/* Put what the record holds into the report. */
static int report_fill(Cumulus__Worker__Report *r, int dirfd,
	const struct run_record *record, struct err *e)
{
	size_t len = record->len;
	const uint8_t *payload = record->payload;

	r->wall_ns = record->wall_ns;
	switch (record->type) {
	case RUN_RECORD_SETTING_UP:
		r->setting_up = cumulus__worker__setting_up__unpack(NULL, len, payload);
		r->kind_case = CUMULUS__WORKER__REPORT__KIND_SETTING_UP;
		break;
	case RUN_RECORD_STARTED:
		r->started = cumulus__worker__started__unpack(NULL, len, payload);
		r->kind_case = CUMULUS__WORKER__REPORT__KIND_STARTED;
		break;
	case RUN_RECORD_ENDED:
		r->ended = cumulus__worker__ended__unpack(NULL, len, payload);
		r->kind_case = CUMULUS__WORKER__REPORT__KIND_ENDED;
		if (r->ended && !r->ended->result.len &&
			r->ended->reason == CUMULUS__ORCHESTRATOR__REASON__REASON_NONE)
			return read_result(dirfd, &r->ended->result, e);
		break;
	case RUN_RECORD_REFUSED:
		r->refused = cumulus__worker__refused__unpack(NULL, len, payload);
		r->kind_case = CUMULUS__WORKER__REPORT__KIND_REFUSED;
		break;
	case RUN_RECORD_INTENT:
	case RUN_RECORD_CONTAINER:
		break;
	}
	if (!r->accepted) { /* all kinds share one pointer */
		r->kind_case = CUMULUS__WORKER__REPORT__KIND__NOT_SET;
		return err_set(e, ERR_INVALID, "record %lld of %s.%d cannot be read",
			(long long)r->number, r->job_id, r->attempt);
	}
	return 0;
}

Cumulus__Worker__Report *runfolder_read_report(
	int dirfd, const char *job, int32_t attempt, int64_t number, struct err *e)
{
	CLEANUP(run_log_fini) struct run_log log = { 0 };
	CLEANUP(report_undo)
	Cumulus__Worker__Report *r = report_make(job, attempt, number);

	if (number == RUN_FIRST_REPORT) {
		report_accepted(r);
		return take_ptr(&r);
	}
	if (run_log_read(dirfd, &log, e) < 0)
		return NULL;
	for (size_t i = 0; i < log.count; i++) {
		if (log.records[i].number != number)
			continue;
		return report_fill(r, dirfd, &log.records[i], e) < 0 ? NULL
								     : take_ptr(&r);
	}
	err_set(e, ERR_NOT_FOUND, "%s.%d has no report %lld", job, attempt,
		(long long)number);
	return NULL;
}

/* ---- the small files ---- */

static int write_message(int dirfd, const char *name, const ProtobufCMessage *m,
	bool durable, struct err *e)
{
	size_t len = protobuf_c_message_get_packed_size(m);
	CLEANUP(free_ptr) uint8_t *bytes = xmalloc(len + 1);

	protobuf_c_message_pack(m, bytes);
	return file_write(dirfd, name, bytes, len, 0600, durable, e);
}

int runfolder_write_progress(int dirfd, float fraction, const char *text, struct err *e)
{
	char cut[RUN_PROGRESS_MAX + 1];
	Cumulus__Worker__ProgressFile p = CUMULUS__WORKER__PROGRESS_FILE__INIT;

	str_join(cut, sizeof(cut), text, "", "");
	p.fraction = fraction;
	p.text = cut;
	return write_message(dirfd, RUN_FILE_PROGRESS, &p.base, false, e);
}

Cumulus__Worker__ProgressFile *runfolder_read_progress(int dirfd, struct err *e)
{
	CLEANUP(buf_fini) struct buf bytes = { 0 };

	if (file_read(dirfd, RUN_FILE_PROGRESS, SMALL_FILE_MAX, &bytes, e) < 0)
		return NULL;

	Cumulus__Worker__ProgressFile *p =
		cumulus__worker__progress_file__unpack(NULL, bytes.len, bytes.data);
	if (!p)
		err_set(e, ERR_INVALID, "progress cannot be read");
	return p;
}

int runfolder_write_stop(
	int dirfd, const Cumulus__Worker__StopRequest *stop, struct err *e)
{
	return write_message(dirfd, RUN_FILE_STOP, &stop->base, true, e);
}

int runfolder_read_stop(int dirfd, bool *asked, Cumulus__Worker__StopWhy *why,
	int32_t *grace, struct err *e)
{
	CLEANUP(buf_fini) struct buf bytes = { 0 };
	struct err read_e;

	if (file_read(dirfd, RUN_FILE_STOP, SMALL_FILE_MAX, &bytes, &read_e) < 0) {
		if (read_e.code != ERR_NOT_FOUND)
			return err_set(e, read_e.code, "%s", read_e.text);
		*asked = false;
		return 0;
	}

	Cumulus__Worker__StopRequest *stop =
		cumulus__worker__stop_request__unpack(NULL, bytes.len, bytes.data);
	if (!stop)
		return err_set(e, ERR_INVALID, "stop cannot be read");
	*asked = true;
	*why = stop->why;
	*grace = stop->grace;
	cumulus__worker__stop_request__free_unpacked(stop, NULL);
	return 0;
}
