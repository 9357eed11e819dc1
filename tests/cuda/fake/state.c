/* state.c - the file that the fake driver's processes share, and failing on purpose. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "fake.h"

#include <errno.h>
#include <sched.h>
#include <time.h>

pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
struct fake_state *state;
struct fake_process *me;
int visible[FAKE_DEVICES_MAX];
int visible_count;
static struct fake_gpus gpus;
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

static uint32_t own_number(void)
{
	return (uint32_t)(me - state->processes) + 1;
}

/* Takes it from the one that is seen to have it, if that is dead, or free. */
static bool try_lock(uint32_t *holder)
{
	return __atomic_compare_exchange_n(&state->lock, holder, own_number(), false,
		__ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

static void lock_state(void)
{
	for (;;) {
		uint32_t holder = 0;
		if (try_lock(&holder))
			return;
		bool dead = holder <= FAKE_PROCESSES_MAX && holder != own_number() &&
			    !fake_process_lives(&gpus, holder - 1);
		if (dead && try_lock(&holder))
			return;
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

static bool is_asked_for(int device)
{
	const char *list = getenv("CUDA_VISIBLE_DEVICES");
	char uuid[96];

	fake_uuid(state, (unsigned)device, uuid, sizeof uuid);
	return !list || strstr(list, uuid);
}

/* In their own order and not in the variable's, which no test needs. */
static void find_visible(void)
{
	for (int i = 0; i < (int)state->devices; i++)
		if (is_asked_for(i) && fake_device_opens(state, (unsigned)i))
			visible[visible_count++] = i;
}

static bool open_state(void)
{
	const char *count = getenv("FAKE_CUDA_DEVICES"), *mib = getenv("FAKE_CUDA_MIB");

	if (!fake_gpus_open(&gpus))
		return false;
	int own = fake_process_take(&gpus);
	if (own < 0)
		return false;
	state = gpus.state;
	me = &state->processes[own];
	lock_state();
	if (!state->devices) {
		state->device_bytes = (uint64_t)(mib ? atol(mib) : 1024) << 20;
		state->devices = count ? (uint32_t)atoi(count) : 1;
	}
	unlock_state();
	pthread_atfork(NULL, NULL, in_child);
	find_visible();
	return true;
}

/* State locked. */
static uint64_t used_on(int device)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < FAKE_PROCESSES_MAX; i++)
		if (fake_process_lives(&gpus, i))
			sum += state->processes[i].used[visible[device]];
	return sum;
}

uint64_t free_bytes_of(int device)
{
	lock_state();
	uint64_t bytes = state->device_bytes - used_on(device);
	unlock_state();
	return bytes;
}

static uint64_t most; /* that this process ever had of one */

CUresult take(int device, uint64_t bytes)
{
	CUresult rc = CUDA_SUCCESS;

	lock_state();
	uint64_t used = used_on(device);
	if (bytes > state->device_bytes || used > state->device_bytes - bytes)
		rc = CUDA_ERROR_OUT_OF_MEMORY;
	else
		me->used[visible[device]] += bytes;
	if (me->used[visible[device]] > most)
		most = me->used[visible[device]];
	unlock_state();
	return rc;
}

int fake_most_mib(void)
{
	return (int)(most >> 20);
}

void give(int device, uint64_t bytes)
{
	lock_state();
	me->used[visible[device]] -= bytes;
	unlock_state();
}

CUresult begin(void)
{
	if (forked)
		return CUDA_ERROR_NOT_INITIALIZED;
	pthread_mutex_lock(&lock);
	CUresult rc = (state || open_state()) && visible_count ? CUDA_SUCCESS
							       : CUDA_ERROR_NO_DEVICE;
	if (rc == CUDA_SUCCESS)
		began = true;
	pthread_mutex_unlock(&lock);
	return rc;
}

CUresult ready(void)
{
	return began && !forked ? CUDA_SUCCESS : CUDA_ERROR_NOT_INITIALIZED;
}
