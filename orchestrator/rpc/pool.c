/* pool.c - the workers and the whole: ListWorkers, DrainWorker, ResumeWorker, HealthCheck. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "internal.h"
#include "str.h"
#include "submission.h"

#define SLOW_COMMIT_NS (5 * NS_PER_S)

typedef Cumulus__Orchestrator__WorkerInfo WorkerInfo;
typedef Cumulus__Orchestrator__GPUDevice GPUDevice;
typedef Cumulus__Orchestrator__PartitionInfo PartitionInfo;

static const char *const state_names[] = {
	[WORKER_READY] = "ready",
	[WORKER_DOWN] = "down",
	[WORKER_DRAINING] = "draining",
};

static char *text(const char *s)
{
	return xstrdup(s ? s : "");
}

/* ---- ListWorkers: everything on the heap, freed by the generated function */

static PartitionInfo *partition_info(const struct job_view *view)
{
	PartitionInfo *p = xmalloc(sizeof(*p));
	const struct job_facts *f = view->facts;

	cumulus__orchestrator__partition_info__init(p);
	p->partition_id = text(f->partition);
	p->job_id = text(view->id);
	p->amount = (float)view->submission->amount.hundredths / 100.0f;
	p->created_at = f->started_ns / NS_PER_S;
	p->expires_at = f->started_ns
				? f->started_ns / NS_PER_S + view->submission->duration_s
				: 0;
	p->owner = text(view->submission->owner);
	p->memory_used_mb = (int32_t)(view->gpu.memory_used >> 20);
	p->memory_quota_mb = (int32_t)(view->gpu.memory_quota >> 20);
	p->time_share = view->time_share;
	p->time_ns = view->gpu.time_ns;
	p->refusals = view->gpu.refusals;
	p->overruns = view->gpu.overruns;
	p->overrun_ns = view->gpu.overrun_ns;
	return p;
}

static void add_partitions(const struct core *core, const struct worker_view *w,
	const char *uuid, GPUDevice *d)
{
	struct job_view view;
	const char *after = "";

	while (core_lease_after(core, w->id, uuid, after, &view)) {
		d->active_partitions = xreallocarray(d->active_partitions,
			d->n_active_partitions + 1, sizeof(*d->active_partitions));
		d->active_partitions[d->n_active_partitions++] = partition_info(&view);
		after = view.id;
	}
}

static GPUDevice *device_info(const struct core *core, const struct worker_view *w,
	const struct device_view *from)
{
	const struct core_device *device = from->device;
	GPUDevice *d = xmalloc(sizeof(*d));

	cumulus__orchestrator__gpudevice__init(d);
	d->index = device->index;
	d->name = text(device->name);
	d->memory_mb = (int32_t)(device->memory_bytes >> 20);
	d->total_capacity = 1.0f;
	d->allocated_amount = (float)from->allocated / 100.0f;
	d->uuid = text(device->uuid);
	d->kind = text(device->kind);
	d->foreign_amount = (float)device->foreign / 100.0f;
	d->enforcement =
		text(*device->enforcement ? device->enforcement : w->enforcement);
	d->memory_used_mb = (int32_t)(device->memory_used_bytes >> 20);
	d->health = text(device->health);
	add_partitions(core, w, device->uuid, d);
	return d;
}

static WorkerInfo *worker_info(const struct core *core, const struct worker_view *w)
{
	WorkerInfo *m = xmalloc(sizeof(*m));

	cumulus__orchestrator__worker_info__init(m);
	m->id = text(w->id);
	m->hostname = text(w->hostname);
	m->address = text(w->address);
	m->status = text(state_names[w->state]);
	m->version = text(w->version);
	m->last_seen = w->last_seen_wall_ns / NS_PER_S;
	m->cpus = w->cpus;
	m->memory_mb = w->memory_bytes >> 20;
	m->running_jobs = (int32_t)w->running_jobs;
	m->gpu_devices = xcalloc(w->device_count, sizeof(*m->gpu_devices));
	for (size_t i = 0; i < w->device_count; i++)
		m->gpu_devices[m->n_gpu_devices++] = device_info(core, w, &w->devices[i]);
	return m;
}

static bool is_state(const char *name)
{
	for (size_t i = 0; i < sizeof(state_names) / sizeof(*state_names); i++)
		if (strcmp(name, state_names[i]) == 0)
			return true;
	return false;
}

static void reply_workers(struct asker *a, const char *filter)
{
	const struct core *core = relay_core(a->rpc->config.relay);
	Cumulus__Orchestrator__WorkerList *m = xmalloc(sizeof(*m));
	struct worker_view w;
	const char *after = "";

	cumulus__orchestrator__worker_list__init(m);
	while (core_worker_after(core, after, &w)) {
		after = w.id;
		if (*filter && strcmp(filter, state_names[w.state]) != 0)
			continue;
		m->workers =
			xreallocarray(m->workers, m->n_workers + 1, sizeof(*m->workers));
		m->workers[m->n_workers++] = worker_info(core, &w);
	}
	wire_call_reply(a->call, m);
	wire_message_free(m);
}

struct listing {
	struct asker asker; /* first */
	char filter[16];
};

static void on_all_committed(void *ctx, const struct effect *effect)
{
	struct listing *l = ctx;

	(void)effect;
	if (asker_is_back(&l->asker))
		reply_workers(&l->asker, l->filter);
}

