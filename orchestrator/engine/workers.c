/* workers.c - the workers' control stream: their words into the core, its commands out. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "workers.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "blobs.h"
#include "cleanup.h"
#include "log.h"
#include "orchestrator.pb-c.h"
#include "requirement.h"
#include "str.h"
#include "table.h"
#include "worker.pb-c.h"
#include "xalloc.h"

#define PROTOCOL     1
#define COMMANDS_MAX 65536 /* waiting for one worker; it does not read: drop the stream */
#define DEVICES_MAX  64
#define RUNS_MAX     65536

struct command {
	struct list link;
	void *message; /* Cumulus__Worker__ToWorker, owned */
};

/* One open control stream. */
struct stream {
	struct list link;
	struct workers *workers;
	struct wire_call *call;
	uint64_t session;
	char worker[ID_SIZE]; /* "" before Hello */
	struct list commands;
	size_t command_count;
	bool closing;                  /* finish once the commands are sent */
	Cumulus__Worker__Hello *hello; /* owned: for its distributions */
	struct worker_figures figures;
	bool has_figures;
};

struct workers {
	struct workers_config config;
	struct list streams;
	uint64_t last_session;
	bool listed;
	bool shutting_down;
	struct blobs *blobs;
	void (*gone)(void *ctx);
	void *gone_ctx;
};

/* ---- to the worker */

static void free_command(struct command *c)
{
	wire_message_free(c->message);
	free(c);
}

/* Takes the message, which must be all heap. */
static void send_command(struct stream *s, Cumulus__Worker__ToWorker *m)
{
	struct command *c = xmalloc(sizeof(*c));

	c->message = m;
	list_append(&s->commands, &c->link);
	if (++s->command_count > COMMANDS_MAX) {
		log_warn("worker does not read its commands", "worker", s->worker, NULL);
		wire_call_cancel(s->call);
		return;
	}
	wire_call_wake(s->call);
}

static Cumulus__Worker__ToWorker *new_message(Cumulus__Worker__ToWorker__KindCase kind)
{
	Cumulus__Worker__ToWorker *m = xmalloc(sizeof(*m));

	cumulus__worker__to_worker__init(m);
	m->kind_case = kind;
	return m;
}

static struct stream *find_stream(const struct workers *w, const char *worker)
{
	list_each(it, &w->streams)
	{
		struct stream *s = list_entry(it, struct stream, link);

		if (strcmp(s->worker, worker) == 0)
			return s;
	}
	return NULL;
}

static void on_pull(struct wire_call *call)
{
	struct stream *s = wire_call_data(call);
	struct list *first = list_first(&s->commands);
	struct err e = { 0 };

	if (!first) {
		if (s->closing)
			wire_call_finish(call, WIRE_OK, NULL);
		return;
	}

	struct command *c = list_entry(first, struct command, link);
	list_remove(&c->link);
	s->command_count--;
	if (wire_call_send(call, c->message, &e) < 0) {
		log_error("command cannot be sent", "worker", s->worker, "why", e.text,
			NULL);
		wire_call_cancel(call);
	}
	free_command(c);
}

static void send_shutdown(struct stream *s)
{
	Cumulus__Worker__ToWorker *m =
		new_message(CUMULUS__WORKER__TO_WORKER__KIND_SHUTDOWN);

	m->shutdown = xmalloc(sizeof(*m->shutdown));
	cumulus__worker__shutdown__init(m->shutdown);
	m->shutdown->stop_runs = true;
	send_command(s, m);
}

static void refuse_worker(struct stream *s, const char *why)
{
	Cumulus__Worker__ToWorker *m =
		new_message(CUMULUS__WORKER__TO_WORKER__KIND_WELCOME);

	log_warn("worker is refused", "worker", s->worker, "why", why, NULL);
	m->welcome = xmalloc(sizeof(*m->welcome));
	cumulus__worker__welcome__init(m->welcome);
	m->welcome->cluster_id = xstrdup(s->workers->config.cluster_id);
	m->welcome->refused = xstrdup(why);
	s->closing = true;
	send_command(s, m);
}

