/* workers.c - simulated workers: streams, durable run folders, runners, partitions. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "sim.h"
#include "str.h"
#include "xalloc.h"

struct sim_worker *sim_worker_find(struct sim *sim, const char *id)
{
	for (size_t i = 0; i < WORKERS; i++)
		if (!strcmp(sim->workers[i].id, id))
			return &sim->workers[i];
	return NULL;
}

static struct folder *folder_of(
	const struct sim_worker *w, const char *job, int32_t attempt)
{
	for (size_t i = 0; i < w->folder_count; i++)
		if (w->folders[i]->attempt == attempt && !strcmp(w->folders[i]->job, job))
			return w->folders[i];
	return NULL;
}

static struct folder *folder_new(
	struct sim *sim, struct sim_worker *w, const char *job, int32_t attempt)
{
	struct folder *f = xcalloc(1, sizeof(*f));

	memcpy(f->job, job, ID_SIZE);
	f->attempt = attempt;
	f->ours = true;
	f->life = ++sim->lives;
	w->folders = xreallocarray(w->folders, w->folder_count + 1, sizeof(*w->folders));
	w->folders[w->folder_count++] = f;
	return f;
}

static void folder_remove(struct sim_worker *w, struct folder *f)
{
	size_t i = 0;

	while (w->folders[i] != f)
		i++;
	w->folders[i] = w->folders[--w->folder_count];
	free(f);
}

/* Shares that runs of ours hold on a device. */
static uint32_t held(const struct sim_worker *w, size_t device)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < w->folder_count; i++) {
		const struct folder *f = w->folders[i];

		for (uint32_t k = 0; f->phase != RUN_ENDED && k < f->device_count; k++)
			if (f->devices[k] == device)
				sum += f->hundredths;
	}
	return sum;
}

/* ---- from the worker */

/* It gets there if the stream is still the same; the order on a stream is kept. */
static struct event *send(struct sim *sim, struct sim_worker *w, event_fn *run)
{
	int64_t at = sim->now.boot_ns + rng_time(&sim->rng, 0, 500 * MS);
	struct event *ev;

	if (at < w->from_at)
		at = w->from_at;
	w->from_at = at;
	ev = sim_after(sim, at - sim->now.boot_ns, run);
	ev->worker = w;
	ev->session = w->session;
	ev->process = sim->process;
	return ev;
}

static bool arrives(const struct sim *sim, const struct event *ev)
{
	return sim->core && ev->session == ev->worker->session;
}

static void on_report(struct sim *sim, struct event *ev)
{
	if (!arrives(sim, ev))
		return;
	sim_trace(sim, "%s reports %d of %s.%d", ev->worker->id, (int)ev->report.kind,
		ev->report.job, ev->report.attempt);
	core_report(sim->core, &sim->now, &ev->report);
	sim_drain(sim);
}

static void on_output(struct sim *sim, struct event *ev)
{
	struct folder *f = folder_of(ev->worker, ev->report.job, ev->report.attempt);
	struct row *row = store_row(sim, ev->report.job);

	if (!arrives(sim, ev) || !f || !row || row->facts.attempt != f->attempt)
		return;
	row->output_attempt = f->attempt;
	row->output_durable = f->output;
	core_output_durable(sim->core, &sim->now, f->job, f->attempt, f->output);
	sim_drain(sim);
}

static void send_once(struct sim *sim, struct sim_worker *w, const struct core_report *r)
{
	struct event *ev = send(sim, w, on_report);

	ev->report = *r;
	ev->report.session = w->session;
}

/* Out of order, much later: what a stream does not do, but an acknowledgement that is lost
 * and a report that is sent again come to the same. */
static void send_late(struct sim *sim, struct sim_worker *w, const struct core_report *r)
{
	struct event *ev = sim_after(sim, rng_time(&sim->rng, 1 * S, 200 * S), on_report);

	ev->worker = w;
	ev->session = w->session;
	ev->process = sim->process;
	ev->report = *r;
	ev->report.session = w->session;
}

static void send_report(
	struct sim *sim, struct sim_worker *w, const struct core_report *r)
{
	if (!w->connected)
		return;
	if (!sim->healing && rng_chance(&sim->rng, 50))
		send_late(sim, w, r);
	if (!sim->healing && rng_chance(&sim->rng, 20))
		send_late(sim, w, r);
	else
		send_once(sim, w, r);
	/* Output has its own stream and pace. */
	struct event *ev = sim_after(sim, rng_time(&sim->rng, 0, 2 * S), on_output);
	ev->worker = w;
	ev->session = w->session;
	ev->process = sim->process;
	ev->report = *r;
}

