/* test_wire_client.c - a client whose server breaks the rules, frame by frame. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "wire_raw.h"

/* The server is a raw peer: w->server is NULL, the client is ours. */
static struct raw *serve_raw(struct world *w, const struct wire_limits *limits)
{
	struct raw *r = xcalloc(1, sizeof(*r));
	struct sockaddr_in a = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 5), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	snprintf(w->address, sizeof(w->address), "127.0.0.1:%d", ntohs(a.sin_port));
	world_connect(w, limits);
	r->w = w;
	r->fd = accept(fd, NULL, NULL);
	assert_true(r->fd >= 0);
	close(fd);
	nghttp2_hd_inflate_new(&r->inflater);

	/* The client's preface is no frame. */
	while (r->in.len < NGHTTP2_CLIENT_MAGIC_LEN) {
		uv_run(&w->loop, UV_RUN_NOWAIT);
		ssize_t n = recv(r->fd, buf_reserve(&r->in, NGHTTP2_CLIENT_MAGIC_LEN),
			NGHTTP2_CLIENT_MAGIC_LEN - r->in.len, MSG_DONTWAIT);

		if (n > 0)
			buf_added(&r->in, (size_t)n);
	}
	assert_memory_equal(r->in.data, NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN);
	buf_clear(&r->in);
	assert_true(raw_frame(r, SETTINGS, 0, 0, NULL, 0));
	return r;
}

static void end(struct raw *r)
{
	struct world *w = r->w;

	raw_close(r);
	world_free(w);
}

static void raw_headers(
	struct raw *r, uint32_t id, uint8_t flags, const struct wire_pair *pairs)
{
	struct buf b = { 0 };

	for (; pairs->name; pairs++)
		add_header(&b, pairs->name, pairs->value);
	assert_true(raw_frame(r, HEADERS, END_HEADERS | flags, id, b.data, b.len));
	buf_fini(&b);
}

static const struct wire_pair grpc_head[] = { { ":status", "200" },
	{ "content-type", "application/grpc" }, { NULL, NULL } };
static const struct wire_pair ok[] = { { "grpc-status", "0" }, { NULL, NULL } };

struct answer {
	const struct wire_pair *head;
	const char *data;
	size_t len;
	const struct wire_pair *trailers; /* NULL: the last frame before them ends it */
};

/* What a unary call comes to when this is the answer to it. */
static struct seen ask(const struct answer *answer)
{
	struct world *w = world_new();
	struct raw *r = serve_raw(w, NULL);
	struct seen s = { 0 };
	Chunk c = chunk_of(0, 0, 0);

	call_method(w, ECHO_METHOD, &c, 0, &s);
	raw_until(r, find_frame(r, DATA, 1) >= 0);
	raw_headers(
		r, 1, !answer->data && !answer->trailers ? END_STREAM : 0, answer->head);
	if (answer->data)
		raw_frame(r, DATA, answer->trailers ? 0 : END_STREAM, 1, answer->data,
			answer->len);
	if (answer->trailers)
		raw_headers(r, 1, END_STREAM, answer->trailers);
	raw_until(r, s.gone);
	assert_int_equal(s.gone, 1);
	assert_int_equal(w->down, 0); /* the connection serves other calls */
	end(r);
	return s;
}

static void a_good_answer_is_taken(void **state)
{
	(void)state;
	struct seen s = ask(&(struct answer){ grpc_head, "\0\0\0\0\2\x08\7", 7, ok });

	assert_int_equal(s.over, WIRE_OVER_FINISHED);
	assert_int_equal(s.status, WIRE_OK);
	assert_int_equal(s.last, 7);
}

