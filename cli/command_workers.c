/* command_workers.c - workers, drain, undrain: the machines and what they may take. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "command.h"
#include "json.h"
#include "message.h"
#include "pool.h"
#include "remote.h"
#include "str.h"
#include "watch.h"

typedef Cumulus__Orchestrator__WorkerInfo Worker;

/* NULL: all. */
static bool wanted(const Worker *w, const char *prefix)
{
	return !prefix || remote_id_begins(w->id, prefix);
}

static void draw_json(const Cumulus__Orchestrator__WorkerList *list, const char *prefix,
	struct buf *out)
{
	json_t *array = json_array();

	for (size_t i = 0; i < list->n_workers; i++)
		if (wanted(list->workers[i], prefix))
			json_array_append_new(
				array, json_of_message(&list->workers[i]->base));

	CLEANUP(free_ptr) char *text = json_text(array, false);
	buf_addf(out, "%s\n", text);
	json_decref(array);
}

static enum exit_code draw(struct cli *cli, struct buf *out)
{
	Cumulus__Orchestrator__ListWorkersRequest request =
		CUMULUS__ORCHESTRATOR__LIST_WORKERS_REQUEST__INIT;
	const struct options *o = cli->options;
	const char *prefix = o->operands.count ? o->operands.at[0] : NULL;
	enum exit_code code = EXIT_DONE;
	struct err e = { 0 };
	size_t found = 0;
	CLEANUP(free_message)
	Cumulus__Orchestrator__WorkerList *list =
		(void *)remote_ask(cli->remote, REMOTE_LIST_WORKERS, &request, &code, &e);

	if (!list) {
		complain(&e);
		return code;
	}
	for (size_t i = 0; i < list->n_workers; i++)
		found += wanted(list->workers[i], prefix);
	if (prefix && found == 0) {
		char quoted[STR_QUOTE_SIZE];

		err_set(&e, ERR_NOT_FOUND,
			"no worker begins with %s; cumulus workers lists them",
			str_quote(quoted, prefix, strlen(prefix)));
		complain(&e);
		return EXIT_NOT_FOUND;
	}
	if (o->json) {
		draw_json(list, prefix, out);
		return EXIT_DONE;
	}
	for (size_t i = 0; i < list->n_workers; i++)
		if (wanted(list->workers[i], prefix))
			pool_draw_worker(list->workers[i], out);
	if (found == 0 && !o->quiet)
		buf_addf(out, "no workers\n");
	return EXIT_DONE;
}

enum exit_code command_workers(struct cli *cli)
{
	return watch(cli, draw);
}

/* ---- drain, undrain */

static enum exit_code change(
	struct cli *cli, enum remote_method method, const void *request, const char *done)
{
	enum exit_code code = EXIT_DONE;
	struct err e = { 0 };
	CLEANUP(free_message)
	Worker *w = (void *)remote_ask(cli->remote, method, request, &code, &e);

	if (!w) {
		complain(&e);
		return code;
	}
	if (cli->options->json) {
		json_print_message(&w->base);
	} else if (!cli->options->quiet) {
		CLEANUP(buf_fini) struct buf out = { 0 };

		pool_add_line(
			&out, str_fmt("%s  %s  %s: %s, %d running", w->id, w->hostname,
				      w->status, done, w->running_jobs));
		put_buf(STDOUT_FILENO, &out);
	}
	return EXIT_DONE;
}

static char *find_worker(struct cli *cli, enum exit_code *code)
{
	struct err e = { 0 };
	char *id =
		remote_find_worker(cli->remote, cli->options->operands.at[0], code, &e);

	if (!id)
		complain(&e);
	return id;
}

enum exit_code command_drain(struct cli *cli)
{
	Cumulus__Orchestrator__DrainWorkerRequest request =
		CUMULUS__ORCHESTRATOR__DRAIN_WORKER_REQUEST__INIT;
	enum exit_code code = EXIT_DONE;
	CLEANUP(free_ptr) char *id = find_worker(cli, &code);

	if (!id)
		return code;
	request.worker_id = id;
	request.forget = cli->options->forget;
	return change(cli, REMOTE_DRAIN_WORKER, &request,
		request.forget ? "it is forgotten" : "it takes no new jobs");
}

enum exit_code command_undrain(struct cli *cli)
{
	Cumulus__Orchestrator__ResumeWorkerRequest request =
		CUMULUS__ORCHESTRATOR__RESUME_WORKER_REQUEST__INIT;
	enum exit_code code = EXIT_DONE;
	CLEANUP(free_ptr) char *id = find_worker(cli, &code);

	if (!id)
		return code;
	request.worker_id = id;
	return change(cli, REMOTE_RESUME_WORKER, &request, "it takes jobs again");
}
