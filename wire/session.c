/* session.c - moves bytes between a socket and nghttp2, and watches the clock. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "session.h"

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "call.h"
#include "incoming.h"
#include "log.h"
#include "xalloc.h"

#define GATHER_MAX      ((size_t)256 << 10) /* bytes in one write */
#define TURN_MAX        ((size_t)1 << 20)   /* bytes of one connection in one turn */
#define QUEUED_MIN      4096 /* frames that may wait for the peer to read, ... */
#define QUEUED_PER_CALL 4    /* ... and this many for each call that it may open */
#define LINGER_MS       1000
#define DRAIN_NOTICE_MS 1000      /* for the answer to the ping after a GOAWAY */
#define WINDOW_MIN      (1 << 20) /* of a whole connection */

static const uint8_t drain_mark[8] = "drained";
static const uint8_t alive_mark[8] = "alive?";

static void on_tick(struct timer *timer);

struct session *session_new(struct hub *hub, bool server)
{
	struct session *s = xcalloc(1, sizeof(*s));

	s->hub = hub;
	s->server = server;
	s->peer = (struct wire_peer){ .address = s->address, .uid = (uid_t)-1 };
	s->tick.fire = on_tick;
	s->opened_ms = s->heard_ms = s->idle_ms = s->reset_ms = timers_now();
	s->reset_tokens = hub->limits.resets;
	list_init(&s->in_hub);
	list_init(&s->in_dirty);
	list_init(&s->calls);
	list_init(&s->over);
	list_init(&s->todo);
	return s;
}

void session_adopt(struct session *s)
{
	s->io.handle.data = s;
	s->hub->handles++;
	s->hub->session_count++;
	s->hub->sessions_total++;
	list_append(&s->hub->sessions, &s->in_hub);
	timers_arm(&s->hub->timers, &s->tick, s->opened_ms + s->hub->tick_ms);
}

void session_speak(struct session *s)
{
	const struct wire_limits *l = &s->hub->limits;
	uint32_t window = l->window_bytes < INT32_MAX / 4 ? (uint32_t)l->window_bytes
							  : INT32_MAX / 4;
	const nghttp2_settings_entry settings[] = {
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)l->metadata_bytes },
		{ s->server ? NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS
			    : NGHTTP2_SETTINGS_ENABLE_PUSH,
			s->server ? l->streams : 0 },
	};
	int rc;

	if (s->server)
		rc = nghttp2_session_server_new2(
			&s->h2, s->hub->callbacks, s, s->hub->options);
	else
		rc = nghttp2_session_client_new2(
			&s->h2, s->hub->callbacks, s, s->hub->options);
	if (rc != 0)
		abort(); /* out of memory */
	nghttp2_submit_settings(s->h2, NGHTTP2_FLAG_NONE, settings, 3);
	/* A connection's window bounds nothing: its bytes are consumed as they come. */
	nghttp2_session_set_local_window_size(s->h2, NGHTTP2_FLAG_NONE, 0,
		4 * (int32_t)window > WINDOW_MIN ? 4 * (int32_t)window : WINDOW_MIN);
	session_touch(s);
}

void session_touch(struct session *s)
{
	if (s->state == SESSION_CLOSED || !list_empty(&s->in_dirty))
		return;
	list_append(&s->hub->dirty, &s->in_dirty);
	hub_stir(s->hub);
}

void session_fail(struct session *s, enum err_code code, const char *format, ...)
{
	va_list args;

	if (s->why || s->state == SESSION_CLOSED)
		return;
	s->why = xcalloc(1, sizeof(*s->why));
	va_start(args, format);
	err_setv(s->why, code, format, args);
	va_end(args);
	/* At once: libuv reads several times per wake-up, into a session that is no more. */
	if (s->state != SESSION_CONNECTING)
		uv_read_stop(&s->io.stream);
	session_touch(s);
}

