/* fleet.c - the workers, their devices, and who holds which share of them. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "inside.h"
#include "str.h"
#include "xalloc.h"

void fleet_init(struct fleet *f)
{
	for (size_t i = 0; i < 100; i++)
		list_init(&f->part[i]);
	for (size_t i = 0; i <= WORKER_DEVICES_MAX; i++)
		list_init(&f->whole[i]);
}

static void worker_free(struct worker *w)
{
	for (size_t i = 0; i < w->device_count; i++)
		free(w->devices[i]);
	free(w->devices);
	free(w->views);
	free(w->strays);
	free(w);
}

void fleet_fini(struct core *c)
{
	for (size_t i = 0; i < c->fleet.count; i++)
		worker_free(c->fleet.sorted[i]);
	free(c->fleet.sorted);
	table_fini(&c->fleet.workers);
}

struct worker *fleet_find(const struct fleet *f, const char *id)
{
	struct table_entry *entry = table_find_str(&f->workers, id);

	return entry ? table_value(entry, struct worker, by_id) : NULL;
}

static void insert_sorted(struct fleet *f, struct worker *w)
{
	size_t at = f->count;

	f->sorted = xreallocarray(f->sorted, f->count + 1, sizeof(*f->sorted));
	for (; at > 0 && strcmp(f->sorted[at - 1]->said.worker, w->said.worker) > 0; at--)
		f->sorted[at] = f->sorted[at - 1];
	f->sorted[at] = w;
	f->count++;
}

struct worker *fleet_get(struct core *c, const char *id)
{
	struct worker *w = fleet_find(&c->fleet, id);

	if (w)
		return w;
	w = xcalloc(1, sizeof(*w));
	memcpy(w->said.worker, id, ID_SIZE);
	w->down = true;
	w->silence.kind = TIMER_SILENCE;
	w->pause.kind = TIMER_PAUSE;
	list_init(&w->leases);
	list_init(&w->by_whole);
	table_add_str(&c->fleet.workers, &w->by_id, w->said.worker);
	insert_sorted(&c->fleet, w);
	return w;
}

void fleet_remove(struct core *c, struct worker *w)
{
	struct fleet *f = &c->fleet;
	size_t at = 0;

	assert(!w->lease_count);
	if (c->reserved.count && c->reserved.devices[0]->worker == w)
		c->reserved = (struct reservation){ 0 };
	timer_clear(&c->timers, &w->silence);
	timer_clear(&c->timers, &w->pause);
	while (w->device_count)
		worker_drop_device(w, w->device_count - 1);
	list_remove(&w->by_whole);
	while (f->sorted[at] != w)
		at++;
	memmove(f->sorted + at, f->sorted + at + 1,
		(f->count - at - 1) * sizeof(*f->sorted));
	f->count--;
	table_remove(&f->workers, &w->by_id);
	worker_free(w);
	f->epoch++;
	c->dirty = true;
}

struct device *worker_device(const struct worker *w, const char *uuid)
{
	for (size_t i = 0; i < w->device_count; i++)
		if (!strcmp(w->devices[i]->info.uuid, uuid))
			return w->devices[i];
	return NULL;
}

static void resize_devices(struct worker *w, size_t count)
{
	w->devices = xreallocarray(w->devices, count, sizeof(*w->devices));
	w->views = xreallocarray(w->views, count, sizeof(*w->views));
	w->device_count = count;
}

struct device *worker_add_device(struct worker *w, const char *uuid)
{
	struct device *d = xcalloc(1, sizeof(*d));

	str_put(d->info.uuid, sizeof(d->info.uuid), "%s", uuid);
	d->worker = w;
	list_init(&d->by_free);
	resize_devices(w, w->device_count + 1);
	w->devices[w->device_count - 1] = d;
	return d;
}

void worker_drop_device(struct worker *w, size_t i)
{
	assert(!w->devices[i]->lease_count);
	list_remove(&w->devices[i]->by_free);
	free(w->devices[i]);
	memmove(w->devices + i, w->devices + i + 1,
		(w->device_count - i - 1) * sizeof(*w->devices));
	w->device_count--;
}

uint32_t device_free(const struct device *d)
{
	uint32_t used = d->leased + d->info.foreign;

	return d->listed && d->info.healthy && used < 100 ? 100 - used : 0;
}

bool worker_is_ready(const struct worker *w)
{
	return w->present && !w->down && !w->draining;
}

static bool has_stray_of_ours(const struct worker *w)
{
	for (size_t i = 0; i < w->stray_count; i++)
		if (w->strays[i].ours)
			return true;
	return false;
}

bool worker_takes_runs(const struct worker *w)
{
	return worker_is_ready(w) && !w->pause.slot && !has_stray_of_ours(w) &&
	       w->lease_count + w->stray_count < w->said.run_slots;
}

void worker_changed(struct core *c, struct worker *w)
{
	bool takes = worker_takes_runs(w);
	size_t whole = 0;

	c->dirty = true;
	for (size_t i = 0; i < w->device_count; i++) {
		uint32_t room = takes ? device_free(w->devices[i]) : 0;

		list_remove(&w->devices[i]->by_free);
		if (room == 100)
			whole++;
		else if (room)
			list_append(&c->fleet.part[room], &w->devices[i]->by_free);
	}
	list_remove(&w->by_whole);
	if (whole)
		list_append(&c->fleet.whole[whole], &w->by_whole);
}

void worker_seen(struct core *c, struct worker *w)
{
	w->seen_boot_ns = c->now.boot_ns;
	w->seen_wall_ns = c->now.wall_ns;
	if (w->down && w->present) {
		w->down = false;
		c->fleet.epoch++;
		worker_changed(c, w);
	}
	/* Moved only when it strikes: reports are many, silence is rare. */
	if (!w->silence.slot && !w->down)
		timer_set(&c->timers, &w->silence,
			c->now.boot_ns + c->config.worker_down_after_ns);
}

