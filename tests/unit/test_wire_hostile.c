/* test_wire_hostile.c - raw frames of clients that are broken, slow or mean. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "wire_raw.h"

#include <netinet/tcp.h>
#include <sys/resource.h>

#define MIB ((size_t)1 << 20)

/* Others are served as if nothing had happened. */
static void assert_serves(struct world *w)
{
	struct seen s = { 0 };
	Chunk c = chunk_of(1, 0, 0);

	world_connect(w, NULL);
	call_method(w, ECHO_METHOD, &c, 0, &s);
	until(w, s.gone);
	assert_int_equal(s.status, WIRE_OK);
	wire_client_close(w->client);
	w->client = NULL;
}

static void assert_gone(struct raw *r)
{
	struct world *w = r->w;

	raw_close(r);
	until(w, wire_server_counts(w->server).connections == 0);
	assert_int_equal(wire_server_counts(w->server).calls, 0);
	assert_int_equal(wire_server_counts(w->server).buffered_bytes, 0);
	assert_serves(w);
	world_free(w);
}

static const uint8_t empty_message[5] = { 0 };

/* ---- one request, wrong in one way */

static void expect_answer(
	const struct head *h, const void *data, size_t len, const char *const *says)
{
	struct world *w = world_with_server(NULL);
	struct raw *r = raw_connect(w, NULL, 0);

	assert_true(raw_request(r, 1, 0, h));
	if (data)
		raw_frame(r, DATA, END_STREAM, 1, data, len);
	raw_until(r, strstr(r->headers, "grpc-status"));
	for (; *says; says++)
		assert_says(r, *says);
	assert_false(r->dead);
	assert_gone(r);
}

#define SAYS(...)                                                                        \
	(const char *const[])                                                            \
	{                                                                                \
		__VA_ARGS__, NULL                                                        \
	}

static void headers_that_are_not_grpc_are_refused(void **state)
{
	(void)state;
	expect_answer(&(struct head){ .method = "GET" }, "", 0, SAYS(":status: 405"));
	expect_answer(&(struct head){ .type = "application/json" }, NULL, 0,
		SAYS(":status: 415", "grpc-status: 13"));
	expect_answer(&(struct head){ .type = "application/grpc-web" }, NULL, 0,
		SAYS(":status: 415"));
	expect_answer(&(struct head){ .type = "application/grpc+json" }, NULL, 0,
		SAYS(":status: 415"));
	expect_answer(&(struct head){ .te = "" }, NULL, 0, SAYS(":status: 400"));
	expect_answer(&(struct head){ .path = "/t.T/None" }, NULL, 0,
		SAYS(":status: 200", "grpc-status: 12", "/t.T/None"));
	expect_answer(&(struct head){ .path = "/" }, NULL, 0, SAYS("grpc-status: 12"));
}

static void other_spellings_of_the_content_type_are_taken(void **state)
{
	(void)state;
	expect_answer(&(struct head){ .type = "application/grpc+proto" }, empty_message,
		5, SAYS(":status: 200", "grpc-status: 0"));
	expect_answer(&(struct head){ .type = "application/grpc;charset=x" },
		empty_message, 5, SAYS(":status: 200", "grpc-status: 0"));
}

static void timeouts_that_are_none_are_refused(void **state)
{
	(void)state;
	static const char *const bad[] = { "1", "-1S", "999999999S", "1x", "S" };

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		expect_answer(&(struct head){ .name = "grpc-timeout", .value = bad[i] },
			NULL, 0, SAYS("grpc-status: 3", "grpc-timeout"));
	expect_answer(&(struct head){ .name = "grpc-timeout", .value = "1n" },
		empty_message, 5, SAYS("grpc-status: 4"));
	expect_answer(&(struct head){ .name = "grpc-timeout", .value = "876000H" },
		empty_message, 5, SAYS("grpc-status: 0"));
	expect_answer(
		&(struct head){
			.path = "/t.T/Hold", .name = "grpc-timeout", .value = "20m" },
		empty_message, 5, SAYS("grpc-status: 4"));
}

static void metadata_is_bounded(void **state)
{
	(void)state;
	char large[16101]; /* fits a frame; with 32 for each header it is too much */

	memset(large, 'x', sizeof(large));
	large[sizeof(large) - 1] = '\0';
	expect_answer(&(struct head){ .name = "a", .value = large }, empty_message, 5,
		SAYS("grpc-status: 8", "16384"));
	large[15000] = '\0';
	expect_answer(&(struct head){ .name = "a", .value = large }, empty_message, 5,
		SAYS("grpc-status: 0"));
}

