/* test_wire.c - the parts of wire that need no connection. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "metadata.h"
#include "orchestrator.pb-c.h"
#include "status.h"
#include "str.h"
#include "timeout.h"
#include "timers.h"
#include "wire.h"
#include "worker.pb-c.h"

#define SUBMISSION cumulus__orchestrator__job_submission__descriptor
#define STATUS     cumulus__orchestrator__job_status__descriptor
#define REPORT     cumulus__worker__report__descriptor
#define WORKERS    cumulus__orchestrator__worker_list__descriptor

/* ---- messages */

static void assert_refused(const ProtobufCMessageDescriptor *type, const void *bytes,
	size_t len, enum err_code code, const char *word)
{
	struct err e = { 0 };

	assert_null(wire_message_read(type, bytes, len, &e));
	assert_int_equal(e.code, code);
	if (!strstr(e.text, word))
		fail_msg("\"%s\" does not say \"%s\"", e.text, word);
}

#define refused(type, bytes, word)                                                       \
	assert_refused(&(type), bytes, sizeof(bytes) - 1, ERR_INVALID, word)

static void a_message_survives_writing_and_reading(void **state)
{
	(void)state;
	char first[] = "numpy==2.0";
	char second[] = "\xc3\xa9";
	char *requirements[] = { first, second };
	Cumulus__Orchestrator__JobSubmission m =
		CUMULUS__ORCHESTRATOR__JOB_SUBMISSION__INIT;
	struct buf out = { 0 };
	struct err e = { 0 };

	m.n_requirements = 2;
	m.requirements = requirements;
	m.gpu_memory = 0.5F;
	m.duration = -1;
	uint8_t code[] = { 0, 0xff };

	m.code_package.data = code;
	m.code_package.len = sizeof(code);
	buf_add(&out, "x", 1);
	wire_message_write(&m, &out);

	Cumulus__Orchestrator__JobSubmission *back =
		(void *)wire_message_read(&SUBMISSION, out.data + 1, out.len - 1, &e);

	assert_non_null(back);
	assert_int_equal(back->n_requirements, 2);
	assert_string_equal(back->requirements[1], "\xc3\xa9");
	assert_int_equal(back->duration, -1);
	assert_memory_equal(back->code_package.data, "\0\xff", 2);
	wire_message_free(back);
	wire_message_free(NULL);
	buf_fini(&out);
}

static void an_empty_message_is_a_message(void **state)
{
	(void)state;
	struct err e = { 0 };
	void *m = wire_message_read(&SUBMISSION, NULL, 0, &e);

	assert_non_null(m);
	wire_message_free(m);
}

static void strings_must_be_utf8_without_nul(void **state)
{
	(void)state;
	refused(SUBMISSION, "\x12\x02\xff\xfe", "JobSubmission.requirements");
	refused(SUBMISSION,
		"\x12\x03"
		"a\0b",
		"NUL");
	refused(SUBMISSION, "\x12\x03\xed\xa0\x80", "UTF-8"); /* a surrogate */
	refused(SUBMISSION, "\x12\x02\xc0\x80", "UTF-8");     /* an overlong NUL */
	/* Inside a message inside a message, and in a map's key. */
	refused(WORKERS, "\x0a\x06\x2a\x04\x12\x02\xff\xfe", "GPUDevice.name");
	refused(SUBMISSION, "\x8a\x01\x03\x0a\x01\xff", "UTF-8");
	/* Bytes may hold anything. */
	struct err e = { 0 };

	assert_int_equal(wire_message_check(&SUBMISSION, "\x0a\x02\xff\x00", 4, &e), 0);
}

static void what_may_come_once_must_not_come_twice(void **state)
{
	(void)state;
	struct err e = { 0 };

	refused(REPORT, "\x2a\x00\x2a\x00", "Report.accepted");   /* a oneof's member */
	refused(REPORT, "\x2a\x00\x32\x00", "Report.setting_up"); /* two of one oneof */
	refused(STATUS, "\xfa\x01\x00\xfa\x01\x00", "JobStatus.timing");
	/* The last of repeated scalars counts, as the format says. */
	assert_int_equal(wire_message_check(&STATUS, "\x10\x01\x10\x02", 4, &e), 0);
}

