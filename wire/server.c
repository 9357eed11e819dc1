/* server.c - listeners, accepted connections, the table of methods, the drain. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "address.h"
#include "call.h"
#include "cleanup.h"
#include "hub.h"
#include "log.h"
#include "session.h"
#include "table.h"
#include "xalloc.h"

#define BACKLOG       511
#define DRAIN_LAST_MS 1000 /* for the last words, once the drain's limit is reached */

enum server_state { SERVING = 0, DRAINING, DRAIN_LAST, DRAIN_DONE, SERVER_CLOSED };

struct served {
	struct route route;
	struct wire_method_stats stats;
	struct table_entry by_path;
};

struct wire_server {
	struct hub hub;
	struct table methods;   /* struct served.by_path */
	struct served **served; /* in the order of their adding */
	size_t count;
	struct list listeners;
	enum server_state state;
	struct timer drain_limit;
	void (*drained)(struct wire_server *server, void *user);
	void *drained_user;
	uint64_t refused;
	int accept_error; /* the last one, so that each is logged once */
};

struct listener {
	struct wire_server *server;
	struct list in_server;
	union {
		uv_handle_t handle;
		uv_stream_t stream;
		uv_tcp_t tcp;
		uv_pipe_t pipe;
	} io;
	bool local;
	uid_t *uids; /* NULL: anyone */
	size_t uid_count;
	char *path; /* to unlink; NULL: none */
};

static struct wire_server *server_of(struct hub *hub)
{
	return (struct wire_server *)((char *)hub - offsetof(struct wire_server, hub));
}

/* ---- methods */

static const double call_seconds[] = { 0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5,
	1, 5, 30, 300, 3600 };

static const struct route *find_route(struct hub *hub, const void *path, size_t len)
{
	struct table_entry *entry = table_find(&server_of(hub)->methods, path, len);

	return entry ? &table_value(entry, struct served, by_path)->route : NULL;
}

void wire_server_add(struct wire_server *server, const struct wire_method *method,
	const struct wire_handlers *on, void *user)
{
	struct served *served = xcalloc(1, sizeof(*served));

	assert(method->path[0] == '/' && on->message);
	assert(!table_find_str(&server->methods, method->path));
	served->stats.seconds = HISTOGRAM(call_seconds);
	served->route = (struct route){ method, on, user, &served->stats };
	server->served =
		xreallocarray(server->served, server->count + 1, sizeof(struct served *));
	server->served[server->count++] = served;
	table_add_str(&server->methods, &served->by_path, method->path);
}

const struct wire_method *wire_server_method(
	const struct wire_server *server, size_t index)
{
	return index < server->count ? server->served[index]->route.method : NULL;
}

const struct wire_method_stats *wire_server_method_stats(
	const struct wire_server *server, size_t index)
{
	return index < server->count ? &server->served[index]->stats : NULL;
}

uv_loop_t *wire_server_loop(const struct wire_server *server)
{
	return server->hub.loop;
}

/* ---- accepting */

static bool uid_allowed(const struct listener *l, uid_t uid)
{
	if (!l->uids)
		return true;
	for (size_t i = 0; i < l->uid_count; i++)
		if (l->uids[i] == uid)
			return true;
	return false;
}

/* Who is it, and do we want it?  On refusal the reason is logged. */
static bool check_peer(const struct listener *l, struct session *s)
{
	struct sockaddr_storage name = { 0 };
	socklen_t len = sizeof(name);
	struct ucred cred;
	char uid[24];
	int fd = -1;

	uv_fileno(&s->io.handle, &fd);
	if (!l->local) {
		if (getpeername(fd, (struct sockaddr *)&name, &len) < 0)
			return false; /* gone already */
		address_format(s->address, (struct sockaddr *)&name, len);
		return true;
	}
	snprintf(s->address, sizeof(s->address), "unix");
	len = sizeof(cred);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return false;
	s->peer.local = true;
	s->peer.uid = cred.uid;
	s->peer.pid = cred.pid;
	if (uid_allowed(l, cred.uid))
		return true;
	snprintf(uid, sizeof(uid), "%u", cred.uid);
	log_warn("connection refused: this user is not allowed", "uid", uid, NULL);
	return false;
}

