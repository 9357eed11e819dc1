/* wire.h - gRPC over HTTP/2: servers, clients and the calls between them.
 *
 * Thread: loop.  Everything here runs on the thread of the uv_loop_t that it was made
 * with; there are no locks.  Nothing blocks but the functions that say so.  No callback
 * is ever made from inside a function of this header (wire_client_ask, wire_client_each,
 * wire_server_close and wire_client_close excepted): what a caller asks for happens
 * later in the same turn of the loop, and all bytes of one turn leave in one write per
 * connection.  Sizes are bytes, times are milliseconds unless the name says otherwise.
 *
 * A call has two sides that look alike.  Each receives the other's messages one at a
 * time and sends its own when it is *pulled*: the stream asks for the next message once
 * there is room for it, so that at most one waits per call however slow the peer reads.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

#include "err.h"
#include "histogram.h"
#include "message.h"

struct wire_server;
struct wire_client;
struct wire_call;

/* ---- status */

enum wire_status {
	WIRE_OK = 0,
	WIRE_CANCELLED = 1,
	WIRE_UNKNOWN = 2,
	WIRE_INVALID_ARGUMENT = 3,
	WIRE_DEADLINE_EXCEEDED = 4,
	WIRE_NOT_FOUND = 5,
	WIRE_ALREADY_EXISTS = 6,
	WIRE_PERMISSION_DENIED = 7,
	WIRE_RESOURCE_EXHAUSTED = 8,
	WIRE_FAILED_PRECONDITION = 9,
	WIRE_ABORTED = 10,
	WIRE_OUT_OF_RANGE = 11,
	WIRE_UNIMPLEMENTED = 12,
	WIRE_INTERNAL = 13,
	WIRE_UNAVAILABLE = 14,
	WIRE_DATA_LOSS = 15,
	WIRE_UNAUTHENTICATED = 16,
	WIRE_STATUS_COUNT
};

const char *wire_status_name(enum wire_status status); /* "NOT_FOUND"; never NULL */

/* ERR_CONFLICT becomes FAILED_PRECONDITION, ERR_SYSTEM and ERR_INTERNAL become INTERNAL;
 * for the others the names say it.  Back: what has no code of its own takes the nearest. */
enum wire_status wire_status_of(enum err_code code);
enum err_code wire_status_err(enum wire_status status);

#define WIRE_STATUS_TEXT_MAX 1024 /* longer texts are cut at a character */

/* ---- methods */

enum wire_kind { /* who sends more than one message */
	WIRE_UNARY = 0,
	WIRE_CLIENT_STREAMS = 1,
	WIRE_SERVER_STREAMS = 2,
	WIRE_BOTH_STREAM = 3,
};

/* What server and client agree on; static, shared by both. */
struct wire_method {
	const char *path; /* "/package.Service/Method" */
	const ProtobufCMessageDescriptor *request;
	const ProtobufCMessageDescriptor *response;
	enum wire_kind kind;
};

struct wire_pair {        /* one piece of metadata */
	const char *name; /* lower case; a name ending in -bin holds base64 */
	const char *value;
};

/* What happens to a call.  Each may be NULL. */
struct wire_handlers {
	/* Server, only where the client streams: a call came in, before its messages. */
	void (*open)(struct wire_call *call);
	/* The next message of the peer.  The handler owns it: wire_message_free().  On a
	 * server, of a method whose client does not stream, this is the call's beginning;
	 * the request is then known to be complete and well-formed.  The answer may be
	 * given here or at any later time until `gone`. */
	void (*message)(struct wire_call *call, ProtobufCMessage *message);
	/* Server, only where the client streams: it will send no more. */
	void (*end)(struct wire_call *call);
	/* There is room for one message.  Do one of: wire_call_send(), wire_call_end(),
	 * wire_call_finish() and its kin, or nothing: then the call sleeps until
	 * wire_call_wake().  After a send the next pull comes by itself. */
	void (*pull)(struct wire_call *call);
	/* The call is over, for the reason that wire_call_over() tells; last and exactly
	 * once for every call that another handler or wire_client_call() gave out.  The
	 * handle is invalid when this returns. */
	void (*gone)(struct wire_call *call);
};