static void request_bodies_are_checked(void **state)
{
	(void)state;
	static const char compressed[] = "\1\0\0\0\2xx";
	static const char two[] = "\0\0\0\0\0\0\0\0\0\0";
	static const char cut[] = "\0\0\0\0\5\x08";
	static const char half_prefix[] = "\0\0\0";
	static const char flag[] = "\7\0\0\0\0";
	static const char huge[] = "\0\xff\xff\xff\xff";
	static const char above[] = "\0\0\x40\0\1";
	static const char garbage[] = "\0\0\0\0\2\xff\xff";

	expect_answer(&(struct head){ .name = "grpc-encoding", .value = "gzip" },
		compressed, 7, SAYS("grpc-status: 12", "grpc-accept-encoding: identity"));
	expect_answer(&(struct head){ 0 }, two, 10, SAYS("grpc-status: 13"));
	expect_answer(&(struct head){ 0 }, cut, 6, SAYS("grpc-status: 13"));
	expect_answer(&(struct head){ 0 }, half_prefix, 3, SAYS("grpc-status: 13"));
	expect_answer(&(struct head){ 0 }, "", 0, SAYS("grpc-status: 13"));
	expect_answer(&(struct head){ 0 }, flag, 5, SAYS("grpc-status: 13"));
	expect_answer(&(struct head){ 0 }, huge, 5, SAYS("grpc-status: 8", "4194304"));
	expect_answer(&(struct head){ 0 }, above, 5, SAYS("grpc-status: 8", "4194305"));
	expect_answer(&(struct head){ 0 }, garbage, 7, SAYS("grpc-status: 3"));
	expect_answer(
		&(struct head){ .path = "/t.T/Sum" }, cut, 6, SAYS("grpc-status: 13"));
}

static void a_request_that_ends_with_its_headers_has_no_message(void **state)
{
	(void)state;
	struct world *w = world_with_server(NULL);
	struct raw *r = raw_connect(w, NULL, 0);

	assert_true(raw_request(r, 1, END_STREAM, &(struct head){ 0 }));
	raw_until(r, strstr(r->headers, "grpc-status: 13"));
	assert_gone(r);
}

static void the_reset_never_overtakes_an_early_answer(void **state)
{
	(void)state;
	struct world *w = world_with_server(NULL);
	struct raw *r = raw_connect(w, NULL, 0);

	for (uint32_t id = 1; id < 100; id += 2) {
		assert_true(raw_request(r, id, 0, &(struct head){ .path = "/t.T/None" }));
		raw_until(r, find_frame(r, RST_STREAM, id) >= 0);

		int answer = find_frame(r, HEADERS, id);
		int reset = find_frame(r, RST_STREAM, id);

		assert_in_range(answer, 0, reset - 1);
		assert_true(r->frames[answer].flags & END_STREAM);
		assert_int_equal(r->frames[reset].code, NGHTTP2_NO_ERROR);
	}
	/* What the client still sends of them is swallowed. */
	raw_frame(r, DATA, END_STREAM, 1, empty_message, 5);
	raw_turn(r);
	assert_false(r->dead);
	assert_gone(r);
}

static void a_request_may_come_byte_by_byte(void **state)
{
	(void)state;
	struct world *w = world_with_server(NULL);
	struct raw *r = raw_connect(w, NULL, 0);
	struct buf b = { 0 };
	struct buf head = { 0 };
	static const uint8_t message[] = { 0, 0, 0, 0, 2, 0x08, 42 };

	add_request(&head, &(struct head){ 0 });
	add_frame(&b, HEADERS, END_HEADERS, 1, head.data, head.len);
	for (size_t i = 0; i < sizeof(message); i++) {
		add_frame(&b, DATA, 0, 1, message + i, 1);
		add_frame(&b, DATA, 0, 1, NULL, 0);
	}
	add_frame(&b, DATA, END_STREAM, 1, NULL, 0);
	for (size_t i = 0; i < b.len; i++) {
		assert_true(raw_write(r, b.data + i, 1));
		raw_turn(r);
	}
	raw_until(r, strstr(r->headers, "grpc-status: 0"));
	assert_int_equal(r->data_len, sizeof(message));
	assert_memory_equal(r->data, message, sizeof(message));
	buf_fini(&b);
	buf_fini(&head);
	assert_gone(r);
}

static void several_messages_may_share_a_frame(void **state)
{
	(void)state;
	struct world *w = world_with_server(NULL);
	struct raw *r = raw_connect(w, NULL, 0);
	struct buf b = { 0 };

	for (int i = 0; i < 1000; i++)
		buf_add(&b, "\0\0\0\0\2\x08\1", 7);
	assert_true(raw_request(r, 1, 0, &(struct head){ .path = "/t.T/Talk" }));
	assert_true(raw_frame(r, DATA, END_STREAM, 1, b.data, b.len));
	raw_until(r, strstr(r->headers, "grpc-status: 0"));
	assert_int_equal(w->messages, 1000);
	assert_int_equal(r->data_len, 7000);
	buf_fini(&b);
	assert_gone(r);
}

