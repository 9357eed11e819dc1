/* account.c - what a partition may still have of a device's time, and whose turn is next. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "account.h"

/* More than a day fills any budget; products with a share stay in range. */
#define LONGEST_NS UINT64_C(86400000000000)

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

int64_t account_share_of(const struct seat *s, uint64_t ns)
{
	return (int64_t)(min_u64(ns, LONGEST_NS) * s->hundredths / CHRONOS_WHOLE);
}

void account_open(struct seat *s, uint64_t now_ns)
{
	s->refilled_ns = now_ns;
	s->budget_ns = account_share_of(s, LEASE_QUANTUM_NS);
}

void account_refill(struct seat *s, uint64_t now_ns)
{
	int64_t most = account_share_of(s, LEASE_CREDIT_NS);

	if (now_ns > s->refilled_ns) {
		s->budget_ns += account_share_of(s, now_ns - s->refilled_ns);
		s->refilled_ns = now_ns;
	}
	if (s->budget_ns > most)
		s->budget_ns = most;
	if (s->budget_ns >= account_share_of(s, LEASE_QUANTUM_NS))
		s->exhausted = 0;
}

void account_charge(struct seat *s, uint64_t had_ns, bool borrowed, uint64_t now_ns)
{
	if (borrowed)
		return;
	had_ns = min_u64(had_ns, LONGEST_NS);
	s->virtual_ns += had_ns * CHRONOS_WHOLE / (s->hundredths ? s->hundredths : 1);
	s->budget_ns -= (int64_t)had_ns;
	/* What passed meanwhile pays for a part: the rest is the debt. */
	account_refill(s, now_ns);
	if (s->budget_ns < -(int64_t)LEASE_DEBT_NS)
		s->budget_ns = -(int64_t)LEASE_DEBT_NS;
	if (s->budget_ns <= 0)
		s->exhausted = 1;
}

void account_overrun(
	struct seat *s, uint64_t since_ns, uint64_t until_ns, uint64_t end_ns)
{
	uint64_t grace_ns = end_ns + LEASE_GRACE_NS;

	if (until_ns <= grace_ns || until_ns <= since_ns)
		return;
	/* The one span that crosses the end of the grace brings what was in it, too. */
	bool first = since_ns <= grace_ns;
	__atomic_fetch_add(&s->overruns, first, __ATOMIC_RELAXED);
	__atomic_fetch_add(
		&s->overrun_ns, until_ns - (first ? end_ns : since_ns), __ATOMIC_RELAXED);
}

uint64_t account_wait_ns(const struct seat *s)
{
	int64_t missing = account_share_of(s, LEASE_QUANTUM_NS) - s->budget_ns;

	if (!s->exhausted || missing <= 0)
		return 0;
	return min_u64((uint64_t)missing, LONGEST_NS) * CHRONOS_WHOLE /
	       (s->hundredths ? s->hundredths : 1);
}

void account_be_active(
	struct seat seats[SHARE_SEATS_MAX], struct seat *s, uint64_t now_ns)
{
	uint64_t least = UINT64_MAX;

	if (now_ns > s->active_ns + LEASE_CREDIT_NS) {
		for (uint32_t i = 0; i < SHARE_SEATS_MAX; i++) {
			const struct seat *other = &seats[i];
			if (other != s && other->created_ns &&
				now_ns < other->active_ns + LEASE_CREDIT_NS)
				least = min_u64(least, other->virtual_ns);
		}
		if (least != UINT64_MAX && s->virtual_ns < least)
			s->virtual_ns = least;
	}
	s->active_ns = now_ns;
}
