/* completion.c - finds what may stand where the cursor is. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "completion.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "config.h"
#include "id.h"
#include "job_filter.h"
#include "narrator.h"
#include "remote.h"
#include "str.h"
#include "text.h"
#include "xalloc.h"

#define JOBS_MAX    100
#define PATIENCE_MS 1500 /* somebody waits with a finger on the key */

/* The words before the cursor, as far as they are understood. */
struct place {
	const struct command *command; /* NULL: none yet */
	bool lost;                     /* there is no such command */
	const struct flag *flag;       /* it wants a value here; NULL: none does */
	bool job_args;                 /* behind "--" of a job */
	const char *address;           /* of --address; NULL: not given */
	const char *before;            /* what the shell expects before each candidate */
	size_t before_len;
	const char *typed; /* of the candidate */
	struct buf out;
};

static void offer(struct place *p, const char *word, const char *what)
{
	if (!str_starts(word, p->typed))
		return;

	CLEANUP(free_ptr) char *safe = text_escape(what ? what : "");
	buf_addf(&p->out, "%.*s%s\t%s\n", (int)p->before_len, p->before, word, safe);
}

static void offer_disk(struct place *p, const char *what)
{
	buf_addf(&p->out, "%s\n", what);
}

/* ---- what the server knows */

static bool open_remote(const struct place *p, struct remote *r)
{
	const struct options o = { .address = p->address };
	CLEANUP(config_fini) struct config config = { 0 };
	struct err ignored = { 0 };

	if (config_load(&o, &config, &ignored) < 0)
		return false;
	remote_init(r, config.address);
	r->patience_ms = PATIENCE_MS;
	return true;
}

static bool offer_page(const Cumulus__Orchestrator__JobList *page, void *user)
{
	struct place *p = user;

	for (size_t i = 0; i < page->n_jobs; i++) {
		const JobStatus *job = page->jobs[i];
		CLEANUP(free_ptr)
		char *what = str_fmt("%s%s%s", state_name(job->state),
			*job->name ? "  " : "", job->name);

		if (id_valid(job->job_id, 'j'))
			offer(p, job->job_id, what);
	}
	return false;
}

/* Where nobody answers there is nothing to offer, and no place to say so. */
static void offer_jobs(struct place *p, bool ended_too)
{
	const struct options o = { .all = ended_too };
	CLEANUP(job_filter_fini) struct job_filter filter = { 0 };
	enum exit_code ignored_code = EXIT_DONE;
	struct err ignored = { 0 };
	struct remote remote;

	if (job_filter_init(&filter, &o, &ignored) < 0 || !open_remote(p, &remote))
		return;

	int rc = remote_each_page(
		&remote, &filter.message, offer_page, p, &ignored_code, &ignored);
	(void)rc;
	remote_fini(&remote);
}

static void offer_workers(struct place *p)
{
	Cumulus__Orchestrator__ListWorkersRequest request =
		CUMULUS__ORCHESTRATOR__LIST_WORKERS_REQUEST__INIT;
	enum exit_code ignored_code = EXIT_DONE;
	struct err ignored = { 0 };
	struct remote remote;

	if (!open_remote(p, &remote))
		return;

	Cumulus__Orchestrator__WorkerList *list = (void *)remote_ask(
		&remote, REMOTE_LIST_WORKERS, &request, &ignored_code, &ignored);
	for (size_t i = 0; list && i < list->n_workers; i++)
		if (id_valid(list->workers[i]->id, 'w'))
			offer(p, list->workers[i]->id, list->workers[i]->hostname);
	wire_message_free(list);
	remote_fini(&remote);
}

/* ---- what the table knows */

static void offer_commands(struct place *p)
{
	for (const struct command *c = commands; c->name; c++)
		if (!c->not_yet && !c->hidden)
			offer(p, c->name, c->summary);
}

static void offer_flags(struct place *p)
{
	const struct flag *tables[] = { p->command ? p->command->flags : NULL,
		common_flags };

	for (size_t t = 0; t < sizeof(tables) / sizeof(*tables); t++) {
		for (const struct flag *f = tables[t]; f && f->name; f++) {
			CLEANUP(free_ptr) char *word = str_fmt("--%s", f->name);

			offer(p, word, f->help);
		}
	}
}

