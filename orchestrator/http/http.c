/* http.c - serves health and metrics with libmicrohttpd on the daemon's loop. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "http.h"

#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <microhttpd.h>

#include "buf.h"
#include "cleanup.h"
#include "list.h"
#include "metrics.h"
#include "str.h"
#include "xalloc.h"

#define CONNECTIONS_MAX 64  /* where more come, the oldest has to go */
#define CONNECTIONS_CAP 128 /* of microhttpd: some of those are still going */
#define IDLE_LIMIT_S    30

/* One connection.  A request takes no time; who is here for long only holds a place. */
struct visitor {
	struct list link; /* in http.visitors, oldest first; alone once it is sent away */
	int fd;           /* microhttpd's */
};

struct http {
	struct http_config config;
	struct MHD_Daemon *daemon;
	uv_poll_t poll;
	uv_timer_t timer;
	struct list visitors;
	unsigned visitor_count;
	unsigned handles_open;
	uint16_t port;
};

/* ---- pages */

static enum MHD_Result reply(
	struct MHD_Connection *c, unsigned status, const char *type, struct buf *body)
{
	size_t len = body->len;
	char *text = buf_take_str(body);
	struct MHD_Response *r =
		MHD_create_response_from_buffer(len, text, MHD_RESPMEM_MUST_FREE);
	enum MHD_Result result;

	if (!r) {
		free(text);
		return MHD_NO;
	}
	MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
	result = MHD_queue_response(c, status, r);
	MHD_destroy_response(r);
	return result;
}

static enum MHD_Result reply_text(
	struct MHD_Connection *c, unsigned status, const char *text)
{
	struct buf body = { 0 };

	buf_addf(&body, "%s\n", text);
	return reply(c, status, "text/plain; charset=utf-8", &body);
}

static enum MHD_Result ready_page(const struct http *h, struct MHD_Connection *c)
{
	struct buf body = { 0 };
	const char *why = "";
	const char *status = h->config.health(h->config.ctx, &why);
	bool ready = strcmp(status, "unhealthy") != 0;

	buf_addf(&body, "%s%s%s\n", status, *why ? ": " : "", why);
	return reply(c, ready ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE,
		"text/plain; charset=utf-8", &body);
}

static enum MHD_Result metrics_page(const struct http *h, struct MHD_Connection *c)
{
	struct buf body = { 0 };

	const char *why = "";

	metrics_write(&h->config.figures, h->config.health(h->config.ctx, &why), &body);
	return reply(c, MHD_HTTP_OK, "text/plain; version=0.0.4; charset=utf-8", &body);
}

static enum MHD_Result on_request(void *ctx, struct MHD_Connection *c, const char *url,
	const char *method, const char *version, const char *upload, size_t *upload_size,
	void **connection_ctx)
{
	const struct http *h = ctx;

	(void)version;
	(void)upload;
	(void)connection_ctx;
	if (*upload_size)
		return MHD_NO; /* nothing here takes a body */
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 &&
		strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
		return reply_text(c, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET is served");
	if (strcmp(url, "/healthz") == 0)
		return reply_text(c, MHD_HTTP_OK, "ok");
	if (strcmp(url, "/readyz") == 0)
		return ready_page(h, c);
	if (strcmp(url, "/metrics") == 0)
		return metrics_page(h, c);
	return reply_text(
		c, MHD_HTTP_NOT_FOUND, "there are /healthz, /readyz and /metrics");
}

/* ---- connections */

static void leave(struct http *h, struct visitor *v)
{
	if (list_empty(&v->link))
		return;
	list_remove(&v->link);
	h->visitor_count--;
}

static void send_oldest_away(struct http *h)
{
	struct visitor *v = list_entry(list_first(&h->visitors), struct visitor, link);

	leave(h, v);
	shutdown(v->fd, SHUT_RDWR); /* microhttpd closes it when it sees that */
}

static void on_connection(void *ctx, struct MHD_Connection *c, void **socket_ctx,
	enum MHD_ConnectionNotificationCode code)
{
	struct http *h = ctx;
	struct visitor *v = *socket_ctx;

	if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
		leave(h, v);
		free(v);
		return;
	}
	v = *socket_ctx = xmalloc(sizeof(*v));
	v->fd = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
	list_append(&h->visitors, &v->link);
	if (++h->visitor_count > CONNECTIONS_MAX)
		send_oldest_away(h);
}

