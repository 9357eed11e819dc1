/* test_wire_calls.c - calls between a client and a server of ours, in one process. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "wire_world.h"

#include <fcntl.h>
#include <sys/stat.h>

#define MIB ((size_t)1 << 20)

static void an_echo_comes_back(struct world *w)
{
	struct seen s = { 0 };
	Chunk c = chunk_of(7, 0, 5);
	unsigned before = w->gone;

	call_method(w, ECHO_METHOD, &c, 0, &s);
	until(w, s.gone);
	assert_int_equal(s.over, WIRE_OVER_FINISHED);
	assert_int_equal(s.status, WIRE_OK);
	assert_int_equal(s.messages, 1);
	assert_int_equal(s.last, 7);
	until(w, w->gone == before + 1);
	assert_int_equal(w->over, WIRE_OVER_FINISHED);
}

static void a_unary_call_works_on_tcp(void **state)
{
	(void)state;
	struct world *w = world_tcp();

	an_echo_comes_back(w);
	assert_int_equal(w->up, 1);
	assert_false(w->peer.local);
	assert_true(wire_address_is_loopback(w->address));
	world_free(w);
}

static void a_unary_call_works_on_a_unix_socket_that_names_its_peer(void **state)
{
	(void)state;
	struct world *w = world_unix(NULL);
	struct stat st;

	assert_int_equal(stat(w->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	an_echo_comes_back(w);
	assert_true(w->peer.local);
	assert_int_equal(w->peer.uid, getuid());
	assert_int_equal(w->peer.pid, getpid());

	char path[64];

	strcpy(path, w->path);
	world_free(w);
	assert_int_equal(stat(path, &st), -1);
}

/* A socket's address has room for 107 bytes; a data folder may lie deeper. */
static void a_unix_socket_may_lie_behind_a_long_path(void **state)
{
	(void)state;
	struct world *w = world_new();
	struct err e = { 0 };
	char folder[112];
	char path[120];

	snprintf(folder, sizeof(folder), "/tmp/wire-test-%095d", (int)getpid());
	snprintf(path, sizeof(path), "%s/s", folder);
	assert_int_equal(mkdir(folder, 0700), 0);
	world_serve(w, NULL);
	if (wire_server_listen_unix(w->server, path, NULL, &e) < 0)
		fail_msg("%s", e.text);
	snprintf(w->address, sizeof(w->address), "unix:%s", path);
	world_connect(w, NULL);
	an_echo_comes_back(w);
	world_free(w);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(rmdir(folder), 0);
}

static void a_stale_socket_file_is_replaced_and_a_live_one_is_not(void **state)
{
	(void)state;
	struct world *w = world_unix(NULL);
	struct err e = { 0 };
	char copy[80];
	struct world *other = world_new();

	world_serve(other, NULL);
	assert_int_equal(wire_server_listen_unix(other->server, w->path, NULL, &e), -1);
	assert_int_equal(e.code, ERR_CONFLICT);
	snprintf(copy, sizeof(copy), "%s.old", w->path);
	assert_int_equal(link(w->path, copy), 0);
	world_free(w);
	assert_int_equal(wire_server_listen_unix(other->server, copy, NULL, &e), 0);
	world_free(other);
	assert_int_equal(access(copy, F_OK), -1);
}

static void a_user_who_is_not_on_the_list_is_turned_away(void **state)
{
	(void)state;
	const uid_t nobody = getuid() + 1;
	const struct wire_listen options = { .uids = &nobody, .uid_count = 1 };
	struct world *w = world_unix(&options);

	until(w, w->down);
	assert_int_equal(w->up, 0);
	assert_int_equal(w->down_why.code, ERR_UNAVAILABLE);
	assert_int_equal(wire_server_counts(w->server).refused, 1);
	world_free(w);
}

static void a_user_who_is_on_the_list_is_served(void **state)
{
	(void)state;
	const uid_t us[] = { getuid() + 1, getuid() };
	const struct wire_listen options = { .uids = us, .uid_count = 2 };
	struct world *w = world_unix(&options);

	an_echo_comes_back(w);
	world_free(w);
}

static void a_bound_socket_is_served(void **state)
{
	(void)state;
	struct world *w = world_new();
	struct err e = { 0 };
	struct sockaddr_in a = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	world_serve(w, NULL);
	assert_int_equal(wire_server_listen_fd(w->server, fd, NULL, &e), 0);
	snprintf(w->address, sizeof(w->address), "localhost:%d", ntohs(a.sin_port));
	world_connect(w, NULL);
	an_echo_comes_back(w);
	world_free(w);
}