static void answers_that_break_grpc_are_broken(void **state)
{
	(void)state;
	static const struct wire_pair html[] = { { ":status", "200" },
		{ "content-type", "text/html" }, { NULL, NULL } };
	static const struct wire_pair unavailable[] = { { ":status", "503" },
		{ "content-type", "text/html" }, { NULL, NULL } };
	static const struct {
		struct answer answer;
		enum wire_status status;
	} cases[] = {
		{ { grpc_head, NULL, 0, ok }, WIRE_INTERNAL }, /* OK without a message */
		{ { grpc_head, "\0\0\0\0\0\0\0\0\0\0", 10, ok },
			WIRE_INTERNAL }, /* two */
		{ { grpc_head, "\0\0\0\0\5\x08", 6, ok },
			WIRE_INTERNAL }, /* half of one */
		{ { grpc_head, "\0\0\0\0\2\xff\xff", 7, ok }, WIRE_INTERNAL },
		{ { grpc_head, "\1\0\0\0\1x", 6, ok },
			WIRE_UNIMPLEMENTED }, /* compressed */
		{ { grpc_head, "\0\xff\xff\xff\xff", 5, ok }, WIRE_RESOURCE_EXHAUSTED },
		{ { grpc_head, "\0\0\0\0\0", 5, NULL }, WIRE_UNKNOWN }, /* no status */
		{ { grpc_head, NULL, 0, NULL }, WIRE_UNKNOWN },
		{ { html, "hello", 5, NULL }, WIRE_UNKNOWN },
		{ { unavailable, "hello", 5, NULL }, WIRE_UNAVAILABLE },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct seen s = ask(&cases[i].answer);

		if (s.status != cases[i].status)
			fail_msg("case %zu: %s (%s)", i, wire_status_name(s.status),
				s.text);
		assert_int_equal(s.over, WIRE_OVER_BROKEN);
		assert_true(strlen(s.text) > 0);
	}
}

static void odd_statuses_are_unknown_and_odd_texts_readable(void **state)
{
	(void)state;
	static const char *const odd[] = { "17", "99999999999", "-1", "x", "" };

	for (size_t i = 0; i < sizeof(odd) / sizeof(*odd); i++) {
		const struct wire_pair trailers[] = { { ":status", "200" },
			{ "content-type", "application/grpc" }, { "grpc-status", odd[i] },
			{ "grpc-message", "%ff%zz%" }, { NULL, NULL } };
		struct seen s = ask(&(struct answer){ trailers, NULL, 0, NULL });

		assert_int_equal(s.status, WIRE_UNKNOWN);
		assert_int_equal(s.over, WIRE_OVER_FINISHED);
		assert_string_equal(s.text, "\xef\xbf\xbd%zz%");
	}
}

static void a_reset_says_what_became_of_the_call(void **state)
{
	(void)state;
	static const struct {
		uint8_t code;
		enum wire_over over;
		enum wire_status status;
	} cases[] = {
		{ NGHTTP2_REFUSED_STREAM, WIRE_OVER_REFUSED, WIRE_UNAVAILABLE },
		{ NGHTTP2_CANCEL, WIRE_OVER_CANCELLED, WIRE_CANCELLED },
		{ NGHTTP2_ENHANCE_YOUR_CALM, WIRE_OVER_BROKEN, WIRE_RESOURCE_EXHAUSTED },
		{ NGHTTP2_NO_ERROR, WIRE_OVER_BROKEN, WIRE_INTERNAL },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct world *w = world_new();
		struct raw *r = serve_raw(w, NULL);
		struct seen s = { 0 };
		Chunk c = chunk_of(0, 0, 0);

		call_method(w, ECHO_METHOD, &c, 0, &s);
		raw_until(r, find_frame(r, HEADERS, 1) >= 0);
		raw_frame(r, RST_STREAM, 0, 1,
			(const uint8_t[]){ 0, 0, 0, cases[i].code }, 4);
		raw_until(r, s.gone);
		assert_int_equal(s.over, cases[i].over);
		assert_int_equal(s.status, cases[i].status);
		end(r);
	}
}

static void a_goaway_tells_which_calls_were_not_begun(void **state)
{
	(void)state;
	struct world *w = world_new();
	struct raw *r = serve_raw(w, NULL);
	struct seen first = { 0 };
	struct seen second = { 0 };
	Chunk c = chunk_of(0, 0, 0);

	call_method(w, ECHO_METHOD, &c, 0, &first);
	call_method(w, ECHO_METHOD, &c, 0, &second);
	raw_until(r, find_frame(r, HEADERS, 3) >= 0);
	raw_frame(r, GOAWAY, 0, 0, "\0\0\0\1\0\0\0\0", 8);
	raw_until(r, second.gone);
	assert_int_equal(second.over, WIRE_OVER_REFUSED);
	assert_int_equal(first.gone, 0);
	raw_headers(r, 1, 0, grpc_head);
	raw_frame(r, DATA, 0, 1, "\0\0\0\0\0", 5);
	raw_headers(r, 1, END_STREAM, ok);
	raw_until(r, first.gone && w->down);
	assert_int_equal(first.status, WIRE_OK);
	assert_int_equal(w->down, 1);
	end(r);
}

