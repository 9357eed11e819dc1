/* command_status.c - status: everything about one job. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "command.h"
#include "json.h"
#include "message.h"
#include "narrator.h"
#include "remote.h"
#include "str.h"
#include "text.h"

/* "name     value"; nothing for an empty value. */
static void add_line(struct buf *out, const char *name, const char *value)
{
	CLEANUP(free_ptr) char *safe = text_escape(value ? value : "");

	if (*safe)
		buf_addf(out, "%-11s %s\n", name, safe);
}

static void add_time(struct buf *out, const char *name, int64_t at, int64_t since)
{
	char time[TIME_SIZE], span[SPAN_SIZE];
	CLEANUP(free_ptr) char *value = NULL;

	if (!at)
		return;
	if (since && at >= since)
		value = str_fmt("%s (after %s)", text_time(time, at),
			text_span(span, at - since));
	else
		value = str_fmt("%s", text_time(time, at));
	add_line(out, name, value);
}

static void add_share(struct buf *out, const JobStatus *job)
{
	CLEANUP(buf_fini) struct buf text = { 0 };
	char amount[16];

	format_hundredths(
		amount, sizeof(amount), (uint32_t)(job->gpu_memory * 100 + 0.5f));
	buf_addf(&text, "%s", amount);
	for (size_t i = 0; i < job->n_gpu_devices; i++)
		buf_addf(&text, "%s%d", i ? "," : " of GPU ", job->gpu_devices[i]);

	CLEANUP(free_ptr) char *value = buf_take_str(&text);
	add_line(out, "gpu", value);
}

static void add_progress(struct buf *out, const JobStatus *job)
{
	char bar[BAR_SIZE];

	if (job->progress <= 0)
		return;

	CLEANUP(free_ptr)
	char *value = str_fmt("%s %.0f %%  %s", text_bar(bar, (double)job->progress),
		(double)job->progress * 100, job->progress_message);
	add_line(out, "progress", value);
}

static void add_number(struct buf *out, const char *name, int64_t n)
{
	CLEANUP(free_ptr) char *value = str_fmt("%lld", (long long)n);

	add_line(out, name, value);
}

static void add_timing(struct buf *out, const Cumulus__Orchestrator__Timing *t)
{
	if (!t)
		return;

	const struct {
		const char *name;
		int64_t ns;
	} parts[] = {
		{ "queued", t->queued_ns },
		{ "environment", t->environment_ns },
		{ "partition", t->partition_ns },
		{ "container", t->container_ns },
		{ "python", t->python_ns },
		{ "run", t->run_ns },
	};
	CLEANUP(buf_fini) struct buf text = { 0 };

	for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++)
		if (parts[i].ns > 0)
			buf_addf(&text, "%s%s %.1f ms", text.len ? ", " : "",
				parts[i].name, (double)parts[i].ns / (double)NS_PER_MS);

	CLEANUP(free_ptr) char *value = buf_take_str(&text);
	add_line(out, "timing", value);
}

/* Of a job that has ended, the most that it had. */
static void add_usage(struct buf *out, const Cumulus__Orchestrator__GpuUsage *u)
{
	char used[SPAN_SIZE], quota[SPAN_SIZE];
	char refused[EXCESS_SIZE], overrun[EXCESS_SIZE];

	if (!u)
		return;

	const bool over = u->memory_peak_bytes > u->memory_used_bytes;
	CLEANUP(free_ptr)
	char *memory = str_fmt("%s%s of %s%s", over ? "up to " : "",
		text_bytes(used, over ? u->memory_peak_bytes : u->memory_used_bytes),
		text_bytes(quota, u->memory_quota_bytes),
		text_refusals(refused, u->refusals));
	CLEANUP(free_ptr)
	char *busy = str_fmt("%.1f s of %.1f s%s", (double)u->time_ns / (double)NS_PER_S,
		(double)u->time_asked_ns / (double)NS_PER_S,
		text_overruns(overrun, u->overruns, u->overrun_ns));

	add_line(out, "gpu memory", memory);
	if (u->time_ns)
		add_line(out, "gpu time", busy);
}

/* The traceback: line by line, none of which a terminal may obey. */
static void add_error(struct buf *out, const char *error)
{
	for (const char *at = error; *at;) {
		size_t len = strcspn(at, "\n");
		CLEANUP(free_ptr) char *line = str_fmt("%.*s", (int)len, at);
		CLEANUP(free_ptr) char *safe = text_escape(line);

		buf_addf(out, "%-11s %s\n", at == error ? "error" : "", safe);
		at += len + (at[len] == '\n');
	}
}

static void draw_status(const struct cli *cli, const JobStatus *job, struct buf *out)
{
	bool colour = cli->terminal->out_colour;
	char size[SPAN_SIZE], span[SPAN_SIZE];

	add_line(out, "job", job->job_id);
	add_line(out, "name", job->name);
	buf_addf(out, "%-11s %s%s%s%s\n", "state",
		terminal_colour(colour, state_colour(job->state)), state_name(job->state),
		terminal_colour(colour, COLOUR_NONE),
		job->cancel_requested && !state_is_final(job->state)
			? " (to be cancelled)"
			: "");
	add_line(out, "message", state_remark(job->state, job->message));
	add_line(out, "reason", reason_name(job->reason));
	add_share(out, job);
	add_line(out, "duration", text_span(span, job->duration));
	add_time(out, "created", job->created_at, 0);
	add_time(out, "started", job->started_at, job->created_at);
	add_time(out, "ended", job->completed_at,
		job->started_at ? job->started_at : job->created_at);
	add_progress(out, job);
	if (job->attempt > 1)
		add_number(out, "attempt", job->attempt);
	if (job->priority)
		add_number(out, "priority", job->priority);
	add_line(out, "worker", job->worker_id);
	add_line(out, "partition", job->partition_id);
	add_line(out, "container", job->container_id);
	for (size_t i = 0; i < job->n_labels; i++) {
		CLEANUP(free_ptr)
		char *pair = str_fmt("%s=%s", job->labels[i]->key, job->labels[i]->value);

		add_line(out, i ? "" : "labels", pair);
	}
	if (job->output_bytes)
		add_line(out, "output", text_bytes(size, job->output_bytes));
	add_usage(out, job->gpu_usage);
	add_timing(out, job->timing);
	if (job->exit_case == CUMULUS__ORCHESTRATOR__JOB_STATUS__EXIT_EXIT_CODE)
		add_number(out, "exit code", job->exit_code);
	add_error(out, job->error);
}

enum exit_code command_status(struct cli *cli)
{
	enum exit_code code = EXIT_DONE;
	struct err e = { 0 };
	CLEANUP(free_message)
	JobStatus *job =
		remote_job_status(cli->remote, cli->options->operands.at[0], &code, &e);

	if (!job) {
		complain(&e);
		return code;
	}
	if (cli->options->json) {
		json_print_message(&job->base);
	} else {
		CLEANUP(buf_fini) struct buf out = { 0 };

		draw_status(cli, job, &out);
		put_buf(STDOUT_FILENO, &out);
	}
	return EXIT_DONE;
}
