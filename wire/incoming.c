/* incoming.c - gathers DATA into messages within the limits, and hands them over. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "incoming.h"

#include <assert.h>

#include "call.h"
#include "head.h"
#include "hub.h"
#include "session.h"

static uint32_t read_be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static const ProtobufCMessageDescriptor *message_type(const struct wire_call *call)
{
	return call->session->server ? call->method->request : call->method->response;
}

/* Unpack and hand over; what cannot be unpacked ends the call. */
static void deliver(struct wire_call *call, const uint8_t *bytes, size_t len)
{
	struct err e;
	ProtobufCMessage *m = wire_message_read(message_type(call), bytes, len, &e);

	if (!m) {
		enum wire_status status =
			call->session->server ? wire_status_of(e.code) : WIRE_INTERNAL;

		call_abort(call, WIRE_OVER_BROKEN, status, "%s", e.text);
		return;
	}
	if (call->in.messages < 2)
		call->in.messages++;
	if (call->session->server)
		call->given = true;
	if (call->on->message)
		call->on->message(call, m);
	else
		wire_message_free(m);
}

/* Is the message with this prefix one that we take?  If not, the call is over. */
static bool take_prefix(struct wire_call *call, const uint8_t *prefix)
{
	size_t limit = call->session->hub->limits.message_bytes;
	uint32_t size = read_be32(prefix + 1);

	if (prefix[0] > 1)
		call_abort(call, WIRE_OVER_BROKEN, WIRE_INTERNAL,
			"malformed message frame: flag %u", prefix[0]);
	else if (prefix[0] == 1)
		call_abort(call, WIRE_OVER_BROKEN, WIRE_UNIMPLEMENTED,
			"compressed messages are not taken; send identity");
	else if (size > limit)
		call_abort(call, WIRE_OVER_BROKEN, WIRE_RESOURCE_EXHAUSTED,
			"message of %u bytes is larger than the limit of %zu bytes", size,
			limit);
	else if (!call_peer_streams(call) && call->in.messages)
		call_abort(call, WIRE_OVER_BROKEN, WIRE_INTERNAL,
			"more than one message where one is due");
	else
		return true;
	return false;
}

/* Deliver the whole messages at the start of bytes and return how many bytes they were.
 * last: the peer sends nothing after these.  A server takes a request that does not
 * stream only with its end, so that a handler never sees half of a refused call. */
static size_t take_messages(
	struct wire_call *call, const uint8_t *bytes, size_t len, bool last)
{
	bool single = call->session->server && !call_peer_streams(call);
	size_t at = 0;

	while (call_listens(call) && !call->in.paused && len - at >= FRAME_PREFIX) {
		if (!take_prefix(call, bytes + at))
			break;

		size_t size = read_be32(bytes + at + 1);
		size_t have = len - at - FRAME_PREFIX;

		if (have < size || (single && have == size && !last))
			break;
		if (single && have > size) {
			call_abort(call, WIRE_OVER_BROKEN, WIRE_INTERNAL,
				"more than one message where one is due");
			break;
		}
		at += FRAME_PREFIX + size;
		deliver(call, bytes + at - size, size);
	}
	return at;
}

static void give_window_back(struct wire_call *call, size_t len)
{
	if (len && call->stream_open)
		nghttp2_session_consume_stream(call->session->h2, call->stream_id, len);
}

/* How large the first message in raw will be, as far as it is known. */
static size_t wanted(const struct incoming *in)
{
	if (in->raw.len < FRAME_PREFIX)
		return FRAME_PREFIX;
	return FRAME_PREFIX + (size_t)read_be32(in->raw.data + 1);
}

static void charge(struct wire_call *call, size_t bytes)
{
	struct hub *hub = call->session->hub;

	hub->buffered += bytes;
	hub->buffered -= call->in.charged;
	call->in.charged = bytes;
}

bool incoming_may_grow(const struct wire_call *call)
{
	const struct hub *hub = call->session->hub;
	size_t others = hub->buffered - call->in.charged;

	/* A budget smaller than one message must not block it for ever. */
	return !others || others + wanted(&call->in) <= hub->limits.buffered_bytes;
}

