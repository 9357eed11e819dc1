/* watch.c - the cursor behind SubmitJob and WatchJob: it pulls what its watcher misses.
 *
 * A watcher is a job, the next sequence and an output offset.  Its story is the merge of
 * state events and output: before event n all output below output_at(n), from there on
 * only after it.  So it is the same live, late and resumed.  Nothing is queued here but
 * one slice of output and one of stored events.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "str.h"
#include "tape.h"
#include "translate.h"

#define STREAMS 3
#define CUT_MAX 3 /* bytes of a character that its frame cut */

struct watch {
	struct asker asker;  /* first */
	bool whole_messages; /* SubmitJob: output fills `message` too */
	bool opened;         /* the job is known to exist */
	bool result_known;
	struct relay_watch relay_watch;
	struct tape tape; /* says which job it is */

	int64_t after;        /* sequence of the last state event that was sent */
	int64_t resumed;      /* events up to this one are known to the watcher */
	int64_t output_at;    /* of the last event that was sent */
	enum job_state state; /* of that event: an output event's state */
	int32_t attempt;

	struct store_events events; /* a slice of the store's; owned */
	size_t event_at;

	struct { /* the start of a character, held back until the rest of it comes */
		uint8_t bytes[CUT_MAX];
		uint8_t len;
	} cut[STREAMS];

	float progress; /* last sent */
	char *progress_text;
	uint8_t *result;
	size_t result_len;
};

static void drop_events(struct watch *w)
{
	for (size_t i = 0; i < w->events.count; i++)
		job_state_event_fini(&w->events.events[i]);
	free(w->events.events);
	w->events = (struct store_events){ 0 };
	w->event_at = 0;
}

static void fini_watch(struct asker *a)
{
	struct watch *w = (struct watch *)a;

	drop_events(w);
	tape_fini(&w->tape);
	free(w->progress_text);
	free(w->result);
}

bool watch_is(const struct asker *a)
{
	return a && a->fini == fini_watch;
}

static void wake(void *ctx)
{
	struct watch *w = ctx;

	if (w->asker.call)
		wire_call_wake(w->asker.call);
}

void watch_on_gone(struct wire_call *call)
{
	struct watch *w = wire_call_data(call);

	if (w)
		relay_unwatch(&w->relay_watch);
	asker_on_gone(call);
}

static struct watch *new_watch(
	struct wire_call *call, const char *job, int64_t after, int64_t offset)
{
	struct watch *w = asker_new(call, sizeof(*w), fini_watch);

	w->relay_watch.ctx = w;
	w->relay_watch.wake = wake;
	w->state = JOB_SCHEDULING;
	w->resumed = after;
	/* The last known event is looked at again: it says state and attempt. */
	w->after = after > 0 ? after - 1 : 0;
	tape_init(
		&w->tape, &w->asker.rpc->shelf, w->asker.rpc->config.relay, job, offset);
	return w;
}

/* ---- state events */

enum next_event {
	NEXT_EVENT, /* *out is the next committed one, borrowed */
	NEXT_NONE,  /* there is none yet: the job goes on */
	NEXT_OVER,  /* there will be none */
	NEXT_ASK,   /* the store must be asked */
};

static enum next_event next_event(struct watch *w, const struct job_state_event **out)
{
	struct core *core = relay_core(w->asker.rpc->config.relay);
	struct job_view view;
	const struct job_state_event *ev;

	if (w->event_at < w->events.count) {
		*out = &w->events.events[w->event_at];
		return NEXT_EVENT;
	}
	if (w->opened && job_state_final(w->state))
		return NEXT_OVER;
	if (core_job(core, w->tape.job, &view, NULL) < 0)
		return NEXT_ASK;
	if (view.committed_sequence <= w->after)
		return NEXT_NONE;
	ev = core_job_event(core, w->tape.job, w->after + 1);
	if (!ev)
		return NEXT_ASK;
	*out = ev;
	return NEXT_EVENT;
}

static void on_events(void *ctx, struct store_events *events, const struct err *failed)
{
	struct watch *w = ctx;
	struct err e = { 0 };

	if (!asker_is_back(&w->asker))
		return;
	if (failed) {
		if (failed->code == ERR_NOT_FOUND)
			no_such_job(&e, w->tape.job);
		rpc_fail(w->asker.call, e.code ? &e : failed);
		return;
	}
	drop_events(w);
	w->events = *events;
	*events = (struct store_events){ 0 };
	w->opened = true;
	if (w->events.count == 0) {
		/* A finished job, and its watcher knows more events than there are. */
		struct job_view view;

		if (core_job(relay_core(w->asker.rpc->config.relay), w->tape.job, &view,
			    NULL) < 0) {
			wire_call_finish(w->asker.call, WIRE_OK, NULL);
			return;
		}
	}
	wire_call_wake(w->asker.call);
}

