/* test_chronos_opencl.c - the OpenCL layer holds real programs to their partition. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The test starts itself again as the program that uses OpenCL (PoCL, on the processor),
 * with a scenario's name as its argument, so that it can be killed and loads the layer as
 * any program does.
 */
#define CL_TARGET_OPENCL_VERSION 300
#define CL_USE_DEPRECATED_OPENCL_1_2_APIS
#include "test_chronos.h"

#include <CL/cl.h>

#include <errno.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>

#define MIB ((size_t)1 << 20)

enum {
	QUOTA_MIB = 32, /* half of the device that is registered */
	DEADLINE_MS = 120000,
};

/* ---- the program ---- */

static struct {
	cl_device_id device;
	cl_context context;
	cl_command_queue queue;
} cl;

#define MUST(condition)                                                                  \
	do {                                                                             \
		if (!(condition)) {                                                      \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);  \
			_exit(1);                                                        \
		}                                                                        \
	} while (0)

static void cl_open(void)
{
	cl_platform_id platform;
	cl_int rc;

	MUST(clGetPlatformIDs(1, &platform, NULL) == CL_SUCCESS);
	MUST(clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 1, &cl.device, NULL) ==
		CL_SUCCESS);
	cl.context = clCreateContext(NULL, 1, &cl.device, NULL, NULL, &rc);
	MUST(cl.context);
	cl.queue = clCreateCommandQueueWithProperties(cl.context, cl.device, NULL, &rc);
	MUST(cl.queue);
}

static cl_mem take(size_t bytes, cl_int *rc)
{
	return clCreateBuffer(cl.context, CL_MEM_READ_WRITE, bytes, NULL, rc);
}

static cl_mem must_take(size_t bytes)
{
	cl_int rc = 0;
	cl_mem mem = take(bytes, &rc);

	if (!mem)
		fprintf(stderr, "clCreateBuffer: %d\n", rc);
	MUST(mem);
	return mem;
}

static void must_refuse(size_t bytes, cl_int expected)
{
	cl_int rc = 0;

	MUST(take(bytes, &rc) == NULL);
	if (rc != expected)
		fprintf(stderr, "refused with %d, not %d\n", rc, expected);
	MUST(rc == expected);
}

static void say_ready(void)
{
	MUST(write(STDOUT_FILENO, "r", 1) == 1);
}

static void until_told(void)
{
	char byte;

	(void)!read(STDIN_FILENO, &byte, 1);
}

static void scenario_quota(void)
{
	cl_mem held[QUOTA_MIB / 4];
	cl_ulong bytes = 0;

	clGetDeviceInfo(cl.device, CL_DEVICE_GLOBAL_MEM_SIZE, sizeof bytes, &bytes, NULL);
	MUST(bytes == QUOTA_MIB * MIB);
	clGetDeviceInfo(
		cl.device, CL_DEVICE_MAX_MEM_ALLOC_SIZE, sizeof bytes, &bytes, NULL);
	MUST(bytes <= QUOTA_MIB * MIB);

	must_refuse(QUOTA_MIB * MIB + 1, CL_MEM_OBJECT_ALLOCATION_FAILURE);
	for (size_t i = 0; i < QUOTA_MIB / 4; i++)
		held[i] = must_take(4 * MIB);
	must_refuse(1, CL_MEM_OBJECT_ALLOCATION_FAILURE);
	MUST(clReleaseMemObject(held[0]) == CL_SUCCESS);
	held[0] = must_take(4 * MIB - 3);
	must_refuse(4, CL_MEM_OBJECT_ALLOCATION_FAILURE);
	cl_mem last = must_take(3);
	must_refuse(1, CL_MEM_OBJECT_ALLOCATION_FAILURE);

	/* A part of a buffer, and one more owner of it, cost nothing. */
	cl_buffer_region part = { 0, 1024 };
	cl_int rc;
	cl_mem sub = clCreateSubBuffer(
		held[1], CL_MEM_READ_WRITE, CL_BUFFER_CREATE_TYPE_REGION, &part, &rc);
	MUST(sub);
	/* It goes when its last owner does, not before. */
	MUST(clRetainMemObject(held[2]) == CL_SUCCESS);
	MUST(clReleaseMemObject(held[2]) == CL_SUCCESS);
	must_refuse(1, CL_MEM_OBJECT_ALLOCATION_FAILURE);
	MUST(clReleaseMemObject(last) == CL_SUCCESS);
	must_refuse(4, CL_MEM_OBJECT_ALLOCATION_FAILURE);
}