static struct core_report *report(
	struct sim *sim, struct sim_worker *w, struct folder *f, enum report_kind kind)
{
	struct core_report *r = &f->reports[f->report_count++];

	*r = (struct core_report){ .kind = kind, .attempt = f->attempt };
	memcpy(r->worker, w->id, ID_SIZE);
	memcpy(r->job, f->job, ID_SIZE);
	r->number = f->report_count == 1 ? 1 : r[-1].number + 1 + rng_below(&sim->rng, 2);
	return r;
}

static void send_again(struct sim *sim, struct sim_worker *w, const struct folder *f)
{
	for (int i = 0; i < f->report_count; i++)
		if (f->reports[i].number > f->acknowledged)
			send_report(sim, w, &f->reports[i]);
}

/* ---- runs */

static const char result[] = "{}";

static void end(
	struct sim *sim, struct sim_worker *w, struct folder *f, enum job_reason reason)
{
	struct core_report *r;

	f->phase = RUN_ENDED;
	f->life = ++sim->lives;
	f->output += rng_below(&sim->rng, 100);
	if (!f->ours)
		return;
	r = report(sim, w, f, REPORT_ENDED);
	r->reason = reason;
	r->exit_known = reason != REASON_RUNNER_LOST;
	r->exit_code = reason == REASON_NONE ? 0 : 1;
	r->message = reason == REASON_NONE ? "completed" : "failed";
	if (reason == REASON_NONE) {
		r->result = (const uint8_t *)result;
		r->result_len = sizeof(result) - 1;
	}
	r->output_end = f->output;
	sim_trace(sim, "%s.%d has ended on %s", f->job, f->attempt, w->id);
	send_report(sim, w, r);
}

static struct event *later(struct sim *sim, struct sim_worker *w, struct folder *f,
	int64_t delay, event_fn *run)
{
	struct event *ev = sim_after(sim, delay, run);

	ev->worker = w;
	ev->folder = f;
	ev->life = f->life;
	memcpy(ev->report.job, f->job, ID_SIZE);
	ev->report.attempt = f->attempt;
	return ev;
}

/* The folder may be gone since: only what finds it again with the same life counts. */
static struct folder *alive(const struct event *ev)
{
	struct folder *f = folder_of(ev->worker, ev->report.job, ev->report.attempt);

	return f && f->life == ev->life ? f : NULL;
}

static void on_run_over(struct sim *sim, struct event *ev)
{
	static const enum job_reason reasons[] = { REASON_NONE, REASON_NONE, REASON_NONE,
		REASON_NONE, REASON_CODE_FAILED, REASON_EXITED, REASON_DURATION_EXCEEDED,
		REASON_RUNNER_LOST };
	struct folder *f = alive(ev);

	if (f)
		end(sim, ev->worker, f,
			f->stopping ? REASON_SIGNALED : reasons[rng_below(&sim->rng, 8)]);
}

static void check_start(struct sim *sim, const struct folder *f)
{
	struct row *row = store_row(sim, f->job);

	row->starts++;
	if (row->starts > 1 + (uint32_t)row->submission->max_retries)
		sim_fail(sim, "%s: its code is started for the %u. time", f->job,
			row->starts);
	if (row->facts.attempt != f->attempt && !job_state_final(row->facts.state))
		sim_fail(sim, "%s.%d starts, but the store is at attempt %d", f->job,
			f->attempt, row->facts.attempt);
}

static void on_set_up(struct sim *sim, struct event *ev)
{
	struct folder *f = alive(ev);
	struct core_report *r;

	if (!f || f->hangs)
		return;
	if (rng_chance(&sim->rng, 50)) {
		end(sim, ev->worker, f, REASON_ENVIRONMENT_FAILED);
		return;
	}
	f->phase = RUN_RUNNING;
	f->output += rng_below(&sim->rng, 3) * 50;
	if (f->ours) {
		check_start(sim, f);
		r = report(sim, ev->worker, f, REPORT_STARTED);
		r->partition = "p";
		r->container = "c";
		r->output_at = f->output;
		send_report(sim, ev->worker, r);
	}
	later(sim, ev->worker, f, rng_time(&sim->rng, 1 * MS, f->duration_s * S),
		on_run_over);
}

