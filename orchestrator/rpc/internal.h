/* internal.h - what the files of rpc share.
 *
 * Thread: loop.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "orchestrator.pb-c.h"
#include "rpc.h"
#include "tape.h"
#include "xalloc.h"

struct rpc {
	struct rpc_config config;
	int64_t began_boot_ns;
	struct health *health;
	struct reflection *reflection;
	struct tape_shelf shelf; /* of all streams of output */
};

/* Everybody is one tenant until there is authentication. */
#define RPC_OWNER "local"

/* A call that asks the relay or the store one thing at a time.  It outlives its call while
 * a question is open; then `call` is NULL.  The first member of each method's own struct,
 * which is freed as one block after `fini`. */
struct asker {
	struct rpc *rpc;
	struct wire_call *call;
	bool asked;
	void (*fini)(struct asker *a); /* NULL: nothing but the block itself */
};

/* Make one of `size` bytes and tie it to the call. */
void *asker_new(struct wire_call *call, size_t size, void (*fini)(struct asker *a));
/* The question is answered; false: nobody waits any more and a is gone. */
bool asker_is_back(struct asker *a);
/* The handler of that name. */
void asker_on_gone(struct wire_call *call);

/* Finish with the error's status.  What is our own fault, or the machine's, is INTERNAL with
 * a reference; what it was is in the log beside the same reference. */
void rpc_fail(struct wire_call *call, const struct err *e);

/* ERR_NOT_FOUND with the job's id, for an id that is unknown or somebody else's. */
int no_such_job(struct err *e, const char *id);

/* grpc.health.v1 and grpc.reflection, added to the server; it is closed before the free. */
struct health *health_new(struct wire_server *server, const struct rpc *rpc);
void health_free(struct health *h); /* NULL is fine */
struct reflection *reflection_new(struct wire_server *server);
void reflection_free(struct reflection *r); /* NULL is fine */

/* A question about one job.  Live jobs are answered from memory, the others by the store;
 * a job leaves memory only when the store has all of it. */
struct inquiry {
	struct asker asker; /* first */
	char job[ID_SIZE];
};

/* The question, or NULL when the id is none and the call is answered. */
struct inquiry *inquiry_new(struct wire_call *call, const char *id);
/* Tell what went wrong; what the store does not find has no better name. */
void inquiry_fail(struct inquiry *q, const struct err *failed);

/* Make the call a watcher of this job from its start, output in its messages too; from then
 * on watch_is() its data, and its pull and gone are watch's. */
void watch_begin(struct wire_call *call, const char *job);
bool watch_is(const struct asker *a); /* NULL is none */
void watch_on_pull(struct wire_call *call);
void watch_on_gone(struct wire_call *call);

/* Handlers of the methods, one file each. */
extern const struct wire_handlers rpc_submit_job, rpc_watch_job, rpc_get_job_status,
	rpc_cancel_job, rpc_list_workers, rpc_health_check, rpc_list_jobs,
	rpc_get_job_logs, rpc_get_job_result, rpc_upload_package, rpc_missing_packages,
	rpc_explain_job, rpc_drain_worker, rpc_resume_worker;
