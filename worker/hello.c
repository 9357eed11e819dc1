/* hello.c - what the worker says about itself, its devices and its runs. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "hello.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "log.h"
#include "run.h"
#include "runfolder.h"
#include "str.h"
#include "worker.pb-c.h"
#include "xalloc.h"

#define PROTOCOL 1

/* One message of a repeated field: the array of pointers and what they point at. */
#define MESSAGES(count, type, list, items)                                               \
	CLEANUP(free_ptr) type *items = xcalloc((count) + 1, sizeof(type));              \
	CLEANUP(free_ptr) type **list = xcalloc((count) + 1, sizeof(type *));            \
	for (size_t i_ = 0; i_ < (count); i_++)                                          \
	list[i_] = &items[i_]

/* ---- devices */

/* The partitions of one device; *items is filled from its start.  Returns how many. */
static size_t fill_partitions(
	const struct devices *d, uint32_t index, Cumulus__Worker__DevicePartition *items)
{
	size_t n = 0;

	for (size_t i = 0; i < d->use_count; i++) {
		const struct device_use *use = &d->uses[i];
		Cumulus__Worker__DevicePartition *m = &items[n];

		if (use->usage.device != index)
			continue;
		cumulus__worker__device_partition__init(m);
		m->id = (char *)use->partition->id;
		m->key = (char *)use->partition->key;
		m->memory_used_bytes = (int64_t)use->usage.used_bytes;
		m->time_used_ns = (int64_t)use->usage.time_ns;
		m->refusals = (int64_t)use->usage.refusals;
		m->overruns = (int64_t)use->usage.overruns;
		m->overrun_ns = (int64_t)use->usage.overrun_ns;
		m->processes = (int32_t)use->usage.clients;
		m->time_share = use->time_share;
		if (strcmp(use->usage.enforcement, "off") != 0)
			m->memory_quota_bytes = (int64_t)use->usage.quota_bytes;
		n++;
	}
	return n;
}

static int64_t memory_used(const struct devices *d, uint32_t index)
{
	int64_t sum = 0;

	for (size_t i = 0; i < d->use_count; i++)
		if (d->uses[i].usage.device == index)
			sum += (int64_t)d->uses[i].usage.used_bytes;
	return sum;
}

static void fill_device(
	Cumulus__Worker__Device *m, const struct devices *all, const struct device *d)
{
	cumulus__worker__device__init(m);
	m->uuid = (char *)d->facts.uuid;
	m->index = (int32_t)d->facts.index;
	m->name = (char *)d->facts.name;
	m->kind = (char *)chronos_kind_name(d->facts.kind);
	m->memory_bytes = (int64_t)d->facts.memory_bytes;
	m->health = (char *)d->health;
	m->foreign_hundredths = (int32_t)d->foreign_hundredths;
	m->memory_used_bytes = memory_used(all, d->facts.index);
	m->enforcement = (char *)d->enforcement;
}

int hello_send_device(const struct devices *d, const struct device *device,
	struct wire_call *call, struct err *e)
{
	Cumulus__Worker__FromWorker m = CUMULUS__WORKER__FROM_WORKER__INIT;
	Cumulus__Worker__Device body;

	MESSAGES(d->use_count, Cumulus__Worker__DevicePartition, list, items);
	fill_device(&body, d, device);
	body.n_partitions = fill_partitions(d, device->facts.index, items);
	body.partitions = list;
	m.kind_case = CUMULUS__WORKER__FROM_WORKER__KIND_DEVICE;
	m.device = &body;
	return wire_call_send(call, &m, e);
}

