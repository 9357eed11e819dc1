/* wire_world.h - one loop with a server, its methods and a client, for the tests of wire.
 *
 * The messages are BlobChunks: offset, total and data mean what each method says.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "wire.h"
#include "worker.pb-c.h"
#include "xalloc.h"

#define PATIENCE_MS 30000
#define CHUNK       cumulus__worker__blob_chunk__descriptor

typedef Cumulus__Worker__BlobChunk Chunk;

struct world {
	uv_loop_t loop;
	uv_timer_t beat; /* so that waiting for a condition looks again */
	struct wire_server *server;
	struct wire_client *client;
	char address[WIRE_ADDRESS_SIZE];
	char path[64]; /* of the unix socket, "" for none */

	/* What the server's handlers saw. */
	unsigned opened, messages, ended, gone, pulls, drained;
	enum wire_over over; /* of the call that went last */
	enum wire_status status;
	struct wire_call *held; /* the latest of Hold, Feed and Talk */
	struct wire_peer peer;
	int64_t left_ms;
	char token[64];
	int to_send; /* messages that Feed sends when it is pulled */
	bool pause;  /* Talk pauses after each message */

	/* What the client heard of its connection. */
	unsigned up, down;
	struct err down_why;
};

/* One call as its client sees it. */
struct seen {
	struct wire_call *call;
	int to_send; /* messages, when pulled; then the end, unless `open` */
	size_t size;
	bool open, pause;
	unsigned messages, pulls, gone;
	int64_t last; /* offset of the message that came last */
	uint64_t bytes;
	enum wire_over over;
	enum wire_status status;
	char text[2048];
	char reason[64], header[64];
};

static inline Chunk chunk_of(int64_t offset, int64_t total, size_t size)
{
	static uint8_t filler[8 << 20];
	Chunk c = CUMULUS__WORKER__BLOB_CHUNK__INIT;

	assert_true(size <= sizeof(filler));
	c.offset = offset;
	c.total = total;
	c.data.data = filler;
	c.data.len = size;
	return c;
}

/* ---- the server's methods */

static inline struct world *world_of(struct wire_call *call)
{
	return wire_call_user(call);
}

static inline void saw_gone(struct wire_call *call)
{
	struct world *w = world_of(call);

	w->gone++;
	w->over = wire_call_over(call);
	w->status = wire_call_status(call);
	if (w->held == call)
		w->held = NULL;
	free(wire_call_data(call));
}

/* Echo: answers with the request; a total other than 0 is the status to fail with.  Both
 * carry a header where the request asks for one. */
static inline void echo(struct wire_call *call, ProtobufCMessage *m)
{
	struct world *w = world_of(call);
	const Chunk *c = (const Chunk *)m;
	const struct wire_pair reason = { "cumulus-reason", "no_worker" };
	const char *token = wire_call_metadata(call, "authorization");
	const struct wire_pair header = { "echo", wire_call_metadata(call, "echo-this") };

	if (header.value)
		wire_call_set_headers(call, &header, 1);
	w->messages++;
	w->peer = *wire_call_peer(call);
	w->left_ms = wire_call_left_ms(call);
	snprintf(w->token, sizeof(w->token), "%s", token ? token : "");
	if (c->total)
		wire_call_finish_with(call, (enum wire_status)(c->total & 15),
			"as asked: 100 % \xc3\xa9\n", &reason, 1);
	else
		wire_call_reply(call, c);
	wire_message_free(m);
}

/* Hold: keeps the call. */
static inline void hold(struct wire_call *call, ProtobufCMessage *m)
{
	struct world *w = world_of(call);

	w->messages++;
	w->held = call;
	wire_message_free(m);
}

/* Count: `total` messages of `offset` bytes each (total -1: without end). */
struct counting {
	int64_t next, total;
	size_t size;
};

static inline void count_start(struct wire_call *call, ProtobufCMessage *m)
{
	const Chunk *c = (const Chunk *)m;
	struct counting *n = xcalloc(1, sizeof(*n));

	world_of(call)->messages++;
	n->total = c->total;
	n->size = (size_t)c->offset & 0xfffff;
	wire_call_set_data(call, n);
	wire_call_wake(call);
	wire_message_free(m);
}

static inline void count_pull(struct wire_call *call)
{
	struct counting *n = wire_call_data(call);
	Chunk c = chunk_of(n->next, n->total, n->size);
	struct err e;

	world_of(call)->pulls++;
	if (n->next == n->total) {
		wire_call_finish(call, WIRE_OK, NULL);
		return;
	}
	if (wire_call_send(call, &c, &e) < 0)
		wire_call_fail(call, &e);
	n->next++;
}

/* Feed: one message per pull as long as there is something to send. */
static inline void feed_pull(struct wire_call *call)
{
	struct world *w = world_of(call);
	Chunk c = chunk_of(w->to_send, 0, 10);
	struct err e;

	w->pulls++;
	if (w->to_send <= 0)
		return;
	w->to_send--;
	assert_int_equal(wire_call_send(call, &c, &e), 0);
}