static void accept_one(struct listener *l)
{
	struct wire_server *server = l->server;
	struct hub *hub = &server->hub;
	bool full = hub->session_count >= hub->limits.connections;
	struct session *s = session_new(hub, true);

	if (l->local)
		uv_pipe_init(hub->loop, &s->io.pipe, 0);
	else
		uv_tcp_init(hub->loop, &s->io.tcp);
	session_adopt(s);
	if (uv_accept(&l->io.stream, &s->io.stream) < 0 || full || !check_peer(l, s)) {
		server->refused++;
		session_teardown(s);
		return;
	}
	if (!l->local)
		uv_tcp_nodelay(&s->io.tcp, 1);
	session_start(s);
}

static void on_connection(uv_stream_t *stream, int status)
{
	struct listener *l = stream->data;
	struct wire_server *server = l->server;

	if (status < 0) {
		/* Out of fds libuv accepts and drops; the listener goes on in any case. */
		if (status != server->accept_error)
			log_warn("cannot accept connections", "error",
				uv_strerror(status), NULL);
		server->accept_error = status;
		server->refused++;
		return;
	}
	server->accept_error = 0;
	hub_enter(&server->hub);
	accept_one(l);
	hub_leave(&server->hub);
}

/* ---- listening */

static void on_listener_closed(uv_handle_t *handle)
{
	struct listener *l = handle->data;
	struct hub *hub = &l->server->hub;

	free(l->uids);
	free(l->path);
	free(l);
	hub_handle_closed(hub);
}

static void listener_close(struct listener *l)
{
	list_remove(&l->in_server);
	if (l->path)
		unlink(l->path);
	uv_close(&l->io.handle, on_listener_closed);
}

static int listener_open_fd(struct listener *l, int *fd, struct err *e)
{
	struct hub *hub = &l->server->hub;
	int rc;

	if (l->local) {
		uv_pipe_init(hub->loop, &l->io.pipe, 0);
		rc = uv_pipe_open(&l->io.pipe, *fd);
	} else {
		uv_tcp_init(hub->loop, &l->io.tcp);
		rc = uv_tcp_open(&l->io.tcp, *fd);
	}
	l->io.handle.data = l;
	list_append(&l->server->listeners, &l->in_server);
	hub->handles++;
	if (rc == 0) {
		take_fd(fd);
		rc = uv_listen(&l->io.stream, BACKLOG, on_connection);
	}
	return rc == 0 ? 0 : err_set(e, ERR_SYSTEM, "listen: %s", uv_strerror(rc));
}

/* Takes fd and path (NULL: no file of ours), on failure too. */
static int listen_on(struct wire_server *server, int fd, char *path,
	const struct wire_listen *options, struct err *e)
{
	CLEANUP(close_fd) int guard = fd;
	CLEANUP(free_ptr) char *file = path;
	int domain = 0;
	socklen_t len = sizeof(domain);

	assert(server->state == SERVING);
	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0)
		return err_sys(e, "listen");
	if (options && options->uids && domain != AF_UNIX)
		return err_set(
			e, ERR_INVALID, "only a unix socket knows its peer's user");

	struct listener *l = xcalloc(1, sizeof(*l));

	l->server = server;
	l->local = domain == AF_UNIX;
	l->path = take_ptr(&file);
	if (options && options->uids) {
		size_t size = options->uid_count * sizeof(*options->uids);

		l->uids = xmemdup(options->uids, size ? size : 1);
		l->uid_count = options->uid_count;
	}
	if (listener_open_fd(l, &guard, e) < 0) {
		listener_close(l);
		return -1;
	}
	return 0;
}

static int check_tls(const struct wire_listen *options, struct err *e)
{
	if (options && options->tls)
		return err_set(e, ERR_UNSUPPORTED, "TLS is not there yet");
	return 0;
}

int wire_server_listen_tcp(struct wire_server *server, const char *address,
	const struct wire_listen *options, char bound[WIRE_ADDRESS_SIZE], struct err *e)
{
	char name[WIRE_ADDRESS_SIZE];

	if (check_tls(options, e) < 0)
		return -1;

	int fd = address_bind_tcp(address, name, e);

	if (fd < 0 || listen_on(server, fd, NULL, options, e) < 0)
		return -1;
	if (bound)
		memcpy(bound, name, sizeof(name));
	return 0;
}

int wire_server_listen_unix(struct wire_server *server, const char *path,
	const struct wire_listen *options, struct err *e)
{
	mode_t mode = options && options->mode ? options->mode : 0600;

	if (check_tls(options, e) < 0)
		return -1;

	int fd = address_bind_unix(path, mode, e);

	return fd < 0 ? -1 : listen_on(server, fd, xstrdup(path), options, e);
}

