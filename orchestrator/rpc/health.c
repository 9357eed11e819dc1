/* health.c - grpc.health.v1: what HealthCheck says, for those who know only the standard.
 *
 * A watcher keeps what it was told last.  While there is one, a timer compares that with
 * the present every second; nothing is queued for anybody.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "grpc/health/v1/health.pb-c.h"
#include "internal.h"
#include "list.h"
#include "str.h"

#define LOOK_MS     1000

#define SERVING     GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING
#define NOT_SERVING GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING
#define SERVICE_UNKNOWN                                                                  \
	GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVICE_UNKNOWN
#define NOTHING_YET GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__UNKNOWN

typedef Grpc__Health__V1__HealthCheckRequest Request;
typedef Grpc__Health__V1__HealthCheckResponse Response;
typedef Grpc__Health__V1__HealthCheckResponse__ServingStatus Status;
typedef Grpc__Health__V1__HealthListResponse ListResponse;
typedef Grpc__Health__V1__HealthListResponse__StatusesEntry Entry;

struct health {
	const struct rpc *rpc;
	uv_loop_t *loop;
	struct list watchers;
	uv_timer_t *look; /* NULL while nobody watches */
};

struct watcher {
	struct wire_call *call;
	struct list in_watchers;
	bool known; /* its service is one of ours */
	Status told;
};

static const char *const services[] = { "", "cumulus.orchestrator.OrchestratorService" };
#define SERVICES (sizeof(services) / sizeof(*services))

static bool is_service(const char *name)
{
	for (size_t i = 0; i < SERVICES; i++)
		if (strcmp(name, services[i]) == 0)
			return true;
	return false;
}

static Status status_now(const struct health *h)
{
	return strcmp(rpc_health(h->rpc).status, "unhealthy") == 0 ? NOT_SERVING
								   : SERVING;
}

static Response response(Status status)
{
	Response m = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;

	m.status = status;
	return m;
}

/* ---- Check, List */

static void on_check(struct wire_call *call, ProtobufCMessage *message)
{
	Request *m = (Request *)message;
	struct health *h = wire_call_user(call);
	char quoted[STR_QUOTE_SIZE];
	struct err e = { 0 };

	if (is_service(m->service)) {
		Response reply = response(status_now(h));

		wire_call_reply(call, &reply);
	} else {
		err_set(&e, ERR_NOT_FOUND, "service \"%s\" is not known",
			str_quote(quoted, m->service, strlen(m->service)));
		wire_call_fail(call, &e);
	}
	wire_message_free(message);
}

static void on_list(struct wire_call *call, ProtobufCMessage *message)
{
	Response status = response(status_now(wire_call_user(call)));
	ListResponse m = GRPC__HEALTH__V1__HEALTH_LIST_RESPONSE__INIT;
	Entry entries[SERVICES];
	Entry *links[SERVICES];

	wire_message_free(message);
	for (size_t i = 0; i < SERVICES; i++) {
		grpc__health__v1__health_list_response__statuses_entry__init(&entries[i]);
		entries[i].key = (char *)(uintptr_t)services[i];
		entries[i].value = &status;
		links[i] = &entries[i];
	}
	m.n_statuses = SERVICES;
	m.statuses = links;
	wire_call_reply(call, &m);
}

/* ---- Watch */

static Status status_for(const struct health *h, const struct watcher *w)
{
	return w->known ? status_now(h) : SERVICE_UNKNOWN;
}

static void on_look(uv_timer_t *timer)
{
	struct health *h = timer->data;

	list_each(link, &h->watchers)
	{
		struct watcher *w = list_entry(link, struct watcher, in_watchers);

		if (status_for(h, w) != w->told)
			wire_call_wake(w->call);
	}
}

static void start_looking(struct health *h)
{
	if (h->look)
		return;
	h->look = xmalloc(sizeof(*h->look));
	uv_timer_init(h->loop, h->look);
	h->look->data = h;
	uv_timer_start(h->look, on_look, LOOK_MS, LOOK_MS);
}

static void free_handle(uv_handle_t *handle)
{
	free(handle);
}

static void stop_looking(struct health *h)
{
	uv_close((uv_handle_t *)h->look, free_handle);
	h->look = NULL;
}

static void on_watch(struct wire_call *call, ProtobufCMessage *message)
{
	struct health *h = wire_call_user(call);
	struct watcher *w = xcalloc(1, sizeof(*w));

	w->call = call;
	w->known = is_service(((Request *)message)->service);
	w->told = NOTHING_YET;
	wire_message_free(message);
	wire_call_set_data(call, w);
	list_append(&h->watchers, &w->in_watchers);
	start_looking(h);
	wire_call_wake(call);
}

static void on_watch_pull(struct wire_call *call)
{
	struct watcher *w = wire_call_data(call);
	Response m = response(status_for(wire_call_user(call), w));
	struct err e = { 0 };

	if (m.status == w->told)
		return;
	w->told = m.status;
	if (wire_call_send(call, &m, &e) < 0)
		wire_call_fail(call, &e);
}

static void on_watch_gone(struct wire_call *call)
{
	struct health *h = wire_call_user(call);
	struct watcher *w = wire_call_data(call);

	list_remove(&w->in_watchers);
	free(w);
	if (list_empty(&h->watchers))
		stop_looking(h);
}

/* ---- the service */

#define P       "/grpc.health.v1.Health/"
#define T(name) &grpc__health__v1__##name##__descriptor

struct health *health_new(struct wire_server *server, const struct rpc *rpc)
{
	static const struct wire_method check = { P "Check", T(health_check_request),
		T(health_check_response), WIRE_UNARY };
	static const struct wire_method list = { P "List", T(health_list_request),
		T(health_list_response), WIRE_UNARY };
	static const struct wire_method watch = { P "Watch", T(health_check_request),
		T(health_check_response), WIRE_SERVER_STREAMS };
	static const struct wire_handlers check_on = { .message = on_check };
	static const struct wire_handlers list_on = { .message = on_list };
	static const struct wire_handlers watch_on = {
		.message = on_watch,
		.pull = on_watch_pull,
		.gone = on_watch_gone,
	};
	struct health *h = xcalloc(1, sizeof(*h));

	h->rpc = rpc;
	h->loop = wire_server_loop(server);
	list_init(&h->watchers);
	wire_server_add(server, &check, &check_on, h);
	wire_server_add(server, &list, &list_on, h);
	wire_server_add(server, &watch, &watch_on, h);
	return h;
}

void health_free(struct health *h)
{
	assert(!h || list_empty(&h->watchers));
	free(h);
}
