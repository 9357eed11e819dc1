/* bench_opencl.c - calls and kernels of an OpenCL program, for so long as it is asked. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Usage, as child.h has it, of which each line of work gives:
 *
 *   bench_opencl calls           us of an empty kernel enqueued and finished, ns of a
 *                                buffer created and released
 *   bench_opencl kernels N WARM_UP_MS MS
 *                                kernels of N steps a second, each waited for, in MS after
 *                                the others
 *   bench_opencl calibrate US    the steps of a kernel of so many microseconds
 *
 * The host's threads stay on the second processor; PoCL is told by its environment to keep
 * its one worker on the first.
 */
#define CL_TARGET_OPENCL_VERSION 300
#include <CL/cl.h>

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "samples.h"

enum {
	HOST_CPU = 1,
	BATCHES = 200,
	LAUNCHES = 10,
	BUFFERS = 50,
	CALIBRATIONS = 15,
	FIRST_STEPS = 100000,
};

static const char source[] = "__kernel void empty(__global float *out, int steps) { }\n"
			     "__kernel void steps(__global float *out, int steps) {\n"
			     "  float x = out[0];\n"
			     "  for (int i = 0; i < steps; i++) x = x * 0.999f + 0.5f;\n"
			     "  out[0] = x;\n"
			     "}\n";

static cl_context context;
static cl_command_queue queue;
static cl_kernel empty, steps_kernel;

static void must(cl_int rc, const char *what)
{
	if (rc == CL_SUCCESS)
		return;
	fprintf(stderr, "bench_opencl: %s: %d\n", what, (int)rc);
	exit(1);
}

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* ---- what OpenCL needs ---- */

static cl_kernel make_kernel(cl_program program, const char *name, cl_mem out)
{
	cl_int rc;
	cl_kernel kernel = clCreateKernel(program, name, &rc);

	must(rc, name);
	must(clSetKernelArg(kernel, 0, sizeof out, &out), "clSetKernelArg");
	return kernel;
}

static void open_device(void)
{
	const char *text = source;
	cl_platform_id platform;
	cl_device_id device;
	cl_int rc;

	must(clGetPlatformIDs(1, &platform, NULL), "clGetPlatformIDs");
	must(clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 1, &device, NULL),
		"clGetDeviceIDs");
	context = clCreateContext(NULL, 1, &device, NULL, NULL, &rc);
	must(rc, "clCreateContext");
	queue = clCreateCommandQueueWithProperties(context, device, NULL, &rc);
	must(rc, "clCreateCommandQueueWithProperties");
	cl_program program = clCreateProgramWithSource(context, 1, &text, NULL, &rc);
	must(rc, "clCreateProgramWithSource");
	must(clBuildProgram(program, 1, &device, "", NULL, NULL), "clBuildProgram");
	cl_mem out = clCreateBuffer(context, CL_MEM_READ_WRITE, sizeof(float), NULL, &rc);
	must(rc, "clCreateBuffer");
	empty = make_kernel(program, "empty", out);
	steps_kernel = make_kernel(program, "steps", out);
}

static void run(cl_kernel kernel, int steps)
{
	const size_t one = 1;

	must(clSetKernelArg(kernel, 1, sizeof steps, &steps), "clSetKernelArg");
	must(clEnqueueNDRangeKernel(queue, kernel, 1, NULL, &one, &one, 0, NULL, NULL),
		"clEnqueueNDRangeKernel");
	must(clFinish(queue), "clFinish");
}

/* ---- pieces of work ---- */

static void run_empty(void)
{
	run(empty, 0);
}

static void take_buffer(void)
{
	cl_int rc;
	cl_mem buffer = clCreateBuffer(context, CL_MEM_READ_WRITE, 4096, NULL, &rc);

	must(rc, "clCreateBuffer");
	must(clReleaseMemObject(buffer), "clReleaseMemObject");
}

static double median_ns(void (*call)(void), int batch)
{
	static double each_ns[BATCHES];

	for (int i = 0; i < BATCHES; i++) {
		double begun_ns = now_ns();
		for (int k = 0; k < batch; k++)
			call();
		each_ns[i] = (now_ns() - begun_ns) / batch;
	}
	return samples_median(each_ns, BATCHES);
}

static void answer_calls(void)
{
	double launch_ns = median_ns(run_empty, LAUNCHES);

	printf("%.3f %.1f\n", launch_ns / 1000, median_ns(take_buffer, BUFFERS));
}

static void answer_kernels(int steps, double warm_up_ms, double ms)
{
	double begun_ns = now_ns(), end_ns;
	int n = 0;

	while (now_ns() < begun_ns + warm_up_ms * 1e6)
		run(steps_kernel, steps);
	begun_ns = now_ns();
	do {
		run(steps_kernel, steps);
		n++;
		end_ns = now_ns();
	} while (end_ns < begun_ns + ms * 1e6);
	printf("%.6f\n", n * 1e9 / (end_ns - begun_ns));
}

/* From the fastest of some: what slows one down is not the kernel. */
static void answer_steps(double us)
{
	double fastest_ns = 1e18;

	for (int i = 0; i < CALIBRATIONS; i++) {
		double begun_ns = now_ns();
		run(steps_kernel, 10 * FIRST_STEPS);
		double took_ns = now_ns() - begun_ns;
		fastest_ns = took_ns < fastest_ns ? took_ns : fastest_ns;
	}
	printf("%.0f\n", us * 1000 / (fastest_ns / (10 * FIRST_STEPS)));
}

static void stay_on_host_cpu(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(HOST_CPU, &set);
	if (sched_setaffinity(0, sizeof set, &set) < 0) {
		perror("bench_opencl: processor 1");
		exit(1);
	}
}

int main(int argc, char **argv)
{
	char line[16];

	double numbers[3] = { 0 };

	if (argc < 2 || argc > 5) {
		fprintf(stderr, "usage: see bench_opencl.c\n");
		return 2;
	}
	for (int i = 2; i < argc; i++)
		numbers[i - 2] = strtod(argv[i], NULL);
	stay_on_host_cpu();
	open_device();
	run(empty, 0);
	run(steps_kernel, FIRST_STEPS);
	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof line, stdin)) {
		if (strcmp(argv[1], "calls") == 0)
			answer_calls();
		else if (strcmp(argv[1], "kernels") == 0)
			answer_kernels((int)numbers[0], numbers[1], numbers[2]);
		else
			answer_steps(numbers[0]);
		fflush(stdout);
	}
	return 0;
}
