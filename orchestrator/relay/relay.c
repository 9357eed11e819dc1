/* relay.c - feeds the core, carries out its effects. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "relay.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "frame.h"
#include "log.h"
#include "str.h"
#include "table.h"
#include "xalloc.h"

struct request {
	struct table_entry entry;
	core_token token; /* the key */
	relay_on_answer *on_answer;
	void *ctx;
};

/* The watchers of one job; there while it has any. */
struct audience {
	struct relay *relay;
	struct table_entry entry;
	char job[ID_SIZE];
	struct list watchers;
};

/* A START on its way: the core's decision and the stored submission meet here. */
struct departure {
	struct table_entry entry;
	struct relay *relay;
	char job[ID_SIZE];
	bool decided, asked, known;
	bool stale;          /* its placement was taken back */
	struct effect start; /* once decided */
	struct effect stop;  /* overtaken by nothing: it leaves after the start */
	bool stop_waits;
	struct store_spec spec; /* once known; bytes owned */
};

/* What an ended run's output must reach before its end is taken. */
struct ending {
	struct table_entry entry;
	char run[RUN_NAME_SIZE];
	int64_t end;
};

struct relay {
	struct core *core;
	struct store *store;
	struct output *output;
	struct uploads *uploads;
	struct relay_commands commands;
	struct core_time now;
	bool in_turn;
	bool closing;
	core_token last_token;
	struct table requests, audiences, departures, endings;
	size_t watchers;
	struct tally tally;

	uv_async_t wake; /* from the store's and the files' threads */
	uv_timer_t timer;
	uv_prepare_t before_poll;
	unsigned handles_open;

	void (*on_failed)(void *ctx, const struct err *why);
	void *ctx;
};

struct core *relay_core(struct relay *h)
{
	return h->core;
}

struct store *relay_store(struct relay *h)
{
	return h->store;
}

struct output *relay_output(struct relay *h)
{
	return h->output;
}

struct uploads *relay_uploads(struct relay *h)
{
	return h->uploads;
}

const struct tally *relay_tally(const struct relay *h)
{
	return &h->tally;
}

size_t relay_watchers(const struct relay *h)
{
	return h->watchers;
}

const struct core_time *relay_now(struct relay *h)
{
	h->now = (struct core_time){ clock_boot_ns(), clock_wall_ns() };
	return &h->now;
}

void relay_set_commands(struct relay *h, const struct relay_commands *commands)
{
	h->commands = *commands;
}

/* ---- requests */

static core_token add_request(struct relay *h, relay_on_answer *on_answer, void *ctx)
{
	struct request *r = xcalloc(1, sizeof(*r));

	r->token = ++h->last_token;
	r->on_answer = on_answer;
	r->ctx = ctx;
	table_add(&h->requests, &r->entry, &r->token, sizeof(r->token));
	return r->token;
}

static void answer(struct relay *h, const struct effect *effect)
{
	struct table_entry *found =
		table_find(&h->requests, &effect->token, sizeof(effect->token));

	assert(found); /* each token is answered once */

	struct request *r = table_value(found, struct request, entry);
	table_remove(&h->requests, &r->entry);
	r->on_answer(r->ctx, effect);
	free(r);
}

struct submitting {
	struct relay *relay;
	struct submission *submission;
	core_token token;
};

static void submit_now(struct relay *h, core_token token, struct submission *s,
	const struct core_known_key *known)
{
	char id[ID_SIZE];

	id_make(id, 'j');
	core_submit(h->core, relay_now(h), token, id, s, known);
	relay_turn(h);
}

static void on_key(void *ctx, const struct core_known_key *known)
{
	struct submitting *s = ctx;

	submit_now(s->relay, s->token, s->submission, known);
	free(s);
}

/* The disk has no room for new jobs; what was accepted goes on. */
static bool refuse_for_disk(struct relay *h, core_token token)
{
	struct effect full = { .kind = EFFECT_ANSWER, .token = token };

	if (!store_disk_low(h->store))
		return false;
	err_set(&full.error, ERR_EXHAUSTED,
		"the orchestrator's disk is at its low-water mark");
	answer(h, &full);
	return true;
}

void relay_submit(
	struct relay *h, struct submission *s, relay_on_answer *on_answer, void *ctx)
{
	core_token token = add_request(h, on_answer, ctx);

	if (refuse_for_disk(h, token)) {
		submission_free(s);
		return;
	}
	if (!s->key) {
		submit_now(h, token, s, &(struct core_known_key){ .found = false });
		return;
	}

