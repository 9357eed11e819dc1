/* test_chronos_cuda.c - the CUDA layer holds programs to their partition. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The programs are tests/cuda/program.c, with the fake driver of that folder in place of
 * NVIDIA's, which each test gives a device of 1 GiB; the partition is half of it.
 */
#include "test_chronos.h"

#include "fake_driver.h"

#include <errno.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#define MIB ((uint64_t)1 << 20)

enum { DEVICE_MIB = 1024, DEADLINE_MS = 120000 };

struct program {
	pid_t pid;
	int say, hear;
};

/* ---- the world of one test ---- */

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st, (void)kind, (void)ftw;
	(void)remove(path);
	return 0;
}

static int two_gpus(void **state)
{
	struct place *t = malloc(sizeof *t);
	struct chronos_device devices[2] = { 0 };

	place_init(t);
	open_place(t);
	for (unsigned i = 0; i < 2; i++) {
		devices[i].kind = CHRONOS_KIND_NVIDIA;
		devices[i].memory_bytes = DEVICE_MIB * MIB;
		snprintf(devices[i].uuid, sizeof devices[i].uuid,
			"GPU-fa000000-0000-0000-0000-%012x", i);
		snprintf(devices[i].name, sizeof devices[i].name, "Fake GPU");
	}
	assert_ok(t, chronos_devices_register(t->c, devices, 2, &t->e));
	*state = t;
	return 0;
}

