/* call.c - a call's life: sending when pulled, finishing, being over. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "call.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "clock.h"
#include "hub.h"
#include "incoming.h"
#include "status.h"
#include "xalloc.h"

static void on_deadline(struct timer *timer);

struct wire_call *call_new(struct session *s, int32_t stream_id)
{
	struct wire_call *call = xcalloc(1, sizeof(*call));

	call->session = s;
	call->stream_id = stream_id;
	call->stream_open = true;
	call->deadline.fire = on_deadline;
	call->in.since_ms = timers_now();
	list_init(&call->in_over);
	list_init(&call->in_todo);
	list_init(&call->in_starved);
	list_init(&call->in_session);
	list_append(&s->calls, &call->in_session);
	s->call_count++;
	s->had_call = true;
	s->hub->call_count++;
	s->hub->calls_total++;
	return call;
}

static void drop_out(struct wire_call *call)
{
	free(call->out);
	call->out = NULL;
	call->out_len = call->out_at = 0;
}

static void ending_free(struct ending *ending)
{
	if (!ending)
		return;
	free(ending->text);
	metadata_fini(&ending->trailers);
	free(ending);
}

void call_count(struct wire_call *call, struct wire_method_stats *stats)
{
	call->stats = stats;
	call->began_ns = clock_boot_ns();
	stats->started++;
}

static void count_end(const struct wire_call *call)
{
	double seconds = (double)(clock_boot_ns() - call->began_ns) / (double)NS_PER_S;

	call->stats->ended[call->status]++;
	histogram_add(&call->stats->seconds, seconds);
}

static void call_free(struct wire_call *call)
{
	struct session *s = call->session;

	if (call->stats)
		count_end(call);

	timers_disarm(&s->hub->timers, &call->deadline);
	incoming_drop(call);
	drop_out(call);
	ending_free(call->ending);
	metadata_fini(&call->metadata);
	metadata_fini(&call->headers);
	list_remove(&call->in_over);
	list_remove(&call->in_session);
	s->hub->call_count--;
	if (--s->call_count == 0) {
		s->idle_ms = timers_now();
		session_touch(s); /* it may be what a drain waits for */
	}
	free(call);
}

void call_discard(struct wire_call *call)
{
	call->stream_open = false;
	call_free(call);
}

static void free_unless_held(struct wire_call *call)
{
	if (!call->stream_open && !call->given)
		call_free(call);
}

bool call_peer_streams(const struct wire_call *call)
{
	enum wire_kind mine =
		call->session->server ? WIRE_CLIENT_STREAMS : WIRE_SERVER_STREAMS;

	return call->method->kind & mine;
}

/* ---- being over */

static void set_ending_text(struct wire_call *call, const char *text)
{
	if (!text || !*text)
		return;
	if (!call->ending)
		call->ending = xcalloc(1, sizeof(*call->ending));
	free(call->ending->text);
	call->ending->text = xstrdup(text);
}

void call_over(struct wire_call *call, enum wire_over over, enum wire_status status,
	const char *text)
{
	if (call->over)
		return;
	call->over = (uint8_t)over;
	call->status = (uint8_t)status;
	set_ending_text(call, text);
	timers_disarm(&call->session->hub->timers, &call->deadline);
	incoming_drop(call);
	call->sealed = true;
	call->awake = false;
	if (call->given)
		list_append(&call->session->over, &call->in_over);
	session_touch(call->session);
}

void call_gone(struct wire_call *call)
{
	list_remove(&call->in_over);
	if (call->on->gone)
		call->on->gone(call);
	call->given = false;
	free_unless_held(call);
}

static void reset(struct wire_call *call, uint32_t h2_code)
{
	if (!call->stream_open)
		return;
	drop_out(call);
	nghttp2_submit_rst_stream(
		call->session->h2, NGHTTP2_FLAG_NONE, call->stream_id, h2_code);
	session_touch(call->session);
}

void call_abort(struct wire_call *call, enum wire_over over, enum wire_status status,
	const char *format, ...)
{
	char text[sizeof(((struct err *)0)->text)];
	va_list args;

	if (call->over || call->refused)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);

	bool server = call->session->server;

	if (server && !call->given) {
		call_refuse(call, "200", status, text);
		return;
	}
	if (call->out && call->out_at == 0)
		drop_out(call); /* nothing of it left: the status can still follow */
	if (server && !call->out && !call->trailed)
		answer_status(call, status, text, NULL);
	else
		reset(call, NGHTTP2_CANCEL);
	call_over(call, over, status, text);
}

void wire_call_cancel(struct wire_call *call)
{
	if (call->over)
		return;
	reset(call, NGHTTP2_CANCEL);
	call_over(call, WIRE_OVER_CANCELLED, WIRE_CANCELLED, "cancelled");
}