/* ---- on the loop: microhttpd's epoll descriptor is polled by ours */

static void on_timer(uv_timer_t *timer);

static unsigned connections(const struct http *h)
{
	return MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS)
		->num_connections;
}

static void run(struct http *h)
{
	MHD_UNSIGNED_LONG_LONG ms;
	unsigned before;

	/* At its limit microhttpd does not listen.  It begins again in the run after the one
	 * in which a place came free, and for that run nothing would call. */
	do {
		before = connections(h);
		MHD_run(h->daemon);
	} while (connections(h) < before);
	if (MHD_get_timeout(h->daemon, &ms) == MHD_YES)
		uv_timer_start(&h->timer, on_timer, ms, 0);
	else
		uv_timer_stop(&h->timer);
}

static void on_timer(uv_timer_t *timer)
{
	run(timer->data);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	(void)status;
	(void)events;
	run(poll->data);
}

/* ---- opening */

static void free_addresses(struct addrinfo **list)
{
	if (*list)
		freeaddrinfo(*list);
}

static struct addrinfo *resolve(const char *address, struct err *e)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
		.ai_flags = AI_PASSIVE | AI_NUMERICSERV };
	CLEANUP(free_ptr) char *host = xstrdup(address);
	char *colon = strrchr(host, ':');
	char *name = host;
	struct addrinfo *list = NULL;

	if (!colon) {
		err_set(e, ERR_INVALID, "http: %.64s is not HOST:PORT", address);
		return NULL;
	}
	*colon = '\0';
	if (*name == '[' && str_ends(name, "]")) {
		name[strlen(name) - 1] = '\0';
		name++;
	}
	int failed = getaddrinfo(name, colon + 1, &hints, &list);
	if (failed) {
		err_set(e, ERR_INVALID, "http: %.64s: %s", address, gai_strerror(failed));
		return NULL;
	}
	return list;
}

static int bind_socket(const char *address, struct err *e)
{
	CLEANUP(free_addresses) struct addrinfo *list = resolve(address, e);
	const int on = 1;

	if (!list)
		return -1;

	CLEANUP(close_fd)
	int fd = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_sys(e, "http: socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, list->ai_addr, list->ai_addrlen) < 0 || listen(fd, 64) < 0)
		return err_sys(e, "http: listen on %.64s", address);
	return take_fd(&fd);
}

static uint16_t port_of(int fd)
{
	struct sockaddr_storage at;
	socklen_t len = sizeof(at);
	char port[16] = "0";

	if (getsockname(fd, (struct sockaddr *)&at, &len) == 0)
		getnameinfo((struct sockaddr *)&at, len, NULL, 0, port, sizeof(port),
			NI_NUMERICSERV);
	return (uint16_t)strtoul(port, NULL, 10);
}

struct http *http_open(const struct http_config *config, struct err *e)
{
	int fd = bind_socket(config->address, e);
	const union MHD_DaemonInfo *info;

	if (fd < 0)
		return NULL;

	struct http *h = xcalloc(1, sizeof(*h));
	h->config = *config;
	list_init(&h->visitors);
	h->port = port_of(fd);
	h->daemon = MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, on_request, h,
		MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
		CONNECTIONS_CAP, MHD_OPTION_CONNECTION_TIMEOUT, IDLE_LIMIT_S,
		MHD_OPTION_NOTIFY_CONNECTION, on_connection, h, MHD_OPTION_END);
	if (!h->daemon) {
		close(fd);
		free(h);
		err_set(e, ERR_SYSTEM, "http: the server does not start");
		return NULL;
	}
	info = MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	uv_poll_init(config->loop, &h->poll, info->epoll_fd);
	uv_timer_init(config->loop, &h->timer);
	h->poll.data = h->timer.data = h;
	h->handles_open = 2;
	uv_poll_start(&h->poll, UV_READABLE, on_poll);
	return h;
}

uint16_t http_port(const struct http *h)
{
	return h->port;
}

static void on_handle_closed(uv_handle_t *handle)
{
	struct http *h = handle->data;

	if (--h->handles_open)
		return;
	MHD_stop_daemon(h->daemon);
	free(h);
}

void http_close(struct http *h)
{
	if (!h)
		return;
	uv_close((uv_handle_t *)&h->poll, on_handle_closed);
	uv_close((uv_handle_t *)&h->timer, on_handle_closed);
}
