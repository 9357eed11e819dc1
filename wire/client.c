/* client.c - one connection to a server, and the calls that are made on it. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "address.h"
#include "call.h"
#include "cleanup.h"
#include "h2.h"
#include "hub.h"
#include "session.h"
#include "str.h"
#include "timeout.h"
#include "xalloc.h"

#define METADATA_MAX 32 /* pairs in one request */

struct wire_client {
	struct hub hub;
	struct session *session; /* NULL once it is down */
	bool closed;
	bool local;   /* a unix socket */
	char *target; /* as it was given */
	char *authority;
	void (*up)(struct wire_client *client, void *user);
	void (*down)(struct wire_client *client, const struct err *why, void *user);
	void *user;
	uv_getaddrinfo_t resolving;
	bool is_resolving;
	struct attempt *attempt;     /* the one that goes on; NULL: none */
	struct addrinfo *addresses;  /* owned */
	const struct addrinfo *next; /* to be tried after the present one */
};

struct attempt { /* a socket that is being connected */
	struct wire_client *client;
	uv_poll_t poll;
	int fd;
};

static struct wire_client *client_of(struct hub *hub)
{
	return (struct wire_client *)((char *)hub - offsetof(struct wire_client, hub));
}

struct hub *client_hub(struct wire_client *client)
{
	return &client->hub;
}

/* ---- connecting */

static void try_next(struct wire_client *client, int failed);

static void fail_connect(struct wire_client *client, const char *reason)
{
	session_fail(client->session, ERR_UNAVAILABLE, "%s: %s", client->target, reason);
}

/* The socket is connected: hand it to the session. */
static void connected(struct wire_client *client, int fd)
{
	struct session *s = client->session;
	int rc = client->local ? uv_pipe_open(&s->io.pipe, fd)
			       : uv_tcp_open(&s->io.tcp, fd);

	if (rc < 0) {
		close(fd);
		fail_connect(client, uv_strerror(rc));
		return;
	}
	if (!client->local)
		uv_tcp_nodelay(&s->io.tcp, 1);
	session_start(s);
}

static void on_attempt_closed(uv_handle_t *handle)
{
	struct attempt *a = handle->data;
	struct hub *hub = &a->client->hub;

	close_fd(&a->fd);
	free(a);
	hub_handle_closed(hub);
}

static void attempt_close(struct attempt *a)
{
	a->client->attempt = NULL;
	uv_close((uv_handle_t *)&a->poll, on_attempt_closed);
}

static void on_attempt(uv_poll_t *poll, int status, int events)
{
	struct attempt *a = poll->data;
	struct wire_client *client = a->client;
	int sys = 0;
	socklen_t len = sizeof(sys);

	(void)status;
	(void)events;
	/* The poll must let go of the fd before another handle may have it. */
	uv_poll_stop(poll);
	if (getsockopt(a->fd, SOL_SOCKET, SO_ERROR, &sys, &len) < 0)
		sys = errno;

	int fd = sys ? -1 : take_fd(&a->fd);

	attempt_close(a);
	if (client->session->why)
		close_fd(&fd); /* timed out in this very turn */
	else if (sys)
		try_next(client, sys);
	else
		connected(client, fd);
}

static void wait_connected(struct wire_client *client, int fd)
{
	struct attempt *a = xcalloc(1, sizeof(*a));

	a->client = client;
	a->fd = fd;
	uv_poll_init(client->hub.loop, &a->poll, fd);
	a->poll.data = a;
	client->hub.handles++;
	client->attempt = a;
	uv_poll_start(&a->poll, UV_WRITABLE, on_attempt);
}