static void scenario_images_and_svm(void)
{
	const cl_image_format format = { CL_RGBA, CL_UNORM_INT8 };
	const cl_image_desc desc = { .image_type = CL_MEM_OBJECT_IMAGE2D,
		.image_width = 1024,
		.image_height = 1024 };
	cl_int rc;

	cl_mem most = must_take((QUOTA_MIB - 6) * MIB);
	cl_mem image =
		clCreateImage(cl.context, CL_MEM_READ_WRITE, &format, &desc, NULL, &rc);
	MUST(image);
	MUST(clCreateImage(cl.context, CL_MEM_READ_WRITE, &format, &desc, NULL, &rc) ==
		NULL);
	MUST(rc == CL_MEM_OBJECT_ALLOCATION_FAILURE);
	void *shared = clSVMAlloc(cl.context, CL_MEM_READ_WRITE, 2 * MIB, 0);
	MUST(shared);
	MUST(clSVMAlloc(cl.context, CL_MEM_READ_WRITE, 1, 0) == NULL);
	clSVMFree(cl.context, shared);
	clReleaseMemObject(image);
	must_refuse(6 * MIB + 1, CL_MEM_OBJECT_ALLOCATION_FAILURE);
	clReleaseMemObject(must_take(6 * MIB));
	clReleaseMemObject(most);
	must_take(QUOTA_MIB * MIB);
}

static void scenario_hold_half(void)
{
	must_take(QUOTA_MIB / 2 * MIB);
	say_ready();
	until_told();
}

static void scenario_half_is_left(void)
{
	must_refuse(QUOTA_MIB / 2 * MIB + 1, CL_MEM_OBJECT_ALLOCATION_FAILURE);
	must_take(QUOTA_MIB / 2 * MIB);
}

static void scenario_fork(void)
{
	int parent_lives[2];
	char byte;

	must_take(QUOTA_MIB / 2 * MIB);
	MUST(pipe(parent_lives) == 0);
	pid_t pid = fork();
	MUST(pid >= 0);
	if (pid == 0) {
		/* Lives on beside the killed parent until the test hangs up. */
		close(parent_lives[1]);
		(void)!read(parent_lives[0], &byte, 1);
		until_told();
		_exit(0);
	}
	say_ready();
	for (;;)
		pause();
}

static cl_kernel build(void)
{
	const char *source =
		"kernel void add(global int *at) { at[get_global_id(0)] += 1; }";
	cl_int rc;
	cl_program program = clCreateProgramWithSource(cl.context, 1, &source, NULL, &rc);

	MUST(program);
	MUST(clBuildProgram(program, 1, &cl.device, "", NULL, NULL) == CL_SUCCESS);
	cl_kernel kernel = clCreateKernel(program, "add", &rc);
	MUST(kernel);
	return kernel;
}

static cl_int launch(cl_kernel kernel, cl_event *event)
{
	size_t n = 64;

	return clEnqueueNDRangeKernel(
		cl.queue, kernel, 1, NULL, &n, NULL, 0, NULL, event);
}

