/* sim.c - runs the simulated cluster for one seed after another. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "sim.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cleanup.h"
#include "str.h"
#include "xalloc.h"

#define HEAL_LIMIT (4 * 86400 * S) /* of simulated time: longer is stuck */

/* ---- randomness */

uint64_t rng_next(struct rng *r)
{
	uint64_t x = r->state += 0x9e3779b97f4a7c15;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

uint32_t rng_below(struct rng *r, uint32_t n)
{
	return (uint32_t)((rng_next(r) >> 32) * n >> 32);
}

bool rng_chance(struct rng *r, uint32_t per_thousand)
{
	return rng_below(r, 1000) < per_thousand;
}

int64_t rng_time(struct rng *r, int64_t min, int64_t max)
{
	int64_t span = (max - min) >> rng_below(r, 12);

	return span > 0 ? min + (int64_t)(rng_next(r) % (uint64_t)(span + 1)) : min;
}

/* ---- telling */

void sim_fail(const struct sim *sim, const char *format, ...)
{
	va_list args;

	fflush(stdout);
	fprintf(stderr, "sim: seed %" PRIu64 " at %.3f s: ", sim->seed,
		(double)sim->now.boot_ns / 1e9);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "\nreplay: build/tests/sim --seed %" PRIu64 " --trace\n",
		sim->seed);
	exit(1);
}

void sim_trace(const struct sim *sim, const char *format, ...)
{
	va_list args;

	if (!sim->trace)
		return;
	printf("%12.3f ", (double)sim->now.boot_ns / 1e9);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
}

/* ---- events */

static bool earlier(const struct event *a, const struct event *b)
{
	return a->at != b->at ? a->at < b->at : a->order < b->order;
}

struct event *sim_after(struct sim *sim, int64_t delay, event_fn *run)
{
	struct event *ev = xcalloc(1, sizeof(*ev));
	size_t slot;

	ev->at = sim->now.boot_ns + delay;
	ev->order = ++sim->orders;
	ev->run = run;
	if (sim->event_count + 2 > sim->event_room) {
		sim->event_room = sim->event_room ? sim->event_room * 2 : 256;
		sim->heap =
			xreallocarray(sim->heap, sim->event_room, sizeof(struct event *));
	}
	slot = ++sim->event_count;
	for (; slot > 1 && earlier(ev, sim->heap[slot / 2]); slot /= 2)
		sim->heap[slot] = sim->heap[slot / 2];
	sim->heap[slot] = ev;
	return ev;
}

static struct event *take_first(struct sim *sim)
{
	struct event *first = sim->heap[1], *last = sim->heap[sim->event_count--];
	size_t slot = 1;

	for (;;) {
		size_t child = slot * 2;

		if (child > sim->event_count)
			break;
		if (child < sim->event_count &&
			earlier(sim->heap[child + 1], sim->heap[child]))
			child++;
		if (!earlier(sim->heap[child], last))
			break;
		sim->heap[slot] = sim->heap[child];
		slot = child;
	}
	sim->heap[slot] = last;
	return first;
}

static void event_free(struct event *ev)
{
	effect_fini(&ev->effect);
	free(ev);
}

/* ---- the core's process */

static void on_wake(struct sim *sim, struct event *ev)
{
	if (ev->at != sim->wake_at)
		return;
	core_tick(sim->core, &sim->now);
	sim_drain(sim);
}

static void on_restart(struct sim *sim, struct event *ev)
{
	(void)ev;
	sim_start_core(sim);
}

void sim_crash(struct sim *sim)
{
	sim_trace(sim, "the core dies");
	sim->crashes++;
	core_free(sim->core);
	sim->core = NULL;
	sim->process++;
	store_crash(sim);
	workers_disconnect(sim);
	clients_crash(sim);
	sim_after(sim, rng_time(&sim->rng, 1 * MS, 20 * S), on_restart);
}

/* Told before it was stored, or not told at all? */
static void check_moved(struct sim *sim, const struct effect *ef)
{
	const struct row *row = store_row(sim, ef->job);
	struct job_view view;

	if (!row)
		sim_fail(sim, "%s moved and is not stored", ef->job);
	if (core_job(sim->core, ef->job, &view, NULL) < 0) {
		if (!job_state_final(row->facts.state))
			sim_fail(sim, "%s is lost to its watchers", ef->job);
	} else if (view.committed_sequence > row->facts.last_sequence) {
		sim_fail(sim, "%s: event %" PRId64 " is told before it is stored",
			ef->job, view.committed_sequence);
	}
}

