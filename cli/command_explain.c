/* command_explain.c - why, timing: what a job waits for, and where its time went. */
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

typedef Cumulus__Orchestrator__Explanation Explanation;
typedef Cumulus__Orchestrator__Timing Timing;

/* ---- why */

/* A value as a cell: text as it is, anything else as JSON, "" for nothing. */
static char *cell_of(const json_t *value)
{
	if (json_is_string(value))
		return str_fmt("%s", json_string_value(value));
	if (json_is_null(value) || json_is_false(value) ||
		(json_is_number(value) && json_number_value(value) == 0))
		return str_fmt("%s", "");
	return json_text(value, false);
}

/* "free_amount" -> "FREE AMOUNT". */
static char *heading_of(const char *name)
{
	char *heading = str_fmt("%s", name);

	for (char *c = heading; *c; c++)
		*c = *c == '_' ? ' ' : *c >= 'a' && *c <= 'z' ? (char)(*c - 32) : *c;
	return heading;
}

/* A list of messages: a row each, a column for each of their fields. */
static void draw_rows(const json_t *rows, struct buf *out)
{
	CLEANUP(grid_fini)
	struct grid grid = { .columns = json_object_size(json_array_get(rows, 0)) };
	const char *name;
	json_t *value;
	json_t *first = json_array_get(rows, 0);

	if (grid.columns == 0)
		return;
	json_object_foreach(first, name, value)
	{
		CLEANUP(free_ptr) char *heading = heading_of(name);

		grid_add(&grid, heading);
	}
	for (size_t i = 0; i < json_array_size(rows); i++) {
		json_t *row = json_array_get(rows, i);

		json_object_foreach(first, name, value)
		{
			CLEANUP(free_ptr)
			char *cell = cell_of(json_object_get(row, name));

			grid_add(&grid, cell);
		}
	}
	buf_addf(out, "\n");
	grid_print(&grid, terminal_columns(STDOUT_FILENO), out);
}

/* Fields that the scheduler adds are shown without this program knowing them. */
static void draw_field(const char *name, const json_t *value, struct buf *out)
{
	if (json_is_array(value) && json_is_object(json_array_get(value, 0))) {
		draw_rows(value, out);
		return;
	}
	if (json_is_array(value) && json_array_size(value) == 0)
		return;

	CLEANUP(free_ptr) char *cell = cell_of(value);
	CLEANUP(free_ptr) char *safe = text_escape(cell);
	CLEANUP(free_ptr) char *label = str_fmt("%s", name);

	for (char *c = label; *c; c++)
		*c = *c == '_' ? ' ' : *c;
	if (*safe)
		buf_addf(out, "%-11s %s\n", label, safe);
}

static void draw_explanation(const Explanation *x, struct buf *out)
{
	json_t *fields = json_of_message(&x->base);
	CLEANUP(free_ptr) char *message = text_escape(x->message);
	const char *reason = reason_name(x->reason);
	const char *name;
	json_t *value;

	buf_addf(out, "%s  %s%s%s\n", x->job_id, reason, *reason ? "  " : "", message);
	json_object_foreach(fields, name, value)
	{
		if (strcmp(name, "job_id") != 0 && strcmp(name, "reason") != 0 &&
			strcmp(name, "message") != 0)
			draw_field(name, value, out);
	}
	json_decref(fields);
}

enum exit_code command_why(struct cli *cli)
{
	Cumulus__Orchestrator__ExplainJobRequest request =
		CUMULUS__ORCHESTRATOR__EXPLAIN_JOB_REQUEST__INIT;
	enum exit_code code = EXIT_DONE;
	struct err e = { 0 };
	CLEANUP(free_ptr)
	char *job_id =
		remote_find_job(cli->remote, cli->options->operands.at[0], &code, &e);

	request.job_id = job_id;

	CLEANUP(free_message)
	Explanation *x = !job_id ? NULL
				 : (void *)remote_ask(cli->remote, REMOTE_EXPLAIN_JOB,
					   &request, &code, &e);
	if (!x) {
		complain(&e);
		return code;
	}
	if (cli->options->json) {
		json_print_message(&x->base);
	} else {
		CLEANUP(buf_fini) struct buf out = { 0 };

		draw_explanation(x, &out);
		put_buf(STDOUT_FILENO, &out);
	}
	return EXIT_DONE;
}