static Cumulus__Worker__WantedRun *wanted_run(
	struct workers *w, const struct effect_wanted_run *want)
{
	static const Cumulus__Worker__Want wants[] = {
		[WANT_RUN_ON] = CUMULUS__WORKER__WANT__WANT_RUN,
		[WANT_STOPPED] = CUMULUS__WORKER__WANT__WANT_STOP,
		[WANT_FORGOTTEN] = CUMULUS__WORKER__WANT__WANT_FORGET,
	};
	Cumulus__Worker__WantedRun *r = xmalloc(sizeof(*r));
	int64_t end = output_end(relay_output(w->config.relay), want->job, want->attempt);

	cumulus__worker__wanted_run__init(r);
	r->job_id = xstrdup(want->job);
	r->attempt = want->attempt;
	r->committed_report = want->committed_report;
	/* 0 where it is not known: the first answer on the output stream says it. */
	r->durable_output = end > 0 ? end : 0;
	r->want = wants[want->want];
	return r;
}

static void send_welcome(struct stream *s, const struct effect *e)
{
	struct workers *w = s->workers;
	Cumulus__Worker__ToWorker *m =
		new_message(CUMULUS__WORKER__TO_WORKER__KIND_WELCOME);
	Cumulus__Worker__Welcome *welcome = m->welcome = xmalloc(sizeof(*welcome));

	cumulus__worker__welcome__init(welcome);
	welcome->cluster_id = xstrdup(w->config.cluster_id);
	welcome->orchestrator_epoch = (int64_t)w->config.epoch;
	welcome->runs = xcalloc(e->wanted_count, sizeof(*welcome->runs));
	for (size_t i = 0; i < e->wanted_count; i++)
		if (e->wanted[i].want != WANT_LEFT_ALONE)
			welcome->runs[welcome->n_runs++] = wanted_run(w, &e->wanted[i]);
	send_command(s, m);
}

static Cumulus__Worker__ToWorker *stop_message(struct workers *w, const struct effect *e)
{
	static const Cumulus__Worker__StopWhy whys[] = {
		[STOP_WHY_CANCEL] = CUMULUS__WORKER__STOP_WHY__STOP_CANCEL,
		[STOP_WHY_BACKSTOP] = CUMULUS__WORKER__STOP_WHY__STOP_BACKSTOP,
		[STOP_WHY_DRAIN] = CUMULUS__WORKER__STOP_WHY__STOP_DRAIN,
		[STOP_WHY_PAUSE] = CUMULUS__WORKER__STOP_WHY__STOP_PAUSE,
	};
	Cumulus__Worker__ToWorker *m = new_message(CUMULUS__WORKER__TO_WORKER__KIND_STOP);

	m->stop = xmalloc(sizeof(*m->stop));
	cumulus__worker__stop__init(m->stop);
	m->stop->job_id = xstrdup(e->job);
	m->stop->attempt = e->attempt;
	m->stop->why = whys[e->stop_why];
	m->stop->grace = w->config.grace_s;
	return m;
}

static Cumulus__Worker__ToWorker *committed_message(
	struct workers *w, const struct effect *e)
{
	Cumulus__Worker__ToWorker *m =
		new_message(CUMULUS__WORKER__TO_WORKER__KIND_COMMITTED);
	int64_t end = output_end(relay_output(w->config.relay), e->job, e->attempt);

	m->committed = xmalloc(sizeof(*m->committed));
	cumulus__worker__committed__init(m->committed);
	m->committed->job_id = xstrdup(e->job);
	m->committed->attempt = e->attempt;
	m->committed->report = e->report;
	m->committed->output = end > 0 ? end : 0;
	return m;
}

static Cumulus__Worker__ToWorker *forget_message(const struct effect *e)
{
	Cumulus__Worker__ToWorker *m =
		new_message(CUMULUS__WORKER__TO_WORKER__KIND_FORGET);

	m->forget = xmalloc(sizeof(*m->forget));
	cumulus__worker__forget__init(m->forget);
	m->forget->job_id = xstrdup(e->job);
	m->forget->attempt = e->attempt;
	return m;
}

static void on_command(void *ctx, const struct effect *e)
{
	struct workers *w = ctx;
	struct stream *s = find_stream(w, e->worker);

	if (!s || (e->session && e->session != s->session))
		return;
	if (e->kind == EFFECT_WELCOME)
		send_welcome(s, e);
	else if (e->kind == EFFECT_STOP)
		send_command(s, stop_message(w, e));
	else if (e->kind == EFFECT_COMMITTED)
		send_command(s, committed_message(w, e));
	else if (e->kind == EFFECT_FORGET)
		send_command(s, forget_message(e));
	if (e->kind == EFFECT_FORGET && w->config.engine->take_away)
		w->config.engine->take_away(w->config.engine->ctx, e->job, e->attempt);
}