static void scenario_launch(void)
{
	cl_kernel kernel = build();
	cl_mem mem = must_take(64 * sizeof(int));
	int at[64] = { 0 };

	MUST(clSetKernelArg(kernel, 0, sizeof mem, &mem) == CL_SUCCESS);
	MUST(clEnqueueWriteBuffer(cl.queue, mem, CL_TRUE, 0, sizeof at, at, 0, NULL,
		     NULL) == CL_SUCCESS);
	for (int i = 0; i < 300; i++) {
		cl_event event = NULL;
		MUST(launch(kernel, i % 3 == 0 ? &event : NULL) == CL_SUCCESS);
		if (event) {
			MUST(clWaitForEvents(1, &event) == CL_SUCCESS);
			clReleaseEvent(event);
		} else if (i % 10 == 0) {
			MUST(clFinish(cl.queue) == CL_SUCCESS);
		}
	}
	MUST(clEnqueueReadBuffer(cl.queue, mem, CL_TRUE, 0, sizeof at, at, 0, NULL,
		     NULL) == CL_SUCCESS);
	MUST(at[0] == 300 && at[63] == 300);

	/* Work that waits for the program itself does not hang it. */
	cl_int rc;
	cl_event user = clCreateUserEvent(cl.context, &rc);
	size_t n = 64;
	MUST(user);
	MUST(clEnqueueNDRangeKernel(
		     cl.queue, kernel, 1, NULL, &n, NULL, 1, &user, NULL) == CL_SUCCESS);
	for (int i = 0; i < 20; i++)
		MUST(launch(kernel, NULL) == CL_SUCCESS);
	MUST(clSetUserEventStatus(user, CL_COMPLETE) == CL_SUCCESS);
	MUST(clFinish(cl.queue) == CL_SUCCESS);
	clReleaseEvent(user);
	clReleaseCommandQueue(cl.queue);
}

static void scenario_end(void)
{
	cl_kernel kernel = build();
	cl_mem mem = must_take(64 * sizeof(int));

	MUST(clSetKernelArg(kernel, 0, sizeof mem, &mem) == CL_SUCCESS);
	MUST(launch(kernel, NULL) == CL_SUCCESS);
	MUST(clFinish(cl.queue) == CL_SUCCESS);
	say_ready();
	until_told();
	must_refuse(1, CL_INVALID_OPERATION);
	MUST(launch(kernel, NULL) == CL_INVALID_OPERATION);
	MUST(clFinish(cl.queue) == CL_SUCCESS);
	MUST(clReleaseMemObject(mem) == CL_SUCCESS);
}

static void scenario_refused(void)
{
	must_refuse(1, CL_INVALID_OPERATION);
}

static void scenario_more(void)
{
	cl_ulong bytes = 0;

	must_take(3 * QUOTA_MIB * MIB);
	clGetDeviceInfo(cl.device, CL_DEVICE_GLOBAL_MEM_SIZE, sizeof bytes, &bytes, NULL);
	MUST(bytes > 3 * QUOTA_MIB * MIB);
}

static void scenario_free(void)
{
	must_take((QUOTA_MIB + 1) * MIB);
}

static const struct {
	const char *name;
	void (*run)(void);
} scenarios[] = {
	{ "quota", scenario_quota },
	{ "images and svm", scenario_images_and_svm },
	{ "hold half", scenario_hold_half },
	{ "half is left", scenario_half_is_left },
	{ "fork", scenario_fork },
	{ "launch", scenario_launch },
	{ "end", scenario_end },
	{ "refused", scenario_refused },
	{ "takes three times the quota", scenario_more },
	{ "free", scenario_free },
};

static int run_scenario(const char *name)
{
	/* It does not outlive a test that is killed. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	cl_open();
	for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) {
		if (strcmp(scenarios[i].name, name) == 0) {
			scenarios[i].run();
			/* The driver's own leaks and threads are not what is tested. */
			_exit(0);
		}
	}
	return 2;
}

/* ---- the test ---- */

struct program {
	pid_t pid;
	int say;  /* to its standard input */
	int hear; /* from its standard output */
};

static struct program start(struct place *t, const char *scenario, const char *partition)
{
	struct program p;
	int in[2], out[2];
	char cache[100], layer[4096];

