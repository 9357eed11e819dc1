/* h2.c - the callbacks of nghttp2, each handed to the part that it concerns. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "h2.h"

#include <assert.h>
#include <stdlib.h>

#include "call.h"
#include "head.h"
#include "incoming.h"
#include "session.h"

#define CLOSED_STREAMS_MAX 1024

static struct wire_call *call_of(nghttp2_session *h2, int32_t stream_id)
{
	return nghttp2_session_get_stream_user_data(h2, stream_id);
}

static int on_begin_headers(nghttp2_session *h2, const nghttp2_frame *frame, void *user)
{
	struct session *s = user;
	int32_t id = frame->hd.stream_id;

	if (frame->hd.type == NGHTTP2_HEADERS &&
		frame->headers.cat == NGHTTP2_HCAT_REQUEST)
		nghttp2_session_set_stream_user_data(h2, id, call_new(s, id));
	return 0;
}

static int on_header(nghttp2_session *h2, const nghttp2_frame *frame, const uint8_t *name,
	size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
	void *user)
{
	struct session *s = user;
	struct wire_call *call = call_of(h2, frame->hd.stream_id);

	(void)flags;
	if (!call || frame->hd.type != NGHTTP2_HEADERS)
		return 0;
	if (!s->server)
		head_response_pair(call, (const char *)name, name_len,
			(const char *)value, value_len);
	else if (frame->headers.cat == NGHTTP2_HCAT_REQUEST)
		head_request_pair(call, (const char *)name, name_len, (const char *)value,
			value_len);
	return 0;
}

static int on_begin_frame(nghttp2_session *h2, const nghttp2_frame_hd *hd, void *user)
{
	struct session *s = user;

	(void)h2;
	if (hd->type == NGHTTP2_DATA) {
		s->frame_len = hd->length;
		s->frame_last = hd->flags & NGHTTP2_FLAG_END_STREAM;
	}
	return 0;
}

static int on_data_chunk(nghttp2_session *h2, uint8_t flags, int32_t stream_id,
	const uint8_t *bytes, size_t len, void *user)
{
	struct wire_call *call = call_of(h2, stream_id);

	(void)flags;
	(void)user;
	if (call)
		incoming_feed(call, bytes, len);
	else
		nghttp2_session_consume(h2, stream_id, len);
	return 0;
}

static void on_headers(
	struct session *s, struct wire_call *call, const nghttp2_frame *frame)
{
	if (!s->server)
		head_response_done(call);
	else if (frame->headers.cat == NGHTTP2_HCAT_REQUEST)
		head_request_done(call);
}

static void on_stream_frame(struct session *s, const nghttp2_frame *frame)
{
	struct wire_call *call = call_of(s->h2, frame->hd.stream_id);

	if (!call)
		return;
	if (frame->hd.type == NGHTTP2_HEADERS)
		on_headers(s, call, frame);
	if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
		incoming_end(call);
}

/* A stream that is reset before it was answered may have cost more work than its peer had
 * to wait for: that is what a rapid reset lives on.  Who has had an answer has waited, in
 * one of a limited number of streams, as if the call had ended; gRPC clients that want
 * only the first messages of a stream end it so. */
static void on_reset(struct session *s, int32_t stream_id)
{
	const struct wire_call *call = call_of(s->h2, stream_id);

	if (s->server && !(call && call->head_sent))
		session_count_reset(s);
}

static int on_frame_recv(nghttp2_session *h2, const nghttp2_frame *frame, void *user)
{
	struct session *s = user;
	bool ack = frame->hd.flags & NGHTTP2_FLAG_ACK;

	(void)h2;
	switch (frame->hd.type) {
	case NGHTTP2_DATA:
	case NGHTTP2_HEADERS:
		on_stream_frame(s, frame);
		break;
	case NGHTTP2_SETTINGS:
		if (!ack)
			s->peer_spoke = true;
		break;
	case NGHTTP2_RST_STREAM:
		on_reset(s, frame->hd.stream_id);
		break;
	case NGHTTP2_PING:
		if (ack)
			session_ping_answered(s, frame->ping.opaque_data);
		break;
	default:
		break;
	}
	return 0;
}

static int on_frame_send(nghttp2_session *h2, const nghttp2_frame *frame, void *user)
{
	struct session *s = user;

	if (frame->hd.type == NGHTTP2_HEADERS) {
		struct wire_call *call = call_of(h2, frame->hd.stream_id);

		if (!call)
			return 0;
		call->head_sent = true;
		if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
			call_all_sent(call);
	} else if (frame->hd.type == NGHTTP2_RST_STREAM) {
		uint32_t code = frame->rst_stream.error_code;

		if (s->server && code != NGHTTP2_NO_ERROR && code != NGHTTP2_CANCEL)
			session_count_reset(s);
	}
	return 0;
}

static int on_stream_close(
	nghttp2_session *h2, int32_t stream_id, uint32_t code, void *user)
{
	struct wire_call *call = call_of(h2, stream_id);

	(void)user;
	if (call)
		call_stream_closed(call, code);
	return 0;
}

nghttp2_session_callbacks *h2_callbacks_new(bool server)
{
	nghttp2_session_callbacks *cb = NULL;

	if (nghttp2_session_callbacks_new(&cb) != 0)
		abort(); /* out of memory */
	if (server)
		nghttp2_session_callbacks_set_on_begin_headers_callback(
			cb, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_begin_frame_callback(cb, on_begin_frame);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data_chunk);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame_recv);
	nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_send);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
	return cb;
}

nghttp2_option *h2_options_new(const struct wire_limits *limits)
{
	nghttp2_option *o = NULL;

	if (nghttp2_option_new(&o) != 0)
		abort(); /* out of memory */
	/* Windows are given back by incoming.c, when a message is taken. */
	nghttp2_option_set_no_auto_window_update(o, 1);
	/* nghttp2 would count every reset; on_reset() counts those that cost us something. */
	nghttp2_option_set_stream_reset_rate_limit(o, UINT32_MAX, UINT32_MAX);
	nghttp2_option_set_max_outbound_ack(o, limits->acks);
	/* A few closed streams are remembered, so that frames on them are told from frames
	 * that crossed our reset.  Where many may be open that would cost too much. */
	if (limits->streams > CLOSED_STREAMS_MAX)
		nghttp2_option_set_no_closed_streams(o, 1);
	nghttp2_option_set_peer_max_concurrent_streams(o, limits->streams);
	return o;
}
