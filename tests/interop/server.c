/* server.c - grpc.testing.TestService on wire/, for the interop clients of other languages.
 *
 * Prints "listening on ADDRESS" and serves until SIGTERM.  A stream's requests are taken
 * one at a time: the next is read when all that the one before asks for is sent.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "test.pb-c.h"
#include "wire.h"
#include "xalloc.h"

#define SIZE_MAX_ASKED (3 << 20) /* bytes of one answer */

typedef Grpc__Testing__SimpleRequest SimpleRequest;
typedef Grpc__Testing__SimpleResponse SimpleResponse;
typedef Grpc__Testing__StreamingInputCallRequest InputRequest;
typedef Grpc__Testing__StreamingInputCallResponse InputResponse;
typedef Grpc__Testing__StreamingOutputCallRequest OutputRequest;
typedef Grpc__Testing__StreamingOutputCallResponse OutputResponse;
typedef Grpc__Testing__Payload Payload;
typedef Grpc__Testing__EchoStatus EchoStatus;

static uint8_t zeros[SIZE_MAX_ASKED];

static Payload payload(int32_t size)
{
	Payload p = GRPC__TESTING__PAYLOAD__INIT;

	p.body.data = zeros;
	p.body.len = (size_t)size;
	return p;
}

static bool is_size(int32_t size)
{
	return size >= 0 && size <= SIZE_MAX_ASKED;
}

/* ---- what a client's metadata asks to hear again */

static const char *const echo_early = "x-grpc-test-echo-initial";
static const char *const echo_late = "x-grpc-test-echo-trailing-bin";

static void echo_header(struct wire_call *call)
{
	const struct wire_pair pair = { echo_early,
		wire_call_metadata(call, echo_early) };

	if (pair.value)
		wire_call_set_headers(call, &pair, 1);
}

static void finish(struct wire_call *call, const EchoStatus *status)
{
	const struct wire_pair pair = { echo_late, wire_call_metadata(call, echo_late) };
	int32_t code = status ? status->code : 0;

	wire_call_finish_with(call,
		code >= 0 && code < WIRE_STATUS_COUNT ? (enum wire_status)code
						      : WIRE_UNKNOWN,
		status ? status->message : NULL, &pair, pair.value ? 1 : 0);
}

/* ---- EmptyCall, UnaryCall */

static void on_empty(struct wire_call *call, ProtobufCMessage *message)
{
	wire_call_reply(call, message);
	wire_message_free(message);
}

static void on_unary(struct wire_call *call, ProtobufCMessage *message)
{
	SimpleRequest *m = (SimpleRequest *)message;
	SimpleResponse reply = GRPC__TESTING__SIMPLE_RESPONSE__INIT;
	Payload p = payload(m->response_size);
	struct err e = { 0 };

	echo_header(call);
	reply.payload = &p;
	if (m->fill_server_id)
		reply.server_id = (char *)(uintptr_t) "cumulus";
	if (m->response_status && m->response_status->code)
		finish(call, m->response_status);
	else if (!is_size(m->response_size))
		wire_call_finish(call, WIRE_INVALID_ARGUMENT, "response_size");
	else if (wire_call_send(call, &reply, &e) < 0)
		wire_call_fail(call, &e);
	else
		finish(call, NULL);
	wire_message_free(message);
}

/* ---- StreamingInputCall */

static void input_open(struct wire_call *call)
{
	wire_call_set_data(call, xcalloc(1, sizeof(int64_t)));
}

static void input_message(struct wire_call *call, ProtobufCMessage *message)
{
	const InputRequest *m = (const InputRequest *)message;
	int64_t *sum = wire_call_data(call);

	*sum += m->payload ? (int64_t)m->payload->body.len : 0;
	wire_message_free(message);
}

static void input_end(struct wire_call *call)
{
	InputResponse reply = GRPC__TESTING__STREAMING_INPUT_CALL_RESPONSE__INIT;
	const int64_t *sum = wire_call_data(call);

	reply.aggregated_payload_size = *sum < INT32_MAX ? (int32_t)*sum : INT32_MAX;
	wire_call_reply(call, &reply);
}

static void input_gone(struct wire_call *call)
{
	free(wire_call_data(call));
}

/* ---- StreamingOutputCall, FullDuplexCall */

struct output {
	OutputRequest *asked; /* NULL: waiting for the next */
	size_t at;            /* the answer that is due */
	bool ended;           /* no more is asked */
};

static void output_open(struct wire_call *call)
{
	wire_call_set_data(call, xcalloc(1, sizeof(struct output)));
	echo_header(call);
}