static void a_status_arrives_with_text_and_trailer(void **state)
{
	(void)state;
	struct world *w = world_tcp();
	struct seen s = { 0 };
	Chunk c = chunk_of(0, WIRE_FAILED_PRECONDITION, 0);

	call_method(w, ECHO_METHOD, &c, 0, &s);
	until(w, s.gone);
	assert_int_equal(s.over, WIRE_OVER_FINISHED);
	assert_int_equal(s.status, WIRE_FAILED_PRECONDITION);
	assert_string_equal(s.text, "as asked: 100 % \xc3\xa9\n");
	assert_string_equal(s.reason, "no_worker");
	assert_int_equal(s.messages, 0);
	world_free(w);
}

static void metadata_and_deadline_reach_the_handler(void **state)
{
	(void)state;
	struct world *w = world_tcp();
	struct seen s = { 0 };
	struct err e = { 0 };
	Chunk c = chunk_of(0, 0, 0);
	const struct wire_pair good = { "authorization", "Bearer x" };
	const struct wire_pair bad[] = { { "grpc-status", "0" }, { "Upper", "x" },
		{ "x", "line\nbreak" }, { "", "x" }, { ":path", "/" } };
	struct wire_request r = { .method = &methods[ECHO_METHOD],
		.on = &seeing,
		.user = &s,
		.message = &c,
		.timeout_ms = 60000,
		.metadata = &good,
		.metadata_count = 1 };

	assert_non_null(wire_client_call(w->client, &r, &e));
	until(w, s.gone);
	assert_string_equal(w->token, "Bearer x");
	assert_in_range(w->left_ms, 1, 60000);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		r.metadata = &bad[i];
		assert_null(wire_client_call(w->client, &r, &e));
		assert_int_equal(e.code, ERR_INVALID);
	}
	world_free(w);
}

static void a_header_arrives_with_a_message_and_with_a_status_alone(void **state)
{
	(void)state;
	struct world *w = world_tcp();
	const struct wire_pair ask = { "echo-this", "early" };

	for (int status = WIRE_OK; status <= WIRE_NOT_FOUND; status += WIRE_NOT_FOUND) {
		struct seen s = { 0 };
		struct err e = { 0 };
		Chunk c = chunk_of(7, status, 0);
		const struct wire_request r = { .method = &methods[ECHO_METHOD],
			.on = &seeing,
			.user = &s,
			.message = &c,
			.metadata = &ask,
			.metadata_count = 1 };

		assert_non_null(wire_client_call(w->client, &r, &e));
		until(w, s.gone);
		assert_int_equal(s.over, WIRE_OVER_FINISHED);
		assert_int_equal(s.status, status);
		assert_int_equal(s.messages, status == WIRE_OK);
		assert_string_equal(s.header, "early");
		assert_string_equal(s.reason, status == WIRE_OK ? "" : "no_worker");
	}
	world_free(w);
}

static void a_server_stream_arrives_whole_and_in_order(void **state)
{
	(void)state;
	struct world *w = world_tcp();
	struct seen s = { 0 };
	Chunk c = chunk_of(1000, 5000, 0);

	call_method(w, COUNT_METHOD, &c, 0, &s);
	until(w, s.gone);
	assert_int_equal(s.status, WIRE_OK);
	assert_int_equal(s.messages, 5000);
	assert_int_equal(s.last, 4999);
	assert_int_equal(s.bytes, 5000 * 1000);
	world_free(w);
}

static void a_client_stream_arrives_whole(void **state)
{
	(void)state;
	struct world *w = world_tcp();
	struct seen s = { .to_send = 3000, .size = 1000 };

	call_method(w, SUM_METHOD, NULL, 0, &s);
	until(w, s.gone);
	assert_int_equal(s.status, WIRE_OK);
	assert_int_equal(s.last, 3000);
	assert_int_equal(w->messages, 3000);
	assert_int_equal(w->ended, 1);
	world_free(w);
}

static void an_empty_client_stream_is_answered(void **state)
{
	(void)state;
	struct world *w = world_tcp();
	struct seen s = { 0 };

	call_method(w, SUM_METHOD, NULL, 0, &s);
	until(w, s.gone);
	assert_int_equal(s.status, WIRE_OK);
	assert_int_equal(s.last, 0);
	world_free(w);
}

static void both_sides_can_stream(void **state)
{
	(void)state;
	struct world *w = world_unix(NULL);
	struct seen s = { .to_send = 1000, .size = 3000 };

	call_method(w, TALK_METHOD, NULL, 0, &s);
	until(w, s.gone);
	assert_int_equal(s.status, WIRE_OK);
	assert_int_equal(s.messages, 1000);
	assert_int_equal(w->messages, 1000);
	world_free(w);
}