/* ---- start */

static int64_t or_default(int64_t asked, int64_t fallback)
{
	return asked ? asked : fallback;
}

static Cumulus__Worker__RunLimits *run_limits(
	const struct workers_config *c, const Cumulus__Orchestrator__Limits *asked)
{
	static const Cumulus__Orchestrator__Limits none =
		CUMULUS__ORCHESTRATOR__LIMITS__INIT;
	Cumulus__Worker__RunLimits *l = xmalloc(sizeof(*l));

	if (!asked)
		asked = &none;
	cumulus__worker__run_limits__init(l);
	l->cpus = asked->cpus;
	l->memory_bytes = or_default(asked->memory_bytes, c->memory_bytes);
	l->disk_bytes = or_default(asked->disk_bytes, c->disk_bytes);
	l->pids = asked->pids ? asked->pids : c->pids;
	l->output_bytes = c->output_bytes;
	l->result_bytes = c->result_bytes;
	return l;
}

static char **dup_strings(char *const *from, size_t count)
{
	char **to = xcalloc(count, sizeof(*to));

	for (size_t i = 0; i < count; i++)
		to[i] = xstrdup(from[i]);
	return to;
}

static void copy_env(
	Cumulus__Worker__Start *start, const Cumulus__Orchestrator__JobSubmission *m)
{
	start->n_env = m->n_env;
	start->env = xcalloc(m->n_env, sizeof(*start->env));
	for (size_t i = 0; i < m->n_env; i++) {
		start->env[i] = xmalloc(sizeof(**start->env));
		cumulus__worker__start__env_entry__init(start->env[i]);
		start->env[i]->key = xstrdup(m->env[i]->key);
		start->env[i]->value = xstrdup(m->env[i]->value);
	}
}

/* What a worker said in its Hello. */
static const char *installed_on(void *ctx, const char *name)
{
	const struct stream *s = ctx;

	for (size_t i = 0; s->hello && i < s->hello->n_distributions; i++)
		if (strcmp(s->hello->distributions[i]->name, name) == 0)
			return s->hello->distributions[i]->version;
	return NULL;
}

/* Nothing is asked of a worker whose Python has it all: the run needs no environment. */
static void copy_requirements(Cumulus__Worker__Start *start, struct stream *s,
	const Cumulus__Orchestrator__JobSubmission *m)
{
	bool there = true;

	for (size_t i = 0; i < m->n_requirements; i++)
		there = there &&
			requirement_satisfied(m->requirements[i], installed_on, s);
	if (there)
		return;
	start->n_requirements = m->n_requirements;
	start->requirements = dup_strings(m->requirements, m->n_requirements);
}

static Cumulus__Worker__ToWorker *start_message(struct stream *s, const struct effect *e,
	const Cumulus__Orchestrator__JobSubmission *m, const struct store_spec *spec)
{
	const struct workers *w = s->workers;
	Cumulus__Worker__ToWorker *to =
		new_message(CUMULUS__WORKER__TO_WORKER__KIND_START);
	Cumulus__Worker__Start *start = to->start = xmalloc(sizeof(*start));
	char digest[DIGEST_TEXT_SIZE];

	cumulus__worker__start__init(start);
	digest_format(digest, &spec->package);
	start->job_id = xstrdup(e->job);
	start->attempt = e->attempt;
	start->package_digest = xstrdup(digest);
	start->package_size = spec->package_size;
	copy_requirements(start, s, m);
	copy_env(start, m);
	start->n_args = m->n_args;
	start->args = dup_strings(m->args, m->n_args);
	start->n_device_uuids = e->amount.devices;
	start->device_uuids = xcalloc(e->amount.devices, sizeof(*start->device_uuids));
	for (uint32_t i = 0; i < e->amount.devices; i++)
		start->device_uuids[i] = xstrdup(e->devices[i].uuid);
	start->hundredths = (int32_t)e->amount.hundredths;
	start->duration = e->duration_s;
	start->limits = run_limits(&w->config, m->limits);
	start->ticket_required = w->config.engine->needs_tickets;
	start->setup_limit = w->config.setup_limit_s;
	start->grace = w->config.grace_s;
	return to;
}