int hello_send_figures(
	const struct hello_figures *f, struct wire_call *call, struct err *e)
{
	Cumulus__Worker__FromWorker m = CUMULUS__WORKER__FROM_WORKER__INIT;
	Cumulus__Worker__Figures body = CUMULUS__WORKER__FIGURES__INIT;

	body.environments = f->environments;
	body.environment_bytes = f->environment_bytes;
	body.environments_built = f->built;
	body.environments_refused = f->refused;
	body.environments_broken = f->broken;
	body.environments_reused = f->reused;
	body.package_bytes = f->package_bytes;
	m.kind_case = CUMULUS__WORKER__FROM_WORKER__KIND_FIGURES;
	m.figures = &body;
	return wire_call_send(call, &m, e);
}

/* ---- runs */

static void fill_run(Cumulus__Worker__RunState *m, struct run *r)
{
	struct run_state state;
	struct err e = { 0 };

	cumulus__worker__run_state__init(m);
	m->job_id = r->job;
	m->attempt = r->attempt;
	m->cluster_id = r->cluster_id;
	if (runfolder_state(r->dirfd, r->upload.tail.durable, &state, &e) < 0) {
		/* It is there: that much is known, and its reports will be tried again. */
		log_error("cannot read a run", "run", r->name, "why", e.text, NULL);
		m->last_report = r->reports.last;
		m->phase = run_is_over(r)      ? CUMULUS__WORKER__PHASE__PHASE_ENDED
			   : r->started_report ? CUMULUS__WORKER__PHASE__PHASE_RUNNING
					       : CUMULUS__WORKER__PHASE__PHASE_SETTING_UP;
		return;
	}
	m->phase = state.phase;
	m->last_report = state.last_report;
	m->output_end = state.output_end;
}

/* ---- the whole */

static void fill_distributions(
	Cumulus__Worker__Distribution *items, const struct distributions *d)
{
	for (size_t i = 0; i < d->count; i++) {
		cumulus__worker__distribution__init(&items[i]);
		items[i].name = d->list[i].name;
		items[i].version = d->list[i].version;
	}
}

int hello_send(const struct hello *h, struct wire_call *call, struct err *e)
{
	const struct devices *d = h->devices;
	Cumulus__Worker__FromWorker m = CUMULUS__WORKER__FROM_WORKER__INIT;
	Cumulus__Worker__Hello hello = CUMULUS__WORKER__HELLO__INIT;
	char hostname[256] = "";
	size_t n = 0;

	MESSAGES(d->count, Cumulus__Worker__Device, devices, device_items);
	MESSAGES(h->runs->by_name.count, Cumulus__Worker__RunState, runs, run_items);
	MESSAGES(h->distributions->count, Cumulus__Worker__Distribution, distributions,
		distribution_items);

	for (size_t i = 0; i < d->count; i++)
		fill_device(&device_items[i], d, &d->list[i]);
	list_each(at, &h->runs->all)
	{
		struct run *r = list_entry(at, struct run, all);

		/* One that is being removed is known to be over: it is as good as gone. */
		if (!r->removing)
			fill_run(&run_items[n++], r);
	}
	fill_distributions(distribution_items, h->distributions);
	gethostname(hostname, sizeof(hostname) - 1);
	if (!utf8_valid(hostname, strlen(hostname)))
		*hostname = '\0';

	hello.protocol = PROTOCOL;
	hello.worker_id = (char *)h->home->worker_id;
	hello.cluster_id = (char *)h->home->cluster_id;
	hello.boot_id = (char *)h->home->boot_id;
	hello.process_epoch = h->home->process_epoch;
	hello.version = (char *)CUMULUS_VERSION;
	hello.hostname = hostname;
	hello.cpus = h->cpus;
	hello.memory_bytes = h->memory_bytes;
	hello.devices = devices;
	hello.n_devices = d->count;
	hello.runs = runs;
	hello.n_runs = n;
	hello.enforcement = (char *)devices_enforcement(d);
	hello.run_slots = h->run_slots;
	hello.distributions = distributions;
	hello.n_distributions = h->distributions->count;
	m.kind_case = CUMULUS__WORKER__FROM_WORKER__KIND_HELLO;
	m.hello = &hello;
	return wire_call_send(call, &m, e);
}
