/* test_chronos.c - partitions are granted, renewed, expire and go as promised. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "test_chronos.h"

/* ---- amounts ---- */

static void shares_are_decimal_text_of_two_places(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		uint32_t hundredths;
	} good[] = { { "0.5", 50 }, { ".25", 25 }, { "1", 100 }, { "1.0", 100 },
		{ "1.00", 100 }, { "0.01", 1 }, { "0.99", 99 }, { ".1", 10 } };

	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		uint32_t h = 0;
		assert_int_equal(chronos_share_parse(good[i].text, &h, NULL), 0);
		assert_int_equal(h, good[i].hundredths);
	}
}

static void anything_else_is_no_share(void **state)
{
	(void)state;
	static const char *const bad[] = { "0.5x", "nan", "1e0", "0.105", "0", "1.01",
		"-1", "", ".", "1.", "0.", "00.5", "+0.5", " 0.5", "0.5 ", "2", "0.0",
		"0.00", "inf", "0x1", "0,5", "1.000", "10", "..5", "0.5.5", "½" };

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct chronos_error e = { 0 };
		uint32_t h = 77;
		assert_int_equal(chronos_share_parse(bad[i], &h, &e), -1);
		assert_int_equal(e.code, CHRONOS_INVALID);
		assert_int_equal(h, 77);
	}
}

static void bytes_of_a_share_lose_nothing_on_the_way(void **state)
{
	(void)state;
	/* Dividing first would give 255.99 MiB here, and overflow there. */
	assert_int_equal(
		chronos_share_bytes(UINT64_C(512) << 20, 50), UINT64_C(256) << 20);
	assert_int_equal(chronos_share_bytes(1000003, 33), 330000);
	assert_true(chronos_share_bytes(UINT64_MAX, 100) == UINT64_MAX);
}

static void device_specs_are_read_strictly(void **state)
{
	(void)state;
	static const char *const bad[] = { "", "Auto", "simulated",
		"simulated:", "simulated:0", "simulated:65", "simulated:-1",
		"simulated:2x", "auto,none", "simulated:18446744073709551617" };
	struct chronos_device_spec spec;

	assert_int_equal(chronos_devices_parse("auto", &spec, NULL), 0);
	assert_int_equal(spec.source, CHRONOS_DEVICES_AUTO);
	assert_int_equal(chronos_devices_parse("opencl-cpu", &spec, NULL), 0);
	assert_int_equal(spec.source, CHRONOS_DEVICES_OPENCL_CPU);
	assert_int_equal(chronos_devices_parse("none", &spec, NULL), 0);
	assert_int_equal(spec.source, CHRONOS_DEVICES_NONE);
	assert_int_equal(chronos_devices_parse("simulated:64", &spec, NULL), 0);
	assert_int_equal(spec.source, CHRONOS_DEVICES_SIMULATED);
	assert_int_equal(spec.simulated, 64);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(chronos_devices_parse(bad[i], &spec, NULL), -1);
}

/* ---- create and release ---- */

static void a_partition_shows_what_was_asked_for(void **state)
{
	struct place *t = *state;
	struct chronos_partition p, found;

	assert_ok(t, create(t, "0,1", 30, SECONDS(60), "worker.job.1", &p));
	assert_int_equal(strlen(p.id), 10);
	assert_memory_equal(p.id, "p-", 2);
	assert_string_equal(p.key, "worker.job.1");
	assert_int_equal(p.owner, getuid());
	assert_int_equal(p.hundredths, 30);
	assert_int_equal(p.device_count, 2);
	assert_int_equal(p.devices[0], 0);
	assert_int_equal(p.devices[1], 1);
	assert_true(p.left_ns == SECONDS(60));
	assert_true(p.memory_bytes == 2 * chronos_share_bytes(UINT64_C(16) << 30, 30));

	assert_ok(t, chronos_find(t->c, p.id, &found, &t->e));
	assert_string_equal(found.id, p.id);
	assert_true(found.expires_ns == p.expires_ns);
	assert_int_equal(available(t, "0"), 70);
	assert_int_equal(available(t, "simulated-1"), 70);
}

static void a_partition_outlives_its_handle(void **state)
{
	struct place *t = *state;
	struct chronos_partition p;

	assert_ok(t, create(t, "0", 50, SECONDS(60), NULL, &p));
	chronos_close(t->c);
	open_place(t);
	assert_int_equal(available(t, "0"), 50);
	assert_ok(t, chronos_release(t->c, p.id, &t->e));
	assert_int_equal(available(t, "0"), 100);
}

