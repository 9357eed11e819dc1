/* logs.c - GetJobLogs: a job's output from an offset or its last lines, and what follows. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "str.h"
#include "tape.h"

#define TAIL_MAX 1000000

struct logs {
	struct asker asker; /* first */
	char job[ID_SIZE];
	struct relay_watch watch;
	struct tape tape;
	bool follow;
	uint32_t streams; /* bits 1 << stream */
	int64_t limit;    /* absolute: what is there */
	bool final;       /* nothing comes after it */
	bool known;       /* limit and final were found out */

	/* Of the last lines: the first reading counts them, the second leaves out the rest. */
	int64_t tail; /* lines wanted; 0 = all */
	bool counting;
	int64_t lines;     /* counted */
	int64_t leave_out; /* lines still to be left out */
};

static void fini_logs(struct asker *a)
{
	tape_fini(&((struct logs *)a)->tape);
}

static void wake(void *ctx)
{
	struct logs *l = ctx;

	l->known = false;
	if (l->asker.call)
		wire_call_wake(l->asker.call);
}

static void on_gone(struct wire_call *call)
{
	struct logs *l = wire_call_data(call);

	if (l)
		relay_unwatch(&l->watch);
	asker_on_gone(call);
}

/* ---- how much there is */

static void on_job(void *ctx, struct store_job *job, const struct err *failed)
{
	struct logs *l = ctx;
	struct err e = { 0 };

	if (!asker_is_back(&l->asker))
		return;
	if (failed) {
		e = *failed;
		if (failed->code == ERR_NOT_FOUND)
			no_such_job(&e, l->job);
		rpc_fail(l->asker.call, &e);
		return;
	}
	l->limit = job->facts.output_end;
	l->final = true;
	l->known = true;
	wire_call_wake(l->asker.call);
}

/* false: the store is asked. */
static bool find_limit(struct logs *l)
{
	struct relay *relay = l->asker.rpc->config.relay;
	struct job_view view;

	if (l->known)
		return true;
	if (core_job(relay_core(relay), l->job, &view, NULL) < 0 ||
		job_state_final(view.facts->state)) {
		l->asker.asked = true;
		store_get_job(relay_store(relay), l->job, false, on_job, l);
		return false;
	}
	l->limit = view.facts->attempt ? tape_live_end(relay, l->job, view.facts->attempt)
				       : 0;
	l->final = false;
	l->known = true;
	return true;
}

/* ---- the last lines */

static int64_t count_lines(const struct tape_piece *p)
{
	int64_t lines = 0;

	for (size_t i = 0; i < p->len; i++)
		lines += p->data[i] == '\n';
	return lines;
}

/* How many bytes at the front belong to lines that are left out. */
static size_t skip_lines(struct logs *l, const struct tape_piece *p)
{
	size_t i = 0;

	while (i < p->len && l->leave_out > 0)
		l->leave_out -= p->data[i++] == '\n';
	return i;
}

static void begin_second_reading(struct logs *l)
{
	struct relay *relay = l->tape.relay;

	l->counting = false;
	l->leave_out = l->lines > l->tail ? l->lines - l->tail : 0;
	tape_fini(&l->tape);
	tape_init(&l->tape, &l->asker.rpc->shelf, relay, l->job, 0);
	wire_call_wake(l->asker.call);
}

/* ---- the pull */

static void on_bytes(void *ctx, const uint8_t *bytes, size_t len, int64_t end,
	const struct err *failed)
{
	struct logs *l = ctx;

	if (!asker_is_back(&l->asker))
		return;
	if (failed) {
		rpc_fail(l->asker.call, failed);
		return;
	}
	tape_filled(&l->tape, bytes, len, end);
	l->known = l->final; /* reading has told where a live file ends */
	wire_call_wake(l->asker.call);
}