/* Sum: how many messages (offset) of how many bytes (total) came. */
static inline void sum_open(struct wire_call *call)
{
	world_of(call)->opened++;
	world_of(call)->held = call;
	wire_call_set_data(call, xcalloc(1, sizeof(struct counting)));
}

static inline void sum_message(struct wire_call *call, ProtobufCMessage *m)
{
	struct counting *n = wire_call_data(call);
	struct world *w = world_of(call);

	w->messages++;
	n->next++;
	n->size += ((const Chunk *)m)->data.len;
	wire_message_free(m);
	if (w->pause)
		wire_call_pause(call);
}

static inline void sum_end(struct wire_call *call)
{
	const struct counting *n = wire_call_data(call);
	Chunk c = chunk_of(n->next, (int64_t)n->size, 0);

	world_of(call)->ended++;
	wire_call_reply(call, &c);
}

/* Talk: echoes each message, taking the next one only when the echo has left. */
struct talking {
	int64_t offset;
	bool waiting, ended;
};

static inline void talk_open(struct wire_call *call)
{
	world_of(call)->opened++;
	world_of(call)->held = call;
	wire_call_set_data(call, xcalloc(1, sizeof(struct talking)));
}

static inline void talk_message(struct wire_call *call, ProtobufCMessage *m)
{
	struct talking *t = wire_call_data(call);

	assert_false(t->waiting);
	world_of(call)->messages++;
	t->offset = ((const Chunk *)m)->offset;
	t->waiting = true;
	wire_message_free(m);
	wire_call_pause(call);
	wire_call_wake(call);
}

static inline void talk_end(struct wire_call *call)
{
	struct talking *t = wire_call_data(call);

	world_of(call)->ended++;
	t->ended = true;
	wire_call_wake(call);
}

static inline void talk_pull(struct wire_call *call)
{
	struct talking *t = wire_call_data(call);
	Chunk c = chunk_of(t->offset, 0, 0);
	struct err e;

	if (t->waiting) {
		assert_int_equal(wire_call_send(call, &c, &e), 0);
		t->waiting = false;
		wire_call_resume(call);
	} else if (t->ended) {
		wire_call_finish(call, WIRE_OK, NULL);
	}
}

enum {
	ECHO_METHOD,
	HOLD_METHOD,
	COUNT_METHOD,
	FEED_METHOD,
	SUM_METHOD,
	TALK_METHOD,
	METHODS
};

static const struct wire_method methods[METHODS] = {
	[ECHO_METHOD] = { "/t.T/Echo", &CHUNK, &CHUNK, WIRE_UNARY },
	[HOLD_METHOD] = { "/t.T/Hold", &CHUNK, &CHUNK, WIRE_UNARY },
	[COUNT_METHOD] = { "/t.T/Count", &CHUNK, &CHUNK, WIRE_SERVER_STREAMS },
	[FEED_METHOD] = { "/t.T/Feed", &CHUNK, &CHUNK, WIRE_SERVER_STREAMS },
	[SUM_METHOD] = { "/t.T/Sum", &CHUNK, &CHUNK, WIRE_CLIENT_STREAMS },
	[TALK_METHOD] = { "/t.T/Talk", &CHUNK, &CHUNK, WIRE_BOTH_STREAM },
};

static const struct wire_handlers served[METHODS] = {
	[ECHO_METHOD] = { .message = echo, .gone = saw_gone },
	[HOLD_METHOD] = { .message = hold, .gone = saw_gone },
	[COUNT_METHOD] = { .message = count_start, .pull = count_pull, .gone = saw_gone },
	[FEED_METHOD] = { .message = hold, .pull = feed_pull, .gone = saw_gone },
	[SUM_METHOD] = { .open = sum_open,
		.message = sum_message,
		.end = sum_end,
		.gone = saw_gone },
	[TALK_METHOD] = { .open = talk_open,
		.message = talk_message,
		.end = talk_end,
		.pull = talk_pull,
		.gone = saw_gone },
};

/* ---- the client's side of a call */

static inline void seen_message(struct wire_call *call, ProtobufCMessage *m)
{
	struct seen *s = wire_call_user(call);

	s->messages++;
	s->last = ((const Chunk *)m)->offset;
	s->bytes += ((const Chunk *)m)->data.len;
	wire_message_free(m);
	if (s->pause)
		wire_call_pause(call);
}

static inline void seen_pull(struct wire_call *call)
{
	struct seen *s = wire_call_user(call);
	Chunk c = chunk_of(s->to_send, 0, s->size);
	struct err e;

	s->pulls++;
	if (s->to_send > 0) {
		s->to_send--;
		assert_int_equal(wire_call_send(call, &c, &e), 0);
	} else if (!s->open) {
		wire_call_end(call);
	}
}

