/* server.c - the least that a gRPC server on nghttp2 can do: a fixed answer to every call. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Usage: server_c <file with the answer>.  Prints its port.  One thread, epoll, no deadlines,
 * no metadata, no limits: the ceiling, not a peer.
 */
#include <nghttp2/nghttp2.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEADER(n, v)                                                                     \
	{                                                                                \
		(uint8_t *)(n), (uint8_t *)(v), sizeof(n) - 1, sizeof(v) - 1,            \
			NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE     \
	}

struct connection {
	int fd;
	nghttp2_session *h2;
};

static uint8_t answer[4096];
static size_t answer_len;

static _Noreturn void die(const char *what)
{
	perror(what);
	exit(1);
}

static ssize_t read_answer(nghttp2_session *h2, int32_t id, uint8_t *to, size_t room,
	uint32_t *flags, nghttp2_data_source *source, void *user)
{
	const nghttp2_nv trailer = HEADER("grpc-status", "0");

	(void)source;
	(void)user;
	if (room < answer_len)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	memcpy(to, answer, answer_len);
	*flags = NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
	nghttp2_submit_trailer(h2, id, &trailer, 1);
	return (ssize_t)answer_len;
}

static int on_frame(nghttp2_session *h2, const nghttp2_frame *frame, void *user)
{
	const nghttp2_nv head[] = { HEADER(":status", "200"),
		HEADER("content-type", "application/grpc") };
	const nghttp2_data_provider data = { .read_callback = read_answer };
	uint8_t type = frame->hd.type;

	(void)user;
	if ((type == NGHTTP2_DATA || type == NGHTTP2_HEADERS) &&
		frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
		nghttp2_submit_response(h2, frame->hd.stream_id, head, 2, &data);
	return 0;
}

static void hang_up(struct connection *c)
{
	nghttp2_session_del(c->h2);
	close(c->fd);
	free(c);
}

/* Blocking writes: the client of a bench reads. */
static int flush(struct connection *c)
{
	static uint8_t out[1 << 20];
	size_t len = 0;
	const uint8_t *bytes;

	for (ssize_t n; (n = nghttp2_session_mem_send(c->h2, &bytes)) > 0;) {
		if (len + (size_t)n > sizeof(out))
			return -1;
		memcpy(out + len, bytes, (size_t)n);
		len += (size_t)n;
	}
	for (size_t at = 0; at < len;) {
		ssize_t n = send(c->fd, out + at, len - at, MSG_NOSIGNAL);

		if (n < 0)
			return -1;
		at += (size_t)n;
	}
	return 0;
}

static void on_readable(struct connection *c)
{
	static uint8_t in[1 << 16];
	ssize_t n = recv(c->fd, in, sizeof(in), 0);

	if (n <= 0 || nghttp2_session_mem_recv(c->h2, in, (size_t)n) < 0 || flush(c) < 0)
		hang_up(c);
}

static void on_connection(int listener, int poller, nghttp2_session_callbacks *on)
{
	struct connection *c = calloc(1, sizeof(*c));
	const nghttp2_settings_entry many = { NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS,
		1000 };
	int yes = 1;

	if (!c)
		die("calloc");
	c->fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (c->fd < 0)
		die("accept");
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
	nghttp2_session_server_new(&c->h2, on, c);
	nghttp2_submit_settings(c->h2, NGHTTP2_FLAG_NONE, &many, 1);
	epoll_ctl(poller, EPOLL_CTL_ADD, c->fd,
		&(struct epoll_event){ .events = EPOLLIN, .data.ptr = c });
}

static int listen_somewhere(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, len) < 0 || listen(fd, 64) < 0 ||
		getsockname(fd, (struct sockaddr *)&a, &len) < 0)
		die("listen");
	printf("%d\n", ntohs(a.sin_port));
	fflush(stdout);
	return fd;
}

int main(int argc, char **argv)
{
	FILE *file = argc == 2 ? fopen(argv[1], "rb") : NULL;
	nghttp2_session_callbacks *on = NULL;
	struct epoll_event events[64];

	if (!file)
		die("the file with the answer");
	answer_len = fread(answer, 1, sizeof(answer), file);
	fclose(file);
	nghttp2_session_callbacks_new(&on);
	nghttp2_session_callbacks_set_on_frame_recv_callback(on, on_frame);

	int listener = listen_somewhere(), poller = epoll_create1(EPOLL_CLOEXEC);
	epoll_ctl(poller, EPOLL_CTL_ADD, listener,
		&(struct epoll_event){ .events = EPOLLIN, .data.ptr = NULL });
	for (;;) {
		int n = epoll_wait(poller, events, 64, -1);

		for (int i = 0; i < n; i++) {
			if (events[i].data.ptr)
				on_readable(events[i].data.ptr);
			else
				on_connection(listener, poller, on);
		}
	}
}