static void ask_events(struct watch *w)
{
	w->asker.asked = true;
	store_get_events(relay_store(w->asker.rpc->config.relay), w->tape.job, w->after,
		on_events, w);
}

static void on_result(void *ctx, struct store_result *result, const struct err *failed)
{
	struct watch *w = ctx;

	if (!asker_is_back(&w->asker))
		return;
	if (!failed) {
		w->result = result->bytes;
		w->result_len = result->len;
		result->bytes = NULL;
	}
	w->result_known = true;
	wire_call_wake(w->asker.call);
}

static void finish(struct watch *w)
{
	if (w->state == JOB_CANCELLED)
		wire_call_finish(w->asker.call, WIRE_CANCELLED, "the job was cancelled");
	else
		wire_call_finish(w->asker.call, WIRE_OK, NULL);
}

static void send_message(struct watch *w, const Cumulus__Orchestrator__JobEvent *m)
{
	struct err e = { 0 };

	if (wire_call_send(w->asker.call, m, &e) < 0)
		rpc_fail(w->asker.call, &e);
}

static void send_event(struct watch *w, const struct job_state_event *ev)
{
	Cumulus__Orchestrator__JobEvent m = event_message(w->tape.job, ev);
	bool known = ev->sequence <= w->resumed;

	if (ev->state == JOB_COMPLETED && !known && !w->result_known) {
		w->asker.asked = true;
		store_get_result(relay_store(w->asker.rpc->config.relay), w->tape.job,
			on_result, w);
		return;
	}
	if (w->result_known) {
		m.result.data = w->result;
		m.result.len = w->result_len;
	}
	w->after = ev->sequence;
	w->state = ev->state;
	w->attempt = ev->attempt;
	w->output_at = ev->output_at;
	w->opened = true;
	if (!known)
		send_message(w, &m);
	if (w->event_at < w->events.count)
		w->event_at++;
	if (known)
		wire_call_wake(w->asker.call);
}

/* ---- output */

/* Up to where output may be shown now, given the next event (NULL: none is committed). */
static int64_t output_limit(struct watch *w, const struct job_state_event *next)
{
	struct relay *h = w->asker.rpc->config.relay;
	const struct job_state_event *coming;

	if (next)
		return next->output_at;
	if (job_state_final(w->state))
		return w->output_at; /* a watcher may know the end and miss output */
	/* An event that is not committed yet already divides the output. */
	coming = core_job_event(relay_core(h), w->tape.job, w->after + 1);
	if (coming)
		return coming->output_at;
	if (w->attempt < 1 || w->state == JOB_SCHEDULING)
		return 0;
	return tape_live_end(h, w->tape.job, w->attempt);
}

static void on_bytes(void *ctx, const uint8_t *bytes, size_t len, int64_t end,
	const struct err *failed)
{
	struct watch *w = ctx;

	if (!asker_is_back(&w->asker))
		return;
	if (failed) {
		rpc_fail(w->asker.call, failed);
		return;
	}
	tape_filled(&w->tape, bytes, len, end);
	wire_call_wake(w->asker.call);
}

/* The text of a piece, as `message` wants it: whole characters, the rest held back. */
static char *message_text(struct watch *w, const struct tape_piece *p)
{
	struct buf joined = { 0 };
	size_t whole;

	buf_add(&joined, w->cut[p->stream].bytes, w->cut[p->stream].len);
	buf_add(&joined, p->data, p->len);
	whole = utf8_whole(joined.data, joined.len);
	w->cut[p->stream].len = (uint8_t)(joined.len - whole);
	memcpy(w->cut[p->stream].bytes, joined.data + whole, joined.len - whole);

	char *text = utf8_replace(joined.data, whole, NULL);
	buf_fini(&joined);
	return text;
}

static void send_piece(struct watch *w, const struct tape_piece *p)
{
	Cumulus__Orchestrator__JobEvent m = CUMULUS__ORCHESTRATOR__JOB_EVENT__INIT;
	Cumulus__Orchestrator__Output out = CUMULUS__ORCHESTRATOR__OUTPUT__INIT;
	char *text = w->whole_messages ? message_text(w, p) : NULL;

	out.stream = (Cumulus__Orchestrator__OutputStream)p->stream;
	out.offset = p->offset;
	out.next_offset = p->next_offset;
	out.timestamp_ns = p->wall_ns;
	out.data.data = (uint8_t *)(uintptr_t)p->data;
	out.data.len = p->len;
	m.job_id = w->tape.job;
	m.state = wire_state(w->state);
	m.attempt = w->attempt;
	m.output = &out;
	if (text)
		m.message = text;
	m.timestamp_ns = relay_now(w->asker.rpc->config.relay)->wall_ns;
	m.timestamp = m.timestamp_ns / INT64_C(1000000000);
	send_message(w, &m);
	free(text);
}

