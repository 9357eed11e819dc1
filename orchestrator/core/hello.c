/* hello.c - workers come, are reconciled with what the core knows, and go. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "inside.h"
#include "xalloc.h"

/* ---- devices */

static void take_devices(struct core *c, struct worker *w, const struct core_hello *h)
{
	/* It may point at a device that goes; the next pass makes it again. */
	if (c->reserved.count && c->reserved.devices[0]->worker == w)
		c->reserved = (struct reservation){ 0 };
	for (size_t i = 0; i < w->device_count; i++)
		w->devices[i]->listed = false;
	for (size_t i = 0; i < h->device_count && i < WORKER_DEVICES_MAX; i++) {
		struct device *d = worker_device(w, h->devices[i].uuid);

		if (!d)
			d = worker_add_device(w, h->devices[i].uuid);
		d->info = h->devices[i];
		d->info.partitions = NULL;
		d->info.partition_count = 0;
		d->listed = true;
	}
	/* One that is gone stays as long as somebody has a lease on it. */
	for (size_t i = w->device_count; i-- > 0;)
		if (!w->devices[i]->listed && !w->devices[i]->lease_count)
			worker_drop_device(w, i);
}

/* ---- runs */

static struct job *lease_of(
	const struct core *c, const struct worker *w, const struct core_run *r)
{
	struct job *job = job_find(c, r->job);

	if (!job || !job->run || job->fresh || job->run->worker != w)
		return NULL;
	return job->facts.attempt == r->attempt ? job : NULL;
}

static enum run_want want_of_lease(const struct job *job)
{
	bool stop = job_state_final(job->facts.state) || job->facts.cancel_requested ||
		    job->run->overdue;

	return stop ? WANT_STOPPED : WANT_RUN_ON;
}

/* The worker has a folder that belongs to no lease. */
static enum run_want take_stray(struct worker *w, const struct core_run *r)
{
	if (r->ours && r->phase == RUN_ENDED)
		return WANT_FORGOTTEN;

	struct stray *s = &w->strays[w->stray_count++];
	memcpy(s->job, r->job, ID_SIZE);
	s->attempt = r->attempt;
	s->ours = r->ours;
	return r->ours ? WANT_STOPPED : WANT_LEFT_ALONE;
}

static void welcome(struct core *c, struct worker *w, const struct core_hello *h)
{
	struct effect effect = { .kind = EFFECT_WELCOME, .session = h->session };

	free(w->strays);
	w->strays = h->run_count ? xcalloc(h->run_count, sizeof(*w->strays)) : NULL;
	w->stray_count = 0;
	effect.wanted =
		h->run_count ? xcalloc(h->run_count, sizeof(*effect.wanted)) : NULL;
	for (size_t i = 0; i < h->run_count; i++) {
		const struct core_run *r = &h->runs[i];
		struct effect_wanted_run *want = &effect.wanted[effect.wanted_count++];
		struct job *job = lease_of(c, w, r);

		memcpy(want->job, r->job, ID_SIZE);
		want->attempt = r->attempt;
		want->want = job ? want_of_lease(job) : take_stray(w, r);
		if (job) {
			want->committed_report = job->facts.report;
			job->run->seen_session = h->session;
		}
	}
	memcpy(effect.worker, w->said.worker, ID_SIZE);
	gate_push(c, &effect, c->issued);
}

/* The worker has no folder of this lease. */
static void reconcile_absent(struct core *c, struct job *job)
{
	struct ending cancelled = { .event = EV_ENDED_CANCELLED };

	if (job_state_final(job->facts.state)) {
		job_release_late(c, job);
	} else if (job->run->ended) {
		run_close_output(c, job, job->run->output_durable);
	} else if (job->facts.state != JOB_CREATING_PARTITION || job->run->taken) {
		job_outcome_unknown(c, job, "the worker has no trace of it", true);
	} else if (job->facts.cancel_requested) {
		job_end(c, job, &cancelled, NULL, true);
	} else {
		/* The folder comes before any effect: nothing of it ever happened. */
		job->run->overdue = false;
		job_deadline(c, job);
		run_tell(c, job, EFFECT_START, STOP_WHY_CANCEL);
	}
}

