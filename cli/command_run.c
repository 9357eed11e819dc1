/* command_run.c - run, submit and attach: a job's story, from its start or taken up again. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "command.h"
#include "follow.h"
#include "json.h"
#include "message.h"
#include "str.h"
#include "submission.h"
#include "text.h"
#include "upload.h"

static struct narrator new_narrator(const struct cli *cli)
{
	return (struct narrator){
		.terminal = cli->terminal,
		.json = cli->options->json,
		.quiet = cli->options->quiet,
		.result_file = cli->options->result_file,
	};
}

static void tell_package(struct narrator *n, const struct submission *s)
{
	char packed[SPAN_SIZE], bytes[SPAN_SIZE];

	text_bytes(packed, (int64_t)s->bundle.zip.len);
	if (n->json)
		return;
	if (s->bundle.files == 0)
		narrator_note(n, "package: a ZIP of %s", packed);
	else
		narrator_note(n, "package: %zu file%s, %s, %s packed", s->bundle.files,
			s->bundle.files == 1 ? "" : "s",
			text_bytes(bytes, (int64_t)s->bundle.bytes), packed);
}

enum exit_code command_run(struct cli *cli)
{
	CLEANUP(submission_fini) struct submission s = { 0 };
	CLEANUP(narrator_fini) struct narrator narrator = new_narrator(cli);
	const struct follow_request request = { .submission = &s.message };
	enum exit_code code = EXIT_DONE;
	struct err e = { 0 };

	if (submission_init(&s, cli->options, &e) < 0)
		return fail(&e);
	tell_package(&narrator, &s);
	if (upload_if_large(cli->remote, &s, cli->terminal,
		    cli->options->quiet || cli->options->json, &code, &e) < 0) {
		complain(&e);
		return code;
	}
	return follow(cli->remote, &narrator, &request, NULL);
}

enum exit_code command_submit(struct cli *cli)
{
	const struct options *o = cli->options;
	CLEANUP(submission_fini) struct submission s = { 0 };
	CLEANUP(narrator_fini)
	struct narrator narrator = { .terminal = cli->terminal, .quiet = true };
	CLEANUP(free_ptr) char *job_id = NULL;
	const struct follow_request request = { .submission = &s.message,
		.only_accept = true };
	enum exit_code code = EXIT_DONE;
	struct err e = { 0 };

	if (submission_init(&s, o, &e) < 0)
		return fail(&e);
	if (upload_if_large(
		    cli->remote, &s, cli->terminal, o->quiet || o->json, &code, &e) < 0) {
		complain(&e);
		return code;
	}
	code = follow(cli->remote, &narrator, &request, &job_id);
	if (code != EXIT_DONE)
		return code;
	if (o->json) {
		json_print(
			json_pack("{s:s, s:s}", "job_id", job_id, "key", s.key), false);
		return EXIT_DONE;
	}

	CLEANUP(free_ptr) char *line = str_fmt("%s\n", job_id);
	put_text(STDOUT_FILENO, line);
	if (!o->quiet && !o->parsable)
		fprintf(stderr, "later: cumulus attach %s\n", job_id);
	return EXIT_DONE;
}

enum exit_code command_attach(struct cli *cli)
{
	CLEANUP(narrator_fini) struct narrator narrator = new_narrator(cli);
	struct follow_request request = { 0 };
	enum exit_code code = EXIT_DONE;
	struct err e = { 0 };
	CLEANUP(free_ptr)
	char *job_id =
		remote_find_job(cli->remote, cli->options->operands.at[0], &code, &e);

	if (!job_id) {
		complain(&e);
		return code;
	}
	request.job_id = job_id;
	return follow(cli->remote, &narrator, &request, NULL);
}

/* There is no result: say how the job stands. */
static enum exit_code no_result(struct cli *cli, const char *job_id)
{
	Cumulus__Orchestrator__JobStatusRequest request =
		CUMULUS__ORCHESTRATOR__JOB_STATUS_REQUEST__INIT;
	enum exit_code code = EXIT_DONE;
	struct err e = { 0 };

	request.job_id = (char *)job_id;

	CLEANUP(free_message)
	JobStatus *status = (JobStatus *)remote_ask(
		cli->remote, REMOTE_GET_JOB_STATUS, &request, &code, &e);
	if (!status) {
		complain(&e);
		return code;
	}

	const char *state = state_name(status->state);
	const char *message = state_remark(status->state, status->message);
	if (state_is_final(status->state))
		err_set(&e, ERR_CONFLICT, "%s has no result: it is %s%s%s", job_id, state,
			*message ? ": " : "", message);
	else
		err_set(&e, ERR_CONFLICT,
			"%s has no result yet: it is %s; cumulus attach %s waits for it",
			job_id, state, job_id);
	complain(&e);
	return state_is_final(status->state)
		       ? exit_code_of_end(status->state, status->reason)
		       : EXIT_USAGE;
}

enum exit_code command_result(struct cli *cli)
{
	Cumulus__Orchestrator__JobResultRequest request =
		CUMULUS__ORCHESTRATOR__JOB_RESULT_REQUEST__INIT;
	const struct options *o = cli->options;
	enum exit_code code = EXIT_DONE;
	struct err e = { 0 };
	CLEANUP(free_ptr)
	char *job_id = remote_find_job(cli->remote, o->operands.at[0], &code, &e);

	if (!job_id) {
		complain(&e);
		return code;
	}
	request.job_id = job_id;

	CLEANUP(free_message)
	Cumulus__Orchestrator__JobResult *reply = (void *)remote_ask(
		cli->remote, REMOTE_GET_JOB_RESULT, &request, &code, &e);
	if (!reply && e.code == ERR_CONFLICT)
		return no_result(cli, job_id);
	if (!reply) {
		complain(&e);
		return code;
	}
	if (o->result_file) {
		if (result_write(o->result_file, reply->result.data, reply->result.len,
			    &e) < 0)
			return fail(&e);
		return EXIT_DONE;
	}
	if (o->json) {
		json_print_message(&reply->base);
		return EXIT_DONE;
	}

	CLEANUP(free_ptr)
	char *text = result_text(
		reply->result.data, reply->result.len, cli->terminal->out_tty);
	put_text(STDOUT_FILENO, text);
	put_text(STDOUT_FILENO, "\n");
	return EXIT_DONE;
}
