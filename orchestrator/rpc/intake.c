/* intake.c - checks a JobSubmission by the order of the protocol and makes a submission. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "intake.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "cleanup.h"
#include "labels.h"
#include "message.h"
#include "str.h"
#include "xalloc.h"

typedef Cumulus__Orchestrator__JobSubmission Submission;
typedef Cumulus__Orchestrator__JobSubmission__EnvEntry EnvEntry;
typedef Cumulus__Orchestrator__JobSubmission__LabelsEntry LabelsEntry;

static int not_served(struct err *e, const char *field)
{
	return err_set(
		e, ERR_UNSUPPORTED, "%s is not served yet (docs/limits.md)", field);
}

static int check_served(const Submission *m, struct err *e)
{
	if (*m->queue)
		return not_served(e, "queue");
	if (*m->image)
		return not_served(e, "image");
	return 0;
}

static int check_limits(const Cumulus__Orchestrator__Limits *l, struct err *e)
{
	if (!l)
		return 0;
	if (!isfinite(l->cpus) || l->cpus < 0 || (l->cpus > 0 && l->cpus < 0.01) ||
		l->cpus > 4096)
		return err_set(e, ERR_INVALID,
			"limits.cpus %g is not allowed: 0.01 to 4096", l->cpus);
	if (l->memory_bytes && l->memory_bytes < (16 << 20))
		return err_set(e, ERR_INVALID,
			"limits.memory_bytes %lld is not allowed: 16 MiB at least",
			(long long)l->memory_bytes);
	if (l->disk_bytes && l->disk_bytes < (1 << 20))
		return err_set(e, ERR_INVALID,
			"limits.disk_bytes %lld is not allowed: 1 MiB at least",
			(long long)l->disk_bytes);
	if (l->pids && (l->pids < 8 || l->pids > 1000000))
		return err_set(e, ERR_INVALID,
			"limits.pids %d is not allowed: 8 to 1000000", l->pids);
	return 0;
}

static int check_env(
	const Submission *m, const struct submission_limits *l, struct err *e)
{
	size_t bytes = 0;

	for (size_t i = 0; i < m->n_env; i++) {
		if (env_name_check(m->env[i]->key, e) < 0)
			return -1;
		bytes += strlen(m->env[i]->key) + strlen(m->env[i]->value) + 2;
	}
	if (bytes > (size_t)l->env_bytes)
		return err_set(e, ERR_INVALID, "env has %zu bytes, %lld are allowed",
			bytes, (long long)l->env_bytes);
	return 0;
}

static int check_labels(
	const Submission *m, const struct submission_limits *l, struct err *e)
{
	if (m->n_labels > l->labels)
		return err_set(e, ERR_INVALID, "labels has %zu entries, %zu are allowed",
			m->n_labels, l->labels);
	for (size_t i = 0; i < m->n_labels; i++) {
		if (!*m->labels[i]->key)
			return err_set(e, ERR_INVALID,
				"labels \"\" is not allowed: a label needs a key");
		if (name_check(l, "labels", m->labels[i]->key, e) < 0 ||
			name_check(l, "labels", m->labels[i]->value, e) < 0)
			return -1;
	}
	return 0;
}

static int check_args(
	const Submission *m, const struct submission_limits *l, struct err *e)
{
	size_t bytes = 0;

	if (m->n_args > l->args)
		return err_set(e, ERR_INVALID, "args has %zu entries, %zu are allowed",
			m->n_args, l->args);
	for (size_t i = 0; i < m->n_args; i++)
		bytes += strlen(m->args[i]) + 1;
	if (bytes > (size_t)l->args_bytes)
		return err_set(e, ERR_INVALID, "args has %zu bytes, %lld are allowed",
			bytes, (long long)l->args_bytes);
	return 0;
}

static int check_requirements(
	const struct submission_limits *l, const Submission *m, struct err *e)
{
	if (m->n_requirements > l->requirements)
		return err_set(e, ERR_INVALID,
			"requirements has %zu lines, %zu are allowed", m->n_requirements,
			l->requirements);
	for (size_t i = 0; i < m->n_requirements; i++)
		if (requirement_check(l, m->requirements[i], e) < 0)
			return -1;
	return 0;
}

static uint8_t *take_bytes(struct buf *b, size_t *len)
{
	uint8_t *bytes = b->data;

	*len = b->len;
	*b = (struct buf){ 0 };
	return bytes;
}

/* ---- the package's requirements.txt: the same lines, with comments and blank ones */

