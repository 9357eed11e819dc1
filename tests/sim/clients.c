/* clients.c - simulated clients: they submit, repeat, cancel, and remember every answer. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "sim.h"
#include "str.h"
#include "xalloc.h"

static struct ask *new_ask(struct sim *sim)
{
	struct clients *cl = &sim->clients;
	struct ask *ask;

	cl->asks = xreallocarray(cl->asks, cl->count + 1, sizeof(*cl->asks));
	ask = &cl->asks[cl->count++];
	*ask = (struct ask){ .token = ++cl->tokens };
	return ask;
}

static void add_id(char (**list)[ID_SIZE], size_t *count, const char *id)
{
	*list = xreallocarray(*list, *count + 1, sizeof(**list));
	memcpy((*list)[(*count)++], id, ID_SIZE);
}

/* ---- asking */

static struct submission *random_submission(struct sim *sim)
{
	struct submission *s = xcalloc(1, sizeof(*s));
	struct rng *r = &sim->rng;

	if (rng_chance(r, 700))
		s->amount = (struct amount){ 1, 10 + rng_below(r, 81) };
	else
		s->amount = (struct amount){ 1 + rng_below(r, DEVICES + 1), 100 };
	s->duration_s = 1 + (int32_t)rng_below(r, rng_chance(r, 800) ? 60 : 2000);
	s->priority = rng_chance(r, 200) ? (int32_t)rng_below(r, 201) - 100 : 0;
	s->max_retries = rng_chance(r, 300) ? 1 + (int32_t)rng_below(r, 3) : 0;
	s->no_wait = rng_chance(r, 100);
	s->owner = xstrdup("anyone");
	return s;
}

static void make_id(struct sim *sim, char id[ID_SIZE])
{
	uint8_t random[ID_RANDOM] = { 0 };
	uint64_t noise = rng_next(&sim->rng);

	memcpy(random, &noise, sizeof(noise));
	random[8] = (uint8_t)(sim->clients.ids >> 8);
	random[9] = (uint8_t)sim->clients.ids++;
	id_format(id, 'j', random);
}

static void submit(struct sim *sim)
{
	struct submission *s = random_submission(sim);
	struct core_known_key none = { 0 };
	struct ask *ask = new_ask(sim);
	char id[ID_SIZE];

	make_id(sim, id);
	memcpy(ask->job, id, ID_SIZE);
	if (rng_chance(&sim->rng, 400)) {
		str_put(ask->key, sizeof(ask->key), "key-%u", rng_below(&sim->rng, KEYS));
		/* Few use it for something else. */
		ask->identity = rng_chance(&sim->rng, 100) ? 1 : 0;
		s->key = xstrdup(ask->key);
		s->identity.bytes[0] = ask->identity;
		sim_trace(sim, "submit %s with %s", id, ask->key);
		store_look_up(sim, ask->token, id, s);
		return;
	}
	sim_trace(sim, "submit %s %ux%u", id, s->amount.devices, s->amount.hundredths);
	core_submit(sim->core, &sim->now, ask->token, id, s, &none);
	sim_drain(sim);
}

static void send_cancel(struct sim *sim, struct ask *ask)
{
	ask->known = store_row(sim, ask->job) != NULL;
	sim_trace(sim, "cancel %s", ask->job);
	core_cancel(sim->core, &sim->now, ask->token, ask->job);
	sim_drain(sim);
}

static void cancel(struct sim *sim)
{
	struct clients *cl = &sim->clients;
	struct ask *ask = new_ask(sim);

	ask->cancel = true;
	if (cl->count > 1 && rng_chance(&sim->rng, 100)) {
		/* One of which it has no answer yet, perhaps. */
		memcpy(ask->job, ask[-1].job, ID_SIZE);
		send_cancel(sim, ask);
		return;
	}
	if (cl->accepted_count && rng_chance(&sim->rng, 950))
		memcpy(ask->job,
			cl->accepted[rng_below(&sim->rng, (uint32_t)cl->accepted_count)],
			ID_SIZE);
	else
		memcpy(ask->job, "j-nonenonenonenone", ID_SIZE);
	send_cancel(sim, ask);
}

/* ---- operating */