/* Returns 0, or the errno with which it failed at once. */
static int try_address(
	struct wire_client *client, const struct sockaddr *a, socklen_t len)
{
	CLEANUP(close_fd)
	int fd = socket(a->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return errno;
	if (connect(fd, a, len) == 0)
		connected(client, take_fd(&fd));
	else if (errno == EINPROGRESS)
		wait_connected(client, take_fd(&fd));
	else
		return errno;
	return 0;
}

/* The next of the host's addresses; failed: why the one before it was no good. */
static void try_next(struct wire_client *client, int failed)
{
	while (client->next) {
		const struct addrinfo *a = client->next;

		client->next = a->ai_next;
		failed = try_address(client, a->ai_addr, a->ai_addrlen);
		if (!failed)
			return;
	}
	fail_connect(client, uv_strerror(uv_translate_sys_error(failed)));
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
	struct wire_client *client = request->data;

	client->is_resolving = false;
	if (client->session && !client->session->why) {
		client->addresses = found;
		client->next = found;
		if (status < 0)
			fail_connect(client, uv_strerror(status));
		else
			try_next(client, EADDRNOTAVAIL);
	} else if (found) {
		uv_freeaddrinfo(found);
	}
	hub_handle_closed(&client->hub);
}

static int connect_unix(struct wire_client *client, const struct sockaddr_un *un)
{
	int failed = try_address(client, (const struct sockaddr *)un, sizeof(*un));

	if (failed)
		fail_connect(client, uv_strerror(uv_translate_sys_error(failed)));
	return 0;
}

static int connect_tcp(
	struct wire_client *client, const char *host, const char *port, struct err *e)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
		.ai_flags = AI_NUMERICSERV | AI_NUMERICHOST };

	/* Numbers need no thread of the pool. */
	if (getaddrinfo(host, port, &hints, &client->addresses) == 0) {
		client->next = client->addresses;
		try_next(client, EADDRNOTAVAIL);
		return 0;
	}
	hints.ai_flags = AI_NUMERICSERV;
	client->resolving.data = client;

	int rc = uv_getaddrinfo(
		client->hub.loop, &client->resolving, on_resolved, host, port, &hints);

	if (rc < 0)
		return err_set(e, ERR_INVALID, "%s: %s", client->target, uv_strerror(rc));
	client->is_resolving = true;
	client->hub.handles++;
	return 0;
}

/* ---- up and down */

static void on_up(struct session *s)
{
	struct wire_client *client = client_of(s->hub);

	if (client->up)
		client->up(client, client->user);
}

static void on_down(struct session *s, const struct err *why)
{
	struct wire_client *client = client_of(s->hub);
	struct err e = *why;

	client->session = NULL;
	if (client->attempt)
		attempt_close(client->attempt);
	if (client->is_resolving)
		uv_cancel((uv_req_t *)&client
				  ->resolving); /* its callback comes either way */
	if (client->closed || client->hub.closing || !client->down)
		return;
	if (!str_starts(e.text, client->target))
		err_wrap(&e, "%s", client->target);
	client->down(client, &e, client->user);
}

static void on_closed(struct hub *hub)
{
	struct wire_client *client = client_of(hub);

	hub_fini(hub);
	if (client->addresses)
		uv_freeaddrinfo(client->addresses);
	free(client->target);
	free(client->authority);
	free(client);
}

static void close_now(struct hub *hub)
{
	struct wire_client *client = client_of(hub);

	client->closed = true;
	hub->closing = false;
	hub_enter(hub);
	if (client->session)
		session_teardown(client->session);
	hub_close(hub);
	hub_leave(hub);
}

void wire_client_close(struct wire_client *client)
{
	if (!client || client->closed || client->hub.closing)
		return;
	if (client->hub.busy)
		client->hub.closing = true;
	else
		close_now(&client->hub);
}

static struct wire_client *client_new(uv_loop_t *loop, const struct wire_connect *connect,
	bool local, const char *authority)
{
	static const struct hub_owner owner = {
		.up = on_up, .down = on_down, .close = close_now, .closed = on_closed
	};
	struct wire_client *client = xcalloc(1, sizeof(*client));

	client->target = xstrdup(connect->address);
	client->authority = xstrdup(authority);
	client->local = local;
	client->up = connect->up;
	client->down = connect->down;
	client->user = connect->user;
	hub_init(&client->hub, loop, connect->limits, &owner, false);
	client->session = session_new(&client->hub, false);
	if (local)
		uv_pipe_init(loop, &client->session->io.pipe, 0);
	else
		uv_tcp_init(loop, &client->session->io.tcp);
	str_put(client->session->address, WIRE_ADDRESS_SIZE, "%s", connect->address);
	session_adopt(client->session);
	session_speak(client->session);
	return client;
}

