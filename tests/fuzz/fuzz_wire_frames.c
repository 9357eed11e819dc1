/* fuzz_wire_frames.c - a client of any behaviour against a server of all four kinds.
 *
 * The input is a list of steps.  A step is three bytes (what, stream, length) and a
 * payload; most become frames that are well-formed on the outside, so that the fuzzer
 * gets past nghttp2 into the calls.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#include "wire_raw.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

enum { STEPS_MAX = 64 };

static struct raw *begin(struct world *w)
{
	/* A window that small answers fill. */
	static const uint8_t settings[6] = { 0, 4, 0, 0, 0, 50 };
	struct raw *r = raw_connect_bare(w);

	r->deaf = true; /* what the server says is not looked at */
	raw_write(r, NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN);
	raw_frame(r, SETTINGS, 0, 0, settings, sizeof(settings));
	return r;
}

static void request(struct raw *r, uint32_t id, const uint8_t *payload, size_t len)
{
	unsigned pick = len ? payload[0] % (METHODS + 1) : 0;
	char timeout[16] = "";

	memcpy(timeout, payload, len < 8 ? len : 8);

	const struct head h = { .path = pick < METHODS ? methods[pick].path : "/none",
		.name = len > 4 ? "grpc-timeout" : NULL,
		.value = timeout };

	raw_request(r, id, len & 1 ? END_STREAM : 0, &h);
}

/* A whole message of this content, or a part of one. */
static void message(
	struct raw *r, uint32_t id, const uint8_t *payload, size_t len, bool last)
{
	uint8_t framed[5 + 255] = { 0, 0, 0, 0, (uint8_t)len };

	memcpy(framed + 5, payload, len);
	raw_frame(r, DATA, last ? END_STREAM : 0, id, framed, 5 + len);
}

static void step(
	struct raw *r, uint8_t what, uint32_t id, const uint8_t *payload, size_t len)
{
	switch (what % 8) {
	case 0:
		request(r, id, payload, len);
		break;
	case 1:
	case 2:
		message(r, id, payload, len, what % 8 == 2);
		break;
	case 3:
		raw_frame(r, DATA, what & 8 ? END_STREAM : 0, id, payload, len);
		break;
	case 4:
		raw_frame(r, RST_STREAM, 0, id, "\0\0\0\x08", 4);
		break;
	case 5:
		raw_frame(r, WINDOW_UPDATE, 0, what & 8 ? id : 0,
			(const uint8_t[]){ 0, 0, 0, (uint8_t)len }, 4);
		break;
	case 6:
		raw_frame(
			r, what >> 3 & 15, (uint8_t)(what & 1 ? 4 : 0), id, payload, len);
		break;
	default:
		raw_write(r, payload, len);
		break;
	}
	if (what & 0x40)
		for (int i = 0; i < 3; i++)
			uv_run(&r->w->loop, UV_RUN_NOWAIT);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static struct world *w;
	static const struct wire_limits limits = { .message_bytes = 1000,
		.streams = 20,
		.buffered_bytes = 1500,
		.metadata_bytes = 500,
		.window_bytes = 65535 };
	const uint8_t *last = bytes + len;

	if (!w)
		w = world_with_server(&limits);
	w->held = NULL;

	struct raw *r = begin(w);

	for (int i = 0; i < STEPS_MAX && last - bytes >= 3 && !r->dead; i++) {
		size_t have = (size_t)(last - bytes - 3);
		size_t take = bytes[2] < have ? bytes[2] : have;

		step(r, bytes[0], 1 + 2 * (bytes[1] % 16u), bytes + 3, take);
		bytes += 3 + take;
	}
	for (int i = 0; i < 3; i++)
		uv_run(&w->loop, UV_RUN_NOWAIT);
	raw_close(r);

	/* Whatever it was: all of it is given back. */
	while (wire_server_counts(w->server).connections)
		uv_run(&w->loop, UV_RUN_ONCE);
	if (wire_server_counts(w->server).calls ||
		wire_server_counts(w->server).buffered_bytes)
		abort();
	return 0;
}