/* ---- reading */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *to)
{
	struct session *s = handle->data;

	(void)suggested;
	*to = uv_buf_init((char *)s->hub->read_bytes, HUB_READ_SIZE);
}

static void take_bytes(struct session *s, const uint8_t *bytes, size_t len)
{
	s->heard_ms = (int64_t)uv_now(s->hub->loop);
	s->ping_ms = 0;

	ssize_t n = nghttp2_session_mem_recv(s->h2, bytes, len);

	if (n < 0)
		session_fail(s, ERR_UNAVAILABLE, "the peer breaks HTTP/2: %s",
			nghttp2_strerror((int)n));
	else if (nghttp2_session_get_outbound_queue_size(s->h2) >
		 QUEUED_MIN + QUEUED_PER_CALL * (size_t)s->hub->limits.streams)
		session_fail(s, ERR_EXHAUSTED, "the peer asks for more than it reads");
	session_touch(s);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct session *s = stream->data;

	hub_enter(s->hub);
	if (n == UV_EOF)
		session_fail(s, ERR_UNAVAILABLE, "the peer closed the connection");
	else if (n < 0)
		session_fail(s, ERR_UNAVAILABLE, "the connection broke: %s",
			uv_strerror((int)n));
	else if (n > 0 && s->state == SESSION_OPEN && !s->why)
		take_bytes(s, (const uint8_t *)buf->base, (size_t)n);
	hub_leave(s->hub);
}

void session_start(struct session *s)
{
	s->state = SESSION_OPEN;
	if (!s->h2)
		session_speak(s);
	s->heard_ms = timers_now();

	int rc = uv_read_start(&s->io.stream, on_alloc, on_read);

	if (rc < 0)
		session_fail(s, ERR_UNAVAILABLE, "read: %s", uv_strerror(rc));
	session_touch(s);
}

/* ---- writing */

static void on_written(uv_write_t *write, int status)
{
	struct session *s = write->data;

	hub_enter(s->hub);
	s->writing = false;
	buf_fini(&s->unsent);
	if (status < 0)
		session_fail(s, ERR_UNAVAILABLE, "the connection broke: %s",
			uv_strerror(status));
	else
		s->heard_ms =
			(int64_t)uv_now(s->hub->loop); /* somebody takes our bytes */
	session_touch(s);
	hub_leave(s->hub);
}

/* Leave the rest of hub->out, from `done` on, to libuv. */
static void write_later(struct session *s, size_t done)
{
	struct buf *out = &s->hub->out;

	if (done) {
		buf_add(&s->unsent, out->data + done, out->len - done);
		buf_clear(out);
	} else {
		s->unsent = *out;
		*out = (struct buf){ 0 };
	}

	uv_buf_t b = uv_buf_init((char *)s->unsent.data, (unsigned)s->unsent.len);

	s->write.data = s;
	s->writing = true;

	int rc = uv_write(&s->write, &s->io.stream, &b, 1, on_written);

	if (rc < 0) {
		s->writing = false;
		session_fail(s, ERR_UNAVAILABLE, "write: %s", uv_strerror(rc));
	}
}

/* Write hub->out: at once as far as the kernel takes it; all of it later when this
 * connection has had its share of the turn. */
static void write_out(struct session *s, bool yield)
{
	struct buf *out = &s->hub->out;
	uv_buf_t b = uv_buf_init((char *)out->data, (unsigned)out->len);
	int n = yield ? UV_EAGAIN : uv_try_write(&s->io.stream, &b, 1);

	if (n == UV_EAGAIN)
		n = 0;
	if (n < 0) {
		session_fail(
			s, ERR_UNAVAILABLE, "the connection broke: %s", uv_strerror(n));
		buf_clear(out);
	} else if ((size_t)n < out->len) {
		write_later(s, (size_t)n);
	} else {
		buf_clear(out);
	}
}