void call_lost(struct wire_call *call, const struct err *why)
{
	bool seen = call->session->server || call->head_sent;

	call->stream_open = false;
	call_over(call, seen ? WIRE_OVER_LOST : WIRE_OVER_REFUSED,
		call->session->server ? WIRE_CANCELLED : WIRE_UNAVAILABLE, why->text);
	if (!call->given)
		call_free(call);
}

static void closed_by_peer(struct wire_call *call, uint32_t h2_code)
{
	if (call->session->server) {
		call_over(call, WIRE_OVER_CANCELLED, WIRE_CANCELLED,
			"the client cancelled");
	} else if (h2_code == NGHTTP2_REFUSED_STREAM || !call->head_sent) {
		call_over(call, WIRE_OVER_REFUSED, WIRE_UNAVAILABLE,
			"the server refused the stream");
	} else if (h2_code == NGHTTP2_CANCEL) {
		call_over(call, WIRE_OVER_CANCELLED, WIRE_CANCELLED,
			"the server cancelled");
	} else {
		char text[96];

		snprintf(text, sizeof(text),
			"the server closed the stream without a status: %s",
			nghttp2_http2_strerror(h2_code));
		call_over(call, WIRE_OVER_BROKEN, status_of_reset(h2_code), text);
	}
}

void call_stream_closed(struct wire_call *call, uint32_t h2_code)
{
	call->stream_open = false;
	/* A paused client still has messages to read before it hears of the end. */
	if (!call->over && (call->session->server || !call->in.ended))
		closed_by_peer(call, h2_code);
	free_unless_held(call);
}

static void on_deadline(struct timer *timer)
{
	struct wire_call *call = list_entry(timer, struct wire_call, deadline);

	call_abort(call, WIRE_OVER_DEADLINE, WIRE_DEADLINE_EXCEEDED, "deadline exceeded");
}

void call_set_deadline(struct wire_call *call, int64_t ms)
{
	timers_arm(&call->session->hub->timers, &call->deadline, timers_now() + ms);
}

void call_response_over(
	struct wire_call *call, enum wire_over over, enum wire_status status)
{
	if (call->stream_open && !nghttp2_session_get_stream_local_close(
					 call->session->h2, call->stream_id))
		reset(call, NGHTTP2_NO_ERROR); /* what we still had to say is moot */
	call_over(call, over, status, NULL);
}

/* Is a message on its way that the peer does not bring to its end? */
static bool uploads(const struct wire_call *call)
{
	const struct incoming *in = &call->in;

	if (!call->method || !call_listens(call) || in->paused ||
		!list_empty(&call->in_starved))
		return false;
	if (in->raw.len)
		return true;
	return call->session->server && !call_peer_streams(call) && !in->ended;
}

void call_check(struct wire_call *call, int64_t now)
{
	const struct wire_limits *l = &call->session->hub->limits;

	if (call->over)
		return;
	if (uploads(call) && now - call->in.since_ms > l->upload_ms) {
		call_abort(call, WIRE_OVER_BROKEN, WIRE_DEADLINE_EXCEEDED,
			"a message did not come in whole within %u ms", l->upload_ms);
	} else if (call->out && now - call->out_ms > l->stall_ms) {
		reset(call, NGHTTP2_CANCEL);
		call_over(call, WIRE_OVER_BROKEN, WIRE_UNAVAILABLE,
			"the peer took nothing of what waits for it");
	}
}

/* ---- sending */

/* A message is waiting or the end is due: let nghttp2 come and take it. */
static void offer(struct wire_call *call)
{
	if (call->session->server && !call->answered)
		answer_begin(call);
	else if (call->asleep)
		nghttp2_session_resume_data(call->session->h2, call->stream_id);
	call->asleep = false;
	session_touch(call->session);
}

int call_pack(struct wire_call *call, const void *message, struct err *e)
{
	size_t limit = call->session->hub->limits.message_bytes;
	size_t size = protobuf_c_message_get_packed_size(message);

	if (size > limit)
		return err_set(e, ERR_EXHAUSTED,
			"message of %zu bytes is larger than the limit of %zu bytes",
			size, limit);
	call->out = xmalloc(FRAME_PREFIX + size);
	call->out[0] = 0; /* not compressed */
	call->out[1] = (uint8_t)(size >> 24);
	call->out[2] = (uint8_t)(size >> 16);
	call->out[3] = (uint8_t)(size >> 8);
	call->out[4] = (uint8_t)size;
	protobuf_c_message_pack(message, call->out + FRAME_PREFIX);
	call->out_len = (uint32_t)(FRAME_PREFIX + size);
	call->out_at = 0;
	call->out_ms = timers_now();
	return 0;
}

