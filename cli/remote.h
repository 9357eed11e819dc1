/* remote.h - the orchestrator as the command line sees it.
 *
 * Thread: the one.  Dials when it is first asked, and again when the connection is gone.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <uv.h>

#include "exit_code.h"
#include "orchestrator.pb-c.h"
#include "wire.h"

/* Shorter names for what is used on every second line. */
typedef Cumulus__Orchestrator__JobStatus JobStatus;
typedef Cumulus__Orchestrator__JobEvent JobEvent;
typedef Cumulus__Orchestrator__JobSubmission JobSubmission;

/* For CLEANUP(free_message) JobStatus *s. */
static inline void free_message(void *p)
{
	wire_message_free(*(void **)p);
}

enum remote_method {
	REMOTE_SUBMIT_JOB,
	REMOTE_GET_JOB_STATUS,
	REMOTE_CANCEL_JOB,
	REMOTE_LIST_WORKERS,
	REMOTE_HEALTH_CHECK,
	REMOTE_WATCH_JOB,
	REMOTE_LIST_JOBS,
	REMOTE_GET_JOB_LOGS,
	REMOTE_GET_JOB_RESULT,
	REMOTE_MISSING_PACKAGES,
	REMOTE_UPLOAD_PACKAGE,
	REMOTE_EXPLAIN_JOB,
	REMOTE_DRAIN_WORKER,
	REMOTE_RESUME_WORKER,
	REMOTE_METHOD_COUNT
};

struct remote {
	uv_loop_t loop;
	char *address;        /* owned */
	uint64_t patience_ms; /* for one answer; may be set */
	struct wire_client *client;
	bool up;   /* this connection stood at some time */
	bool down; /* and is no more */
	struct err why_down;
};

void remote_init(struct remote *r, const char *address);
void remote_fini(struct remote *r);

/* One call, begun; its handlers come from r->loop.  Not inside a handler of wire. */
struct wire_call *remote_call(struct remote *r, enum remote_method method,
	const void *message, const struct wire_handlers *on, void *user,
	struct err *e) MUST_CHECK;

/* One question of a method that answers once.  On failure *code is how to exit. */
ProtobufCMessage *remote_ask(struct remote *r, enum remote_method method,
	const void *message, enum exit_code *code, struct err *e) MUST_CHECK;

/* The same where this side streams: on->pull sends, as long as it takes. */
ProtobufCMessage *remote_send(struct remote *r, enum remote_method method,
	const struct wire_handlers *on, void *user, enum exit_code *code,
	struct err *e) MUST_CHECK;

/* A method that answers with a stream: returns when it is over, which on->gone learns
 * (unless there is no connection: then -1). */
int remote_each(struct remote *r, enum remote_method method, const void *message,
	const struct wire_handlers *on, void *user, struct err *e) MUST_CHECK;

/* Let so much time go by, attending to the connection. */
void remote_wait(struct remote *r, uint64_t ms);

/* Forget a connection that is lost; the next call dials. */
void remote_hang_up(struct remote *r);

/* How a call that is over failed, with what to do about it; returns how to exit. */
enum exit_code remote_failure(
	const struct remote *r, const struct wire_call *call, struct err *e);

/* Find the whole id of a job, given its beginning ("j-" may be left out).  The caller
 * frees it; NULL when there is none or more than one. */
char *remote_find_job(struct remote *r, const char *prefix, enum exit_code *code,
	struct err *e) MUST_CHECK;

/* The same of a worker, whose whole hostname will do, too. */
char *remote_find_worker(struct remote *r, const char *prefix, enum exit_code *code,
	struct err *e) MUST_CHECK;

/* The status of the one job whose id begins so, for the caller to free. */
JobStatus *remote_job_status(struct remote *r, const char *prefix, enum exit_code *code,
	struct err *e) MUST_CHECK;

/* Does this id begin so, with or without its letter? */
bool remote_id_begins(const char *id, const char *prefix);

/* All jobs that request asks for, page by page: each page goes to take, which stops the
 * walk by returning false. */
int remote_each_page(struct remote *r, Cumulus__Orchestrator__ListJobsRequest *request,
	bool (*take)(const Cumulus__Orchestrator__JobList *page, void *user), void *user,
	enum exit_code *code, struct err *e) MUST_CHECK;
