/* view.c - reads the core: jobs, workers, leases, counts. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "inside.h"

static struct gpu_usage usage_of(const struct job *job)
{
	const struct run *run = job->run;
	struct gpu_usage sum = { 0 };

	if (!run || job_state_final(job->facts.state))
		return job->facts.gpu;
	for (uint32_t i = 0; i < run->device_count; i++) {
		sum.memory_quota += run->usage[i].memory_quota;
		sum.memory_used += run->usage[i].memory_used;
		sum.time_ns += run->usage[i].time_ns;
		sum.refusals += run->usage[i].refusals;
		sum.overruns += run->usage[i].overruns;
		sum.overrun_ns += run->usage[i].overrun_ns;
		if (run->usage[i].processes > sum.processes)
			sum.processes = run->usage[i].processes;
	}
	return sum;
}

static struct job_view view_of(const struct job *job)
{
	const struct run *run = job->run;

	return (struct job_view){
		.id = job->id,
		.facts = &job->facts,
		.submission = job->submission,
		.last_record = job->last_record,
		.committed_sequence = job->committed_sequence,
		.progress = run ? run->progress : 0,
		.progress_text = run && run->progress_text ? run->progress_text : "",
		.gpu = usage_of(job),
	};
}

/* One whose end is committed is the store's, although its lease may be here still. */
static bool is_shown(const struct job *job)
{
	return !job->fresh &&
	       !(job_state_final(job->facts.state) &&
		       job->committed_sequence == job->facts.last_sequence);
}

int core_job(const struct core *c, const char *id, struct job_view *out, struct err *e)
{
	const struct job *job = job_find(c, id);

	if (!job || !is_shown(job))
		return err_set(e, ERR_NOT_FOUND, "there is no job %.18s", id);
	*out = view_of(job);
	return 0;
}

const struct job_state_event *core_job_event(
	const struct core *c, const char *id, int64_t sequence)
{
	const struct job *job = job_find(c, id);

	if (!job || job->fresh)
		return NULL;
	for (int i = 0; i < job->event_count; i++)
		if (job->events[i].sequence == sequence)
			return &job->events[i];
	return NULL;
}

bool core_is_committed(const struct core *c, uint64_t number)
{
	return number <= c->committed;
}

bool core_worker_is_here(const struct core *c, const char *worker, uint64_t session)
{
	const struct worker *w = fleet_find(&c->fleet, worker);

	return w && w->present && w->said.session == session;
}

bool core_worker_after(const struct core *c, const char *after, struct worker_view *out)
{
	size_t low = 0, high = c->fleet.count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(c->fleet.sorted[middle]->said.worker, after) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == c->fleet.count)
		return false;

	const struct worker *w = c->fleet.sorted[low];
	for (size_t i = 0; i < w->device_count; i++)
		w->views[i] = (struct device_view){ &w->devices[i]->info,
			w->devices[i]->leased };
	*out = (struct worker_view){
		.id = w->said.worker,
		.hostname = w->said.hostname,
		.address = w->said.address,
		.version = w->said.version,
		.enforcement = w->said.enforcement,
		.state = w->down       ? WORKER_DOWN
			 : w->draining ? WORKER_DRAINING
				       : WORKER_READY,
		.last_seen_wall_ns = w->seen_wall_ns,
		.cpus = w->said.cpus,
		.memory_bytes = w->said.memory_bytes,
		.running_jobs = w->lease_count,
		.devices = w->views,
		.device_count = w->device_count,
	};
	return true;
}

bool core_lease_after(const struct core *c, const char *worker, const char *uuid,
	const char *after_job, struct job_view *out)
{
	const struct worker *w = fleet_find(&c->fleet, worker);
	const struct device *d = w ? worker_device(w, uuid) : NULL;
	const struct job *next = NULL;

	for (uint32_t i = 0; d && i < d->lease_count; i++) {
		const struct job *job = d->leases[i];

		if (!job->fresh && strcmp(job->id, after_job) > 0 &&
			(!next || strcmp(job->id, next->id) < 0))
			next = job;
	}
	if (!next)
		return false;
	*out = view_of(next);
	for (uint32_t i = 0; i < next->run->device_count; i++) {
		if (next->run->devices[i] != d)
			continue;
		out->gpu = next->run->usage[i];
		out->time_share = next->run->time_share[i];
	}
	return true;
}

struct core_counts core_count(const struct core *c)
{
	struct core_counts n = c->counts;

	for (size_t i = 0; i < c->fleet.count; i++) {
		const struct worker *w = c->fleet.sorted[i];

		if (w->down)
			continue;
		if (w->draining) {
			n.draining_workers++;
			continue;
		}
		n.ready_workers++;
		for (size_t k = 0; k < w->device_count; k++) {
			n.hundredths_total +=
				w->devices[k]->listed && w->devices[k]->info.healthy ? 100
										     : 0;
			n.hundredths_leased += w->devices[k]->leased;
		}
	}
	n.last_issued = c->issued;
	n.last_committed = c->committed;
	return n;
}