struct wire_client *wire_client_open(
	uv_loop_t *loop, const struct wire_connect *connect, struct err *e)
{
	bool local = str_starts(connect->address, "unix:");
	char host[HOST_SIZE];
	char port[PORT_SIZE];
	CLEANUP(close_fd) int folder = -1;
	struct sockaddr_un un;
	int rc;

	if (connect->tls) {
		err_set(e, ERR_UNSUPPORTED, "TLS is not there yet");
		return NULL;
	}
	if (local)
		rc = address_of_path(connect->address + 5, &un, &folder, e);
	else
		rc = address_split(connect->address, host, port, e);
	if (rc < 0)
		return NULL;

	struct wire_client *client =
		client_new(loop, connect, local, local ? "localhost" : connect->address);

	rc = local ? connect_unix(client, &un) : connect_tcp(client, host, port, e);
	if (rc < 0) {
		client->down = NULL;
		wire_client_close(client);
		return NULL;
	}
	return client;
}

/* ---- calls */

static int check_metadata(
	const struct wire_client *client, const struct wire_request *r, struct err *e)
{
	size_t bytes = strlen(r->method->path) + strlen(client->authority) + 256;

	if (r->metadata_count > METADATA_MAX)
		return err_set(
			e, ERR_INVALID, "more than %d pieces of metadata", METADATA_MAX);
	for (size_t i = 0; i < r->metadata_count; i++) {
		if (metadata_check(&r->metadata[i], e) < 0)
			return -1;
		bytes += strlen(r->metadata[i].name) + strlen(r->metadata[i].value) + 32;
	}
	if (bytes > client->hub.limits.metadata_bytes)
		return err_set(e, ERR_EXHAUSTED,
			"metadata is larger than the limit of %zu bytes",
			client->hub.limits.metadata_bytes);
	return 0;
}

static int submit(struct wire_call *call, const struct wire_client *client,
	const struct wire_request *r, struct err *e)
{
	nghttp2_nv nv[8 + METADATA_MAX] = {
		H2_NV(":method", "POST"),
		H2_NV(":scheme", "http"),
		h2_nv(":path", r->method->path),
		h2_nv(":authority", client->authority),
		H2_NV("te", "trailers"),
		H2_NV("content-type", "application/grpc"),
		H2_NV("user-agent", "grpc-c-cumulus/" CUMULUS_VERSION),
	};
	nghttp2_data_provider source = { .source.ptr = call, .read_callback = call_read };
	char timeout[TIMEOUT_SIZE];
	size_t count = 7;

	if (r->timeout_ms) {
		timeout_format(timeout, r->timeout_ms);
		nv[count++] = h2_nv("grpc-timeout", timeout);
	}
	for (size_t i = 0; i < r->metadata_count; i++)
		nv[count++] = h2_nv(r->metadata[i].name, r->metadata[i].value);

	int32_t id =
		nghttp2_submit_request(call->session->h2, NULL, nv, count, &source, call);

	if (id < 0)
		return err_set(e, ERR_UNAVAILABLE, "%s: %s", client->target,
			nghttp2_strerror(id));
	call->stream_id = id;
	return 0;
}

struct wire_call *wire_client_call(
	struct wire_client *client, const struct wire_request *request, struct err *e)
{
	struct session *s = client->session;

	if (!s || s->why || !s->h2 || !nghttp2_session_check_request_allowed(s->h2)) {
		err_set(e, ERR_UNAVAILABLE, "%s: the connection takes no more calls",
			client->target);
		return NULL;
	}
	if (check_metadata(client, request, e) < 0)
		return NULL;

	struct wire_call *call = call_new(s, 0);

	call->method = request->method;
	call->on = request->on;
	call->user = request->user;
	call->sealed = !(request->method->kind & WIRE_CLIENT_STREAMS);
	assert(!call->sealed || request->message);
	if ((call->sealed && call_pack(call, request->message, e) < 0) ||
		submit(call, client, request, e) < 0) {
		call_discard(call);
		return NULL;
	}
	call->given = true;
	if (request->timeout_ms)
		call_set_deadline(call, request->timeout_ms < INT64_MAX / 2
						? (int64_t)request->timeout_ms
						: INT64_MAX / 2);
	session_touch(s);
	return call;
}
