/* hub.c - limits, turns and the byte budget that connections share. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "hub.h"

#include <assert.h>

#include "call.h"
#include "h2.h"
#include "incoming.h"
#include "session.h"

#define TICK_MIN_MS 10
#define TICK_MAX_MS 5000

static const struct wire_limits defaults = {
	.message_bytes = (size_t)4 << 20,
	.metadata_bytes = (size_t)16 << 10,
	.window_bytes = (size_t)256 << 10,
	.buffered_bytes = (size_t)256 << 20,
	.streams = 128,
	.connections = 1024,
	.resets = 1000,
	.resets_per_s = 33,
	.acks = 1000,
	.handshake_ms = 10 * 1000,
	.first_call_ms = 60 * 1000,
	.idle_ms = 30 * 60 * 1000,
	.keepalive_ms = 30 * 1000,
	.keepalive_wait_ms = 20 * 1000,
	.upload_ms = 120 * 1000,
	.stall_ms = 10 * 60 * 1000,
};

static struct wire_limits limits_filled(const struct wire_limits *given)
{
	struct wire_limits l = given ? *given : defaults;

#define FILL(field) l.field = l.field ? l.field : defaults.field
	FILL(message_bytes);
	FILL(metadata_bytes);
	FILL(window_bytes);
	FILL(buffered_bytes);
	FILL(streams);
	FILL(connections);
	FILL(resets);
	FILL(resets_per_s);
	FILL(acks);
	FILL(handshake_ms);
	FILL(first_call_ms);
	FILL(idle_ms);
	FILL(keepalive_ms);
	FILL(keepalive_wait_ms);
	FILL(upload_ms);
	FILL(stall_ms);
#undef FILL
	return l;
}

/* Often enough that the shortest limit is met within a quarter of its length. */
static uint32_t tick_of(const struct wire_limits *l)
{
	const uint32_t all[] = { l->handshake_ms, l->first_call_ms, l->idle_ms,
		l->keepalive_ms, l->keepalive_wait_ms, l->upload_ms, l->stall_ms };
	uint32_t tick = TICK_MAX_MS;

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		if (all[i] / 4 < tick)
			tick = all[i] / 4;
	return tick < TICK_MIN_MS ? TICK_MIN_MS : tick;
}

static void on_before_wait(uv_prepare_t *handle)
{
	hub_settle(handle->data);
}

static void on_after_wait(uv_check_t *handle)
{
	hub_settle(handle->data);
}

void hub_init(struct hub *hub, uv_loop_t *loop, const struct wire_limits *limits,
	const struct hub_owner *owner, bool server)
{
	hub->owner = owner;
	hub->loop = loop;
	hub->limits = limits_filled(limits);
	hub->tick_ms = tick_of(&hub->limits);
	list_init(&hub->sessions);
	list_init(&hub->dirty);
	list_init(&hub->starved);
	hub->callbacks = h2_callbacks_new(server);
	hub->options = h2_options_new(&hub->limits);

	timers_init(&hub->timers, loop);
	uv_prepare_init(loop, &hub->before_wait);
	uv_check_init(loop, &hub->after_wait);
	hub->before_wait.data = hub->after_wait.data = hub;
	uv_prepare_start(&hub->before_wait, on_before_wait);
	uv_check_start(&hub->after_wait, on_after_wait);
	/* Only connections, listeners and what the application has keep the loop going. */
	uv_unref((uv_handle_t *)&hub->before_wait);
	uv_unref((uv_handle_t *)&hub->after_wait);
	hub->handles = 3;
}

void hub_handle_closed(struct hub *hub)
{
	assert(hub->handles > 0);
	if (--hub->handles == 0)
		hub->owner->closed(hub);
}

static void on_clock_closed(uv_handle_t *handle)
{
	struct timers *timers = handle->data;

	hub_handle_closed((struct hub *)((char *)timers - offsetof(struct hub, timers)));
}

static void on_turn_closed(uv_handle_t *handle)
{
	hub_handle_closed(handle->data);
}

void hub_close(struct hub *hub)
{
	uv_close((uv_handle_t *)&hub->timers.clock, on_clock_closed);
	uv_close((uv_handle_t *)&hub->before_wait, on_turn_closed);
	uv_close((uv_handle_t *)&hub->after_wait, on_turn_closed);
}

void hub_fini(struct hub *hub)
{
	assert(list_empty(&hub->sessions) && !hub->call_count && !hub->buffered);
	timers_fini(&hub->timers);
	buf_fini(&hub->out);
	nghttp2_session_callbacks_del(hub->callbacks);
	nghttp2_option_del(hub->options);
}

void hub_enter(struct hub *hub)
{
	hub->busy++;
}

void hub_leave(struct hub *hub)
{
	if (--hub->busy == 0 && hub->closing)
		hub->owner->close(hub);
}

/* First come, first served: a large message is not overtaken by small ones for ever. */
static void feed_starved(struct hub *hub)
{
	struct list *first;

	while ((first = list_first(&hub->starved))) {
		struct wire_call *call = list_entry(first, struct wire_call, in_starved);

		if (!incoming_may_grow(call))
			return;
		list_remove(first);
		incoming_settle(call);
	}
}

void hub_stir(struct hub *hub)
{
	uv_ref((uv_handle_t *)&hub->before_wait);
}

static bool may_feed(const struct hub *hub)
{
	return !list_empty(&hub->starved) &&
	       incoming_may_grow(
		       list_entry(hub->starved.next, struct wire_call, in_starved));
}

void hub_settle(struct hub *hub)
{
	struct list *link;

	hub_enter(hub);
	do {
		feed_starved(hub);
		while ((link = list_first(&hub->dirty))) {
			list_remove(link);
			session_settle(list_entry(link, struct session, in_dirty));
		}
	} while (may_feed(hub));
	uv_unref((uv_handle_t *)&hub->before_wait);
	if (hub->owner->turned)
		hub->owner->turned(hub);
	hub_leave(hub);
}
