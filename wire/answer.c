/* answer.c - writes what a server says in headers and trailers. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "answer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "h2.h"
#include "xalloc.h"

#define PAIRS_MAX 16 /* of an application, in one block; an assert */

nghttp2_nv h2_nv(const char *name, const char *value)
{
	return (nghttp2_nv){
		.name = (uint8_t *)(uintptr_t)name,
		.namelen = strlen(name),
		.value = (uint8_t *)(uintptr_t)value,
		.valuelen = strlen(value),
	};
}

/* A list of headers whose texts live until it is submitted. */
struct head {
	nghttp2_nv nv[PAIRS_MAX + 6];
	size_t count;
	char *message; /* grpc-message, encoded */
};

static void head_fini(struct head *h)
{
	free(h->message);
}

static void add(struct head *h, nghttp2_nv nv)
{
	h->nv[h->count++] = nv;
}

static void add_pairs(struct head *h, const struct metadata *pairs)
{
	struct wire_pair pair;

	for (size_t at = 0; metadata_next(pairs, &at, &pair);)
		add(h, h2_nv(pair.name, pair.value));
}

void answer_begin(struct wire_call *call)
{
	nghttp2_data_provider source = { .source.ptr = call, .read_callback = call_read };
	struct head h = { .count = 0 };

	add(&h, h2_nv(":status", "200"));
	add(&h, h2_nv("content-type", "application/grpc"));
	add_pairs(&h, &call->headers);
	call->answered = true;
	nghttp2_submit_response(
		call->session->h2, call->stream_id, h.nv, h.count, &source);
	metadata_fini(&call->headers);
	session_touch(call->session);
}

static nghttp2_nv status_nv(enum wire_status status)
{
	static const char *const digits[WIRE_STATUS_COUNT] = { "0", "1", "2", "3", "4",
		"5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16" };

	return h2_nv("grpc-status", digits[status]);
}

static void add_ending(struct head *h, enum wire_status status, const char *text,
	const struct metadata *trailers)
{
	add(h, status_nv(status));
	if (text && *text) {
		h->message = status_text_encode(text);
		add(h, h2_nv("grpc-message", h->message));
	}
	if (trailers)
		add_pairs(h, trailers);
}

static void submit_alone(struct wire_call *call, const char *http,
	enum wire_status status, const char *text, const struct metadata *trailers)
{
	CLEANUP(head_fini) struct head h = { .count = 0 };

	add(&h, h2_nv(":status", http));
	add(&h, h2_nv("content-type", "application/grpc"));
	if (status == WIRE_UNIMPLEMENTED)
		add(&h, h2_nv("grpc-accept-encoding", "identity"));
	add_ending(&h, status, text, trailers);
	call->answered = true;
	nghttp2_submit_response(call->session->h2, call->stream_id, h.nv, h.count, NULL);
}

void answer_status(struct wire_call *call, enum wire_status status, const char *text,
	const struct metadata *trailers)
{
	assert(!call->out);
	if (call->trailed || !call->stream_open)
		return;
	call->trailed = true;
	call->sealed = true;
	call->status = (uint8_t)status;
	if (!call->answered) {
		submit_alone(call, "200", status, text, trailers);
	} else {
		CLEANUP(head_fini) struct head h = { .count = 0 };

		if (status == WIRE_UNIMPLEMENTED)
			add(&h, h2_nv("grpc-accept-encoding", "identity"));
		add_ending(&h, status, text, trailers);
		nghttp2_submit_trailer(call->session->h2, call->stream_id, h.nv, h.count);
	}
	session_touch(call->session);
}

void answer_trailers(struct wire_call *call)
{
	const struct ending *ending = call->ending;

	answer_status(call, call->status, ending ? ending->text : NULL,
		ending ? &ending->trailers : NULL);
}

void call_refuse(struct wire_call *call, const char *http, enum wire_status status,
	const char *text)
{
	if (call->answered || !call->stream_open)
		return;
	call->refused = true;
	call->sealed = true;
	call->trailed = true;
	call->status = (uint8_t)status;
	submit_alone(call, http, status, text, NULL);
	session_touch(call->session);
}

/* ---- for the application */

static void keep_pairs(struct metadata *to, const struct wire_pair *pairs, size_t count)
{
	assert(count <= PAIRS_MAX);
	for (size_t i = 0; i < count; i++) {
		assert(metadata_check(&pairs[i], NULL) == 0);
		metadata_add(to, pairs[i].name, strlen(pairs[i].name), pairs[i].value,
			strlen(pairs[i].value));
	}
}

void wire_call_set_headers(
	struct wire_call *call, const struct wire_pair *headers, size_t count)
{
	assert(call->session->server && !call->headers.pairs);
	if (call->sealed || !call->stream_open)
		return;
	assert(!call->answered);
	keep_pairs(&call->headers, headers, count);
}

void wire_call_finish_with(struct wire_call *call, enum wire_status status,
	const char *text, const struct wire_pair *trailers, size_t count)
{
	assert(call->session->server && (unsigned)status < WIRE_STATUS_COUNT);
	if (call->sealed || call->over || !call->stream_open)
		return;
	call->sealed = true;
	call->status = (uint8_t)status;
	if ((text && *text) || count) {
		call->ending = xcalloc(1, sizeof(*call->ending));
		call->ending->text = text && *text ? xstrdup(text) : NULL;
	}
	if (count)
		keep_pairs(&call->ending->trailers, trailers, count);
	if (call->headers.pairs)
		answer_begin(call); /* the source then finds nothing but the ending */
	else if (!call->out && !call->pulling)
		answer_trailers(call);
}

void wire_call_finish(struct wire_call *call, enum wire_status status, const char *text)
{
	wire_call_finish_with(call, status, text, NULL, 0);
}

void wire_call_fail(struct wire_call *call, const struct err *e)
{
	wire_call_finish(call, wire_status_of(e->code), e->text);
}

void wire_call_reply(struct wire_call *call, const void *message)
{
	struct err e = { 0 };

	if (wire_call_send(call, message, &e) < 0)
		wire_call_fail(call, &e);
	else
		wire_call_finish(call, WIRE_OK, NULL);
}
