/* command_ps.c - ps: the list of jobs. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "command.h"
#include "json.h"
#include "message.h"
#include "narrator.h"
#include "remote.h"
#include "str.h"
#include "submission.h"
#include "text.h"
#include "watch.h"
#include "xalloc.h"

typedef Cumulus__Orchestrator__ListJobsRequest Request;
typedef Cumulus__Orchestrator__ListJobsRequest__LabelsEntry LabelsEntry;
typedef Cumulus__Orchestrator__JobState JobState;

#define STATE(name) CUMULUS__ORCHESTRATOR__JOB_STATE__##name
#define STATE_COUNT 6

static const struct {
	const char *word;
	JobState state;
	bool live; /* shown without --all */
} filters[STATE_COUNT] = {
	{ "waiting", STATE(SCHEDULING), true },
	{ "starting", STATE(CREATING_PARTITION), true },
	{ "running", STATE(RUNNING), true },
	{ "completed", STATE(COMPLETED), false },
	{ "failed", STATE(FAILED), false },
	{ "cancelled", STATE(CANCELLED), false },
};

/* A request and what it points at. */
struct question {
	Request message;
	JobState states[STATE_COUNT];
};

static void question_fini(struct question *q)
{
	for (size_t i = 0; i < q->message.n_labels; i++) {
		free(q->message.labels[i]->key);
		free(q->message.labels[i]);
	}
	free(q->message.labels);
}

static bool same_word(const char *word, const char *text, size_t len)
{
	return strlen(word) == len && strncasecmp(word, text, len) == 0;
}

static void want_state(struct question *q, JobState state)
{
	for (size_t i = 0; i < q->message.n_states; i++)
		if (q->states[i] == state)
			return;
	q->states[q->message.n_states++] = state;
}

/* "running,waiting", and the states' own names. */
static int parse_states(struct question *q, const char *text, struct err *e)
{
	for (const char *at = text;; at++) {
		size_t len = strcspn(at, ",");
		bool known = false;

		for (size_t i = 0; i < STATE_COUNT && !known; i++) {
			known = same_word(filters[i].word, at, len) ||
				same_word(state_name(filters[i].state), at, len);
			if (known)
				want_state(q, filters[i].state);
		}
		if (!known) {
			char quoted[STR_QUOTE_SIZE];

			return err_set(e, ERR_INVALID,
				"--filter: \"%s\" is not a state: waiting, starting, "
				"running, completed, failed or cancelled",
				str_quote(quoted, at, len));
		}
		at += len;
		if (!*at)
			return 0;
	}
}

static int add_labels(struct question *q, const struct words *pairs, struct err *e)
{
	q->message.labels = xcalloc(pairs->count + 1, sizeof(LabelsEntry *));
	for (size_t i = 0; i < pairs->count; i++) {
		char *key = NULL;
		const char *value = NULL;

		if (pair_parse(pairs->at[i], &key, &value, e) < 0)
			return err_wrap(e, "--label");

		LabelsEntry *entry = xcalloc(1, sizeof(*entry));
		cumulus__orchestrator__list_jobs_request__labels_entry__init(entry);
		entry->key = key;
		entry->value = (char *)value;
		q->message.labels[q->message.n_labels++] = entry;
	}
	return 0;
}

static int question_init(struct question *q, const struct options *o, struct err *e)
{
	cumulus__orchestrator__list_jobs_request__init(&q->message);
	q->message.states = q->states;
	q->message.name_prefix = (char *)(o->name ? o->name : "");
	if (o->since_s)
		q->message.created_after = clock_wall_ns() / NS_PER_S - o->since_s;
	if (o->states) {
		if (parse_states(q, o->states, e) < 0)
			return -1;
	} else if (!o->all) {
		for (size_t i = 0; i < STATE_COUNT; i++)
			if (filters[i].live)
				want_state(q, filters[i].state);
	}
	return add_labels(q, &o->labels, e);
}

/* What is drawn: a grid, or a JSON array. */
struct picture {
	struct grid grid;
	json_t *array;
	int64_t now_s;
};

static void add_row(struct picture *p, const JobStatus *job)
{
	int64_t now = job->completed_at ? job->completed_at : p->now_s;
	int64_t started = job->started_at ? job->started_at : now;
	char gpu[16], wait[SPAN_SIZE], run[SPAN_SIZE];

	format_hundredths(gpu, sizeof(gpu), (uint32_t)(job->gpu_memory * 100 + 0.5f));
	text_span(wait, started > job->created_at ? started - job->created_at : 0);
	text_span(run, job->started_at ? (now > started ? now - started : 0) : -1);
	grid_add(&p->grid, job->job_id);
	grid_add(&p->grid, job->name);
	grid_add(&p->grid, state_name(job->state));
	grid_add(&p->grid, gpu);
	grid_add(&p->grid, job->worker_id);
	grid_add(&p->grid, wait);
	grid_add(&p->grid, run);
	grid_add(&p->grid, state_remark(job->state, job->message));
}

static bool add_page(const Cumulus__Orchestrator__JobList *page, void *user)
{
	struct picture *p = user;

	for (size_t i = 0; i < page->n_jobs; i++) {
		if (p->array)
			json_array_append_new(
				p->array, json_of_message(&page->jobs[i]->base));
		else
			add_row(p, page->jobs[i]);
	}
	return true;
}

static void picture_fini(struct picture *p)
{
	grid_fini(&p->grid);
	json_decref(p->array);
}

static void add_json(json_t *value, struct buf *out)
{
	CLEANUP(free_ptr) char *text = json_text(value, false);

	buf_addf(out, "%s\n", text);
}

static enum exit_code draw(struct cli *cli, struct buf *out)
{
	static const char *const head[] = { "ID", "NAME", "STATE", "GPU", "WORKER",
		"WAIT", "RUN", "REASON" };
	const size_t columns = sizeof(head) / sizeof(*head);
	const struct options *o = cli->options;
	CLEANUP(question_fini) struct question question = { 0 };
	CLEANUP(picture_fini)
	struct picture picture = { .grid = { .columns = columns },
		.array = o->json ? json_array() : NULL,
		.now_s = clock_wall_ns() / NS_PER_S };
	enum exit_code code = EXIT_DONE;
	struct err e = { 0 };

	if (question_init(&question, o, &e) < 0)
		return fail(&e);
	for (size_t i = 0; i < columns && !o->quiet; i++)
		grid_add(&picture.grid, head[i]);
	if (remote_each_page(
		    cli->remote, &question.message, add_page, &picture, &code, &e) < 0) {
		complain(&e);
		return code;
	}
	if (picture.array)
		add_json(picture.array, out);
	else
		grid_print(&picture.grid, terminal_columns(STDOUT_FILENO), out);
	return EXIT_DONE;
}

enum exit_code command_ps(struct cli *cli)
{
	return watch(cli, draw);
}
