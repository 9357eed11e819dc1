/* ask.c - calls for programs that do one thing at a time: the loop runs until the end. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>

#include "call.h"
#include "hub.h"
#include "list.h"
#include "wire.h"

struct ask {
	struct wire_handlers on;           /* the call's; leads from it to here */
	const struct wire_handlers *inner; /* the caller's; NULL for one answer */
	ProtobufCMessage *reply;
	struct err why;
	enum wire_status status;
	bool failed, done;
};

static struct ask *ask_of(const struct wire_call *call)
{
	return (struct ask *)((char *)(uintptr_t)call->on - offsetof(struct ask, on));
}

static void on_reply(struct wire_call *call, ProtobufCMessage *message)
{
	ask_of(call)->reply =
		message; /* a second one ends the call before it gets here */
}

static void on_gone(struct wire_call *call)
{
	struct ask *ask = ask_of(call);

	ask->status = wire_call_status(call);
	ask->failed = wire_call_err(call, &ask->why) < 0;
	ask->done = true;
	if (ask->inner && ask->inner->gone)
		ask->inner->gone(call);
}

static int run(struct wire_client *client, const struct wire_request *request,
	struct ask *ask, enum wire_status *status, struct err *e)
{
	struct wire_request r = *request;
	const struct hub *hub = client_hub(client);
	uv_loop_t *loop = hub->loop; /* a handler may close the client */

	assert(!hub->busy); /* a loop is not run from inside itself */
	r.on = &ask->on;

	struct wire_call *call = wire_client_call(client, &r, &ask->why);

	if (call && request->method->kind & WIRE_CLIENT_STREAMS) {
		wire_call_wake(call);
	} else if (!call) {
		ask->status = wire_status_of(ask->why.code);
		ask->failed = true;
		ask->done = true;
	}
	while (!ask->done)
		uv_run(loop, UV_RUN_ONCE);
	if (status)
		*status = ask->status;
	if (!ask->failed)
		return 0;
	return err_set(e, ask->why.code, "%s", ask->why.text);
}

int wire_client_ask(struct wire_client *client, const struct wire_request *request,
	ProtobufCMessage **reply, enum wire_status *status, struct err *e)
{
	struct ask ask = { .on = { .message = on_reply, .gone = on_gone } };

	assert(!(request->method->kind & WIRE_SERVER_STREAMS));
	if (request->on) {
		ask.on.pull = request->on->pull;
		ask.inner = request->on;
	}
	if (run(client, request, &ask, status, e) < 0) {
		wire_message_free(ask.reply);
		return -1;
	}
	*reply = ask.reply;
	return 0;
}

int wire_client_each(struct wire_client *client, const struct wire_request *request,
	enum wire_status *status, struct err *e)
{
	struct ask ask = { .on = *request->on, .inner = request->on };

	ask.on.gone = on_gone;
	return run(client, request, &ask, status, e);
}
