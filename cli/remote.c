/* remote.c - dials the orchestrator and asks it. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "remote.h"

#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "id.h"
#include "message.h"
#include "str.h"
#include "xalloc.h"

#define PAGE_SIZE   500
#define PATIENCE_MS 30000

#define SERVICE     "/cumulus.orchestrator.OrchestratorService/"

#define METHOD(name, in, out, how)                                                       \
	{                                                                                \
		.path = SERVICE name,                                                    \
		.request = &cumulus__orchestrator__##in##__descriptor,                   \
		.response = &cumulus__orchestrator__##out##__descriptor, .kind = (how)   \
	}

static const struct wire_method methods[REMOTE_METHOD_COUNT] = {
	[REMOTE_SUBMIT_JOB] =
		METHOD("SubmitJob", job_submission, job_event, WIRE_SERVER_STREAMS),
	[REMOTE_GET_JOB_STATUS] =
		METHOD("GetJobStatus", job_status_request, job_status, WIRE_UNARY),
	[REMOTE_CANCEL_JOB] =
		METHOD("CancelJob", job_cancel_request, cancel_job_response, WIRE_UNARY),
	[REMOTE_LIST_WORKERS] =
		METHOD("ListWorkers", list_workers_request, worker_list, WIRE_UNARY),
	[REMOTE_HEALTH_CHECK] =
		METHOD("HealthCheck", health_check_request, health_status, WIRE_UNARY),
	[REMOTE_WATCH_JOB] =
		METHOD("WatchJob", watch_job_request, job_event, WIRE_SERVER_STREAMS),
	[REMOTE_LIST_JOBS] = METHOD("ListJobs", list_jobs_request, job_list, WIRE_UNARY),
	[REMOTE_GET_JOB_LOGS] =
		METHOD("GetJobLogs", job_logs_request, output, WIRE_SERVER_STREAMS),
	[REMOTE_GET_JOB_RESULT] =
		METHOD("GetJobResult", job_result_request, job_result, WIRE_UNARY),
	[REMOTE_MISSING_PACKAGES] =
		METHOD("MissingPackages", package_digests, package_digests, WIRE_UNARY),
	[REMOTE_UPLOAD_PACKAGE] =
		METHOD("UploadPackage", package_chunk, package_info, WIRE_CLIENT_STREAMS),
	[REMOTE_EXPLAIN_JOB] =
		METHOD("ExplainJob", explain_job_request, explanation, WIRE_UNARY),
	[REMOTE_DRAIN_WORKER] =
		METHOD("DrainWorker", drain_worker_request, worker_info, WIRE_UNARY),
	[REMOTE_RESUME_WORKER] =
		METHOD("ResumeWorker", resume_worker_request, worker_info, WIRE_UNARY),
};

void remote_init(struct remote *r, const char *address)
{
	*r = (struct remote){ .address = xstrdup(address), .patience_ms = PATIENCE_MS };
	if (uv_loop_init(&r->loop) != 0)
		abort();
}

void remote_fini(struct remote *r)
{
	remote_hang_up(r);
	uv_run(&r->loop, UV_RUN_DEFAULT);
	uv_loop_close(&r->loop);
	free(r->address);
	*r = (struct remote){ 0 };
}

static void on_up(struct wire_client *client, void *user)
{
	struct remote *r = user;

	(void)client;
	r->up = true;
}

static void on_down(struct wire_client *client, const struct err *why, void *user)
{
	struct remote *r = user;

	(void)client;
	r->down = true;
	r->why_down = *why;
}

void remote_hang_up(struct remote *r)
{
	wire_client_close(r->client);
	r->client = NULL;
	r->up = r->down = false;
}

static int dial(struct remote *r, struct err *e)
{
	const struct wire_connect connect = {
		.address = r->address, .up = on_up, .down = on_down, .user = r
	};

	if (r->client && r->down)
		remote_hang_up(r);
	if (!r->client)
		r->client = wire_client_open(&r->loop, &connect, e);
	return r->client ? 0 : -1;
}

static void on_waited(uv_timer_t *timer)
{
	uv_close((uv_handle_t *)timer, NULL);
}

void remote_wait(struct remote *r, uint64_t ms)
{
	uv_timer_t timer;

	if (uv_timer_init(&r->loop, &timer) || uv_timer_start(&timer, on_waited, ms, 0))
		abort();
	while (!uv_is_closing((uv_handle_t *)&timer))
		uv_run(&r->loop, UV_RUN_ONCE);
	/* The handle is ours until its close was carried out. */
	uv_run(&r->loop, UV_RUN_NOWAIT);
}