/* Each of the words that stand in text between separators. */
static void offer_words(struct place *p, const char *text, char separator)
{
	const char stops[] = { separator, '\0' };

	for (const char *at = text; *at; at += *at == separator) {
		size_t len = strcspn(at, stops);
		CLEANUP(free_ptr) char *word = xstrndup(at, len);

		offer(p, word, NULL);
		at += len;
	}
}

/* Of a list "a,b,c" what is typed is its last part. */
static void offer_list(struct place *p, const char *text)
{
	const char *comma = strrchr(p->typed, ',');
	size_t kept = comma ? (size_t)(comma + 1 - p->typed) : 0;
	CLEANUP(free_ptr)
	char *before =
		str_fmt("%.*s%.*s", (int)p->before_len, p->before, (int)kept, p->typed);

	p->before = before;
	p->before_len = strlen(before);
	p->typed += kept;
	offer_words(p, text, ',');
	p->before = "";
	p->before_len = 0;
}

static void offer_value(struct place *p, const struct flag *f)
{
	if (f->type == FLAG_LIST)
		offer_list(p, f->help);
	else if (strchr(f->argument, '|'))
		offer_words(p, f->argument, '|');
	else if (strcmp(f->argument, "FILE") == 0)
		offer_disk(p, ":files");
	else if (strcmp(f->argument, "DIR") == 0)
		offer_disk(p, ":folders");
}

static void offer_operand(struct place *p)
{
	switch (p->command->operand) {
	case OPERAND_NONE:
		break;
	case OPERAND_PATH:
		offer_disk(p, ":files");
		break;
	case OPERAND_JOB:
		offer_jobs(p, true);
		break;
	case OPERAND_LIVE_JOB:
		offer_jobs(p, false);
		break;
	case OPERAND_WORKER:
		offer_workers(p);
		break;
	case OPERAND_COMMAND:
		offer_commands(p);
		break;
	case OPERAND_SHELL:
		offer(p, "bash", NULL);
		offer(p, "zsh", NULL);
		offer(p, "fish", NULL);
		break;
	}
}

/* ---- where the cursor is */

/* A whole word before the cursor.  A shell may have cut "--flag=value" in three. */
static void pass(struct place *p, const char *word)
{
	const struct flag *table = p->command ? p->command->flags : NULL;

	if (p->job_args)
		return;
	if (p->flag) {
		if (strcmp(word, "=") == 0)
			return;
		if (strcmp(p->flag->name, "address") == 0)
			p->address = word;
		p->flag = NULL;
	} else if (strcmp(word, "--") == 0) {
		p->job_args = p->command && p->command->job_args;
	} else if (word[0] == '-' && word[1]) {
		const char *equals = strchr(word, '=');
		const struct flag *f = flag_find(table, word);

		if (equals && f && strcmp(f->name, "address") == 0)
			p->address = equals + 1;
		p->flag = f && f->argument && !equals && !flag_has_value(f, word) ? f
										  : NULL;
	} else if (!p->command) {
		p->command = command_find(word);
		p->lost = !p->command;
	}
}

static void offer_at(struct place *p, const char *word)
{
	const struct flag *table = p->command ? p->command->flags : NULL;
	const char *equals = str_starts(word, "--") ? strchr(word, '=') : NULL;
	const struct flag *f = equals ? flag_find(table, word) : NULL;

	p->typed = word;
	if (p->lost)
		return;
	if (p->job_args) {
		offer_disk(p, ":files");
	} else if (p->flag) {
		p->typed = strcmp(word, "=") == 0 ? "" : word;
		offer_value(p, p->flag);
	} else if (equals) {
		p->before = word;
		p->before_len = (size_t)(equals + 1 - word);
		p->typed = equals + 1;
		if (f && f->argument)
			offer_value(p, f);
	} else if (word[0] == '-') {
		offer_flags(p);
	} else if (!p->command) {
		offer_commands(p);
	} else if (!p->command->not_yet) {
		offer_operand(p);
	}
}

void completion_offer(struct cli *cli, const char *const *words, size_t count)
{
	struct place p = { .address = cli->options->address, .before = "" };

	for (size_t i = 0; i + 1 < count; i++)
		pass(&p, words[i]);
	offer_at(&p, count ? words[count - 1] : "");
	put_buf(STDOUT_FILENO, &p.out);
	buf_fini(&p.out);
}