int wire_server_listen_fd(struct wire_server *server, int fd,
	const struct wire_listen *options, struct err *e)
{
	CLEANUP(close_fd) int guard = fd;

	if (check_tls(options, e) < 0)
		return -1;
	return listen_on(server, take_fd(&guard), NULL, options, e);
}

/* ---- the end */

static void close_listeners(struct wire_server *server)
{
	list_each_safe(link, &server->listeners)
		listener_close(list_entry(link, struct listener, in_server));
}

static void abort_calls(struct session *s)
{
	list_each_safe(link, &s->calls)
		call_abort(list_entry(link, struct wire_call, in_session), WIRE_OVER_LOST,
			WIRE_UNAVAILABLE, "the server is shutting down");
}

static void on_drain_limit(struct timer *timer)
{
	struct wire_server *server = list_entry(timer, struct wire_server, drain_limit);
	bool last = server->state == DRAIN_LAST;

	list_each_safe(link, &server->hub.sessions)
	{
		struct session *s = list_entry(link, struct session, in_hub);

		if (last)
			session_fail(s, ERR_UNAVAILABLE, "the server is shutting down");
		else
			abort_calls(s);
	}
	if (last)
		return;
	server->state = DRAIN_LAST;
	timers_arm(&server->hub.timers, timer, timers_now() + DRAIN_LAST_MS);
}

void wire_server_drain(struct wire_server *server, uint64_t limit_ms,
	void (*done)(struct wire_server *server, void *user), void *user)
{
	if (server->state != SERVING)
		return;
	server->state = DRAINING;
	server->drained = done;
	server->drained_user = user;
	close_listeners(server);
	list_each_safe(link, &server->hub.sessions)
		session_drain(list_entry(link, struct session, in_hub));
	timers_arm(&server->hub.timers, &server->drain_limit,
		timers_now() + (int64_t)(limit_ms < INT32_MAX ? limit_ms : INT32_MAX));
	hub_stir(&server->hub);
}

static void on_turned(struct hub *hub)
{
	struct wire_server *server = server_of(hub);

	if ((server->state != DRAINING && server->state != DRAIN_LAST) ||
		!list_empty(&hub->sessions))
		return;
	server->state = DRAIN_DONE;
	timers_disarm(&hub->timers, &server->drain_limit);
	if (server->drained)
		server->drained(server, server->drained_user);
}

static void close_now(struct hub *hub)
{
	struct wire_server *server = server_of(hub);

	server->state = SERVER_CLOSED;
	hub_enter(hub);
	hub->closing = false;
	timers_disarm(&hub->timers, &server->drain_limit);
	close_listeners(server);
	list_each_safe(link, &hub->sessions)
		session_teardown(list_entry(link, struct session, in_hub));
	hub_close(hub);
	hub_leave(hub);
}

void wire_server_close(struct wire_server *server)
{
	if (!server || server->state == SERVER_CLOSED || server->hub.closing)
		return;
	if (server->hub.busy) {
		server->hub.closing = true;
		return;
	}
	close_now(&server->hub);
}

static void on_closed(struct hub *hub)
{
	struct wire_server *server = server_of(hub);

	hub_fini(hub);
	for (size_t i = 0; i < server->count; i++)
		free(server->served[i]);
	free(server->served);
	table_fini(&server->methods);
	free(server);
}

struct wire_server *wire_server_new(uv_loop_t *loop, const struct wire_limits *limits)
{
	static const struct hub_owner owner = { .find = find_route,
		.turned = on_turned,
		.close = close_now,
		.closed = on_closed };
	struct wire_server *server = xcalloc(1, sizeof(*server));

	hub_init(&server->hub, loop, limits, &owner, true);
	list_init(&server->listeners);
	server->drain_limit.fire = on_drain_limit;
	return server;
}

struct wire_counts wire_server_counts(const struct wire_server *server)
{
	const struct hub *hub = &server->hub;

	return (struct wire_counts){
		.connections = hub->session_count,
		.calls = hub->call_count,
		.buffered_bytes = hub->buffered,
		.connections_total = hub->sessions_total,
		.calls_total = hub->calls_total,
		.refused = server->refused,
		.sent_away = hub->sent_away,
	};
}
