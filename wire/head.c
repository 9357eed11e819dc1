/* head.c - checks a request's headers, reads a response's headers and trailers. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "head.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "call.h"
#include "status.h"
#include "str.h"
#include "timeout.h"
#include "xalloc.h"

enum head_bit {
	HEAD_POST = 1,
	HEAD_GRPC = 2, /* content-type */
	HEAD_TE = 4,
	HEAD_TOO_LARGE = 8,
	HEAD_TIMEOUT = 16, /* deadline.at_ms is set */
	HEAD_BAD_TIMEOUT = 32,
	HEAD_EXPIRED = 64,
};

static bool is(const char *text, size_t len, const char *literal)
{
	return len == strlen(literal) && memcmp(text, literal, len) == 0;
}

static bool is_grpc_type(const char *value, size_t len)
{
	static const char base[] = "application/grpc";
	const size_t base_len = sizeof(base) - 1;

	if (len < base_len || memcmp(value, base, base_len) != 0)
		return false;
	return len == base_len || value[base_len] == ';' ||
	       is(value + base_len, len - base_len, "+proto");
}

/* Keep an application's header; false when there are too many. */
static bool keep(struct wire_call *call, const char *name, size_t name_len,
	const char *value, size_t value_len)
{
	size_t bytes = call->metadata_bytes + name_len + value_len + 32;

	if (bytes > call->session->hub->limits.metadata_bytes)
		return false;
	call->metadata_bytes = (uint32_t)bytes;
	if (metadata_name_free(name, name_len))
		metadata_add(&call->metadata, name, name_len, value, value_len);
	return true;
}

/* ---- requests */

static void take_path(struct wire_call *call, const char *value, size_t len)
{
	struct hub *hub = call->session->hub;
	const struct route *route = hub->owner->find(hub, value, len);

	if (!route) {
		metadata_add(
			&call->metadata, ":path", 5, value, len); /* for the refusal */
		return;
	}
	call->method = route->method;
	call->on = route->on;
	call->user = route->user;
	call_count(call, route->stats);
}

static void take_timeout(struct wire_call *call, const char *value, size_t len)
{
	int64_t ms;

	if (timeout_parse(value, len, &ms, NULL) < 0) {
		call->head |= HEAD_BAD_TIMEOUT;
		return;
	}
	if (ms == 0)
		call->head |= HEAD_EXPIRED;
	call->head |= HEAD_TIMEOUT;
	call->deadline.at_ms = timers_now() + ms;
}

void head_request_pair(struct wire_call *call, const char *name, size_t name_len,
	const char *value, size_t value_len)
{
	if (call->head & HEAD_TOO_LARGE)
		return;
	if (is(name, name_len, ":method")) {
		if (is(value, value_len, "POST"))
			call->head |= HEAD_POST;
	} else if (is(name, name_len, "content-type")) {
		if (is_grpc_type(value, value_len))
			call->head |= HEAD_GRPC;
	} else if (is(name, name_len, "te")) {
		if (is(value, value_len, "trailers"))
			call->head |= HEAD_TE;
	}
	if (!keep(call, name, name_len, value, value_len))
		call->head |= HEAD_TOO_LARGE;
	else if (is(name, name_len, ":path"))
		take_path(call, value, value_len);
	else if (is(name, name_len, "grpc-timeout"))
		take_timeout(call, value, value_len);
}

static void refuse_path(struct wire_call *call)
{
	const char *path = metadata_find(&call->metadata, ":path");
	char quoted[STR_QUOTE_SIZE];
	char text[STR_QUOTE_SIZE + 32];

	if (!path)
		path = "";
	snprintf(text, sizeof(text), "unknown method %s",
		str_quote(quoted, path, strlen(path)));
	call_refuse(call, "200", WIRE_UNIMPLEMENTED, text);
}

static void refuse_large(struct wire_call *call)
{
	char text[64];

	snprintf(text, sizeof(text), "metadata is larger than the limit of %zu bytes",
		call->session->hub->limits.metadata_bytes);
	call_refuse(call, "200", WIRE_RESOURCE_EXHAUSTED, text);
}

