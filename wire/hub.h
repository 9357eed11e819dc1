/* hub.h - what one server or one client shares among its connections.
 *
 * Thread: loop.  A hub owns the limits, the deadlines, the byte budget, and the turn: a
 * connection with something to do is marked dirty, and all dirty ones are settled right
 * after and right before the loop waits, so that what one turn brings leaves in one
 * write per connection.  Applications are called back from settling and from reading,
 * never from inside a function that they called.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <nghttp2/nghttp2.h>
#include <stdbool.h>

#include "buf.h"
#include "list.h"
#include "timers.h"
#include "wire.h"

#define HUB_READ_SIZE ((size_t)64 << 10)

struct hub;
struct session;

struct route { /* a method and who serves it */
	const struct wire_method *method;
	const struct wire_handlers *on;
	void *user;
	struct wire_method_stats *stats;
};

struct hub_owner { /* how server and client differ */
	/* Server: who serves this path; NULL: nobody. */
	const struct route *(*find)(struct hub *hub, const void *path, size_t len);
	void (*up)(struct session *session); /* the peer speaks HTTP/2 */
	/* Torn down; `gone` of its calls was called.  The session is still readable. */
	void (*down)(struct session *session, const struct err *why);
	void (*turned)(struct hub *hub); /* everything dirty is settled */
	void (*close)(struct hub *hub);  /* a close that was asked for inside a handler */
	void (*closed)(struct hub *hub); /* the last handle is closed: free it */
};

struct hub {
	const struct hub_owner *owner;
	uv_loop_t *loop;
	struct wire_limits limits; /* none is 0 */
	uint32_t tick_ms; /* how often a connection's slow limits are looked at */
	struct timers timers;
	uv_prepare_t before_wait;
	uv_check_t after_wait;
	struct list sessions; /* struct session.in_hub */
	struct list dirty;    /* struct session.in_dirty */
	struct list starved;  /* struct wire_call.in_starved: their windows stay shut */
	size_t session_count, call_count;
	uint64_t sessions_total, calls_total, sent_away;
	size_t buffered; /* bytes charged for messages that are not complete */
	struct buf out;  /* what is being gathered for one connection */
	nghttp2_session_callbacks *callbacks;
	nghttp2_option *options;
	unsigned busy;    /* callbacks of the loop that we are inside of */
	bool closing;     /* close as soon as not busy */
	unsigned handles; /* of libuv, not closed yet */
	uint8_t read_bytes[HUB_READ_SIZE];
};

/* limits may be NULL; server says which side of HTTP/2 its connections are. */
void hub_init(struct hub *hub, uv_loop_t *loop, const struct wire_limits *limits,
	const struct hub_owner *owner, bool server);
/* Close the hub's own handles; owner->closed follows from the loop. */
void hub_close(struct hub *hub);
void hub_fini(struct hub *hub); /* in owner->closed */

/* Around every callback of libuv that may reach an application. */
void hub_enter(struct hub *hub);
void hub_leave(struct hub *hub);

/* There is something to settle: keep the loop going until that is done. */
void hub_stir(struct hub *hub);
/* Settle what is dirty, now. */
void hub_settle(struct hub *hub);

struct hub *client_hub(struct wire_client *client);

/* For the close callback of a handle that was counted in hub->handles. */
void hub_handle_closed(struct hub *hub);