static void on_start(void *ctx, const struct effect *e, const struct store_spec *spec)
{
	struct workers *w = ctx;
	struct stream *s = find_stream(w, e->worker);
	struct err failed = { 0 };

	if (!s || (e->session && e->session != s->session))
		return;
	if (w->config.engine->bring &&
		w->config.engine->bring(w->config.engine->ctx, e->worker, e->job,
			e->attempt, &failed) < 0) {
		log_warn("engine does not bring a run", "job", e->job, "why", failed.text,
			NULL);
		return;
	}

	Cumulus__Orchestrator__JobSubmission *m = (void *)wire_message_read(
		&cumulus__orchestrator__job_submission__descriptor, spec->bytes,
		spec->len, &failed);
	if (!m) {
		log_error("stored submission is not readable", "job", e->job, "why",
			failed.text, NULL);
		return;
	}
	send_command(s, start_message(s, e, m, spec));
	wire_message_free(m);
}

/* ---- from the worker */

static void put(char *out, size_t size, const char *text)
{
	str_join(out, size, text, "", "");
}

/* The key is the worker's own: "WORKER.JOB.ATTEMPT"; what others hold is no business of a
 * job's. */
static bool read_partition(const struct stream *s,
	const Cumulus__Worker__DevicePartition *m, struct core_partition *p)
{
	size_t len = strlen(s->worker);

	*p = (struct core_partition){
		.usage = {
			.memory_quota = m->memory_quota_bytes,
			.memory_used = m->memory_used_bytes,
			.time_ns = m->time_used_ns,
			.refusals = m->refusals,
			.overruns = m->overruns,
			.overrun_ns = m->overrun_ns,
			.processes = m->processes,
		},
		.time_share = m->time_share,
	};
	return strncmp(m->key, s->worker, len) == 0 && m->key[len] == '.' &&
	       run_name_parse(m->key + len + 1, p->job, &p->attempt);
}

static void read_device(const Cumulus__Worker__Device *m, struct core_device *d)
{
	*d = (struct core_device){
		.index = m->index,
		.memory_bytes = m->memory_bytes,
		.memory_used_bytes = m->memory_used_bytes,
		.foreign =
			(uint32_t)(m->foreign_hundredths < 0     ? 0
				   : m->foreign_hundredths > 100 ? 100
								 : m->foreign_hundredths),
		.healthy = strcmp(m->health, "ok") == 0,
	};
	put(d->uuid, sizeof(d->uuid), m->uuid);
	put(d->name, sizeof(d->name), m->name);
	put(d->kind, sizeof(d->kind), m->kind);
	put(d->health, sizeof(d->health), m->health);
	put(d->enforcement, sizeof(d->enforcement), m->enforcement);
}

static void feed_device(struct stream *s, const Cumulus__Worker__Device *m)
{
	struct relay *h = s->workers->config.relay;
	CLEANUP(free_ptr)
	struct core_partition *partitions =
		xcalloc(m->n_partitions + 1, sizeof(*partitions));
	struct core_device device;

	read_device(m, &device);
	for (size_t i = 0; i < m->n_partitions; i++)
		device.partition_count += read_partition(
			s, m->partitions[i], &partitions[device.partition_count]);
	device.partitions = partitions;
	core_device_update(relay_core(h), relay_now(h), s->worker, &device);
}

static bool read_run(
	const struct workers *w, const Cumulus__Worker__RunState *m, struct core_run *r)
{
	static const enum run_phase phases[] = {
		[CUMULUS__WORKER__PHASE__PHASE_SETTING_UP] = RUN_SETTING_UP,
		[CUMULUS__WORKER__PHASE__PHASE_RUNNING] = RUN_RUNNING,
		[CUMULUS__WORKER__PHASE__PHASE_ENDED] = RUN_ENDED,
	};

	if (!id_valid(m->job_id, 'j') || m->attempt < 1 ||
		(unsigned)m->phase > CUMULUS__WORKER__PHASE__PHASE_ENDED)
		return false;
	*r = (struct core_run){
		.attempt = m->attempt,
		.phase = phases[m->phase],
		.last_report = m->last_report,
		.output_end = m->output_end,
		.ours = strcmp(m->cluster_id, w->config.cluster_id) == 0,
	};
	put(r->job, sizeof(r->job), m->job_id);
	return true;
}

