/* test_chronos_account.c - what a partition may still have of a device, step by step. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "account.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define MS(n)      (UINT64_C(1000000) * (n))
#define SECONDS(n) (UINT64_C(1000000000) * (n))

static struct seat open_half(uint64_t now_ns)
{
	struct seat s = { .hundredths = 50 };

	account_open(&s, now_ns);
	return s;
}

static bool may_have_a_turn(struct seat *s, uint64_t now_ns)
{
	account_refill(s, now_ns);
	return !s->exhausted;
}

static void a_debt_is_paid_by_waiting_for_a_turn_and_by_being_away(void **state)
{
	(void)state;
	struct seat waits = open_half(0), away = open_half(0);

	/* Ten seconds of the device, which half of it pays for in twenty. */
	account_charge(&waits, SECONDS(10), false, SECONDS(10));
	account_charge(&away, SECONDS(10), false, SECONDS(10));
	for (uint64_t at_ns = SECONDS(10); at_ns < SECONDS(20) - MS(20); at_ns += MS(10))
		assert_false(may_have_a_turn(&waits, at_ns));
	assert_true(account_wait_ns(&waits) <= MS(50));
	assert_true(may_have_a_turn(&waits, SECONDS(20)));
	assert_true(may_have_a_turn(&away, SECONDS(3600)));
	/* And has saved no more than anybody else. */
	assert_true(away.budget_ns == (int64_t)(LEASE_CREDIT_NS / 2));
}

static void a_debt_is_never_deeper_than_its_floor(void **state)
{
	(void)state;
	struct seat s = open_half(0);

	/* An hour in flight, told every ten milliseconds, and then once more at once. */
	for (uint64_t at_ns = MS(10); at_ns <= SECONDS(3600); at_ns += MS(10))
		account_charge(&s, MS(10), false, at_ns);
	account_charge(&s, SECONDS(3600), false, SECONDS(7200));
	assert_true(s.budget_ns == -(int64_t)LEASE_DEBT_NS);
	account_charge(&s, UINT64_MAX, false, SECONDS(7200));
	assert_true(s.budget_ns == -(int64_t)LEASE_DEBT_NS);
	assert_false(may_have_a_turn(&s, SECONDS(7200) + 2 * LEASE_DEBT_NS - SECONDS(1)));
	assert_true(may_have_a_turn(&s, SECONDS(7200) + 2 * LEASE_DEBT_NS + MS(10)));
}

static void what_is_borrowed_costs_nothing(void **state)
{
	(void)state;
	struct seat s = open_half(0);
	const struct seat before = s;

	account_charge(&s, SECONDS(10), true, SECONDS(10));
	assert_true(s.budget_ns == before.budget_ns && s.virtual_ns == before.virtual_ns);
}

static void an_overrun_is_counted_once_however_often_it_is_looked_at(void **state)
{
	(void)state;
	const uint64_t end_ns = SECONDS(1);
	const uint64_t steps[] = { MS(1), MS(7), MS(100), SECONDS(2) };

	for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
		struct seat s = open_half(0);
		for (uint64_t at_ns = MS(990); at_ns < SECONDS(2); at_ns += steps[i]) {
			uint64_t next_ns = at_ns + steps[i];
			if (next_ns > SECONDS(2))
				next_ns = SECONDS(2);
			account_overrun(&s, at_ns, next_ns, end_ns);
		}
		assert_int_equal(s.overruns, 1);
		assert_true(s.overrun_ns == SECONDS(1));
	}
}

static void what_is_over_within_the_grace_is_no_overrun(void **state)
{
	(void)state;
	struct seat s = open_half(0);

	account_overrun(&s, MS(1), MS(10), MS(10));
	account_overrun(&s, MS(1), MS(10) + LEASE_GRACE_NS, MS(10));
	account_overrun(&s, MS(10) + 1, MS(10) + LEASE_GRACE_NS, MS(10));
	assert_int_equal(s.overruns, 0);
	assert_int_equal(s.overrun_ns, 0);
}

static void who_comes_after_a_pause_gets_no_turns_for_it(void **state)
{
	(void)state;
	struct seat seats[SHARE_SEATS_MAX] = { 0 };

	for (int i = 0; i < 2; i++) {
		seats[i] = open_half(0);
		seats[i].created_ns = 1;
	}
	for (uint64_t at_ns = MS(10); at_ns <= SECONDS(1); at_ns += MS(10)) {
		account_be_active(seats, &seats[0], at_ns);
		account_charge(&seats[0], MS(5), false, at_ns);
	}
	account_be_active(seats, &seats[1], SECONDS(1));
	assert_true(seats[1].virtual_ns == seats[0].virtual_ns);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_debt_is_paid_by_waiting_for_a_turn_and_by_being_away),
		cmocka_unit_test(a_debt_is_never_deeper_than_its_floor),
		cmocka_unit_test(what_is_borrowed_costs_nothing),
		cmocka_unit_test(
			an_overrun_is_counted_once_however_often_it_is_looked_at),
		cmocka_unit_test(what_is_over_within_the_grace_is_no_overrun),
		cmocka_unit_test(who_comes_after_a_pause_gets_no_turns_for_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