static void stop(struct sim *sim, struct sim_worker *w, struct folder *f)
{
	if (f->phase == RUN_ENDED)
		return;
	f->stopping = true;
	f->life = ++sim->lives;
	later(sim, w, f, rng_time(&sim->rng, 1 * MS, 3 * S), on_run_over);
}

/* ---- to the worker */

static void refuse(
	struct sim *sim, struct sim_worker *w, struct folder *f, enum refused_kind kind)
{
	struct core_report *r = report(sim, w, f, REPORT_REFUSED);

	f->phase = RUN_ENDED;
	r->refused = kind;
	r->text = "simulated";
	send_report(sim, w, r);
}

static void check_alone(struct sim *sim, const struct effect *ef)
{
	for (size_t i = 0; i < WORKERS; i++) {
		const struct sim_worker *w = &sim->workers[i];

		for (size_t k = 0; k < w->folder_count; k++)
			if (!strcmp(w->folders[k]->job, ef->job) &&
				w->folders[k]->phase != RUN_ENDED)
				sim_fail(sim, "%s.%d is to start while attempt %d lives",
					ef->job, ef->attempt, w->folders[k]->attempt);
	}
}

static bool take_devices(
	struct sim *sim, struct sim_worker *w, struct folder *f, const struct effect *ef)
{
	bool room = true;
	uint32_t live = 0;

	for (uint32_t i = 0; i < ef->amount.devices; i++) {
		size_t at = (size_t)ef->devices[i].index;

		if (held(w, at) + ef->amount.hundredths > 100)
			sim_fail(sim, "%s.%d oversells device %zu of %s", ef->job,
				ef->attempt, at, w->id);
		room &= held(w, at) + ef->amount.hundredths + w->devices[at].foreign <=
			100;
		f->devices[i] = at;
	}
	f->device_count = room ? ef->amount.devices : 0;
	f->hundredths = ef->amount.hundredths;
	for (size_t i = 0; i < w->folder_count; i++)
		live += w->folders[i]->phase != RUN_ENDED;
	if (live > w->slots)
		sim_fail(sim, "%s has %u runs in %u slots", w->id, live, w->slots);
	return room;
}

static void start(struct sim *sim, struct sim_worker *w, const struct effect *ef)
{
	struct folder *f;

	for (size_t i = 0; i < w->folder_count; i++)
		if (!strcmp(w->folders[i]->job, ef->job) &&
			w->folders[i]->attempt >= ef->attempt)
			return; /* fenced: its reports say how it is */
	check_alone(sim, ef);
	f = folder_new(sim, w, ef->job, ef->attempt);
	f->duration_s = ef->duration_s;
	if (!take_devices(sim, w, f, ef)) {
		refuse(sim, w, f, REFUSED_NO_ROOM);
	} else if (!sim->healing && rng_chance(&sim->rng, 60)) {
		refuse(sim, w, f,
			rng_chance(&sim->rng, 100) ? REFUSED_INVALID : REFUSED_TRANSIENT);
	} else {
		send_report(sim, w, report(sim, w, f, REPORT_ACCEPTED));
		f->hangs = !sim->healing && rng_chance(&sim->rng, 20);
		later(sim, w, f, rng_time(&sim->rng, 1 * MS, 5 * S), on_set_up);
	}
}

static void forget(struct sim *sim, struct sim_worker *w, struct folder *f)
{
	const struct row *row = store_row(sim, f->job);

	if (!f->ours || f->phase != RUN_ENDED)
		sim_fail(sim, "%s.%d is to be forgotten, but is not over", f->job,
			f->attempt);
	if (row && row->facts.attempt == f->attempt &&
		(row->facts.state == JOB_CREATING_PARTITION ||
			row->facts.state == JOB_RUNNING))
		sim_fail(sim, "%s.%d is forgotten before its end is stored", f->job,
			f->attempt);
	folder_remove(w, f);
}

static void take_welcome(struct sim *sim, struct sim_worker *w, const struct effect *ef)
{
	for (size_t i = 0; i < ef->wanted_count; i++) {
		const struct effect_wanted_run *want = &ef->wanted[i];
		struct folder *f = folder_of(w, want->job, want->attempt);

		if (!f)
			continue;
		if (f->ours == (want->want == WANT_LEFT_ALONE))
			sim_fail(sim, "%s.%d: whose is it?", f->job, f->attempt);
		if (f->given_up && want->want == WANT_RUN_ON)
			sim_fail(sim, "%s.%d is given up, and told to run on", f->job,
				f->attempt);
		if (want->committed_report > f->acknowledged)
			f->acknowledged = want->committed_report;
		if (want->want == WANT_FORGOTTEN) {
			forget(sim, w, f);
			continue;
		}
		if (want->want == WANT_STOPPED)
			stop(sim, w, f);
		send_again(sim, w, f);
	}
}