/* The message is incomplete: may the rest come? */
static void ask_to_grow(struct wire_call *call)
{
	struct incoming *in = &call->in;

	if (in->granted || in->paused || in->raw.len >= wanted(in))
		return;
	if (!incoming_may_grow(call)) {
		if (list_empty(&call->in_starved))
			list_append(&call->session->hub->starved, &call->in_starved);
		return;
	}
	in->granted = true;
	in->since_ms = timers_now();
	buf_reserve(&in->raw, wanted(in) - in->raw.len);
}

void incoming_settle(struct wire_call *call)
{
	struct incoming *in = &call->in;
	struct hub *hub = call->session->hub;

	if (!in->raw.len) {
		buf_fini(&in->raw); /* an idle stream keeps nothing */
		in->granted = false;
	} else {
		ask_to_grow(call);
	}

	size_t want = in->raw.len ? wanted(in) : 0;
	size_t shut = in->raw.len;

	if (in->granted)
		shut = in->raw.len > want ? in->raw.len - want : 0;
	charge(call, in->granted && want > in->raw.len ? want : in->raw.len);
	if (in->withheld > shut) {
		give_window_back(call, in->withheld - shut);
		in->withheld = (uint32_t)shut;
	}
	if (hub->buffered > 2 * hub->limits.buffered_bytes && in->charged)
		call_abort(call, WIRE_OVER_BROKEN, WIRE_RESOURCE_EXHAUSTED,
			"more than %zu bytes of incomplete messages",
			2 * hub->limits.buffered_bytes);
}

void incoming_drop(struct wire_call *call)
{
	struct incoming *in = &call->in;

	list_remove(&call->in_starved);
	list_remove(&call->in_todo);
	give_window_back(call, in->withheld);
	in->withheld = 0;
	buf_fini(&in->raw);
	charge(call, 0);
}

static void tell_end(struct wire_call *call)
{
	struct incoming *in = &call->in;

	if (!in->ended || in->told_end || in->paused || !call_listens(call))
		return;

	bool single = !call_peer_streams(call);

	in->told_end = true;
	if (!call->session->server)
		head_response_over(call);
	else if (in->raw.len)
		call_abort(call, WIRE_OVER_BROKEN, WIRE_INTERNAL,
			"the stream ended inside a message");
	else if (single && !in->messages)
		call_abort(call, WIRE_OVER_BROKEN, WIRE_INTERNAL,
			"no request message where one is due");
	else if (!single && call->on->end)
		call->on->end(call);
}

void incoming_run(struct wire_call *call)
{
	struct incoming *in = &call->in;
	size_t taken = take_messages(call, in->raw.data, in->raw.len, in->ended);

	if (!call_listens(call)) {
		incoming_drop(call);
		return;
	}
	if (taken) {
		buf_drop(&in->raw, taken);
		in->granted = false;
		in->since_ms = timers_now();
	}
	incoming_settle(call);
	tell_end(call);
}

void incoming_feed(struct wire_call *call, const uint8_t *bytes, size_t len)
{
	struct incoming *in = &call->in;
	const struct session *s = call->session;

	nghttp2_session_consume_connection(s->h2, len);
	if (call_listens(call) && !in->raw.len) {
		bool last = s->frame_last && s->frame_len == len;
		size_t taken = take_messages(call, bytes, len, last);

		give_window_back(call, taken);
		bytes += taken;
		len -= taken;
	}
	if (!call_listens(call)) {
		give_window_back(call, len);
		incoming_drop(call);
		return;
	}
	if (!len)
		return;
	if (!in->raw.len && call_peer_streams(call))
		in->since_ms = timers_now();
	buf_add(&in->raw, bytes, len);
	in->withheld += (uint32_t)len;
	incoming_run(call);
}

void incoming_end(struct wire_call *call)
{
	call->in.ended = true;
	if (call->in.raw.len && call_listens(call))
		incoming_run(call);
	else
		tell_end(call);
}