/* ---- calls: both sides */

void *wire_call_user(const struct wire_call *call); /* given with the handlers */
/* A pointer of the caller's for this one call; NULL at first. */
void *wire_call_data(const struct wire_call *call);
void wire_call_set_data(struct wire_call *call, void *data);
const struct wire_method *wire_call_method(const struct wire_call *call);

/* Send one message, packed before this returns.  Only inside `pull`, or where nothing
 * waits to be sent (wire_call_ready); anything else is a mistake and asserts.  A message
 * above the limit is ERR_EXHAUSTED naming it and is not sent; the call goes on.  On a
 * call that is over or ended it does nothing. */
int wire_call_send(struct wire_call *call, const void *message, struct err *e) MUST_CHECK;
bool wire_call_ready(const struct wire_call *call);
/* Ask for a pull; any number of times, also inside `pull`.  Calls begin asleep. */
void wire_call_wake(struct wire_call *call);
/* No more `message` until resumed: the peer is held back by flow control once the
 * window is full.  Inside `message` it holds from the next one on. */
void wire_call_pause(struct wire_call *call);
void wire_call_resume(struct wire_call *call);
/* End the call without an answer; `gone` follows with WIRE_CANCELLED. */
void wire_call_cancel(struct wire_call *call);

/* ---- calls: how they ended */

enum wire_over {
	WIRE_OVER_NOT = 0,   /* it is not over */
	WIRE_OVER_FINISHED,  /* with a status: the server's own, all of it sent */
	WIRE_OVER_CANCELLED, /* by wire_call_cancel() of either side */
	WIRE_OVER_DEADLINE,  /* its time was up */
	WIRE_OVER_LOST, /* the connection broke: the peer may have seen anything or nothing */
	WIRE_OVER_REFUSED, /* the server surely did nothing with it: repeat at will */
	WIRE_OVER_BROKEN,  /* the peer broke the protocol, or a limit of this side */
};

enum wire_over wire_call_over(const struct wire_call *call);
/* For all but FINISHED the status that gRPC prescribes, made up on this side. */
enum wire_status wire_call_status(const struct wire_call *call);
/* The status' message, decoded, valid UTF-8; "" when there is none.  Until `gone` returns. */
const char *wire_call_text(const struct wire_call *call);
/* ERR_NONE and 0 for OK; otherwise -1 with code and "<text>". */
int wire_call_err(const struct wire_call *call, struct err *e);

/* ---- calls: server side */

/* The client's metadata, or the server's header or trailer on a client; NULL when absent.  Names
 * that HTTP/2 or gRPC use themselves are not kept. */
const char *wire_call_metadata(const struct wire_call *call, const char *name);

struct wire_peer {
	const char *address; /* "127.0.0.1:40112", "[::1]:40112", or "unix" */
	bool local;          /* a unix socket: uid and pid are the kernel's word */
	uid_t uid;           /* (uid_t)-1 when not local */
	pid_t pid;           /* 0 when not local; may have exited meanwhile */
};

const struct wire_peer *wire_call_peer(const struct wire_call *call); /* until `gone` */
/* What is left of the client's deadline; INT64_MAX without one. */
int64_t wire_call_left_ms(const struct wire_call *call);

/* What the response's own headers say beside gRPC's: they leave with the first message, or
 * with the status where there is none.  Before any send or finish, at most once; copied. */
void wire_call_set_headers(
	struct wire_call *call, const struct wire_pair *headers, size_t count);

/* Finish.  A message that still waits goes out before the status; `gone` follows when
 * all is sent.  text may be NULL; everything is copied.  The second finish of a call is
 * ignored, so is one after it was over. */
void wire_call_finish(struct wire_call *call, enum wire_status status, const char *text);
void wire_call_finish_with(struct wire_call *call, enum wire_status status,
	const char *text, const struct wire_pair *trailers, size_t count);
