/* wire_raw.h - a peer that writes its own HTTP/2 frames, for the tests of wire. */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "wire_world.h"

#include <errno.h>
#include <netinet/in.h>
#include <nghttp2/nghttp2.h>
#include <sys/socket.h>

#include "buf.h"

enum {
	DATA = 0,
	HEADERS = 1,
	PRIORITY = 2,
	RST_STREAM = 3,
	SETTINGS = 4,
	PING = 6,
	GOAWAY = 7,
	WINDOW_UPDATE = 8,
	CONTINUATION = 9
};
enum { END_STREAM = 1, ACK = 1, END_HEADERS = 4 };

/* ---- the peer */

struct frame {
	uint8_t type, flags;
	uint32_t id, code; /* code: of RST_STREAM and GOAWAY */
};

struct raw {
	struct world *w;
	int fd;
	bool deaf;     /* reads nothing */
	bool dead;     /* the server closed */
	struct buf in; /* not yet parsed */
	struct frame frames[4096];
	size_t count;
	nghttp2_hd_inflater *inflater;
	char headers[4096]; /* "name: value\n" of the last HEADERS of each call so far */
	uint8_t data[4096];
	size_t data_len; /* of all DATA; the first bytes are kept */
};

static inline void inflate(struct raw *r, const uint8_t *bytes, size_t len)
{
	nghttp2_nv nv;
	int flags = 0;
	size_t used = strlen(r->headers);

	while (!(flags & NGHTTP2_HD_INFLATE_FINAL)) {
		ssize_t n =
			nghttp2_hd_inflate_hd2(r->inflater, &nv, &flags, bytes, len, 1);

		assert_true(n >= 0);
		bytes += n;
		len -= (size_t)n;
		if (flags & NGHTTP2_HD_INFLATE_EMIT)
			used += (size_t)snprintf(r->headers + used,
				sizeof(r->headers) - used, "%s: %s\n", (char *)nv.name,
				(char *)nv.value);
		if (used >= sizeof(r->headers))
			used = sizeof(r->headers) - 1;
	}
	nghttp2_hd_inflate_end_headers(r->inflater);
}

static inline uint32_t be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline void parse_frames(struct raw *r)
{
	size_t at = 0;

	while (r->in.len - at >= 9) {
		const uint8_t *p = r->in.data + at;
		size_t len = be32(p) >> 8;
		struct frame f = { p[3], p[4], be32(p + 5) & INT32_MAX, 0 };

		if (r->in.len - at < 9 + len)
			break;
		if (f.type == RST_STREAM)
			f.code = be32(p + 9);
		else if (f.type == GOAWAY)
			f.code = be32(p + 13);
		else if (f.type == HEADERS)
			inflate(r, p + 9, len);
		for (size_t i = 0; f.type == DATA && i < len; i++, r->data_len++)
			if (r->data_len < sizeof(r->data))
				r->data[r->data_len] = p[9 + i];
		if (r->count < sizeof(r->frames) / sizeof(*r->frames))
			r->frames[r->count++] = f;
		at += 9 + len;
	}
	buf_drop(&r->in, at);
}

static inline void raw_read(struct raw *r)
{
	while (!r->deaf && !r->dead) {
		ssize_t n = recv(r->fd, buf_reserve(&r->in, 65536), 65536, MSG_DONTWAIT);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		if (n <= 0) {
			r->dead = true;
			break;
		}
		buf_added(&r->in, (size_t)n);
	}
	parse_frames(r);
}

/* Give the server its turns and read what it says. */
static inline void raw_turn(struct raw *r)
{
	for (int i = 0; i < 3; i++)
		uv_run(&r->w->loop, UV_RUN_NOWAIT);
	raw_read(r);
}

/* Write all of it, turning the loop meanwhile.  False when the server has closed. */
static inline bool raw_write(struct raw *r, const void *bytes, size_t len)
{
	const uint8_t *p = bytes;
	uint64_t end = uv_hrtime() + PATIENCE_MS * UINT64_C(1000000);

	while (len && !r->dead) {
		ssize_t n = send(r->fd, p, len, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno != EAGAIN && errno != EINTR)
			r->dead = true;
		if (n > 0) {
			p += n;
			len -= (size_t)n;
		} else {
			raw_turn(r);
			if (uv_hrtime() > end)
				fail_msg("the server neither reads nor closes");
		}
	}
	return !r->dead;
}

