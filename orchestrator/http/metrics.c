/* metrics.c - the daemon's figures as Prometheus text. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "metrics.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>

#include "clock.h"
#include "process.h"
#include "str.h"
#include "text.h"

#define NAME_SIZE 64 /* of a state or reason, in lower case */

static const char *lower(char out[NAME_SIZE], const char *name)
{
	str_put(out, NAME_SIZE, "%s", *name ? name : "none");
	for (char *c = out; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	return out;
}

static bool is_named(enum job_reason reason)
{
	return strcmp(job_reason_name(reason), "UNKNOWN") != 0;
}

/* ---- the whole */

static void write_health(const struct figures *f, const char *status, struct buf *out)
{
	static const char *const all[] = { "healthy", "degraded", "unhealthy" };

	text_family(out, "cumulus_build_info", "gauge", "The version that runs.");
	text_count(out, "cumulus_build_info", LABELS("version", CUMULUS_VERSION), 1);
	text_gauge(out, "cumulus_uptime_seconds", "Since this process began.",
		(double)(clock_wall_ns() - f->began_wall_ns) / (double)NS_PER_S);
	text_family(out, "cumulus_health", "gauge",
		"1 for the present status of HealthCheck, 0 for the others.");
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		text_count(out, "cumulus_health", LABELS("status", all[i]),
			strcmp(all[i], status) == 0);
}

/* ---- jobs */

static void write_jobs_now(const struct core_counts *c, struct buf *out)
{
	char name[NAME_SIZE];

	text_family(out, "cumulus_jobs", "gauge",
		"Jobs that are not finished, by their state.");
	for (enum job_state s = JOB_SCHEDULING; s < JOB_COMPLETED; s++)
		text_count(out, "cumulus_jobs",
			LABELS("state", lower(name, job_state_name(s))), c->in_state[s]);
	text_family(out, "cumulus_jobs_waiting", "gauge",
		"Jobs in state scheduling, by what they wait for, or what a retry follows "
		"on.");
	for (enum job_reason r = REASON_NONE; r < JOB_REASON_COUNT; r++)
		if (r <= REASON_PAUSED || c->waiting_for[r])
			text_count(out, "cumulus_jobs_waiting",
				LABELS("reason", lower(name, job_reason_name(r))),
				c->waiting_for[r]);
}

/* Can a job end so?  Those that can are there from the start, at 0. */
static bool is_ending(enum job_state state, enum job_reason reason)
{
	switch (state) {
	case JOB_COMPLETED:
		return reason == REASON_NONE;
	case JOB_CANCELLED:
		return reason == REASON_CANCELLED_BY_USER;
	default:
		return reason >= REASON_ENVIRONMENT_FAILED && is_named(reason) &&
		       reason != REASON_CANCELLED_BY_USER;
	}
}

static void write_endings(const struct tally *t, struct buf *out)
{
	char state[NAME_SIZE], reason[NAME_SIZE];

	text_family(out, "cumulus_jobs_finished_total", "counter",
		"Jobs finished since the start, by final state and reason.");
	for (enum job_state s = JOB_COMPLETED; s < JOB_STATE_COUNT; s++)
		for (enum job_reason r = REASON_NONE; r < JOB_REASON_COUNT; r++)
			if (is_ending(s, r) || t->ended[s][r])
				text_count(out, "cumulus_jobs_finished_total",
					LABELS("state", lower(state, job_state_name(s)),
						"reason",
						lower(reason, job_reason_name(r))),
					t->ended[s][r]);
}

static void write_gpu_tally(const struct gpu_usage *gpu, struct buf *out)
{
	text_family(out, "cumulus_job_gpu_seconds_total", "counter",
		"Time of devices that jobs had, of attempts that are over and were "
		"measured.");
	text_sample(out, "cumulus_job_gpu_seconds_total", NULL,
		(double)gpu->time_ns / (double)NS_PER_S);
	text_counter(out, "cumulus_job_gpu_refusals_total",
		"Their allocations that were refused, as they would have gone over the "
		"quota.",
		(uint64_t)gpu->refusals);
	text_counter(out, "cumulus_job_gpu_overruns_total",
		"Their turns at whose end work was in flight still.",
		(uint64_t)gpu->overruns);
	text_family(out, "cumulus_job_gpu_overrun_seconds_total", "counter",
		"For so long, all together.");
	text_sample(out, "cumulus_job_gpu_overrun_seconds_total", NULL,
		(double)gpu->overrun_ns / (double)NS_PER_S);
}

static void write_tally(const struct tally *t, struct buf *out)
{
	char name[NAME_SIZE];

	text_counter(out, "cumulus_jobs_submitted_total",
		"Jobs accepted since the start.", t->submitted);
	write_endings(t, out);
	text_family(out, "cumulus_jobs_requeued_total", "counter",
		"Jobs that went back to scheduling, after a refused placement or for a "
		"retry.");
	for (enum job_reason r = REASON_NONE; r < JOB_REASON_COUNT; r++)
		if (is_named(r))
			text_count(out, "cumulus_jobs_requeued_total",
				LABELS("reason", lower(name, job_reason_name(r))),
				t->requeued[r]);
	text_family(out, "cumulus_job_wait_seconds", "histogram",
		"From submission to the first placement.");
	text_histogram(out, "cumulus_job_wait_seconds", NULL, &t->wait_seconds);
	text_family(out, "cumulus_job_setup_seconds", "histogram",
		"Phases between placement and main(), of finished jobs that had them.");
	for (int i = 0; i < TALLY_PHASE_COUNT; i++)
		text_histogram(out, "cumulus_job_setup_seconds",
			LABELS("phase", tally_phase_name((enum tally_phase)i)),
			&t->setup_seconds[i]);
	text_family(out, "cumulus_job_run_seconds", "histogram",
		"From running to the end, of finished jobs that ran.");
	text_histogram(out, "cumulus_job_run_seconds", NULL, &t->run_seconds);
	write_gpu_tally(&t->gpu, out);
}

/* ---- workers and their devices */

/* One family over all workers. */
static void each_worker(const struct core *core, const char *name, const char *help,
	double (*value)(const struct worker_view *w), struct buf *out)
{
	struct worker_view w;
	const char *after = "";

	text_family(out, name, "gauge", help);
	for (; core_worker_after(core, after, &w); after = w.id)
		text_sample(out, name, LABELS("worker", w.id), value(&w));
}

static double last_seen(const struct worker_view *w)
{
	return (double)w->last_seen_wall_ns / (double)NS_PER_S;
}

static double running(const struct worker_view *w)
{
	return w->running_jobs;
}

static void write_worker_states(const struct core *core, struct buf *out)
{
	static const char *const names[] = {
		[WORKER_READY] = "ready",
		[WORKER_DOWN] = "down",
		[WORKER_DRAINING] = "draining",
	};
	uint64_t count[sizeof(names) / sizeof(*names)] = { 0 };
	struct worker_view w;

	for (const char *after = ""; core_worker_after(core, after, &w); after = w.id)
		count[w.state]++;
	text_family(out, "cumulus_workers", "gauge", "Workers, by their status.");
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		text_count(out, "cumulus_workers", LABELS("status", names[i]), count[i]);
}

static void write_workers(const struct core *core, struct buf *out)
{
	struct worker_view w;

	write_worker_states(core, out);
	text_family(
		out, "cumulus_worker_info", "gauge", "What each worker is; always 1.");
	for (const char *after = ""; core_worker_after(core, after, &w); after = w.id)
		text_count(out, "cumulus_worker_info",
			LABELS("worker", w.id, "hostname", w.hostname, "version",
				w.version, "enforcement", w.enforcement),
			1);
	each_worker(core, "cumulus_worker_last_seen_timestamp_seconds",
		"When something last came from the worker.", last_seen, out);
	each_worker(core, "cumulus_worker_leases",
		"Jobs that hold devices of the worker.", running, out);
}

static double healthy(const struct worker_view *w, const struct device_view *d)
{
	(void)w;
	return d->device->healthy;
}

static double capacity(const struct worker_view *w, const struct device_view *d)
{
	return w->state == WORKER_READY && d->device->healthy;
}

static double allocated(const struct worker_view *w, const struct device_view *d)
{
	(void)w;
	return d->allocated / 100.0;
}

static double foreign(const struct worker_view *w, const struct device_view *d)
{
	(void)w;
	return d->device->foreign / 100.0;
}

static double memory(const struct worker_view *w, const struct device_view *d)
{
	(void)w;
	return (double)d->device->memory_bytes;
}

static double memory_used(const struct worker_view *w, const struct device_view *d)
{
	(void)w;
	return (double)d->device->memory_used_bytes;
}

static const struct device_figure {
	const char *name, *help;
	double (*value)(const struct worker_view *w, const struct device_view *d);
} device_figures[] = {
	{ "cumulus_gpu_healthy", "1 for a healthy device, 0 for a sick one.", healthy },
	{ "cumulus_gpu_capacity_ratio",
		"1 for a healthy device of a ready worker, which jobs can have; else 0.",
		capacity },
	{ "cumulus_gpu_allocated_ratio", "Part of the device that is leased to jobs.",
		allocated },
	{ "cumulus_gpu_foreign_ratio", "Part of the device that strangers hold.",
		foreign },
	{ "cumulus_gpu_memory_bytes", "Memory of the device.", memory },
	{ "cumulus_gpu_memory_used_bytes", "Memory in use, by whomever.", memory_used },
};

static void write_device_figure(
	const struct core *core, const struct device_figure *f, struct buf *out)
{
	struct worker_view w;

	text_family(out, f->name, "gauge", f->help);
	for (const char *after = ""; core_worker_after(core, after, &w); after = w.id)
		for (size_t i = 0; i < w.device_count; i++)
			text_sample(out, f->name,
				LABELS("worker", w.id, "device",
					w.devices[i].device->uuid),
				f->value(&w, &w.devices[i]));
}

static double time_had(
	const struct core *core, const struct worker_view *w, const char *uuid)
{
	struct job_view job;
	double sum = 0;

	for (const char *after = ""; core_lease_after(core, w->id, uuid, after, &job);
		after = job.id)
		sum += (double)job.time_share;
	return sum;
}

static void write_device_time(const struct core *core, struct buf *out)
{
	struct worker_view w;

	text_family(out, "cumulus_gpu_time_ratio", "gauge",
		"Part of the device's time that jobs had at the last look, where it is "
		"measured.");
	for (const char *after = ""; core_worker_after(core, after, &w); after = w.id)
		for (size_t i = 0; i < w.device_count; i++) {
			const char *uuid = w.devices[i].device->uuid;

			text_sample(out, "cumulus_gpu_time_ratio",
				LABELS("worker", w.id, "device", uuid),
				time_had(core, &w, uuid));
		}
}

static void write_devices(const struct core *core, struct buf *out)
{
	struct worker_view w;
	char index[16];

	text_family(out, "cumulus_gpu_info", "gauge", "What each device is; always 1.");
	for (const char *after = ""; core_worker_after(core, after, &w); after = w.id) {
		for (size_t i = 0; i < w.device_count; i++) {
			const struct core_device *d = w.devices[i].device;

			str_put(index, sizeof(index), "%d", d->index);
			text_count(out, "cumulus_gpu_info",
				LABELS("worker", w.id, "device", d->uuid, "index", index,
					"name", d->name, "kind", d->kind),
				1);
		}
	}
	for (size_t i = 0; i < sizeof(device_figures) / sizeof(*device_figures); i++)
		write_device_figure(core, &device_figures[i], out);
	write_device_time(core, out);
}

/* ---- what workers tell of themselves */

static const struct worker_figure {
	const char *name, *type, *help;
	const char *outcome; /* a label; NULL: none */
	size_t offset;       /* in struct worker_figures */
} worker_figures[] = {
	{ "cumulus_worker_environments", "gauge", "Environments that are kept.", NULL,
		offsetof(struct worker_figures, environments) },
	{ "cumulus_worker_environment_bytes", "gauge", "Their size.", NULL,
		offsetof(struct worker_figures, environment_bytes) },
	{ "cumulus_worker_environment_builds_total", "counter",
		"Environments built, refused by pip or a limit, or left by a builder that "
		"died, since the worker began.",
		"built", offsetof(struct worker_figures, built) },
	{ "cumulus_worker_environment_builds_total", NULL, NULL, "refused",
		offsetof(struct worker_figures, refused) },
	{ "cumulus_worker_environment_builds_total", NULL, NULL, "broken",
		offsetof(struct worker_figures, broken) },
	{ "cumulus_worker_environment_reuses_total", "counter",
		"Runs that found their environment there, since the worker began.", NULL,
		offsetof(struct worker_figures, reused) },
	{ "cumulus_worker_package_bytes", "gauge", "Packages of jobs that are kept.",
		NULL, offsetof(struct worker_figures, package_bytes) },
};

static void write_worker_figure(
	const struct figures *f, const struct worker_figure *it, struct buf *out)
{
	const struct core *core = relay_core(f->relay);
	struct worker_figures said;
	struct worker_view w;

	if (it->type)
		text_family(out, it->name, it->type, it->help);
	for (const char *after = ""; core_worker_after(core, after, &w); after = w.id) {
		if (!workers_figures(f->workers, w.id, &said))
			continue;

		int64_t value = *(const int64_t *)((const char *)&said + it->offset);
		text_sample(out, it->name,
			LABELS("worker", w.id, it->outcome ? "outcome" : NULL,
				it->outcome),
			(double)value);
	}
}

/* ---- the store */

static void write_store(struct store *store, struct buf *out)
{
	struct store_stats s = store_stats(store);
	struct store_groups groups = store_groups(store);

	text_family(out, "cumulus_store_commit_seconds", "histogram",
		"To write and commit one group of records.");
	text_histogram(out, "cumulus_store_commit_seconds", NULL, &groups.seconds);
	text_family(out, "cumulus_store_commit_records", "histogram",
		"Records in one group.");
	text_histogram(out, "cumulus_store_commit_records", NULL, &groups.records);
	text_counter(out, "cumulus_store_records_total", "Records committed.", s.records);
	text_counter(out, "cumulus_store_refused_total",
		"New jobs that the store did not take.", s.refused);
	text_gauge(out, "cumulus_store_waiting_records", "Records not committed yet.",
		(double)s.waiting);
	text_gauge(out, "cumulus_store_commit_age_seconds",
		"How long the commit under way has taken; 0: none is.",
		(double)s.commit_age_ns / (double)NS_PER_S);
	text_gauge(out, "cumulus_store_history_jobs", "Finished jobs that are kept.",
		(double)s.history_jobs);
	text_gauge(out, "cumulus_store_history_bytes",
		"Bytes of their packages, specs, results and outputs.",
		(double)s.history_bytes);
	if (s.file_bytes >= 0)
		text_gauge(out, "cumulus_store_file_bytes",
			"Size of the database and its log.", (double)s.file_bytes);
	if (s.disk_free_bytes >= 0)
		text_gauge(out, "cumulus_store_disk_free_bytes",
			"Room left on the store's disk.", (double)s.disk_free_bytes);
	text_gauge(out, "cumulus_store_backups", "1 where backups are made.", s.backs_up);
	text_gauge(out, "cumulus_store_backup_timestamp_seconds",
		"When the newest backup was made; 0: there is none.",
		(double)s.backup_wall_ns / (double)NS_PER_S);
	text_counter(out, "cumulus_store_backup_failures_total",
		"Backups that could not be made.", s.backup_failures);
	text_gauge(out, "cumulus_store_disk_low",
		"1 while the disk is at its low-water mark and no new jobs are taken.",
		store_disk_low(store));
}

/* ---- connections and calls */

static const char *const server_names[] = { "clients", "workers" };

struct servers {
	const struct wire_server *of[2];
	struct wire_counts counts[2];
};

static void each_server(const struct servers *s, const char *name, const char *type,
	const char *help, uint64_t (*value)(const struct wire_counts *c), struct buf *out)
{
	text_family(out, name, type, help);
	for (size_t i = 0; i < 2; i++)
		text_count(out, name, LABELS("server", server_names[i]),
			value(&s->counts[i]));
}

static uint64_t connections(const struct wire_counts *c)
{
	return c->connections;
}

static uint64_t connections_total(const struct wire_counts *c)
{
	return c->connections_total;
}

static uint64_t refused(const struct wire_counts *c)
{
	return c->refused;
}

static uint64_t sent_away(const struct wire_counts *c)
{
	return c->sent_away;
}

static uint64_t buffered(const struct wire_counts *c)
{
	return c->buffered_bytes;
}

static void write_connections(const struct servers *s, struct buf *out)
{
	each_server(
		s, "cumulus_connections", "gauge", "Open connections.", connections, out);
	each_server(s, "cumulus_connections_total", "counter", "Connections accepted.",
		connections_total, out);
	each_server(s, "cumulus_connections_refused_total", "counter",
		"Connections above the limit, of a wrong user, or that could not be "
		"accepted.",
		refused, out);
	each_server(s, "cumulus_connections_sent_away_total", "counter",
		"Connections ended because their streams were reset too fast.", sent_away,
		out);
	each_server(s, "cumulus_message_buffered_bytes", "gauge",
		"Bytes of messages that are not complete yet.", buffered, out);
}

static const char *const code_names[WIRE_STATUS_COUNT] = { "OK", "Canceled", "Unknown",
	"InvalidArgument", "DeadlineExceeded", "NotFound", "AlreadyExists",
	"PermissionDenied", "ResourceExhausted", "FailedPrecondition", "Aborted",
	"OutOfRange", "Unimplemented", "Internal", "Unavailable", "DataLoss",
	"Unauthenticated" };

static const char *const kind_names[] = {
	[WIRE_UNARY] = "unary",
	[WIRE_CLIENT_STREAMS] = "client_stream",
	[WIRE_SERVER_STREAMS] = "server_stream",
	[WIRE_BOTH_STREAM] = "bidi_stream",
};

/* "/package.Service/Method" in its two parts. */
struct method_name {
	char service[80];
	const char *method;
};

static struct method_name name_of(const struct wire_method *m)
{
	struct method_name n = { .method = strrchr(m->path, '/') + 1 };

	str_put(n.service, sizeof(n.service), "%.*s", (int)(n.method - m->path - 2),
		m->path + 1);
	return n;
}

#define METHOD(m, n)                                                                     \
	"grpc_type", kind_names[(m)->kind], "grpc_service", (n).service, "grpc_method",  \
		(n).method

typedef void write_method(const struct wire_method *m,
	const struct wire_method_stats *stats, struct buf *out);

static void each_method(const struct servers *s, write_method *write, struct buf *out)
{
	const struct wire_method *m;

	for (size_t i = 0; i < 2; i++)
		for (size_t k = 0; (m = wire_server_method(s->of[i], k)); k++)
			write(m, wire_server_method_stats(s->of[i], k), out);
}

static void write_started(const struct wire_method *m,
	const struct wire_method_stats *stats, struct buf *out)
{
	const struct method_name n = name_of(m);

	text_count(
		out, "grpc_server_started_total", LABELS(METHOD(m, n)), stats->started);
}

static void write_handled(const struct wire_method *m,
	const struct wire_method_stats *stats, struct buf *out)
{
	const struct method_name n = name_of(m);

	for (size_t i = 0; i < WIRE_STATUS_COUNT; i++)
		if (i == WIRE_OK || stats->ended[i])
			text_count(out, "grpc_server_handled_total",
				LABELS(METHOD(m, n), "grpc_code", code_names[i]),
				stats->ended[i]);
}

static void write_handling(const struct wire_method *m,
	const struct wire_method_stats *stats, struct buf *out)
{
	const struct method_name n = name_of(m);

	text_histogram(out, "grpc_server_handling_seconds", LABELS(METHOD(m, n)),
		&stats->seconds);
}

static void write_open(const struct wire_method *m, const struct wire_method_stats *stats,
	struct buf *out)
{
	const struct method_name n = name_of(m);

	text_count(out, "cumulus_grpc_open_calls", LABELS(METHOD(m, n)),
		stats->started - histogram_count(&stats->seconds));
}

static void write_calls(const struct servers *s, struct buf *out)
{
	text_family(
		out, "grpc_server_started_total", "counter", "Calls begun, by method.");
	each_method(s, write_started, out);
	text_family(out, "grpc_server_handled_total", "counter",
		"Calls ended, by method and code.");
	each_method(s, write_handled, out);
	text_family(out, "grpc_server_handling_seconds", "histogram",
		"How long ended calls took; streams last as long as they are followed.");
	each_method(s, write_handling, out);
	text_family(out, "cumulus_grpc_open_calls", "gauge", "Open calls, by method.");
	each_method(s, write_open, out);
}

static void write_streams(struct relay *relay, struct buf *out)
{
	struct upload_stats uploads = uploads_stats(relay_uploads(relay));

	text_gauge(out, "cumulus_watchers", "Streams that follow a job.",
		(double)relay_watchers(relay));
	text_gauge(out, "cumulus_output_queued_bytes",
		"Output of jobs on its way to the disk.",
		(double)output_queued_bytes(relay_output(relay)));
	text_counter(out, "cumulus_upload_bytes_total",
		"Bytes of packages that were uploaded.", uploads.bytes);
	text_counter(out, "cumulus_upload_packages_total",
		"Packages that were uploaded whole.", uploads.packages);
	text_counter(out, "cumulus_upload_failures_total",
		"Pieces of uploads that were refused.", uploads.refused);
}

void metrics_write(const struct figures *f, const char *status, struct buf *out)
{
	const struct core *core = relay_core(f->relay);
	const struct core_counts counts = core_count(core);
	const struct servers servers = {
		.of = { f->clients, f->worker_server },
		.counts = { wire_server_counts(f->clients),
			wire_server_counts(f->worker_server) },
	};

	write_health(f, status, out);
	write_jobs_now(&counts, out);
	write_tally(relay_tally(f->relay), out);
	write_workers(core, out);
	write_devices(core, out);
	for (size_t i = 0; i < sizeof(worker_figures) / sizeof(*worker_figures); i++)
		write_worker_figure(f, &worker_figures[i], out);
	write_store(relay_store(f->relay), out);
	write_connections(&servers, out);
	write_calls(&servers, out);
	write_streams(f->relay, out);
	process_write(out, f->began_wall_ns);
}