static void a_device_is_never_given_out_beyond_its_whole(void **state)
{
	struct place *t = *state;
	struct chronos_partition p;

	assert_ok(t, create(t, "0", 60, SECONDS(60), NULL, &p));
	assert_refused(t, CHRONOS_EXHAUSTED, create(t, "0", 41, SECONDS(60), NULL, &p));
	assert_non_null(strstr(t->e.text, "available 40%"));
	assert_ok(t, create(t, "0", 40, SECONDS(60), NULL, &p));
	assert_refused(t, CHRONOS_EXHAUSTED, create(t, "0", 1, SECONDS(60), NULL, &p));
	assert_books_are_right(t, 2);
}

static void several_devices_are_taken_all_or_none(void **state)
{
	struct place *t = *state;
	struct chronos_partition p, both;

	assert_ok(t, create(t, "1", 80, SECONDS(60), NULL, &p));
	assert_refused(
		t, CHRONOS_EXHAUSTED, create(t, "0,1", 30, SECONDS(60), NULL, &both));
	assert_int_equal(available(t, "0"), 100);
	assert_ok(t, create(t, "0,1", 20, SECONDS(60), NULL, &both));
	assert_int_equal(available(t, "0"), 80);
	assert_int_equal(available(t, "1"), 0);
	assert_ok(t, chronos_release(t->c, both.id, &t->e));
	assert_int_equal(available(t, "0"), 100);
	assert_int_equal(available(t, "1"), 20);
}

static void wrong_requests_are_refused_by_name(void **state)
{
	struct place *t = *state;
	struct chronos_partition p;
	const char *twice[] = { "0", "simulated-0" };
	const char *unknown[] = { "2" };
	const char *none[] = { "" };
	struct chronos_request r = { .devices = twice,
		.device_count = 2,
		.hundredths = 10,
		.duration_ns = SECONDS(1),
		.owner = CHRONOS_OWNER_CALLER };

	assert_refused(t, CHRONOS_INVALID, chronos_create(t->c, &r, &p, NULL, &t->e));
	r.devices = unknown;
	r.device_count = 1;
	assert_refused(t, CHRONOS_NOT_FOUND, chronos_create(t->c, &r, &p, NULL, &t->e));
	r.devices = none;
	assert_refused(t, CHRONOS_NOT_FOUND, chronos_create(t->c, &r, &p, NULL, &t->e));
	r.device_count = 0;
	assert_refused(t, CHRONOS_INVALID, chronos_create(t->c, &r, &p, NULL, &t->e));
	assert_refused(t, CHRONOS_INVALID, create(t, "0", 0, SECONDS(1), NULL, &p));
	assert_refused(t, CHRONOS_INVALID, create(t, "0", 101, SECONDS(1), NULL, &p));
	assert_refused(t, CHRONOS_INVALID, create(t, "0", 10, 0, NULL, &p));
	assert_refused(t, CHRONOS_INVALID,
		create(t, "0", 10, CHRONOS_DURATION_MAX_NS + 1, NULL, &p));
	assert_int_equal(active(t), 0);
}

static void the_longest_duration_is_taken(void **state)
{
	struct place *t = *state;
	struct chronos_partition p;

	assert_ok(t, create(t, "0", 10, CHRONOS_DURATION_MAX_NS, NULL, &p));
	assert_true(p.left_ns == CHRONOS_DURATION_MAX_NS);
	assert_int_equal(active(t), 1);
}

/* ---- keys ---- */

static void a_key_makes_create_repeatable(void **state)
{
	struct place *t = *state;
	struct chronos_partition p, again;
	const char *devices[] = { "0" };
	struct chronos_request r = { .key = "w.j.1",
		.devices = devices,
		.device_count = 1,
		.hundredths = 60,
		.duration_ns = SECONDS(60),
		.owner = CHRONOS_OWNER_CALLER };
	bool existed = true;

	assert_ok(t, chronos_create(t->c, &r, &p, &existed, &t->e));
	assert_false(existed);
	r.duration_ns = SECONDS(999);
	assert_ok(t, chronos_create(t->c, &r, &again, &existed, &t->e));
	assert_true(existed);
	assert_string_equal(again.id, p.id);
	assert_true(again.expires_ns == p.expires_ns);
	assert_int_equal(active(t), 1);
}

