/* metrics.c - the daemon's figures as Prometheus text. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "metrics.h"

#include <ctype.h>

#include "clock.h"
#include "str.h"

static void head(struct buf *out, const char *name, const char *type, const char *help)
{
	buf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void one(struct buf *out, const char *name, const char *type, const char *help,
	double value)
{
	head(out, name, type, help);
	buf_addf(out, "%s %.15g\n", name, value);
}

static void lower(char *s)
{
	for (; *s; s++)
		*s = (char)tolower((unsigned char)*s);
}

static void write_jobs(const struct core_counts *c, struct buf *out)
{
	one(out, "cumulus_jobs_waiting", "gauge", "Jobs that wait for a GPU.",
		c->waiting);
	one(out, "cumulus_jobs_active", "gauge", "Jobs that are set up or run.",
		c->active);
	one(out, "cumulus_jobs_submitted_total", "counter",
		"Jobs accepted since the start.", (double)c->submitted);
	head(out, "cumulus_jobs_finished_total", "counter",
		"Jobs finished since the start, by their final state.");
	for (enum job_state s = JOB_COMPLETED; s < JOB_STATE_COUNT; s++) {
		char state[32];

		str_put(state, sizeof(state), "%s", job_state_name(s));
		lower(state);
		buf_addf(out, "cumulus_jobs_finished_total{state=\"%s\"} %llu\n", state,
			(unsigned long long)c->finished[s]);
	}
}

static void write_pool(const struct core_counts *c, struct buf *out)
{
	one(out, "cumulus_workers_ready", "gauge", "Workers that take jobs.",
		c->ready_workers);
	one(out, "cumulus_gpu_shares", "gauge", "GPUs of ready workers.",
		c->hundredths_total / 100.0);
	one(out, "cumulus_gpu_shares_leased", "gauge", "GPUs leased to jobs.",
		c->hundredths_leased / 100.0);
}

static void write_store(const struct store *store, struct buf *out)
{
	struct store_stats s = store_stats(store);

	one(out, "cumulus_store_commits_total", "counter", "Groups committed.",
		(double)s.commits);
	one(out, "cumulus_store_records_total", "counter", "Records in them.",
		(double)s.records);
	one(out, "cumulus_store_refused_total", "counter",
		"New jobs not taken by the store.", (double)s.refused);
	one(out, "cumulus_store_waiting_records", "gauge", "Records not committed yet.",
		(double)s.waiting);
	one(out, "cumulus_store_commit_age_seconds", "gauge",
		"Age of the commit under way.",
		(double)s.commit_age_ns / (double)NS_PER_S);
	one(out, "cumulus_store_history_jobs", "gauge", "Finished jobs kept.",
		(double)s.history_jobs);
	one(out, "cumulus_store_history_bytes", "gauge", "Bytes of their history.",
		(double)s.history_bytes);
	one(out, "cumulus_store_disk_low", "gauge",
		"1 while the disk is at its low-water mark.", store_disk_low(store));
}

void metrics_write(struct relay *relay, struct buf *out)
{
	struct core_counts counts = core_count(relay_core(relay));

	head(out, "cumulus_build_info", "gauge", "The version that runs.");
	buf_addf(out, "cumulus_build_info{version=\"%s\"} 1\n", CUMULUS_VERSION);
	write_jobs(&counts, out);
	write_pool(&counts, out);
	write_store(relay_store(relay), out);
}