static void many_calls_share_a_connection(void **state)
{
	(void)state;
	struct world *w = world_tcp();
	struct seen s[500] = { 0 }; /* more than the 128 that may be open at once */
	unsigned gone = 0;

	for (int i = 0; i < 500; i++) {
		Chunk c = chunk_of(i, 0, 100);

		call_method(w, ECHO_METHOD, &c, 0, &s[i]);
	}
	until(w, ({
		gone = 0;
		for (int i = 0; i < 500; i++)
			gone += s[i].gone;
		gone == 500;
	}));
	for (int i = 0; i < 500; i++) {
		assert_int_equal(s[i].status, WIRE_OK);
		assert_int_equal(s[i].last, i);
	}
	world_free(w);
}

static void a_message_of_the_limit_passes_and_one_above_does_not(void **state)
{
	(void)state;
	struct world *w = world_tcp();
	struct seen s = { 0 };
	struct err e = { 0 };
	Chunk c = chunk_of(0, 0, 4 * MIB - 5); /* with tag and length exactly 4 MiB */

	assert_int_equal(protobuf_c_message_get_packed_size(&c.base), 4 * MIB);
	call_method(w, ECHO_METHOD, &c, 0, &s);
	until(w, s.gone);
	assert_int_equal(s.status, WIRE_OK);
	assert_int_equal(s.bytes, 4 * MIB - 5);

	c.data.len++;
	const struct wire_request r = {
		.method = &methods[ECHO_METHOD], .on = &seeing, .user = &s, .message = &c
	};

	assert_null(wire_client_call(w->client, &r, &e));
	assert_int_equal(e.code, ERR_EXHAUSTED);
	an_echo_comes_back(w);
	world_free(w);
}

static void a_request_above_the_servers_limit_costs_only_itself(void **state)
{
	(void)state;
	const struct wire_limits small = { .message_bytes = 10000 };
	struct world *w = world_with_server(&small);
	struct seen s = { 0 };
	Chunk c = chunk_of(0, 0, MIB);

	world_connect(w, NULL);
	call_method(w, ECHO_METHOD, &c, 0, &s);
	until(w, s.gone);
	assert_int_equal(s.status, WIRE_RESOURCE_EXHAUSTED);
	assert_non_null(strstr(s.text, "10000"));
	assert_int_equal(w->messages, 0);
	an_echo_comes_back(w);
	world_free(w);
}

static void an_answer_above_the_limit_becomes_a_status(void **state)
{
	(void)state;
	const struct wire_limits small = { .message_bytes = 10000 };
	struct world *w = world_with_server(&small);
	struct seen s = { 0 };
	Chunk c = chunk_of(20000, 3, 0);

	world_connect(w, NULL);
	call_method(w, COUNT_METHOD, &c, 0, &s);
	until(w, s.gone);
	assert_int_equal(s.status, WIRE_RESOURCE_EXHAUSTED);
	world_free(w);
}

static void a_client_refuses_an_answer_above_its_own_limit(void **state)
{
	(void)state;
	const struct wire_limits small = { .message_bytes = 10000 };
	struct world *w = world_with_server(NULL);
	struct seen s = { 0 };
	Chunk c = chunk_of(20000, 1000, 0);

	world_connect(w, &small);
	call_method(w, COUNT_METHOD, &c, 0, &s);
	until(w, s.gone && w->gone);
	assert_int_equal(s.status, WIRE_RESOURCE_EXHAUSTED);
	assert_int_equal(s.over, WIRE_OVER_BROKEN);
	assert_int_equal(w->over, WIRE_OVER_CANCELLED);
	world_free(w);
}

/* ---- cancelling and deadlines */

static void a_client_that_cancels_is_seen_by_the_handler(void **state)
{
	(void)state;
	struct world *w = world_tcp();
	struct seen s = { 0 };
	Chunk c = chunk_of(0, 0, 0);

	call_method(w, HOLD_METHOD, &c, 0, &s);
	until(w, w->held);
	wire_call_cancel(s.call);
	assert_int_equal(s.gone, 0); /* never from inside the function */
	until(w, s.gone && w->gone);
	assert_int_equal(s.over, WIRE_OVER_CANCELLED);
	assert_int_equal(s.status, WIRE_CANCELLED);
	assert_int_equal(w->over, WIRE_OVER_CANCELLED);
	assert_int_equal(w->gone, 1);
	an_echo_comes_back(w);
	world_free(w);
}

static void a_server_can_cancel(void **state)
{
	(void)state;
	struct world *w = world_tcp();
	struct seen s = { .open = true };

	call_method(w, TALK_METHOD, NULL, 0, &s);
	until(w, w->held);
	wire_call_cancel(w->held);
	until(w, s.gone && w->gone);
	assert_int_equal(s.over, WIRE_OVER_CANCELLED);
	assert_int_equal(w->over, WIRE_OVER_CANCELLED);
	world_free(w);
}