static void on_message(struct sim *sim, struct event *ev)
{
	const struct effect *ef = &ev->effect;
	struct sim_worker *w = ev->worker;
	struct folder *f = folder_of(w, ef->job, ef->attempt);

	if (!w->up || ev->session != w->session)
		return;
	sim_trace(sim, "%s is told %d of %s.%d", w->id, (int)ef->kind, ef->job,
		ef->attempt);
	switch (ef->kind) {
	case EFFECT_WELCOME:
		take_welcome(sim, w, ef);
		return;
	case EFFECT_START:
		start(sim, w, ef);
		return;
	case EFFECT_STOP:
		if (f)
			stop(sim, w, f);
		return;
	case EFFECT_COMMITTED:
		if (f && ef->report > f->acknowledged)
			f->acknowledged = ef->report;
		return;
	case EFFECT_FORGET:
		if (f)
			forget(sim, w, f);
		return;
	default:
		return;
	}
}

static void check_gate(struct sim *sim, const struct effect *ef)
{
	const struct row *row = store_row(sim, ef->job);

	if (ef->kind == EFFECT_START && (!row || row->facts.attempt < ef->attempt))
		sim_fail(sim, "%s.%d is started before that is stored", ef->job,
			ef->attempt);
	if (ef->kind == EFFECT_STOP && ef->stop_why == STOP_WHY_CANCEL &&
		(!row || !row->facts.cancel_requested))
		sim_fail(sim, "%s is stopped before that is stored", ef->job);
	if (ef->kind == EFFECT_COMMITTED && row && row->facts.attempt == ef->attempt &&
		row->facts.leased && row->facts.report < ef->report)
		sim_fail(sim, "%s: report %ld is not stored", ef->job, (long)ef->report);
}

void worker_receive(struct sim *sim, struct effect *ef)
{
	struct sim_worker *w = sim_worker_find(sim, ef->worker);
	int64_t at = sim->now.boot_ns + rng_time(&sim->rng, 0, 500 * MS);
	struct event *ev;

	check_gate(sim, ef);
	if (!w) { /* replaced since */
		effect_fini(ef);
		return;
	}
	if (at < w->to_at)
		at = w->to_at;
	w->to_at = at;
	ev = sim_after(sim, at - sim->now.boot_ns, on_message);
	ev->worker = w;
	ev->session = ef->session;
	ev->process = sim->process;
	ev->effect = *ef;
}

/* ---- streams */

static struct core_device device_now(const struct sim_worker *w, size_t i)
{
	struct core_device d = { .index = (int32_t)i,
		.name = "Simulated GPU",
		.kind = "simulated",
		.foreign = w->devices[i].foreign,
		.healthy = w->devices[i].healthy };

	str_put(d.uuid, sizeof(d.uuid), "%s-%zu", w->id, i);
	return d;
}

static void disconnect(struct sim *sim, struct sim_worker *w);
static void connect(struct sim *sim, struct sim_worker *w, int64_t delay);

static void on_seen(struct sim *sim, struct event *ev)
{
	if (!arrives(sim, ev))
		return;
	/* Forgotten while it was silent: its stream is closed, and it says Hello again. */
	if (!core_worker_is_here(sim->core, ev->worker->id, ev->session)) {
		disconnect(sim, ev->worker);
		connect(sim, ev->worker, 1 * S);
		return;
	}
	core_worker_seen(sim->core, &sim->now, ev->worker->id);
	sim_drain(sim);
	if (ev->session == ev->worker->session && sim->core) {
		struct event *next = sim_after(sim, 5 * S, on_seen);

		next->worker = ev->worker;
		next->session = ev->session;
		next->process = sim->process;
	}
}

static void on_device(struct sim *sim, struct event *ev)
{
	struct core_device d = device_now(ev->worker, (size_t)ev->number);

	if (!arrives(sim, ev))
		return;
	core_device_update(sim->core, &sim->now, ev->worker->id, &d);
	sim_drain(sim);
}

