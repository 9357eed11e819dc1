/* submission.c - fills the message from files and options. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "submission.h"

#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "id.h"
#include "str.h"
#include "xalloc.h"

typedef Cumulus__Orchestrator__JobSubmission__EnvEntry EnvEntry;
typedef Cumulus__Orchestrator__JobSubmission__LabelsEntry LabelsEntry;

int pair_parse(const char *text, char **key, const char **value, struct err *e)
{
	const char *equals = strchr(text, '=');
	char quoted[STR_QUOTE_SIZE];

	if (!equals || equals == text)
		return err_set(e, ERR_INVALID, "\"%s\" is not NAME=VALUE",
			str_quote(quoted, text, strlen(text)));
	*key = xstrndup(text, (size_t)(equals - text));
	*value = equals + 1;
	return 0;
}

static int add_env(struct submission *s, const struct words *pairs, struct err *e)
{
	JobSubmission *m = &s->message;

	m->env = xcalloc(pairs->count + 1, sizeof(EnvEntry *));
	for (size_t i = 0; i < pairs->count; i++) {
		char *key = NULL;
		const char *value = NULL;

		if (pair_parse(pairs->at[i], &key, &value, e) < 0)
			return err_wrap(e, "--env");

		EnvEntry *entry = xcalloc(1, sizeof(*entry));
		cumulus__orchestrator__job_submission__env_entry__init(entry);
		entry->key = key;
		entry->value = (char *)value;
		m->env[m->n_env++] = entry;
	}
	return 0;
}

static int add_labels(struct submission *s, const struct words *pairs, struct err *e)
{
	JobSubmission *m = &s->message;

	m->labels = xcalloc(pairs->count + 1, sizeof(LabelsEntry *));
	for (size_t i = 0; i < pairs->count; i++) {
		char *key = NULL;
		const char *value = NULL;

		if (pair_parse(pairs->at[i], &key, &value, e) < 0)
			return err_wrap(e, "--label");

		LabelsEntry *entry = xcalloc(1, sizeof(*entry));
		cumulus__orchestrator__job_submission__labels_entry__init(entry);
		entry->key = key;
		entry->value = (char *)value;
		m->labels[m->n_labels++] = entry;
	}
	return 0;
}

static void set_limits(struct submission *s, const struct options *o)
{
	cumulus__orchestrator__limits__init(&s->limits);
	s->limits.cpus = o->cpus;
	s->limits.memory_bytes = o->memory_bytes;
	s->limits.disk_bytes = o->disk_bytes;
	s->limits.pids = (int32_t)o->pids;
	if (o->cpus > 0 || o->memory_bytes || o->disk_bytes || o->pids)
		s->message.limits = &s->limits;
}

static char *make_key(void)
{
	char id[ID_SIZE];

	id_make(id, 'k');
	return str_fmt("cli-%s", id);
}

static int check_duration(int64_t seconds, struct err *e)
{
	if (seconds > INT32_MAX)
		return err_set(e, ERR_INVALID, "--duration: %lld s is too long",
			(long long)seconds);
	return 0;
}

static int fill(struct submission *s, const struct options *o, struct err *e)
{
	JobSubmission *m = &s->message;

	if (check_duration(o->duration_s, e) < 0 ||
		bundle_make(o->operands.at[0], &bundle_defaults, &s->bundle, e) < 0 ||
		(o->requirements &&
			requirements_read(o->requirements, &s->requirements, e) < 0) ||
		add_env(s, &o->env, e) < 0 || add_labels(s, &o->labels, e) < 0)
		return -1;
	s->key = o->key ? xstrdup(o->key) : make_key();
	m->code_package.data = s->bundle.zip.data;
	m->code_package.len = s->bundle.zip.len;
	m->requirements = s->requirements.lines;
	m->n_requirements = s->requirements.count;
	m->gpu_memory = (float)o->gpu_hundredths / 100.0f;
	m->duration = (int32_t)o->duration_s;
	m->name = (char *)(o->name ? o->name : "");
	m->idempotency_key = s->key;
	m->priority = (int32_t)o->priority;
	m->max_retries = (int32_t)o->retries;
	m->no_wait = o->no_wait;
	m->args = (char **)o->job_args.at;
	m->n_args = o->job_args.count;
	set_limits(s, o);
	return 0;
}

int submission_init(struct submission *s, const struct options *o, struct err *e)
{
	*s = (struct submission){ 0 };
	cumulus__orchestrator__job_submission__init(&s->message);
	if (fill(s, o, e) == 0)
		return 0;
	submission_fini(s);
	return -1;
}

void submission_fini(struct submission *s)
{
	for (size_t i = 0; i < s->message.n_env; i++) {
		free(s->message.env[i]->key);
		free(s->message.env[i]);
	}
	for (size_t i = 0; i < s->message.n_labels; i++) {
		free(s->message.labels[i]->key);
		free(s->message.labels[i]);
	}
	free(s->message.env);
	free(s->message.labels);
	bundle_fini(&s->bundle);
	requirements_fini(&s->requirements);
	free(s->key);
	*s = (struct submission){ 0 };
}
