/* answer.c - writes what a server says in headers and trailers. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "answer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "h2.h"
#include "xalloc.h"

#define TRAILERS_MAX 16 /* of an application, in one ending; an assert */

nghttp2_nv h2_nv(const char *name, const char *value)
{
	return (nghttp2_nv){
		.name = (uint8_t *)(uintptr_t)name,
		.namelen = strlen(name),
		.value = (uint8_t *)(uintptr_t)value,
		.valuelen = strlen(value),
	};
}

void answer_begin(struct wire_call *call)
{
	static const nghttp2_nv head[] = { H2_NV(":status", "200"),
		H2_NV("content-type", "application/grpc") };
	nghttp2_data_provider source = { .source.ptr = call, .read_callback = call_read };

	call->answered = true;
	nghttp2_submit_response(call->session->h2, call->stream_id, head, 2, &source);
	session_touch(call->session);
}

static nghttp2_nv status_nv(enum wire_status status)
{
	static const char *const digits[WIRE_STATUS_COUNT] = { "0", "1", "2", "3", "4",
		"5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16" };

	return h2_nv("grpc-status", digits[status]);
}

/* A list of headers whose texts live until it is submitted. */
struct head {
	nghttp2_nv nv[TRAILERS_MAX + 6];
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

static void add_ending(struct head *h, enum wire_status status, const char *text,
	const struct metadata *trailers)
{
	struct wire_pair pair;

	add(h, status_nv(status));
	if (text && *text) {
		h->message = status_text_encode(text);
		add(h, h2_nv("grpc-message", h->message));
	}
	for (size_t at = 0; trailers && metadata_next(trailers, &at, &pair);)
		add(h, h2_nv(pair.name, pair.value));
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

/* ---- finishing, for the application */

void wire_call_finish_with(struct wire_call *call, enum wire_status status,
	const char *text, const struct wire_pair *trailers, size_t count)
{
	assert(call->session->server && (unsigned)status < WIRE_STATUS_COUNT);
	assert(count <= TRAILERS_MAX);
	if (call->sealed || call->over || !call->stream_open)
		return;
	call->sealed = true;
	call->status = (uint8_t)status;
	if ((text && *text) || count) {
		call->ending = xcalloc(1, sizeof(*call->ending));
		call->ending->text = text && *text ? xstrdup(text) : NULL;
	}
	for (size_t i = 0; i < count; i++) {
		assert(metadata_check(&trailers[i], NULL) == 0);
		metadata_add(&call->ending->trailers, trailers[i].name,
			strlen(trailers[i].name), trailers[i].value,
			strlen(trailers[i].value));
	}
	if (!call->out && !call->pulling)
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