static bool is_live(const struct watch *w)
{
	struct job_view view;

	return core_job(relay_core(w->asker.rpc->config.relay), w->tape.job, &view,
		       NULL) == 0 &&
	       !job_state_final(view.facts->state);
}

/* Send output below the limit, ask for it or wait for it; false when there is none. */
static bool go_on_with_output(struct watch *w, int64_t limit)
{
	struct tape_piece piece;

	switch (tape_next(&w->tape, limit, &piece)) {
	case TAPE_PIECE:
		send_piece(w, &piece);
		return true;
	case TAPE_MORE:
		w->asker.asked = true;
		tape_fill(&w->tape, limit, on_bytes, w);
		return true;
	case TAPE_DRY:
		/* On its way: what the worker sends of it wakes us.  An ended job's is lost. */
		return is_live(w);
	case TAPE_END:
		break;
	}
	return false;
}

/* ---- progress */

static bool go_on_with_progress(struct watch *w)
{
	Cumulus__Orchestrator__JobEvent m = CUMULUS__ORCHESTRATOR__JOB_EVENT__INIT;
	struct job_view view;

	if (w->state != JOB_RUNNING || core_job(relay_core(w->asker.rpc->config.relay),
					       w->tape.job, &view, NULL) < 0)
		return false;
	if (view.progress == w->progress &&
		strcmp(view.progress_text, w->progress_text ? w->progress_text : "") == 0)
		return false;
	free(w->progress_text);
	w->progress_text = xstrdup(view.progress_text);
	w->progress = view.progress;
	m.job_id = w->tape.job;
	m.state = wire_state(w->state);
	m.attempt = w->attempt;
	m.progress = w->progress;
	m.message = w->progress_text;
	m.timestamp_ns = relay_now(w->asker.rpc->config.relay)->wall_ns;
	m.timestamp = m.timestamp_ns / INT64_C(1000000000);
	send_message(w, &m);
	return true;
}

/* ---- the pull */

void watch_on_pull(struct wire_call *call)
{
	struct watch *w = wire_call_data(call);
	const struct job_state_event *next = NULL;
	enum next_event found;

	if (!w || w->asker.asked)
		return;
	found = next_event(w, &next);
	if (found == NEXT_ASK) {
		ask_events(w);
		return;
	}
	if (found == NEXT_EVENT && next->sequence <= w->resumed) {
		send_event(w, next);
		return;
	}
	if (go_on_with_output(w, output_limit(w, next)))
		return;
	if (found == NEXT_EVENT)
		send_event(w, next);
	else if (found == NEXT_OVER)
		finish(w);
	else
		go_on_with_progress(w);
}

static void begin(struct watch *w)
{
	relay_watch(w->asker.rpc->config.relay, w->tape.job, &w->relay_watch);
	wire_call_wake(w->asker.call);
}

void watch_begin(struct wire_call *call, const char *job)
{
	struct watch *w = new_watch(call, job, 0, 0);

	w->whole_messages = true;
	begin(w);
}

static int check(const Cumulus__Orchestrator__WatchJobRequest *m, struct err *e)
{
	if (!id_valid(m->job_id, 'j'))
		return no_such_job(e, m->job_id);
	if (m->after_sequence < 0)
		return err_set(e, ERR_INVALID,
			"after_sequence %" PRId64 " is not allowed: 0 or more (job %s)",
			m->after_sequence, m->job_id);
	if (m->output_offset < 0)
		return err_set(e, ERR_INVALID,
			"output_offset %" PRId64 " is not allowed: 0 or more (job %s)",
			m->output_offset, m->job_id);
	return 0;
}

static void on_watch(struct wire_call *call, ProtobufCMessage *message)
{
	Cumulus__Orchestrator__WatchJobRequest *m = (void *)message;
	struct err e = { 0 };

	if (check(m, &e) < 0)
		rpc_fail(call, &e);
	else
		begin(new_watch(call, m->job_id, m->after_sequence, m->output_offset));
	wire_message_free(message);
}

const struct wire_handlers rpc_watch_job = {
	.message = on_watch,
	.pull = watch_on_pull,
	.gone = watch_on_gone,
};
