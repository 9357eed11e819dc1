/* call.h - a call from the inside: its stream, what waits to be sent, how it ends.
 *
 * Thread: loop.  A call is freed when neither nghttp2 (stream_open) nor the application
 * (given) holds it.  Unused parts cost a pointer: an idle stream stays below 1 KB.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"
#include "list.h"
#include "metadata.h"
#include "session.h"
#include "timers.h"
#include "wire.h"

struct incoming {
	struct buf raw;    /* what came and is not yet a delivered message */
	size_t charged;    /* of the hub's budget, for raw and what it grows to */
	uint32_t withheld; /* bytes of raw whose window was not given back */
	uint32_t messages; /* delivered so far; stops counting at 2 */
	int64_t since_ms;  /* when the peer began to send what is incomplete */
	bool granted;      /* the whole message may come */
	bool paused;       /* by the application */
	bool ended;        /* the peer sends no more */
	bool told_end;
};

struct ending {     /* how the call ended, or is to end once `out` is sent */
	char *text; /* decoded; NULL: none */
	struct metadata trailers; /* server: to be sent */
};

struct wire_call {
	struct session *session;
	struct list in_session, in_over, in_todo, in_starved;
	const struct wire_method *method; /* NULL until the path was understood */
	const struct wire_handlers *on;
	void *user, *data;
	struct wire_method_stats *stats; /* server: where it is counted; NULL: nowhere */
	int64_t began_ns;
	struct timer deadline;
	struct incoming in;
	uint8_t *out; /* the one message that waits, with its prefix */
	uint32_t out_len, out_at;
	int64_t out_ms; /* since when the peer takes nothing of it */
	struct ending *ending;
	struct metadata metadata; /* received */
	struct metadata headers;  /* server: to be sent with the response's */
	uint32_t metadata_bytes;
	int32_t stream_id;
	uint16_t http;  /* client: the response's :status */
	uint8_t status; /* enum wire_status */
	uint8_t over;   /* enum wire_over */
	uint8_t head;   /* server: enum head_bit, what the request's headers were */
	bool stream_open;
	bool given;      /* the application holds it: `gone` is owed */
	bool head_sent;  /* HEADERS left this machine */
	bool answered;   /* server: HEADERS were submitted, with a source of messages */
	bool asleep;     /* the source said "nothing now" to nghttp2 */
	bool awake;      /* a pull is wanted */
	bool pulling;    /* inside the application's pull */
	bool sealed;     /* nothing more will be sent but `out` and the ending */
	bool trailed;    /* the ending was submitted */
	bool refused;    /* answered without ever being given */
	bool has_status; /* client: of the response */
};

struct wire_call *call_new(struct session *s, int32_t stream_id);
/* Server: it is a call of this method, and will be counted as one that ended. */
void call_count(struct wire_call *call, struct wire_method_stats *stats);
/* Before the application has it: as if it had never been. */
void call_discard(struct wire_call *call);
/* nghttp2 has let the stream go. */
void call_stream_closed(struct wire_call *call, uint32_t h2_code);
/* The connection is torn down: no word to nghttp2. */
void call_lost(struct wire_call *call, const struct err *why);

/* May the application still hear of it, and does what comes in matter? */
static inline bool call_listens(const struct wire_call *call)
{
	return !call->over && !call->refused && !(call->session->server && call->sealed);
}
bool call_peer_streams(const struct wire_call *call); /* more than one message comes */

/* It is over: `gone` is queued, nothing more is received.  The first reason counts; text
 * may be NULL and is copied. */
void call_over(struct wire_call *call, enum wire_over over, enum wire_status status,
	const char *text);
/* End it for a reason of this side: the peer is told as far as that is possible. */
void call_abort(struct wire_call *call, enum wire_over over, enum wire_status status,
	const char *format, ...) PRINTF_LIKE(4, 5);
/* Server: answer a call that no handler has seen. */
void call_refuse(struct wire_call *call, const char *http, enum wire_status status,
	const char *text);
void call_set_deadline(struct wire_call *call, int64_t ms);
void call_gone(struct wire_call *call); /* tell the application */
/* The slow limits: an upload that does not end, a peer that takes nothing. */
void call_check(struct wire_call *call, int64_t now);

/* Pack with the 5-byte prefix into call->out, to be sent. */
int call_pack(struct wire_call *call, const void *message, struct err *e) MUST_CHECK;
/* Client: the response is complete, with or without a status. */
void call_response_over(
	struct wire_call *call, enum wire_over over, enum wire_status status);
/* What nghttp2 reads a stream's messages from. */
ssize_t call_read(nghttp2_session *h2, int32_t stream_id, uint8_t *to, size_t room,
	uint32_t *flags, nghttp2_data_source *source, void *session);
/* END_STREAM left: all of it is sent. */
void call_all_sent(struct wire_call *call);