/* ---- floods */

static void flood(struct raw *r, const void *bytes, size_t len, size_t most)
{
	for (size_t sent = 0; sent < most && !r->dead; sent += len)
		if (!raw_write(r, bytes, len))
			break;
	raw_until(r, r->dead || find_frame(r, GOAWAY, 0) >= 0);
}

/* What h2spec cannot ask here, since its requests are not gRPC (tests/e2e/test_h2spec.py). */

static void a_half_closed_stream_takes_windows_and_priorities(void **state)
{
	(void)state;
	static const uint8_t one[4] = { 0, 0, 0, 1 };
	static const uint8_t priority[5] = { 0, 0, 0, 0, 15 };
	struct world *w = world_with_server(NULL);
	struct raw *r = raw_connect(w, NULL, 0);
	Chunk c = chunk_of(0, 0, 100);

	raw_request(r, 1, 0, &(struct head){ .path = "/t.T/Hold" });
	raw_frame(r, DATA, END_STREAM, 1, empty_message, sizeof(empty_message));
	raw_until(r, w->held);
	raw_frame(r, WINDOW_UPDATE, 0, 1, one, sizeof(one));
	raw_frame(r, PRIORITY, 0, 1, priority, sizeof(priority));
	raw_turn(r);
	assert_non_null(w->held);
	wire_call_reply(w->held, &c);
	raw_until(r, strstr(r->headers, "grpc-status"));
	assert_says(r, "grpc-status: 0");
	assert_true(r->data_len > 100);
	assert_gone(r);
}

static void data_after_the_end_of_a_stream_is_a_fault(void **state)
{
	(void)state;
	struct world *w = world_with_server(NULL);
	struct raw *r = raw_connect(w, NULL, 0);
	int at;

	raw_request(r, 1, 0, &(struct head){ .path = "/t.T/Hold" });
	raw_frame(r, DATA, END_STREAM, 1, empty_message, sizeof(empty_message));
	raw_until(r, w->held);
	raw_frame(r, DATA, END_STREAM, 1, empty_message, sizeof(empty_message));
	raw_until(r, (at = find_frame(r, RST_STREAM, 1)) >= 0 ||
			     (at = find_frame(r, GOAWAY, 0)) >= 0);
	assert_int_equal(r->frames[at].code, NGHTTP2_STREAM_CLOSED);
	until(w, w->gone);
	assert_int_equal(w->messages, 1);
	assert_gone(r);
}

static void frames_on_a_stream_that_both_sides_closed_end_the_connection(void **state)
{
	(void)state;
	static const uint8_t types[] = { DATA, HEADERS };

	for (size_t i = 0; i < sizeof(types); i++) {
		struct world *w = world_with_server(NULL);
		struct raw *r = raw_connect(w, NULL, 0);

		raw_request(r, 1, 0, &(struct head){ 0 });
		raw_frame(r, DATA, END_STREAM, 1, empty_message, sizeof(empty_message));
		raw_until(r, strstr(r->headers, "grpc-status: 0"));
		if (types[i] == DATA)
			raw_frame(r, DATA, END_STREAM, 1, empty_message,
				sizeof(empty_message));
		else
			raw_request(r, 1, END_STREAM, &(struct head){ 0 });
		raw_until(r, find_frame(r, GOAWAY, 0) >= 0);
		assert_int_equal(
			r->frames[find_frame(r, GOAWAY, 0)].code, NGHTTP2_STREAM_CLOSED);
		assert_int_equal(w->messages, 1);
		assert_gone(r);
	}
}

