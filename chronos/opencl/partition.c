/* partition.c - joins the partition, and asks it for memory. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "partition.h"

#include "queues.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static pthread_mutex_t join_lock = PTHREAD_MUTEX_INITIALIZER;
static struct chronos_attachment *joined; /* NULL: not yet */
static uint32_t life;
static bool several; /* whole devices */
static bool told;    /* why it could not be joined */

/* Those of CHRONOS_DEVICE: how many, and the first.  0: it is no list of them. */
static size_t read_devices(uint32_t *first)
{
	const char *at = getenv("CHRONOS_DEVICE");
	size_t n = 0;

	*first = 0;
	if (!at || !*at)
		return 1;
	for (;;) {
		char *end;
		unsigned long index = strtoul(at, &end, 10);
		if (*at < '0' || *at > '9' || index >= CHRONOS_DEVICES_MAX)
			return 0;
		if (n++ == 0)
			*first = (uint32_t)index;
		if (!*end)
			return n;
		if (*end != ',')
			return 0;
		at = end + 1;
	}
}

static void join_locked(struct chronos_error *e)
{
	struct chronos_joining j = { .name = getenv("CHRONOS_PARTITION"),
		.drain = queues_drain };
	size_t devices = read_devices(&j.device);

	if (!devices) {
		snprintf(e->text, sizeof e->text,
			"CHRONOS_DEVICE is no list of devices' indices");
		return;
	}
	struct chronos_attachment *a = chronos_attach(&j, e);
	if (!a)
		return;
	several = devices > 1;
	if (several && chronos_hundredths(a) != CHRONOS_WHOLE) {
		snprintf(e->text, sizeof e->text,
			"OpenCL programs are held to a share of one device only, and "
			"CHRONOS_DEVICE has %zu",
			devices);
		chronos_detach(a);
		return;
	}
	__atomic_store_n(&joined, a, __ATOMIC_RELEASE);
}

struct chronos_attachment *partition_joined(void)
{
	return __atomic_load_n(&joined, __ATOMIC_ACQUIRE);
}

struct chronos_attachment *partition_join(void)
{
	struct chronos_error e = { 0 };

	if (partition_joined())
		return partition_joined();
	pthread_mutex_lock(&join_lock);
	if (!joined)
		join_locked(&e);
	if (!joined && !told) {
		told = true;
		fprintf(stderr, "chronos: cannot join partition %.64s: %s\n",
			getenv("CHRONOS_PARTITION"), e.text);
	}
	pthread_mutex_unlock(&join_lock);
	return partition_joined();
}

uint32_t partition_life(void)
{
	return life;
}

static cl_int charge(uint64_t bytes)
{
	struct chronos_attachment *a = partition_join();
	struct chronos_error e = { 0 };

	if (!a)
		return CL_INVALID_OPERATION;
	if (chronos_charge(a, bytes, &e) == 0)
		return CL_SUCCESS;
	return e.code == CHRONOS_EXHAUSTED ? CL_MEM_OBJECT_ALLOCATION_FAILURE
					   : CL_INVALID_OPERATION;
}

cl_int partition_charge(uint64_t bytes)
{
	/* Which of them it is on is not known, and all of them are its own. */
	return partition_join() && several ? partition_check() : charge(bytes);
}

void partition_uncharge(uint64_t bytes)
{
	struct chronos_attachment *a = partition_joined();

	if (a && !several)
		chronos_uncharge(a, bytes);
}

cl_int partition_check(void)
{
	cl_int rc = charge(0);

	/* Who has more than the quota may still launch. */
	return rc == CL_MEM_OBJECT_ALLOCATION_FAILURE ? CL_SUCCESS : rc;
}

uint64_t partition_quota(void)
{
	struct chronos_attachment *a = partition_join();

	return a && !several ? chronos_quota(a) : UINT64_MAX;
}

uint64_t partition_free(void)
{
	uint64_t quota = partition_quota();
	uint64_t used = quota < UINT64_MAX ? chronos_used(partition_joined()) : 0;

	return quota > used ? quota - used : 0;
}

void partition_in_child(void)
{
	life++;
	joined = NULL;
	pthread_mutex_init(&join_lock, NULL);
}