static void output_message(struct wire_call *call, ProtobufCMessage *message)
{
	struct output *o = wire_call_data(call);

	o->asked = (OutputRequest *)message;
	o->at = 0;
	wire_call_pause(call);
	wire_call_wake(call);
}

static void output_only_message(struct wire_call *call, ProtobufCMessage *message)
{
	output_open(call);
	((struct output *)wire_call_data(call))->ended = true;
	output_message(call, message);
}

static void output_end(struct wire_call *call)
{
	((struct output *)wire_call_data(call))->ended = true;
	wire_call_wake(call);
}

static void send_next(struct wire_call *call, struct output *o)
{
	OutputResponse reply = GRPC__TESTING__STREAMING_OUTPUT_CALL_RESPONSE__INIT;
	const Grpc__Testing__ResponseParameters *wanted =
		o->asked->response_parameters[o->at++];
	Payload p = payload(wanted->size);
	struct err e = { 0 };

	reply.payload = &p;
	if (!is_size(wanted->size))
		wire_call_finish(call, WIRE_INVALID_ARGUMENT, "size");
	else if (wanted->interval_us)
		wire_call_finish(call, WIRE_UNIMPLEMENTED, "interval_us");
	else if (wire_call_send(call, &reply, &e) < 0)
		wire_call_fail(call, &e);
}

static void output_pull(struct wire_call *call)
{
	struct output *o = wire_call_data(call);
	OutputRequest *m = o->asked;

	if (m && m->response_status && m->response_status->code) {
		finish(call, m->response_status);
	} else if (m && o->at < m->n_response_parameters) {
		send_next(call, o);
	} else {
		wire_message_free(m);
		o->asked = NULL;
		wire_call_resume(call);
		if (o->ended)
			finish(call, NULL);
	}
}

static void output_gone(struct wire_call *call)
{
	struct output *o = wire_call_data(call);

	wire_message_free(o->asked);
	free(o);
}

/* ---- the service */

#define P       "/grpc.testing.TestService/"
#define T(name) &grpc__testing__##name##__descriptor

static const struct method {
	struct wire_method wire;
	struct wire_handlers on;
} methods[] = {
	{ { P "EmptyCall", T(empty), T(empty), WIRE_UNARY }, { .message = on_empty } },
	{ { P "UnaryCall", T(simple_request), T(simple_response), WIRE_UNARY },
		{ .message = on_unary } },
	{ { P "StreamingInputCall", T(streaming_input_call_request),
		  T(streaming_input_call_response), WIRE_CLIENT_STREAMS },
		{ .open = input_open,
			.message = input_message,
			.end = input_end,
			.gone = input_gone } },
	{ { P "StreamingOutputCall", T(streaming_output_call_request),
		  T(streaming_output_call_response), WIRE_SERVER_STREAMS },
		{ .message = output_only_message,
			.pull = output_pull,
			.gone = output_gone } },
	{ { P "FullDuplexCall", T(streaming_output_call_request),
		  T(streaming_output_call_response), WIRE_BOTH_STREAM },
		{ .open = output_open,
			.message = output_message,
			.end = output_end,
			.pull = output_pull,
			.gone = output_gone } },
};

static void on_terminate(uv_signal_t *signal, int number)
{
	(void)number;
	wire_server_close(signal->data);
	uv_close((uv_handle_t *)signal, NULL);
}

int main(int argc, char **argv)
{
	const char *address = argc > 1 ? argv[1] : "127.0.0.1:0";
	char bound[WIRE_ADDRESS_SIZE];
	uv_signal_t terminate;
	struct err e = { 0 };
	uv_loop_t loop;

	signal(SIGPIPE, SIG_IGN);
	uv_loop_init(&loop);

	struct wire_server *server = wire_server_new(&loop, NULL);

	for (size_t i = 0; i < sizeof(methods) / sizeof(*methods); i++)
		wire_server_add(server, &methods[i].wire, &methods[i].on, NULL);
	if (wire_server_listen_tcp(server, address, NULL, bound, &e) < 0) {
		fprintf(stderr, "interop_server: %s\n", e.text);
		return EXIT_FAILURE;
	}
	uv_signal_init(&loop, &terminate);
	terminate.data = server;
	uv_signal_start(&terminate, on_terminate, SIGTERM);
	printf("listening on %s\n", bound);
	fflush(stdout);
	uv_run(&loop, UV_RUN_DEFAULT);
	uv_loop_close(&loop);
	return EXIT_SUCCESS;
}