static void malformed_bytes_are_refused(void **state)
{
	(void)state;
	refused(SUBMISSION, "\x0a", "malformed");         /* no length */
	refused(SUBMISSION, "\x0a\x05\x01", "malformed"); /* too short */
	refused(SUBMISSION, "\x00\x00", "malformed");     /* field 0 */
	refused(SUBMISSION, "\x0b\x0c", "malformed");     /* a group */
	refused(SUBMISSION, "\x0e", "malformed");         /* wire type 6 */
	refused(SUBMISSION, "\x18\x01", "malformed");     /* a float as varint */
	refused(SUBMISSION, "\x20\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
		"malformed");
	refused(SUBMISSION, "\xff\xff\xff\xff\xff\x01\x00",
		"malformed"); /* tag above 2^32 */
	refused(SUBMISSION, "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "malformed");
	refused(SUBMISSION, "\x1d\x00\x00", "malformed"); /* half a float */
	refused(STATUS, "\xf2\x01\x01\xff", "malformed"); /* packed, cut */
}

static void packed_and_unpacked_numbers_are_both_read(void **state)
{
	(void)state;
	struct err e = { 0 };
	static const char bytes[] = "\xf2\x01\x02\x01\x02\xf0\x01\x03";
	Cumulus__Orchestrator__JobStatus *m =
		(void *)wire_message_read(&STATUS, bytes, sizeof(bytes) - 1, &e);

	assert_non_null(m);
	assert_int_equal(m->n_gpu_devices, 3);
	assert_int_equal(m->gpu_devices[2], 3);
	wire_message_free(m);
}

static void unknown_fields_are_skipped(void **state)
{
	(void)state;
	struct err e = { 0 };
	void *m = wire_message_read(&SUBMISSION, "\xf2\x3f\x02\xff\xff\x20\x05", 7, &e);

	assert_non_null(m);
	assert_int_equal(((Cumulus__Orchestrator__JobSubmission *)m)->duration, 5);
	wire_message_free(m);
}

/* A message that may hold itself: ours never do, protobuf-c would follow without end. */
static const ProtobufCFieldDescriptor nest_fields[];
static const ProtobufCIntRange nest_ranges[] = { { 1, 0 }, { 0, 1 } };
static const unsigned nest_names[] = { 0 };
static const ProtobufCMessageDescriptor nest = {
	.magic = PROTOBUF_C__MESSAGE_DESCRIPTOR_MAGIC,
	.name = "Nest",
	.short_name = "Nest",
	.sizeof_message = sizeof(ProtobufCMessage) + sizeof(void *),
	.n_fields = 1,
	.fields = nest_fields,
	.fields_sorted_by_name = nest_names,
	.n_field_ranges = 1,
	.field_ranges = nest_ranges,
};
static const ProtobufCFieldDescriptor nest_fields[] = { {
	.name = "inner",
	.id = 1,
	.label = PROTOBUF_C_LABEL_NONE,
	.type = PROTOBUF_C_TYPE_MESSAGE,
	.offset = sizeof(ProtobufCMessage),
	.descriptor = &nest,
} };

static size_t nested(uint8_t *out, unsigned depth)
{
	size_t len = 0;

	for (unsigned i = 1; i < depth; i++) {
		uint8_t inner[64];

		memcpy(inner, out, len);
		out[0] = 0x0a;
		out[1] = (uint8_t)len;
		memcpy(out + 2, inner, len);
		len += 2;
	}
	return len;
}

static void depth_is_bounded(void **state)
{
	(void)state;
	uint8_t bytes[256];
	struct err e = { 0 };

	assert_int_equal(
		wire_message_check(&nest, bytes, nested(bytes, WIRE_MESSAGE_DEPTH), &e),
		0);
	assert_int_equal(wire_message_check(
				 &nest, bytes, nested(bytes, WIRE_MESSAGE_DEPTH + 1), &e),
		-1);
	assert_int_equal(e.code, ERR_INVALID);
}

static void what_would_unpack_to_too_much_is_refused(void **state)
{
	(void)state;
	size_t len = (size_t)4 << 20;
	uint8_t *bytes = malloc(len);

	/* Two million empty workers, unknown fields, empty strings. */
	static const uint8_t pairs[][2] = { { 0x0a, 0 }, { 0x78, 0 }, { 0x12, 0 } };

	for (size_t i = 0; i < 3; i++) {
		for (size_t at = 0; at < len; at += 2)
			memcpy(bytes + at, pairs[i], 2);
		assert_refused(i == 2 ? &SUBMISSION : &WORKERS, bytes, len, ERR_EXHAUSTED,
			"memory");
	}
	free(bytes);
}

/* ---- timeouts */

static void timeouts_are_parsed_exactly(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int64_t ms;
	} good[] = { { "1n", 0 }, { "999999n", 0 }, { "1000000n", 1 }, { "1u", 0 },
		{ "99999999u", 99999 }, { "0m", 0 }, { "5m", 5 }, { "30S", 30000 },
		{ "2M", 120000 }, { "876000H", INT64_C(876000) * 3600000 },
		{ "99999999H", INT64_C(99999999) * 3600000 } };
	static const char *const bad[] = { "", "1", "S", "-1S", "+1S", " 1S", "1 S", "1s",
		"1h", "1.5S", "123456789S", "99999999999999999999S", "1SS", "S1",
		"0x1S" };

	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		struct err e = { 0 };
		int64_t ms = -1;

		assert_int_equal(
			timeout_parse(good[i].text, strlen(good[i].text), &ms, &e), 0);
		assert_int_equal(ms, good[i].ms);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct err e = { 0 };
		int64_t ms = -1;

		assert_int_equal(timeout_parse(bad[i], strlen(bad[i]), &ms, &e), -1);
		assert_int_equal(e.code, ERR_INVALID);
		assert_int_equal(ms, -1);
	}
}