static void a_key_stands_for_one_request_only(void **state)
{
	struct place *t = *state;
	struct chronos_partition p;

	assert_ok(t, create(t, "0", 30, SECONDS(60), "k", &p));
	assert_refused(t, CHRONOS_CONFLICT, create(t, "0", 31, SECONDS(60), "k", &p));
	assert_refused(t, CHRONOS_CONFLICT, create(t, "1", 30, SECONDS(60), "k", &p));
	assert_refused(t, CHRONOS_CONFLICT, create(t, "0,1", 30, SECONDS(60), "k", &p));
	assert_ok(t, create(t, "0", 30, SECONDS(60), "K", &p));
	assert_int_equal(active(t), 2);
}

static void a_released_key_is_free_again(void **state)
{
	struct place *t = *state;
	struct chronos_partition first, second;

	assert_ok(t, create(t, "0", 30, SECONDS(60), "k", &first));
	assert_ok(t, chronos_release(t->c, "k", &t->e));
	assert_refused(t, CHRONOS_NOT_FOUND, chronos_release(t->c, "k", &t->e));
	assert_ok(t, create(t, "1", 40, SECONDS(60), "k", &second));
	assert_string_not_equal(first.id, second.id);
}

static void keys_are_bounded_and_plain(void **state)
{
	struct place *t = *state;
	struct chronos_partition p;
	char key[CHRONOS_KEY_MAX + 2];

	memset(key, 'k', sizeof key);
	key[CHRONOS_KEY_MAX + 1] = '\0';
	assert_refused(t, CHRONOS_INVALID, create(t, "0", 1, SECONDS(60), key, &p));
	key[CHRONOS_KEY_MAX] = '\0';
	assert_ok(t, create(t, "0", 1, SECONDS(60), key, &p));
	assert_string_equal(p.key, key);
	assert_refused(t, CHRONOS_INVALID, create(t, "0", 1, SECONDS(60), "", &p));
	assert_refused(t, CHRONOS_INVALID, create(t, "0", 1, SECONDS(60), "a b", &p));
	assert_refused(t, CHRONOS_INVALID, create(t, "0", 1, SECONDS(60), "a\n", &p));
	assert_refused(
		t, CHRONOS_INVALID, create(t, "0", 1, SECONDS(60), "\xc3\xa9", &p));
	assert_refused(t, CHRONOS_INVALID, create(t, "0", 1, SECONDS(60), "p-1234", &p));
}

/* ---- ids ---- */

static void a_unique_prefix_of_an_id_is_enough(void **state)
{
	struct place *t = *state;
	struct chronos_partition p;
	char prefix[16];

	assert_ok(t, create(t, "0", 30, SECONDS(60), NULL, &p));
	snprintf(prefix, sizeof prefix, "%.3s", p.id);
	assert_ok(t, chronos_renew(t->c, prefix, SECONDS(70), NULL, &t->e));
	assert_ok(t, chronos_release(t->c, prefix, &t->e));
	assert_int_equal(active(t), 0);
}

static void an_ambiguous_prefix_touches_nothing(void **state)
{
	struct place *t = *state;
	struct chronos_partition p[17];
	char prefix[16] = "";

	/* Of 17 ids two begin with the same digit. */
	for (int i = 0; i < 17; i++) {
		assert_ok(t, create(t, "0", 1, SECONDS(60), NULL, &p[i]));
		for (int j = 0; j < i; j++)
			if (p[j].id[2] == p[i].id[2])
				snprintf(prefix, sizeof prefix, "%.3s", p[i].id);
	}
	assert_refused(t, CHRONOS_CONFLICT, chronos_release(t->c, prefix, &t->e));
	assert_int_equal(active(t), 17);
}

static void what_is_no_id_is_said_to_be_none(void **state)
{
	struct place *t = *state;
	static const char *const bad[] = { "p-", "p-xyz", "p-123456789", "p-12 ",
		"p-1A" };

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_refused(t, CHRONOS_INVALID, chronos_release(t->c, bad[i], &t->e));
	assert_refused(t, CHRONOS_NOT_FOUND, chronos_release(t->c, "", &t->e));
	assert_refused(t, CHRONOS_NOT_FOUND, chronos_release(t->c, "nobody", &t->e));
}