	struct submitting *later = xmalloc(sizeof(*later));
	*later = (struct submitting){ h, s, token };
	store_find_key(h->store, s->owner, s->key, on_key, later);
}

void relay_cancel(struct relay *h, const char *job, relay_on_answer *on_answer, void *ctx)
{
	core_cancel(h->core, relay_now(h), add_request(h, on_answer, ctx), job);
	relay_turn(h);
}

void relay_wish_worker(struct relay *h, const char *worker, enum worker_wish wish,
	relay_on_answer *on_answer, void *ctx)
{
	core_wish_worker(
		h->core, relay_now(h), add_request(h, on_answer, ctx), worker, wish);
	relay_turn(h);
}

void relay_await(struct relay *h, uint64_t number, relay_on_answer *on_answer, void *ctx)
{
	core_await(h->core, number, add_request(h, on_answer, ctx));
	relay_turn(h);
}

/* ---- watchers */

void relay_watch(struct relay *h, const char *job, struct relay_watch *w)
{
	struct table_entry *found = table_find_str(&h->audiences, job);
	struct audience *a;

	if (found) {
		a = table_value(found, struct audience, entry);
	} else {
		a = xcalloc(1, sizeof(*a));
		a->relay = h;
		str_put(a->job, sizeof(a->job), "%s", job);
		list_init(&a->watchers);
		table_add_str(&h->audiences, &a->entry, a->job);
	}
	list_append(&a->watchers, &w->link);
	w->audience = a;
	h->watchers++;
}

void relay_unwatch(struct relay_watch *w)
{
	struct audience *a = w->audience;

	if (!a)
		return;
	w->audience = NULL;
	list_remove(&w->link);
	a->relay->watchers--;
	if (!list_empty(&a->watchers))
		return;
	table_remove(&a->relay->audiences, &a->entry);
	free(a);
}

static void wake_watchers(struct relay *h, const char *job)
{
	struct table_entry *found = table_find_str(&h->audiences, job);

	if (!found)
		return;

	/* A wake-up only asks the call for a pull: nobody leaves meanwhile. */
	list_each(it, &table_value(found, struct audience, entry)->watchers)
	{
		struct relay_watch *w = list_entry(it, struct relay_watch, link);

		w->wake(w->ctx);
	}
}

/* ---- starts */

static void free_departure(struct relay *h, struct departure *d)
{
	table_remove(&h->departures, &d->entry);
	if (d->decided)
		effect_fini(&d->start);
	free(d->spec.bytes);
	free(d);
}

static struct departure *find_departure(struct relay *h, const char *job)
{
	struct table_entry *found = table_find_str(&h->departures, job);

	return found ? table_value(found, struct departure, entry) : NULL;
}

static void depart_when_complete(struct departure *d)
{
	struct relay *h = d->relay;

	if (!d->decided || !d->known)
		return;
	h->commands.start(h->commands.ctx, &d->start, &d->spec);
	if (d->stop_waits)
		h->commands.command(h->commands.ctx, &d->stop);
	free_departure(h, d);
}

static void on_spec(void *ctx, struct store_spec *spec, const struct err *failed)
{
	struct departure *d = ctx;

	d->asked = false;
	if (d->stale && !d->decided) {
		free_departure(d->relay, d);
		return;
	}
	if (failed) {
		/* A placed job's row is kept as long as its lease: this cannot be. */
		log_error("stored submission is missing", "job", d->job, "why",
			failed->text, NULL);
		free_departure(d->relay, d);
		return;
	}
	d->spec = *spec;
	spec->bytes = NULL;
	d->known = true;
	depart_when_complete(d);
}

/* Asked for right behind the placement's record, the answer comes with its commit and
 * costs no time of its own. */
static struct departure *prepare_departure(struct relay *h, const char *job)
{
	struct departure *d = find_departure(h, job);

	if (d) {
		d->stale = false;
		return d;
	}
	d = xcalloc(1, sizeof(*d));
	d->relay = h;
	str_put(d->job, sizeof(d->job), "%s", job);
	table_add_str(&h->departures, &d->entry, d->job);
	d->asked = true;
	store_get_spec(h->store, job, on_spec, d);
	return d;
}

static void start(struct relay *h, struct effect *effect)
{
	struct departure *d = prepare_departure(h, effect->job);

	if (d->decided)
		effect_fini(&d->start);
	d->start = *effect;
	*effect = (struct effect){ 0 }; /* moved */
	d->decided = true;
	d->stop_waits = false;
	depart_when_complete(d);
}

