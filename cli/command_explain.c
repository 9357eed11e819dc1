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
typedef Cumulus__Orchestrator__Blocker Blocker;
typedef Cumulus__Orchestrator__Timing Timing;

/* ---- why */

/* "by 14:35:20, in 9m50s": a time that is given at the latest. */
static char *until_text(int64_t unix_s)
{
	int64_t left = unix_s - clock_wall_ns() / NS_PER_S;
	char time[TIME_SIZE], span[SPAN_SIZE];

	return str_fmt("by %s, in %s", text_time(time, unix_s),
		text_span(span, left > 0 ? left : 0));
}

static void add_fact(struct buf *out, const char *name, char *value)
{
	CLEANUP(free_ptr) char *owned = value;
	CLEANUP(free_ptr) char *safe = text_escape(owned);

	buf_addf(out, "%-12s %s\n", name, safe);
}

static void draw_queue(const Explanation *x, struct buf *out)
{
	char time[TIME_SIZE];

	if (x->queue_position)
		add_fact(out, "queue",
			str_fmt("place %d of %d", x->queue_position, x->waiting_jobs));
	if (x->next_try)
		add_fact(out, "next try", until_text(x->next_try));
	if (x->latest_start)
		add_fact(out, "starts", until_text(x->latest_start));
	if (x->latest_end && state_is_final(x->state))
		add_fact(out, "ended", str_fmt("%s", text_time(time, x->latest_end)));
	else if (x->latest_end)
		add_fact(out, "ends", until_text(x->latest_end));
	if (*x->worker_id)
		add_fact(out, "worker", str_fmt("%s", x->worker_id));
}

/* What holds the share: a job, or something that is none of ours. */
static const char *holder_of(const Blocker *b)
{
	if (b->kind == CUMULUS__ORCHESTRATOR__BLOCKER_KIND__FOREIGN_SHARE)
		return "somebody outside Cumulus";
	return *b->job_id ? b->job_id : "somebody else's job";
}

static char *blocker_state(const Blocker *b)
{
	switch (b->kind) {
	case CUMULUS__ORCHESTRATOR__BLOCKER_KIND__COMES_BEFORE:
		return str_fmt("comes before it");
	case CUMULUS__ORCHESTRATOR__BLOCKER_KIND__FOREIGN_SHARE:
		return str_fmt("%s", "");
	default:
		return str_fmt("%s", state_name(b->state));
	}
}

static void draw_blockers(const Explanation *x, struct buf *out)
{
	CLEANUP(grid_fini) struct grid grid = { .columns = 5 };
	static const char *const head[] = { "IN ITS WAY", "GPU", "AMOUNT", "STATE",
		"ENDS AT THE LATEST" };

	if (x->n_blockers == 0)
		return;
	for (size_t i = 0; i < sizeof(head) / sizeof(*head); i++)
		grid_add(&grid, head[i]);
	for (size_t i = 0; i < x->n_blockers; i++) {
		const Blocker *b = x->blockers[i];
		bool placed = *b->worker_id != '\0';
		CLEANUP(free_ptr)
		char *gpu = placed ? str_fmt("%d on %s", b->gpu_device, b->worker_id)
				   : str_fmt("%s", "");
		CLEANUP(free_ptr) char *amount = str_fmt("%.2f", (double)b->gpu_memory);
		CLEANUP(free_ptr) char *state = blocker_state(b);
		CLEANUP(free_ptr)
		char *end = b->latest_end ? until_text(b->latest_end) : str_fmt("%s", "");

		grid_add(&grid, holder_of(b));
		grid_add(&grid, gpu);
		grid_add(&grid, amount);
		grid_add(&grid, state);
		grid_add(&grid, end);
	}
	buf_addf(out, "\n");
	grid_print(&grid, terminal_columns(STDOUT_FILENO), out);
	if (x->more_blockers)
		buf_addf(out, "and %d more\n", x->more_blockers);
}

/* The message without the state that stands before it already. */
static const char *remark_of(const Explanation *x)
{
	const char *state = state_name(x->state), *message = x->message;

	if (str_starts(message, state) && str_starts(message + strlen(state), ": "))
		return message + strlen(state) + 2;
	return state_remark(x->state, message);
}

static void draw_explanation(const struct cli *cli, const Explanation *x, struct buf *out)
{
	bool colour = cli->terminal->out_colour;
	CLEANUP(free_ptr) char *message = text_escape(remark_of(x));

	buf_addf(out, "%s  %s%s%s%s%s\n", x->job_id,
		terminal_colour(colour, state_colour(x->state)), state_name(x->state),
		terminal_colour(colour, COLOUR_NONE), *message ? "  " : "", message);
	if (*reason_name(x->reason))
		add_fact(out, "reason", str_fmt("%s", reason_name(x->reason)));
	draw_queue(x, out);
	draw_blockers(x, out);
	if (x->n_alternatives)
		buf_addf(out, "\n");
	for (size_t i = 0; i < x->n_alternatives; i++)
		add_fact(out, i ? "" : "instead",
			str_fmt("%s", x->alternatives[i]->message));
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

		draw_explanation(cli, x, &out);
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
