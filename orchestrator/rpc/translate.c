/* translate.c - jobs and events as the wire says them. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "translate.h"

#include <stdlib.h>

#include "clock.h"
#include "store.h"
#include "str.h"
#include "submission.h"
#include "xalloc.h"

typedef Cumulus__Orchestrator__JobStatus__LabelsEntry LabelsEntry;

/* protobuf-c never writes through these. */
static char *text(const char *s)
{
	return (char *)(uintptr_t)(s ? s : "");
}

static void add_labels(struct status_message *s, const struct submission *from)
{
	const char *key, *value;
	size_t at = 0, count = 0;

	while (labels_next(from->labels, from->labels_len, &at, &key, &value))
		count++;
	if (!count)
		return;
	s->labels = xcalloc(count, sizeof(*s->labels));
	at = 0;
	while (labels_next(from->labels, from->labels_len, &at, &key, &value)) {
		LabelsEntry *entry = s->labels[s->m.n_labels++] = xmalloc(sizeof(*entry));

		cumulus__orchestrator__job_status__labels_entry__init(entry);
		entry->key = text(key);
		entry->value = text(value);
	}
	s->m.labels = s->labels;
}

static void add_devices(struct status_message *s, const struct job_facts *f)
{
	if (!f->device_count)
		return;
	s->devices = xcalloc(f->device_count, sizeof(*s->devices));
	for (uint32_t i = 0; i < f->device_count; i++)
		s->devices[i] = f->devices[i].index;
	s->m.n_gpu_devices = f->device_count;
	s->m.gpu_devices = s->devices;
}

static void add_timing(struct status_message *s, const struct job_timing *t)
{
	cumulus__orchestrator__timing__init(&s->timing);
	s->timing.queued_ns = t->queued;
	s->timing.environment_ns = t->environment;
	s->timing.partition_ns = t->partition;
	s->timing.container_ns = t->container;
	s->timing.python_ns = t->python;
	s->timing.run_ns = t->run;
	s->m.timing = &s->timing;
}

/* Its share of the time that it has run; of all devices together, as what it had is. */
static int64_t time_asked_ns(const struct job_facts *f, struct amount a)
{
	int64_t end_ns = f->completed_ns ? f->completed_ns : clock_wall_ns();

	return f->started_ns && end_ns > f->started_ns
		       ? (end_ns - f->started_ns) / 100 * a.hundredths * a.devices
		       : 0;
}

static void add_usage(struct status_message *s, const struct status_source *from)
{
	const struct gpu_usage *u = from->gpu ? from->gpu : &from->facts->gpu;

	if (!u->memory_quota)
		return;
	cumulus__orchestrator__gpu_usage__init(&s->gpu);
	s->gpu.memory_quota_bytes = u->memory_quota;
	s->gpu.memory_used_bytes = u->memory_used;
	s->gpu.memory_peak_bytes = u->memory_peak;
	s->gpu.time_ns = u->time_ns;
	s->gpu.time_asked_ns = time_asked_ns(from->facts, from->submission->amount);
	s->gpu.refusals = u->refusals;
	s->gpu.overruns = u->overruns;
	s->gpu.overrun_ns = u->overrun_ns;
	s->gpu.processes = u->processes;
	s->m.gpu_usage = &s->gpu;
}

static void add_facts(struct status_message *s, const struct job_facts *f)
{
	Cumulus__Orchestrator__JobStatus *m = &s->m;

	m->state = wire_state(f->state);
	m->message = text(f->message);
	m->worker_id = text(f->worker);
	m->partition_id = text(f->partition);
	m->container_id = text(f->container);
	m->environment = text(f->environment);
	m->created_at = f->created_ns / NS_PER_S;
	m->started_at = f->started_ns / NS_PER_S;
	m->completed_at = f->completed_ns / NS_PER_S;
	m->reason = (Cumulus__Orchestrator__Reason)f->reason;
	m->attempt = f->attempt;
	m->last_sequence = f->last_sequence;
	m->cancel_requested = f->cancel_requested;
	m->held = f->held;
	if (f->exit_known) {
		m->exit_case = CUMULUS__ORCHESTRATOR__JOB_STATUS__EXIT_EXIT_CODE;
		m->exit_code = f->exit_code;
	}
	add_devices(s, f);
	add_timing(s, &f->timing);
}

static void add_submission(struct status_message *s, const struct submission *from)
{
	Cumulus__Orchestrator__JobStatus *m = &s->m;

	m->name = text(from->name);
	m->gpu_memory = amount_to_float(from->amount);
	m->duration = from->duration_s;
	m->priority = from->priority;
	m->owner = text(from->owner);
	digest_format(s->digest, &from->package);
	m->package_digest = s->digest;
	add_labels(s, from);
}

void status_message_init(struct status_message *s, const struct status_source *from)
{
	*s = (struct status_message){ 0 };
	cumulus__orchestrator__job_status__init(&s->m);
	s->m.job_id = text(from->id);
	add_facts(s, from->facts);
	add_submission(s, from->submission);
	add_usage(s, from);
	if (from->waits) {
		s->m.reason = (Cumulus__Orchestrator__Reason)from->waits_reason;
		/* The source may be gone when the message is sent. */
		str_put(s->waits_text, sizeof(s->waits_text), "%s", from->waits_text);
		s->m.message = s->waits_text;
	}
	s->m.error = text(from->error);
	s->m.progress = from->progress;
	s->m.progress_message = text(from->progress_text);
	s->m.output_bytes = from->facts->output_bytes + from->present_output;
}

void status_message_fini(struct status_message *s)
{
	for (size_t i = 0; i < s->m.n_labels; i++)
		free(s->labels[i]);
	free(s->labels);
	free(s->devices);
}

Cumulus__Orchestrator__JobEvent event_message(
	const char *job, const struct job_state_event *ev)
{
	Cumulus__Orchestrator__JobEvent m = CUMULUS__ORCHESTRATOR__JOB_EVENT__INIT;

	m.job_id = text(job);
	m.state = wire_state(ev->state);
	m.message = text(ev->message);
	m.timestamp = ev->wall_ns / NS_PER_S;
	m.timestamp_ns = ev->wall_ns;
	m.sequence = ev->sequence;
	m.reason = (Cumulus__Orchestrator__Reason)ev->reason;
	m.attempt = ev->attempt;
	return m;
}
