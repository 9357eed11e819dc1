/* partition.c - joins the partition and asks it for memory. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "partition.h"

#include "graphs.h"
#include "held.h"
#include "pools.h"
#include "reach.h"
#include "streams.h"
#include "vmm.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static pthread_mutex_t join_lock = PTHREAD_MUTEX_INITIALIZER;
static struct device devices[CHRONOS_DEVICES_MAX];
static uint32_t device_count; /* 0: not joined; published last */
static bool told;             /* why it could not be joined */

/* ---- which partition ---- */

static char partition[CHRONOS_KEY_MAX + 1]; /* id or key; "": the process is free */
static pthread_once_t partition_once = PTHREAD_ONCE_INIT;

/* None of what the parent held is the child's. */
static void in_child(void)
{
	device_count = 0;
	pthread_mutex_init(&join_lock, NULL);
	held_in_child();
	graphs_in_child();
	pools_in_child();
	streams_in_child();
	vmm_in_child();
}

static void find_partition(void)
{
	const char *name = getenv("CHRONOS_PARTITION");

	if (!name)
		return;
	snprintf(partition, sizeof partition, "%s", name);
	pthread_atfork(NULL, NULL, in_child);
}

bool partition_is_set(void)
{
	pthread_once(&partition_once, find_partition);
	return partition[0] != '\0';
}

/* ---- which devices ---- */

/* The next of a list with commas; false at its end. */
static bool next_word(const char **at, char *word, size_t size)
{
	if (!*at || !**at)
		return false;
	size_t n = strcspn(*at, ",");
	if (n >= size)
		n = size - 1;
	memcpy(word, *at, n);
	word[n] = '\0';
	*at += strcspn(*at, ",");
	if (**at == ',')
		(*at)++;
	return true;
}

/* CHRONOS_DEVICE has the indices, CHRONOS_DEVICE_UUID, where it is set, their uuids in
 * the same order; else they are in CUDA's order. */
static uint32_t read_devices(void)
{
	const char *indices = getenv("CHRONOS_DEVICE");
	const char *uuids = getenv("CHRONOS_DEVICE_UUID");
	char word[12], *end;
	uint32_t n = 0;

	if (!indices || !*indices)
		indices = "0";
	while (n < CHRONOS_DEVICES_MAX && next_word(&indices, word, sizeof word)) {
		struct device *d = &devices[n];
		unsigned long index = strtoul(word, &end, 10);
		if (word[0] < '0' || word[0] > '9' || *end ||
			index >= CHRONOS_DEVICES_MAX)
			return 0;
		memset(d, 0, sizeof *d);
		d->index = (uint32_t)index;
		d->number = -1;
		next_word(&uuids, d->uuid, sizeof d->uuid);
		n++;
	}
	return *indices ? 0 : n;
}

static void format_uuid(const CUuuid *uuid, char *text, size_t size)
{
	const unsigned char *b = (const unsigned char *)uuid->bytes;

	snprintf(text, size,
		"GPU-%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
		b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11],
		b[12], b[13], b[14], b[15]);
}

/* "GPU-" or "MIG-" is not what tells them apart. */
static bool same_uuid(const char *a, const char *b)
{
	return strlen(a) > 4 && strlen(b) > 4 && strcasecmp(a + 4, b + 4) == 0;
}

/* "" where the driver does not tell. */
static void ask_uuid(CUdevice number, char *text, size_t size)
{
	CUuuid uuid;

	text[0] = '\0';
	if (REAL(cuDeviceGetUuid_v2)(&uuid, number) == CUDA_SUCCESS ||
		REAL(cuDeviceGetUuid)(&uuid, number) == CUDA_SUCCESS)
		format_uuid(&uuid, text, size);
}

/* ---- joining ---- */

static void detach_all(uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		chronos_detach(devices[i].attachment);
}

/* Join lock held. */
static int join(struct chronos_error *e)
{
	uint32_t count = read_devices();

	if (!count) {
		snprintf(e->text, sizeof e->text,
			"CHRONOS_DEVICE is no list of devices' indices");
		return -1;
	}
	for (uint32_t i = 0; i < count; i++) {
		struct device *d = &devices[i];
		const struct chronos_joining j = { .name = partition,
			.device = d->index,
			.drain = streams_drain,
			.arg = d };
		d->attachment = chronos_attach(&j, e);
		if (!d->attachment) {
			detach_all(i);
			return -1;
		}
		d->whole = chronos_hundredths(d->attachment) == CHRONOS_WHOLE;
	}
	__atomic_store_n(&device_count, count, __ATOMIC_RELEASE);
	return 0;
}

static bool is_joined(void)
{
	return __atomic_load_n(&device_count, __ATOMIC_ACQUIRE) != 0;
}