static void on_list_workers(struct wire_call *call, ProtobufCMessage *message)
{
	Cumulus__Orchestrator__ListWorkersRequest *m = (void *)message;
	struct rpc *r = wire_call_user(call);

	if (*m->status_filter && !is_state(m->status_filter)) {
		char quoted[STR_QUOTE_SIZE];
		struct err e = { 0 };

		err_set(&e, ERR_INVALID,
			"status_filter \"%s\" is none of ready, down, draining",
			str_quote(quoted, m->status_filter, strlen(m->status_filter)));
		rpc_fail(call, &e);
	} else {
		struct listing *l = asker_new(call, sizeof(*l), NULL);

		str_put(l->filter, sizeof(l->filter), "%s", m->status_filter);
		l->asker.asked = true;
		/* Leases of all jobs are shown: it rests on the last record there is. */
		relay_await(r->config.relay, 0, on_all_committed, l);
	}
	wire_message_free(message);
}

const struct wire_handlers rpc_list_workers = {
	.message = on_list_workers,
	.gone = asker_on_gone,
};

/* ---- DrainWorker, ResumeWorker */

struct wishing {
	struct asker asker; /* first */
	char worker[ID_SIZE];
};

static bool find_worker(const struct core *core, const char *id, struct worker_view *out)
{
	const char *after = "";

	while (core_worker_after(core, after, out)) {
		after = out->id;
		if (strcmp(out->id, id) == 0)
			return true;
	}
	return false;
}

/* What is forgotten is not there any more: all that is said of it is its id. */
static void reply_worker(struct wishing *w)
{
	const struct core *core = relay_core(w->asker.rpc->config.relay);
	struct worker_view view = { .id = w->worker, .state = WORKER_DOWN };
	WorkerInfo *m;

	find_worker(core, w->worker, &view);
	m = worker_info(core, &view);
	wire_call_reply(w->asker.call, m);
	wire_message_free(m);
}

static void on_wish_answer(void *ctx, const struct effect *answer)
{
	struct wishing *w = ctx;

	if (!asker_is_back(&w->asker))
		return;
	if (answer->error.code != ERR_NONE)
		rpc_fail(w->asker.call, &answer->error);
	else
		reply_worker(w);
}

static void wish_worker(struct wire_call *call, const char *worker, enum worker_wish wish)
{
	struct wishing *w;
	struct err e = { 0 };

	if (!id_valid(worker, 'w')) {
		char quoted[STR_QUOTE_SIZE];

		err_set(&e, ERR_NOT_FOUND, "worker \"%s\" is not known",
			str_quote(quoted, worker, strlen(worker)));
		rpc_fail(call, &e);
		return;
	}
	w = asker_new(call, sizeof(*w), NULL);
	str_put(w->worker, sizeof(w->worker), "%s", worker);
	w->asker.asked = true;
	relay_wish_worker(w->asker.rpc->config.relay, w->worker, wish, on_wish_answer, w);
}

static void on_drain_worker(struct wire_call *call, ProtobufCMessage *message)
{
	Cumulus__Orchestrator__DrainWorkerRequest *m = (void *)message;

	wish_worker(call, m->worker_id, m->forget ? WORKER_FORGET : WORKER_DRAIN);
	wire_message_free(message);
}

static void on_resume_worker(struct wire_call *call, ProtobufCMessage *message)
{
	Cumulus__Orchestrator__ResumeWorkerRequest *m = (void *)message;

	wish_worker(call, m->worker_id, WORKER_RESUME);
	wire_message_free(message);
}

const struct wire_handlers rpc_drain_worker = {
	.message = on_drain_worker,
	.gone = asker_on_gone,
};
const struct wire_handlers rpc_resume_worker = {
	.message = on_resume_worker,
	.gone = asker_on_gone,
};

/* ---- HealthCheck: answered from memory, also while the disk hangs */

static struct rpc_health health(const char *status, const char *message)
{
	struct rpc_health h = { .status = status };

	str_put(h.message, sizeof(h.message), "%s", message);
	return h;
}

struct rpc_health rpc_health(const struct rpc *r)
{
	struct core_counts counts = core_count(relay_core(r->config.relay));
	struct store *store = relay_store(r->config.relay);

	if (counts.ready_workers == 0 && counts.draining_workers)
		return health("unhealthy", "no worker is ready: all that are here drain");
	if (counts.ready_workers == 0)
		return health("unhealthy", r->config.no_worker_hint
						   ? r->config.no_worker_hint
						   : "no worker is ready");
	if (counts.hundredths_total == 0)
		return health(
			"unhealthy", "no worker has a healthy device: its log says why");
	if (!r->config.engine_is_connected(r->config.engine_ctx))
		return health("degraded", "the engine is not connected");
	if (store_disk_low(store))
		return health(
			"degraded", "the disk is at its low-water mark: no new jobs");
	if (store_stats(store).commit_age_ns > SLOW_COMMIT_NS)
		return health("degraded", "a commit takes over 5 s");
	return health("healthy", "");
}

static void on_health(struct wire_call *call, ProtobufCMessage *message)
{
	struct rpc *r = wire_call_user(call);
	struct rpc_health h = rpc_health(r);
	struct core_counts counts = core_count(relay_core(r->config.relay));
	Cumulus__Orchestrator__HealthStatus m =
		CUMULUS__ORCHESTRATOR__HEALTH_STATUS__INIT;

	wire_message_free(message);
	m.status = (char *)(uintptr_t)h.status;
	m.version = (char *)(uintptr_t)CUMULUS_VERSION;
	m.active_jobs = (int32_t)counts.active;
	m.available_workers = (int32_t)counts.ready_workers;
	m.swarm_connected = r->config.engine_is_connected(r->config.engine_ctx);
	m.uptime_seconds = (clock_boot_ns() - r->began_boot_ns) / NS_PER_S;
	m.waiting_jobs = (int32_t)counts.waiting;
	m.message = h.message;
	m.engine = (char *)(uintptr_t)r->config.engine_name;
	wire_call_reply(call, &m);
}

const struct wire_handlers rpc_health_check = { .message = on_health };