static inline void add_frame(struct buf *b, uint8_t type, uint8_t flags, uint32_t id,
	const void *payload, size_t len)
{
	const uint8_t head[9] = { (uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len,
		type, flags, (uint8_t)(id >> 24), (uint8_t)(id >> 16), (uint8_t)(id >> 8),
		(uint8_t)id };

	buf_add(b, head, sizeof(head));
	buf_add(b, payload, len);
}

static inline bool raw_frame(struct raw *r, uint8_t type, uint8_t flags, uint32_t id,
	const void *payload, size_t len)
{
	struct buf b = { 0 };

	add_frame(&b, type, flags, id, payload, len);

	bool ok = raw_write(r, b.data, b.len);

	buf_fini(&b);
	return ok;
}

/* HPACK: a literal that is not indexed, with a new name. */
static inline void add_header(struct buf *b, const char *name, const char *value)
{
	size_t len = strlen(value);

	buf_add(b, "\0", 1);
	buf_add(b, &(uint8_t){ (uint8_t)strlen(name) }, 1);
	buf_add(b, name, strlen(name));
	if (len < 127) {
		buf_add(b, &(uint8_t){ (uint8_t)len }, 1);
	} else {
		buf_add(b, "\x7f", 1);
		for (len -= 127; len >= 128; len >>= 7)
			buf_add(b, &(uint8_t){ (uint8_t)(len | 0x80) }, 1);
		buf_add(b, &(uint8_t){ (uint8_t)len }, 1);
	}
	buf_add(b, value, strlen(value));
}

struct head { /* what a request says; NULL: the usual */
	const char *method, *path, *type, *te;
	const char *name, *value; /* one more */
	const char *name2, *value2;
};

static inline void add_request(struct buf *b, const struct head *h)
{
	add_header(b, ":method", h->method ? h->method : "POST");
	add_header(b, ":scheme", "http");
	add_header(b, ":path", h->path ? h->path : "/t.T/Echo");
	add_header(b, ":authority", "x");
	add_header(b, "content-type", h->type ? h->type : "application/grpc");
	if (!h->te || *h->te)
		add_header(b, "te", h->te ? h->te : "trailers");
	if (h->name)
		add_header(b, h->name, h->value);
	if (h->name2)
		add_header(b, h->name2, h->value2);
}

static inline bool raw_request(
	struct raw *r, uint32_t id, uint8_t flags, const struct head *h)
{
	struct buf b = { 0 };

	add_request(&b, h);

	bool ok = raw_frame(r, HEADERS, END_HEADERS | flags, id, b.data, b.len);

	buf_fini(&b);
	return ok;
}

static inline struct raw *raw_connect_bare(struct world *w)
{
	struct raw *r = xcalloc(1, sizeof(*r));
	struct sockaddr_in a = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons((uint16_t)atoi(strrchr(w->address, ':') + 1)) };

	r->w = w;
	r->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(r->fd >= 0);
	assert_int_equal(connect(r->fd, (struct sockaddr *)&a, sizeof(a)), 0);
	nghttp2_hd_inflate_new(&r->inflater);
	return r;
}

/* With the preface and a SETTINGS frame of this payload. */
static inline struct raw *raw_connect(struct world *w, const void *settings, size_t len)
{
	struct raw *r = raw_connect_bare(w);

	assert_true(raw_write(r, NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN));
	assert_true(raw_frame(r, SETTINGS, 0, 0, settings, len));
	return r;
}

static inline void raw_close(struct raw *r)
{
	close(r->fd);
	buf_fini(&r->in);
	nghttp2_hd_inflate_del(r->inflater);
	free(r);
}

static inline int find_frame(const struct raw *r, uint8_t type, uint32_t id)
{
	for (size_t i = 0; i < r->count; i++)
		if (r->frames[i].type == type && r->frames[i].id == id)
			return (int)i;
	return -1;
}

#define raw_until(r, condition)                                                          \
	do {                                                                             \
		uint64_t until_end_ = uv_hrtime() + PATIENCE_MS * UINT64_C(1000000);     \
		while (!(condition)) {                                                   \
			if (uv_hrtime() > until_end_)                                    \
				fail_msg("waited in vain for %s\n%s", #condition,        \
					(r)->headers);                                   \
			uv_run(&(r)->w->loop, UV_RUN_ONCE);                              \
			raw_read(r);                                                     \
		}                                                                        \
	} while (0)

static inline void assert_says(const struct raw *r, const char *line)
{
	if (!strstr(r->headers, line))
		fail_msg("no \"%s\" in\n%s", line, r->headers);
}
