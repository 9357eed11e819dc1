/* link.c - the worker's stream to cumulusd: dials, says Hello, dials again. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "link.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "backoff.h"
#include "log.h"
#include "service.h"
#include "str.h"
#include "xalloc.h"

#define RETRY_LEAST_MS  100
#define RETRY_MOST_MS   5000
#define WELCOME_WAIT_MS 30000
#define IDLE_MS         5000

enum link_state {
	LINK_NONE = 0,
	LINK_WAITING,
	LINK_DIALLING,
	LINK_GREETING,
	LINK_OPEN,
	LINK_STATE_COUNT
};

enum link_event {
	LINK_EV_DIAL,
	LINK_EV_UP,
	LINK_EV_WELCOME,
	LINK_EV_LOST,
	LINK_EVENT_COUNT
};

static const enum link_state next_state[LINK_STATE_COUNT][LINK_EVENT_COUNT] = {
	[LINK_WAITING] = { [LINK_EV_DIAL] = LINK_DIALLING,
		[LINK_EV_LOST] = LINK_WAITING },
	[LINK_DIALLING] = { [LINK_EV_UP] = LINK_GREETING, [LINK_EV_LOST] = LINK_WAITING },
	[LINK_GREETING] = { [LINK_EV_WELCOME] = LINK_OPEN,
		[LINK_EV_LOST] = LINK_WAITING },
	[LINK_OPEN] = { [LINK_EV_LOST] = LINK_WAITING },
};

static const char *const state_names[LINK_STATE_COUNT] = { "none", "waiting", "dialling",
	"greeting", "open" };

struct link {
	uv_loop_t *loop;
	uv_timer_t retry; /* also the limit on Welcome */
	uv_timer_t idle;  /* says "I am here" */
	uv_check_t reap;  /* closes a dead client outside its own handlers */
	uv_idle_t spin;   /* so that `reap` runs in this turn */
	unsigned closing; /* uv handles that are not closed yet */
	struct link_user on;
	char *address; /* owned */
	enum link_state state;
	struct wire_client *client; /* owned */
	struct wire_call *call;     /* the Work stream; NULL when none */
	struct backoff backoff;
	bool said; /* something went out since the idle timer's last turn */
	bool say_idle;
	struct err why;     /* of the loss that is being handled */
	char last_why[160]; /* of the last one that was logged */
};

static bool move(struct link *l, enum link_event ev)
{
	enum link_state to = next_state[l->state][ev];

	if (to == LINK_NONE)
		return false;
	if (to != l->state)
		log_debug("link", "from", state_names[l->state], "to", state_names[to],
			NULL);
	l->state = to;
	return true;
}

/* ---- losing it */

static uint32_t random32(void)
{
	uint32_t n = 0;

	/* Without randomness the wait is only less spread. */
	if (getrandom(&n, sizeof(n), 0) != (ssize_t)sizeof(n))
		n = (uint32_t)uv_hrtime();
	return n;
}

static void on_retry(uv_timer_t *t);

/* A failure that repeats is said once, until its cause changes or it works. */
static void log_loss(struct link *l, bool was_open)
{
	char why[sizeof(l->last_why)];

	str_join(why, sizeof(why), l->why.text, "", "");
	if (!was_open && strcmp(why, l->last_why) == 0)
		return;
	memcpy(l->last_why, why, sizeof(why));
	log_warn(was_open ? "cumulusd lost" : "cannot reach cumulusd", "address",
		l->address, "why", l->why.text, NULL);
}

/* The connection goes, outside its own handlers. */
static void close_connection(struct link *l)
{
	struct wire_client *client = l->client;
	bool was_open = l->state == LINK_OPEN;

	l->client = NULL;
	l->call = NULL;
	move(l, LINK_EV_LOST);
	log_loss(l, was_open);
	wire_client_close(client);
	uv_timer_stop(&l->idle);
	uv_timer_start(&l->retry, on_retry, backoff_next_ms(&l->backoff, random32()), 0);
	if (was_open)
		l->on.lost(l->on.user);
}

static void on_reap(uv_check_t *c)
{
	struct link *l = c->data;

	uv_check_stop(&l->reap);
	uv_idle_stop(&l->spin);
	close_connection(l);
}

static void on_spin(uv_idle_t *i)
{
	(void)i; /* only keeps the loop from sleeping before `reap` */
}

/* It was given up already, and is closed later in this turn. */
static bool is_losing(const struct link *l)
{
	return uv_is_active((const uv_handle_t *)&l->reap);
}

/* Give the connection up for this reason; the first one counts. */
static void lose(struct link *l, const struct err *why)
{
	if (is_losing(l) || next_state[l->state][LINK_EV_LOST] == LINK_NONE || !l->client)
		return;
	l->why = *why;
	uv_check_start(&l->reap, on_reap);
	uv_idle_start(&l->spin, on_spin);
}

void link_drop(struct link *l, const char *why)
{
	struct err e = { 0 };

	err_set(&e, ERR_UNAVAILABLE, "%s", why);
	lose(l, &e);
}

/* ---- the stream */

static void on_idle(uv_timer_t *t)
{
	struct link *l = t->data;

	l->say_idle = !l->said;
	l->said = false;
	if (l->say_idle && l->call)
		wire_call_wake(l->call);
}

static void take_welcome(struct link *l, const Cumulus__Worker__Welcome *m)
{
	struct err e = { 0 };
	bool refused = !str_empty(m->refused);

	if (refused)
		err_set(&e, ERR_DENIED, "refused: %s", m->refused);
	if (refused || l->on.welcome(l->on.user, m, &e) < 0) {
		lose(l, &e);
		return;
	}
	move(l, LINK_EV_WELCOME);
	backoff_reset(&l->backoff);
	l->last_why[0] = '\0';
	uv_timer_stop(&l->retry);
	uv_timer_start(&l->idle, on_idle, IDLE_MS, IDLE_MS);
	log_info("cumulusd found", "address", l->address, "cluster", m->cluster_id, NULL);
	l->on.open(l->on.user, l->client, m);
	link_wake(l);
}

