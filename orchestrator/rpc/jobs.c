/* jobs.c - one job or many: GetJobStatus, ListJobs, GetJobResult, CancelJob. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "cleanup.h"
#include "clock.h"
#include "explain.h"
#include "internal.h"
#include "labels.h"
#include "str.h"
#include "translate.h"

struct inquiry *inquiry_new(struct wire_call *call, const char *id)
{
	struct err e = { 0 };

	if (!id_valid(id, 'j')) {
		no_such_job(&e, id);
		rpc_fail(call, &e);
		return NULL;
	}

	struct inquiry *q = asker_new(call, sizeof(*q), NULL);
	str_put(q->job, sizeof(q->job), "%s", id);
	return q;
}

void inquiry_fail(struct inquiry *q, const struct err *failed)
{
	struct err e = *failed;

	if (failed->code == ERR_NOT_FOUND)
		no_such_job(&e, q->job);
	rpc_fail(q->asker.call, &e);
}

/* Of the attempt that is not over. */
static int64_t present_output(struct rpc *r, const char *job, const struct job_facts *f)
{
	if (!f->attempt || job_state_final(f->state) || f->state == JOB_SCHEDULING)
		return 0;
	return output_data(relay_output(r->config.relay), job, f->attempt);
}

/* ---- GetJobStatus */

static void reply_status(struct wire_call *call, const struct status_source *source)
{
	struct status_message m;

	status_message_init(&m, source);
	wire_call_reply(call, &m.m);
	status_message_fini(&m);
}

static void on_stored_status(void *ctx, struct store_job *job, const struct err *failed)
{
	struct inquiry *q = ctx;

	if (!asker_is_back(&q->asker))
		return;
	if (failed) {
		inquiry_fail(q, failed);
		return;
	}

	const struct status_source source = {
		.id = q->job,
		.facts = &job->facts,
		.submission = job->submission,
		.error = job->error,
	};
	reply_status(q->asker.call, &source);
}

static void ask_status(struct inquiry *q);

static void on_status_committed(void *ctx, const struct effect *effect)
{
	struct inquiry *q = ctx;

	(void)effect;
	if (asker_is_back(&q->asker))
		ask_status(q);
}

/* An answer about a job rests on its last record. */
static void ask_status(struct inquiry *q)
{
	struct relay *relay = q->asker.rpc->config.relay;
	struct job_view view;

	if (core_job(relay_core(relay), q->job, &view, NULL) < 0 ||
		job_state_final(view.facts->state)) {
		q->asker.asked = true;
		store_get_job(relay_store(relay), q->job, false, on_stored_status, q);
		return;
	}
	if (!core_is_committed(relay_core(relay), view.last_record)) {
		q->asker.asked = true;
		relay_await(relay, view.last_record, on_status_committed, q);
		return;
	}

	struct status_source source = {
		.id = q->job,
		.facts = view.facts,
		.submission = view.submission,
		.progress = view.progress,
		.progress_text = view.progress_text,
		.present_output = present_output(q->asker.rpc, q->job, view.facts),
		.gpu = &view.gpu,
	};
	source.waits = core_waits_for(
		relay_core(relay), q->job, &source.waits_reason, source.waits_text);
	reply_status(q->asker.call, &source);
}

static void on_status(struct wire_call *call, ProtobufCMessage *message)
{
	struct inquiry *q = inquiry_new(
		call, ((Cumulus__Orchestrator__JobStatusRequest *)message)->job_id);

	if (q)
		ask_status(q);
	wire_message_free(message);
}

const struct wire_handlers rpc_get_job_status = { .message = on_status,
	.gone = asker_on_gone };

/* ---- GetJobResult */