static void ids_of_the_past_are_not_found(void **state)
{
	struct place *t = *state;
	struct chronos_partition p, next;

	assert_ok(t, create(t, "0", 30, SECONDS(60), NULL, &p));
	assert_ok(t, chronos_release(t->c, p.id, &t->e));
	/* It takes the same slot, and not the same id. */
	assert_ok(t, create(t, "0", 30, SECONDS(60), NULL, &next));
	assert_refused(t, CHRONOS_NOT_FOUND, chronos_release(t->c, p.id, &t->e));
	assert_refused(
		t, CHRONOS_NOT_FOUND, chronos_renew(t->c, p.id, SECONDS(1), NULL, &t->e));
	assert_int_equal(active(t), 1);
}

/* ---- time ---- */

static void wait_until_gone(struct place *t, const char *name)
{
	const struct timespec pause = { 0, 1000000 };
	struct chronos_partition p;

	for (int ms = 0; ms < 20000; ms++) {
		if (chronos_find(t->c, name, &p, &t->e) < 0) {
			assert_int_equal(t->e.code, CHRONOS_NOT_FOUND);
			return;
		}
		nanosleep(&pause, NULL);
	}
	fail_msg("%s did not expire", name);
}

static void an_expired_partition_is_gone_for_everyone(void **state)
{
	struct place *t = *state;
	struct chronos_partition p, next;

	assert_ok(t, create(t, "0", 90, SECONDS(1) / 20, "k", &p));
	wait_until_gone(t, p.id);
	assert_int_equal(active(t), 0);
	assert_int_equal(available(t, "0"), 100);
	assert_refused(t, CHRONOS_NOT_FOUND, chronos_release(t->c, p.id, &t->e));
	assert_refused(
		t, CHRONOS_NOT_FOUND, chronos_renew(t->c, "k", SECONDS(9), NULL, &t->e));
	assert_ok(t, create(t, "0", 90, SECONDS(60), "k", &next));
	assert_string_not_equal(p.id, next.id);
}

static void renewal_moves_the_end_later_and_earlier(void **state)
{
	struct place *t = *state;
	struct chronos_partition p, renewed;

	assert_ok(t, create(t, "0", 90, SECONDS(60), NULL, &p));
	assert_ok(t, chronos_renew(t->c, p.id, SECONDS(7200), &renewed, &t->e));
	assert_true(renewed.expires_ns > p.expires_ns);
	assert_true(renewed.left_ns == SECONDS(7200));
	assert_refused(t, CHRONOS_INVALID, chronos_renew(t->c, p.id, 0, NULL, &t->e));
	assert_ok(t, chronos_renew(t->c, p.id, 1, NULL, &t->e));
	wait_until_gone(t, p.id);
}

/* ---- lists ---- */

static void the_list_is_in_order_of_age(void **state)
{
	struct place *t = *state;
	struct chronos_partition p[40], *list;
	size_t n;

	for (int i = 0; i < 40; i++)
		assert_ok(t, create(t, i % 2 ? "1" : "0", 2, SECONDS(60), NULL, &p[i]));
	assert_ok(t, chronos_release(t->c, p[3].id, &t->e));
	assert_ok(t, create(t, "1", 2, SECONDS(60), NULL, &p[3]));
	assert_ok(t, chronos_list(t->c, &list, &n, &t->e));
	assert_int_equal(n, 40);
	for (size_t i = 1; i < n; i++)
		assert_true(list[i - 1].created_ns <= list[i].created_ns);
	assert_string_equal(list[39].id, p[3].id);
	chronos_partitions_free(list);
}

static void stats_say_that_nothing_is_enforced(void **state)
{
	struct place *t = *state;
	struct chronos_partition p;
	struct chronos_stats stats;

	assert_ok(t, create(t, "0", 10, SECONDS(60), NULL, &p));
	assert_refused(t, CHRONOS_EXHAUSTED, create(t, "0", 99, SECONDS(60), NULL, &p));
	assert_ok(t, chronos_stats(t->c, &stats, &t->e));
	assert_string_equal(stats.enforcement, "off");
	assert_string_equal(stats.dir, t->dir);
	assert_int_equal(stats.devices, 2);
	assert_int_equal(stats.partitions, 1);
	assert_int_equal(stats.created, 1);
}

/* ---- devices ---- */

static void simulated_devices_say_what_they_are(void **state)
{
	struct place *t = *state;
	struct chronos_device d[1];
	size_t n;

	assert_ok(t, chronos_devices(t->c, d, 1, &n, &t->e));
	assert_int_equal(n, 2);
	assert_string_equal(d[0].name, "Simulated GPU 0");
	assert_string_equal(d[0].uuid, "simulated-0");
	assert_string_equal(chronos_kind_name(d[0].kind), "simulated");
	assert_true(d[0].memory_bytes == UINT64_C(16) << 30);
	assert_true(d[0].present);
	assert_int_equal(d[0].free_hundredths, 100);
}

