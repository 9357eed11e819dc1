/* job_filter.c - reads the words that choose jobs. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "job_filter.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "clock.h"
#include "narrator.h"
#include "str.h"
#include "submission.h"
#include "xalloc.h"

typedef Cumulus__Orchestrator__ListJobsRequest__LabelsEntry LabelsEntry;
typedef Cumulus__Orchestrator__JobState JobState;

#define STATE(name) CUMULUS__ORCHESTRATOR__JOB_STATE__##name

static const struct {
	const char *word;
	JobState state;
	bool live; /* shown without --all */
} filters[JOB_STATE_WORDS] = {
	{ "waiting", STATE(SCHEDULING), true },
	{ "starting", STATE(CREATING_PARTITION), true },
	{ "running", STATE(RUNNING), true },
	{ "completed", STATE(COMPLETED), false },
	{ "failed", STATE(FAILED), false },
	{ "cancelled", STATE(CANCELLED), false },
};

void job_filter_fini(struct job_filter *f)
{
	for (size_t i = 0; i < f->message.n_labels; i++) {
		free(f->message.labels[i]->key);
		free(f->message.labels[i]);
	}
	free(f->message.labels);
}

static bool same_word(const char *word, const char *text, size_t len)
{
	return strlen(word) == len && strncasecmp(word, text, len) == 0;
}

static void want_state(struct job_filter *f, JobState state)
{
	for (size_t i = 0; i < f->message.n_states; i++)
		if (f->states[i] == state)
			return;
	f->states[f->message.n_states++] = state;
}

/* "running,waiting", and the states' own names. */
static int parse_states(struct job_filter *f, const char *text, struct err *e)
{
	for (const char *at = text;; at++) {
		size_t len = strcspn(at, ",");
		bool known = false;

		for (size_t i = 0; i < JOB_STATE_WORDS && !known; i++) {
			known = same_word(filters[i].word, at, len) ||
				same_word(state_name(filters[i].state), at, len);
			if (known)
				want_state(f, filters[i].state);
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

static int add_labels(struct job_filter *f, const struct words *pairs, struct err *e)
{
	f->message.labels = xcalloc(pairs->count + 1, sizeof(LabelsEntry *));
	for (size_t i = 0; i < pairs->count; i++) {
		char *key = NULL;
		const char *value = NULL;

		if (pair_parse(pairs->at[i], &key, &value, e) < 0)
			return err_wrap(e, "--label");

		LabelsEntry *entry = xcalloc(1, sizeof(*entry));
		cumulus__orchestrator__list_jobs_request__labels_entry__init(entry);
		entry->key = key;
		entry->value = (char *)value;
		f->message.labels[f->message.n_labels++] = entry;
	}
	return 0;
}

int job_filter_init(struct job_filter *f, const struct options *o, struct err *e)
{
	*f = (struct job_filter){ 0 };
	cumulus__orchestrator__list_jobs_request__init(&f->message);
	f->message.states = f->states;
	f->message.name_prefix = (char *)(o->name ? o->name : "");
	if (o->since_s)
		f->message.created_after = clock_wall_ns() / NS_PER_S - o->since_s;
	if (o->states) {
		if (parse_states(f, o->states, e) < 0)
			return -1;
	} else if (!o->all) {
		for (size_t i = 0; i < JOB_STATE_WORDS; i++)
			if (filters[i].live)
				want_state(f, filters[i].state);
	}
	return add_labels(f, &o->labels, e);
}