static void a_written_timeout_is_never_shorter(void **state)
{
	(void)state;
	for (uint64_t ms = 1; ms < UINT64_C(300) * 365 * 86400 * 1000; ms += ms / 3 + 1) {
		char text[TIMEOUT_SIZE];
		struct err e = { 0 };
		int64_t back;

		timeout_format(text, ms);
		assert_true(strlen(text) <= 9);
		assert_int_equal(timeout_parse(text, strlen(text), &back, &e), 0);
		assert_true((uint64_t)back >= ms);
		assert_true((uint64_t)back <= ms + ms / 1000 + 1);
	}
	char text[TIMEOUT_SIZE];

	timeout_format(text, UINT64_MAX);
	assert_string_equal(text, "99999999H");
}

/* ---- status */

static void codes_map_to_statuses_and_back(void **state)
{
	(void)state;
	for (enum err_code c = ERR_NONE; c < ERR_CODE_COUNT; c++) {
		enum wire_status s = wire_status_of(c);

		assert_true(s < WIRE_STATUS_COUNT && (s == WIRE_OK) == (c == ERR_NONE));
		if (c != ERR_SYSTEM)
			assert_int_equal(wire_status_err(s), c);
	}
	for (enum wire_status s = WIRE_OK; s < WIRE_STATUS_COUNT; s++) {
		assert_int_equal(wire_status_err(s) == ERR_NONE, s == WIRE_OK);
		assert_string_not_equal(wire_status_name(s), "");
	}
	assert_string_equal(wire_status_name((enum wire_status)99), "UNKNOWN");
	assert_int_equal(status_of_http(503), WIRE_UNAVAILABLE);
	assert_int_equal(status_of_http(404), WIRE_UNIMPLEMENTED);
	assert_int_equal(status_of_reset(8), WIRE_CANCELLED);
	assert_int_equal(status_of_reset(7), WIRE_UNAVAILABLE);
}

static void assert_text_survives(const char *text)
{
	char *there = status_text_encode(text);

	for (const char *s = there; *s; s++)
		assert_in_range((unsigned char)*s, 0x20, 0x7e);

	char *back = status_text_decode(there, strlen(there));

	assert_string_equal(back, text);
	free(there);
	free(back);
}

static void status_texts_are_percent_encoded(void **state)
{
	(void)state;
	assert_text_survives("");
	assert_text_survives("plain, with spaces");
	assert_text_survives("100 %41 \n\t \x7f \xc3\xa9 \xf0\x9f\x98\x80");

	char *there = status_text_encode("a%\xc3\xa9");

	assert_string_equal(there, "a%25%C3%A9");
	free(there);

	static const char *const odd[][2] = { { "%", "%" }, { "%4", "%4" },
		{ "%zz", "%zz" }, { "%41%", "A%" }, { "%ff", "\xef\xbf\xbd" },
		{ "%00", "\xef\xbf\xbd" } };

	for (size_t i = 0; i < sizeof(odd) / sizeof(*odd); i++) {
		char *back = status_text_decode(odd[i][0], strlen(odd[i][0]));

		assert_string_equal(back, odd[i][1]);
		free(back);
	}
}

static void long_status_texts_are_cut_at_a_character(void **state)
{
	(void)state;
	char text[3000];

	text[0] = 'x';
	for (size_t i = 1; i + 2 < sizeof(text); i += 2)
		memcpy(text + i, "\xc3\xa9", 3);

	char *there = status_text_encode(text);
	char *back = status_text_decode(there, strlen(there));

	assert_int_equal(strlen(back), WIRE_STATUS_TEXT_MAX - 1);
	assert_true(utf8_valid(back, strlen(back)));
	assert_memory_equal(back, text, strlen(back));
	free(there);
	free(back);

	there = status_text_encode("\xff\xfe"); /* what is not UTF-8 is replaced */
	assert_string_equal(there, "%EF%BF%BD%EF%BF%BD");
	free(there);
}