static void a_call_that_is_cancelled_before_it_left_is_gone_once(void **state)
{
	(void)state;
	struct world *w = world_tcp();
	struct seen s = { 0 };
	Chunk c = chunk_of(0, 0, 0);

	call_method(w, ECHO_METHOD, &c, 0, &s);
	wire_call_cancel(s.call);
	until(w, s.gone);
	an_echo_comes_back(w);
	assert_int_equal(s.gone, 1);
	world_free(w);
}

static void a_deadline_ends_both_sides(void **state)
{
	(void)state;
	struct world *w = world_tcp();
	struct seen s = { 0 };
	Chunk c = chunk_of(0, 0, 0);

	until(w, w->up);
	call_method(w, HOLD_METHOD, &c, 300, &s);
	until(w, s.gone && w->gone);
	assert_int_equal(s.status, WIRE_DEADLINE_EXCEEDED);
	assert_int_equal(s.over, WIRE_OVER_DEADLINE);
	assert_int_equal(w->gone, 1);
	world_free(w);
}

static void a_deadline_of_centuries_is_no_deadline(void **state)
{
	(void)state;
	struct world *w = world_tcp();
	struct seen s[3] = { 0 };
	const uint64_t long_ms[] = { UINT64_C(100) * 365 * 86400 * 1000, UINT64_MAX,
		INT64_MAX };
	Chunk c = chunk_of(0, 0, 0);

	for (int i = 0; i < 3; i++) {
		call_method(w, ECHO_METHOD, &c, long_ms[i], &s[i]);
		until(w, s[i].gone);
		assert_int_equal(s[i].status, WIRE_OK);
		assert_true(w->left_ms > INT64_C(50) * 365 * 86400 * 1000);
	}
	world_free(w);
}

static void answer_too_late(struct wire_call *call)
{
	Chunk c = chunk_of(0, 0, 0);
	struct err e;

	/* DEADLINE, or CANCELLED where the client's clock was first. */
	assert_int_not_equal(wire_call_over(call), WIRE_OVER_NOT);
	assert_false(wire_call_ready(call));
	assert_int_equal(wire_call_send(call, &c, &e), 0);
	wire_call_wake(call);
	wire_call_pause(call);
	wire_call_resume(call);
	wire_call_reply(call, &c);
	wire_call_finish(call, WIRE_OK, "late");
	wire_call_cancel(call);
	saw_gone(call);
}

static void a_late_answer_after_the_deadline_is_harmless(void **state)
{
	(void)state;
	static const struct wire_method method = { "/t.T/Late", &CHUNK, &CHUNK,
		WIRE_BOTH_STREAM };
	static const struct wire_handlers on = {
		.open = talk_open, .message = talk_message, .gone = answer_too_late
	};
	struct world *w = world_new();
	struct err e = { 0 };
	struct seen s = { .open = true };

	world_serve(w, NULL);
	wire_server_add(w->server, &method, &on, w);
	assert_int_equal(
		wire_server_listen_tcp(w->server, "127.0.0.1:0", NULL, w->address, &e),
		0);
	world_connect(w, NULL);

	const struct wire_request r = {
		.method = &method, .on = &seeing, .user = &s, .timeout_ms = 30
	};

	assert_non_null(wire_client_call(w->client, &r, &e));
	until(w, s.gone && w->gone);
	assert_int_equal(s.status, WIRE_DEADLINE_EXCEEDED);
	an_echo_comes_back(w);
	world_free(w);
}

static void many_deadlines_ring_each_once(void **state)
{
	(void)state;
	struct world *w = world_tcp();
	struct seen s[100] = { 0 };
	Chunk c = chunk_of(0, 0, 0);

	for (int i = 0; i < 100; i++)
		call_method(w, HOLD_METHOD, &c, (uint64_t)(1 + i * 37 % 100), &s[i]);
	for (int i = 0; i < 100; i++) {
		until(w, s[i].gone);
		assert_int_equal(s[i].status, WIRE_DEADLINE_EXCEEDED);
	}
	for (int i = 0; i < 100; i++)
		assert_int_equal(s[i].gone, 1);
	an_echo_comes_back(w);
	world_free(w);
}

/* ---- pulling and pausing */

static void a_stream_is_pulled_when_woken_and_sleeps_otherwise(void **state)
{
	(void)state;
	struct world *w = world_tcp();
	struct seen s = { 0 };
	Chunk c = chunk_of(0, 0, 0);

	call_method(w, FEED_METHOD, &c, 0, &s);
	until(w, w->held);
	turns(w, 5);
	assert_int_equal(w->pulls, 0);
	for (unsigned round = 1; round <= 3; round++) {
		w->to_send = 2;
		w->pulls = 0;
		wire_call_wake(w->held);
		wire_call_wake(w->held);
		assert_int_equal(w->pulls, 0); /* never from inside the function */
		until(w, s.messages == 2 * round);
		turns(w, 5);
		assert_int_equal(w->pulls, 3); /* two messages and one "nothing now" */
	}
	wire_call_finish(w->held, WIRE_OK, NULL);
	until(w, s.gone && w->gone);
	assert_int_equal(s.status, WIRE_OK);
	world_free(w);
}

