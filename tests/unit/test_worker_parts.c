/* test_worker_parts.c - user ids, the worker's folder, packages, reports, devices. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backoff.h"
#include "cleanup.h"
#include "devices.h"
#include "distributions.h"
#include "file.h"
#include "home.h"
#include "packages.h"
#include "reports.h"
#include "runfolder.h"
#include "start.h"
#include "str.h"
#include "tail.h"
#include "uids.h"
#include "xalloc.h"

#define ALL_MAPPED "         0          0 4294967295\n"

/* A folder that goes with its test. */
struct place {
	char path[64];
	int fd;
};

static struct place place_make(void)
{
	struct place p = { "/tmp/test-worker-XXXXXX", -1 };

	assert_non_null(mkdtemp(p.path));
	p.fd = open(p.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(p.fd >= 0);
	return p;
}

static void place_remove(struct place *p)
{
	struct err e = { 0 };

	close(p->fd);
	assert_int_equal(tree_remove(AT_FDCWD, p->path, &e), 0);
}

static void put(int dirfd, const char *name, const char *text)
{
	struct err e = { 0 };

	assert_int_equal(file_write(dirfd, name, text, strlen(text), 0644, false, &e), 0);
}

/* ---- uids */

static void ranges_lie_above_everything_in_subuid(void **state)
{
	struct uids u;
	struct err e = { 0 };
	uint32_t base;

	(void)state;
	assert_int_equal(uids_init(&u, 4, "a:100000:65536\nb:1900000000:70000\n",
				 "a:100000:65536", ALL_MAPPED, ALL_MAPPED, &e),
		0);
	assert_int_equal(uids_take(&u, &base, &e), 0);
	assert_true(base >= 1900070000u);
	assert_int_equal(base % UIDS_PER_RUN, 0);
	uids_fini(&u);
}

static void no_range_is_given_twice_until_it_is_released(void **state)
{
	struct uids u;
	struct err e = { 0 };
	uint32_t base[3], more;

	(void)state;
	assert_int_equal(uids_init(&u, 3, "", "", ALL_MAPPED, ALL_MAPPED, &e), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(uids_take(&u, &base[i], &e), 0);
	assert_true(base[0] != base[1] && base[1] != base[2] && base[0] != base[2]);
	assert_int_equal(uids_take(&u, &more, &e), -1);
	assert_int_equal(e.code, ERR_EXHAUSTED);
	uids_release(&u, base[1]);
	assert_int_equal(uids_take(&u, &more, &e), 0);
	assert_int_equal(more, base[1]);
	uids_fini(&u);
}

static void a_range_found_in_a_run_folder_is_not_given_again(void **state)
{
	struct uids u;
	struct err e = { 0 };
	uint32_t base;

	(void)state;
	assert_int_equal(uids_init(&u, 2, "", "", ALL_MAPPED, ALL_MAPPED, &e), 0);
	uids_adopt(&u, u.first);
	uids_adopt(&u, 5); /* of another layout: never handed out anyway */
	assert_int_equal(uids_take(&u, &base, &e), 0);
	assert_int_equal(base, u.first + UIDS_PER_RUN);
	assert_int_equal(uids_take(&u, &base, &e), -1);
	uids_fini(&u);
}

static void ids_that_are_not_mapped_here_are_not_used(void **state)
{
	struct uids u;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(
		uids_init(&u, 4, "", "", "0 100000 65536\n", ALL_MAPPED, &e), -1);
	assert_int_equal(e.code, ERR_EXHAUSTED);
	assert_int_equal(uids_init(&u, 4, "", "", "0 0 65536\n1879048192 0 131072\n",
				 ALL_MAPPED, &e),
		0);
	assert_int_equal(u.count, 2);
	uids_fini(&u);
}

/* ---- backoff */

static void waits_grow_up_to_their_bound_and_start_again(void **state)
{
	struct backoff b = { 100, 5000, 0 };

	(void)state;
	for (int i = 0; i < 50; i++) {
		uint32_t ms = backoff_next_ms(&b, (uint32_t)i * 2654435761u);

		assert_true(ms >= 10 && ms <= b.bound_ms && b.bound_ms <= 5000);
	}
	assert_int_equal(b.bound_ms, 5000);
	backoff_reset(&b);
	assert_true(backoff_next_ms(&b, UINT32_MAX) <= 100);
}

/* ---- home */

static void a_worker_keeps_its_name_and_counts_its_starts(void **state)
{
	struct place p = place_make();
	struct home h;
	struct err e = { 0 };
	char id[ID_SIZE];

	(void)state;
	assert_int_equal(home_open(&h, p.path, &e), 0);
	assert_true(id_valid(h.worker_id, 'w'));
	assert_int_equal(h.process_epoch, 1);
	assert_true(h.rebooted);
	memcpy(id, h.worker_id, sizeof(id));
	home_close(&h);

	assert_int_equal(home_open(&h, p.path, &e), 0);
	assert_string_equal(h.worker_id, id);
	assert_int_equal(h.process_epoch, 2);
	assert_false(h.rebooted);
	home_close(&h);
	place_remove(&p);
}

static void a_second_worker_is_told_the_first_ones_pid(void **state)
{
	struct place p = place_make();
	struct home h, second;
	struct err e = { 0 };
	char pid[32];

	(void)state;
	assert_int_equal(home_open(&h, p.path, &e), 0);
	assert_int_equal(home_open(&second, p.path, &e), -1);
	assert_int_equal(e.code, ERR_CONFLICT);
	str_put(pid, sizeof(pid), "%d", getpid());
	assert_non_null(strstr(e.text, pid));
	home_close(&h);
	place_remove(&p);
}

static void a_lower_epoch_is_refused_also_after_a_restart(void **state)
{
	struct place p = place_make();
	struct home h;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(home_open(&h, p.path, &e), 0);
	assert_int_equal(home_obey(&h, "c-1", 7, &e), 0);
	assert_int_equal(home_obey(&h, "c-1", 7, &e), 0);
	assert_int_equal(home_obey(&h, "c-1", 6, &e), -1);
	assert_int_equal(e.code, ERR_CONFLICT);
	home_close(&h);

	assert_int_equal(home_open(&h, p.path, &e), 0);
	assert_int_equal(home_obey(&h, "c-1", 6, &e), -1);
	assert_int_equal(home_obey(&h, "c-1", 8, &e), 0);
	home_close(&h);
	place_remove(&p);
}

static void another_cluster_is_refused(void **state)
{
	struct place p = place_make();
	struct home h;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(home_open(&h, p.path, &e), 0);
	assert_int_equal(home_obey(&h, "", 1, &e), -1);
	assert_int_equal(home_obey(&h, "c-1", 1, &e), 0);
	assert_int_equal(home_obey(&h, "c-2", 9, &e), -1);
	assert_int_equal(e.code, ERR_CONFLICT);
	assert_int_equal(h.orchestrator_epoch, 1);
	home_close(&h);
	place_remove(&p);
}

static void a_folder_that_others_may_change_is_refused(void **state)
{
	struct place p = place_make();
	struct home h;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(fchmod(p.fd, 0777), 0);
	assert_int_equal(home_open(&h, p.path, &e), -1);
	assert_int_equal(e.code, ERR_DENIED);
	if (geteuid() == 0) {
		assert_int_equal(fchmod(p.fd, 0755), 0);
		assert_int_equal(fchown(p.fd, 1000, 1000), 0);
		assert_int_equal(home_open(&h, p.path, &e), -1);
		assert_int_equal(e.code, ERR_DENIED);
	}
	place_remove(&p);
}

/* ---- packages */

static struct digest add_package(struct packages *p, const char *text)
{
	struct digest d = digest_of(text, strlen(text));
	struct err e = { 0 };
	int64_t have;
	int fd = packages_part_open(p, &d, &have, &e);

	assert_true(fd >= 0);
	assert_int_equal(write_all(fd, text + have, strlen(text) - (size_t)have), 0);
	close(fd);
	assert_int_equal(packages_check_part(packages_fd(p), &d, &e), 0);
	assert_int_equal(packages_keep(p, &d, &e), 0);
	return d;
}

static void a_package_is_there_only_after_its_check(void **state)
{
	struct place p = place_make();
	struct err e = { 0 };
	struct packages *c = packages_open(p.fd, p.path, 1000, false, &e);
	struct digest d = digest_of("hello", 5);
	int64_t have;
	int fd = packages_part_open(c, &d, &have, &e);

	(void)state;
	assert_int_equal(have, 0);
	assert_int_equal(write_all(fd, "hel", 3), 0);
	close(fd);
	assert_false(packages_has(c, &d));
	assert_int_equal(packages_check_part(packages_fd(c), &d, &e), -1);
	assert_int_equal(e.code, ERR_INVALID);

	fd = packages_part_open(c, &d, &have, &e);
	assert_int_equal(have, 3);
	assert_int_equal(write_all(fd, "lo", 2), 0);
	close(fd);
	assert_int_equal(packages_check_part(packages_fd(c), &d, &e), 0);
	assert_int_equal(packages_keep(c, &d, &e), 0);
	assert_true(packages_has(c, &d));
	assert_int_equal(packages_bytes(c), 5);

	CLEANUP(free_ptr) char *path = packages_path_dup(c, &d);
	assert_int_equal(access(path, R_OK), 0);
	packages_close(c);
	place_remove(&p);
}

static void the_longest_unused_package_goes_first_and_pinned_ones_stay(void **state)
{
	struct place p = place_make();
	struct err e = { 0 };
	struct packages *c = packages_open(p.fd, p.path, 10, false, &e);
	struct digest one = add_package(c, "aaaa"), two = add_package(c, "bbbb");

	(void)state;
	packages_pin(c, &one);
	struct digest three = add_package(c, "cccc");
	assert_true(packages_has(c, &one));
	assert_false(packages_has(c, &two));
	assert_true(packages_has(c, &three));

	packages_pin(c, &three);
	struct digest four = add_package(c, "dddd"); /* nobody may go but itself */
	assert_true(packages_has(c, &one) && packages_has(c, &three));
	assert_false(packages_has(c, &four));
	packages_unpin(c, &one);
	packages_unpin(c, &three);
	assert_int_equal(packages_bytes(c), 8);
	packages_close(c);
	place_remove(&p);
}

static void a_restart_keeps_packages_and_a_reboot_checks_them_again(void **state)
{
	struct place p = place_make();
	struct err e = { 0 };
	struct packages *c = packages_open(p.fd, p.path, 100, false, &e);
	struct digest d = add_package(c, "hello");
	int64_t have;

	(void)state;
	packages_close(c);
	c = packages_open(p.fd, p.path, 100, false, &e);
	assert_true(packages_has(c, &d));
	packages_close(c);

	c = packages_open(p.fd, p.path, 100, true, &e);
	assert_false(packages_has(c, &d));
	int fd = packages_part_open(c, &d, &have, &e);
	assert_int_equal(have, 5);
	close(fd);
	assert_int_equal(packages_check_part(packages_fd(c), &d, &e), 0);
	packages_close(c);
	place_remove(&p);
}

static void parts_that_nobody_finishes_are_evicted_too(void **state)
{
	struct place p = place_make();
	struct err e = { 0 };
	struct packages *c = packages_open(p.fd, p.path, 10, false, &e);
	struct digest left = digest_of("left", 4), used = digest_of("used", 4);
	int64_t have;
	int fd = packages_part_open(c, &left, &have, &e);

	(void)state;
	assert_int_equal(write_all(fd, "12345678", 8), 0);
	close(fd);
	packages_close(c);

	/* It counts from the next start on, and goes when room is needed ... */
	c = packages_open(p.fd, p.path, 10, false, &e);
	assert_int_equal(packages_bytes(c), 8);
	add_package(c, "aaaa");
	assert_int_equal(packages_bytes(c), 4);
	fd = packages_part_open(c, &left, &have, &e);
	assert_int_equal(have, 0);
	close(fd);

	/* ... but not while somebody adds to it. */
	packages_pin(c, &used);
	fd = packages_part_open(c, &used, &have, &e);
	assert_int_equal(write_all(fd, "us", 2), 0);
	add_package(c, "bbbb");
	add_package(c, "cccc");
	assert_int_equal(write_all(fd, "ed", 2), 0);
	close(fd);
	assert_int_equal(packages_check_part(packages_fd(c), &used, &e), 0);
	assert_int_equal(packages_keep(c, &used, &e), 0);
	packages_unpin(c, &used);
	assert_true(packages_has(c, &used));
	packages_close(c);
	place_remove(&p);
}

/* ---- reports */

static void reports_go_out_in_order_and_once(void **state)
{
	struct reports r = { .last = 1 };

	(void)state;
	assert_int_equal(reports_next(&r), 1);
	reports_sent(&r, 1);
	assert_int_equal(reports_next(&r), 0);
	reports_found(&r, 3);
	assert_int_equal(reports_next(&r), 2);
	reports_sent(&r, 2);
	assert_int_equal(reports_next(&r), 3);
	reports_sent(&r, 3);
	reports_committed(&r, 2);
	assert_int_equal(reports_next(&r), 0);
}

static void only_what_is_not_committed_is_sent_again(void **state)
{
	struct reports r = { .last = 4, .sent = 4 };

	(void)state;
	reports_committed(&r, 2);
	reports_committed(&r, 1); /* an older word changes nothing */
	reports_send_again(&r);
	assert_int_equal(reports_next(&r), 3);
	reports_committed(&r, 4);
	assert_int_equal(reports_next(&r), 0);
	reports_found(&r, 3); /* nor does a shorter folder */
	assert_int_equal(r.last, 4);
}

/* ---- tail */

static void put_output(int dirfd, const char *text)
{
	struct run_output o;
	struct err e = { 0 };

	assert_int_equal(run_output_open(dirfd, INT64_MAX / 2, &o, &e), 0);
	assert_int_equal(run_output_write(&o, FRAME_STDOUT, text, strlen(text), &e), 0);
	run_output_close(&o);
}

static enum tail_now look_at(
	struct tail *t, int64_t end, int64_t now_ms, struct buf *frames)
{
	enum tail_now what;
	int64_t wait_ms;
	struct err e = { 0 };

	assert_int_equal(tail_next(t, end, now_ms, &what, &wait_ms, frames, &e), 0);
	if (what == TAIL_LATER)
		assert_true(wait_ms > 0 && wait_ms <= TAIL_PACE_MS);
	return what;
}

static void the_first_output_goes_at_once_and_the_next_waits(void **state)
{
	struct place p = place_make();
	struct buf frames = { 0 };
	struct tail t;

	(void)state;
	tail_init(&t, p.fd);
	tail_begin(&t, 0);
	assert_int_equal(look_at(&t, INT64_MAX, 1000, &frames), TAIL_NOTHING);
	put_output(p.fd, "a");
	assert_int_equal(look_at(&t, INT64_MAX, 1000, &frames), TAIL_SEND);
	tail_sent(&t, (int64_t)frames.len, 1000);
	assert_int_equal(look_at(&t, INT64_MAX, 1000, &frames), TAIL_NOTHING);
	put_output(p.fd, "b");
	assert_int_equal(look_at(&t, INT64_MAX, 1010, &frames), TAIL_LATER);
	assert_int_equal(look_at(&t, INT64_MAX, 1000 + TAIL_PACE_MS, &frames), TAIL_SEND);
	buf_fini(&frames);
	place_remove(&p);
}

static void much_output_does_not_wait(void **state)
{
	struct place p = place_make();
	struct buf frames = { 0 };
	CLEANUP(free_ptr) char *text = malloc(TAIL_PIECE + 1);
	struct tail t;

	(void)state;
	tail_init(&t, p.fd);
	tail_begin(&t, 0);
	put_output(p.fd, "a");
	assert_int_equal(look_at(&t, INT64_MAX, 1000, &frames), TAIL_SEND);
	tail_sent(&t, (int64_t)frames.len, 1000);
	memset(text, 'x', TAIL_PIECE);
	text[TAIL_PIECE] = '\0';
	put_output(p.fd, text);
	assert_int_equal(look_at(&t, INT64_MAX, 1001, &frames), TAIL_SEND);
	buf_fini(&frames);
	place_remove(&p);
}

static void nothing_goes_past_the_limit_and_torn_frames_never(void **state)
{
	struct place p = place_make();
	struct buf frames = { 0 };
	struct tail t;

	(void)state;
	tail_init(&t, p.fd);
	tail_begin(&t, 0);
	put_output(p.fd, "a");
	int64_t limit = tail_file_end(&t);
	put_output(p.fd, "b");
	assert_int_equal(look_at(&t, limit, 1000, &frames), TAIL_SEND);
	assert_int_equal(frames.len, limit);
	tail_sent(&t, limit, 1000);
	assert_int_equal(look_at(&t, limit, 2000, &frames), TAIL_NOTHING);

	int fd = openat(p.fd, RUN_FILE_OUTPUT, O_WRONLY | O_CLOEXEC);
	assert_int_equal(ftruncate(fd, 2 * limit - 1), 0);
	close(fd);
	assert_int_equal(look_at(&t, INT64_MAX, 3000, &frames), TAIL_NOTHING);
	buf_fini(&frames);
	place_remove(&p);
}

static void a_new_stream_goes_on_from_what_the_other_side_has(void **state)
{
	struct tail t;

	(void)state;
	tail_init(&t, -1);
	tail_begin(&t, 100);
	assert_int_equal(t.at, 100);
	tail_sent(&t, 50, 1);
	tail_durable(&t, 120);
	assert_int_equal(t.at, 150);
	tail_durable(&t, 400); /* it had more than it said at first */
	assert_int_equal(t.at, 400);
	tail_begin(&t, 60); /* it lost some: a machine without power */
	assert_true(t.at == 60 && t.durable == 60);
}

/* ---- start */

static char uuid[] = "sim-0", other[] = "sim-1";
static char job[] = "j-aaaaaaaaaaaaaaaa";
static char package[] =
	"sha256:0123456789012345678901234567890123456789012345678901234567890123";

static Cumulus__Worker__Start good_start(char **uuids)
{
	Cumulus__Worker__Start m = CUMULUS__WORKER__START__INIT;

	m.job_id = job;
	m.attempt = 1;
	m.package_digest = package;
	m.package_size = 1;
	m.hundredths = 50;
	m.duration = 60;
	m.device_uuids = uuids;
	m.n_device_uuids = 1;
	return m;
}

static void a_start_is_checked_field_by_field(void **state)
{
	struct device list[1] = { 0 };
	struct devices d = { .list = list, .count = 1 };
	char *uuids[] = { uuid, other }, *twice[] = { uuid, uuid };
	Cumulus__Worker__Start m = good_start(uuids);
	Cumulus__Worker__RunLimits limits = CUMULUS__WORKER__RUN_LIMITS__INIT;
	struct err e = { 0 };

	(void)state;
	str_put(list[0].facts.uuid, sizeof(list[0].facts.uuid), "%s", uuid);
	assert_int_equal(start_check(&m, &d, &e), 0);

#define REFUSED(change, want_code, word)                                                 \
	do {                                                                             \
		m = good_start(uuids);                                                   \
		change;                                                                  \
		assert_int_equal(start_check(&m, &d, &e), -1);                           \
		assert_int_equal(e.code, want_code);                                     \
		assert_non_null(strstr(e.text, word));                                   \
	} while (0)
	REFUSED(m.job_id = uuid, ERR_INVALID, "job_id");
	REFUSED(m.attempt = 0, ERR_INVALID, "attempt");
	REFUSED(m.package_digest = uuid, ERR_INVALID, "package_digest");
	REFUSED(m.package_size = 0, ERR_INVALID, "package_size");
	REFUSED(m.hundredths = 0, ERR_INVALID, "hundredths");
	REFUSED(m.duration = 0, ERR_INVALID, "duration");
	REFUSED(m.grace = -1, ERR_INVALID, "grace");
	REFUSED(m.n_device_uuids = 0, ERR_INVALID, "device_uuids");
	REFUSED(m.n_device_uuids = 2, ERR_UNAVAILABLE, other);
	REFUSED((m.device_uuids = twice, m.n_device_uuids = 2), ERR_INVALID, "twice");
	REFUSED((limits.cpus = -1, m.limits = &limits), ERR_INVALID, "limits.cpus");
	REFUSED(m.image = uuid, ERR_UNSUPPORTED, "image");
	REFUSED(m.ticket_required = 1, ERR_UNSUPPORTED, "ticket_required");
#undef REFUSED
}

static void limits_that_are_left_out_come_from_the_machine(void **state)
{
	struct device list[4] = { 0 };
	struct devices d = { .list = list, .count = 4 };
	const struct start_machine machine = { .cpus = 16,
		.memory_bytes = INT64_C(4) << 30 };
	char *uuids[] = { uuid };
	Cumulus__Worker__Start m = good_start(uuids);
	Cumulus__Worker__RunLimits limits = CUMULUS__WORKER__RUN_LIMITS__INIT;

	(void)state;
	limits.pids = 7;
	m.limits = &limits;
	start_fill_limits(&m, &machine, &d);
	assert_true(
		limits.cpus > 1.99 && limits.cpus < 2.01); /* half of a fourth of 16 */
	assert_int_equal(limits.memory_bytes, INT64_C(2) << 30);
	assert_int_equal(limits.pids, 7);
	assert_int_equal(limits.output_bytes, 64 << 20);
	assert_int_equal(m.grace, 3);
	assert_int_equal(m.setup_limit, 600);
}

/* ---- what holds jobs to their shares */

static bool any_run(void *user, const char *name, int32_t attempt)
{
	(void)user;
	(void)name;
	(void)attempt;
	return true;
}

/* A root folder of jobs with the libraries in it, which nobody loads here. */
static void put_libraries(const struct place *p)
{
	struct err e = { 0 };
	CLEANUP(free_ptr) char *path = str_fmt("%s/opt/cumulus/lib", p->path);

	assert_int_equal(dir_make_path(path, 0755, &e), 0);
	CLEANUP(close_fd) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	put(fd, "libchronos-job.so", "");
	put(fd, "libchronos-opencl.so", "");
	put(fd, "libchronos-cuda.so", "");
}

/* What the worker says of its device when the kernel has these regions. */
static const char *enforcement_with(struct devices *d, const char *regions)
{
	struct devices_look look;

	devices_look_begin(d, &look, any_run, NULL);
	devices_look_do(&look);
	assert_int_equal(look.why.code, ERR_NONE);
	free(look.dmem);
	look.dmem = regions ? xstrdup(regions) : NULL;
	d->list[0].changed = false;
	devices_look_end(d, &look, any_run, NULL);
	return d->list[0].enforcement;
}

static void a_device_whose_memory_the_kernel_counts_says_so(void **state)
{
	struct place p = place_make();
	struct chronos_device gpu = { .kind = CHRONOS_KIND_NVIDIA,
		.present = true,
		.uuid = "GPU-1",
		.name = "A GPU",
		.pci = "0000:3b:00.0",
		.memory_bytes = UINT64_C(1) << 30 };
	struct devices d = { .list = xcalloc(1, sizeof(*d.list)), .count = 1 };
	uint64_t wait_ns;

	(void)state;
	d.list[0].facts = gpu;
	d.chronos_dir = str_fmt("%s/chronos", p.path);
	d.chronos = chronos_open(d.chronos_dir, NULL);
	assert_int_equal(chronos_devices_register(d.chronos, &gpu, 1, NULL), 0);
	put_libraries(&p);
	devices_set_root(&d, p.path);
	assert_string_equal(d.list[0].enforcement, "arbitrated: no arbiter serves");

	struct chronos_arbiter *arbiter = chronos_arbiter_open(d.chronos_dir, NULL);
	assert_int_equal(chronos_arbiter_serve(arbiter, &wait_ns, NULL), 0);
	assert_string_equal(enforcement_with(&d, NULL), "arbitrated");
	assert_string_equal(
		enforcement_with(&d, "drm/0000:03:00.0/vram0 1000\n"), "arbitrated");
	assert_string_equal(enforcement_with(&d, "nvidia/0000:3b:00.0/vidmem 1000\n"),
		"arbitrated+dmem");
	assert_true(d.list[0].changed);
	assert_string_equal(enforcement_with(&d, ""), "arbitrated");
	assert_true(d.list[0].changed);
	chronos_arbiter_close(arbiter);
	assert_string_equal(enforcement_with(&d, "nvidia/0000:3b:00.0/vidmem 1000\n"),
		"arbitrated: no arbiter serves");
	devices_close(&d);
	place_remove(&p);
}

/* ---- distributions */

static void names_and_versions_come_from_the_metadata(void **state)
{
	struct place p = place_make();
	struct distributions d = { 0 };

	(void)state;
	assert_int_equal(mkdirat(p.fd, "Foo_Bar-1.0.dist-info", 0755), 0);
	put(p.fd, "baz-2.egg-info", "Metadata-Version: 1.0\nName: baz\nVersion: 2\n");
	int fd =
		openat(p.fd, "Foo_Bar-1.0.dist-info", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	put(fd, "METADATA",
		"Metadata-Version: 2.1\nName: Foo__Bar.x\nVersion:  1.0rc1 \n\nName: "
		"no\n");
	close(fd);
	assert_int_equal(mkdirat(p.fd, "empty-1.dist-info", 0755), 0);
	distributions_add_folder(&d, p.path);
	distributions_add_folder(&d, p.path); /* what is there stays */
	assert_int_equal(d.count, 2);
	assert_string_equal(d.list[0].name, "baz");
	assert_string_equal(d.list[0].version, "2");
	assert_string_equal(d.list[1].name, "foo-bar-x");
	assert_string_equal(d.list[1].version, "1.0rc1");
	distributions_fini(&d);
	place_remove(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ranges_lie_above_everything_in_subuid),
		cmocka_unit_test(no_range_is_given_twice_until_it_is_released),
		cmocka_unit_test(a_range_found_in_a_run_folder_is_not_given_again),
		cmocka_unit_test(ids_that_are_not_mapped_here_are_not_used),
		cmocka_unit_test(waits_grow_up_to_their_bound_and_start_again),
		cmocka_unit_test(a_worker_keeps_its_name_and_counts_its_starts),
		cmocka_unit_test(a_second_worker_is_told_the_first_ones_pid),
		cmocka_unit_test(a_lower_epoch_is_refused_also_after_a_restart),
		cmocka_unit_test(another_cluster_is_refused),
		cmocka_unit_test(a_folder_that_others_may_change_is_refused),
		cmocka_unit_test(a_package_is_there_only_after_its_check),
		cmocka_unit_test(
			the_longest_unused_package_goes_first_and_pinned_ones_stay),
		cmocka_unit_test(a_restart_keeps_packages_and_a_reboot_checks_them_again),
		cmocka_unit_test(parts_that_nobody_finishes_are_evicted_too),
		cmocka_unit_test(reports_go_out_in_order_and_once),
		cmocka_unit_test(only_what_is_not_committed_is_sent_again),
		cmocka_unit_test(the_first_output_goes_at_once_and_the_next_waits),
		cmocka_unit_test(much_output_does_not_wait),
		cmocka_unit_test(nothing_goes_past_the_limit_and_torn_frames_never),
		cmocka_unit_test(a_new_stream_goes_on_from_what_the_other_side_has),
		cmocka_unit_test(a_start_is_checked_field_by_field),
		cmocka_unit_test(limits_that_are_left_out_come_from_the_machine),
		cmocka_unit_test(a_device_whose_memory_the_kernel_counts_says_so),
		cmocka_unit_test(names_and_versions_come_from_the_metadata),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
