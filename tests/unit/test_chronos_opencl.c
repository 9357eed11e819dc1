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
#include <CL/cl_ext.h>
#include <CL/cl_layer.h>

#include <dlfcn.h>
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
	cl_platform_id platform;
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
	cl_int rc;

	MUST(clGetPlatformIDs(1, &cl.platform, NULL) == CL_SUCCESS);
	MUST(clGetDeviceIDs(cl.platform, CL_DEVICE_TYPE_ALL, 1, &cl.device, NULL) ==
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

/* By a command that is done later, and by a function of the program's. */
static void CL_CALLBACK free_them(
	cl_command_queue queue, cl_uint count, void **pointers, void *arg)
{
	(void)queue;
	(void)arg;
	for (cl_uint i = 0; i < count; i++)
		clSVMFree(cl.context, pointers[i]);
}

/* The driver calls back when it likes. */
static void take_all_soon(void)
{
	const struct timespec pause = { 0, 1000000 };
	cl_mem all = NULL;

	for (int ms = 0; ms < 60000 && !all; ms++) {
		all = take(QUOTA_MIB * MIB, NULL);
		if (!all)
			nanosleep(&pause, NULL);
	}
	MUST(all && clReleaseMemObject(all) == CL_SUCCESS);
}

static void scenario_svm_freed_on_a_queue(void)
{
	for (int i = 0; i < 4; i++) {
		cl_event done = NULL;
		void *pointers[2] = {
			clSVMAlloc(cl.context, CL_MEM_READ_WRITE, QUOTA_MIB / 2 * MIB, 0),
			clSVMAlloc(cl.context, CL_MEM_READ_WRITE, QUOTA_MIB / 2 * MIB, 0)
		};
		MUST(pointers[0] && pointers[1]);
		must_refuse(1, CL_MEM_OBJECT_ALLOCATION_FAILURE);
		MUST(clEnqueueSVMFree(cl.queue, 2, pointers, i % 2 ? free_them : NULL,
			     NULL, 0, NULL, i % 3 ? &done : NULL) == CL_SUCCESS);
		MUST(clFinish(cl.queue) == CL_SUCCESS);
		if (done)
			clReleaseEvent(done);
		take_all_soon();
	}
	/* A wrong call gives nothing back. */
	void *kept = clSVMAlloc(cl.context, CL_MEM_READ_WRITE, QUOTA_MIB * MIB, 0);
	MUST(kept);
	MUST(clEnqueueSVMFree(cl.queue, 1, &kept, NULL, NULL, 1, NULL, NULL) !=
		CL_SUCCESS);
	must_refuse(1, CL_MEM_OBJECT_ALLOCATION_FAILURE);
	clSVMFree(cl.context, kept);
	must_take(QUOTA_MIB * MIB);
}

#define EXTENSION(type, name)                                                            \
	type name = (type)clGetExtensionFunctionAddressForPlatform(cl.platform, #name);  \
	MUST(name)

typedef void *(CL_API_CALL *clSVMAllocARM_fn)(
	cl_context, cl_svm_mem_flags_arm, size_t, cl_uint);
typedef void(CL_API_CALL *clSVMFreeARM_fn)(cl_context, void *);
typedef cl_int(CL_API_CALL *clEnqueueSVMFreeARM_fn)(cl_command_queue, cl_uint, void *[],
	void(CL_CALLBACK *)(cl_command_queue, cl_uint, void **, void *), void *, cl_uint,
	const cl_event *, cl_event *);
typedef cl_mem(CL_API_CALL *clCreateBuffer_fn)(
	cl_context, cl_mem_flags, size_t, void *, cl_int *);

static void must_show_free(size_t bytes)
{
	size_t kib[2] = { 1, 1 };

	MUST(clGetDeviceInfo(cl.device, CL_DEVICE_GLOBAL_FREE_MEMORY_AMD, sizeof kib, kib,
		     NULL) == CL_SUCCESS);
	MUST(kib[0] == bytes / 1024 && kib[1] == bytes / 1024);
	MUST(clGetDeviceInfo(cl.device, CL_DEVICE_GLOBAL_FREE_MEMORY_AMD, sizeof kib[0],
		     kib, NULL) == CL_SUCCESS);
	MUST(kib[0] == bytes / 1024);
}

static void scenario_memory_of_extensions(void)
{
	EXTENSION(clDeviceMemAllocINTEL_fn, clDeviceMemAllocINTEL);
	EXTENSION(clSharedMemAllocINTEL_fn, clSharedMemAllocINTEL);
	EXTENSION(clHostMemAllocINTEL_fn, clHostMemAllocINTEL);
	EXTENSION(clMemFreeINTEL_fn, clMemFreeINTEL);
	EXTENSION(clMemBlockingFreeINTEL_fn, clMemBlockingFreeINTEL);
	EXTENSION(clSVMAllocARM_fn, clSVMAllocARM);
	EXTENSION(clSVMFreeARM_fn, clSVMFreeARM);
	EXTENSION(clEnqueueSVMFreeARM_fn, clEnqueueSVMFreeARM);
	EXTENSION(
		clCreateBufferWithPropertiesINTEL_fn, clCreateBufferWithPropertiesINTEL);
	EXTENSION(clCreateBuffer_fn, clCreateBuffer);
	const size_t half = QUOTA_MIB / 2 * MIB;
	cl_int rc = 0;

	void *a = clDeviceMemAllocINTEL(cl.context, cl.device, NULL, half, 0, &rc);
	MUST(a && rc == CL_SUCCESS);
	void *b = clSharedMemAllocINTEL(cl.context, cl.device, NULL, half, 0, &rc);
	MUST(b && rc == CL_SUCCESS);
	MUST(!clDeviceMemAllocINTEL(cl.context, cl.device, NULL, 1, 0, &rc));
	MUST(rc == CL_MEM_OBJECT_ALLOCATION_FAILURE);
	MUST(!clSVMAllocARM(cl.context, CL_MEM_READ_WRITE, 1, 0));
	MUST(!clCreateBufferWithPropertiesINTEL(
		cl.context, NULL, CL_MEM_READ_WRITE, 1, NULL, &rc));
	MUST(!clCreateBuffer(cl.context, CL_MEM_READ_WRITE, 1, NULL, &rc));
	must_refuse(1, CL_MEM_OBJECT_ALLOCATION_FAILURE);
	/* The host's is not the device's. */
	void *host = clHostMemAllocINTEL(cl.context, NULL, MIB, 0, &rc);
	MUST(host && clMemFreeINTEL(cl.context, host) == CL_SUCCESS);

	MUST(clMemFreeINTEL(cl.context, a) == CL_SUCCESS);
	MUST(clMemFreeINTEL(cl.context, NULL) == CL_SUCCESS);
	void *arm = clSVMAllocARM(cl.context, CL_MEM_READ_WRITE, half, 0);
	MUST(arm);
	must_refuse(1, CL_MEM_OBJECT_ALLOCATION_FAILURE);
	clSVMFreeARM(cl.context, arm);
	arm = clSVMAllocARM(cl.context, CL_MEM_READ_WRITE, half, 0);
	MUST(arm);
	must_show_free(0);
	MUST(clEnqueueSVMFreeARM(cl.queue, 1, &arm, NULL, NULL, 0, NULL, NULL) ==
		CL_SUCCESS);
	MUST(clFinish(cl.queue) == CL_SUCCESS);
	MUST(clMemBlockingFreeINTEL(cl.context, b) == CL_SUCCESS);
	take_all_soon();
	cl_mem mem = clCreateBufferWithPropertiesINTEL(
		cl.context, NULL, CL_MEM_READ_WRITE, QUOTA_MIB * MIB, NULL, &rc);
	MUST(mem);
	must_refuse(1, CL_MEM_OBJECT_ALLOCATION_FAILURE);
	clReleaseMemObject(mem);
	must_show_free(QUOTA_MIB * MIB);
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

static cl_kernel build_with_buffer(void)
{
	cl_kernel kernel = build();
	cl_mem mem = must_take(64 * sizeof(int));

	MUST(clSetKernelArg(kernel, 0, sizeof mem, &mem) == CL_SUCCESS);
	return kernel;
}

static void scenario_an_event_is_never_set(void)
{
	cl_kernel kernel = build_with_buffer();
	cl_int rc;

	MUST(clCreateUserEvent(cl.context, &rc));
	for (int i = 0; i < 50; i++) {
		MUST(launch(kernel, NULL) == CL_SUCCESS);
		MUST(clFinish(cl.queue) == CL_SUCCESS);
	}
}

static cl_command_queue new_queue(void)
{
	cl_int rc;
	cl_command_queue queue =
		clCreateCommandQueueWithProperties(cl.context, cl.device, NULL, &rc);

	MUST(queue);
	return queue;
}

/* All of it waits for the program, on several queues, directly and not. */
static void scenario_work_waits_for_an_event(void)
{
	cl_kernel kernel = build_with_buffer();
	cl_command_queue second = new_queue(), third = new_queue();
	cl_event done = NULL, last = NULL;
	size_t n = 64;
	cl_int rc;

	for (int round = 0; round < 2; round++) {
		cl_event gate = clCreateUserEvent(cl.context, &rc);
		MUST(gate);
		MUST(clEnqueueNDRangeKernel(cl.queue, kernel, 1, NULL, &n, NULL, 1, &gate,
			     &done) == CL_SUCCESS);
		MUST(clEnqueueNDRangeKernel(second, kernel, 1, NULL, &n, NULL, 1, &gate,
			     NULL) == CL_SUCCESS);
		for (int i = 0; i < 10; i++)
			MUST(launch(kernel, NULL) == CL_SUCCESS);
		MUST(clEnqueueNDRangeKernel(third, kernel, 1, NULL, &n, NULL, 1, &done,
			     &last) == CL_SUCCESS);
		MUST(clEnqueueNDRangeKernel(third, kernel, 1, NULL, &n, NULL, 0, NULL,
			     NULL) == CL_SUCCESS);
		MUST(clSetUserEventStatus(gate, CL_COMPLETE) == CL_SUCCESS);
		MUST(clWaitForEvents(1, &last) == CL_SUCCESS);
		MUST(clFinish(cl.queue) == CL_SUCCESS && clFinish(second) == CL_SUCCESS &&
			clFinish(third) == CL_SUCCESS);
		clReleaseEvent(gate);
		clReleaseEvent(done);
		clReleaseEvent(last);
	}
	/* A queue may go before what is on it does. */
	cl_event gate = clCreateUserEvent(cl.context, &rc);
	MUST(clEnqueueNDRangeKernel(second, kernel, 1, NULL, &n, NULL, 1, &gate, NULL) ==
		CL_SUCCESS);
	MUST(clReleaseCommandQueue(second) == CL_SUCCESS);
	MUST(clSetUserEventStatus(gate, CL_COMPLETE) == CL_SUCCESS);
	MUST(launch(kernel, NULL) == CL_SUCCESS);
	MUST(clFinish(cl.queue) == CL_SUCCESS);
}

static void scenario_command_buffer(void)
{
	EXTENSION(clCreateCommandBufferKHR_fn, clCreateCommandBufferKHR);
	EXTENSION(clCommandNDRangeKernelKHR_fn, clCommandNDRangeKernelKHR);
	EXTENSION(clFinalizeCommandBufferKHR_fn, clFinalizeCommandBufferKHR);
	EXTENSION(clEnqueueCommandBufferKHR_fn, clEnqueueCommandBufferKHR);
	cl_kernel kernel = build_with_buffer();
	size_t n = 64;
	cl_int rc;

	cl_command_buffer_khr buffer = clCreateCommandBufferKHR(1, &cl.queue, NULL, &rc);
	MUST(buffer);
	MUST(clCommandNDRangeKernelKHR(buffer, NULL, NULL, kernel, 1, NULL, &n, NULL, 0,
		     NULL, NULL, NULL) == CL_SUCCESS);
	MUST(clFinalizeCommandBufferKHR(buffer) == CL_SUCCESS);
	for (cl_uint i = 0; i < 20; i++) {
		MUST(clEnqueueCommandBufferKHR(i % 2, i % 2 ? &cl.queue : NULL, buffer, 0,
			     NULL, NULL) == CL_SUCCESS);
		MUST(clFinish(cl.queue) == CL_SUCCESS);
	}
	say_ready();
	until_told();
	MUST(clEnqueueCommandBufferKHR(0, NULL, buffer, 0, NULL, NULL) ==
		CL_INVALID_OPERATION);
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

static void scenario_more_than_a_device(void)
{
	cl_kernel kernel = build_with_buffer();
	cl_ulong bytes = 0;

	/* Which device an object is on is not known. */
	must_take(3 * QUOTA_MIB * MIB);
	clGetDeviceInfo(cl.device, CL_DEVICE_GLOBAL_MEM_SIZE, sizeof bytes, &bytes, NULL);
	MUST(bytes > 3 * QUOTA_MIB * MIB);
	MUST(launch(kernel, NULL) == CL_SUCCESS);
	MUST(clFinish(cl.queue) == CL_SUCCESS);
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
	{ "svm freed on a queue", scenario_svm_freed_on_a_queue },
	{ "memory of extensions", scenario_memory_of_extensions },
	{ "an event is never set", scenario_an_event_is_never_set },
	{ "work waits for an event", scenario_work_waits_for_an_event },
	{ "command buffer", scenario_command_buffer },
	{ "hold half", scenario_hold_half },
	{ "half is left", scenario_half_is_left },
	{ "fork", scenario_fork },
	{ "launch", scenario_launch },
	{ "end", scenario_end },
	{ "refused", scenario_refused },
	{ "more than a device", scenario_more_than_a_device },
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

/* Of which device, or devices, the program is told; NULL: none. */
static const char *device_told;

static struct program start(struct place *t, const char *scenario, const char *partition)
{
	struct program p;
	int in[2], out[2];
	char cache[100], layer[4096], layers[8192];

	assert_non_null(realpath(CHRONOS_LAYER, layer));
	/* The last one is the first that the program reaches. */
	bool extended = strcmp(scenario, "memory of extensions") == 0;
	snprintf(layers, sizeof layers, "%s%s", extended ? FAKE_USM ":" : "", layer);
	snprintf(cache, sizeof cache, "%s/pocl", t->base);
	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	p.pid = fork();
	assert_true(p.pid >= 0);
	if (p.pid == 0) {
		dup2(in[0], STDIN_FILENO);
		dup2(out[1], STDOUT_FILENO);
		setenv("OPENCL_LAYERS", layers, 1);
		setenv("CHRONOS_DIR", t->dir, 1);
		if (device_told)
			setenv("CHRONOS_DEVICE", device_told, 1);
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
	struct chronos_device devices[2] = { 0 };

	place_init(t);
	open_place(t);
	for (int i = 0; i < 2; i++) {
		devices[i].kind = CHRONOS_KIND_OPENCL_CPU;
		devices[i].memory_bytes = 2 * QUOTA_MIB * MIB;
		snprintf(devices[i].uuid, sizeof devices[i].uuid, "processor-%d", i);
		snprintf(devices[i].name, sizeof devices[i].name, "processor %d", i);
	}
	assert_ok(t, chronos_devices_register(t->c, devices, 2, &t->e));
	device_told = NULL;
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

static void what_a_queue_frees_can_be_had_again(void **state)
{
	struct place *t = *state;
	struct chronos_partition p = half(t);

	runs_well(t, "svm freed on a queue", p.id);
}

static void memory_of_extensions_is_held_too(void **state)
{
	struct place *t = *state;
	struct chronos_partition p = half(t);

	runs_well(t, "memory of extensions", p.id);
}

static uint64_t time_of(struct place *t, const struct chronos_partition *p)
{
	struct chronos_usage u;

	assert_ok(t, chronos_usage(t->c, p, 0, &u, &t->e));
	return u.time_ns;
}

static void an_event_that_is_never_set_frees_nobody_of_his_turns(void **state)
{
	struct place *t = *state;
	struct chronos_partition p = half(t);

	runs_well(t, "an event is never set", p.id);
	assert_true(time_of(t, &p) > 0);
}

static void what_waits_for_the_program_has_its_turn_when_it_goes_on(void **state)
{
	struct place *t = *state;
	struct chronos_partition p = half(t);

	runs_well(t, "work waits for an event", p.id);
	assert_true(time_of(t, &p) > 0);
}

static void command_buffers_have_turns_and_an_end(void **state)
{
	struct place *t = *state;
	struct chronos_partition p = half(t);
	struct program program = start(t, "command buffer", p.id);

	until_ready(&program);
	assert_ok(t, chronos_renew(t->c, p.id, 1, NULL, &t->e));
	assert_int_equal(end(&program), 0);
}

/* ---- the whole of OpenCL ---- */

/* What needs no turn and takes nothing of the device's memory, or shares what another has
 * paid for.  Objects made of other libraries' are theirs. */
static const char *const unheld =
	" clGetPlatformIDs clGetPlatformInfo clGetDeviceIDs "
	"clCreateContext clCreateContextFromType clRetainContext clReleaseContext "
	"clGetContextInfo clRetainCommandQueue clGetCommandQueueInfo "
	"clSetCommandQueueProperty clRetainMemObject clReleaseMemObject "
	"clGetSupportedImageFormats clGetMemObjectInfo clGetImageInfo clCreateSampler "
	"clRetainSampler clReleaseSampler clGetSamplerInfo clCreateProgramWithSource "
	"clCreateProgramWithBinary clRetainProgram clReleaseProgram clBuildProgram "
	"clUnloadCompiler clGetProgramInfo clGetProgramBuildInfo clCreateKernel "
	"clCreateKernelsInProgram clRetainKernel clReleaseKernel clSetKernelArg "
	"clGetKernelInfo clGetKernelWorkGroupInfo clGetEventInfo clRetainEvent "
	"clGetEventProfilingInfo clFlush clEnqueueCopyBuffer clEnqueueWriteImage "
	"clEnqueueCopyImage clEnqueueCopyImageToBuffer clEnqueueCopyBufferToImage "
	"clEnqueueMapImage clEnqueueUnmapMemObject clEnqueueMarker "
	"clEnqueueWaitForEvents clEnqueueBarrier clCreateFromGLBuffer "
	"clCreateFromGLTexture2D clCreateFromGLTexture3D clCreateFromGLRenderbuffer "
	"clGetGLObjectInfo clGetGLTextureInfo clEnqueueAcquireGLObjects "
	"clEnqueueReleaseGLObjects clGetGLContextInfoKHR clGetDeviceIDsFromD3D10KHR "
	"clCreateFromD3D10BufferKHR clCreateFromD3D10Texture2DKHR "
	"clCreateFromD3D10Texture3DKHR clEnqueueAcquireD3D10ObjectsKHR "
	"clEnqueueReleaseD3D10ObjectsKHR clSetEventCallback clCreateSubBuffer "
	"clSetMemObjectDestructorCallback clEnqueueWriteBufferRect "
	"clEnqueueCopyBufferRect clCreateSubDevicesEXT clRetainDeviceEXT "
	"clReleaseDeviceEXT clCreateEventFromGLsyncKHR clCreateSubDevices clRetainDevice "
	"clReleaseDevice clCreateProgramWithBuiltInKernels clCompileProgram clLinkProgram "
	"clUnloadPlatformCompiler clGetKernelArgInfo clEnqueueFillBuffer "
	"clEnqueueFillImage clEnqueueMigrateMemObjects clEnqueueMarkerWithWaitList "
	"clEnqueueBarrierWithWaitList clCreateFromGLTexture clGetDeviceIDsFromD3D11KHR "
	"clCreateFromD3D11BufferKHR clCreateFromD3D11Texture2DKHR "
	"clCreateFromD3D11Texture3DKHR clCreateFromDX9MediaSurfaceKHR "
	"clEnqueueAcquireD3D11ObjectsKHR clEnqueueReleaseD3D11ObjectsKHR "
	"clGetDeviceIDsFromDX9MediaAdapterKHR clEnqueueAcquireDX9MediaSurfacesKHR "
	"clEnqueueReleaseDX9MediaSurfacesKHR clCreateFromEGLImageKHR "
	"clEnqueueAcquireEGLObjectsKHR clEnqueueReleaseEGLObjectsKHR "
	"clCreateEventFromEGLSyncKHR clGetPipeInfo clEnqueueSVMMemFill clEnqueueSVMUnmap "
	"clCreateSamplerWithProperties clSetKernelArgSVMPointer clSetKernelExecInfo "
	"clGetKernelSubGroupInfoKHR clCloneKernel clCreateProgramWithIL "
	"clEnqueueSVMMigrateMem clGetDeviceAndHostTimer clGetHostTimer "
	"clGetKernelSubGroupInfo clSetDefaultDeviceCommandQueue "
	"clSetProgramReleaseCallback clSetProgramSpecializationConstant "
	"clSetContextDestructorCallback ";

static bool needs_no_hold(const char *name)
{
	char word[128];

	snprintf(word, sizeof word, " %s ", name);
	return strstr(unheld, word);
}

/* The next function of the header's table, which names some twice: once a system. */
static bool next_function(FILE *header, char name[96])
{
	char line[200], found[96];

	while (fgets(line, sizeof line, header)) {
		char *end = strrchr(line, ';');
		char *at = end ? strstr(line, "cl") : NULL;
		/* "  cl_api_clFinish clFinish;" or "  void *clFinish;" */
		while (at && strcspn(at, " *;") < (size_t)(end - at))
			at = strstr(at + 1, "cl");
		if (!at || sscanf(at, "%95[A-Za-z0-9]", found) != 1 ||
			strcmp(found, name) == 0)
			continue;
		snprintf(name, 96, "%s", found);
		return true;
	}
	return false;
}

static void every_function_is_held_or_is_known_to_need_no_hold(void **state)
{
	(void)state;
	typedef cl_int(CL_API_CALL * init)(
		cl_uint, const cl_icd_dispatch *, cl_uint *, const cl_icd_dispatch **);
	enum { FUNCTIONS = sizeof(cl_icd_dispatch) / sizeof(void *) };
	union {
		cl_icd_dispatch table;
		void *functions[FUNCTIONS];
	} below;
	const cl_icd_dispatch *layer;
	void *held[FUNCTIONS];
	char name[96] = "";
	cl_uint entries;
	size_t i = 0;

	for (size_t k = 0; k < FUNCTIONS; k++)
		below.functions[k] = &below.functions[k];
	void *library = dlopen(CHRONOS_LAYER, RTLD_NOW | RTLD_LOCAL);
	if (!library)
		fail_msg("%s", dlerror());
	assert_int_equal(setenv("CHRONOS_PARTITION", "p-00000000", 1), 0);
	assert_int_equal(((init)dlsym(library, "clInitLayer"))(
				 FUNCTIONS, &below.table, &entries, &layer),
		CL_SUCCESS);
	unsetenv("CHRONOS_PARTITION");
	assert_int_equal(entries, FUNCTIONS);
	memcpy(held, layer, sizeof held);

	FILE *header = fopen("/usr/include/CL/cl_icd.h", "r");
	assert_non_null(header);
	while (fgets(name, sizeof name, header) && !strstr(name, "_cl_icd_dispatch {"))
		;
	for (; next_function(header, name) && i < FUNCTIONS; i++) {
		if ((held[i] == below.functions[i]) != needs_no_hold(name))
			fail_msg("%s is %s", name,
				needs_no_hold(name) ? "held" : "not held");
	}
	fclose(header);
	assert_int_equal(i, FUNCTIONS);
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

static void of_several_whole_devices_the_end_is_held(void **state)
{
	struct place *t = *state;
	struct chronos_partition p;

	device_told = "0,1";
	assert_ok(t, create(t, "0,1", 100, SECONDS(3600), NULL, &p));
	runs_well(t, "more than a device", p.id);
	struct program program = start(t, "end", p.id);
	until_ready(&program);
	assert_ok(t, chronos_renew(t->c, p.id, 1, NULL, &t->e));
	assert_int_equal(end(&program), 0);
}

static void a_share_of_several_devices_is_refused(void **state)
{
	static const char *const wrong[] = { "0,1", "0,", "0x1", "64" };
	struct place *t = *state;
	struct chronos_partition p;

	assert_ok(t, create(t, "0,1", 50, SECONDS(3600), NULL, &p));
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		device_told = wrong[i];
		runs_well(t, "refused", p.id);
	}
	device_told = "1";
	runs_well(t, "quota", p.id);
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
		sentence(what_a_queue_frees_can_be_had_again),
		cmocka_unit_test(every_function_is_held_or_is_known_to_need_no_hold),
		sentence(memory_of_extensions_is_held_too),
		sentence(an_event_that_is_never_set_frees_nobody_of_his_turns),
		sentence(what_waits_for_the_program_has_its_turn_when_it_goes_on),
		sentence(command_buffers_have_turns_and_an_end),
		sentence(two_programs_of_a_partition_share_its_quota),
		sentence(a_killed_program_gives_its_memory_back),
		sentence(a_forked_child_keeps_nothing_of_a_killed_parent),
		sentence(kernels_run_and_their_time_is_counted),
		sentence(after_the_end_everything_is_refused),
		sentence(of_several_whole_devices_the_end_is_held),
		sentence(a_share_of_several_devices_is_refused),
		sentence(a_program_is_held_by_chronos_run),
		sentence(without_a_partition_nothing_is_changed),
		sentence(where_the_partition_cannot_be_joined_everything_is_refused),
	};

	if (argc == 2)
		return run_scenario(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
