/* upload.c - sends a run's output to cumulusd, on a stream of its own. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "upload.h"

#include <inttypes.h>
#include <stdlib.h>

#include "buf.h"
#include "log.h"
#include "service.h"
#include "xalloc.h"

#define RETRY_MS 1000

struct uploads {
	uv_loop_t *loop;
	uv_timer_t timer;
	struct list later;
	struct wire_client *client; /* borrowed */
	struct buf frames;          /* of the message that is being sent */
};

/* A call may outlive the upload that made it by a turn of the loop. */
struct upload_call {
	struct upload *upload; /* NULL: it has left */
	struct wire_call *call;
	bool ended;
};

static void on_timer(uv_timer_t *t);

static void call_later(struct upload *u, int64_t wait_ms)
{
	struct uploads *o = u->owner;

	u->due_ms = uv_now(o->loop) + (uint64_t)wait_ms;
	list_remove(&u->later);
	list_append(&o->later, &u->later);
	if (!uv_is_active((uv_handle_t *)&o->timer) ||
		uv_timer_get_due_in(&o->timer) > (uint64_t)wait_ms)
		uv_timer_start(&o->timer, on_timer, (uint64_t)wait_ms, 0);
}

static void on_timer(uv_timer_t *t)
{
	struct uploads *o = t->data;
	uint64_t now = uv_now(o->loop), next = UINT64_MAX;

	list_each_safe(at, &o->later)
	{
		struct upload *u = list_entry(at, struct upload, later);

		if (u->due_ms <= now) {
			list_remove(&u->later);
			upload_poke(u);
		}
	}
	list_each(at, &o->later)
	{
		struct upload *u = list_entry(at, struct upload, later);

		if (u->due_ms < next)
			next = u->due_ms;
	}
	if (next != UINT64_MAX)
		uv_timer_start(t, on_timer, next > now ? next - now : 0, 0);
}

/* ---- the call */

static void send_frames(struct upload *u, struct wire_call *call, int64_t now_ms)
{
	Cumulus__Worker__OutputFrames m = CUMULUS__WORKER__OUTPUT_FRAMES__INIT;
	struct buf *frames = &u->owner->frames;
	struct err e = { 0 };

	m.job_id = (char *)u->job;
	m.attempt = u->attempt;
	m.offset = u->tail.at;
	m.frames.data = frames->data;
	m.frames.len = frames->len;
	if (wire_call_send(call, &m, &e) < 0)
		log_error("cannot send output", "job", u->job, "why", e.text, NULL);
	else
		tail_sent(&u->tail, (int64_t)frames->len, now_ms);
}

/* Everything there will ever be is on cumulusd's disk. */
static bool is_complete(struct upload *u)
{
	/* Over is asked first: what it wrote before that is then in the file. */
	return u->over(u) && u->tail.at >= tail_file_end(&u->tail) &&
	       u->tail.durable >= u->tail.at;
}

static void on_pull(struct wire_call *call)
{
	struct upload_call *c = wire_call_user(call);
	struct upload *u = c->upload;
	int64_t wait_ms = 0, now_ms;
	enum tail_now what;
	struct err e = { 0 };

	if (!u || c->ended)
		return;
	now_ms = (int64_t)uv_now(u->owner->loop);
	int64_t end = u->limit(u, tail_file_end(&u->tail));
	if (tail_next(&u->tail, end, now_ms, &what, &wait_ms, &u->owner->frames, &e) <
		0) {
		log_warn("cannot read output", "job", u->job, "why", e.text, NULL);
		call_later(u, RETRY_MS);
	} else if (what == TAIL_SEND) {
		send_frames(u, call, now_ms);
	} else if (what == TAIL_LATER) {
		call_later(u, wait_ms);
	} else if (is_complete(u)) {
		c->ended = true;
		wire_call_end(call);
	}
}

static void on_durable(struct wire_call *call, ProtobufCMessage *message)
{
	struct upload_call *c = wire_call_user(call);
	const Cumulus__Worker__OutputDurable *m =
		(const Cumulus__Worker__OutputDurable *)message;

	if (c->upload) {
		tail_durable(&c->upload->tail, m->durable);
		wire_call_wake(call);
	}
	wire_message_free(message);
}

static void on_gone(struct wire_call *call)
{
	struct upload_call *c = wire_call_user(call);
	struct upload *u = c->upload;
	struct err e = { 0 };

	if (u) {
		u->call = NULL;
		u->tail.at = u->tail.durable;
		if (u->live && !is_complete(u)) {
			if (wire_call_err(call, &e) < 0)
				log_debug("output stream ended", "job", u->job, "why",
					e.text, NULL);
			call_later(u, RETRY_MS);
		}
	}
	free(c);
}

static const struct wire_handlers output_handlers = {
	.message = on_durable,
	.pull = on_pull,
	.gone = on_gone,
};

static void open_call(struct upload *u)
{
	struct upload_call *c = xcalloc(1, sizeof(*c));
	const struct wire_request request = {
		.method = &service_write_output,
		.on = &output_handlers,
		.user = c,
	};
	struct err e = { 0 };

	c->upload = u;
	c->call = wire_client_call(u->owner->client, &request, &e);
	if (!c->call) {
		log_debug("cannot open an output stream", "why", e.text, NULL);
		free(c);
		call_later(u, RETRY_MS);
		return;
	}
	u->call = c;
	u->tail.at = u->tail.durable;
}

/* The call, if any, goes its way without us. */
static void leave_call(struct upload *u)
{
	if (!u->call)
		return;
	u->call->upload = NULL;
	wire_call_cancel(u->call->call);
	u->call = NULL;
}

/* ---- life */

struct uploads *uploads_new(uv_loop_t *loop)
{
	struct uploads *o = xcalloc(1, sizeof(*o));

	o->loop = loop;
	list_init(&o->later);
	uv_timer_init(loop, &o->timer);
	o->timer.data = o;
	return o;
}

static void on_timer_closed(uv_handle_t *h)
{
	struct uploads *o = h->data;

	buf_fini(&o->frames);
	free(o);
}

void uploads_close(struct uploads *o)
{
	if (o)
		uv_close((uv_handle_t *)&o->timer, on_timer_closed);
}

void uploads_use(struct uploads *o, struct wire_client *client)
{
	o->client = client;
}

void upload_init(struct upload *u, struct uploads *owner, const char *job,
	int32_t attempt, int dirfd)
{
	u->owner = owner;
	u->job = job;
	u->attempt = attempt;
	list_init(&u->later);
	tail_init(&u->tail, dirfd);
}

void upload_fini(struct upload *u)
{
	if (!u->owner)
		return;
	u->live = false;
	leave_call(u);
	list_remove(&u->later);
	u->owner = NULL;
}

void upload_begin(struct upload *u, int64_t durable)
{
	u->live = true;
	tail_begin(&u->tail, durable);
	upload_poke(u);
}

void upload_stop(struct upload *u)
{
	u->live = false;
	list_remove(&u->later);
	leave_call(u);
}

void upload_poke(struct upload *u)
{
	if (!u->owner || !u->live || !u->owner->client)
		return;
	if (!u->call && list_empty(&u->later) &&
		tail_file_end(&u->tail) > u->tail.durable)
		open_call(u);
	if (u->call)
		wire_call_wake(u->call->call);
}