static void a_call_that_never_left_is_refused_not_lost(void **state)
{
	(void)state;
	struct world *w = world_new();
	struct raw *r = serve_raw(w, NULL);
	struct seen s[3] = { 0 };
	Chunk c = chunk_of(0, 0, 0);

	/* One stream at a time: the second and third wait on this side. */
	raw_frame(r, SETTINGS, 0, 0, "\0\3\0\0\0\1", 6);
	raw_until(r, w->up);
	for (int i = 0; i < 20; i++)
		raw_turn(r);
	for (int i = 0; i < 3; i++)
		call_method(w, ECHO_METHOD, &c, 0, &s[i]);
	raw_until(r, find_frame(r, HEADERS, 1) >= 0);
	wire_call_cancel(s[2].call);
	raw_until(r, s[2].gone);
	assert_int_equal(s[2].over, WIRE_OVER_CANCELLED);
	close(r->fd);
	r->fd = -1;
	until(w, w->down);
	assert_int_equal(s[0].over, WIRE_OVER_LOST);
	assert_int_equal(s[1].over, WIRE_OVER_REFUSED);
	end(r);
}

static void a_connection_lost_inside_a_message_is_lost(void **state)
{
	(void)state;
	struct world *w = world_new();
	struct raw *r = serve_raw(w, NULL);
	struct seen s = { 0 };
	Chunk c = chunk_of(0, 0, 0);

	call_method(w, COUNT_METHOD, &c, 0, &s);
	raw_until(r, find_frame(r, DATA, 1) >= 0);
	raw_headers(r, 1, 0, grpc_head);
	raw_frame(r, DATA, 0, 1, "\0\0\0\0\0\0\0\0\0\5x", 11);
	raw_until(r, s.messages == 1);
	close(r->fd);
	r->fd = -1;
	until(w, w->down);
	assert_int_equal(s.over, WIRE_OVER_LOST);
	assert_int_equal(s.status, WIRE_UNAVAILABLE);
	end(r);
}

static void a_server_that_floods_a_client_is_left(void **state)
{
	(void)state;
	struct world *w = world_new();
	struct raw *r = serve_raw(w, NULL);
	struct buf b = { 0 };

	for (int i = 0; i < 5000; i++)
		add_frame(&b, PING, 0, 0, "12345678", 8);
	r->deaf = true;
	for (int i = 0; i < 2000 && !r->dead; i++)
		raw_write(r, b.data, b.len);
	assert_true(r->dead);
	until(w, w->down);
	buf_fini(&b);
	end(r);
}

static void a_server_that_dies_silently_is_found_by_pings(void **state)
{
	(void)state;
	const struct wire_limits hasty = { .keepalive_ms = 30, .keepalive_wait_ms = 30 };
	struct world *w = world_new();
	struct raw *r = serve_raw(w, &hasty);
	struct seen s = { .open = true };

	call_method(w, TALK_METHOD, NULL, 0, &s);
	raw_until(r, w->up);
	until(w, w->down); /* nobody answers any more */
	assert_int_equal(s.over, WIRE_OVER_LOST);
	assert_non_null(strstr(w->down_why.text, "ping"));
	end(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_good_answer_is_taken),
		cmocka_unit_test(answers_that_break_grpc_are_broken),
		cmocka_unit_test(odd_statuses_are_unknown_and_odd_texts_readable),
		cmocka_unit_test(a_reset_says_what_became_of_the_call),
		cmocka_unit_test(a_goaway_tells_which_calls_were_not_begun),
		cmocka_unit_test(a_call_that_never_left_is_refused_not_lost),
		cmocka_unit_test(a_connection_lost_inside_a_message_is_lost),
		cmocka_unit_test(a_server_that_floods_a_client_is_left),
		cmocka_unit_test(a_server_that_dies_silently_is_found_by_pings),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