static void registering_again_changes_nothing(void **state)
{
	struct place *t = *state;
	struct chronos_device before[2], after[2];
	struct chronos_partition p;
	size_t n;

	assert_ok(t, create(t, "0", 10, SECONDS(60), NULL, &p));
	assert_ok(t, chronos_devices(t->c, before, 2, &n, &t->e));
	register_simulated(t, 2);
	assert_ok(t, chronos_devices(t->c, after, 2, &n, &t->e));
	assert_memory_equal(before, after, sizeof before);
}

static void a_device_that_vanished_keeps_its_place_and_takes_nothing(void **state)
{
	struct place *t = *state;
	struct chronos_device d[3];
	struct chronos_partition p;
	size_t n;

	assert_ok(t, create(t, "1", 10, SECONDS(60), NULL, &p));
	assert_ok(t, chronos_devices(t->c, d, 2, &n, &t->e));
	snprintf(d[1].uuid, sizeof d[1].uuid, "another");
	assert_ok(t, chronos_devices_register(t->c, d, 2, &t->e));

	assert_ok(t, chronos_devices(t->c, d, 3, &n, &t->e));
	assert_int_equal(n, 3);
	assert_string_equal(d[1].uuid, "simulated-1");
	assert_false(d[1].present);
	assert_int_equal(d[1].partitions, 1);
	assert_string_equal(d[2].uuid, "another");
	assert_int_equal(available(t, "1"), 0);
	assert_refused(t, CHRONOS_NOT_FOUND, create(t, "1", 1, SECONDS(60), NULL, &p));
	assert_refused(t, CHRONOS_NOT_FOUND, create(t, "0,1", 1, SECONDS(60), NULL, &p));

	register_simulated(t, 2);
	assert_int_equal(available(t, "1"), 90);
	assert_int_equal(available(t, "2"), 0);
}

static void wrong_devices_are_not_registered(void **state)
{
	struct place *t = *state;
	struct chronos_device d[2];
	size_t n;

	assert_ok(t, chronos_devices(t->c, d, 2, &n, &t->e));
	d[1] = d[0];
	assert_refused(t, CHRONOS_INVALID, chronos_devices_register(t->c, d, 2, &t->e));
	snprintf(d[0].uuid, sizeof d[0].uuid, "7");
	assert_refused(t, CHRONOS_INVALID, chronos_devices_register(t->c, d, 1, &t->e));
	memset(d[0].uuid, 'x', sizeof d[0].uuid);
	assert_refused(t, CHRONOS_INVALID, chronos_devices_register(t->c, d, 1, &t->e));
	snprintf(d[1].pci, sizeof d[1].pci, "../0000:03:00.0");
	assert_refused(
		t, CHRONOS_INVALID, chronos_devices_register(t->c, d + 1, 1, &t->e));
	memset(d[1].pci, '0', sizeof d[1].pci);
	assert_refused(
		t, CHRONOS_INVALID, chronos_devices_register(t->c, d + 1, 1, &t->e));
	d[1].pci[0] = '\0';
	static const char *const wrong[] = { "gi1", "gi1/ci", "gi01/ci0", "gi1/ci0/",
		"gi-1/ci0", "gi1/../ci0", "gi12345/ci0" };
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		snprintf(d[1].instance, sizeof d[1].instance, "%s", wrong[i]);
		assert_refused(t, CHRONOS_INVALID,
			chronos_devices_register(t->c, d + 1, 1, &t->e));
	}
	d[1].instance[0] = '\0';
	d[1].kind = (enum chronos_kind)99;
	assert_refused(
		t, CHRONOS_INVALID, chronos_devices_register(t->c, d + 1, 1, &t->e));
	assert_int_equal(available(t, "1"), 100);
}

static void the_table_of_devices_can_fill_up(void **state)
{
	struct place *t = *state;
	struct chronos_device d[1];
	size_t n;

	register_simulated(t, 64);
	assert_ok(t, chronos_devices(t->c, d, 1, &n, &t->e));
	snprintf(d[0].uuid, sizeof d[0].uuid, "one-more");
	assert_refused(t, CHRONOS_EXHAUSTED, chronos_devices_register(t->c, d, 1, &t->e));
	assert_int_equal(available(t, "63"), 100);
}

