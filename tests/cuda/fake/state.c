/* state.c - the file that the fake driver's processes share, and failing on purpose. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "fake.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <time.h>

pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
struct fake_state *state;
struct fake_process *me;
static bool began;  /* cuInit was called, */
static bool forked; /* and by the parent: here nothing works any more */

uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

void sleep_until(uint64_t ns)
{
	const struct timespec t = { (time_t)(ns / 1000000000), (long)(ns % 1000000000) };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
		;
}

/* ---- failing on purpose, and counting ---- */

static char fail_name[64];
static int fail_rc, fail_after;
static unsigned long calls;

void fake_fail(const char *name, int rc, int after)
{
	snprintf(fail_name, sizeof fail_name, "%s", name);
	fail_rc = rc;
	fail_after = after;
}

unsigned long fake_calls(void)
{
	return __atomic_load_n(&calls, __ATOMIC_RELAXED);
}

CUresult failing(const char *name)
{
	__atomic_fetch_add(&calls, 1, __ATOMIC_RELAXED);
	if (!fail_name[0] || strcmp(fail_name, name) != 0 || fail_after-- > 0)
		return CUDA_SUCCESS;
	fail_name[0] = '\0';
	return (CUresult)fail_rc;
}

/* ---- the shared file ---- */

static bool is_gone(pid_t pid)
{
	return kill(pid, 0) < 0 && errno == ESRCH;
}

static void lock_state(void)
{
	while (__atomic_exchange_n(&state->lock, getpid(), __ATOMIC_ACQUIRE) != 0) {
		pid_t holder = __atomic_load_n(&state->lock, __ATOMIC_RELAXED);
		if (holder && holder != getpid() && is_gone(holder))
			break;
		sched_yield();
	}
}

static void unlock_state(void)
{
	__atomic_store_n(&state->lock, 0, __ATOMIC_RELEASE);
}

static void in_child(void)
{
	forked = began;
}

static bool open_state(void)
{
	const char *path = getenv("FAKE_CUDA_STATE");
	const char *count = getenv("FAKE_CUDA_DEVICES"), *mib = getenv("FAKE_CUDA_MIB");
	int fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;

	if (fd < 0 || ftruncate(fd, sizeof *state) < 0)
		return false;
	state = mmap(NULL, sizeof *state, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (state == MAP_FAILED)
		return false;
	lock_state();
	if (!state->devices) {
		state->device_bytes = (uint64_t)(mib ? atol(mib) : 1024) << 20;
		state->devices = count ? (uint32_t)atoi(count) : 1;
	}
	for (unsigned i = 0; i < FAKE_PROCESSES_MAX; i++) {
		struct fake_process *p = &state->processes[i];
		if (p->pid && is_gone(p->pid))
			memset(p, 0, sizeof *p);
		if (!p->pid && !me)
			me = p;
	}
	pthread_atfork(NULL, NULL, in_child);
	if (me) {
		memset(me, 0, sizeof *me);
		me->pid = getpid();
	}
	unlock_state();
	return me != NULL;
}

/* State locked. */
static uint64_t used_on(int device)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < FAKE_PROCESSES_MAX; i++) {
		struct fake_process *p = &state->processes[i];
		if (p->pid && is_gone(p->pid))
			memset(p, 0, sizeof *p);
		sum += p->used[device];
	}
	return sum;
}

uint64_t free_bytes_of(int device)
{
	lock_state();
	uint64_t bytes = state->device_bytes - used_on(device);
	unlock_state();
	return bytes;
}

CUresult take(int device, uint64_t bytes)
{
	CUresult rc = CUDA_SUCCESS;

	lock_state();
	uint64_t used = used_on(device);
	if (bytes > state->device_bytes || used > state->device_bytes - bytes)
		rc = CUDA_ERROR_OUT_OF_MEMORY;
	else
		me->used[device] += bytes;
	unlock_state();
	return rc;
}

void give(int device, uint64_t bytes)
{
	lock_state();
	me->used[device] -= bytes;
	unlock_state();
}

CUresult begin(void)
{
	if (forked)
		return CUDA_ERROR_NOT_INITIALIZED;
	pthread_mutex_lock(&lock);
	CUresult rc = state || open_state() ? CUDA_SUCCESS : CUDA_ERROR_NO_DEVICE;
	if (rc == CUDA_SUCCESS)
		began = true;
	pthread_mutex_unlock(&lock);
	return rc;
}

CUresult ready(void)
{
	return began && !forked ? CUDA_SUCCESS : CUDA_ERROR_NOT_INITIALIZED;
}