static void feed_hello(struct stream *s, const Cumulus__Worker__Hello *m)
{
	struct workers *w = s->workers;
	struct relay *h = w->config.relay;
	struct core_device *devices = xcalloc(m->n_devices, sizeof(*devices));
	struct core_run *runs = xcalloc(m->n_runs, sizeof(*runs));
	struct core_hello hello = {
		.session = s->session,
		.cpus = m->cpus,
		.memory_bytes = m->memory_bytes,
		.run_slots = m->run_slots > 0 ? (uint32_t)m->run_slots : 0,
		.devices = devices,
		.device_count = m->n_devices,
		.runs = runs,
	};

	put(hello.worker, sizeof(hello.worker), m->worker_id);
	put(hello.hostname, sizeof(hello.hostname), m->hostname);
	put(hello.address, sizeof(hello.address), wire_call_peer(s->call)->address);
	put(hello.version, sizeof(hello.version), m->version);
	put(hello.boot_id, sizeof(hello.boot_id), m->boot_id);
	put(hello.enforcement, sizeof(hello.enforcement), m->enforcement);
	for (size_t i = 0; i < m->n_devices; i++)
		read_device(m->devices[i], &devices[i]);
	for (size_t i = 0; i < m->n_runs; i++)
		hello.run_count += read_run(w, m->runs[i], &runs[hello.run_count]);
	core_worker_hello(relay_core(h), relay_now(h), &hello);
	relay_turn(h);
	free(devices);
	free(runs);

	if (!w->listed) {
		w->listed = true;
		core_workers_listed(relay_core(h), relay_now(h));
		relay_turn(h);
	}
}

static const char *why_refused(const struct workers *w, const Cumulus__Worker__Hello *m)
{
	if (m->protocol != PROTOCOL)
		return "it speaks another protocol version";
	if (!id_valid(m->worker_id, 'w'))
		return "its worker_id is not an id";
	if (*m->cluster_id && strcmp(m->cluster_id, w->config.cluster_id) != 0)
		return "it belongs to another cluster";
	if (m->n_devices > DEVICES_MAX || m->n_runs > RUNS_MAX)
		return "it has more devices or runs than are taken";
	return NULL;
}

/* Takes the message. */
static void on_hello(struct stream *s, Cumulus__Worker__Hello *m)
{
	const char *why = *s->worker ? "it said Hello twice" : why_refused(s->workers, m);
	struct stream *older = find_stream(s->workers, m->worker_id);

	if (why) {
		refuse_worker(s, why);
		wire_message_free(m);
		return;
	}
	if (older) {
		/* The newer stream of a worker wins; the core is told by the session. */
		*older->worker = '\0';
		wire_call_cancel(older->call);
	}
	put(s->worker, sizeof(s->worker), m->worker_id);
	s->hello = m;
	log_info("worker is here", "worker", s->worker, "host", m->hostname, NULL);
	feed_hello(s, m);
	if (s->workers->shutting_down)
		send_shutdown(s);
}

static void read_timing(const Cumulus__Orchestrator__Timing *m, struct job_timing *t)
{
	if (!m)
		return;
	*t = (struct job_timing){
		.environment = m->environment_ns,
		.partition = m->partition_ns,
		.container = m->container_ns,
		.python = m->python_ns,
		.run = m->run_ns,
	};
}

/* One that only a later version knows cannot be stored. */
static enum job_reason read_reason(Cumulus__Orchestrator__Reason reason)
{
	return (unsigned)reason < JOB_REASON_COUNT ? (enum job_reason)reason
						   : REASON_OUTCOME_UNKNOWN;
}

static void read_usage(const Cumulus__Orchestrator__GpuUsage *m, struct gpu_usage *u)
{
	if (!m)
		return;
	*u = (struct gpu_usage){
		.memory_quota = m->memory_quota_bytes,
		.memory_peak = m->memory_peak_bytes,
		.time_ns = m->time_ns,
		.refusals = m->refusals,
		.overruns = m->overruns,
		.overrun_ns = m->overrun_ns,
	};
}