struct lines {
	char **list; /* owned; into text */
	size_t count;
};

static void lines_fini(struct lines *lines)
{
	free(lines->list);
}

static int take_line(struct lines *lines, const struct intake *in, char *line,
	size_t before, struct err *e)
{
	if (before + lines->count >= in->limits->requirements)
		return err_set(e, ERR_INVALID,
			"with those of the submission these are more than the %zu lines "
			"of "
			"requirements that are allowed",
			in->limits->requirements);
	if (requirement_check(in->limits, line, e) < 0)
		return -1;
	lines->list = xreallocarray(lines->list, lines->count + 1, sizeof(*lines->list));
	lines->list[lines->count++] = line;
	return 0;
}

static int take_lines(struct lines *lines, const struct intake *in, char *text,
	size_t before, struct err *e)
{
	char *rest = NULL;

	for (char *line = strtok_r(text, "\r\n", &rest); line;
		line = strtok_r(NULL, "\r\n", &rest)) {
		char *comment = *line == '#' ? line : strstr(line, " #");

		if (comment)
			*comment = '\0';
		line += strspn(line, " \t");
		if (*line && take_line(lines, in, line, before, e) < 0)
			return err_wrap(e, "requirements.txt of the package");
	}
	return 0;
}

static size_t count_requirements(const struct submission *s)
{
	struct err ignored;
	Submission *m = (void *)wire_message_read(
		&cumulus__orchestrator__job_submission__descriptor, s->spec, s->spec_len,
		&ignored);
	size_t count = m ? m->n_requirements : 0;

	if (m)
		wire_message_free(&m->base);
	return count;
}

/* A packed message behind another is merged with it: its repeated fields are appended. */
static void append_requirements(struct submission *s, const struct lines *lines)
{
	Submission more = CUMULUS__ORCHESTRATOR__JOB_SUBMISSION__INIT;
	CLEANUP(buf_fini) struct buf spec = { 0 };

	more.requirements = lines->list;
	more.n_requirements = lines->count;
	buf_add(&spec, s->spec, s->spec_len);
	wire_message_write(&more, &spec);
	free(s->spec);
	s->spec = take_bytes(&spec, &s->spec_len);
}

int intake_add_requirements(const struct intake *in, struct submission *s,
	const struct buf *file, struct err *e)
{
	CLEANUP(lines_fini) struct lines lines = { 0 };
	CLEANUP(buf_fini) struct buf copy = { 0 };

	if (!file->len)
		return 0;
	buf_add(&copy, file->data, file->len);
	buf_add(&copy, "", 1);
	if (take_lines(&lines, in, (char *)copy.data, count_requirements(s), e) < 0)
		return -1;
	if (lines.count)
		append_requirements(s, &lines);
	return 0;
}

static int check_carried(
	const struct intake *in, const Submission *m, struct buf *file, struct err *e)
{
	const ProtobufCBinaryData *zip = &m->code_package;

	if (zip->len > (size_t)in->limits->package_bytes)
		return err_set(e, ERR_INVALID,
			"code_package has %zu bytes, %lld are allowed; a larger one is "
			"uploaded first and named by package_digest",
			zip->len, (long long)in->limits->package_bytes);
	if (package_check(zip->data, zip->len, in->package, e) < 0)
		return -1;
	return package_requirements(
		zip->data, zip->len, INTAKE_REQUIREMENTS_MAX, file, e);
}

static int check_package(const struct intake *in, const Submission *m,
	struct digest *named, struct buf *file, struct err *e)
{
	if (!*m->package_digest)
		return check_carried(in, m, file, e);
	if (m->code_package.len)
		return err_set(e, ERR_INVALID,
			"code_package and package_digest exclude each other");
	if (digest_parse(m->package_digest, named, e) < 0)
		return err_wrap(e, "package_digest");
	return 0;
}

static int check_fields(const struct intake *in, const Submission *m,
	struct amount *amount, struct digest *named, struct buf *file, struct err *e)
{
	const struct submission_limits *l = in->limits;