static int no_gpus(void **state)
{
	struct place *t = *state;

	chronos_close(t->c);
	nftw(t->base, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(t);
	return 0;
}

static struct chronos_partition share_of(
	struct place *t, const char *devices, uint32_t hundredths)
{
	struct chronos_partition p;

	assert_ok(t, create(t, devices, hundredths, SECONDS(3600), NULL, &p));
	assert_ok(t, chronos_prepare(t->c, p.id, NULL, &t->e));
	return p;
}

static struct chronos_partition half(struct place *t)
{
	return share_of(t, "0", 50);
}

static struct chronos_usage usage(struct place *t, const struct chronos_partition *p)
{
	struct chronos_usage u;

	assert_ok(t, chronos_usage(t->c, p, 0, &u, &t->e));
	return u;
}

/* What the device itself has given out, or has done for a process. */
static const struct fake_state *device_state(struct place *t)
{
	char path[128];

	snprintf(path, sizeof path, "%s/device", t->base);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	void *at = mmap(NULL, sizeof(struct fake_state), PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	assert_true(at != MAP_FAILED);
	return at;
}

static uint64_t ran_ns(const struct fake_state *s, pid_t pid)
{
	for (unsigned i = 0; i < FAKE_PROCESSES_MAX; i++) {
		if (s->processes[i].pid == pid)
			return s->processes[i].ran_ns[0];
	}
	fail_msg("process %d has not been on the device", (int)pid);
	return 0;
}

/* ---- programs ---- */

static void set_up_program(struct place *t, const char *partition)
{
	char text[256];

	setenv("CHRONOS_DIR", t->dir, 1);
	snprintf(text, sizeof text, "%s/device", t->base);
	setenv("FAKE_CUDA_STATE", text, 1);
	setenv("FAKE_CUDA_DEVICES", "3", 1);
	setenv("LD_LIBRARY_PATH", FAKE_CUDA_DIR, 1);
	setenv("LD_PRELOAD", CHRONOS_CUDA, 1);
	/* The layer comes before the sanitizer's library, and its parts live until exit. */
	setenv("ASAN_OPTIONS", "verify_asan_link_order=0:detect_leaks=0", 1);
	if (partition)
		setenv("CHRONOS_PARTITION", partition, 1);
	else
		unsetenv("CHRONOS_PARTITION");
}

static struct program start(struct place *t, const char *scenario, const char *partition)
{
	int in[2], out[2];
	struct program p;

	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	p.pid = fork();
	if (p.pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(in[0], STDIN_FILENO);
		dup2(out[1], STDOUT_FILENO);
		alarm(DEADLINE_MS / 1000);
		set_up_program(t, partition);
		execl(CUDA_PROGRAM, "program", scenario, (char *)NULL);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	p.say = in[1];
	p.hear = out[0];
	return p;
}

static void until_ready(const struct program *p)
{
	struct pollfd ready = { .fd = p->hear, .events = POLLIN };
	char byte;

	assert_int_equal(poll(&ready, 1, DEADLINE_MS), 1);
	assert_int_equal(read(p->hear, &byte, 1), 1);
}

static void go_on(const struct program *p)
{
	assert_int_equal(write(p->say, ".", 1), 1);
}

static int end(struct program *p)
{
	int status;

	close(p->say);
	assert_int_equal(waitpid(p->pid, &status, 0), p->pid);
	close(p->hear);
	return status;
}

static void kill_program(struct program *p)
{
	kill(p->pid, SIGKILL);
	assert_int_equal(waitpid(p->pid, NULL, 0), p->pid);
	close(p->say);
	close(p->hear);
}

static void runs_well(struct place *t, const char *scenario, const char *partition)
{
	struct program p = start(t, scenario, partition);
	int status = end(&p);

	if (status != 0)
		fail_msg("%s: ended with %#x", scenario, (unsigned)status);
}

static const char *const ways[] = { "link", "dlsym", "dlvsym", "next", "getproc",
	"getproc1" };

/* However the program reaches the driver. */
static void runs_well_every_way(struct place *t, const char *scenario)
{
	struct chronos_partition p = half(t);

	for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
		setenv("PROGRAM_REACH", ways[i], 1);
		print_message("             %s\n", ways[i]);
		runs_well(t, scenario, p.id);
		assert_int_equal(usage(t, &p).used_bytes, 0);
	}
	unsetenv("PROGRAM_REACH");
}

/* ---- memory ---- */

static void allocations_stop_exactly_at_the_quota(void **state)
{
	runs_well_every_way(*state, "memory");
}

static void arrays_are_charged_by_their_extent(void **state)
{
	runs_well_every_way(*state, "arrays");
}

static void physical_memory_lives_while_a_handle_or_mapping_is_left(void **state)
{
	runs_well_every_way(*state, "physical");
}

static void a_pool_is_charged_what_it_reserves(void **state)
{
	runs_well_every_way(*state, "pools");
}

static void graphs_are_charged_the_memory_that_they_take(void **state)
{
	runs_well_every_way(*state, "graph memory");
	runs_well_every_way(*state, "graph memory is refused");
}

static void a_pool_is_charged_where_its_memory_is_and_while_it_is_there(void **state)
{
	struct place *t = *state;
	struct chronos_partition p = share_of(t, "0,1", 50);

	setenv("CHRONOS_DEVICE", "0,1", 1);
	runs_well(t, "pools elsewhere", p.id);
	unsetenv("CHRONOS_DEVICE");
}

static void a_context_is_charged_and_takes_its_memory_with_it(void **state)
{
	runs_well_every_way(*state, "contexts");
}

static void parts_of_a_device_share_its_primary_context(void **state)
{
	runs_well_every_way(*state, "parts");
}

static void what_the_driver_refuses_is_not_charged(void **state)
{
	runs_well_every_way(*state, "fails");
}

static void what_cannot_be_charged_is_refused(void **state)
{
	struct chronos_partition p = half(*state);

	runs_well(*state, "uncharged", p.id);
	assert_int_equal(usage(*state, &p).used_bytes, 0);
}

static void two_programs_of_a_partition_share_its_quota(void **state)
{
	struct place *t = *state;
	struct chronos_partition p = half(t);
	struct program holder = start(t, "hold half", p.id);

	until_ready(&holder);
	assert_int_equal(usage(t, &p).used_bytes, DEVICE_MIB / 4 * MIB);
	runs_well(t, "half is left", p.id);
	assert_int_equal(end(&holder), 0);
	runs_well(t, "all is left", p.id);
}

static void a_killed_program_gives_its_memory_back(void **state)
{
	struct place *t = *state;
	struct chronos_partition p = half(t);
	struct program holder = start(t, "hold half", p.id);

	until_ready(&holder);
	kill_program(&holder);
	runs_well(t, "all is left", p.id);
}

static void each_device_of_a_partition_has_its_own_quota(void **state)
{
	struct place *t = *state;
	struct chronos_partition p = share_of(t, "0,1", 50);

	setenv("CHRONOS_DEVICE", "0,1", 1);
	runs_well(t, "two devices", p.id);
	setenv("CHRONOS_DEVICE", "1,0", 1);
	setenv("CHRONOS_DEVICE_UUID",
		"GPU-fa000000-0000-0000-0000-000000000001,"
		"GPU-fa000000-0000-0000-0000-000000000000",
		1);
	runs_well(t, "two devices", p.id);
	unsetenv("CHRONOS_DEVICE_UUID");
	setenv("CHRONOS_DEVICE", "0,nonsense", 1);
	runs_well(t, "refused", p.id);
	unsetenv("CHRONOS_DEVICE");
}

static void a_program_is_shown_its_share_by_nvml(void **state)
{
	struct place *t = *state;
	struct chronos_partition p = half(t);
	struct program other = start(t, "hold half", p.id);

	until_ready(&other);
	kill_program(&other);
	runs_well(t, "nvml", p.id);
}

/* Its uuid is a MIG one, which CUDA does not say. */
static void an_instance_that_the_hardware_cut_off_is_charged_its_contexts_too(
	void **state)
{
	struct place *t = *state;
	struct chronos_partition p = half(t);
	const struct fake_state split = {
		.devices = 3, .device_bytes = DEVICE_MIB * MIB, .split = 1
	};
	char path[128];

	snprintf(path, sizeof path, "%s/device", t->base);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, &split, sizeof split), sizeof split);
	close(fd);
	runs_well(t, "memory", p.id);
	runs_well(t, "parts", p.id);
}