static void stop(struct relay *h, const struct effect *effect)
{
	struct departure *d = find_departure(h, effect->job);

	if (d && d->decided && d->start.attempt == effect->attempt) {
		d->stop = *effect; /* plain values only */
		d->stop_waits = true;
		return;
	}
	h->commands.command(h->commands.ctx, effect);
}

/* A placement that was taken back before its start leaves a departure nobody decides. */
static void drop_stale_departure(struct relay *h, const struct record *r)
{
	struct departure *d = find_departure(h, r->job);

	if (d && d->asked)
		d->stale = true; /* the answer frees it */
	else if (d && !d->decided)
		free_departure(h, d);
}

/* ---- effects */

static void post(struct relay *h, struct record *r)
{
	bool placed = r->facts.state == JOB_CREATING_PARTITION && r->event.sequence > 0;
	char job[ID_SIZE];

	memcpy(job, r->job, sizeof(job));
	if (!placed)
		drop_stale_departure(h, r);
	store_post(h->store, r);
	if (placed)
		prepare_departure(h, job);
}

static void log_move(const struct effect *e)
{
	char attempt[16];

	str_put(attempt, sizeof(attempt), "%d", e->attempt);
	if (!*e->job) {
		log_warn("core", "why", e->text, NULL);
		return;
	}
	log_info("job moved", "job", e->job, "from",
		e->from == JOB_NONE ? "" : job_state_name(e->from), "to",
		job_state_name(e->to), "attempt", attempt, "worker", e->worker, "reason",
		job_reason_name(e->reason), "why", e->text, NULL);
}

static void on_timer(uv_timer_t *timer)
{
	struct relay *h = timer->data;

	core_tick(h->core, relay_now(h));
	relay_turn(h);
}

static void wake_at(struct relay *h, int64_t boot_ns)
{
	int64_t left = boot_ns - clock_boot_ns();
	/* One more, since the loop's own time is rounded down: a tick before the time would
	 * only ask again. */
	uint64_t ms = left > 0 ? (uint64_t)(left / NS_PER_MS) + 2 : 0;

	uv_update_time(h->timer.loop);
	uv_timer_start(&h->timer, on_timer, ms, 0);
}

static void carry_out(struct relay *h, struct effect *e)
{
	switch (e->kind) {
	case EFFECT_RECORD:
		post(h, take_ptr(&e->record));
		break;
	case EFFECT_ANSWER:
	case EFFECT_READY:
		answer(h, e);
		break;
	case EFFECT_JOB_MOVED:
	case EFFECT_PROGRESS:
		wake_watchers(h, e->job);
		break;
	case EFFECT_START:
		start(h, e);
		break;
	case EFFECT_STOP:
		stop(h, e);
		break;
	case EFFECT_WELCOME:
	case EFFECT_COMMITTED:
	case EFFECT_FORGET:
		h->commands.command(h->commands.ctx, e);
		break;
	case EFFECT_WAKE_AT:
		wake_at(h, e->boot_ns);
		break;
	case EFFECT_LOG:
		log_move(e);
		tally_moved(&h->tally, h->core, e);
		break;
	}
}

/* What an effect calls may bring the next input; its effects join the queue. */
void relay_turn(struct relay *h)
{
	struct effect e;

	if (h->in_turn || h->closing)
		return;
	h->in_turn = true;
	while (core_next_effect(h->core, &e)) {
		carry_out(h, &e);
		effect_fini(&e);
	}
	h->in_turn = false;
}

/* ---- reports and output */

static void on_synced(void *ctx, int64_t end, const struct err *failed);

struct syncing {
	struct relay *relay;
	char job[ID_SIZE];
	int32_t attempt;
};

static void sync_output(struct relay *h, const char *job, int32_t attempt)
{
	struct syncing *s = xcalloc(1, sizeof(*s));

	s->relay = h;
	str_put(s->job, sizeof(s->job), "%s", job);
	s->attempt = attempt;
	output_sync(h->output, job, attempt, on_synced, s);
}

static struct ending *find_ending(struct relay *h, const char *job, int32_t attempt)
{
	char run[RUN_NAME_SIZE];

	run_name(run, job, attempt);
	struct table_entry *found = table_find_str(&h->endings, run);
	return found ? table_value(found, struct ending, entry) : NULL;
}

static void free_ending(struct relay *h, struct ending *ending)
{
	table_remove(&h->endings, &ending->entry);
	free(ending);
}

static void on_synced(void *ctx, int64_t end, const struct err *failed)
{
	struct syncing *s = ctx;
	struct relay *h = s->relay;
	struct ending *ending = find_ending(h, s->job, s->attempt);

	if (failed) {
		log_warn("output is not durable yet", "job", s->job, "why", failed->text,
			NULL);
	} else {
		if (ending && end >= ending->end)
			free_ending(h, ending);
		core_output_durable(h->core, relay_now(h), s->job, s->attempt, end);
		relay_turn(h);
	}
	free(s);
}