static inline void seen_gone(struct wire_call *call)
{
	struct seen *s = wire_call_user(call);
	const char *reason = wire_call_metadata(call, "cumulus-reason");
	const char *header = wire_call_metadata(call, "echo");

	s->gone++;
	s->call = NULL;
	s->over = wire_call_over(call);
	s->status = wire_call_status(call);
	snprintf(s->text, sizeof(s->text), "%s", wire_call_text(call));
	snprintf(s->reason, sizeof(s->reason), "%s", reason ? reason : "");
	snprintf(s->header, sizeof(s->header), "%s", header ? header : "");
}

static const struct wire_handlers seeing = {
	.message = seen_message, .pull = seen_pull, .gone = seen_gone
};

static inline void call_method(struct world *w, int method, const Chunk *request,
	uint64_t timeout_ms, struct seen *s)
{
	struct err e = { 0 };
	const struct wire_request r = { .method = &methods[method],
		.on = &seeing,
		.user = s,
		.message = request,
		.timeout_ms = timeout_ms };

	s->call = wire_client_call(w->client, &r, &e);
	if (!s->call)
		fail_msg("%s", e.text);
	if (methods[method].kind & WIRE_CLIENT_STREAMS)
		wire_call_wake(s->call);
}

/* ---- the world */

static inline void on_beat(uv_timer_t *beat)
{
	(void)beat;
}

/* Run the loop until the condition holds; fail after PATIENCE_MS. */
#define until(w, condition)                                                              \
	do {                                                                             \
		uint64_t until_end_ = uv_hrtime() + PATIENCE_MS * UINT64_C(1000000);     \
		while (!(condition)) {                                                   \
			if (uv_hrtime() > until_end_)                                    \
				fail_msg("waited in vain for %s", #condition);           \
			uv_run(&(w)->loop, UV_RUN_ONCE);                                 \
		}                                                                        \
	} while (0)

/* A few turns in which something could happen that should not. */
static inline void turns(struct world *w, int n)
{
	while (n--)
		uv_run(&w->loop, UV_RUN_ONCE);
}

static inline void on_up(struct wire_client *client, void *user)
{
	(void)client;
	((struct world *)user)->up++;
}

static inline void on_down(struct wire_client *client, const struct err *why, void *user)
{
	struct world *w = user;

	(void)client;
	w->down++;
	w->down_why = *why;
}

static inline void on_drained(struct wire_server *server, void *user)
{
	(void)server;
	((struct world *)user)->drained++;
}

static inline void world_serve(struct world *w, const struct wire_limits *limits)
{
	w->server = wire_server_new(&w->loop, limits);
	for (int i = 0; i < METHODS; i++)
		wire_server_add(w->server, &methods[i], &served[i], w);
}

static inline void world_connect(struct world *w, const struct wire_limits *limits)
{
	struct err e = { 0 };
	const struct wire_connect c = { .address = w->address,
		.limits = limits,
		.up = on_up,
		.down = on_down,
		.user = w };

	w->client = wire_client_open(&w->loop, &c, &e);
	if (!w->client)
		fail_msg("%s", e.text);
}

/* A loop and nothing else. */
static inline struct world *world_new(void)
{
	struct world *w = xcalloc(1, sizeof(*w));

	signal(SIGPIPE, SIG_IGN);
	uv_loop_init(&w->loop);
	uv_timer_init(&w->loop, &w->beat);
	uv_timer_start(&w->beat, on_beat, 2, 2);
	return w;
}

/* A server on TCP with these limits, and no client yet. */
static inline struct world *world_with_server(const struct wire_limits *limits)
{
	struct world *w = world_new();
	struct err e = { 0 };

	world_serve(w, limits);
	if (wire_server_listen_tcp(w->server, "127.0.0.1:0", NULL, w->address, &e) < 0)
		fail_msg("%s", e.text);
	return w;
}

static inline struct world *world_tcp(void)
{
	struct world *w = world_with_server(NULL);

	world_connect(w, NULL);
	return w;
}

static inline struct world *world_unix(const struct wire_listen *options)
{
	struct world *w = world_new();
	struct err e = { 0 };

	world_serve(w, NULL);
	snprintf(w->path, sizeof(w->path), "/tmp/wire-test-%d", (int)getpid());
	if (wire_server_listen_unix(w->server, w->path, options, &e) < 0)
		fail_msg("%s", e.text);
	snprintf(w->address, sizeof(w->address), "unix:%s", w->path);
	world_connect(w, NULL);
	return w;
}

static inline void world_free(struct world *w)
{
	wire_client_close(w->client);
	wire_server_close(w->server);
	uv_close((uv_handle_t *)&w->beat, NULL);
	uv_run(&w->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&w->loop), 0);
	free(w);
}