/* ---- launches ---- */

static void launches_are_counted_and_waits_end_them(void **state)
{
	struct place *t = *state;

	runs_well_every_way(t, "launches");
}

static void a_program_that_never_waits_is_held_too(void **state)
{
	struct place *t = *state;
	struct chronos_partition p = half(t);

	runs_well(t, "launches ahead", p.id);
	/* 300 ms of work, of which the last is not waited for. */
	assert_true(usage(t, &p).time_ns > 150000000);
}

static void threads_may_do_all_of_it_at_once(void **state)
{
	struct place *t = *state;
	struct chronos_partition p = half(t);

	runs_well(t, "threads", p.id);
	assert_int_equal(usage(t, &p).used_bytes, 0);
}

static void an_event_speaks_only_of_what_it_was_last_recorded_behind(void **state)
{
	struct place *t = *state;
	struct chronos_partition p = share_of(t, "0,1", 50);

	setenv("CHRONOS_DEVICE", "0,1", 1);
	runs_well(t, "events that say nothing", p.id);
	unsetenv("CHRONOS_DEVICE");
	/* 800 ms of work, all of it waited for. */
	assert_true(usage(t, &p).time_ns > 600000000);
}

static void a_capture_is_never_disturbed(void **state)
{
	struct place *t = *state;
	struct chronos_partition p = half(t), whole = share_of(t, "1", 100);

	runs_well(t, "captures", p.id);
	runs_well(t, "captures beside threads", p.id);
	runs_well(t, "captures go on", p.id);
	(void)whole;
}

struct workload {
	uint32_t hundredths;
	const char *us; /* of a kernel */
	bool waits;
};

/* Both for two seconds; what each got of the device's time, in thousandths of it. */
static void compare(struct place *t, const struct workload w[2], uint64_t got[2])
{
	struct chronos_partition p[2];
	struct program program[2];
	uint64_t sum;

	setenv("PROGRAM_MS", "2000", 1);
	for (int i = 0; i < 2; i++) {
		p[i] = share_of(t, "0", w[i].hundredths);
		setenv("PROGRAM_US", w[i].us, 1);
		if (w[i].waits)
			setenv("PROGRAM_WAITS", "1", 1);
		else
			unsetenv("PROGRAM_WAITS");
		program[i] = start(t, "work", p[i].id);
		until_ready(&program[i]);
	}
	go_on(&program[0]);
	go_on(&program[1]);
	const struct fake_state *device = device_state(t);
	for (int i = 0; i < 2; i++)
		until_ready(&program[i]);
	for (int i = 0; i < 2; i++)
		got[i] = ran_ns(device, program[i].pid);
	for (int i = 0; i < 2; i++)
		assert_int_equal(end(&program[i]), 0);
	munmap((void *)(uintptr_t)device, sizeof *device);
	sum = got[0] + got[1];
	for (int i = 0; i < 2; i++)
		got[i] = got[i] * 1000 / sum;
	for (int i = 0; i < 2; i++)
		assert_ok(t, chronos_release(t->c, p[i].id, &t->e));
	print_message("             %d : %d\n", (int)got[0], (int)got[1]);
}

static void shares_of_the_time_are_kept(void **state)
{
	const struct workload waiting[2] = { { 70, "1000", true }, { 30, "5000", true } };
	const struct workload ahead[2] = { { 70, "1000", false }, { 30, "3000", false } };
	uint64_t got[2];

	/* The machine may be busy with other things: what is tested is that the one with
	 * the long kernels does not get the most, as it would. */
	compare(*state, waiting, got);
	assert_in_range(got[0], 600, 800);
	compare(*state, ahead, got);
	assert_in_range(got[0], 600, 800);
}

static void after_the_end_everything_is_refused(void **state)
{
	struct place *t = *state;
	const uint32_t shares[] = { 50, 100 };

	for (int i = 0; i < 2; i++) {
		struct chronos_partition p = share_of(t, "0", shares[i]);
		struct program program = start(t, "end", p.id);
		until_ready(&program);
		assert_ok(t, chronos_release(t->c, p.id, &t->e));
		assert_int_equal(end(&program), 0);
		runs_well(t, "refused", p.id);
	}
}

