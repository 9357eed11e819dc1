/* pool.c - a machine as a line, its GPUs as bars, their jobs below. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "pool.h"

#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "str.h"
#include "terminal.h"
#include "text.h"

typedef Cumulus__Orchestrator__WorkerInfo Worker;
typedef Cumulus__Orchestrator__GPUDevice Device;

void pool_add_line(struct buf *out, char *line)
{
	CLEANUP(free_ptr) char *safe = text_escape(line);
	size_t columns = terminal_columns(STDOUT_FILENO);

	free(line);
	if (columns)
		safe[text_fit(safe, columns)] = '\0';
	buf_addf(out, "%s\n", safe);
}

static void draw_partition(const Cumulus__Orchestrator__PartitionInfo *p, struct buf *out)
{
	const char *who = *p->job_id ? p->job_id : p->partition_id;
	char used[SPAN_SIZE], quota[SPAN_SIZE];
	char refused[EXCESS_SIZE], overrun[EXCESS_SIZE];

	if (!p->memory_quota_mb) {
		pool_add_line(out, str_fmt("        %.2f  %s", (double)p->amount, who));
		return;
	}
	pool_add_line(out, str_fmt("        %.2f  %s  %s of %s, %.2f of the time%s%s",
				   (double)p->amount, who,
				   text_bytes(used, (int64_t)p->memory_used_mb << 20),
				   text_bytes(quota, (int64_t)p->memory_quota_mb << 20),
				   (double)p->time_share,
				   text_overruns(overrun, p->overruns, p->overrun_ns),
				   text_refusals(refused, p->refusals)));
}

static bool is_fit(const Device *d)
{
	return !*d->health || strcmp(d->health, "ok") == 0;
}

/* What the user should know of how jobs are held to their shares there. */
static const char *enforcement_remark(const Device *d)
{
	if (!is_fit(d))
		return "";
	if (!*d->enforcement || str_starts(d->enforcement, "off"))
		return "  shares are not enforced";
	return strchr(d->enforcement, ':') ? "  no arbiter serves: jobs wait" : "";
}

static void draw_device(const Device *d, struct buf *out)
{
	char bar[BAR_SIZE], memory[SPAN_SIZE];

	text_gpu_bar(bar, (double)d->allocated_amount, (double)d->foreign_amount);
	text_bytes(memory, (int64_t)d->memory_mb << 20);
	pool_add_line(
		out, str_fmt("  GPU %d %s %.2f of %.2f  %s (%s, %s)%s%s", d->index, bar,
			     (double)d->allocated_amount, (double)d->total_capacity,
			     d->name, d->kind, memory, enforcement_remark(d),
			     d->foreign_amount > 0 ? "  x: not ours" : ""));
	if (!is_fit(d))
		pool_add_line(out, str_fmt("        takes no jobs: %s", d->health));
	for (size_t i = 0; i < d->n_active_partitions; i++)
		draw_partition(d->active_partitions[i], out);
}

void pool_draw_worker(const Worker *w, struct buf *out)
{
	char memory[SPAN_SIZE];

	pool_add_line(
		out, str_fmt("%s  %s  %s  %d CPUs, %s, %d running", w->id, w->hostname,
			     w->status, w->cpus, text_bytes(memory, w->memory_mb << 20),
			     w->running_jobs));
	for (size_t i = 0; i < w->n_gpu_devices; i++)
		draw_device(w->gpu_devices[i], out);
}