void relay_output_settle(struct relay *h, const char *job, int32_t attempt)
{
	sync_output(h, job, attempt);
}

void relay_report(struct relay *h, const struct core_report *r)
{
	core_report(h->core, relay_now(h), r);
	if (r->kind == REPORT_ENDED) {
		if (!find_ending(h, r->job, r->attempt)) {
			struct ending *ending = xcalloc(1, sizeof(*ending));

			run_name(ending->run, r->job, r->attempt);
			ending->end = r->output_end;
			table_add_str(&h->endings, &ending->entry, ending->run);
		}
		sync_output(h, r->job, r->attempt);
	}
	relay_turn(h);
}

struct appending {
	struct relay *relay;
	char job[ID_SIZE];
	int32_t attempt;
	output_on_end *on_end;
	void *ctx;
};

static void on_appended(void *ctx, int64_t end, const struct err *failed)
{
	struct appending *a = ctx;
	struct ending *ending = find_ending(a->relay, a->job, a->attempt);

	a->on_end(a->ctx, end, failed);
	if (!failed)
		wake_watchers(a->relay, a->job);
	if (ending && end >= ending->end)
		sync_output(a->relay, a->job, a->attempt);
	free(a);
}

void relay_output_append(struct relay *h, const char *job, int32_t attempt,
	int64_t position, uint8_t *bytes, size_t len, output_on_end *on_end, void *ctx)
{
	struct appending *a = xcalloc(1, sizeof(*a));

	a->relay = h;
	str_put(a->job, sizeof(a->job), "%s", job);
	a->attempt = attempt;
	a->on_end = on_end;
	a->ctx = ctx;
	output_append(h->output, job, attempt, position, bytes, len, on_appended, a);
}

/* ---- what comes back from the threads */

static void on_committed(void *ctx, uint64_t number)
{
	struct relay *h = ctx;

	core_committed(h->core, relay_now(h), number);
	relay_turn(h);
}

static void on_refused(void *ctx, uint64_t number, const struct err *why)
{
	struct relay *h = ctx;

	core_refused(h->core, relay_now(h), number, why);
	relay_turn(h);
}

static void on_failed(void *ctx, const struct err *why)
{
	struct relay *h = ctx;

	h->on_failed(h->ctx, why);
}

struct removing {
	struct relay *relay;
	char job[ID_SIZE];
};

static void on_output_removed(void *ctx, const struct err *failed)
{
	struct removing *r = ctx;

	if (failed)
		log_warn("output of a removed job stays", "job", r->job, "why",
			failed->text, NULL);
	else
		store_output_removed(r->relay->store, r->job);
	free(r);
}

static void on_history_removed(void *ctx, const char *job, int32_t attempts)
{
	struct removing *r = xcalloc(1, sizeof(*r));

	r->relay = ctx;
	str_put(r->job, sizeof(r->job), "%s", job);
	output_remove(r->relay->output, job, attempts, on_output_removed, r);
}

static void wake_from_thread(void *ctx)
{
	struct relay *h = ctx;

	uv_async_send(&h->wake);
}

static void on_wake(uv_async_t *async)
{
	struct relay *h = async->data;

	store_deliver(h->store);
	output_deliver(h->output);
	uploads_deliver(h->uploads);
}

/* Once per turn of the loop: all that this turn staged becomes one group. */
static void on_before_poll(uv_prepare_t *prepare)
{
	struct relay *h = prepare->data;

	store_kick(h->store);
}

/* ---- opening and closing */

static int restore_worker(void *ctx, const char *id, bool draining, struct err *e)
{
	return core_restore_worker(((struct relay *)ctx)->core, id, draining, e);
}

static int restore_job(void *ctx, const char *id, struct job_facts *facts,
	struct submission *submission, struct err *e)
{
	struct relay *h = ctx;
	int32_t attempt = facts->leased ? facts->attempt : 0;

	if (core_restore_job(h->core, id, facts, submission, e) < 0)
		return -1;
	/* Should its worker never come back, the story ends where our copy does. */
	if (attempt > 0)
		sync_output(h, id, attempt);
	return 0;
}

