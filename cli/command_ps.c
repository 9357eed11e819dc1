/* command_ps.c - ps: the list of jobs. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "command.h"
#include "job_filter.h"
#include "job_table.h"
#include "json.h"
#include "remote.h"
#include "watch.h"

/* What is drawn: a table, or a JSON array. */
struct picture {
	struct job_table table;
	json_t *array;
};

static bool add_page(const Cumulus__Orchestrator__JobList *page, void *user)
{
	struct picture *p = user;

	for (size_t i = 0; i < page->n_jobs; i++) {
		if (p->array)
			json_array_append_new(
				p->array, json_of_message(&page->jobs[i]->base));
		else
			job_table_add(&p->table, page->jobs[i]);
	}
	return true;
}

static void picture_fini(struct picture *p)
{
	job_table_fini(&p->table);
	json_decref(p->array);
}

static void add_json(json_t *value, struct buf *out)
{
	CLEANUP(free_ptr) char *text = json_text(value, false);

	buf_addf(out, "%s\n", text);
}

static enum exit_code draw(struct cli *cli, struct buf *out)
{
	const struct options *o = cli->options;
	CLEANUP(job_filter_fini) struct job_filter filter = { 0 };
	CLEANUP(picture_fini)
	struct picture picture = { .array = o->json ? json_array() : NULL };
	enum exit_code code = EXIT_DONE;
	struct err e = { 0 };

	if (job_filter_init(&filter, o, &e) < 0 ||
		job_table_init(&picture.table, o->columns, !o->quiet, &e) < 0)
		return fail(&e);
	if (remote_each_page(
		    cli->remote, &filter.message, add_page, &picture, &code, &e) < 0) {
		complain(&e);
		return code;
	}
	if (picture.array)
		add_json(picture.array, out);
	else
		job_table_print(&picture.table, terminal_columns(STDOUT_FILENO), out);
	return EXIT_DONE;
}

enum exit_code command_ps(struct cli *cli)
{
	return watch(cli, draw);
}