static void read_ended(const Cumulus__Worker__Ended *m, struct core_report *r)
{
	r->kind = REPORT_ENDED;
	r->reason = read_reason(m->reason);
	r->exit_known = m->exit_case == CUMULUS__WORKER__ENDED__EXIT_EXIT_CODE;
	r->exit_code = r->exit_known ? m->exit_code : 0;
	r->message = m->message;
	r->error = m->error;
	r->result = m->result.data;
	r->result_len = m->result.len;
	r->output_end = m->output_end;
	r->output_dropped = m->output_dropped;
	read_timing(m->timing, &r->timing);
	read_usage(m->gpu_usage, &r->gpu);
}

static bool read_report(
	const struct stream *s, const Cumulus__Worker__Report *m, struct core_report *r)
{
	*r = (struct core_report){
		.session = s->session, .attempt = m->attempt, .number = m->number
	};
	if (!id_valid(m->job_id, 'j') || m->attempt < 1 || m->number < 1)
		return false;
	put(r->worker, sizeof(r->worker), s->worker);
	put(r->job, sizeof(r->job), m->job_id);
	switch (m->kind_case) {
	case CUMULUS__WORKER__REPORT__KIND_ACCEPTED:
		r->kind = REPORT_ACCEPTED;
		return true;
	case CUMULUS__WORKER__REPORT__KIND_SETTING_UP:
		r->kind = REPORT_SETTING_UP;
		r->environment = m->setting_up->lock;
		return true;
	case CUMULUS__WORKER__REPORT__KIND_STARTED:
		r->kind = REPORT_STARTED;
		r->partition = m->started->partition_id;
		r->container = m->started->container_id;
		r->output_at = m->started->output_at;
		return true;
	case CUMULUS__WORKER__REPORT__KIND_ENDED:
		read_ended(m->ended, r);
		return true;
	case CUMULUS__WORKER__REPORT__KIND_REFUSED:
		r->kind = REPORT_REFUSED;
		r->refused =
			m->refused->kind == CUMULUS__WORKER__REFUSED_KIND__REFUSED_NO_ROOM
				? REFUSED_NO_ROOM
			: m->refused->kind ==
					CUMULUS__WORKER__REFUSED_KIND__REFUSED_INVALID
				? REFUSED_INVALID
				: REFUSED_TRANSIENT;
		r->text = m->refused->text;
		return true;
	default:
		return false;
	}
}

static void on_report(struct stream *s, const Cumulus__Worker__Report *m)
{
	struct core_report r;

	if (read_report(s, m, &r))
		relay_report(s->workers->config.relay, &r);
	else
		log_warn("report makes no sense and is left out", "worker", s->worker,
			NULL);
}

static void read_figures(const Cumulus__Worker__Figures *m, struct worker_figures *f)
{
	*f = (struct worker_figures){
		.environments = m->environments,
		.environment_bytes = m->environment_bytes,
		.built = m->environments_built,
		.refused = m->environments_refused,
		.broken = m->environments_broken,
		.reused = m->environments_reused,
		.package_bytes = m->package_bytes,
	};
}

static void on_other(struct stream *s, const Cumulus__Worker__FromWorker *m)
{
	struct relay *h = s->workers->config.relay;

	switch (m->kind_case) {
	case CUMULUS__WORKER__FROM_WORKER__KIND_DEVICE:
		feed_device(s, m->device);
		break;
	case CUMULUS__WORKER__FROM_WORKER__KIND_REPORT:
		on_report(s, m->report);
		break;
	case CUMULUS__WORKER__FROM_WORKER__KIND_PROGRESS:
		core_progress(relay_core(h), relay_now(h), m->progress->job_id,
			m->progress->attempt, m->progress->fraction, m->progress->text);
		break;
	case CUMULUS__WORKER__FROM_WORKER__KIND_FIGURES:
		read_figures(m->figures, &s->figures);
		s->has_figures = true;
		break;
	default: /* a ticket, an idle sign, or what a later version says */
		break;
	}
	core_worker_seen(relay_core(h), relay_now(h), s->worker);
	relay_turn(h);
}

/* One that was forgotten while its stream was silent is not. */
static bool is_here(const struct stream *s)
{
	return core_worker_is_here(
		relay_core(s->workers->config.relay), s->worker, s->session);
}