static void a_reader_that_pauses_stops_the_pulls_and_loses_nothing(void **state)
{
	(void)state;
	struct world *w = world_tcp();
	struct seen s = { .pause = true };
	Chunk c = chunk_of(10000, 2000, 0);

	call_method(w, COUNT_METHOD, &c, 0, &s);
	until(w, s.messages == 1);
	turns(w, 50);
	assert_int_equal(s.messages, 1);
	/* The window, the message that waits, and one that was half sent. */
	assert_true(w->pulls < 256 * 1024 / 10000 + 4);

	for (unsigned n = 2; n <= 10; n++) {
		wire_call_resume(s.call);
		until(w, s.messages == n);
	}
	s.pause = false;
	wire_call_resume(s.call);
	until(w, s.gone);
	assert_int_equal(s.messages, 2000);
	assert_int_equal(s.last, 1999);
	assert_int_equal(s.status, WIRE_OK);
	world_free(w);
}

static void the_end_waits_for_what_a_paused_reader_has_not_read(void **state)
{
	(void)state;
	struct world *w = world_tcp();
	struct seen s = { .pause = true };
	Chunk c = chunk_of(10, 5, 0);

	call_method(w, COUNT_METHOD, &c, 0, &s);
	until(w, w->gone);
	turns(w, 20);
	assert_int_equal(s.messages, 1);
	assert_int_equal(s.gone, 0);
	s.pause = false;
	wire_call_resume(s.call);
	until(w, s.gone);
	assert_int_equal(s.messages, 5);
	assert_int_equal(s.status, WIRE_OK);
	world_free(w);
}

static void a_handler_that_pauses_holds_the_sender_back(void **state)
{
	(void)state;
	struct world *w = world_tcp();
	struct seen s = { .to_send = 1000, .size = 10000 };

	w->pause = true;
	call_method(w, SUM_METHOD, NULL, 0, &s);
	until(w, w->messages == 1);
	turns(w, 50);
	assert_int_equal(w->messages, 1);
	assert_true(s.pulls < 256 * 1024 / 10000 + 4);
	assert_true(wire_server_counts(w->server).buffered_bytes < 400 * 1024);
	w->pause = false;
	wire_call_resume(w->held);
	until(w, s.gone);
	assert_int_equal(s.last, 1000);
	assert_int_equal(wire_server_counts(w->server).buffered_bytes, 0);
	world_free(w);
}

static void large_messages_share_a_small_budget(void **state)
{
	(void)state;
	/* Room for one of them at a time. */
	const struct wire_limits tight = { .buffered_bytes = 3 * MIB,
		.window_bytes = 65536 };
	struct world *w = world_with_server(&tight);
	struct seen s[8] = { 0 };
	Chunk c = chunk_of(0, 0, 2 * MIB);

	world_connect(w, NULL);
	for (int i = 0; i < 8; i++)
		call_method(w, ECHO_METHOD, &c, 0, &s[i]);
	for (int i = 0; i < 8; i++) {
		until(w, s[i].gone);
		assert_int_equal(s[i].status, WIRE_OK);
		assert_int_equal(s[i].bytes, 2 * MIB);
	}
	assert_int_equal(wire_server_counts(w->server).buffered_bytes, 0);
	world_free(w);
}

static void a_finish_while_the_client_still_sends_reaches_it(void **state)
{
	(void)state;
	struct world *w = world_tcp();

	for (int i = 0; i < 50; i++) {
		struct seen s = { .to_send = 100000, .size = 1000 };

		call_method(w, SUM_METHOD, NULL, 0, &s);
		until(w, w->messages >= 3 && w->held);
		wire_call_finish(w->held, WIRE_RESOURCE_EXHAUSTED, "enough");
		until(w, s.gone && w->gone == (unsigned)i + 1);
		assert_int_equal(s.over, WIRE_OVER_FINISHED);
		assert_int_equal(s.status, WIRE_RESOURCE_EXHAUSTED);
		assert_string_equal(s.text, "enough");
		assert_int_equal(w->over, WIRE_OVER_FINISHED);
		w->messages = 0;
	}
	assert_int_equal(wire_server_counts(w->server).calls, 0);
	world_free(w);
}

/* ---- connections that end */