static int open_store(struct relay *h, const struct relay_config *config, struct err *e)
{
	struct core_config core = config->core;

	h->store = store_open(&config->store, e);
	if (!h->store)
		return err_wrap(e, "open the store");
	str_put(core.cluster_id, sizeof(core.cluster_id), "%s",
		store_cluster_id(h->store));
	h->core = core_new(&core);
	if (store_restore_workers(h->store, restore_worker, h, e) < 0 ||
		store_restore(h->store, restore_job, h, e) < 0 ||
		core_restored(h->core, relay_now(h), e) < 0)
		return err_wrap(e, "restore jobs");
	return 0;
}

static size_t whole_frames(const uint8_t *bytes, size_t len)
{
	return frame_scan(bytes, len, len).size;
}

static int open_output(struct relay *h, const struct relay_config *config, struct err *e)
{
	const struct output_config output = {
		.dirfd = config->folder_fd,
		.whole_frames = whole_frames,
		.file_bytes_max = 0,
		.ctx = h,
		.wake = wake_from_thread,
		.on_failed = on_failed,
	};

	h->output = output_open(&output, e);
	return h->output ? 0 : err_wrap(e, "open the output folder");
}

static int open_uploads(struct relay *h, const struct relay_config *config, struct err *e)
{
	const struct uploads_config uploads = {
		.dirfd = config->folder_fd,
		.ctx = h,
		.wake = wake_from_thread,
		.on_failed = on_failed,
		.check = config->package_check,
	};

	h->uploads = uploads_open(&uploads, e);
	return h->uploads ? 0 : err_wrap(e, "open the folder of packages");
}

static void open_handles(struct relay *h, uv_loop_t *loop)
{
	if (uv_async_init(loop, &h->wake, on_wake) != 0)
		abort();
	uv_timer_init(loop, &h->timer);
	uv_prepare_init(loop, &h->before_poll);
	uv_prepare_start(&h->before_poll, on_before_poll);
	h->wake.data = h->timer.data = h->before_poll.data = h;
	h->handles_open = 3;
}

struct relay *relay_open(const struct relay_config *config, struct err *e)
{
	const struct store_callbacks callbacks = {
		.wake = wake_from_thread,
		.on_committed = on_committed,
		.on_refused = on_refused,
		.on_failed = on_failed,
		.on_removed = on_history_removed,
	};
	struct store_callbacks with_ctx = callbacks;
	struct relay *h = xcalloc(1, sizeof(*h));

	tally_init(&h->tally);
	h->on_failed = config->on_failed;
	h->ctx = config->ctx;
	open_handles(h, config->loop);
	with_ctx.ctx = h;
	if (open_output(h, config, e) < 0 || open_store(h, config, e) < 0 ||
		open_uploads(h, config, e) < 0 ||
		store_start(h->store, &with_ctx, e) < 0) {
		relay_close(h);
		return NULL;
	}
	relay_turn(h);
	return h;
}

static void free_tables(struct relay *h)
{
	for (struct table_entry *it; (it = table_next(&h->requests, NULL));) {
		table_remove(&h->requests, it);
		free(table_value(it, struct request, entry));
	}
	for (struct table_entry *it; (it = table_next(&h->audiences, NULL));) {
		struct audience *a = table_value(it, struct audience, entry);

		list_each_safe(link, &a->watchers)
		{
			list_entry(link, struct relay_watch, link)->audience = NULL;
			list_remove(link);
		}
		table_remove(&h->audiences, it);
		free(a);
	}
	for (struct table_entry *it; (it = table_next(&h->departures, NULL));)
		free_departure(h, table_value(it, struct departure, entry));
	for (struct table_entry *it; (it = table_next(&h->endings, NULL));)
		free_ending(h, table_value(it, struct ending, entry));
	table_fini(&h->requests);
	table_fini(&h->audiences);
	table_fini(&h->departures);
	table_fini(&h->endings);
}

static void on_handle_closed(uv_handle_t *handle)
{
	struct relay *h = handle->data;

	if (--h->handles_open == 0)
		free(h);
}

void relay_close(struct relay *h)
{
	if (!h)
		return;
	h->closing = true;
	/* What was asked is answered, so that whoever asked can let go of it. */
	if (h->output) {
		output_stop(h->output);
		output_deliver(h->output);
	}
	if (h->uploads) {
		uploads_stop(h->uploads);
		uploads_deliver(h->uploads);
	}
	if (h->store) {
		store_stop(h->store);
		store_deliver(h->store);
	}
	uploads_close(h->uploads);
	output_close(h->output);
	store_close(h->store);
	free_tables(h);
	core_free(h->core);
	uv_close((uv_handle_t *)&h->wake, on_handle_closed);
	uv_close((uv_handle_t *)&h->timer, on_handle_closed);
	uv_close((uv_handle_t *)&h->before_poll, on_handle_closed);
}