static void on_message(struct wire_call *call, ProtobufCMessage *message)
{
	struct stream *s = wire_call_data(call);
	Cumulus__Worker__FromWorker *m = (void *)message;

	if (!s->closing && m->kind_case == CUMULUS__WORKER__FROM_WORKER__KIND_HELLO) {
		Cumulus__Worker__Hello *hello = m->hello;

		m->kind_case = CUMULUS__WORKER__FROM_WORKER__KIND__NOT_SET;
		m->hello = NULL;
		on_hello(s, hello);
	} else if (!s->closing && *s->worker && !is_here(s)) {
		wire_call_finish(call, WIRE_UNAVAILABLE,
			"this stream's worker is not known any more: say Hello again");
	} else if (!s->closing && *s->worker) {
		on_other(s, m);
	} else if (!s->closing) {
		wire_call_finish(call, WIRE_FAILED_PRECONDITION, "Hello comes first");
	}
	wire_message_free(message);
}

static void on_open(struct wire_call *call)
{
	struct workers *w = wire_call_user(call);
	struct stream *s = xcalloc(1, sizeof(*s));

	s->workers = w;
	s->call = call;
	s->session = ++w->last_session;
	list_init(&s->commands);
	list_append(&w->streams, &s->link);
	wire_call_set_data(call, s);
}

static void on_end(struct wire_call *call)
{
	wire_call_finish(call, WIRE_OK, NULL);
}

static void on_gone(struct wire_call *call)
{
	struct stream *s = wire_call_data(call);
	struct workers *w = s->workers;
	struct relay *h = w->config.relay;

	list_remove(&s->link);
	if (*s->worker) {
		log_info("worker's stream is over", "worker", s->worker, "why",
			wire_call_text(call), NULL);
		core_worker_gone(relay_core(h), relay_now(h), s->worker, s->session);
		relay_turn(h);
	}
	list_each_safe(it, &s->commands)
		free_command(list_entry(it, struct command, link));
	wire_message_free(s->hello);
	free(s);
	if (w->gone && list_empty(&w->streams))
		w->gone(w->gone_ctx);
}

/* ---- the whole */

static const struct wire_method work_method = {
	.path = "/cumulus.worker.WorkerService/Work",
	.request = &cumulus__worker__from_worker__descriptor,
	.response = &cumulus__worker__to_worker__descriptor,
	.kind = WIRE_BOTH_STREAM,
};

static const struct wire_handlers work_handlers = {
	.open = on_open,
	.message = on_message,
	.end = on_end,
	.pull = on_pull,
	.gone = on_gone,
};

struct workers *workers_new(
	struct wire_server *server, const struct workers_config *config)
{
	struct workers *w = xcalloc(1, sizeof(*w));
	const struct relay_commands commands = { w, on_command, on_start };

	w->config = *config;
	list_init(&w->streams);
	w->blobs = blobs_new(server, config->relay);
	wire_server_add(server, &work_method, &work_handlers, w);
	relay_set_commands(config->relay, &commands);
	return w;
}

void workers_set_limits(struct workers *w, const struct workers_config *from)
{
	struct workers_config *to = &w->config;

	to->setup_limit_s = from->setup_limit_s;
	to->grace_s = from->grace_s;
	to->memory_bytes = from->memory_bytes;
	to->disk_bytes = from->disk_bytes;
	to->output_bytes = from->output_bytes;
	to->pids = from->pids;
}

void workers_free(struct workers *w)
{
	if (!w)
		return;
	assert(list_empty(&w->streams));
	blobs_free(w->blobs);
	free(w);
}

void workers_shut_down(struct workers *w)
{
	w->shutting_down = true;
	list_each(it, &w->streams) send_shutdown(list_entry(it, struct stream, link));
}

bool workers_figures(
	const struct workers *w, const char *worker, struct worker_figures *out)
{
	const struct stream *s = find_stream(w, worker);

	if (!s || !s->has_figures)
		return false;
	*out = s->figures;
	return true;
}

size_t workers_connected(const struct workers *w)
{
	size_t count = 0;

	list_each(it, &w->streams) count++;
	return count;
}

void workers_when_gone(struct workers *w, void (*gone)(void *ctx), void *ctx)
{
	w->gone = gone;
	w->gone_ctx = ctx;
}