static void on_result(void *ctx, struct store_result *result, const struct err *failed)
{
	struct inquiry *q = ctx;
	Cumulus__Orchestrator__JobResult m = CUMULUS__ORCHESTRATOR__JOB_RESULT__INIT;
	char digest[DIGEST_TEXT_SIZE];

	if (!asker_is_back(&q->asker))
		return;
	if (failed) {
		inquiry_fail(q, failed);
		return;
	}
	digest_format(digest, &result->digest);
	m.result.data = result->bytes;
	m.result.len = result->len;
	m.digest = digest;
	wire_call_reply(q->asker.call, &m);
}

static void on_result_job(void *ctx, struct store_job *job, const struct err *failed)
{
	struct inquiry *q = ctx;
	struct err e = { 0 };

	if (!asker_is_back(&q->asker))
		return;
	if (failed) {
		inquiry_fail(q, failed);
	} else if (job->facts.state != JOB_COMPLETED) {
		err_set(&e, ERR_CONFLICT,
			"job %s is %s: only a COMPLETED one has a result", q->job,
			job_state_name(job->facts.state));
		rpc_fail(q->asker.call, &e);
	} else {
		q->asker.asked = true;
		store_get_result(
			relay_store(q->asker.rpc->config.relay), q->job, on_result, q);
	}
}

static void on_get_result(struct wire_call *call, ProtobufCMessage *message)
{
	struct inquiry *q = inquiry_new(
		call, ((Cumulus__Orchestrator__JobResultRequest *)message)->job_id);

	if (q) {
		q->asker.asked = true;
		store_get_job(relay_store(q->asker.rpc->config.relay), q->job, false,
			on_result_job, q);
	}
	wire_message_free(message);
}

const struct wire_handlers rpc_get_job_result = {
	.message = on_get_result,
	.gone = asker_on_gone,
};

/* ---- CancelJob */

static void reply_cancel(struct inquiry *q, bool cancelled, enum job_state state)
{
	Cumulus__Orchestrator__CancelJobResponse m =
		CUMULUS__ORCHESTRATOR__CANCEL_JOB_RESPONSE__INIT;
	char text[128];

	if (cancelled)
		str_put(text, sizeof(text), "job %s is being cancelled", q->job);
	else
		str_put(text, sizeof(text), "job %s is %s already", q->job,
			job_state_name(state));
	m.cancelled = cancelled;
	m.message = text;
	m.state = wire_state(state);
	wire_call_reply(q->asker.call, &m);
}

static void on_finished_job(void *ctx, struct store_job *job, const struct err *failed)
{
	struct inquiry *q = ctx;

	if (!asker_is_back(&q->asker))
		return;
	if (failed)
		inquiry_fail(q, failed);
	else
		reply_cancel(q, false, job->facts.state);
}

static void on_cancel_answer(void *ctx, const struct effect *answer)
{
	struct inquiry *q = ctx;

	if (!asker_is_back(&q->asker))
		return;
	if (answer->error.code == ERR_NOT_FOUND) {
		q->asker.asked = true;
		store_get_job(relay_store(q->asker.rpc->config.relay), q->job, false,
			on_finished_job, q);
	} else if (answer->error.code != ERR_NONE) {
		rpc_fail(q->asker.call, &answer->error);
	} else {
		reply_cancel(q, answer->cancelled, answer->state);
	}
}

static void on_cancel(struct wire_call *call, ProtobufCMessage *message)
{
	struct inquiry *q = inquiry_new(
		call, ((Cumulus__Orchestrator__JobCancelRequest *)message)->job_id);

	if (q) {
		q->asker.asked = true;
		relay_cancel(q->asker.rpc->config.relay, q->job, on_cancel_answer, q);
	}
	wire_message_free(message);
}

const struct wire_handlers rpc_cancel_job = { .message = on_cancel,
	.gone = asker_on_gone };

/* ---- ListJobs */

#define LABELS_MAX 64 /* to select by */

