/* process.c - what every process tells Prometheus of itself. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "process.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "text.h"

static void close_folder(DIR **d)
{
	if (*d)
		closedir(*d);
}

/* -1: not known */
static double open_descriptors(void)
{
	CLEANUP(close_folder) DIR *d = opendir("/proc/self/fd");
	int count = 0;

	if (!d)
		return -1;
	while (readdir(d))
		count++;
	return count - 3; /* ".", ".." and the folder itself */
}

static void write_memory(struct buf *out)
{
	CLEANUP(close_file) FILE *f = fopen("/proc/self/statm", "re");
	unsigned long virtual, resident;

	if (!f || fscanf(f, "%lu %lu", &virtual, &resident) != 2)
		return;

	double page = (double)sysconf(_SC_PAGESIZE);
	text_gauge(out, "process_virtual_memory_bytes", "Virtual memory size in bytes.",
		(double)virtual * page);
	text_gauge(out, "process_resident_memory_bytes", "Resident memory size in bytes.",
		(double)resident * page);
}

static void write_cpu(struct buf *out)
{
	struct timespec used;

	if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used) < 0)
		return;
	text_family(out, "process_cpu_seconds_total", "counter",
		"Total user and system CPU time spent in seconds.");
	text_sample(out, "process_cpu_seconds_total", NULL,
		(double)used.tv_sec + (double)used.tv_nsec / (double)NS_PER_S);
}

static void write_descriptors(struct buf *out)
{
	double open = open_descriptors();
	struct rlimit limit;

	if (open >= 0)
		text_gauge(out, "process_open_fds", "Number of open file descriptors.",
			open);
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
		text_gauge(out, "process_max_fds",
			"Maximum number of open file descriptors.",
			(double)limit.rlim_cur);
}

void process_write(struct buf *out, int64_t began_wall_ns)
{
	write_cpu(out);
	write_memory(out);
	write_descriptors(out);
	text_gauge(out, "process_start_time_seconds",
		"Start time of the process since unix epoch in seconds.",
		(double)began_wall_ns / (double)NS_PER_S);
}
