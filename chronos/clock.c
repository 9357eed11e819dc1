/* clock.c - the time that everybody on the machine has. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * In a time namespace CLOCK_BOOTTIME is shifted, by as much as timens_offsets says of the
 * namespace in which the children of this process begin.  Mostly that is its own.
 */
#include "clock.h"

#include "error.h"
#include "forks.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define FIRST_NAMESPACE 0xeffffffa /* its inode: the kernel's PROC_TIME_INIT_INO */

enum { SHIFT_UNREAD = 0, SHIFT_READ = 1, SHIFT_UNKNOWN = 2 };

static int state; /* of the shift; that is written first */
static int64_t shift_ns;
static struct fork_watch forks;
static pthread_once_t forks_once = PTHREAD_ONCE_INIT;

static void in_child(struct fork_watch *w)
{
	(void)w;
	__atomic_store_n(&state, SHIFT_UNREAD, __ATOMIC_RELAXED);
}

static void watch_forks(void)
{
	chronos_forks_watch(&forks, in_child);
}

/* False when there is no such line. */
static bool read_offset(const char *path, int64_t *ns)
{
	FILE *f = fopen(path, "re");
	char line[128];
	bool found = false;

	while (f && !found && fgets(line, sizeof line, f)) {
		long long s;
		long n;
		found = sscanf(line, "boottime %lld %ld", &s, &n) == 2;
		if (found)
			*ns = (int64_t)s * 1000000000 + n;
	}
	if (f)
		fclose(f);
	return found;
}

static int find_shift(int64_t *ns)
{
	struct stat own, of_children;

	*ns = 0;
	/* A kernel without such namespaces, or none but the first. */
	if (stat("/proc/self/ns/time", &own) < 0 || own.st_ino == FIRST_NAMESPACE)
		return SHIFT_READ;
	if (stat("/proc/self/ns/time_for_children", &of_children) < 0 ||
		of_children.st_ino != own.st_ino ||
		!read_offset("/proc/self/timens_offsets", ns))
		return SHIFT_UNKNOWN;
	return SHIFT_READ;
}

static int read_shift(void)
{
	int64_t ns;
	int found = find_shift(&ns);

	pthread_once(&forks_once, watch_forks);
	__atomic_store_n(&shift_ns, ns, __ATOMIC_RELAXED);
	__atomic_store_n(&state, found, __ATOMIC_RELEASE);
	return found;
}

static int have_shift(void)
{
	int known = __atomic_load_n(&state, __ATOMIC_ACQUIRE);

	return known != SHIFT_UNREAD ? known : read_shift();
}

uint64_t chronos_now_ns(void)
{
	struct timespec t;

	have_shift();
	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)((int64_t)t.tv_sec * 1000000000 + t.tv_nsec -
			  __atomic_load_n(&shift_ns, __ATOMIC_RELAXED));
}

uint64_t chronos_ticks_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

int chronos_clock_check(struct chronos_error *e)
{
	if (have_shift() == SHIFT_READ)
		return 0;
	return chronos_fail(e, CHRONOS_SYSTEM,
		"the machine's time cannot be told in this time namespace: "
		"/proc/self/timens_offsets is not this process's own");
}
