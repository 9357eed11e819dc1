/* test_chronos_clocks.c - clocks that jump, and kernels as long as a clock can make them. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The library is linked with the clock_gettime() below: a test moves the clocks, for this
 * process, and passes hours without waiting for them.
 */
#include "test_chronos.h"

#include <sys/syscall.h>

#define MS(n) (UINT64_C(1000000) * (n))

static int64_t wall_jump_ns, boot_jump_ns;
static uint64_t boot_rate = 1; /* seconds of CLOCK_BOOTTIME a second, since ... */
static int64_t boot_since_ns;

static int64_t kernel_clock_ns(clockid_t clock)
{
	struct timespec t;

	syscall(SYS_clock_gettime, clock, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int clock_gettime(clockid_t clock, struct timespec *t)
{
	int64_t ns = kernel_clock_ns(clock);

	if (clock == CLOCK_REALTIME)
		ns += wall_jump_ns;
	if (clock == CLOCK_BOOTTIME)
		ns += boot_jump_ns + (ns - boot_since_ns) * (int64_t)(boot_rate - 1);
	t->tv_sec = (time_t)(ns / 1000000000);
	t->tv_nsec = (long)(ns % 1000000000);
	return 0;
}

static uint64_t boot_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void pass(uint64_t ns)
{
	boot_jump_ns += (int64_t)ns;
}

static void nothing_to_drain(void *arg)
{
	(void)arg;
}

static struct chronos_attachment *join(struct place *t, const struct chronos_partition *p)
{
	const struct chronos_joining j = {
		.dir = t->dir, .name = p->id, .drain = nothing_to_drain
	};
	struct chronos_attachment *a = chronos_attach(&j, &t->e);

	if (!a)
		fail_msg("join: %s", t->e.text);
	return a;
}

static void launch_once(struct place *t, struct chronos_attachment *a)
{
	assert_ok(t, chronos_launch(a, &t->e));
	chronos_launch_done(a, 1);
	chronos_settle(a);
}

static int clocks_as_they_are(void **state)
{
	wall_jump_ns = boot_jump_ns = boot_since_ns = 0;
	boot_rate = 1;
	return two_devices(state);
}

static void a_wall_clock_that_is_set_changes_nothing(void **state)
{
	static const int64_t years[] = { 10, -10, 0, 200, -50 };
	struct place *t = *state;
	struct chronos_partition p, q, now;

	assert_ok(t, create(t, "0", 50, SECONDS(600), "k", &p));
	struct chronos_attachment *a = join(t, &p);
	for (size_t i = 0; i < sizeof years / sizeof *years; i++) {
		wall_jump_ns = years[i] * 365 * 86400 * 1000000000;
		assert_ok(t, chronos_find(t->c, p.id, &now, &t->e));
		assert_true(now.expires_ns == p.expires_ns);
		assert_in_range(now.left_ns, SECONDS(300), SECONDS(600));
		launch_once(t, a);
		assert_ok(t, create(t, "0", 40, SECONDS(600), NULL, &q));
		assert_in_range(q.left_ns, SECONDS(500), SECONDS(600));
		assert_ok(t, chronos_renew(t->c, q.id, SECONDS(900), &q, &t->e));
		assert_ok(t, chronos_release(t->c, q.id, &t->e));
		assert_books_are_right(t, 2);
	}
	chronos_detach(a);
}

/* Who does not launch looks at this clock only every few of the kernel's ticks. */
static void until_noticed(struct chronos_attachment *a)
{
	const struct timespec pause = { 0, 1000000 };

	for (int i = 0; i < 10000 && !chronos_has_ended(a); i++)
		nanosleep(&pause, NULL);
}

static void a_machine_that_slept_ends_what_is_over_and_goes_on_with_the_rest(void **state)
{
	struct place *t = *state;
	struct chronos_partition brief, lasting;

	assert_ok(t, create(t, "0", 50, SECONDS(3600), NULL, &brief));
	assert_ok(t, create(t, "0", 50, SECONDS(86400), NULL, &lasting));
	struct chronos_attachment *a = join(t, &brief), *b = join(t, &lasting);
	launch_once(t, a);
	pass(SECONDS(7200));
	assert_refused(t, CHRONOS_NOT_FOUND, chronos_launch(a, &t->e));
	until_noticed(a);
	assert_refused(t, CHRONOS_NOT_FOUND, chronos_charge(a, 1, &t->e));
	launch_once(t, b);
	assert_int_equal(active(t), 1);
	chronos_detach(a);
	chronos_detach(b);
	assert_int_equal(available(t, "0"), 50);
	assert_books_are_right(t, 2);
}

/* However long it slept, nobody has saved more than a moment of the device. */
static void a_machine_that_slept_gives_nobody_more_than_its_share(void **state)
{
	struct place *t = *state;
	struct chronos_partition p;

	assert_ok(t, create(t, "0", 10, SECONDS(86400), NULL, &p));
	struct chronos_attachment *a = join(t, &p);
	launch_once(t, a);
	pass(SECONDS(36000));
	/* At a tenth of the device, a second of it is paid for after ten. */
	uint64_t begun_ns = boot_ns();
	assert_ok(t, chronos_launch(a, &t->e));
	pass(SECONDS(1));
	chronos_launch_done(a, 1);
	boot_since_ns = kernel_clock_ns(CLOCK_BOOTTIME);
	boot_rate = 100;
	launch_once(t, a);
	assert_true(boot_ns() - begun_ns >= MS(9500));
	chronos_detach(a);
}

static void a_kernel_of_ten_seconds_stops_nobody_and_is_paid_for(void **state)
{
	struct place *t = *state;
	struct chronos_partition p, o;
	struct chronos_usage u;

	assert_ok(t, create(t, "0", 50, SECONDS(86400), NULL, &p));
	assert_ok(t, create(t, "0", 50, SECONDS(86400), NULL, &o));
	struct chronos_attachment *a = join(t, &p), *other = join(t, &o);
	uint64_t begun_ns = boot_ns();
	assert_ok(t, chronos_launch(a, &t->e));
	pass(SECONDS(5));
	/* It is still running. */
	launch_once(t, other);
	pass(SECONDS(5));
	chronos_launch_done(a, 1);
	chronos_settle(a);
	assert_ok(t, chronos_usage(t->c, &p, 0, &u, &t->e));
	assert_in_range(u.time_ns, SECONDS(10), SECONDS(40));
	/* A thousand times as fast from here: at half the device it is even after 20 s. */
	boot_since_ns = kernel_clock_ns(CLOCK_BOOTTIME);
	boot_rate = 1000;
	launch_once(t, other);
	launch_once(t, a);
	assert_true(boot_ns() - begun_ns >= MS(19500));
	chronos_detach(a);
	chronos_detach(other);
}

int main(void)
{
#define with_clocks(test)                                                                \
	cmocka_unit_test_setup_teardown(test, clocks_as_they_are, no_place)
	const struct CMUnitTest tests[] = {
		with_clocks(a_wall_clock_that_is_set_changes_nothing),
		with_clocks(
			a_machine_that_slept_ends_what_is_over_and_goes_on_with_the_rest),
		with_clocks(a_machine_that_slept_gives_nobody_more_than_its_share),
		with_clocks(a_kernel_of_ten_seconds_stops_nobody_and_is_paid_for),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
