/* sweep.c - ends a run whose runner is gone or never was. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "sweep.h"

#include <stdio.h>

#include "cleanup.h"
#include "runclean.h"
#include "runfolder.h"
#include "str.h"

/* The one record that ends a run which never began. */
struct ending_record {
	enum run_record_type type;
	Cumulus__Worker__Refused refused;
	Cumulus__Worker__Ended ended;
	char text[RUN_MESSAGE_MAX];
};

static void end_as_refused(
	struct ending_record *r, Cumulus__Worker__RefusedKind kind, const char *text)
{
	cumulus__worker__refused__init(&r->refused);
	str_join(r->text, sizeof(r->text), text, "", "");
	r->type = RUN_RECORD_REFUSED;
	r->refused.kind = kind;
	r->refused.text = r->text;
}

static void end_as_ended(struct ending_record *r, Cumulus__Orchestrator__Reason reason,
	const char *text, const char *detail)
{
	cumulus__worker__ended__init(&r->ended);
	str_join(r->text, sizeof(r->text), text, detail, "");
	r->type = RUN_RECORD_ENDED;
	r->ended.reason = reason;
	r->ended.message = r->text;
	r->ended.error = r->text;
}

static void end_as_failed(const struct sweep *s, struct ending_record *r)
{
	end_as_ended(r, s->reason, s->text, "");
	if (s->error)
		r->ended.error = (char *)s->error;
}

static void end_as_stopped(struct ending_record *r, Cumulus__Worker__StopWhy why)
{
	switch (why) {
	case CUMULUS__WORKER__STOP_WHY__STOP_DRAIN:
	case CUMULUS__WORKER__STOP_WHY__STOP_PAUSE:
		/* Nothing was lost by not starting: it can start elsewhere or later. */
		end_as_refused(r, CUMULUS__WORKER__REFUSED_KIND__REFUSED_TRANSIENT,
			"stopped before it started");
		return;
	case CUMULUS__WORKER__STOP_WHY__STOP_BACKSTOP:
		end_as_ended(r, CUMULUS__ORCHESTRATOR__REASON__SETUP_TIMED_OUT,
			"stopped before it started: the set-up took too long", "");
		break;
	default:
		end_as_ended(r, CUMULUS__ORCHESTRATOR__REASON__CANCELLED_BY_USER,
			"cancelled before it started", "");
	}
	r->ended.stopped = true;
}

/* Nothing of the job ever ran: say why, in the order of what is known best. */
static void decide(const struct sweep *s, struct ending_record *r)
{
	if (s->stop_asked)
		end_as_stopped(r, s->stop_why);
	else if (s->refused)
		end_as_refused(r, s->kind, s->text);
	else if (s->failed)
		end_as_failed(s, r);
	else if (!s->same_boot)
		end_as_refused(r, CUMULUS__WORKER__REFUSED_KIND__REFUSED_TRANSIENT,
			"the machine was restarted before the run began");
	else
		end_as_ended(r, CUMULUS__ORCHESTRATOR__REASON__RUNNER_LOST,
			"its runner died before it began: ", s->last_death);
}

static int append_ending(const struct sweep *s, struct err *e)
{
	struct ending_record r;
	struct run_log_writer w;
	struct run_state state;

	if (runfolder_state(s->dirfd, 0, &state, e) < 0)
		return -1;
	decide(s, &r);
	if (r.type == RUN_RECORD_ENDED)
		r.ended.output_end = state.output_end;
	if (run_log_open(s->dirfd, &w, e) < 0)
		return -1;
	int rc = run_log_append(&w, r.type,
		r.type == RUN_RECORD_ENDED ? &r.ended.base : &r.refused.base, true, e);
	run_log_close(&w);
	return rc;
}

static int has_begun(const struct sweep *s, bool *begun, struct err *e)
{
	struct run_log log = { 0 };

	if (run_log_read(s->dirfd, &log, e) < 0)
		return -1;
	*begun = false;
	for (size_t i = 0; i < log.count; i++)
		if (log.records[i].type != RUN_RECORD_SETTING_UP)
			*begun = true;
	run_log_fini(&log);
	return 0;
}

int sweep_run(const struct sweep *s, struct err *e)
{
	struct run_counts counts;
	bool begun;

	if (has_begun(s, &begun, e) < 0)
		return -1;
	if (begun) {
		const struct run_lost lost = {
			.stop_asked = s->stop_asked,
			.stop_why = s->stop_why,
			.why = s->same_boot ? s->last_death : "the machine was restarted",
		};

		return run_clean_and_end(s->dirfd, s->chronos_dir, &lost, e);
	}
	/* A runner may have taken the partition and died before its first record. */
	if (run_clean(s->dirfd, s->chronos_dir, &counts, e) < 0)
		return -1;
	return append_ending(s, e);
}