/* ---- timing */

#define PHASES 6

struct phase {
	const char *name, *what;
	int64_t ns;
};

/* The phase in which the job is now has no time yet. */
static int64_t so_far(int64_t known_ns, bool is_in_it, int64_t since_s)
{
	return known_ns || !is_in_it || !since_s ? known_ns
						 : clock_wall_ns() - since_s * NS_PER_S;
}

static int64_t phases_of(const JobStatus *job, struct phase out[PHASES])
{
	const Timing *t = job->timing;
	bool waits = job->state == CUMULUS__ORCHESTRATOR__JOB_STATE__SCHEDULING;
	bool runs = job->state == CUMULUS__ORCHESTRATOR__JOB_STATE__RUNNING;
	const struct phase all[PHASES] = {
		{ "queued", "waiting for its share",
			so_far(t->queued_ns, waits, job->created_at) },
		{ "environment", "package and requirements", t->environment_ns },
		{ "partition", "taking its share of the GPU", t->partition_ns },
		{ "container", "making the container", t->container_ns },
		{ "python", "starting Python, importing main.py", t->python_ns },
		{ "run", "in main()", so_far(t->run_ns, runs, job->started_at) },
	};
	int64_t total = 0;

	for (size_t i = 0; i < PHASES; i++) {
		out[i] = all[i];
		total += all[i].ns > 0 ? all[i].ns : 0;
	}
	return total;
}

/* "41.2 ms", "3.21 s", "1h02m", "-": not yet, or not known. */
static char *time_text(int64_t ns)
{
	char span[SPAN_SIZE];

	if (ns <= 0)
		return str_fmt("-");
	if (ns < NS_PER_S)
		return str_fmt("%.1f ms", (double)ns / (double)NS_PER_MS);
	if (ns < 100 * NS_PER_S)
		return str_fmt("%.2f s", (double)ns / (double)NS_PER_S);
	return str_fmt("%s", text_span(span, ns / NS_PER_S));
}

static void draw_phase(const struct phase *p, int64_t total, struct buf *out)
{
	double share = total > 0 && p->ns > 0 ? (double)p->ns / (double)total : 0;
	CLEANUP(free_ptr) char *time = time_text(p->ns);
	char bar[BAR_SIZE];
	CLEANUP(free_ptr)
	char *line = str_fmt("%-11s %9s  %s %3.0f %%  %s", p->name, time,
		text_bar(bar, share), share * 100, p->what);
	size_t columns = terminal_columns(STDOUT_FILENO);

	if (columns)
		line[text_fit(line, columns)] = '\0';
	buf_addf(out, "%s\n", line);
}

static void draw_timing(const struct cli *cli, const JobStatus *job, struct buf *out)
{
	bool colour = cli->terminal->out_colour;
	struct phase phases[PHASES];
	int64_t total = phases_of(job, phases);
	CLEANUP(free_ptr) char *time = time_text(total);

	buf_addf(out, "%s  %s%s%s\n", job->job_id,
		terminal_colour(colour, state_colour(job->state)), state_name(job->state),
		terminal_colour(colour, COLOUR_NONE));
	for (size_t i = 0; i < PHASES; i++)
		draw_phase(&phases[i], total, out);
	buf_addf(out, "%-11s %9s%s\n", "total", time,
		state_is_final(job->state) ? "" : " so far");
	if (job->attempt > 1)
		buf_addf(out, "of attempt %d\n", job->attempt);
}

static void print_timing_json(const JobStatus *job)
{
	struct phase phases[PHASES];
	int64_t total = phases_of(job, phases);

	json_print(json_pack("{s:s, s:s, s:i, s:o, s:I}", "job_id", job->job_id, "state",
			   state_name(job->state), "attempt", (int)job->attempt, "timing",
			   json_of_message(&job->timing->base), "total_ns",
			   (json_int_t)total),
		false);
}

enum exit_code command_timing(struct cli *cli)
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
	if (!job->timing) {
		err_set(&e, ERR_UNSUPPORTED, "the server keeps no times of %s",
			job->job_id);
		return fail(&e);
	}
	if (cli->options->json) {
		print_timing_json(job);
	} else {
		CLEANUP(buf_fini) struct buf out = { 0 };

		draw_timing(cli, job, &out);
		put_buf(STDOUT_FILENO, &out);
	}
	return EXIT_DONE;
}