static void send_wish(struct sim *sim, const char *worker, enum worker_wish wish)
{
	struct ask *ask = new_ask(sim);

	ask->operates = true;
	ask->wish = wish;
	memcpy(ask->job, worker, ID_SIZE);
	sim_trace(sim, "wish %d for %s", (int)wish, worker);
	core_wish_worker(sim->core, &sim->now, ask->token, worker, wish);
	ask->issued = core_count(sim->core).last_issued;
	sim_drain(sim);
}

static void operate(struct sim *sim)
{
	struct clients *cl = &sim->clients;
	const struct sim_worker *w = &sim->workers[rng_below(&sim->rng, WORKERS)];

	if (cl->retired_count && rng_chance(&sim->rng, 500))
		send_wish(sim,
			cl->retired[rng_below(&sim->rng, (uint32_t)cl->retired_count)],
			WORKER_FORGET);
	else
		send_wish(sim, w->id, (enum worker_wish)rng_below(&sim->rng, 3));
}

static void on_operate(struct sim *sim, struct event *ev)
{
	(void)ev;
	if (sim->core && !sim->healing)
		operate(sim);
	if (!sim->healing)
		sim_after(sim, rng_time(&sim->rng, 1 * S, 400 * S), on_operate);
}

/* Until they are done: what never comes back is forgotten, the rest takes runs again. */
static void on_tidy(struct sim *sim, struct event *ev)
{
	(void)ev;
	for (size_t i = 0; i < WORKERS && sim->core; i++)
		if (store_is_draining(sim, sim->workers[i].id))
			send_wish(sim, sim->workers[i].id, WORKER_RESUME);
	for (size_t i = 0; i < sim->clients.retired_count && sim->core; i++)
		send_wish(sim, sim->clients.retired[i], WORKER_FORGET);
	sim_after(sim, 30 * S, on_tidy);
}

void clients_heal(struct sim *sim)
{
	sim_after(sim, 1 * S, on_tidy);
}

void clients_retire(struct sim *sim, const char *worker)
{
	add_id(&sim->clients.retired, &sim->clients.retired_count, worker);
}

static void on_act(struct sim *sim, struct event *ev)
{
	(void)ev;
	if (!sim->clients.to_do)
		return;
	sim->clients.to_do--;
	if (sim->core) {
		if (rng_chance(&sim->rng, 250))
			cancel(sim);
		else
			submit(sim);
	}
	/* Bursts, and pauses between them. */
	sim_after(sim,
		rng_chance(&sim->rng, 600) ? rng_time(&sim->rng, 0, 50 * MS)
					   : rng_time(&sim->rng, 1 * S, 120 * S),
		on_act);
}

/* ---- answers */

static struct ask *ask_of(struct sim *sim, core_token token)
{
	for (size_t i = 0; i < sim->clients.count; i++)
		if (sim->clients.asks[i].token == token)
			return &sim->clients.asks[i];
	sim_fail(sim, "an answer to token %lu, which nobody has", (unsigned long)token);
}

static void check_key(struct sim *sim, const struct ask *ask, const char *job)
{
	struct key_seen *seen;

	if (!*ask->key)
		return;
	seen = &sim->clients.keys[ask->key[4] - '0'];
	if (*seen->job && strcmp(seen->job, job) != 0)
		sim_fail(sim, "%s was job %s and is now %s", ask->key, seen->job, job);
	memcpy(seen->job, job, ID_SIZE);
}

static void accepted(struct sim *sim, struct ask *ask, const struct effect *ef)
{
	struct row *row = store_row(sim, ef->job);

	if (!row)
		sim_fail(sim, "%s is acknowledged and not stored", ef->job);
	if (ef->existed != (strcmp(ef->job, ask->job) != 0))
		sim_fail(sim, "%s: existed or not?", ef->job);
	if (ef->existed)
		add_id(&sim->clients.refused, &sim->clients.refused_count, ask->job);
	if (row->submission->identity.bytes[0] != ask->identity)
		sim_fail(sim, "%s: another submission's job is given for %s", ef->job,
			ask->key);
	check_key(sim, ask, ef->job);
	row->acknowledged = true;
	add_id(&sim->clients.accepted, &sim->clients.accepted_count, ef->job);
}