static void on_message(struct wire_call *call, ProtobufCMessage *message)
{
	struct link *l = wire_call_user(call);
	const Cumulus__Worker__ToWorker *m = (const Cumulus__Worker__ToWorker *)message;
	bool welcome = m->kind_case == CUMULUS__WORKER__TO_WORKER__KIND_WELCOME;

	if (is_losing(l))
		log_debug("a message came too late", NULL);
	else if (l->state == LINK_GREETING && welcome)
		take_welcome(l, m->welcome);
	else if (l->state == LINK_OPEN && !welcome)
		l->on.message(l->on.user, m);
	else
		link_drop(l,
			welcome ? "Welcome came twice" : "cumulusd spoke before Welcome");
	wire_message_free(message);
}

static void send_idle(struct wire_call *call)
{
	Cumulus__Worker__FromWorker m = CUMULUS__WORKER__FROM_WORKER__INIT;
	Cumulus__Worker__Idle idle = CUMULUS__WORKER__IDLE__INIT;
	struct err e;

	m.kind_case = CUMULUS__WORKER__FROM_WORKER__KIND_IDLE;
	m.idle = &idle;
	if (wire_call_send(call, &m, &e) < 0)
		log_error("cannot say that we are here", "why", e.text, NULL);
}

static void on_pull(struct wire_call *call)
{
	struct link *l = wire_call_user(call);

	if (is_losing(l))
		return;
	if (l->state == LINK_DIALLING) {
		move(l, LINK_EV_UP);
		l->on.greet(l->on.user, call);
		return;
	}
	if (l->state != LINK_OPEN)
		return;
	if (l->on.next(l->on.user, call)) {
		l->said = true;
	} else if (l->say_idle) {
		l->say_idle = false;
		send_idle(call);
	}
}

static void on_gone(struct wire_call *call)
{
	struct link *l = wire_call_user(call);
	struct err e = { 0 };

	if (wire_call_err(call, &e) == 0)
		err_set(&e, ERR_UNAVAILABLE, "cumulusd ended the stream");
	l->call = NULL;
	lose(l, &e);
}

static const struct wire_handlers work_handlers = {
	.message = on_message,
	.pull = on_pull,
	.gone = on_gone,
};

/* ---- dialling */

static void on_up(struct wire_client *client, void *user)
{
	struct link *l = user;
	struct err e = { 0 };
	const struct wire_request request = {
		.method = &service_work,
		.on = &work_handlers,
		.user = l,
	};

	l->call = wire_client_call(client, &request, &e);
	if (l->call)
		wire_call_wake(l->call);
	else
		lose(l, &e);
}

static void on_down(struct wire_client *client, const struct err *why, void *user)
{
	(void)client;
	lose(user, why);
}

static int dial(struct link *l, struct err *e)
{
	const struct wire_connect connect = {
		.address = l->address,
		.up = on_up,
		.down = on_down,
		.user = l,
	};

	l->client = wire_client_open(l->loop, &connect, e);
	return l->client ? 0 : -1;
}

static void on_retry(uv_timer_t *t)
{
	struct link *l = t->data;
	struct err e = { 0 };

	if (l->state != LINK_WAITING) {
		link_drop(l, "no Welcome came in 30 s");
		return;
	}
	move(l, LINK_EV_DIAL);
	uv_timer_start(&l->retry, on_retry, WELCOME_WAIT_MS, 0);
	if (dial(l, &e) == 0)
		return;
	l->why = e;
	close_connection(l);
}

/* ---- life */

struct link *link_new(uv_loop_t *loop, const char *address, const struct link_user *user)
{
	struct link *l = xcalloc(1, sizeof(*l));

	l->loop = loop;
	l->on = *user;
	l->address = xstrdup(address);
	l->state = LINK_WAITING;
	l->backoff = (struct backoff){ RETRY_LEAST_MS, RETRY_MOST_MS, 0 };
	uv_timer_init(loop, &l->retry);
	uv_timer_init(loop, &l->idle);
	uv_check_init(loop, &l->reap);
	uv_idle_init(loop, &l->spin);
	l->retry.data = l->idle.data = l->reap.data = l->spin.data = l;
	return l;
}

void link_start(struct link *l)
{
	uv_timer_start(&l->retry, on_retry, 0, 0);
}

static void on_handle_closed(uv_handle_t *h)
{
	struct link *l = h->data;

	if (--l->closing)
		return;
	free(l->address);
	free(l);
}

void link_close(struct link *l)
{
	if (!l)
		return;

	uv_handle_t *handles[] = { (uv_handle_t *)&l->retry, (uv_handle_t *)&l->idle,
		(uv_handle_t *)&l->reap, (uv_handle_t *)&l->spin };
	struct wire_client *client = l->client;

	/* No state from which anything moves: the calls that end now reach nobody. */
	l->state = LINK_NONE;
	l->client = NULL;
	wire_client_close(client);
	l->closing = sizeof(handles) / sizeof(handles[0]);
	for (size_t i = 0; i < sizeof(handles) / sizeof(handles[0]); i++)
		uv_close(handles[i], on_handle_closed);
}

bool link_is_open(const struct link *l)
{
	return l->state == LINK_OPEN && l->client;
}

void link_wake(struct link *l)
{
	if (l->state == LINK_OPEN && l->call)
		wire_call_wake(l->call);
}
