/* session.h - one connection: its socket, its HTTP/2 session, its clock.
 *
 * Thread: loop.  Never destroyed while nghttp2 or an application is on the stack: what
 * goes wrong is noted by session_fail() and carried out when the turn is settled.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <nghttp2/nghttp2.h>
#include <stdbool.h>
#include <uv.h>

#include "hub.h"
#include "list.h"
#include "wire.h"

enum session_state {
	SESSION_CONNECTING = 0, /* no bytes move yet */
	SESSION_OPEN,
	SESSION_LINGERING, /* all is said; reading what still comes, so that the end arrives */
	SESSION_CLOSED, /* torn down; libuv still holds the handle */
};

enum session_drain { DRAIN_NOT = 0, DRAIN_NOTICED, DRAIN_FINAL };

struct session {
	struct hub *hub;
	nghttp2_session *h2; /* NULL before the start and once torn down */
	union {
		uv_handle_t handle;
		uv_stream_t stream;
		uv_tcp_t tcp;
		uv_pipe_t pipe;
	} io;
	struct list in_hub, in_dirty;
	struct list calls; /* struct wire_call.in_session: all of this connection's */
	struct list over;  /* struct wire_call.in_over: their `gone` is due */
	struct list todo;  /* struct wire_call.in_todo: resumed, to be read on */
	uint32_t call_count;
	enum session_state state;
	enum session_drain draining;
	bool server;
	bool peer_spoke; /* its SETTINGS came */
	bool told_up;    /* ... and the owner knows */
	bool had_call;
	bool writing;      /* until on_written, `unsent` belongs to libuv */
	struct buf unsent; /* what the kernel did not take at once */
	uv_write_t write;
	uv_shutdown_t shutdown;
	struct timer tick;
	int64_t opened_ms, idle_ms; /* when it came; when its last call ended */
	int64_t heard_ms;           /* when the peer was last known to be alive */
	int64_t ping_ms;            /* when a keepalive ping left; 0: none is out */
	int64_t drain_ms;           /* when draining reached its present step */
	struct err *why;            /* failed, for this reason; NULL: all is well */
	size_t frame_len;           /* of the DATA frame that is coming in */
	bool frame_last;            /* ... which ends its stream */
	double reset_tokens;        /* resets that the peer may still provoke */
	int64_t reset_ms;           /* when they were counted last */
	struct wire_peer peer;
	char address[WIRE_ADDRESS_SIZE];
};

/* The caller then inits s->io and counts it with session_adopt(). */
struct session *session_new(struct hub *hub, bool server);
void session_adopt(struct session *s);
/* The socket is connected: read and write. */
void session_start(struct session *s);
/* Before the start on a client: calls may already be made. */
void session_speak(struct session *s);

/* There is something to settle in this turn. */
void session_touch(struct session *s);
void session_settle(struct session *s); /* only from the hub */

/* The connection is beyond use.  The first reason counts. */
void session_fail(struct session *s, enum err_code code, const char *format, ...)
	PRINTF_LIKE(3, 4);
/* Say goodbye twice, let calls end, then close. */
void session_drain(struct session *s);
void session_ping_answered(struct session *s, const uint8_t opaque[8]);
/* We reset a stream for a fault of the peer's; too many, and it is sent away. */
void session_count_reset(struct session *s);
/* Now: every call is over as LOST and gone, the handle is closing.  why may be NULL. */
void session_teardown(struct session *s);