static void a_server_that_closes_is_seen_as_lost_on_both_sides(void **state)
{
	(void)state;
	struct world *w = world_tcp();
	struct seen s[3] = { 0 };
	Chunk c = chunk_of(0, 0, 0);

	for (int i = 0; i < 3; i++)
		call_method(w, FEED_METHOD, &c, 0, &s[i]);
	until(w, w->messages == 3);
	wire_server_close(w->server);
	w->server = NULL;
	assert_int_equal(w->gone, 3); /* before it returns */
	assert_int_equal(w->over, WIRE_OVER_LOST);
	until(w, w->down);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(s[i].gone, 1);
		assert_int_equal(s[i].over, WIRE_OVER_LOST);
		assert_int_equal(s[i].status, WIRE_UNAVAILABLE);
		assert_true(strlen(s[i].text) > 0);
	}
	assert_int_equal(w->down_why.code, ERR_UNAVAILABLE);
	assert_non_null(strstr(w->down_why.text, w->address));

	struct err e = { 0 };
	const struct wire_request r = { .method = &methods[ECHO_METHOD],
		.on = &seeing,
		.user = &s[0],
		.message = &c };

	assert_null(wire_client_call(w->client, &r, &e));
	assert_int_equal(e.code, ERR_UNAVAILABLE);
	world_free(w);
}

static void a_client_that_closes_is_seen_as_lost_by_the_handler(void **state)
{
	(void)state;
	struct world *w = world_tcp();
	struct seen s = { 0 };
	Chunk c = chunk_of(0, 0, 0);

	call_method(w, HOLD_METHOD, &c, 0, &s);
	until(w, w->held);
	wire_client_close(w->client);
	w->client = NULL;
	assert_int_equal(s.gone, 1);
	until(w, w->gone);
	assert_int_equal(w->over, WIRE_OVER_LOST);
	assert_int_equal(w->down, 0); /* it was not lost, it was closed */
	until(w, wire_server_counts(w->server).connections == 0);
	world_free(w);
}

static void a_server_that_is_not_there_refuses_surely(void **state)
{
	(void)state;
	struct world *w = world_new();
	struct seen s = { 0 };
	Chunk c = chunk_of(0, 0, 0);

	snprintf(w->address, sizeof(w->address), "unix:/tmp/wire-test-none-%d",
		(int)getpid());
	world_connect(w, NULL);
	until(w, w->down);
	assert_int_equal(w->down, 1);
	assert_non_null(strstr(w->down_why.text, "no such file"));
	wire_client_close(w->client);

	strcpy(w->address, "127.0.0.1:1");
	world_connect(w, NULL);
	call_method(w, ECHO_METHOD, &c, 0, &s);
	until(w, w->down == 2);
	assert_int_equal(s.gone, 1);
	assert_int_equal(s.over, WIRE_OVER_REFUSED); /* it may be repeated */
	assert_int_equal(s.status, WIRE_UNAVAILABLE);
	assert_non_null(strstr(w->down_why.text, "127.0.0.1:1: connection refused"));
	world_free(w);
}

static void a_server_that_says_nothing_is_given_up(void **state)
{
	(void)state;
	struct world *w = world_new();
	const struct wire_limits hasty = { .handshake_ms = 50 };
	struct sockaddr_in a = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 5), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	snprintf(w->address, sizeof(w->address), "127.0.0.1:%d", ntohs(a.sin_port));
	world_connect(w, &hasty);
	until(w, w->down);
	assert_int_equal(w->down_why.code, ERR_TIMEOUT);
	close(fd);
	world_free(w);
}

static void a_loop_with_nothing_else_still_hears_of_the_failure(void **state)
{
	(void)state;
	struct world *w = world_new();

	uv_timer_stop(&w->beat);
	snprintf(w->address, sizeof(w->address), "unix:/tmp/wire-test-none-%d",
		(int)getpid());
	world_connect(w, NULL);
	uv_run(&w->loop, UV_RUN_DEFAULT);
	assert_int_equal(w->down, 1);
	world_free(w);
}

static void giving_up_leaves_no_attempt_behind(void **state)
{
	(void)state;
	enum { QUEUE = 3 };
	struct world *w = world_new();
	const struct wire_limits hasty = { .handshake_ms = 50 };
	struct sockaddr_in a = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int queue[QUEUE];

	/* A backlog that is full: the kernel lets further clients wait. */
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 0), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	for (int i = 0; i < QUEUE; i++) {
		queue[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		(void)!connect(queue[i], (struct sockaddr *)&a, sizeof(a));
	}
	snprintf(w->address, sizeof(w->address), "127.0.0.1:%d", ntohs(a.sin_port));
	world_connect(w, &hasty);
	until(w, w->down);
	assert_int_equal(w->down_why.code, ERR_TIMEOUT);
	wire_client_close(w->client);
	w->client = NULL;
	uv_unref((uv_handle_t *)&w->beat);
	until(w, !uv_loop_alive(&w->loop));
	for (int i = 0; i < QUEUE; i++)
		close(queue[i]);
	close(fd);
	world_free(w);
}

