/* scheduler.c - which waiting job starts where.
 *
 * In order of submission within priority: best fit of hundredths; whole amounts on
 * entirely free devices of one worker, of the worker that has the fewest of them.  The
 * first job that cannot start gets a reservation: the devices that come free earliest by
 * declared durations.  Later jobs may start on other devices, or where they end before
 * that.  A reservation stays with its job and its devices until the job starts, an
 * earlier one cannot start, or one of the devices is lost.
 *
 * Work: a pass looks at the head of each of the 89 amounts, and at LOOK_AHEAD jobs of an
 * amount where only the reservation is in the way; so it does not grow with the number
 * of waiting jobs.  Devices are found by what is free on them.  Only making a
 * reservation walks all devices, once for each job that gets one.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <string.h>

#include "inside.h"

#define LOOK_AHEAD 16

struct search {
	struct core *c;
	const struct job *job;
	const struct worker *avoid; /* NULL = none */
	bool unreserved;            /* the reserved devices are not for it */
	struct placement *out;
};

static bool is_reserved(const struct core *c, const struct device *d)
{
	for (uint32_t i = 0; i < c->reserved.count; i++)
		if (c->reserved.devices[i] == d)
			return true;
	return false;
}

/* Its last free slot belongs to the reservation too. */
static bool last_slot_reserved(const struct core *c, const struct worker *w)
{
	return c->reserved.count && c->reserved.devices[0]->worker == w &&
	       w->lease_count + w->stray_count + 1 >= w->said.run_slots;
}

static bool allowed(const struct search *s, const struct device *d)
{
	s->c->steps++;
	if (d->worker == s->avoid)
		return false;
	return !s->unreserved ||
	       !(is_reserved(s->c, d) || last_slot_reserved(s->c, d->worker));
}

static bool take_whole(const struct search *s, struct worker *w, uint32_t need)
{
	uint32_t have = 0;

	if (w == s->avoid)
		return false;
	for (size_t i = 0; i < w->device_count && have < need; i++)
		if (device_free(w->devices[i]) == 100 && allowed(s, w->devices[i]))
			s->out->devices[have++] = w->devices[i];
	s->out->worker = w;
	s->out->count = have;
	return have == need;
}

static bool find_whole(const struct search *s, uint32_t need)
{
	for (size_t n = need; n <= WORKER_DEVICES_MAX; n++)
		list_each(it,
			&s->c->fleet.whole[n]) if (take_whole(s,
							   list_entry(it, struct worker,
								   by_whole),
							   need)) return true;
	return false;
}

static bool find_part(const struct search *s, uint32_t hundredths)
{
	for (size_t room = hundredths; room < 100; room++) {
		list_each(it, &s->c->fleet.part[room])
		{
			struct device *d = list_entry(it, struct device, by_free);

			if (!allowed(s, d))
				continue;
			*s->out = (struct placement){ d->worker, { d }, 1 };
			return true;
		}
	}
	return find_whole(s, 1);
}

static bool find(const struct search *s)
{
	struct amount a = s->job->submission->amount;

	s->c->steps++;
	return a.hundredths < 100 ? find_part(s, a.hundredths) : find_whole(s, a.devices);
}

/* When a job that starts now is over, by what it declared. */
static int64_t would_end(const struct core *c, const struct job *job)
{
	return c->now.boot_ns + job->submission->duration_s * NS + 2 * c->config.grace_ns;
}

bool scheduler_find(
	struct core *c, const struct job *job, bool reserved, struct placement *out)
{
	struct search s = { c, job, NULL, false, out };

	s.unreserved = reserved && would_end(c, job) > c->reserved.at_ns;
	if (job->retried) {
		s.avoid = fleet_find(&c->fleet, job->facts.worker);
		if (find(&s))
			return true;
		s.avoid = NULL;
	}
	return find(&s);
}

bool scheduler_would_start(struct core *c, const struct job *job, struct placement *out)
{
	bool later = c->reserved.job && queue_before(&c->reserved.job->node, &job->node);

	return scheduler_find(c, job, later, out);
}

/* ---- reservations */

int64_t scheduler_lease_ends(const struct core *c, const struct job *job)
{
	int64_t ends = job->run->ends_ns;

	return ends < c->now.boot_ns ? c->now.boot_ns : ends;
}

int64_t scheduler_lease_ends_latest(const struct core *c, const struct job *job)
{
	int64_t ends = job->facts.state == JOB_CREATING_PARTITION ? job->timer.at_ns
								  : job->run->ends_ns;

	if (job->fresh || job->run->overdue || job_state_final(job->facts.state))
		return NEVER;
	return ends < c->now.boot_ns ? c->now.boot_ns : ends;
}

/* When the device has that much room, were nothing else started on it. */
static int64_t device_ready(const struct core *c, const struct device *d, uint32_t need,
	lease_end_fn *lease_end)
{
	int64_t ends[DEVICE_LEASES];
	uint32_t share[DEVICE_LEASES];
	uint32_t room = device_free(d);
	int64_t at = c->now.boot_ns;

	if (!d->listed || !d->info.healthy || d->info.foreign + need > 100)
		return NEVER;
	for (uint32_t i = 0; i < d->lease_count; i++) {
		int64_t end = lease_end(c, d->leases[i]);
		uint32_t k = i;

		for (; k > 0 && ends[k - 1] > end; k--) {
			ends[k] = ends[k - 1];
			share[k] = share[k - 1];
		}
		ends[k] = end;
		share[k] = d->leases[i]->submission->amount.hundredths;
	}
	for (uint32_t i = 0; room < need; i++) {
		assert(i < d->lease_count); /* without leases there is room */
		room += share[i];
		at = ends[i];
	}
	return at;
}