static void take_effect(struct sim *sim, struct effect *ef)
{
	switch (ef->kind) {
	case EFFECT_RECORD:
		store_post(sim, take_ptr(&ef->record));
		break;
	case EFFECT_ANSWER:
		client_answer(sim, ef);
		break;
	case EFFECT_JOB_MOVED:
		check_moved(sim, ef);
		break;
	case EFFECT_WELCOME:
	case EFFECT_START:
	case EFFECT_STOP:
	case EFFECT_COMMITTED:
	case EFFECT_FORGET:
		worker_receive(sim, ef);
		*ef = (struct effect){ 0 };
		break;
	case EFFECT_WAKE_AT:
		sim->wake_at = ef->boot_ns;
		sim_after(sim, ef->boot_ns - sim->now.boot_ns, on_wake)->process =
			sim->process;
		break;
	default:
		break;
	}
	effect_fini(ef);
}

void sim_drain(struct sim *sim)
{
	struct effect ef;

	sim->inputs++;
	while (core_next_effect(sim->core, &ef)) {
		take_effect(sim, &ef);
		if (!sim->healing && rng_chance(&sim->rng, 1)) {
			sim_crash(sim);
			return;
		}
	}
	store_publish(sim);
	sim_check(sim);
}

static void on_listed(struct sim *sim, struct event *ev)
{
	(void)ev;
	core_workers_listed(sim->core, &sim->now);
	sim_drain(sim);
}

void sim_start_core(struct sim *sim)
{
	const struct core_config config = {
		.setup_limit_ns = sim->setup_limit,
		.grace_ns = 3 * S,
		.worker_down_after_ns = 15 * S,
		.unknown_after_ns = 300 * S,
		.first_workers_ns = 5 * S,
		.waiting_jobs_max = 15,
		.cluster_id = "c-aaaaaaaaaaaaaaaa",
	};

	sim->core = core_new(&config);
	sim->wake_at = 0;
	sim_trace(sim, "the core starts");
	store_restore(sim);
	sim_after(sim, rng_time(&sim->rng, 0, 8 * S), on_listed)->process = sim->process;
	workers_connect(sim);
	sim_drain(sim);
}

/* ---- checks */

void sim_check(struct sim *sim)
{
	struct worker_view w = { .id = "" };

	while (core_worker_after(sim->core, w.id, &w))
		for (size_t i = 0; i < w.device_count; i++)
			if (w.devices[i].allocated > 100)
				sim_fail(sim, "device %s is oversold in the core",
					w.devices[i].device->uuid);
}

static bool all_is_over(struct sim *sim)
{
	if (!sim->core || sim->store.op_count || sim->clients.to_do)
		return false;
	for (size_t i = 0; i < sim->store.row_count; i++) {
		const struct job_facts *f = &sim->store.all[i]->facts;

		if (!job_state_final(f->state) || f->leased)
			return false;
	}
	for (size_t i = 0; i < WORKERS; i++)
		for (size_t k = 0; k < sim->workers[i].folder_count; k++)
			if (sim->workers[i].folders[k]->ours)
				return false;
	return true;
}

static void check_end(struct sim *sim)
{
	struct core_counts n = core_count(sim->core);

	if (n.waiting || n.active || n.hundredths_leased)
		sim_fail(sim,
			"all is over, but the core has %u waiting, %u active, %u "
			"hundredths leased",
			n.waiting, n.active, n.hundredths_leased);
	for (size_t i = 0; i < JOB_STATE_COUNT; i++)
		if (n.in_state[i])
			sim_fail(sim, "all is over, but the core counts %u in state %zu",
				n.in_state[i], i);
	for (size_t i = 0; i < JOB_REASON_COUNT; i++)
		if (n.waiting_for[i])
			sim_fail(sim, "all is over, but %u wait for reason %zu",
				n.waiting_for[i], i);
	if (n.last_committed != n.last_issued)
		sim_fail(sim, "all is over, but not committed");
	clients_check_end(sim);
}

/* ---- faults of the core's own machine */

static void on_jump(struct sim *sim, struct event *ev)
{
	(void)ev;
	if (sim->healing)
		return;
	sim->now.wall_ns += (int64_t)rng_below(&sim->rng, 20000) * S - 10000 * S;
	sim_after(sim, rng_time(&sim->rng, 10 * S, 2000 * S), on_jump);
}

static void on_disk(struct sim *sim, struct event *ev)
{
	(void)ev;
	sim->store.full = !sim->healing && !sim->store.full && rng_chance(&sim->rng, 300);
	if (!sim->healing)
		sim_after(sim, rng_time(&sim->rng, 1 * S, 200 * S), on_disk);
}