bool wire_call_ready(const struct wire_call *call)
{
	return !call->out && !call->sealed && call->stream_open;
}

int wire_call_send(struct wire_call *call, const void *message, struct err *e)
{
	if (call->sealed || !call->stream_open)
		return 0;
	assert(!call->out);
	if (call_pack(call, message, e) < 0)
		return -1;
	if (!call->pulling)
		offer(call);
	return 0;
}

void wire_call_wake(struct wire_call *call)
{
	if (call->sealed || call->awake || !call->stream_open)
		return;
	call->awake = true;
	if (!call->pulling && !call->out)
		offer(call);
}

void wire_call_end(struct wire_call *call)
{
	assert(!call->session->server);
	if (call->sealed || !call->stream_open)
		return;
	call->sealed = true;
	if (!call->pulling && !call->out)
		offer(call);
}

/* Is there something to send, pulled for if need be?  One message at most waits. */
static bool has_more(struct wire_call *call)
{
	while (!call->out && call->awake && !call->sealed) {
		call->awake = false;
		if (!call->on->pull)
			break;
		call->pulling = true;
		call->on->pull(call);
		call->pulling = false;
		if (call->out)
			call->awake = !call->sealed;
	}
	return call->out;
}

ssize_t call_read(nghttp2_session *h2, int32_t stream_id, uint8_t *to, size_t room,
	uint32_t *flags, nghttp2_data_source *source, void *session)
{
	struct wire_call *call = source->ptr;
	size_t filled = 0;

	(void)h2;
	(void)stream_id;
	(void)session;
	while (filled < room && has_more(call)) {
		size_t left = call->out_len - call->out_at;
		size_t n = left < room - filled ? left : room - filled;

		memcpy(to + filled, call->out + call->out_at, n);
		filled += n;
		call->out_at += (uint32_t)n;
		if (call->out_at == call->out_len)
			drop_out(call);
	}
	if (filled && call->out)
		call->out_ms = timers_now();
	if (call->sealed && !call->out && !call->over) {
		*flags |= NGHTTP2_DATA_FLAG_EOF;
		if (call->session->server) {
			*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
			answer_trailers(call);
		}
		return (ssize_t)filled;
	}
	if (!filled) {
		call->asleep = true;
		return NGHTTP2_ERR_DEFERRED;
	}
	return (ssize_t)filled;
}

void call_all_sent(struct wire_call *call)
{
	if (!call->session->server)
		return;
	/* Only now: a reset submitted earlier would overtake the answer. */
	if (!call->in.ended && call->stream_open)
		nghttp2_submit_rst_stream(call->session->h2, NGHTTP2_FLAG_NONE,
			call->stream_id, NGHTTP2_NO_ERROR);
	call_over(call, WIRE_OVER_FINISHED, call->status, NULL);
}

/* ---- receiving */

void wire_call_pause(struct wire_call *call)
{
	call->in.paused = true;
}

void wire_call_resume(struct wire_call *call)
{
	if (!call->in.paused)
		return;
	call->in.paused = false;
	if (call_listens(call) && list_empty(&call->in_todo)) {
		list_append(&call->session->todo, &call->in_todo);
		session_touch(call->session);
	}
}

/* ---- reading a call */

void *wire_call_user(const struct wire_call *call)
{
	return call->user;
}

void *wire_call_data(const struct wire_call *call)
{
	return call->data;
}

void wire_call_set_data(struct wire_call *call, void *data)
{
	call->data = data;
}

const struct wire_method *wire_call_method(const struct wire_call *call)
{
	return call->method;
}

enum wire_over wire_call_over(const struct wire_call *call)
{
	return call->over;
}

enum wire_status wire_call_status(const struct wire_call *call)
{
	return call->status;
}

const char *wire_call_text(const struct wire_call *call)
{
	return call->ending && call->ending->text ? call->ending->text : "";
}

int wire_call_err(const struct wire_call *call, struct err *e)
{
	const char *text = wire_call_text(call);

	if (call->over == WIRE_OVER_FINISHED && call->status == WIRE_OK)
		return 0;
	return err_set(e, wire_status_err(call->status), "%s",
		*text ? text : wire_status_name(call->status));
}

const char *wire_call_metadata(const struct wire_call *call, const char *name)
{
	return metadata_find(&call->metadata, name);
}

const struct wire_peer *wire_call_peer(const struct wire_call *call)
{
	return &call->session->peer;
}

int64_t wire_call_left_ms(const struct wire_call *call)
{
	if (!call->deadline.place)
		return INT64_MAX;

	int64_t left = call->deadline.at_ms - timers_now();

	return left > 0 ? left : 0;
}