/* Once stored it is for ever: whatever the core learns meanwhile, it has to say stop. */
static bool given_up(const struct sim *sim, const struct folder *f)
{
	const struct row *row = store_row(sim, f->job);

	return row && row->facts.attempt == f->attempt &&
	       (row->facts.cancel_requested || job_state_final(row->facts.state));
}

static void on_hello(struct sim *sim, struct event *ev)
{
	struct sim_worker *w = ev->worker;
	struct core_device devices[DEVICES];
	struct core_run runs[256];
	struct core_hello h = { .session = ev->session,
		.hostname = "host",
		.run_slots = w->slots,
		.devices = devices,
		.device_count = w->device_count,
		.runs = runs };

	if (!arrives(sim, ev) || !w->up)
		return;
	for (size_t i = 0; i < w->device_count; i++)
		devices[i] = device_now(w, i);
	for (size_t i = 0; i < w->folder_count && i < 256; i++) {
		struct folder *f = w->folders[i];
		struct core_run *r = &runs[h.run_count++];

		f->given_up = given_up(sim, f);
		*r = (struct core_run){ .attempt = f->attempt,
			.phase = f->phase,
			.output_end = f->output,
			.ours = f->ours };
		memcpy(r->job, f->job, ID_SIZE);
		if (f->report_count)
			r->last_report = f->reports[f->report_count - 1].number;
	}
	memcpy(h.worker, w->id, ID_SIZE);
	str_put(h.boot_id, sizeof(h.boot_id), "boot-%u", w->boots);
	w->connected = true;
	sim_trace(sim, "%s says hello, session %lu, %zu runs", w->id,
		(unsigned long)ev->session, h.run_count);
	core_worker_hello(sim->core, &sim->now, &h);
	sim_drain(sim);
	on_seen(sim, ev);
}

static void on_connect(struct sim *sim, struct event *ev)
{
	struct sim_worker *w = ev->worker;

	if (!sim->core || !w->up || w->session)
		return;
	w->session = ++sim->sessions;
	w->connected = false;
	send(sim, w, on_hello);
}

static void connect(struct sim *sim, struct sim_worker *w, int64_t delay)
{
	sim_after(sim, delay, on_connect)->worker = w;
}

/* Its end of the stream is closed at once; the core may learn of it later. */
static void disconnect(struct sim *sim, struct sim_worker *w)
{
	uint64_t session = w->session;

	w->session = 0;
	w->connected = false;
	if (sim->core && session && rng_chance(&sim->rng, 700)) {
		core_worker_gone(sim->core, &sim->now, w->id, session);
		sim_drain(sim);
	}
}

void workers_disconnect(struct sim *sim)
{
	for (size_t i = 0; i < WORKERS; i++) {
		sim->workers[i].session = 0;
		sim->workers[i].connected = false;
	}
}

void workers_connect(struct sim *sim)
{
	for (size_t i = 0; i < WORKERS; i++)
		connect(sim, &sim->workers[i], rng_time(&sim->rng, 0, 30 * S));
}

/* ---- faults */

/* A folder that is lost before the core has heard of its run is what no core can know
 * of: that takes a new disk, and so a new worker. */
static bool may_lose(const struct sim *sim, const struct folder *f)
{
	const struct row *row = store_row(sim, f->job);

	return row && row->facts.attempt == f->attempt &&
	       row->facts.state != JOB_CREATING_PARTITION;
}

static void reboot(struct sim *sim, struct sim_worker *w, bool lose_folders)
{
	w->boots++;
	for (size_t i = w->folder_count; i-- > 0;) {
		struct folder *f = w->folders[i];

		if (lose_folders && may_lose(sim, f))
			folder_remove(w, f);
		else if (f->phase != RUN_ENDED)
			end(sim, w, f, REASON_RUNNER_LOST);
	}
}

static void make_worker_id(struct sim_worker *w)
{
	uint8_t random[ID_RANDOM] = { 0 };

	random[8] = (uint8_t)w->disks++;
	random[9] = (uint8_t)w->index;
	id_format(w->id, 'w', random);
}

/* A new disk: nothing of the old worker ever comes back. */
static void replace(struct sim *sim, struct sim_worker *w)
{
	while (w->folder_count)
		folder_remove(w, w->folders[0]);
	clients_retire(sim, w->id);
	make_worker_id(w);
}

