/* command_cancel.c - cancel: jobs that are named, or all that are meant by filters. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <unistd.h>

#include "cleanup.h"
#include "command.h"
#include "job_filter.h"
#include "json.h"
#include "message.h"
#include "narrator.h"
#include "remote.h"
#include "str.h"
#include "text.h"
#include "xalloc.h"

static void tell(const struct cli *cli, const char *job_id,
	const Cumulus__Orchestrator__CancelJobResponse *reply)
{
	if (cli->options->json) {
		json_t *value = json_of_message(&reply->base);

		json_object_set_new(value, "job_id", json_string(job_id));
		json_print(value, false);
		return;
	}
	if (cli->options->quiet)
		return;

	CLEANUP(free_ptr)
	char *line = reply->cancelled ? str_fmt("%s  to be cancelled\n", job_id)
				      : str_fmt("%s  not cancelled: it is %s already\n",
						job_id, state_name(reply->state));
	put_text(STDOUT_FILENO, line);
}

static enum exit_code cancel_one(struct cli *cli, const char *prefix)
{
	Cumulus__Orchestrator__JobCancelRequest request =
		CUMULUS__ORCHESTRATOR__JOB_CANCEL_REQUEST__INIT;
	enum exit_code code = EXIT_DONE;
	struct err e = { 0 };
	CLEANUP(free_ptr) char *job_id = remote_find_job(cli->remote, prefix, &code, &e);

	request.job_id = job_id;

	CLEANUP(free_message)
	Cumulus__Orchestrator__CancelJobResponse *reply =
		!job_id ? NULL
			: (void *)remote_ask(
				  cli->remote, REMOTE_CANCEL_JOB, &request, &code, &e);
	if (!reply) {
		complain(&e);
		return code;
	}
	tell(cli, job_id, reply);
	return EXIT_DONE;
}

/* A job that ended already is no failure: what was wanted is so.  One that is not found
 * does not keep the others from being cancelled. */
static enum exit_code cancel_each(struct cli *cli, const char *const *ids, size_t count)
{
	enum exit_code first = EXIT_DONE;

	for (size_t i = 0; i < count; i++) {
		enum exit_code code = cancel_one(cli, ids[i]);

		if (first == EXIT_DONE)
			first = code;
		if (code == EXIT_NO_ANSWER)
			break;
	}
	return first;
}

struct ids {
	char **at; /* owned, with its texts */
	size_t count;
};

static void ids_fini(struct ids *ids)
{
	for (size_t i = 0; i < ids->count; i++)
		free(ids->at[i]);
	free(ids->at);
}

static bool add_page(const Cumulus__Orchestrator__JobList *page, void *user)
{
	struct ids *ids = user;

	ids->at = xreallocarray(ids->at, ids->count + page->n_jobs + 1, sizeof(*ids->at));
	for (size_t i = 0; i < page->n_jobs; i++)
		ids->at[ids->count++] = xstrdup(page->jobs[i]->job_id);
	return true;
}

/* Found first and then cancelled, so that the list does not change while it is read. */
static enum exit_code cancel_found(struct cli *cli, const struct options *o)
{
	CLEANUP(job_filter_fini) struct job_filter filter = { 0 };
	CLEANUP(ids_fini) struct ids ids = { 0 };
	enum exit_code code = EXIT_DONE;
	struct err e = { 0 };

	if (job_filter_init(&filter, o, &e) < 0)
		return fail(&e);
	for (size_t i = 0; i < filter.message.n_states; i++) {
		if (!state_is_final(filter.states[i]))
			continue;
		err_set(&e, ERR_INVALID,
			"cancel: --filter: what is %s has ended; it may be waiting, "
			"starting or running",
			state_name(filter.states[i]));
		return fail(&e);
	}
	if (remote_each_page(cli->remote, &filter.message, add_page, &ids, &code, &e) <
		0) {
		complain(&e);
		return code;
	}
	if (ids.count == 0 && !o->quiet && !o->json)
		put_text(STDERR_FILENO, "no such jobs\n");
	return cancel_each(cli, (const char *const *)ids.at, ids.count);
}

enum exit_code command_cancel(struct cli *cli)
{
	const struct options *o = cli->options;
	bool named = o->operands.count > 0;
	bool filtered = o->states || o->name || o->labels.count > 0 || o->since_s;
	struct options live = *o;
	struct err e = { 0 };

	if (named && (filtered || o->all)) {
		err_set(&e, ERR_INVALID,
			"cancel: ids and --all or filters exclude each other");
		return fail(&e);
	}
	if (!named && !filtered && !o->all) {
		err_set(&e, ERR_INVALID,
			"cancel wants ID..., --all or a filter; see cumulus cancel "
			"--help");
		return fail(&e);
	}
	if (named)
		return cancel_each(cli, o->operands.at, o->operands.count);
	live.all = false; /* all that have not ended */
	return cancel_found(cli, &live);
}