static void metadata_is_found_by_name_and_the_last_counts(void **state)
{
	(void)state;
	struct metadata m = { 0 };
	struct wire_pair pair;
	size_t n = 0;

	assert_null(metadata_find(&m, "a"));
	metadata_add(&m, "a", 1, "1", 1);
	metadata_add(&m, "bb", 2, "", 0);
	metadata_add(&m, "a", 1, "2", 1);
	assert_string_equal(metadata_find(&m, "a"), "2");
	assert_string_equal(metadata_find(&m, "bb"), "");
	assert_null(metadata_find(&m, "b"));
	for (size_t at = 0; metadata_next(&m, &at, &pair);)
		n++;
	assert_int_equal(n, 3);
	metadata_fini(&m);
	metadata_fini(&m);
}

/* ---- addresses */

static void loopback_is_told_from_the_rest(void **state)
{
	(void)state;
	static const char *const near[] = { "127.0.0.1:1", "127.9.9.9:1", "[::1]:1",
		"localhost:50051", "unix:/x", "[::ffff:127.0.0.1]:1" };
	static const char *const far[] = { "0.0.0.0:1", "10.0.0.1:1", "[::]:1",
		"128.0.0.1:1", "[fe80::1]:1", "example.org:1", "localhost.example.org:1",
		"127.0.0.1", "", "127.1:1", "[::ffff:10.0.0.1]:1" };

	for (size_t i = 0; i < sizeof(near) / sizeof(*near); i++)
		assert_true(wire_address_is_loopback(near[i]));
	for (size_t i = 0; i < sizeof(far) / sizeof(*far); i++)
		assert_false(wire_address_is_loopback(far[i]));
}

static void addresses_are_split_at_the_last_colon(void **state)
{
	(void)state;
	char host[HOST_SIZE];
	char port[PORT_SIZE];
	struct err e = { 0 };

	assert_int_equal(address_split("[::1]:50051", host, port, &e), 0);
	assert_string_equal(host, "::1");
	assert_string_equal(port, "50051");
	assert_int_equal(address_split("a.b:0", host, port, &e), 0);
	assert_string_equal(host, "a.b");
}

/* ---- timers */

struct ring {
	struct timer timer;
	unsigned *rung;
	int64_t *last;
};

static void on_ring(struct timer *timer)
{
	struct ring *r = (struct ring *)timer;

	assert_true(timers_now() >= timer->at_ms);
	assert_true(timer->at_ms >= *r->last);
	*r->last = timer->at_ms;
	++*r->rung;
}

static void deadlines_ring_in_order_and_only_once(void **state)
{
	(void)state;
	enum { COUNT = 500 };
	uv_loop_t loop;
	struct timers t;
	static struct ring rings[COUNT];
	unsigned rung = 0;
	int64_t last = 0;
	int64_t now = timers_now();

	uv_loop_init(&loop);
	timers_init(&t, &loop);
	uv_ref((uv_handle_t *)&t.clock);
	for (int i = 0; i < COUNT; i++) {
		rings[i] = (struct ring){ { .fire = on_ring }, &rung, &last };
		timers_arm(&t, &rings[i].timer, now + i * 7919 % 100);
	}
	for (int i = 0; i < COUNT; i += 3)
		timers_disarm(&t, &rings[i].timer);
	for (int i = 1; i < COUNT; i += 3) /* moving one that is armed */
		timers_arm(&t, &rings[i].timer, now + i * 104729 % 50);
	for (int i = 0; i < COUNT; i += 3)
		timers_disarm(&t, &rings[i].timer); /* also when it is not armed */
	while (t.count)
		uv_run(&loop, UV_RUN_ONCE);
	assert_int_equal(rung, COUNT - (COUNT + 2) / 3);
	uv_close((uv_handle_t *)&t.clock, NULL);
	uv_run(&loop, UV_RUN_DEFAULT);
	timers_fini(&t);
	assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_survives_writing_and_reading),
		cmocka_unit_test(an_empty_message_is_a_message),
		cmocka_unit_test(strings_must_be_utf8_without_nul),
		cmocka_unit_test(what_may_come_once_must_not_come_twice),
		cmocka_unit_test(malformed_bytes_are_refused),
		cmocka_unit_test(packed_and_unpacked_numbers_are_both_read),
		cmocka_unit_test(unknown_fields_are_skipped),
		cmocka_unit_test(depth_is_bounded),
		cmocka_unit_test(what_would_unpack_to_too_much_is_refused),
		cmocka_unit_test(timeouts_are_parsed_exactly),
		cmocka_unit_test(a_written_timeout_is_never_shorter),
		cmocka_unit_test(codes_map_to_statuses_and_back),
		cmocka_unit_test(status_texts_are_percent_encoded),
		cmocka_unit_test(long_status_texts_are_cut_at_a_character),
		cmocka_unit_test(metadata_is_found_by_name_and_the_last_counts),
		cmocka_unit_test(loopback_is_told_from_the_rest),
		cmocka_unit_test(addresses_are_split_at_the_last_colon),
		cmocka_unit_test(deadlines_ring_in_order_and_only_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