static uint32_t healthy_devices(const struct worker *w)
{
	uint32_t count = 0;

	for (size_t i = 0; i < w->device_count; i++)
		count += w->devices[i]->listed && w->devices[i]->info.healthy;
	return count;
}

struct amount fleet_largest(const struct fleet *f)
{
	struct amount largest = { 0, 100 };

	for (size_t i = 0; i < f->count; i++) {
		uint32_t have =
			f->sorted[i]->said.run_slots ? healthy_devices(f->sorted[i]) : 0;

		if (have > largest.devices)
			largest.devices = have;
	}
	if (largest.devices > JOB_DEVICES_MAX)
		largest.devices = JOB_DEVICES_MAX;
	return largest;
}

bool fleet_any_ready(const struct fleet *f)
{
	for (size_t i = 0; i < f->count; i++)
		if (!f->sorted[i]->down && !f->sorted[i]->draining)
			return true;
	return false;
}

void lease_take(struct core *c, struct job *job, const struct placement *p)
{
	struct run *run = xcalloc(1, sizeof(*run));

	assert(!job->run && p->count == job->submission->amount.devices);
	run->job = job;
	run->worker = p->worker;
	run->device_count = p->count;
	run->output_there = NEVER;
	for (uint32_t i = 0; i < p->count; i++) {
		struct device *d = p->devices[i];

		assert(d->worker == p->worker && d->lease_count < DEVICE_LEASES);
		run->devices[i] = d;
		d->leases[d->lease_count++] = job;
		d->leased += job->submission->amount.hundredths;
		assert(d->leased <= 100);
	}
	list_append(&p->worker->leases, &run->on_worker);
	p->worker->lease_count++;
	job->run = run;
	worker_changed(c, p->worker);
}

static void device_release(struct device *d, const struct job *job)
{
	uint32_t i = 0;

	while (d->leases[i] != job)
		assert(++i < d->lease_count);
	d->leases[i] = d->leases[--d->lease_count];
	d->leased -= job->submission->amount.hundredths;
}

void lease_release(struct core *c, struct job *job)
{
	struct run *run = job->run;
	struct worker *w = run->worker;

	for (uint32_t i = 0; i < run->device_count; i++)
		device_release(run->devices[i], job);
	list_remove(&run->on_worker);
	w->lease_count--;
	if (run->ends_ns == NEVER)
		c->fleet.epoch++;
	run_free(run);
	job->run = NULL;
	worker_changed(c, w);
}

struct stray *worker_stray(const struct worker *w, const char *job, int32_t attempt)
{
	for (size_t i = 0; i < w->stray_count; i++)
		if (w->strays[i].attempt == attempt && !strcmp(w->strays[i].job, job))
			return &w->strays[i];
	return NULL;
}

void worker_forget_stray(struct core *c, struct worker *w, struct stray *s)
{
	*s = w->strays[--w->stray_count];
	worker_changed(c, w);
}
