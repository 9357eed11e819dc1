/* devices.h - the machine's GPUs, and who holds which share of them by Chronos.
 *
 * Thread: loop, but for devices_look_do(), which may wait for Chronos's lock and therefore
 * runs on a pool thread, with data of its own.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chronos.h"
#include "err.h"
#include "id.h"

#define DEVICE_HEALTH_SIZE      512
#define DEVICE_ENFORCEMENT_SIZE 32 /* as cumulusd keeps it */

struct device {
	struct chronos_device facts;
	char health[DEVICE_HEALTH_SIZE];   /* "ok", or what is wrong with it */
	char no_nodes[DEVICE_HEALTH_SIZE]; /* why no job can open it; "": one can */
	uint32_t foreign_hundredths; /* held by partitions that are not this worker's */
	char enforcement[DEVICE_ENFORCEMENT_SIZE]; /* what holds jobs to their shares */
	bool dmem;    /* the kernel holds its jobs to their memory (dmem.max) */
	bool changed; /* since the owner last cleared it */
};

/* What one partition has of one device. */
struct device_use {
	const struct chronos_partition *partition; /* of the same look */
	struct chronos_usage usage;
	float time_share; /* of the device's time, had since the look before */
};

struct devices {
	struct chronos *chronos; /* owned; NULL with --devices none */
	char *chronos_dir;       /* owned; absolute or NULL for Chronos's own default */
	char worker_id[ID_SIZE];
	struct device *list; /* owned */
	size_t count;
	struct chronos_partition *partitions; /* owned; of the last look */
	size_t partition_count;
	struct device_use *uses; /* owned; of the last look, for each device of each */
	size_t use_count;
	char *root_folder;                /* owned; NULL: none could be built */
	int64_t looked_ns;                /* boottime of the last look */
	char problem[DEVICE_HEALTH_SIZE]; /* of all of them, or "ok" */
};

/* Find the devices and tell Chronos.  chronos_dir NULL: its default.  Forks: before
 * threads.  A driver that does not answer leaves no devices and is said in *problem, which
 * is then not empty. */
int devices_open(struct devices *d, const struct chronos_device_spec *spec,
	const char *chronos_dir, const char *worker_id, char problem[DEVICE_HEALTH_SIZE],
	struct err *e) MUST_CHECK;
void devices_close(struct devices *d);

bool devices_know(const struct devices *d, const char *uuid);
/* The root folder of jobs has the libraries that hold them; NULL: there is none. */
void devices_set_root(struct devices *d, const char *root_folder);
/* Does any of them have jobs that are held?  It changes with what each look finds. */
bool devices_need_arbiter(const struct devices *d);
/* The best that any of them has. */
const char *devices_enforcement(const struct devices *d);
/* Say of each what it is, and what holds jobs there. */
void devices_log(const struct devices *d);
/* All of them are unfit for jobs for this reason; NULL: each for its own, if for any. */
void devices_set_health(struct devices *d, const char *problem);

/* ---- a look at what is held now */

struct devices_release {
	char id[16];
	char key[CHRONOS_KEY_MAX + 1];
	bool done; /* it was still held */
};

struct devices_look {
	struct chronos *chronos;          /* borrowed */
	struct devices_release *releases; /* owned; what to give back first */
	size_t release_count;
	struct chronos_device *devices; /* owned; found */
	struct err *no_nodes; /* owned; of each of these: why no job can open it, if so */
	size_t device_count;
	struct chronos_partition *partitions; /* owned; found */
	size_t partition_count;
	struct device_use *uses; /* owned; found */
	size_t use_count;
	char *dmem;       /* owned; regions of devices' memory, NULL: none */
	int64_t began_ns; /* boottime */
	struct err why;   /* code ERR_NONE: it worked */
};

/* Is this run in a folder of this worker?  Its partitions are left alone then. */
typedef bool (*devices_run_known)(void *user, const char *job, int32_t attempt);

void devices_look_begin(const struct devices *d, struct devices_look *look,
	devices_run_known known, void *user);
void devices_look_do(struct devices_look *look);
/* Take over what was found, mark what changed, and empty the look.  True when partitions
 * of this worker have no run any more: look again soon, which releases them. */
bool devices_look_end(struct devices *d, struct devices_look *look,
	devices_run_known known, void *user);

/* Is this a partition of one of this worker's runs?  Fills which. */
bool devices_partition_run(const struct devices *d, const struct chronos_partition *p,
	char job[ID_SIZE], int32_t *attempt);