static void on_page(void *ctx, struct store_page *page, const struct err *failed)
{
	struct asker *a = ctx;
	Cumulus__Orchestrator__JobList m = CUMULUS__ORCHESTRATOR__JOB_LIST__INIT;
	struct core *core = relay_core(a->rpc->config.relay);

	if (!asker_is_back(a))
		return;
	if (failed) {
		rpc_fail(a->call, failed);
		return;
	}

	struct status_message *statuses = xcalloc(page->count, sizeof(*statuses));
	m.jobs = xcalloc(page->count, sizeof(*m.jobs));
	m.n_jobs = page->count;
	m.next_page_token = page->next;
	for (size_t i = 0; i < page->count; i++) {
		const struct store_job *job = &page->jobs[i];
		struct status_source source = {
			.id = job->id,
			.facts = &job->facts,
			.submission = job->submission,
			.present_output = present_output(a->rpc, job->id, &job->facts),
		};
		struct job_view view;

		if (!job_state_final(job->facts.state) &&
			core_job(core, job->id, &view, NULL) == 0) {
			source.progress = view.progress;
			source.progress_text = view.progress_text;
			source.gpu = &view.gpu;
			source.waits = core_waits_for(
				core, job->id, &source.waits_reason, source.waits_text);
		}
		status_message_init(&statuses[i], &source);
		m.jobs[i] = &statuses[i].m;
	}
	wire_call_reply(a->call, &m);
	for (size_t i = 0; i < page->count; i++)
		status_message_fini(&statuses[i]);
	free(statuses);
	free(m.jobs);
}

static int read_states(
	const Cumulus__Orchestrator__ListJobsRequest *m, uint32_t *states, struct err *e)
{
	for (size_t i = 0; i < m->n_states; i++) {
		if ((unsigned)m->states[i] > CUMULUS__ORCHESTRATOR__JOB_STATE__CANCELLED)
			return err_set(
				e, ERR_INVALID, "states: %d is no state", m->states[i]);
		*states |= 1u << ((unsigned)m->states[i] + JOB_SCHEDULING);
	}
	return 0;
}

static int read_labels(
	const Cumulus__Orchestrator__ListJobsRequest *m, struct buf *out, struct err *e)
{
	struct label labels[LABELS_MAX];

	if (m->n_labels > LABELS_MAX)
		return err_set(e, ERR_INVALID, "labels has %zu entries, %d are allowed",
			m->n_labels, LABELS_MAX);
	for (size_t i = 0; i < m->n_labels; i++)
		labels[i] = (struct label){ m->labels[i]->key, m->labels[i]->value };
	return labels_pack(labels, m->n_labels, out, e);
}

static int list(struct asker *a, Cumulus__Orchestrator__ListJobsRequest *m, struct err *e)
{
	CLEANUP(buf_fini) struct buf labels = { 0 };
	struct store_list_query query = {
		.owner = RPC_OWNER,
		.name_prefix = m->name_prefix,
		.page_size = (uint32_t)m->page_size,
		.page_token = m->page_token,
	};

	if (m->page_size < 0 || m->page_size > STORE_PAGE_MAX)
		return err_set(e, ERR_INVALID, "page_size %d is not allowed: 0 to %d",
			m->page_size, STORE_PAGE_MAX);
	if (m->created_after < 0 || m->created_after > INT64_MAX / NS_PER_S)
		return err_set(e, ERR_INVALID, "created_after %lld is no Unix time",
			(long long)m->created_after);
	if (m->all_owners)
		query.owner = NULL;
	query.created_after_ns = m->created_after * NS_PER_S;
	if (read_states(m, &query.states, e) < 0 || read_labels(m, &labels, e) < 0)
		return -1;
	query.labels = labels.data;
	query.labels_len = labels.len;
	a->asked = true;
	store_list(relay_store(a->rpc->config.relay), &query, on_page, a);
	return 0;
}

static void on_list(struct wire_call *call, ProtobufCMessage *message)
{
	struct err e = { 0 };

	if (list(asker_new(call, sizeof(struct asker), NULL), (void *)message, &e) < 0)
		rpc_fail(call, &e);
	wire_message_free(message);
}

const struct wire_handlers rpc_list_jobs = { .message = on_list, .gone = asker_on_gone };