CUresult partition_join(void)
{
	struct chronos_error e = { 0 };
	int rc = 0;

	if (!partition_is_set() || is_joined())
		return CUDA_SUCCESS;
	pthread_mutex_lock(&join_lock);
	if (!is_joined())
		rc = join(&e);
	if (rc < 0 && !told) {
		told = true;
		fprintf(stderr, "chronos: cannot join partition %.64s: %s\n", partition,
			e.text);
	}
	pthread_mutex_unlock(&join_lock);
	return rc < 0 ? CUDA_ERROR_NOT_PERMITTED : CUDA_SUCCESS;
}

/* ---- a device ---- */

struct device *partition_nth_device(size_t n)
{
	uint32_t count = __atomic_load_n(&device_count, __ATOMIC_ACQUIRE);

	return n < count ? &devices[n] : NULL;
}

CUdevice partition_number_of(const CUmemLocation *place)
{
	enum { LOCALITY_DOMAIN = 6 };

	if (place->type == CU_MEM_LOCATION_TYPE_DEVICE)
		return place->id;
	/* A part of a device: its number is the first byte. */
	if ((int)place->type == LOCALITY_DOMAIN)
		return place->id & 0xff;
	return -1;
}

/* Of those that were recognised. */
static struct device *by_number(CUdevice number)
{
	uint32_t count = __atomic_load_n(&device_count, __ATOMIC_ACQUIRE);

	for (uint32_t i = 0; i < count && number >= 0; i++) {
		if (__atomic_load_n(&devices[i].number, __ATOMIC_ACQUIRE) == number)
			return &devices[i];
	}
	return NULL;
}

/* By its uuid where the partition's devices have been named so, and else by its place. */
static struct device *recognise(CUdevice number)
{
	char uuid[sizeof devices->uuid];
	struct device *d, *found = NULL;

	ask_uuid(number, uuid, sizeof uuid);
	pthread_mutex_lock(&join_lock);
	for (size_t i = 0; !found && (d = partition_nth_device(i)); i++) {
		if (d->uuid[0] ? same_uuid(d->uuid, uuid)
			       : d->number < 0 && (CUdevice)i == number)
			found = d;
	}
	if (found && !found->uuid[0])
		memcpy(found->uuid, uuid, sizeof uuid);
	if (found)
		__atomic_store_n(&found->number, number, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&join_lock);
	return found;
}

struct device *partition_device(CUdevice number, CUresult *rc)
{
	struct device *d = by_number(number);

	*rc = CUDA_SUCCESS;
	if (d || !partition_is_set())
		return d;
	*rc = partition_join();
	if (*rc != CUDA_SUCCESS)
		return NULL;
	if (number >= 0)
		d = recognise(number);
	if (!d)
		*rc = CUDA_ERROR_NOT_PERMITTED;
	return d;
}

struct device *partition_current_device(CUresult *rc)
{
	CUdevice number;

	*rc = CUDA_SUCCESS;
	if (!partition_is_set())
		return NULL;
	*rc = REAL(cuCtxGetDevice)(&number);
	return *rc == CUDA_SUCCESS ? partition_device(number, rc) : NULL;
}

struct device *partition_device_of_nvml(const char *uuid, unsigned index)
{
	struct device *d;

	if (partition_join() != CUDA_SUCCESS)
		return NULL;
	for (size_t i = 0; (d = partition_nth_device(i)); i++) {
		if (d->uuid[0] ? same_uuid(d->uuid, uuid) : i == index)
			return d;
	}
	return NULL;
}

/* ---- memory ---- */

static CUresult cuda_error(const struct chronos_error *e)
{
	return e->code == CHRONOS_EXHAUSTED ? CUDA_ERROR_OUT_OF_MEMORY
					    : CUDA_ERROR_NOT_PERMITTED;
}

CUresult device_charge_now(struct device *d, uint64_t bytes)
{
	struct chronos_error e = { 0 };

	if (chronos_charge(d->attachment, bytes, &e) == 0)
		return CUDA_SUCCESS;
	return cuda_error(&e);
}

CUresult device_check(struct device *d)
{
	return chronos_has_ended(d->attachment) ? CUDA_ERROR_NOT_PERMITTED : CUDA_SUCCESS;
}

CUresult device_charge(struct device *d, uint64_t bytes)
{
	CUresult rc = device_charge_now(d, bytes);

	if (rc != CUDA_ERROR_OUT_OF_MEMORY || !pools_give_back(d))
		return rc;
	return device_charge_now(d, bytes);
}

void device_uncharge(struct device *d, uint64_t bytes)
{
	if (bytes)
		chronos_uncharge(d->attachment, bytes);
}
