/* command_workers.c - workers: the machines, with a bar for each GPU. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "command.h"
#include "json.h"
#include "message.h"
#include "remote.h"
#include "str.h"
#include "text.h"
#include "watch.h"

typedef Cumulus__Orchestrator__WorkerInfo Worker;
typedef Cumulus__Orchestrator__GPUDevice Device;

/* One line of text from outside, cut to the terminal. */
static void add_line(struct buf *out, char *line)
{
	CLEANUP(free_ptr) char *safe = text_escape(line);
	size_t columns = terminal_columns(STDOUT_FILENO);

	free(line);
	if (columns)
		safe[text_fit(safe, columns)] = '\0';
	buf_addf(out, "%s\n", safe);
}

static void draw_device(const Device *d, struct buf *out)
{
	char bar[BAR_SIZE], memory[SPAN_SIZE];
	bool told = *d->enforcement && strcmp(d->enforcement, "off") != 0;

	text_gpu_bar(bar, (double)d->allocated_amount, (double)d->foreign_amount);
	text_bytes(memory, (int64_t)d->memory_mb << 20);
	add_line(out,
		str_fmt("  GPU %d %s %.2f of %.2f  %s (%s, %s)%s%s", d->index, bar,
			(double)d->allocated_amount, (double)d->total_capacity, d->name,
			d->kind, memory, told ? "" : "  shares are not enforced",
			d->foreign_amount > 0 ? "  x: not ours" : ""));
	for (size_t i = 0; i < d->n_active_partitions; i++) {
		const Cumulus__Orchestrator__PartitionInfo *p = d->active_partitions[i];

		add_line(out, str_fmt("        %.2f  %s", (double)p->amount,
				      *p->job_id ? p->job_id : p->partition_id));
	}
}

static void draw_worker(const Worker *w, struct buf *out)
{
	char memory[SPAN_SIZE];

	add_line(out, str_fmt("%s  %s  %s  %d CPUs, %s, %d running", w->id, w->hostname,
			      w->status, w->cpus, text_bytes(memory, w->memory_mb << 20),
			      w->running_jobs));
	for (size_t i = 0; i < w->n_gpu_devices; i++)
		draw_device(w->gpu_devices[i], out);
}

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

		err_set(&e, ERR_NOT_FOUND, "no worker begins with %s",
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
			draw_worker(list->workers[i], out);
	if (found == 0 && !o->quiet)
		buf_addf(out, "no workers\n");
	return EXIT_DONE;
}

enum exit_code command_workers(struct cli *cli)
{
	return watch(cli, draw);
}