static void open_call(struct wire_call *call)
{
	if (call->head & HEAD_TIMEOUT)
		timers_arm(&call->session->hub->timers, &call->deadline,
			call->deadline.at_ms);
	if (!call_peer_streams(call))
		return; /* the handler hears of it with its whole request */
	call->given = true;
	if (call->on->open)
		call->on->open(call);
}

void head_request_done(struct wire_call *call)
{
	if (call->refused)
		return; /* a drain was faster than the rest of the headers */
	if (call->head & HEAD_TOO_LARGE)
		refuse_large(call);
	else if (!(call->head & HEAD_POST))
		call_refuse(call, "405", WIRE_INTERNAL, "the method must be POST");
	else if (!(call->head & HEAD_GRPC))
		call_refuse(call, "415", WIRE_INTERNAL,
			"content-type must be application/grpc");
	else if (!(call->head & HEAD_TE))
		call_refuse(call, "400", WIRE_INTERNAL, "te: trailers is missing");
	else if (!call->method)
		refuse_path(call);
	else if (call->head & HEAD_BAD_TIMEOUT)
		call_refuse(call, "200", WIRE_INVALID_ARGUMENT, "malformed grpc-timeout");
	else if (call->head & HEAD_EXPIRED)
		call_refuse(call, "200", WIRE_DEADLINE_EXCEEDED, "deadline exceeded");
	else
		open_call(call);
}

/* ---- responses */

static void take_status(struct wire_call *call, const char *value, size_t len)
{
	int n = 0;

	call->has_status = true;
	for (size_t i = 0; i < len && n < WIRE_STATUS_COUNT; i++) {
		if (value[i] < '0' || value[i] > '9')
			n = WIRE_STATUS_COUNT;
		else
			n = n * 10 + (value[i] - '0');
	}
	call->status = (uint8_t)(len && n < WIRE_STATUS_COUNT ? n : WIRE_UNKNOWN);
}

static void take_message(struct wire_call *call, const char *value, size_t len)
{
	if (!call->ending)
		call->ending = xcalloc(1, sizeof(*call->ending));
	free(call->ending->text);
	call->ending->text = status_text_decode(value, len);
}

void head_response_pair(struct wire_call *call, const char *name, size_t name_len,
	const char *value, size_t value_len)
{
	if (call->over)
		return;
	if (!keep(call, name, name_len, value, value_len))
		call_abort(call, WIRE_OVER_BROKEN, WIRE_RESOURCE_EXHAUSTED,
			"metadata is larger than the limit of %zu bytes",
			call->session->hub->limits.metadata_bytes);
	else if (is(name, name_len, ":status") && value_len == 3)
		call->http = (uint16_t)((value[0] - '0') * 100 + (value[1] - '0') * 10 +
					(value[2] - '0'));
	else if (is(name, name_len, "content-type"))
		call->head |= is_grpc_type(value, value_len) ? HEAD_GRPC : 0;
	else if (is(name, name_len, "grpc-status"))
		take_status(call, value, value_len);
	else if (is(name, name_len, "grpc-message"))
		take_message(call, value, value_len);
}

void head_response_done(struct wire_call *call)
{
	if (call->over || call->has_status || call->http / 100 == 1)
		return;
	if (call->http != 200)
		call_abort(call, WIRE_OVER_BROKEN, status_of_http(call->http),
			"the server answered with HTTP status %u", call->http);
	else if (!(call->head & HEAD_GRPC))
		call_abort(call, WIRE_OVER_BROKEN, WIRE_UNKNOWN,
			"the server does not answer with application/grpc");
}

void head_response_over(struct wire_call *call)
{
	const struct incoming *in = &call->in;
	bool single = !call_peer_streams(call);

	if (!call->has_status)
		call_abort(call, WIRE_OVER_BROKEN, WIRE_UNKNOWN,
			"the server ended the stream without a status");
	else if (call->status == WIRE_OK && in->raw.len)
		call_abort(call, WIRE_OVER_BROKEN, WIRE_INTERNAL,
			"the stream ended inside a message");
	else if (call->status == WIRE_OK && single && in->messages != 1)
		call_abort(call, WIRE_OVER_BROKEN, WIRE_INTERNAL,
			"no response message where one is due");
	else
		call_response_over(call, WIRE_OVER_FINISHED, call->status);
}
