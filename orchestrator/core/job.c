/* job.c - copies and frees what a job is made of. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "job.h"

#include <stdlib.h>

#include "str.h"
#include "xalloc.h"

const char *amount_text(char out[32], struct amount a)
{
	char number[16];

	format_hundredths(number, sizeof(number), a.devices * a.hundredths);
	str_put(out, 32, "%s GPU%s", number, a.devices == 1 ? "" : "s");
	return out;
}

static char *dup_or_null(const char *s)
{
	return s ? xstrdup(s) : NULL;
}

void job_facts_fini(struct job_facts *f)
{
	free(f->devices);
	free(f->message);
	free(f->partition);
	free(f->container);
	free(f->environment);
	*f = (struct job_facts){ 0 };
}

struct job_facts job_facts_dup(const struct job_facts *f)
{
	struct job_facts copy = *f;

	copy.devices = f->device_count ? xmemdup(f->devices,
						 f->device_count * sizeof(*f->devices))
				       : NULL;
	copy.message = dup_or_null(f->message);
	copy.partition = dup_or_null(f->partition);
	copy.container = dup_or_null(f->container);
	copy.environment = dup_or_null(f->environment);
	return copy;
}

void submission_free(struct submission *s)
{
	if (!s)
		return;
	free(s->owner);
	free(s->name);
	free(s->key);
	free(s->labels);
	free(s->spec);
	free(s->zip);
	free(s);
}

void job_state_event_fini(struct job_state_event *ev)
{
	free(ev->message);
	*ev = (struct job_state_event){ 0 };
}

struct job_state_event job_state_event_dup(const struct job_state_event *ev)
{
	struct job_state_event copy = *ev;

	copy.message = dup_or_null(ev->message);
	return copy;
}