struct wire_call *remote_call(struct remote *r, enum remote_method method,
	const void *message, const struct wire_handlers *on, void *user, struct err *e)
{
	const struct wire_request request = {
		.method = &methods[method], .on = on, .user = user, .message = message
	};

	if (dial(r, e) < 0)
		return NULL;
	return wire_client_call(r->client, &request, e);
}

/* Somebody who has never reached the server may not have started it. */
static void add_hint(const struct remote *r, enum exit_code code, struct err *e)
{
	if (code != EXIT_NO_ANSWER || r->up)
		return;

	CLEANUP(free_ptr) char *why = xstrdup(e->text);

	err_set(e, e->code, "%.400s; is cumulusd running? try: sudo cumulus dev", why);
}

enum exit_code remote_failure(
	const struct remote *r, const struct wire_call *call, struct err *e)
{
	const char *placement = wire_call_metadata(call, "cumulus-reason");
	enum exit_code code = exit_code_of_status(wire_call_status(call), placement);

	if (wire_call_err(call, e) == 0)
		err_set(e, ERR_INTERNAL, "the answer ended too early");
	add_hint(r, code, e);
	return code;
}

static ProtobufCMessage *ask(struct remote *r, const struct wire_request *request,
	enum exit_code *code, struct err *e)
{
	enum wire_status status = WIRE_UNAVAILABLE;
	ProtobufCMessage *reply = NULL;

	if (dial(r, e) < 0) {
		*code = exit_code_of_err(e);
		return NULL;
	}
	if (wire_client_ask(r->client, request, &reply, &status, e) < 0) {
		*code = exit_code_of_status(status, NULL);
		add_hint(r, *code, e);
		return NULL;
	}
	return reply;
}

ProtobufCMessage *remote_ask(struct remote *r, enum remote_method method,
	const void *message, enum exit_code *code, struct err *e)
{
	const struct wire_request request = { .method = &methods[method],
		.message = message,
		.timeout_ms = r->patience_ms };

	return ask(r, &request, code, e);
}

ProtobufCMessage *remote_send(struct remote *r, enum remote_method method,
	const struct wire_handlers *on, void *user, enum exit_code *code, struct err *e)
{
	const struct wire_request request = {
		.method = &methods[method], .on = on, .user = user
	};

	return ask(r, &request, code, e);
}

int remote_each(struct remote *r, enum remote_method method, const void *message,
	const struct wire_handlers *on, void *user, struct err *e)
{
	const struct wire_request request = {
		.method = &methods[method], .on = on, .user = user, .message = message
	};
	enum wire_status status = WIRE_UNAVAILABLE;
	struct err ignored = { 0 };

	if (dial(r, e) < 0)
		return -1;
	/* How the call ended is told to on->gone. */
	if (wire_client_each(r->client, &request, &status, &ignored) < 0)
		return 0;
	return 0;
}

int remote_each_page(struct remote *r, Cumulus__Orchestrator__ListJobsRequest *request,
	bool (*take)(const Cumulus__Orchestrator__JobList *page, void *user), void *user,
	enum exit_code *code, struct err *e)
{
	CLEANUP(free_ptr) char *token = NULL;

	request->page_size = PAGE_SIZE;
	for (;;) {
		Cumulus__Orchestrator__JobList *page =
			(void *)remote_ask(r, REMOTE_LIST_JOBS, request, code, e);

		if (!page)
			return -1;

		bool more = take(page, user) && *page->next_page_token;

		free(token);
		token = xstrdup(page->next_page_token);
		request->page_token = token;
		wire_message_free(page);
		if (!more)
			break;
	}
	return 0;
}

/* The one id that begins so. */
struct search {
	const char *prefix;
	char *found; /* owned */
	bool twice;
};