static void every_device_holds_a_hundred_hundredths(void **state)
{
	struct place *t = *state;
	struct chronos_partition p;
	char name[16];
	const char *devices[] = { name };
	struct chronos_request r = { .devices = devices,
		.device_count = 1,
		.hundredths = 1,
		.duration_ns = SECONDS(600),
		.owner = CHRONOS_OWNER_CALLER };

	register_simulated(t, 64);
	for (int i = 0; i < 6400; i++) {
		snprintf(name, sizeof name, "%d", i % 64);
		assert_ok(t, chronos_create(t->c, &r, &p, NULL, &t->e));
	}
	assert_refused(t, CHRONOS_EXHAUSTED, chronos_create(t->c, &r, &p, NULL, &t->e));
	assert_int_equal(active(t), 6400);
	assert_books_are_right(t, 64);
	assert_ok(t, chronos_release(t->c, p.id, &t->e));
	assert_ok(t, chronos_create(t->c, &r, &p, NULL, &t->e));
}

/* ---- owners ---- */

static void another_users_partition_is_not_ones_own(void **state)
{
	struct place *t = *state;
	const char *devices[] = { "0" };
	struct chronos_request r = { .devices = devices,
		.device_count = 1,
		.hundredths = 10,
		.key = "k",
		.duration_ns = SECONDS(60),
		.owner = 4242 };
	struct chronos_partition p;
	int status;

	if (getuid() != 0) {
		/* Only root can become somebody else, so this is all there is to see. */
		assert_refused(
			t, CHRONOS_DENIED, chronos_create(t->c, &r, &p, NULL, &t->e));
		return;
	}
	assert_ok(t, chronos_create(t->c, &r, &p, NULL, &t->e));
	assert_int_equal(p.owner, 4242);
	pid_t child = fork();
	if (child == 0) {
		/* The handle is inherited: what counts is who acts. */
		bool right = setuid(4343) == 0 &&
			     chronos_release(t->c, "k", &t->e) == -1 &&
			     t->e.code == CHRONOS_DENIED &&
			     chronos_renew(t->c, "k", 1, NULL, &t->e) == -1 &&
			     t->e.code == CHRONOS_DENIED &&
			     create(t, "0", 10, SECONDS(1), "k", &p) == -1 &&
			     t->e.code == CHRONOS_CONFLICT &&
			     chronos_create(t->c, &r, &p, NULL, &t->e) == -1 &&
			     t->e.code == CHRONOS_DENIED &&
			     chronos_devices_register(t->c, NULL, 0, &t->e) == -1 &&
			     t->e.code == CHRONOS_DENIED &&
			     chronos_find(t->c, "k", &p, &t->e) == 0;
		_exit(right ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_ok(t, chronos_release(t->c, "k", &t->e));
}

int main(void)
{
#define with_devices(test) cmocka_unit_test_setup_teardown(test, two_devices, no_place)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shares_are_decimal_text_of_two_places),
		cmocka_unit_test(anything_else_is_no_share),
		cmocka_unit_test(bytes_of_a_share_lose_nothing_on_the_way),
		cmocka_unit_test(device_specs_are_read_strictly),
		with_devices(a_partition_shows_what_was_asked_for),
		with_devices(a_partition_outlives_its_handle),
		with_devices(a_device_is_never_given_out_beyond_its_whole),
		with_devices(several_devices_are_taken_all_or_none),
		with_devices(wrong_requests_are_refused_by_name),
		with_devices(the_longest_duration_is_taken),
		with_devices(a_key_makes_create_repeatable),
		with_devices(a_key_stands_for_one_request_only),
		with_devices(a_released_key_is_free_again),
		with_devices(keys_are_bounded_and_plain),
		with_devices(a_unique_prefix_of_an_id_is_enough),
		with_devices(an_ambiguous_prefix_touches_nothing),
		with_devices(what_is_no_id_is_said_to_be_none),
		with_devices(ids_of_the_past_are_not_found),
		with_devices(an_expired_partition_is_gone_for_everyone),
		with_devices(renewal_moves_the_end_later_and_earlier),
		with_devices(the_list_is_in_order_of_age),
		with_devices(stats_say_that_nothing_is_enforced),
		with_devices(simulated_devices_say_what_they_are),
		with_devices(registering_again_changes_nothing),
		with_devices(a_device_that_vanished_keeps_its_place_and_takes_nothing),
		with_devices(wrong_devices_are_not_registered),
		with_devices(the_table_of_devices_can_fill_up),
		with_devices(every_device_holds_a_hundred_hundredths),
		with_devices(another_users_partition_is_not_ones_own),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