static void send_all(struct session *s)
{
	struct buf *out = &s->hub->out;
	size_t turn = 0;

	while (s->state == SESSION_OPEN && !s->writing && !s->why) {
		const uint8_t *bytes;
		ssize_t n = nghttp2_session_mem_send(s->h2, &bytes);

		if (n < 0) {
			session_fail(
				s, ERR_INTERNAL, "send: %s", nghttp2_strerror((int)n));
			break;
		}
		buf_add(out, bytes, (size_t)n);
		turn += (size_t)n;
		if (out->len && (n == 0 || out->len >= GATHER_MAX))
			write_out(s, turn >= TURN_MAX);
		if (n == 0)
			break;
	}
	buf_clear(out);
}

/* ---- ending */

static void tell_gone(struct session *s)
{
	struct list *link;

	while ((link = list_first(&s->over)))
		call_gone(list_entry(link, struct wire_call, in_over));
}

static void lose_calls(struct session *s, const struct err *why)
{
	/* First all, so that no handler finds a neighbour that still looks alive. */
	list_each_safe(link, &s->calls)
		call_lost(list_entry(link, struct wire_call, in_session), why);
	tell_gone(s);
}

static void on_closed(uv_handle_t *handle)
{
	struct session *s = handle->data;
	struct hub *hub = s->hub;

	buf_fini(&s->unsent);
	free(s->why);
	free(s);
	hub_handle_closed(hub);
}

void session_teardown(struct session *s)
{
	static const struct err closed = { .code = ERR_UNAVAILABLE,
		.text = "the connection was closed on this side" };
	const struct err *why = s->why ? s->why : &closed;

	if (s->state == SESSION_CLOSED)
		return;
	log_debug("connection over", "peer", s->address, "why", why->text, NULL);
	s->state = SESSION_CLOSED;
	list_remove(&s->in_dirty);
	timers_disarm(&s->hub->timers, &s->tick);
	lose_calls(s, why);
	assert(list_empty(&s->calls));
	nghttp2_session_del(s->h2);
	s->h2 = NULL;
	list_remove(&s->in_hub);
	s->hub->session_count--;
	if (s->hub->owner->down)
		s->hub->owner->down(s, why);
	uv_close(&s->io.handle, on_closed);
}

/* Sooner than the next tick, just after this much time. */
static void look_again(struct session *s, int64_t after_ms)
{
	if (after_ms < s->hub->tick_ms)
		timers_arm(&s->hub->timers, &s->tick, timers_now() + after_ms + 1);
}

static void on_shutdown(uv_shutdown_t *request, int status)
{
	(void)request; /* the peer's answer to it, or the tick, ends the connection */
	(void)status;
}

/* Nothing is left to say.  A server waits for the client to close: closing with unread
 * bytes in the socket would make the kernel throw away what is still on its way. */
static void finish(struct session *s)
{
	static const struct err over = { .code = ERR_UNAVAILABLE,
		.text = "the connection is being closed" };

	if (!s->server) {
		session_fail(s, ERR_UNAVAILABLE, "the server closes the connection");
		return;
	}
	s->state = SESSION_LINGERING;
	s->drain_ms = timers_now();
	look_again(s, LINGER_MS);
	lose_calls(s, &over);
	if (uv_shutdown(&s->shutdown, &s->io.stream, on_shutdown) < 0)
		session_fail(s, ERR_UNAVAILABLE, "the connection broke");
}

static void run_resumed(struct session *s)
{
	struct list *link;

	while ((link = list_first(&s->todo))) {
		list_remove(link);
		incoming_run(list_entry(link, struct wire_call, in_todo));
	}
}

void session_settle(struct session *s)
{
	if (s->peer_spoke && !s->told_up && !s->why) {
		s->told_up = true;
		if (s->hub->owner->up)
			s->hub->owner->up(s);
	}
	run_resumed(s);
	tell_gone(s);
	send_all(s);
	tell_gone(s);
	if (s->why)
		session_teardown(s);
	else if (s->state == SESSION_OPEN && !s->writing &&
		 !nghttp2_session_want_read(s->h2) && !nghttp2_session_want_write(s->h2))
		finish(s);
}