/* Finish with the status of e->code and e->text. */
void wire_call_fail(struct wire_call *call, const struct err *e);
/* Send this message and finish with OK: the answer of a method whose server does not
 * stream.  A message above the limit finishes with RESOURCE_EXHAUSTED instead. */
void wire_call_reply(struct wire_call *call, const void *message);

/* ---- calls: client side */

/* This side will send no more (only where the client streams). */
void wire_call_end(struct wire_call *call);

/* ---- limits: 0 means the default given here */

struct wire_limits {
	size_t message_bytes;  /* 4 MiB, either way; above: RESOURCE_EXHAUSTED */
	size_t metadata_bytes; /* 16 KiB, as HTTP/2 counts: 32 more for each pair */
	size_t window_bytes;   /* 256 KiB a stream may send unasked */
	size_t buffered_bytes; /* 256 MiB of incomplete messages of one server or client;
	                          * beyond, windows stay shut; at twice that, calls fail */
	uint32_t streams;      /* 128 open calls per connection */
	uint32_t connections;  /* 1024; above: closed as they come */
	uint32_t resets;       /* 1000 unanswered calls reset in a burst, then ... */
	uint32_t resets_per_s; /* ... 33; above: GOAWAY */
	uint32_t acks; /* 1000 answers that wait to be sent to who does not read */
	uint32_t handshake_ms;      /* 10 s to connect and to speak HTTP/2 */
	uint32_t first_call_ms;     /* 60 s until a connection's first call (server) */
	uint32_t idle_ms;           /* 30 min without a call, then GOAWAY (server) */
	uint32_t keepalive_ms;      /* 30 s of silence, then a PING ... */
	uint32_t keepalive_wait_ms; /* ... that must be answered within 20 s */
	uint32_t upload_ms;         /* 120 s for one message to come in whole */
	uint32_t stall_ms; /* 10 min in which a peer takes none of what waits for it */
};

/* ---- server
 *
 * All methods of a server are served on all of its listeners: what strangers must not
 * reach needs a server of its own, which may share the loop. */

struct wire_server *wire_server_new(uv_loop_t *loop, const struct wire_limits *limits);

/* Serve a method; method, on and user outlive the server.  Before the first listen. */
void wire_server_add(struct wire_server *server, const struct wire_method *method,
	const struct wire_handlers *on, void *user);
/* The methods in the order of their adding (for reflection); NULL past the last. */
const struct wire_method *wire_server_method(
	const struct wire_server *server, size_t index);

/* The calls of one method since the start; those of paths that nobody serves are in
 * wire_counts.calls_total only. */
struct wire_method_stats {
	uint64_t started;
	uint64_t ended[WIRE_STATUS_COUNT]; /* by status; the others are open */
	struct histogram seconds;          /* of those that ended */
};
/* Of the method with this index; NULL past the last. */
const struct wire_method_stats *wire_server_method_stats(
	const struct wire_server *server, size_t index);

uv_loop_t *wire_server_loop(const struct wire_server *server);

struct wire_tls { /* has its place; listening and connecting with it is ERR_UNSUPPORTED */
	const char *certificate_file, *key_file;
	const char *peers_file; /* the authorities whose certificates are taken */
};

struct wire_listen {
	const struct wire_tls *tls; /* NULL: plaintext */
	const uid_t *uids; /* unix sockets: who may connect; NULL: anyone who can */
	size_t uid_count;
	mode_t mode; /* of a socket file made here; 0 means 0600 */
};

#define WIRE_ADDRESS_SIZE 128

/* Listen on "host:port", "[v6]:port"; port 0 picks one.  The host is numeric or a name of
 * this machine (resolving it blocks).  *bound, when given, is the numeric address. */
int wire_server_listen_tcp(struct wire_server *server, const char *address,
	const struct wire_listen *options, char bound[WIRE_ADDRESS_SIZE],
	struct err *e) MUST_CHECK;
/* Make a socket file and listen on it.  A file that nobody listens on any more is
 * replaced; ERR_CONFLICT when somebody does.  The file is removed on close. */
