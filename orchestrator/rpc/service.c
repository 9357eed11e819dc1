/* service.c - the table of OrchestratorService's methods. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "id.h"
#include "internal.h"
#include "log.h"
#include "str.h"

#define P       "/cumulus.orchestrator.OrchestratorService/"
#define T(name) &cumulus__orchestrator__##name##__descriptor

static void on_unserved(struct wire_call *call, ProtobufCMessage *message)
{
	char text[128];

	wire_message_free(message);
	str_put(text, sizeof(text), "%s is not served yet (docs/limits.md)",
		strrchr(wire_call_method(call)->path, '/') + 1);
	wire_call_finish(call, WIRE_UNIMPLEMENTED, text);
}

static const struct wire_handlers unserved = { .message = on_unserved };

static const struct method {
	struct wire_method wire;
	const struct wire_handlers *on;
} methods[] = {
	{ { P "SubmitJob", T(job_submission), T(job_event), WIRE_SERVER_STREAMS },
		&rpc_submit_job },
	{ { P "GetJobStatus", T(job_status_request), T(job_status), WIRE_UNARY },
		&rpc_get_job_status },
	{ { P "CancelJob", T(job_cancel_request), T(cancel_job_response), WIRE_UNARY },
		&rpc_cancel_job },
	{ { P "ListWorkers", T(list_workers_request), T(worker_list), WIRE_UNARY },
		&rpc_list_workers },
	{ { P "HealthCheck", T(health_check_request), T(health_status), WIRE_UNARY },
		&rpc_health_check },
	{ { P "WatchJob", T(watch_job_request), T(job_event), WIRE_SERVER_STREAMS },
		&rpc_watch_job },
	{ { P "ListJobs", T(list_jobs_request), T(job_list), WIRE_UNARY },
		&rpc_list_jobs },
	{ { P "GetJobLogs", T(job_logs_request), T(output), WIRE_SERVER_STREAMS },
		&rpc_get_job_logs },
	{ { P "GetJobResult", T(job_result_request), T(job_result), WIRE_UNARY },
		&rpc_get_job_result },
	{ { P "UploadPackage", T(package_chunk), T(package_info), WIRE_CLIENT_STREAMS },
		&rpc_upload_package },
	{ { P "MissingPackages", T(package_digests), T(package_digests), WIRE_UNARY },
		&rpc_missing_packages },
	{ { P "ExplainJob", T(explain_job_request), T(explanation), WIRE_UNARY },
		&rpc_explain_job },
	{ { P "PauseJob", T(pause_job_request), T(job_status), WIRE_UNARY }, &unserved },
	{ { P "ResumeJob", T(resume_job_request), T(job_status), WIRE_UNARY },
		&unserved },
	{ { P "ListCheckpoints", T(list_checkpoints_request), T(checkpoint_list),
		  WIRE_UNARY },
		&unserved },
	{ { P "DrainWorker", T(drain_worker_request), T(worker_info), WIRE_UNARY },
		&rpc_drain_worker },
	{ { P "ResumeWorker", T(resume_worker_request), T(worker_info), WIRE_UNARY },
		&rpc_resume_worker },
};

struct rpc *rpc_new(struct wire_server *server, const struct rpc_config *config)
{
	struct rpc *r = xcalloc(1, sizeof(*r));

	r->config = *config;
	r->began_boot_ns = clock_boot_ns();
	tape_shelf_init(&r->shelf);
	for (size_t i = 0; i < sizeof(methods) / sizeof(*methods); i++)
		wire_server_add(server, &methods[i].wire, methods[i].on, r);
	r->health = health_new(server, r);
	r->reflection = reflection_new(server);
	return r;
}

void rpc_set_duration_max(struct rpc *r, int32_t seconds)
{
	r->config.limits.duration_max_s = seconds;
}

void rpc_free(struct rpc *r)
{
	if (!r)
		return;
	health_free(r->health);
	reflection_free(r->reflection);
	free(r);
}

/* ---- shared by the methods */

void *asker_new(struct wire_call *call, size_t size, void (*fini)(struct asker *a))
{
	struct asker *a = xcalloc(1, size);

	a->rpc = wire_call_user(call);
	a->call = call;
	a->fini = fini;
	wire_call_set_data(call, a);
	return a;
}

static void free_asker(struct asker *a)
{
	if (a->fini)
		a->fini(a);
	free(a);
}

bool asker_is_back(struct asker *a)
{
	a->asked = false;
	if (a->call)
		return true;
	free_asker(a);
	return false;
}

void asker_on_gone(struct wire_call *call)
{
	struct asker *a = wire_call_data(call);

	if (!a)
		return;
	a->call = NULL;
	if (!a->asked)
		free_asker(a);
}

/* A full disk is named as such; any other word of the machine's is not for strangers. */
static bool is_our_fault(const struct err *e)
{
	return e->code == ERR_SYSTEM || e->code == ERR_INTERNAL ||
	       (e->sys != 0 && e->code != ERR_EXHAUSTED);
}

void rpc_fail(struct wire_call *call, const struct err *e)
{
	char reference[ID_SIZE], text[128];

	if (!is_our_fault(e)) {
		wire_call_fail(call, e);
		return;
	}
	id_make(reference, 'e');
	log_error("call failed", "reference", reference, "method",
		wire_call_method(call)->path, "why", e->text, NULL);
	str_put(text, sizeof(text),
		"the orchestrator is at fault; its log says why beside %s", reference);
	wire_call_finish(call, WIRE_INTERNAL, text);
}

int no_such_job(struct err *e, const char *id)
{
	char quoted[STR_QUOTE_SIZE];

	return err_set(e, ERR_NOT_FOUND, "job \"%s\" is not known",
		str_quote(quoted, id, strlen(id)));
}
