/* command_system.c - health, version, completion. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "command.h"
#include "completion.h"
#include "json.h"
#include "message.h"
#include "remote.h"
#include "str.h"
#include "text.h"

/* What is not known to be well is not well. */
static const struct {
	const char *status;
	enum exit_code code;
	enum colour colour;
} healths[] = {
	{ "healthy", EXIT_DONE, COLOUR_GREEN },
	{ "degraded", EXIT_DONE, COLOUR_YELLOW },
	{ NULL, EXIT_JOB_FAILED, COLOUR_RED },
};

static void draw(const struct cli *cli, const Cumulus__Orchestrator__HealthStatus *h,
	enum colour colour, struct buf *out)
{
	bool colours = cli->terminal->out_colour;
	CLEANUP(free_ptr) char *status = text_escape(h->status);
	CLEANUP(free_ptr) char *message = text_escape(h->message);
	CLEANUP(free_ptr) char *engine = text_escape(h->engine);
	CLEANUP(free_ptr) char *version = text_escape(h->version);
	char span[SPAN_SIZE];

	buf_addf(out, "%s%s%s%s%s\n", terminal_colour(colours, colour), status,
		terminal_colour(colours, COLOUR_NONE), *message ? ": " : "", message);
	if (cli->options->quiet)
		return;
	buf_addf(out, "%-11s %s, up %s\n", "cumulusd", version,
		text_span(span, h->uptime_seconds));
	buf_addf(out, "%-11s %d active, %d waiting\n", "jobs", h->active_jobs,
		h->waiting_jobs);
	buf_addf(out, "%-11s %d ready\n", "workers", h->available_workers);
	buf_addf(out, "%-11s %s%s\n", "engine", engine,
		h->swarm_connected ? "" : " (not connected)");
}

enum exit_code command_health(struct cli *cli)
{
	Cumulus__Orchestrator__HealthCheckRequest request =
		CUMULUS__ORCHESTRATOR__HEALTH_CHECK_REQUEST__INIT;
	enum exit_code code = EXIT_DONE;
	struct err e = { 0 };
	size_t at = 0;
	CLEANUP(free_message)
	Cumulus__Orchestrator__HealthStatus *h =
		(void *)remote_ask(cli->remote, REMOTE_HEALTH_CHECK, &request, &code, &e);

	if (!h) {
		complain(&e);
		return code;
	}
	while (healths[at].status && strcmp(healths[at].status, h->status) != 0)
		at++;
	if (cli->options->json) {
		json_print_message(&h->base);
	} else {
		CLEANUP(buf_fini) struct buf out = { 0 };

		draw(cli, h, healths[at].colour, &out);
		put_buf(STDOUT_FILENO, &out);
	}
	if (healths[at].colour == COLOUR_YELLOW && !cli->options->quiet) {
		err_set(&e, ERR_UNAVAILABLE, "warning: the system is degraded");
		complain(&e);
	}
	return healths[at].code;
}

enum exit_code command_version(struct cli *cli)
{
	if (cli->options->json)
		json_print(json_pack("{s:s}", "version", CUMULUS_VERSION), false);
	else
		put_text(STDOUT_FILENO, "cumulus " CUMULUS_VERSION "\n");
	return EXIT_DONE;
}

enum exit_code command_completion(struct cli *cli)
{
	const char *shell = cli->options->operands.at[0];
	const char *script = completion_script(shell);
	char quoted[STR_QUOTE_SIZE];
	struct err e = { 0 };

	if (!script) {
		err_set(&e, ERR_INVALID, "completion: \"%s\" is none of bash, zsh, fish",
			str_quote(quoted, shell, strlen(shell)));
		return fail(&e);
	}
	put_text(STDOUT_FILENO, script);
	return EXIT_DONE;
}

enum exit_code command_complete(struct cli *cli)
{
	const struct words *words = &cli->options->operands;

	completion_offer(cli, words->at, words->count);
	return EXIT_DONE;
}