static void send_piece(struct logs *l, const struct tape_piece *p, size_t skip)
{
	Cumulus__Orchestrator__Output m = CUMULUS__ORCHESTRATOR__OUTPUT__INIT;
	struct err e = { 0 };

	m.stream = (Cumulus__Orchestrator__OutputStream)p->stream;
	m.offset = p->offset;
	m.next_offset = p->next_offset;
	m.timestamp_ns = p->wall_ns;
	m.data.data = (uint8_t *)(uintptr_t)p->data + skip;
	m.data.len = p->len - skip;
	if (wire_call_send(l->asker.call, &m, &e) < 0)
		rpc_fail(l->asker.call, &e);
}

/* Use the piece up; false when nothing of it is to be sent. */
static bool use_piece(struct logs *l, const struct tape_piece *p)
{
	size_t skip;

	if (!(l->streams & 1u << p->stream))
		return false;
	if (l->counting) {
		l->lines += count_lines(p);
		return false;
	}
	skip = skip_lines(l, p);
	if (skip == p->len)
		return false;
	send_piece(l, p, skip);
	return true;
}

static void at_end(struct logs *l)
{
	if (l->counting)
		begin_second_reading(l);
	else if (l->final || !l->follow)
		wire_call_finish(l->asker.call, WIRE_OK, NULL);
}

static void on_pull(struct wire_call *call)
{
	struct logs *l = wire_call_data(call);
	struct tape_piece piece;

	if (!l || l->asker.asked || !find_limit(l))
		return;
	for (;;) {
		switch (tape_next(&l->tape, l->limit, &piece)) {
		case TAPE_PIECE:
			if (use_piece(l, &piece))
				return;
			break;
		case TAPE_MORE:
			l->asker.asked = true;
			tape_fill(&l->tape, l->limit, on_bytes, l);
			return;
		case TAPE_DRY:
		case TAPE_END:
			at_end(l);
			return;
		}
	}
}

static int check(const Cumulus__Orchestrator__JobLogsRequest *m, struct err *e)
{
	if (!id_valid(m->job_id, 'j'))
		return no_such_job(e, m->job_id);
	if (m->offset < 0)
		return err_set(e, ERR_INVALID,
			"offset %" PRId64 " is not allowed: 0 or more (job %s)",
			m->offset, m->job_id);
	if (m->tail_lines < 0 || m->tail_lines > TAIL_MAX)
		return err_set(e, ERR_INVALID, "tail_lines %d is not allowed: 0 to %d",
			m->tail_lines, TAIL_MAX);
	if (m->tail_lines && m->offset)
		return err_set(
			e, ERR_INVALID, "offset and tail_lines exclude each other");
	for (size_t i = 0; i < m->n_streams; i++)
		if ((unsigned)m->streams[i] > FRAME_SYSTEM)
			return err_set(e, ERR_INVALID, "streams: %d is no stream",
				m->streams[i]);
	return 0;
}

static void on_logs(struct wire_call *call, ProtobufCMessage *message)
{
	Cumulus__Orchestrator__JobLogsRequest *m = (void *)message;
	struct err e = { 0 };

	if (check(m, &e) < 0) {
		rpc_fail(call, &e);
		wire_message_free(message);
		return;
	}

	struct logs *l = asker_new(call, sizeof(*l), fini_logs);
	struct relay *relay = l->asker.rpc->config.relay;
	str_put(l->job, sizeof(l->job), "%s", m->job_id);
	l->follow = m->follow;
	l->tail = m->tail_lines;
	l->counting = l->tail > 0;
	for (size_t i = 0; i < m->n_streams; i++)
		l->streams |= 1u << m->streams[i];
	if (!l->streams)
		l->streams = ~0u;
	l->watch.ctx = l;
	l->watch.wake = wake;
	tape_init(&l->tape, &l->asker.rpc->shelf, relay, l->job, m->offset);
	relay_watch(relay, l->job, &l->watch);
	wire_call_wake(call);
	wire_message_free(message);
}

const struct wire_handlers rpc_get_job_logs = {
	.message = on_logs,
	.pull = on_pull,
	.gone = on_gone,
};