int wire_server_listen_unix(struct wire_server *server, const char *path,
	const struct wire_listen *options, struct err *e) MUST_CHECK;
/* Does somebody take connections on this socket file?  Also a path that is too long for a
 * socket's address. */
bool wire_is_listening_unix(const char *path);
/* Listen on a bound unix or TCP stream socket; takes the fd, on failure too. */
int wire_server_listen_fd(struct wire_server *server, int fd,
	const struct wire_listen *options, struct err *e) MUST_CHECK;

/* Take no more connections and calls, tell the clients, wait for the open calls for at
 * most limit_ms; what is left then is over as LOST.  Then *done once, from the loop; only
 * wire_server_close() is left to do. */
void wire_server_drain(struct wire_server *server, uint64_t limit_ms,
	void (*done)(struct wire_server *server, void *user), void *user);

/* Close everything now: calls `gone` for every open call before it returns; inside a
 * handler, later in the same turn.  The memory goes when the loop has run once more; NULL
 * is fine. */
void wire_server_close(struct wire_server *server);

struct wire_counts {
	size_t connections, calls; /* open now */
	size_t buffered_bytes;     /* of incomplete messages, now */
	uint64_t connections_total, calls_total;
	uint64_t refused;   /* connections above the cap or of a wrong uid */
	uint64_t sent_away; /* connections that reset streams too fast */
};
struct wire_counts wire_server_counts(const struct wire_server *server);

/* Is this "host:port" (numeric or localhost) or "unix:..." reached from this machine only? */
bool wire_address_is_loopback(const char *address);

/* ---- client: one connection */

struct wire_connect {
	const char *address; /* "host:port", "[v6]:port" or "unix:/path" */
	const struct wire_tls *tls;
	const struct wire_limits *limits; /* NULL: the defaults */
	/* The connection stands: it speaks HTTP/2.  NULL is fine. */
	void (*up)(struct wire_client *client, void *user);
	/* It could not be made or is lost, after `gone` of all its calls; exactly once, not
	 * after wire_client_close().  Only closing is left to do.  NULL is fine. */
	void (*down)(struct wire_client *client, const struct err *why, void *user);
	void *user;
};

/* Begin to connect.  Calls may be made at once; they leave when the connection stands.
 * NULL for what is wrong with the address itself; the rest comes by `down`. */
struct wire_client *wire_client_open(
	uv_loop_t *loop, const struct wire_connect *connect, struct err *e) MUST_CHECK;

/* `gone` of every open call comes before this returns; inside a handler, later in the same
 * turn.  The memory goes when the loop has run once more; NULL is fine. */
void wire_client_close(struct wire_client *client);

struct wire_request {
	const struct wire_method *method; /* outlives the call */
	const struct wire_handlers *on;   /* outlives the call */
	void *user;
	const void *message; /* where the client does not stream; packed at once */
	uint64_t timeout_ms; /* 0: none */
	const struct wire_pair *metadata; /* copied */
	size_t metadata_count;
};

/* NULL when the message is above the limit (ERR_EXHAUSTED), the metadata is not fit to be
 * sent (ERR_INVALID), or the connection is down (ERR_UNAVAILABLE). */
struct wire_call *wire_client_call(struct wire_client *client,
	const struct wire_request *request, struct err *e) MUST_CHECK;

/* For programs that do one thing at a time: run the loop until the call is over; not
 * inside a handler.  Where the client streams, request->on->pull is woken for a start.
 *
 * A method whose server does not stream: *reply is the caller's.  On failure -1 with the
 * text of the status or of what broke; *status, when given, is set either way. */
int wire_client_ask(struct wire_client *client, const struct wire_request *request,
	ProtobufCMessage **reply, enum wire_status *status, struct err *e) MUST_CHECK;
/* A method whose server streams: request->on gets the messages (and, if it likes, gone). */
int wire_client_each(struct wire_client *client, const struct wire_request *request,
	enum wire_status *status, struct err *e) MUST_CHECK;