	assert_non_null(realpath(CHRONOS_LAYER, layer));
	snprintf(cache, sizeof cache, "%s/pocl", t->base);
	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	p.pid = fork();
	assert_true(p.pid >= 0);
	if (p.pid == 0) {
		dup2(in[0], STDIN_FILENO);
		dup2(out[1], STDOUT_FILENO);
		setenv("OPENCL_LAYERS", layer, 1);
		setenv("CHRONOS_DIR", t->dir, 1);
		setenv("POCL_CACHE_DIR", cache, 1);
		setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
		if (partition)
			setenv("CHRONOS_PARTITION", partition, 1);
		else
			unsetenv("CHRONOS_PARTITION");
		execl("/proc/self/exe", "test_chronos_opencl", scenario, (char *)NULL);
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
}

static void runs_well(struct place *t, const char *scenario, const char *partition)
{
	struct program p = start(t, scenario, partition);

	assert_int_equal(end(&p), 0);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st;
	(void)kind;
	(void)ftw;
	(void)remove(path);
	return 0;
}

static int half_of_a_device(void **state)
{
	struct place *t = malloc(sizeof *t);
	struct chronos_device device = { .kind = CHRONOS_KIND_OPENCL_CPU,
		.memory_bytes = 2 * QUOTA_MIB * MIB };

	place_init(t);
	open_place(t);
	snprintf(device.uuid, sizeof device.uuid, "the-processor");
	snprintf(device.name, sizeof device.name, "the processor");
	assert_ok(t, chronos_devices_register(t->c, &device, 1, &t->e));
	*state = t;
	return 0;
}

static int no_device(void **state)
{
	struct place *t = *state;

	chronos_close(t->c);
	nftw(t->base, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(t);
	return 0;
}

static struct chronos_partition half(struct place *t)
{
	struct chronos_partition p;

	assert_ok(t, create(t, "0", 50, SECONDS(3600), NULL, &p));
	return p;
}

static uint64_t used(struct place *t, const struct chronos_partition *p)
{
	struct chronos_usage u;

	assert_ok(t, chronos_usage(t->c, p, 0, &u, &t->e));
	return u.used_bytes;
}

static void allocations_stop_exactly_at_the_quota(void **state)
{
	struct place *t = *state;
	struct chronos_partition p = half(t);

	runs_well(t, "quota", p.id);
	runs_well(t, "images and svm", p.id);
	assert_int_equal(used(t, &p), 0);
}

static void two_programs_of_a_partition_share_its_quota(void **state)
{
	struct place *t = *state;
	struct chronos_partition p = half(t);
	struct program holder = start(t, "hold half", p.id);

	until_ready(&holder);
	assert_int_equal(used(t, &p), QUOTA_MIB / 2 * MIB);
	runs_well(t, "half is left", p.id);
	assert_int_equal(end(&holder), 0);
	runs_well(t, "quota", p.id);
}

static void a_killed_program_gives_its_memory_back(void **state)
{
	struct place *t = *state;
	struct chronos_partition p = half(t);
	struct program holder = start(t, "hold half", p.id);

	until_ready(&holder);
	kill_program(&holder);
	assert_int_equal(used(t, &p), 0);
	runs_well(t, "quota", p.id);
	close(holder.say);
	close(holder.hear);
}

static void a_forked_child_keeps_nothing_of_a_killed_parent(void **state)
{
	struct place *t = *state;
	struct chronos_partition p = half(t);
	struct program parent = start(t, "fork", p.id);

	until_ready(&parent);
	assert_int_equal(used(t, &p), QUOTA_MIB / 2 * MIB);
	kill_program(&parent);
	assert_int_equal(used(t, &p), 0);
	runs_well(t, "quota", p.id);
	close(parent.say);
	close(parent.hear);
}

static void kernels_run_and_their_time_is_counted(void **state)
{
	struct place *t = *state;
	struct chronos_partition p = half(t);
	struct chronos_usage u;

	runs_well(t, "launch", p.id);
	assert_ok(t, chronos_usage(t->c, &p, 0, &u, &t->e));
	assert_true(u.time_ns > 0);
}

static void after_the_end_everything_is_refused(void **state)
{
	struct place *t = *state;
	struct chronos_partition p = half(t);
	struct program program = start(t, "end", p.id);

	until_ready(&program);
	assert_ok(t, chronos_renew(t->c, p.id, 1, NULL, &t->e));
	assert_int_equal(end(&program), 0);
	runs_well(t, "refused", p.id);
}

static struct chronos_partition of_two_devices(struct place *t, uint32_t hundredths)
{
	const char *both[] = { "0", "1" };
	const struct chronos_request r = { .devices = both,
		.device_count = 2,
		.hundredths = hundredths,
		.duration_ns = SECONDS(3600),
		.owner = CHRONOS_OWNER_CALLER };
	struct chronos_device devices[2] = { { .kind = CHRONOS_KIND_OPENCL_CPU,
		.memory_bytes = 2 * QUOTA_MIB * MIB,
		.uuid = "the-processor" } };
	struct chronos_partition p;

	devices[1] = devices[0];
	snprintf(devices[1].uuid, sizeof devices[1].uuid, "another-one");
	assert_ok(t, chronos_devices_register(t->c, devices, 2, &t->e));
	assert_ok(t, chronos_create(t->c, &r, &p, NULL, &t->e));
	setenv("CHRONOS_DEVICE", "0,1", 1);
	return p;
}

static void several_whole_devices_are_held_to_their_end_alone(void **state)
{
	struct place *t = *state;
	struct chronos_partition p = of_two_devices(t, CHRONOS_WHOLE);

	/* More than one of them has: whose it is, is not known. */
	runs_well(t, "takes three times the quota", p.id);
	struct program program = start(t, "end", p.id);
	until_ready(&program);
	assert_ok(t, chronos_renew(t->c, p.id, 1, NULL, &t->e));
	assert_int_equal(end(&program), 0);
	unsetenv("CHRONOS_DEVICE");
}

static void shares_of_several_devices_are_refused(void **state)
{
	struct place *t = *state;
	struct chronos_partition p = of_two_devices(t, 50);

	runs_well(t, "refused", p.id);
	setenv("CHRONOS_DEVICE", "0,x", 1);
	runs_well(t, "refused", p.id);
	unsetenv("CHRONOS_DEVICE");
}

static void a_program_is_held_by_chronos_run(void **state)
{
	struct place *t = *state;
	struct chronos_partition p = half(t);
	char line[8192], self[4096];

	assert_non_null(realpath("/proc/self/exe", self));
	snprintf(line, sizeof line,
		"unset CHRONOS_PARTITION; export POCL_CACHE_DIR=%s/pocl "
		"ASAN_OPTIONS=detect_leaks=0:verify_asan_link_order=0; exec " CHRONOS_BIN
		" run %s --dir %s -- %s quota",
		t->base, p.id, t->dir, self);
	assert_int_equal(system(line), 0);
}

static void without_a_partition_nothing_is_changed(void **state)
{
	runs_well(*state, "free", NULL);
}

static void where_the_partition_cannot_be_joined_everything_is_refused(void **state)
{
	runs_well(*state, "refused", "p-00000000");
}

#define sentence(f) cmocka_unit_test_setup_teardown(f, half_of_a_device, no_device)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		sentence(allocations_stop_exactly_at_the_quota),
		sentence(two_programs_of_a_partition_share_its_quota),
		sentence(a_killed_program_gives_its_memory_back),
		sentence(a_forked_child_keeps_nothing_of_a_killed_parent),
		sentence(kernels_run_and_their_time_is_counted),
		sentence(after_the_end_everything_is_refused),
		sentence(several_whole_devices_are_held_to_their_end_alone),
		sentence(shares_of_several_devices_are_refused),
		sentence(a_program_is_held_by_chronos_run),
		sentence(without_a_partition_nothing_is_changed),
		sentence(where_the_partition_cannot_be_joined_everything_is_refused),
	};

	if (argc == 2)
		return run_scenario(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