static void wrong_addresses_are_refused_at_once(void **state)
{
	(void)state;
	struct world *w = world_new();
	static const char *const bad[] = { "", "x", "host", ":1", "host:", "host:66000",
		"[::1:5", "::1:5", "unix:" };
	struct err e = { 0 };

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		const struct wire_connect c = { .address = bad[i] };

		assert_null(wire_client_open(&w->loop, &c, &e));
		assert_int_equal(e.code, ERR_INVALID);
	}
	const struct wire_tls tls = { 0 };
	const struct wire_connect c = { .address = "127.0.0.1:1", .tls = &tls };

	assert_null(wire_client_open(&w->loop, &c, &e));
	assert_int_equal(e.code, ERR_UNSUPPORTED);
	world_free(w);
}

static void a_drain_waits_for_open_calls_and_takes_no_new_ones(void **state)
{
	(void)state;
	struct world *w = world_tcp();
	struct seen s = { 0 };
	Chunk c = chunk_of(0, 0, 0);

	call_method(w, HOLD_METHOD, &c, 0, &s);
	until(w, w->held);
	wire_server_drain(w->server, 20000, on_drained, w);
	turns(w, 50);
	assert_int_equal(w->drained, 0);

	struct err e = { 0 };
	const struct wire_request r = {
		.method = &methods[ECHO_METHOD], .on = &seeing, .user = &s, .message = &c
	};

	assert_null(wire_client_call(w->client, &r, &e));
	wire_call_reply(w->held, &c);
	until(w, s.gone && w->drained && w->down);
	assert_int_equal(s.status, WIRE_OK);
	assert_int_equal(w->gone, 1);
	assert_int_equal(w->drained, 1);
	world_free(w);
}

static void a_drain_ends_at_its_limit(void **state)
{
	(void)state;
	struct world *w = world_tcp();
	struct seen s = { .open = true };

	call_method(w, TALK_METHOD, NULL, 0, &s);
	until(w, w->held);
	wire_server_drain(w->server, 30, on_drained, w);
	until(w, s.gone && w->drained);
	assert_int_equal(w->over, WIRE_OVER_LOST);
	assert_int_equal(s.status, WIRE_UNAVAILABLE);
	assert_non_null(strstr(s.text, "shutting down"));
	world_free(w);
}

static void a_drain_of_an_idle_server_ends_at_once(void **state)
{
	(void)state;
	struct world *w = world_with_server(NULL);

	wire_server_drain(w->server, 20000, on_drained, w);
	until(w, w->drained);
	world_free(w);
}

static void close_in_handler(struct wire_call *call, ProtobufCMessage *m)
{
	struct world *w = wire_call_user(call);

	wire_message_free(m);
	wire_server_close(w->server);
	wire_server_close(w->server);
	w->server = NULL;
	wire_client_close(w->client);
	w->client = NULL;
}

static void closing_inside_a_handler_is_safe(void **state)
{
	(void)state;
	static const struct wire_method method = { "/t.T/Close", &CHUNK, &CHUNK,
		WIRE_UNARY };
	static const struct wire_handlers on = { .message = close_in_handler,
		.gone = saw_gone };
	struct world *w = world_new();
	struct err e = { 0 };
	struct seen s = { 0 };
	Chunk c = chunk_of(0, 0, 0);

	w->server = wire_server_new(&w->loop, NULL);
	wire_server_add(w->server, &method, &on, w);
	assert_int_equal(
		wire_server_listen_tcp(w->server, "127.0.0.1:0", NULL, w->address, &e),
		0);
	world_connect(w, NULL);

	const struct wire_request r = {
		.method = &method, .on = &seeing, .user = &s, .message = &c
	};

	assert_non_null(wire_client_call(w->client, &r, &e));
	until(w, w->gone && s.gone);
	assert_int_equal(w->over, WIRE_OVER_LOST);
	world_free(w);
}

/* ---- one thing at a time */

static void asking_blocks_until_the_answer(void **state)
{
	(void)state;
	struct world *w = world_tcp();
	Chunk c = chunk_of(9, 0, 0);
	struct err e = { 0 };
	ProtobufCMessage *reply = NULL;
	enum wire_status status;
	struct wire_request r = { .method = &methods[ECHO_METHOD], .message = &c };

	assert_int_equal(wire_client_ask(w->client, &r, &reply, &status, &e), 0);
	assert_int_equal(status, WIRE_OK);
	assert_int_equal(((Chunk *)reply)->offset, 9);
	wire_message_free(reply);

	c.total = WIRE_NOT_FOUND;
	assert_int_equal(wire_client_ask(w->client, &r, &reply, &status, &e), -1);
	assert_int_equal(status, WIRE_NOT_FOUND);
	assert_int_equal(e.code, ERR_NOT_FOUND);

	struct seen s = { .to_send = 20, .size = 10 };

	r = (struct wire_request){
		.method = &methods[SUM_METHOD], .on = &seeing, .user = &s
	};
	assert_int_equal(wire_client_ask(w->client, &r, &reply, &status, &e), 0);
	assert_int_equal(((Chunk *)reply)->total, 200);
	wire_message_free(reply);
	world_free(w);
}