static void a_window_that_sinks_below_zero_delays_and_loses_nothing(void **state)
{
	(void)state;
	/* SETTINGS_INITIAL_WINDOW_SIZE, twice in one frame: the last counts. */
	static const uint8_t three[] = { 0, 4, 0, 0, 0, 100, 0, 4, 0, 0, 0, 3 };
	static const uint8_t two[] = { 0, 4, 0, 0, 0, 2 };
	static const uint8_t more[][4] = { { 0, 0, 0, 2 }, { 0, 0, 0, 1 } };
	struct world *w = world_with_server(NULL);
	struct raw *r = raw_connect(w, three, sizeof(three));

	raw_request(r, 1, 0, &(struct head){ 0 });
	raw_frame(r, DATA, END_STREAM, 1, empty_message, sizeof(empty_message));
	raw_until(r, r->data_len == 3);
	raw_frame(r, SETTINGS, 0, 0, two, sizeof(two)); /* now it is -1 */
	raw_frame(r, WINDOW_UPDATE, 0, 1, more[0], 4);
	raw_until(r, r->data_len >= 4);
	raw_turn(r);
	assert_int_equal(r->data_len, 4);
	assert_null(strstr(r->headers, "grpc-status"));
	raw_frame(r, WINDOW_UPDATE, 0, 1, more[1], 4);
	raw_until(r, strstr(r->headers, "grpc-status: 0"));
	assert_int_equal(r->data_len, 5);
	assert_memory_equal(r->data, empty_message, 5);
	assert_gone(r);
}

static void a_rapid_reset_is_cut_off(void **state)
{
	(void)state;
	struct world *w = world_with_server(NULL);
	struct raw *r = raw_connect(w, NULL, 0);
	uint32_t id = 1;

	for (; id < 40001 && !r->dead && find_frame(r, GOAWAY, 0) < 0; id += 2) {
		raw_request(r, id, 0, &(struct head){ .path = "/t.T/Sum" });
		raw_frame(r, RST_STREAM, 0, id, "\0\0\0\x08", 4);
		raw_turn(r);
	}
	assert_in_range(id, 2001, 4000);
	assert_true(w->opened < 2000);
	assert_gone(r);
	/* And the handlers have heard of each end. */
}