/* ---- limits in time and rate */

void session_drain(struct session *s)
{
	if (s->draining || s->state != SESSION_OPEN)
		return;
	s->draining = DRAIN_NOTICED;
	s->drain_ms = timers_now();
	nghttp2_submit_shutdown_notice(s->h2);
	nghttp2_submit_ping(s->h2, NGHTTP2_FLAG_NONE, drain_mark);
	look_again(s, DRAIN_NOTICE_MS);
	session_touch(s);
}

/* Calls that crossed the notice have arrived; those after this one are not ours. */
static void drain_finally(struct session *s)
{
	if (s->draining != DRAIN_NOTICED)
		return;
	s->draining = DRAIN_FINAL;
	nghttp2_submit_goaway(s->h2, NGHTTP2_FLAG_NONE,
		nghttp2_session_get_last_proc_stream_id(s->h2), NGHTTP2_NO_ERROR, NULL,
		0);
	session_touch(s);
}

void session_ping_answered(struct session *s, const uint8_t opaque[8])
{
	if (memcmp(opaque, drain_mark, sizeof(drain_mark)) == 0)
		drain_finally(s);
}

void session_count_reset(struct session *s)
{
	const struct wire_limits *l = &s->hub->limits;
	int64_t now = timers_now();

	s->reset_tokens += (double)(now - s->reset_ms) / 1000 * l->resets_per_s;
	if (s->reset_tokens > l->resets)
		s->reset_tokens = l->resets;
	s->reset_ms = now;
	if (--s->reset_tokens >= 0)
		return;
	s->hub->sent_away++;
	nghttp2_session_terminate_session(s->h2, NGHTTP2_ENHANCE_YOUR_CALM);
}

static void keep_alive(struct session *s, int64_t now)
{
	const struct wire_limits *l = &s->hub->limits;

	if (s->ping_ms) {
		if (now - s->ping_ms > l->keepalive_wait_ms && s->heard_ms < s->ping_ms)
			session_fail(s, ERR_UNAVAILABLE,
				"no answer to a ping within %u ms", l->keepalive_wait_ms);
	} else if (now - s->heard_ms > l->keepalive_ms) {
		s->ping_ms = now;
		nghttp2_submit_ping(s->h2, NGHTTP2_FLAG_NONE, alive_mark);
		session_touch(s);
	}
}

static void check_open(struct session *s, int64_t now)
{
	const struct wire_limits *l = &s->hub->limits;

	if (s->server && !s->had_call && now - s->opened_ms > l->first_call_ms)
		session_drain(s);
	if (s->server && !s->call_count && s->had_call && now - s->idle_ms > l->idle_ms)
		session_drain(s);
	keep_alive(s, now);
	list_each_safe(link, &s->calls)
		call_check(list_entry(link, struct wire_call, in_session), now);
}

static void on_tick(struct timer *timer)
{
	struct session *s = list_entry(timer, struct session, tick);
	const struct wire_limits *l = &s->hub->limits;
	int64_t now = timers_now();

	if (s->draining == DRAIN_NOTICED && now - s->drain_ms > DRAIN_NOTICE_MS)
		drain_finally(s);
	if (s->state == SESSION_LINGERING) {
		if (now - s->drain_ms > LINGER_MS)
			session_fail(s, ERR_UNAVAILABLE, "the peer did not close");
	} else if (!s->peer_spoke) {
		if (now - s->opened_ms > l->handshake_ms)
			session_fail(s, ERR_TIMEOUT, "no HTTP/2 connection within %u ms",
				l->handshake_ms);
	} else {
		check_open(s, now);
	}
	timers_arm(&s->hub->timers, &s->tick, now + s->hub->tick_ms);
}