static void each_message_of_a_stream_can_be_waited_for(void **state)
{
	(void)state;
	struct world *w = world_tcp();
	Chunk c = chunk_of(9, 12, 0);
	struct seen s = { 0 };
	struct err e = { 0 };
	enum wire_status status;
	const struct wire_request r = {
		.method = &methods[COUNT_METHOD], .message = &c, .on = &seeing, .user = &s
	};

	assert_int_equal(wire_client_each(w->client, &r, &status, &e), 0);
	assert_int_equal(s.messages, 12);
	assert_int_equal(s.gone, 1);

	wire_server_close(w->server);
	w->server = NULL;
	assert_int_equal(wire_client_each(w->client, &r, &status, &e), -1);
	assert_int_equal(status, WIRE_UNAVAILABLE);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_unary_call_works_on_tcp),
		cmocka_unit_test(a_unary_call_works_on_a_unix_socket_that_names_its_peer),
		cmocka_unit_test(a_unix_socket_may_lie_behind_a_long_path),
		cmocka_unit_test(a_stale_socket_file_is_replaced_and_a_live_one_is_not),
		cmocka_unit_test(a_user_who_is_not_on_the_list_is_turned_away),
		cmocka_unit_test(a_user_who_is_on_the_list_is_served),
		cmocka_unit_test(a_bound_socket_is_served),
		cmocka_unit_test(a_status_arrives_with_text_and_trailer),
		cmocka_unit_test(metadata_and_deadline_reach_the_handler),
		cmocka_unit_test(a_header_arrives_with_a_message_and_with_a_status_alone),
		cmocka_unit_test(a_server_stream_arrives_whole_and_in_order),
		cmocka_unit_test(a_client_stream_arrives_whole),
		cmocka_unit_test(an_empty_client_stream_is_answered),
		cmocka_unit_test(both_sides_can_stream),
		cmocka_unit_test(many_calls_share_a_connection),
		cmocka_unit_test(a_message_of_the_limit_passes_and_one_above_does_not),
		cmocka_unit_test(a_request_above_the_servers_limit_costs_only_itself),
		cmocka_unit_test(an_answer_above_the_limit_becomes_a_status),
		cmocka_unit_test(a_client_refuses_an_answer_above_its_own_limit),
		cmocka_unit_test(a_client_that_cancels_is_seen_by_the_handler),
		cmocka_unit_test(a_server_can_cancel),
		cmocka_unit_test(a_call_that_is_cancelled_before_it_left_is_gone_once),
		cmocka_unit_test(a_deadline_ends_both_sides),
		cmocka_unit_test(a_deadline_of_centuries_is_no_deadline),
		cmocka_unit_test(a_late_answer_after_the_deadline_is_harmless),
		cmocka_unit_test(many_deadlines_ring_each_once),
		cmocka_unit_test(a_stream_is_pulled_when_woken_and_sleeps_otherwise),
		cmocka_unit_test(a_reader_that_pauses_stops_the_pulls_and_loses_nothing),
		cmocka_unit_test(the_end_waits_for_what_a_paused_reader_has_not_read),
		cmocka_unit_test(a_handler_that_pauses_holds_the_sender_back),
		cmocka_unit_test(large_messages_share_a_small_budget),
		cmocka_unit_test(a_finish_while_the_client_still_sends_reaches_it),
		cmocka_unit_test(a_server_that_closes_is_seen_as_lost_on_both_sides),
		cmocka_unit_test(a_client_that_closes_is_seen_as_lost_by_the_handler),
		cmocka_unit_test(a_server_that_is_not_there_refuses_surely),
		cmocka_unit_test(a_server_that_says_nothing_is_given_up),
		cmocka_unit_test(a_loop_with_nothing_else_still_hears_of_the_failure),
		cmocka_unit_test(giving_up_leaves_no_attempt_behind),
		cmocka_unit_test(wrong_addresses_are_refused_at_once),
		cmocka_unit_test(a_drain_waits_for_open_calls_and_takes_no_new_ones),
		cmocka_unit_test(a_drain_ends_at_its_limit),
		cmocka_unit_test(a_drain_of_an_idle_server_ends_at_once),
		cmocka_unit_test(closing_inside_a_handler_is_safe),
		cmocka_unit_test(asking_blocks_until_the_answer),
		cmocka_unit_test(each_message_of_a_stream_can_be_waited_for),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
