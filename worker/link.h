/* link.h - the worker's stream to cumulusd: dials, says Hello, dials again.
 *
 *   WAITING ──timer──▶ DIALLING ──up──▶ GREETING ──Welcome──▶ OPEN
 *      ▲                   └──────────────┴── lost, refused ────┘
 *
 * Thread: loop.  It knows nothing of runs: what to say is pulled from its user one message
 * at a time, so after a loss there is nothing queued to drop.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "err.h"
#include "wire.h"
#include "worker.pb-c.h"

struct link;

struct link_user {
	void *user;
	/* The connection stands: send Hello on the call by wire_call_send(). */
	void (*greet)(void *user, struct wire_call *call);
	/* Is this a cumulusd to obey?  -1 with the reason: the stream is then closed and tried
	 * again later. */
	int (*welcome)(void *user, const Cumulus__Worker__Welcome *m, struct err *e);
	/* The stream is open; other calls may be made on the connection until `lost`. */
	void (*open)(void *user, struct wire_client *client,
		const Cumulus__Worker__Welcome *m);
	/* Any other message, after Welcome. */
	void (*message)(void *user, const Cumulus__Worker__ToWorker *m);
	/* Send the most urgent thing and say true; false when there is nothing. */
	bool (*next)(void *user, struct wire_call *call);
	/* The stream is gone, after all other calls of its connection.  Only after `open`. */
	void (*lost)(void *user);
};

/* address as wire_connect has it; copied.  *user is copied. */
struct link *link_new(uv_loop_t *loop, const char *address, const struct link_user *user);
void link_start(struct link *l);
/* Close at once; no callback comes after it.  The memory goes when the loop has run once
 * more.  NULL is fine. */
void link_close(struct link *l);

bool link_is_open(const struct link *l); /* between open and lost */
/* There is something to send. */
void link_wake(struct link *l);
/* Drop the stream and dial again after a while: the peer broke the protocol. */
void link_drop(struct link *l, const char *why);
