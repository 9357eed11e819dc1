/* command_top.c - top: the system, its GPUs and its jobs on one screen. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "command.h"
#include "job_filter.h"
#include "job_table.h"
#include "json.h"
#include "message.h"
#include "pool.h"
#include "remote.h"
#include "str.h"
#include "text.h"
#include "watch.h"

#define JOBS_MAX 200 /* more than a screen shows */

/* The answers to the three questions that one picture asks. */
struct answers {
	Cumulus__Orchestrator__HealthStatus *health;
	Cumulus__Orchestrator__WorkerList *workers;
	Cumulus__Orchestrator__JobList *jobs;
};

static void answers_fini(struct answers *a)
{
	wire_message_free(a->health);
	wire_message_free(a->workers);
	wire_message_free(a->jobs);
}

static int ask(struct cli *cli, struct answers *a, enum exit_code *code, struct err *e)
{
	Cumulus__Orchestrator__HealthCheckRequest health =
		CUMULUS__ORCHESTRATOR__HEALTH_CHECK_REQUEST__INIT;
	Cumulus__Orchestrator__ListWorkersRequest workers =
		CUMULUS__ORCHESTRATOR__LIST_WORKERS_REQUEST__INIT;
	CLEANUP(job_filter_fini) struct job_filter jobs = { 0 };

	if (job_filter_init(&jobs, cli->options, e) < 0) {
		*code = exit_code_of_err(e);
		return -1;
	}
	jobs.message.page_size = JOBS_MAX;
	a->health =
		(void *)remote_ask(cli->remote, REMOTE_HEALTH_CHECK, &health, code, e);
	if (!a->health)
		return -1;
	a->workers =
		(void *)remote_ask(cli->remote, REMOTE_LIST_WORKERS, &workers, code, e);
	if (!a->workers)
		return -1;
	a->jobs =
		(void *)remote_ask(cli->remote, REMOTE_LIST_JOBS, &jobs.message, code, e);
	return a->jobs ? 0 : -1;
}

/* One field of a message; the caller's reference. */
static json_t *field_of(const ProtobufCMessage *message, const char *name)
{
	json_t *whole = json_of_message(message);
	json_t *field = json_incref(json_object_get(whole, name));

	json_decref(whole);
	return field;
}

static void draw_json(const struct answers *a, struct buf *out)
{
	json_t *value =
		json_pack("{s:o, s:o, s:o}", "health", json_of_message(&a->health->base),
			"workers", field_of(&a->workers->base, "workers"), "jobs",
			field_of(&a->jobs->base, "jobs"));
	CLEANUP(free_ptr) char *text = json_text(value, false);

	buf_addf(out, "%s\n", text);
	json_decref(value);
}

static void draw_health(const Cumulus__Orchestrator__HealthStatus *h, struct buf *out)
{
	char span[SPAN_SIZE];

	pool_add_line(out,
		str_fmt("%s%s%s   cumulusd %s, up %s   %d active, %d waiting   %d ready",
			h->status, *h->message ? ": " : "", h->message, h->version,
			text_span(span, h->uptime_seconds), h->active_jobs,
			h->waiting_jobs, h->available_workers));
}

static int draw_jobs(
	const struct options *o, const struct answers *a, struct buf *out, struct err *e)
{
	CLEANUP(job_table_fini) struct job_table table = { 0 };

	if (job_table_init(&table, o->columns, true, e) < 0)
		return -1;
	for (size_t i = 0; i < a->jobs->n_jobs; i++)
		job_table_add(&table, a->jobs->jobs[i]);
	job_table_print(&table, terminal_columns(STDOUT_FILENO), out);
	if (*a->jobs->next_page_token)
		buf_addf(out, "and more: cumulus ps\n");
	return 0;
}

static enum exit_code draw(struct cli *cli, struct buf *out)
{
	CLEANUP(answers_fini) struct answers a = { 0 };
	enum exit_code code = EXIT_DONE;
	struct err e = { 0 };

	if (ask(cli, &a, &code, &e) < 0) {
		complain(&e);
		return code;
	}
	if (cli->options->json) {
		draw_json(&a, out);
		return EXIT_DONE;
	}
	draw_health(a.health, out);
	buf_addf(out, "\n");
	for (size_t i = 0; i < a.workers->n_workers; i++)
		pool_draw_worker(a.workers->workers[i], out);
	if (a.workers->n_workers == 0)
		buf_addf(out, "no workers\n");
	buf_addf(out, "\n");
	return draw_jobs(cli->options, &a, out, &e) < 0 ? fail(&e) : EXIT_DONE;
}

/* Where nothing can be redrawn, or a program reads, one picture is what is wanted. */
enum exit_code command_top(struct cli *cli)
{
	struct options o = *cli->options;
	struct cli again = { &o, cli->terminal, cli->remote };

	o.watch = cli->terminal->out_moves && !o.json;
	return watch(&again, draw);
}