static void calls_that_were_answered_may_be_reset_at_any_rate(void **state)
{
	(void)state;
	struct world *w = world_with_server(NULL);
	static const uint8_t one_message[6] = { 0, 4, 0, 0, 0, 15 };
	struct raw *r = raw_connect(w, one_message, sizeof(one_message));
	int on = 1;
	/* Count without end, 10 bytes each: offset=10, total=-1. */
	static const uint8_t ask[] = { 0, 0, 0, 0, 13, 0x08, 0x0a, 0x10, 0xff, 0xff, 0xff,
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01 };

	/* Faster than the limit: no small write waits for the one before. */
	setsockopt(r->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	for (uint32_t id = 1; id < 5001; id += 2) {
		raw_request(r, id, 0, &(struct head){ .path = "/t.T/Count" });
		raw_frame(r, DATA, END_STREAM, id, ask, sizeof(ask));
		raw_until(r, find_frame(r, DATA, id) >= 0);
		raw_frame(r, RST_STREAM, 0, id, "\0\0\0\x08", 4);
		raw_turn(r);
		assert_true(find_frame(r, GOAWAY, 0) < 0);
		r->count = 0; /* only so many frames are remembered */
	}
	assert_false(r->dead);
	assert_gone(r);
}

static void resets_that_the_client_provokes_are_cut_off_too(void **state)
{
	(void)state;
	struct world *w = world_with_server(NULL);
	struct raw *r = raw_connect(w, NULL, 0);
	uint32_t id = 1;

	for (; id < 40001 && !r->dead && find_frame(r, GOAWAY, 0) < 0; id += 2) {
		raw_request(r, id, 0, &(struct head){ .path = "/t.T/Sum" });
		/* A window above 2^31: the stream, not the connection, is reset. */
		raw_frame(r, WINDOW_UPDATE, 0, id, "\x7f\xff\xff\xff", 4);
		raw_turn(r);
	}
	assert_in_range(id, 2001, 4000);
	assert_gone(r);
}

static void a_ping_flood_without_reading_ends_the_connection(void **state)
{
	(void)state;
	struct world *w = world_with_server(NULL);
	struct raw *r = raw_connect(w, NULL, 0);
	struct buf b = { 0 };
	int small = 4096;

	setsockopt(r->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	for (int i = 0; i < 5000; i++)
		add_frame(&b, PING, 0, 0, "12345678", 8);
	r->deaf = true;
	for (int i = 0; i < 2000 && !r->dead; i++)
		raw_write(r, b.data, b.len);
	assert_true(r->dead);
	buf_fini(&b);
	assert_gone(r);
}

static void a_settings_flood_without_reading_ends_the_connection(void **state)
{
	(void)state;
	struct world *w = world_with_server(NULL);
	struct raw *r = raw_connect(w, NULL, 0);
	struct buf b = { 0 };

	for (int i = 0; i < 5000; i++)
		add_frame(&b, SETTINGS, 0, 0, NULL, 0);
	r->deaf = true;
	for (int i = 0; i < 2000 && !r->dead; i++)
		raw_write(r, b.data, b.len);
	assert_true(r->dead);
	buf_fini(&b);
	assert_gone(r);
}

/* HEADERS without an end, then CONTINUATION after CONTINUATION. */
static void expect_no_continuation(
	const void *start, size_t start_len, const void *more, size_t more_len)
{
	struct world *w = world_with_server(NULL);
	struct raw *r = raw_connect(w, NULL, 0);
	struct buf b = { 0 };

	raw_frame(r, HEADERS, 0, 1, start, start_len);
	add_frame(&b, CONTINUATION, 0, 1, more, more_len);
	flood(r, b.data, b.len, 8 * MIB);
	raw_until(r, r->dead || wire_server_counts(w->server).connections == 0);
	assert_int_equal(wire_server_counts(w->server).calls, 0);
	buf_fini(&b);
	assert_gone(r);
}

static void endless_header_blocks_end_the_connection(void **state)
{
	(void)state;
	static uint8_t filler[8192];
	/* A string that declares 1 GiB: 127 + 2^30 as a varint. */
	static const uint8_t gib[] = { 0x00, 0x01, 'a', 0x7f, 0x81, 0xff, 0xff, 0xff,
		0x03 };
	struct buf valid = { 0 };

	memset(filler, 'x', sizeof(filler));
	expect_no_continuation(gib, sizeof(gib), filler, sizeof(filler));
	memset(filler, 0xff, sizeof(filler)); /* a varint without end */
	expect_no_continuation("\x00\x01\x61\x7f", 4, filler, sizeof(filler));
	for (int i = 0; i < 100; i++)
		add_header(&valid, "a", "b");
	expect_no_continuation(valid.data, valid.len, valid.data, valid.len);
	buf_fini(&valid);
}

static void garbage_ends_the_connection(void **state)
{
	(void)state;
	struct world *w = world_with_server(NULL);
	static const char tls[] =
		"\x16\x03\x01\x02\x01\x01\x01\xfc\x03\x03 and some more bytes";
	static const char *const lines[] = { "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", tls };

	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
		struct raw *r = raw_connect_bare(w);

		raw_write(r, lines[i], strlen(lines[i]));
		raw_until(r, r->dead);
		raw_close(r);
	}

	/* Random frames after a good beginning, from a fixed seed. */
	uint32_t x = 12345;

	for (int i = 0; i < 200; i++) {
		struct raw *r = raw_connect(w, NULL, 0);
		uint8_t bytes[512];

		raw_request(r, 1, 0, &(struct head){ .path = "/t.T/Talk" });
		for (size_t k = 0; k < sizeof(bytes); k++) {
			x = x * 1664525 + 1013904223;
			bytes[k] = (uint8_t)(x >> 24);
		}
		bytes[0] = bytes[1] = 0; /* a short frame of any type */
		bytes[3] %= 10;
		raw_write(r, bytes, sizeof(bytes));
		raw_turn(r);
		raw_close(r);
	}
	until(w, wire_server_counts(w->server).connections == 0);
	assert_serves(w);
	world_free(w);
}

static void streams_above_the_limit_are_refused(void **state)
{
	(void)state;
	const struct wire_limits few = { .streams = 10 };
	struct world *w = world_with_server(&few);
	struct raw *r = raw_connect(w, NULL, 0);

	raw_until(r, find_frame(r, SETTINGS, 0) >= 0);
	assert_true(raw_frame(r, SETTINGS, ACK, 0, NULL, 0));
	for (uint32_t id = 1; id < 31; id += 2)
		raw_request(r, id, 0, &(struct head){ .path = "/t.T/Sum" });
	raw_until(r, r->dead || find_frame(r, GOAWAY, 0) >= 0 ||
			     find_frame(r, RST_STREAM, 29) >= 0);
	assert_true(w->opened <= 10);
	assert_gone(r);
}

/* ---- those who are slow */

static void a_stalled_upload_is_ended(void **state)
{
	(void)state;
	const struct wire_limits hasty = { .upload_ms = 50 };
	struct world *w = world_with_server(&hasty);
	struct raw *r = raw_connect(w, NULL, 0);
	uint8_t start[1000] = { 0, 0, 0x40, 0, 0 }; /* 1 KB of 4 MiB */

	raw_request(r, 1, 0, &(struct head){ 0 });
	raw_frame(r, DATA, 0, 1, start, sizeof(start));
	raw_request(r, 3, 0, &(struct head){ .path = "/t.T/Sum" });
	raw_frame(r, DATA, 0, 3, start, sizeof(start));
	raw_request(r, 5, 0, &(struct head){ 0 }); /* not even a beginning */
	raw_until(r, find_frame(r, HEADERS, 1) >= 0 && find_frame(r, HEADERS, 3) >= 0 &&
			     find_frame(r, HEADERS, 5) >= 0);
	assert_says(r, "grpc-status: 4");
	until(w, w->gone == 1); /* Sum's handler knew of it */
	assert_int_equal(w->over, WIRE_OVER_BROKEN);
	assert_false(r->dead);
	assert_gone(r);
}

static void stalled_uploads_are_charged_to_the_budget(void **state)
{
	(void)state;
	const struct wire_limits tight = { .buffered_bytes = 8 * MIB,
		.window_bytes = 65535 };
	struct world *w = world_with_server(&tight);
	struct raw *r = raw_connect(w, NULL, 0);
	uint8_t start[16384] = { 0, 0, 0x3f, 0xff, 0xfb }; /* of 4 MiB with its prefix */

	for (uint32_t id = 1; id < 200; id += 2) {
		raw_request(r, id, 0, &(struct head){ 0 });
		raw_frame(r, DATA, 0, id, start, sizeof(start));
		raw_turn(r);
	}
	/* Two may grow to their full size, the others keep what they sent unasked. */
	assert_true(
		wire_server_counts(w->server).buffered_bytes <= 8 * MIB + 100 * 16384);
	assert_false(r->dead);
	assert_serves(w); /* a small message needs no budget */
	assert_gone(r);
}

static void twice_the_budget_is_never_exceeded(void **state)
{
	(void)state;
	const struct wire_limits tight = {
		.buffered_bytes = MIB, .message_bytes = 4 * MIB, .window_bytes = 65535
	};
	struct world *w = world_with_server(&tight);
	struct raw *r = raw_connect(w, NULL, 0);
	uint8_t start[16384] = { 0, 0, 0x0f, 0xff, 0xf0 };

	/* 100 streams of 48 KiB each: within their windows, but 4.7 MiB together. */
	for (uint32_t id = 1; id < 200; id += 2) {
		raw_request(r, id, 0, &(struct head){ 0 });
		start[0] = start[1] = 0;
		start[2] = 0x0f;
		raw_frame(r, DATA, 0, id, start, sizeof(start));
		raw_frame(r, DATA, 0, id, start, sizeof(start));
		raw_frame(r, DATA, 0, id, start, sizeof(start));
		raw_turn(r);
		assert_true(wire_server_counts(w->server).buffered_bytes <= 2 * MIB);
	}
	assert_says(r, "grpc-status: 8");
	assert_false(r->dead);
	assert_gone(r);
}

static void a_window_of_zero_costs_one_message_per_stream(void **state)
{
	(void)state;
	struct world *w = world_with_server(NULL);
	static const uint8_t zero[6] = { 0, 4, 0, 0, 0, 0 };
	struct raw *r = raw_connect(w, zero, sizeof(zero));
	/* Count without end, 1,000 bytes each: offset=1000, total=-1. */
	static const uint8_t ask[] = { 0, 0, 0, 0, 14, 0x08, 0xe8, 0x07, 0x10, 0xff, 0xff,
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01 };

	for (uint32_t id = 1; id < 201; id += 2) {
		raw_request(r, id, 0, &(struct head){ .path = "/t.T/Count" });
		raw_frame(r, DATA, END_STREAM, id, ask, sizeof(ask));
	}
	raw_until(r, w->messages == 100);
	for (int i = 0; i < 20; i++)
		raw_turn(r);
	assert_true(w->pulls <= 100);
	assert_int_equal(r->data_len, 0);

	/* A byte of window moves a byte. */
	raw_frame(r, WINDOW_UPDATE, 0, 1, "\0\0\0\1", 4);
	raw_until(r, r->data_len == 1);
	raw_frame(r, WINDOW_UPDATE, 0, 1, "\0\0\x0f\xff", 4);
	raw_until(r, r->data_len == 0x1000);
	assert_true(w->pulls <= 100 + 5);
	assert_gone(r);
}

static void a_finish_behind_a_closed_window_arrives_when_nothing_waits(void **state)
{
	(void)state;
	struct world *w = world_with_server(NULL);
	static const uint8_t zero[6] = { 0, 4, 0, 0, 0, 0 };
	struct raw *r = raw_connect(w, zero, sizeof(zero));

	raw_request(r, 1, 0, &(struct head){ .path = "/t.T/Feed" });
	raw_frame(r, DATA, END_STREAM, 1, empty_message, 5);
	raw_until(r, w->held);
	w->to_send = 1;
	wire_call_wake(w->held);
	raw_until(r, find_frame(r, HEADERS, 1) >= 0);
	wire_call_finish(w->held, WIRE_ABORTED, "no room needed");
	raw_until(r, strstr(r->headers, "grpc-status: 10"));
	assert_gone(r);
}

static void who_takes_nothing_for_too_long_is_reset(void **state)
{
	(void)state;
	const struct wire_limits hasty = { .stall_ms = 50 };
	struct world *w = world_with_server(&hasty);
	static const uint8_t tiny[6] = { 0, 4, 0, 0, 0, 10 };
	struct raw *r = raw_connect(w, tiny, sizeof(tiny));
	static const uint8_t ask[] = { 0, 0, 0, 0, 5, 0x08, 0xe8, 0x07, 0x10, 5 };

	raw_request(r, 1, 0, &(struct head){ .path = "/t.T/Count" });
	raw_frame(r, DATA, END_STREAM, 1, ask, sizeof(ask));
	raw_until(r, find_frame(r, RST_STREAM, 1) >= 0);
	until(w, w->gone);
	assert_int_equal(w->over, WIRE_OVER_BROKEN);
	assert_gone(r);
}

static void a_connection_must_speak_and_then_call(void **state)
{
	(void)state;
	const struct wire_limits hasty = { .handshake_ms = 50, .first_call_ms = 60 };
	struct world *w = world_with_server(&hasty);
	struct raw *mute = raw_connect_bare(w);
	struct raw *slow = raw_connect_bare(w);
	struct raw *idle = raw_connect(w, NULL, 0);

	raw_write(slow, NGHTTP2_CLIENT_MAGIC, 10);
	raw_until(mute, mute->dead);
	raw_until(slow, slow->dead);
	raw_until(idle, find_frame(idle, GOAWAY, 0) >= 0);
	raw_until(idle, idle->dead);
	raw_close(mute);
	raw_close(slow);
	assert_gone(idle);
}

static void an_idle_connection_is_sent_away_politely(void **state)
{
	(void)state;
	const struct wire_limits hasty = { .idle_ms = 40 };
	struct world *w = world_with_server(&hasty);
	struct raw *r = raw_connect(w, NULL, 0);

	raw_request(r, 1, 0, &(struct head){ 0 });
	raw_frame(r, DATA, END_STREAM, 1, empty_message, 5);
	raw_until(r, strstr(r->headers, "grpc-status: 0"));
	raw_until(r, r->dead);

	size_t goaways = 0;

	for (size_t i = 0; i < r->count; i++)
		goaways += r->frames[i].type == GOAWAY;
	assert_int_equal(goaways, 2);
	assert_gone(r);
}

static void a_dead_peer_is_found_by_pings(void **state)
{
	(void)state;
	const struct wire_limits hasty = { .keepalive_ms = 30, .keepalive_wait_ms = 30 };
	struct world *w = world_with_server(&hasty);
	struct raw *r = raw_connect(w, NULL, 0);

	raw_request(r, 1, 0, &(struct head){ .path = "/t.T/Talk" });
	raw_until(r, find_frame(r, PING, 0) >= 0); /* which nobody answers */
	raw_until(r, w->gone);
	assert_int_equal(w->over, WIRE_OVER_LOST);
	assert_gone(r);
}

static void a_live_peer_is_not(void **state)
{
	(void)state;
	const struct wire_limits hasty = { .keepalive_ms = 20,
		.keepalive_wait_ms = 2000 };
	struct world *w = world_with_server(&hasty);
	struct seen s = { .open = true };

	world_connect(w, NULL); /* nghttp2 answers */
	call_method(w, TALK_METHOD, NULL, 0, &s);
	until(w, w->held);
	turns(w, 100);
	assert_int_equal(s.gone, 0);
	assert_int_equal(w->down, 0);
	world_free(w);
}

static void half_a_message_is_lost_with_its_connection(void **state)
{
	(void)state;
	struct world *w = world_with_server(NULL);
	struct raw *r = raw_connect(w, NULL, 0);
	uint8_t start[100] = { 0, 0, 1, 0, 0 };

	raw_request(r, 1, 0, &(struct head){ .path = "/t.T/Sum" });
	raw_frame(r, DATA, 0, 1, start, sizeof(start));
	raw_until(r, wire_server_counts(w->server).buffered_bytes);
	close(r->fd);
	r->fd = -1;
	until(w, w->gone);
	assert_int_equal(w->over, WIRE_OVER_LOST);
	assert_gone(r);
}

static void a_drain_does_not_wait_for_who_never_spoke(void **state)
{
	(void)state;
	const struct wire_limits patient = { .handshake_ms = 10 * 60 * 1000 };
	struct world *w = world_with_server(&patient);
	struct raw *r = raw_connect_bare(w);

	until(w, wire_server_counts(w->server).connections == 1);
	wire_server_drain(w->server, 10 * 60 * 1000, on_drained, w);
	raw_until(r, r->dead);
	raw_close(r);
	until(w, w->drained);
	world_free(w);
}

/* ---- many connections */

static void connections_above_the_cap_are_closed_as_they_come(void **state)
{
	(void)state;
	const struct wire_limits few = { .connections = 3 };
	struct world *w = world_with_server(&few);
	struct raw *in[3];

	for (int i = 0; i < 3; i++)
		in[i] = raw_connect(w, NULL, 0);
	raw_until(in[2], find_frame(in[2], SETTINGS, 0) >= 0);

	struct raw *above = raw_connect_bare(w);

	raw_until(above, above->dead);
	assert_int_equal(wire_server_counts(w->server).refused, 1);
	raw_close(above);
	for (int i = 0; i < 2; i++)
		raw_close(in[i]);
	assert_gone(in[2]);
}

static void the_listener_survives_running_out_of_fds(void **state)
{
	(void)state;
	enum { MANY = 60 };
	struct world *w = world_with_server(NULL);
	int fds[MANY];
	struct rlimit old;
	struct sockaddr_in a = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons((uint16_t)atoi(strrchr(w->address, ':') + 1)) };

	getrlimit(RLIMIT_NOFILE, &old);
	for (int i = 0; i < MANY; i++)
		fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	/* Room for ten more: the server can take only some of them. */
	const struct rlimit low = { (rlim_t)fds[MANY - 1] + 11, old.rlim_max };

	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	for (int i = 0; i < MANY; i++)
		assert_int_equal(connect(fds[i], (struct sockaddr *)&a, sizeof(a)), 0);
	turns(w, 50);
	assert_in_range(wire_server_counts(w->server).connections, 1, 20);
	for (int i = 0; i < MANY; i++)
		close(fds[i]);
	until(w, wire_server_counts(w->server).connections == 0);
	assert_serves(w); /* still with the low limit */
	setrlimit(RLIMIT_NOFILE, &old);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(headers_that_are_not_grpc_are_refused),
		cmocka_unit_test(other_spellings_of_the_content_type_are_taken),
		cmocka_unit_test(timeouts_that_are_none_are_refused),
		cmocka_unit_test(metadata_is_bounded),
		cmocka_unit_test(request_bodies_are_checked),
		cmocka_unit_test(a_request_that_ends_with_its_headers_has_no_message),
		cmocka_unit_test(the_reset_never_overtakes_an_early_answer),
		cmocka_unit_test(a_request_may_come_byte_by_byte),
		cmocka_unit_test(several_messages_may_share_a_frame),
		cmocka_unit_test(a_half_closed_stream_takes_windows_and_priorities),
		cmocka_unit_test(data_after_the_end_of_a_stream_is_a_fault),
		cmocka_unit_test(
			frames_on_a_stream_that_both_sides_closed_end_the_connection),
		cmocka_unit_test(a_window_that_sinks_below_zero_delays_and_loses_nothing),
		cmocka_unit_test(a_rapid_reset_is_cut_off),
		cmocka_unit_test(calls_that_were_answered_may_be_reset_at_any_rate),
		cmocka_unit_test(resets_that_the_client_provokes_are_cut_off_too),
		cmocka_unit_test(a_ping_flood_without_reading_ends_the_connection),
		cmocka_unit_test(a_settings_flood_without_reading_ends_the_connection),
		cmocka_unit_test(endless_header_blocks_end_the_connection),
		cmocka_unit_test(garbage_ends_the_connection),
		cmocka_unit_test(streams_above_the_limit_are_refused),
		cmocka_unit_test(a_stalled_upload_is_ended),
		cmocka_unit_test(stalled_uploads_are_charged_to_the_budget),
		cmocka_unit_test(twice_the_budget_is_never_exceeded),
		cmocka_unit_test(a_window_of_zero_costs_one_message_per_stream),
		cmocka_unit_test(
			a_finish_behind_a_closed_window_arrives_when_nothing_waits),
		cmocka_unit_test(who_takes_nothing_for_too_long_is_reset),
		cmocka_unit_test(a_connection_must_speak_and_then_call),
		cmocka_unit_test(an_idle_connection_is_sent_away_politely),
		cmocka_unit_test(a_dead_peer_is_found_by_pings),
		cmocka_unit_test(a_live_peer_is_not),
		cmocka_unit_test(half_a_message_is_lost_with_its_connection),
		cmocka_unit_test(a_drain_does_not_wait_for_who_never_spoke),
		cmocka_unit_test(connections_above_the_cap_are_closed_as_they_come),
		cmocka_unit_test(the_listener_survives_running_out_of_fds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