/* When the worker has a slot for one more run. */
static int64_t slot_ready(
	const struct core *c, const struct worker *w, lease_end_fn *lease_end)
{
	int64_t at = NEVER;

	if (w->lease_count + w->stray_count < w->said.run_slots)
		return c->now.boot_ns;
	list_each(it, &w->leases)
	{
		int64_t end = lease_end(c, list_entry(it, struct run, on_worker)->job);

		if (end < at)
			at = end;
	}
	return at;
}

/* The `devices` devices of this worker that are ready first; at_ns is NEVER when there
 * are not so many. */
static struct reservation reserve_on(
	struct core *c, const struct worker *w, struct amount a, lease_end_fn *lease_end)
{
	struct reservation r = { .at_ns = NEVER };
	int64_t at[JOB_DEVICES_MAX];

	assert(a.devices >= 1 && a.devices <= JOB_DEVICES_MAX);
	for (size_t i = 0; i < w->device_count; i++) {
		int64_t ready = device_ready(c, w->devices[i], a.hundredths, lease_end);
		uint32_t k = r.count < a.devices ? r.count++ : a.devices;

		c->steps++;
		/* Keep the earliest, sorted; the last one falls out when it is full. */
		if (k == a.devices) {
			if (ready >= at[k - 1])
				continue;
			k--;
		}
		for (; k > 0 && at[k - 1] > ready; k--) {
			at[k] = at[k - 1];
			r.devices[k] = r.devices[k - 1];
		}
		at[k] = ready;
		r.devices[k] = w->devices[i];
	}
	if (r.count < a.devices)
		return r;

	int64_t slot = slot_ready(c, w, lease_end);
	r.at_ns = at[a.devices - 1] > slot ? at[a.devices - 1] : slot;
	return r;
}

static bool reservation_holds(const struct core *c)
{
	const struct reservation *r = &c->reserved;
	uint32_t need = r->job->submission->amount.hundredths;

	for (uint32_t i = 0; i < r->count; i++) {
		const struct device *d = r->devices[i];

		if (!worker_is_ready(d->worker) || !d->listed || !d->info.healthy ||
			d->info.foreign + need > 100)
			return false;
	}
	return true;
}

struct reservation scheduler_earliest(
	struct core *c, struct amount a, lease_end_fn *lease_end)
{
	struct reservation best = { .at_ns = NEVER };

	for (size_t i = 0; i < c->fleet.count; i++) {
		const struct worker *w = c->fleet.sorted[i];
		struct reservation r;

		if (!worker_is_ready(w))
			continue;
		r = reserve_on(c, w, a, lease_end);
		if (r.at_ns < best.at_ns)
			best = r;
	}
	return best;
}

int64_t scheduler_reserved_latest(struct core *c)
{
	const struct reservation *r = &c->reserved;
	struct amount a = r->job->submission->amount;
	int64_t at = slot_ready(c, r->devices[0]->worker, scheduler_lease_ends_latest);
	int64_t filled = r->at_ns + c->config.setup_limit_ns;

	for (uint32_t i = 0; i < r->count; i++) {
		int64_t ready = device_ready(
			c, r->devices[i], a.hundredths, scheduler_lease_ends_latest);

		at = ready > at ? ready : at;
	}
	return filled > at ? filled : at;
}

/* Give the reservation to the first job that cannot start; false when no devices will
 * ever come free for it as things are. */
static bool reserve(struct core *c, struct job *job)
{
	struct amount a = job->submission->amount;
	uint64_t *in_vain = &c->unreservable[amount_kind(a)];
	struct reservation best;

	if (c->reserved.job == job && reservation_holds(c))
		return true;
	if (*in_vain == c->fleet.epoch + 1)
		return false;
	best = scheduler_earliest(c, a, scheduler_lease_ends);
	if (best.at_ns == NEVER) {
		*in_vain = c->fleet.epoch + 1;
		return false;
	}
	c->reserved = best;
	c->reserved.job = job;
	return true;
}

void scheduler_forget(struct core *c, const struct job *job)
{
	if (c->reserved.job == job)
		c->reserved = (struct reservation){ 0 };
}

/* ---- a pass */

static struct job *job_of(struct queue_node *node)
{
	return node ? list_entry(node, struct job, node) : NULL;
}

void scheduler_run(struct core *c)
{
	struct queue_node *heads[AMOUNT_KINDS];
	uint32_t looked[AMOUNT_KINDS] = { 0 };
	struct placement at;
	bool reserved = false;
	size_t k;

	for (k = 0; k < AMOUNT_KINDS; k++)
		heads[k] = queue_next(&c->queue, k, NULL);
	while ((k = queue_first_kind(heads)) < AMOUNT_KINDS) {
		struct job *job = job_of(heads[k]);
		bool only_reserved = false;

		heads[k] = queue_next(&c->queue, k, heads[k]);
		c->steps++;
		if (scheduler_find(c, job, reserved, &at)) {
			job_place(c, job, &at);
			continue;
		}
		if (reserved)
			only_reserved = scheduler_find(c, job, false, &at);
		else
			reserved = reserve(c, job);
		if (!only_reserved || ++looked[k] >= LOOK_AHEAD)
			heads[k] = NULL;
	}
	if (!reserved)
		c->reserved = (struct reservation){ 0 };
}