static void kill_runner(struct sim *sim, struct sim_worker *w)
{
	struct folder *f;

	if (!w->folder_count)
		return;
	f = w->folders[rng_below(&sim->rng, (uint32_t)w->folder_count)];
	if (f->phase != RUN_ENDED)
		end(sim, w, f, REASON_RUNNER_LOST);
}

static void change_device(struct sim *sim, struct sim_worker *w)
{
	size_t i = rng_below(&sim->rng, (uint32_t)w->device_count);
	struct sim_device *d = &w->devices[i];
	uint32_t room = 100 - held(w, i);

	if (rng_chance(&sim->rng, 300))
		d->healthy = !d->healthy;
	else
		d->foreign =
			rng_chance(&sim->rng, 500) ? 0 : rng_below(&sim->rng, room + 1);
	if (w->connected && rng_chance(&sim->rng, 800))
		send(sim, w, on_device)->number = (int64_t)i;
}

static void on_up(struct sim *sim, struct event *ev)
{
	ev->worker->up = true;
	connect(sim, ev->worker, rng_time(&sim->rng, 0, 2 * S));
}

static void one_fault(struct sim *sim, struct sim_worker *w)
{
	switch (rng_below(&sim->rng, 8)) {
	case 0:
	case 1:
	case 2:
		disconnect(sim, w);
		connect(sim, w, rng_time(&sim->rng, 0, 60 * S));
		return;
	case 3:
		kill_runner(sim, w);
		return;
	case 4:
	case 5:
		change_device(sim, w);
		return;
	case 6: /* the machine goes down, perhaps for so long that its jobs are given up */
		disconnect(sim, w);
		w->up = false;
		if (rng_chance(&sim->rng, 50))
			replace(sim, w);
		reboot(sim, w, rng_chance(&sim->rng, 200));
		sim_after(sim, rng_time(&sim->rng, 5 * S, 3000 * S), on_up)->worker = w;
		return;
	case 7: /* cut off: its runs go on */
		disconnect(sim, w);
		w->up = false;
		sim_after(sim, rng_time(&sim->rng, 5 * S, 3000 * S), on_up)->worker = w;
		return;
	}
}

static void on_fault(struct sim *sim, struct event *ev)
{
	struct sim_worker *w = ev->worker;

	if (sim->healing)
		return;
	if (w->up)
		one_fault(sim, w);
	sim_after(sim, rng_time(&sim->rng, 1 * S, 300 * S), on_fault)->worker = w;
}

/* ---- the whole */

static void add_stranger(struct sim *sim, struct sim_worker *w)
{
	struct folder *f = folder_new(sim, w, "j-strangerstranger", 1);

	f->ours = false;
	f->duration_s = 100;
	later(sim, w, f, 1 * S, on_set_up);
}

void workers_init(struct sim *sim)
{
	for (size_t i = 0; i < WORKERS; i++) {
		struct sim_worker *w = &sim->workers[i];

		w->index = i;
		make_worker_id(w);
		w->up = true;
		w->boots = 1;
		w->device_count = i == 0 ? DEVICES : 1 + rng_below(&sim->rng, DEVICES);
		w->slots = 3 + rng_below(&sim->rng, 20);
		for (size_t k = 0; k < w->device_count; k++)
			w->devices[k].healthy = true;
		if (rng_chance(&sim->rng, 100))
			add_stranger(sim, w);
		sim_after(sim, rng_time(&sim->rng, 1 * S, 300 * S), on_fault)->worker = w;
	}
}

void workers_fini(struct sim *sim)
{
	for (size_t i = 0; i < WORKERS; i++) {
		for (size_t k = 0; k < sim->workers[i].folder_count; k++)
			free(sim->workers[i].folders[k]);
		free(sim->workers[i].folders);
	}
}

void workers_heal(struct sim *sim)
{
	for (size_t i = 0; i < WORKERS; i++) {
		struct sim_worker *w = &sim->workers[i];

		for (size_t k = 0; k < w->device_count; k++)
			w->devices[k] = (struct sim_device){ .healthy = true };
		for (size_t k = 0; k < w->folder_count; k++)
			if (!w->folders[k]->ours && w->folders[k]->phase != RUN_ENDED)
				end(sim, w, w->folders[k], REASON_NONE);
		/* All meet once more, so that everybody knows of it. */
		disconnect(sim, w);
		w->up = true;
		connect(sim, w, rng_time(&sim->rng, 0, 2 * S));
	}
}