/* A folder that has ended, or whose end is known already, will not grow. */
static void reconcile_present(struct core *c, struct job *job, const struct core_run *r)
{
	if (r->phase == RUN_ENDED || job->run->ended)
		run_close_output(c, job, r->output_end);
}

static void reconcile(struct core *c, struct worker *w, const struct core_hello *h)
{
	list_each_safe(it, &w->leases)
	{
		struct job *job = list_entry(it, struct run, on_worker)->job;

		if (!job->fresh && job->run->seen_session != h->session)
			reconcile_absent(c, job);
	}
	for (size_t i = 0; i < h->run_count; i++) {
		struct job *job = lease_of(c, w, &h->runs[i]);

		if (job)
			reconcile_present(c, job, &h->runs[i]);
	}
}

/* ---- coming and going */

void core_worker_hello(
	struct core *c, const struct core_time *now, const struct core_hello *h)
{
	core_begin(c, now);

	struct worker *w = fleet_get(c, h->worker);
	if (h->session > w->said.session) {
		w->said = *h;
		w->said.devices = NULL;
		w->said.runs = NULL;
		w->present = true;
		w->down = false;
		c->fleet.epoch++;
		worker_seen(c, w);
		take_devices(c, w, h);
		welcome(c, w, h);
		reconcile(c, w, h);
		worker_changed(c, w);
	}
	core_finish(c);
}

void core_worker_gone(
	struct core *c, const struct core_time *now, const char *worker, uint64_t session)
{
	core_begin(c, now);

	struct worker *w = fleet_find(&c->fleet, worker);
	if (w && w->present && w->said.session <= session) {
		w->present = false;
		worker_changed(c, w);
	}
	core_finish(c);
}

void core_worker_seen(struct core *c, const struct core_time *now, const char *worker)
{
	core_begin(c, now);

	struct worker *w = fleet_find(&c->fleet, worker);
	if (w && w->present)
		worker_seen(c, w);
	core_finish(c);
}

void worker_silent(struct core *c, struct worker *w)
{
	int64_t down_at = w->seen_boot_ns + c->config.worker_down_after_ns;

	timer_clear(&c->timers, &w->silence);
	if (down_at > c->now.boot_ns) {
		timer_set(&c->timers, &w->silence, down_at);
		return;
	}
	w->down = true;
	worker_changed(c, w);
}

static void take_usage(const struct core *c, const struct worker *w,
	const struct device *d, const struct core_partition *p)
{
	struct job *job = job_find(c, p->job);
	struct run *run = job ? job->run : NULL;

	if (!run || run->worker != w || job->facts.attempt != p->attempt)
		return;
	for (uint32_t i = 0; i < run->device_count; i++) {
		if (run->devices[i] != d)
			continue;
		run->usage[i] = p->usage;
		run->time_share[i] = p->time_share;
	}
}

void core_device_update(struct core *c, const struct core_time *now, const char *worker,
	const struct core_device *device)
{
	core_begin(c, now);

	struct worker *w = fleet_find(&c->fleet, worker);
	struct device *d = w ? worker_device(w, device->uuid) : NULL;
	if (d && d->listed) {
		bool matters = d->info.healthy != device->healthy ||
			       d->info.foreign != device->foreign;

		for (size_t i = 0; i < device->partition_count; i++)
			take_usage(c, w, d, &device->partitions[i]);
		d->info = *device;
		d->info.partitions = NULL;
		d->info.partition_count = 0;
		if (matters) {
			c->fleet.epoch++;
			worker_changed(c, w);
		}
	}
	core_finish(c);
}