static void refused(struct sim *sim, const struct ask *ask, const struct effect *ef)
{
	bool unavailable = ef->error.code == ERR_UNAVAILABLE;

	if (unavailable != (ef->why != UNAVAILABLE_NONE) || !*ef->error.text)
		sim_fail(sim, "%s: refused without a reason", ask->job);
	if (ef->error.code == ERR_CONFLICT && !*ask->key)
		sim_fail(sim, "%s: a conflict without a key", ask->job);
	if (store_row(sim, ask->job))
		sim_fail(sim, "%s is refused and stored", ask->job);
	add_id(&sim->clients.refused, &sim->clients.refused_count, ask->job);
}

static void cancelled(struct sim *sim, const struct ask *ask, const struct effect *ef)
{
	struct row *row = store_row(sim, ask->job);

	if (ef->error.code == ERR_NOT_FOUND) {
		if (ask->known && !job_state_final(row->facts.state))
			sim_fail(sim, "%s is there and not found", ask->job);
		return;
	}
	if (ef->error.code != ERR_NONE || !row)
		sim_fail(sim, "%s: a strange answer to its cancelling", ask->job);
	if (!ef->cancelled && !job_state_final(row->facts.state))
		sim_fail(sim, "%s: not cancelled, and not finished", ask->job);
	if (ef->cancelled && !row->facts.cancel_requested)
		sim_fail(sim, "%s: its cancelling is promised, not stored", ask->job);
	row->cancel_promised |= ef->cancelled;
}

/* What was granted is stored, and nothing is left of what is forgotten; it may have come
 * back since, and got new runs. */
static void granted(struct sim *sim, const struct ask *ask, const struct effect *ef)
{
	if (ef->error.code == ERR_NOT_FOUND ||
		(ef->error.code == ERR_CONFLICT && ask->wish == WORKER_FORGET))
		return;
	if (ef->error.code != ERR_NONE)
		sim_fail(sim, "%s: a strange answer to its operator", ask->job);
	if (ask->wish != WORKER_FORGET)
		return;
	for (size_t i = 0; i < sim->store.row_count; i++) {
		const struct row *row = sim->store.all[i];

		if (row->facts.leased && row->placed <= ask->issued &&
			!strcmp(row->facts.worker, ask->job))
			sim_fail(sim, "%s is leased on %s, which was forgotten", row->id,
				ask->job);
	}
}

void client_answer(struct sim *sim, const struct effect *ef)
{
	struct ask *ask = ask_of(sim, ef->token);

	if (ask->answered)
		sim_fail(sim, "%s: answered twice", ask->job);
	ask->answered = true;
	sim_trace(sim, "answer %s: %s %s", ask->job, err_code_name(ef->error.code),
		ef->error.text);
	if (ask->operates)
		granted(sim, ask, ef);
	else if (ask->cancel)
		cancelled(sim, ask, ef);
	else if (ef->error.code == ERR_NONE)
		accepted(sim, ask, ef);
	else
		refused(sim, ask, ef);
}

void clients_crash(struct sim *sim)
{
	/* Who got no answer does not know; who used a key will ask again in time. */
	sim->clients.count = 0;
}

void clients_check_end(struct sim *sim)
{
	struct clients *cl = &sim->clients;

	for (size_t i = 0; i < cl->count; i++)
		if (!cl->asks[i].answered)
			sim_fail(sim, "%s: never answered", cl->asks[i].job);
	for (size_t i = 0; i < cl->refused_count; i++)
		if (store_row(sim, cl->refused[i]))
			sim_fail(sim, "%s was refused and is stored", cl->refused[i]);
}

void clients_init(struct sim *sim)
{
	sim->clients.to_do = 40 + rng_below(&sim->rng, 200);
	sim_after(sim, rng_time(&sim->rng, 0, 10 * S), on_act);
	sim_after(sim, rng_time(&sim->rng, 1 * S, 400 * S), on_operate);
}

void clients_fini(struct sim *sim)
{
	free(sim->clients.asks);
	free(sim->clients.refused);
	free(sim->clients.accepted);
	free(sim->clients.retired);
}