/* ---- processes ---- */

static void a_forked_child_disturbs_nothing_of_its_parent(void **state)
{
	struct place *t = *state;
	struct chronos_partition p = half(t);

	runs_well(t, "fork and die", p.id);
	runs_well(t, "fork beside threads", p.id);
	runs_well(t, "fork early", p.id);
	runs_well(t, "exec again", p.id);
}

static void without_a_partition_nothing_is_changed(void **state)
{
	for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
		setenv("PROGRAM_REACH", ways[i], 1);
		runs_well(*state, "nothing is held", NULL);
	}
	unsetenv("PROGRAM_REACH");
}

static void where_the_partition_cannot_be_joined_everything_is_refused(void **state)
{
	runs_well(*state, "refused", "p-00000000");
}

/* ---- requests ---- */

static void every_request_of_the_runtime_is_answered_rightly(void **state)
{
	struct place *t = *state;
	struct chronos_partition p = half(t);
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		int fd = open(RUNTIME_REQUESTS, O_RDONLY);
		dup2(fd, STDIN_FILENO);
		set_up_program(t, p.id);
		execl(CUDA_PROGRAM, "program", "requests", (char *)NULL);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* The shell of a job is preloaded too. */
static void a_program_without_cuda_sees_nothing_of_it(void **state)
{
	struct place *t = *state;
	struct chronos_partition p = half(t);
	char line[1024];

	snprintf(line, sizeof line,
		"export CHRONOS_DIR=%s CHRONOS_PARTITION=%s LD_PRELOAD=%s; "
		"out=$(sh -c 'echo hello; ls /proc/self/task | wc -l; "
		"grep -c -e chronos/ -e libcuda /proc/self/maps') || true; "
		"[ \"$out\" = \"$(printf 'hello\\n1\\n0')\" ] || { echo \"$out\"; false; }",
		t->dir, p.id, CHRONOS_CUDA_PLAIN);
	assert_int_equal(system(line), 0);
	assert_int_equal(usage(t, &p).clients, 0);
	snprintf(line, sizeof line,
		"CHRONOS_DIR=%s CHRONOS_PARTITION=%s LD_PRELOAD=%s /usr/bin/python3 -c '"
		"import ctypes\n"
		"me = ctypes.CDLL(None)\n"
		"me.printf\n"
		"try:\n"
		"    me.cuInit\n"
		"except AttributeError as e:\n"
		"    assert \"cuInit\" in str(e), e\n"
		"else:\n"
		"    raise SystemExit(\"there is no driver\")\n"
		"'",
		t->dir, p.id, CHRONOS_CUDA_PLAIN);
	assert_int_equal(system(line), 0);
}

#define sentence(f) cmocka_unit_test_setup_teardown(f, two_gpus, no_gpus)

int main(void)
{
	const struct CMUnitTest tests[] = {
		sentence(allocations_stop_exactly_at_the_quota),
		sentence(arrays_are_charged_by_their_extent),
		sentence(physical_memory_lives_while_a_handle_or_mapping_is_left),
		sentence(a_pool_is_charged_what_it_reserves),
		sentence(a_pool_is_charged_where_its_memory_is_and_while_it_is_there),
		sentence(graphs_are_charged_the_memory_that_they_take),
		sentence(a_context_is_charged_and_takes_its_memory_with_it),
		sentence(parts_of_a_device_share_its_primary_context),
		sentence(what_the_driver_refuses_is_not_charged),
		sentence(what_cannot_be_charged_is_refused),
		sentence(two_programs_of_a_partition_share_its_quota),
		sentence(a_killed_program_gives_its_memory_back),
		sentence(each_device_of_a_partition_has_its_own_quota),
		sentence(a_program_is_shown_its_share_by_nvml),
		sentence(
			an_instance_that_the_hardware_cut_off_is_charged_its_contexts_too),
		sentence(launches_are_counted_and_waits_end_them),
		sentence(a_program_that_never_waits_is_held_too),
		sentence(threads_may_do_all_of_it_at_once),
		sentence(an_event_speaks_only_of_what_it_was_last_recorded_behind),
		sentence(a_capture_is_never_disturbed),
		sentence(shares_of_the_time_are_kept),
		sentence(after_the_end_everything_is_refused),
		sentence(a_forked_child_disturbs_nothing_of_its_parent),
		sentence(without_a_partition_nothing_is_changed),
		sentence(where_the_partition_cannot_be_joined_everything_is_refused),
		sentence(every_request_of_the_runtime_is_answered_rightly),
		sentence(a_program_without_cuda_sees_nothing_of_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