bool remote_id_begins(const char *id, const char *prefix)
{
	return str_starts(id, prefix) ||
	       (id[0] && id[1] == '-' && str_starts(id + 2, prefix));
}

static void search_take(struct search *s, const char *id)
{
	s->twice = s->found != NULL;
	if (!s->twice)
		s->found = xstrdup(id);
}

/* What was found, or why there is none.  list: the command that shows which there are.
 * Ends the search. */
static char *search_end(struct search *s, const char *what, const char *list,
	enum exit_code *code, struct err *e)
{
	char quoted[STR_QUOTE_SIZE];

	if (s->found && !s->twice)
		return s->found;
	str_quote(quoted, s->prefix, strlen(s->prefix));
	*code = s->twice ? EXIT_USAGE : EXIT_NOT_FOUND;
	if (s->twice)
		err_set(e, ERR_INVALID, "more than one %s begins with %s", what, quoted);
	else
		err_set(e, ERR_NOT_FOUND, "no %s begins with %s; %s lists them", what,
			quoted, list);
	free(s->found);
	return NULL;
}

/* A search without anything to go by would find whatever is alone. */
static int check_prefix(const char *prefix, const char *what, const char *empty,
	enum exit_code *code, struct err *e)
{
	char quoted[STR_QUOTE_SIZE];

	if (*prefix && strcmp(prefix, empty) != 0)
		return 0;
	*code = EXIT_USAGE;
	return err_set(e, ERR_INVALID, "\"%s\" is not the id of a %s",
		str_quote(quoted, prefix, strlen(prefix)), what);
}

static bool search_page(const Cumulus__Orchestrator__JobList *page, void *user)
{
	struct search *s = user;

	for (size_t i = 0; i < page->n_jobs && !s->twice; i++)
		if (remote_id_begins(page->jobs[i]->job_id, s->prefix))
			search_take(s, page->jobs[i]->job_id);
	return !s->twice;
}

char *remote_find_job(
	struct remote *r, const char *prefix, enum exit_code *code, struct err *e)
{
	Cumulus__Orchestrator__ListJobsRequest request =
		CUMULUS__ORCHESTRATOR__LIST_JOBS_REQUEST__INIT;
	struct search s = { .prefix = prefix };

	if (id_valid(prefix, 'j'))
		return xstrdup(prefix);
	if (check_prefix(prefix, "job", "j-", code, e) < 0)
		return NULL;
	if (remote_each_page(r, &request, search_page, &s, code, e) < 0) {
		free(s.found);
		return NULL;
	}
	return search_end(
		&s, "job's id", "cumulus ps -a, with -n NAME by name,", code, e);
}

JobStatus *remote_job_status(
	struct remote *r, const char *prefix, enum exit_code *code, struct err *e)
{
	Cumulus__Orchestrator__JobStatusRequest request =
		CUMULUS__ORCHESTRATOR__JOB_STATUS_REQUEST__INIT;
	CLEANUP(free_ptr) char *job_id = remote_find_job(r, prefix, code, e);

	if (!job_id)
		return NULL;
	request.job_id = job_id;
	return (void *)remote_ask(r, REMOTE_GET_JOB_STATUS, &request, code, e);
}

char *remote_find_worker(
	struct remote *r, const char *prefix, enum exit_code *code, struct err *e)
{
	Cumulus__Orchestrator__ListWorkersRequest request =
		CUMULUS__ORCHESTRATOR__LIST_WORKERS_REQUEST__INIT;
	struct search s = { .prefix = prefix };

	if (check_prefix(prefix, "worker", "w-", code, e) < 0)
		return NULL;

	CLEANUP(free_message)
	Cumulus__Orchestrator__WorkerList *list =
		(void *)remote_ask(r, REMOTE_LIST_WORKERS, &request, code, e);
	if (!list)
		return NULL;
	for (size_t i = 0; i < list->n_workers; i++)
		if (remote_id_begins(list->workers[i]->id, prefix) ||
			strcmp(list->workers[i]->hostname, prefix) == 0)
			search_take(&s, list->workers[i]->id);
	return search_end(&s, "worker", "cumulus workers", code, e);
}