static void on_kill(struct sim *sim, struct event *ev)
{
	(void)ev;
	if (sim->healing)
		return;
	if (sim->core)
		sim_crash(sim);
	sim_after(sim, rng_time(&sim->rng, 1 * S, 2000 * S), on_kill);
}

static void on_heal(struct sim *sim, struct event *ev)
{
	(void)ev;
	sim_trace(sim, "all heals");
	sim->healing = true;
	sim->store.full = false;
	workers_heal(sim);
	clients_heal(sim);
}

/* ---- one seed */

static void run_event(struct sim *sim)
{
	struct event *ev = take_first(sim);

	sim->now.wall_ns += ev->at - sim->now.boot_ns;
	sim->now.boot_ns = ev->at;
	if (!ev->process || (sim->core && ev->process == sim->process))
		ev->run(sim, ev);
	event_free(ev);
}

static void sim_fini(struct sim *sim)
{
	core_free(sim->core);
	while (sim->event_count)
		event_free(take_first(sim));
	free(sim->heap);
	clients_fini(sim);
	workers_fini(sim);
	store_fini(sim);
}

static void run_seed(struct sim *sim)
{
	int64_t limit;

	table_seed(sim->seed, ~sim->seed);
	sim->rng.state = sim->seed * 0x2545f4914f6cdd1d + 1;
	sim->now = (struct core_time){ .boot_ns = 100 * S, .wall_ns = 1700000000 * S };
	sim->process = 1;
	sim->setup_limit = rng_time(&sim->rng, 10 * S, 600 * S);
	workers_init(sim);
	sim_start_core(sim);
	clients_init(sim);
	sim_after(sim, rng_time(&sim->rng, 1 * S, 2000 * S), on_kill);
	sim_after(sim, rng_time(&sim->rng, 1 * S, 2000 * S), on_jump);
	sim_after(sim, rng_time(&sim->rng, 1 * S, 200 * S), on_disk);
	sim_after(sim, rng_time(&sim->rng, 100 * S, 6000 * S), on_heal);
	limit = sim->now.boot_ns + HEAL_LIMIT;
	while (!(sim->healing && all_is_over(sim))) {
		if (!sim->event_count || sim->now.boot_ns > limit)
			sim_fail(sim, "stuck: not everything that can run has run");
		run_event(sim);
	}
	/* What was said last still has to arrive. */
	for (limit = sim->now.boot_ns + 10 * S;
		sim->event_count && sim->heap[1]->at <= limit;)
		run_event(sim);
	check_end(sim);
	sim_fini(sim);
}

struct totals {
	uint64_t inputs, crashes, jobs;
};

static void one(uint64_t seed, bool trace, struct totals *t)
{
	struct sim *sim = xcalloc(1, sizeof(*sim));

	sim->seed = seed;
	sim->trace = trace;
	run_seed(sim);
	t->inputs += sim->inputs;
	t->crashes += sim->crashes;
	t->jobs += sim->clients.accepted_count;
	free(sim);
}

static void usage(FILE *out)
{
	fputs("usage: sim [--seeds N] [--from SEED] | --seed SEED [--trace]\n", out);
}

static uint64_t number(const char *text)
{
	struct err e;
	uint64_t n;

	if (parse_u64(text, 0, UINT64_MAX, &n, &e) == 0)
		return n;
	fprintf(stderr, "sim: %s\n", e.text);
	exit(2);
}

int main(int argc, char **argv)
{
	static const struct option options[] = { { "seeds", required_argument, NULL,
							 'n' },
		{ "from", required_argument, NULL, 'f' },
		{ "seed", required_argument, NULL, 's' },
		{ "trace", no_argument, NULL, 't' }, { "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 } };
	uint64_t from = 1, seeds = 10000;
	struct totals t = { 0 };
	bool trace = false;
	clock_t began = clock();
	int opt;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		switch (opt) {
		case 'n':
			seeds = number(optarg);
			break;
		case 'f':
			from = number(optarg);
			break;
		case 's':
			from = number(optarg);
			seeds = 1;
			break;
		case 't':
			trace = true;
			break;
		case 'h':
			usage(stdout);
			return 0;
		default:
			usage(stderr);
			return 2;
		}
	}
	for (uint64_t i = 0; i < seeds; i++)
		one(from + i, trace, &t);
	printf("sim: %" PRIu64 " seeds, %" PRIu64 " jobs, %" PRIu64 " crashes, %" PRIu64
	       " inputs in %.1f s of CPU: every promise held\n",
		seeds, t.jobs, t.crashes, t.inputs,
		(double)(clock() - began) / CLOCKS_PER_SEC);
	return 0;
}