	if (amount_from_float(m->gpu_memory, amount, e) < 0 ||
		duration_check(l, m->duration, e) < 0 ||
		priority_check(m->priority, e) < 0 ||
		retries_check(l, m->max_retries, e) < 0)
		return -1;
	if (name_check(l, "name", m->name, e) < 0 ||
		name_check(l, "idempotency_key", m->idempotency_key, e) < 0)
		return -1;
	if (check_limits(m->limits, e) < 0 || check_env(m, l, e) < 0 ||
		check_labels(m, l, e) < 0 || check_args(m, l, e) < 0 ||
		check_requirements(l, m, e) < 0)
		return -1;
	return check_package(in, m, named, file, e);
}

static int compare_env(const void *a, const void *b)
{
	return strcmp((*(EnvEntry *const *)a)->key, (*(EnvEntry *const *)b)->key);
}

static int compare_labels(const void *a, const void *b)
{
	return strcmp((*(LabelsEntry *const *)a)->key, (*(LabelsEntry *const *)b)->key);
}

/* A map has no order; the form that is stored and compared has. */
static void sort_maps(Submission *m)
{
	if (m->n_env)
		qsort(m->env, m->n_env, sizeof(*m->env), compare_env);
	if (m->n_labels)
		qsort(m->labels, m->n_labels, sizeof(*m->labels), compare_labels);
}

static int check_env_unique(const Submission *m, struct err *e)
{
	for (size_t i = 1; i < m->n_env; i++)
		if (strcmp(m->env[i]->key, m->env[i - 1]->key) == 0)
			return err_set(
				e, ERR_INVALID, "env names %.64s twice", m->env[i]->key);
	return 0;
}

/* The submission without its package but with its digest: what is stored, and, since its
 * maps are sorted and its fields packed in order, what "the same submission" means. */
static void pack_spec(Submission *m, struct submission *s)
{
	CLEANUP(buf_fini) struct buf spec = { 0 };
	char digest[DIGEST_TEXT_SIZE];
	char *none = m->package_digest;

	digest_format(digest, &s->package);
	m->package_digest = digest;
	wire_message_write(m, &spec);
	m->package_digest = none;
	s->identity = digest_of(spec.data, spec.len);
	s->spec = take_bytes(&spec, &s->spec_len);
}

static int pack_labels(const Submission *m, struct buf *out, struct err *e)
{
	CLEANUP(free_ptr)
	struct label *labels = xcalloc(m->n_labels, sizeof(*labels));

	for (size_t i = 0; i < m->n_labels; i++)
		labels[i] = (struct label){ m->labels[i]->key, m->labels[i]->value };
	return labels_pack(labels, m->n_labels, out, e);
}

struct submission *intake_read(
	const struct intake *in, Submission *m, const char *owner, struct err *e)
{
	struct amount amount;
	struct digest named = { 0 };
	CLEANUP(buf_fini) struct buf file = { 0 };
	CLEANUP(buf_fini) struct buf labels = { 0 };

	sort_maps(m);
	if (check_served(m, e) < 0 || check_env_unique(m, e) < 0 ||
		pack_labels(m, &labels, e) < 0 ||
		check_fields(in, m, &amount, &named, &file, e) < 0)
		return NULL;

	struct submission *s = xcalloc(1, sizeof(*s));
	s->amount = amount;
	s->duration_s = m->duration;
	s->priority = m->priority;
	s->max_retries = m->max_retries;
	s->no_wait = m->no_wait;
	s->owner = xstrdup(owner);
	s->name = *m->name ? xstrdup(m->name) : NULL;
	s->key = *m->idempotency_key ? xstrdup(m->idempotency_key) : NULL;
	s->package = *m->package_digest
			     ? named
			     : digest_of(m->code_package.data, m->code_package.len);
	/* The large one is moved, not copied. */
	s->zip = m->code_package.data;
	s->zip_len = m->code_package.len;
	m->code_package = (ProtobufCBinaryData){ 0 };
	pack_spec(m, s);
	s->labels = take_bytes(&labels, &s->labels_len);
	if (intake_add_requirements(in, s, &file, e) < 0) {
		submission_free(s);
		return NULL;
	}
	return s;
}
