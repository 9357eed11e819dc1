/* bench.h - the parts of bench_chronos: groups of figures, and the place they are measured in. */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "chronos.h"

#include <stdint.h>

#include "figures.h"

/* How programs are held, and the columns of the figures. */
enum mode { FREE, COOPERATIVE, ARBITRATED, MODES };

enum {
	/* The place has simulated devices: 64 partitions fill some of the first ... */
	FILLED_DEVICE = 0,
	PARTITIONS = 64,
	/* ... and measured are those from here on. */
	DEVICE = 1,
	OTHER_DEVICE = 2,
	DEVICES = 3,
};

#define MS UINT64_C(1000000)
#define S  (1000 * MS)

struct bench {
	const char *dir;     /* of the partitions */
	const char *program; /* chronos */
	const char *results; /* folder for what is not a figure */
	struct chronos *c;
	struct figures *figures;
	int arbiter;      /* its pid; 0: none serves */
	int arbiter_says; /* what it prints */
};

/* A name for --only, measured by one call in each round and each of its modes, of which
 * FREE comes first.  In ARBITRATED an arbiter serves meanwhile. */
struct group {
	const char *name, *what;
	bool modes[MODES];
	bool once; /* in the first round only */
	/* Ends the bench when it could not be measured here; may be NULL. */
	void (*check)(struct bench *b);
	void (*measure)(struct bench *b, enum mode mode);
};

extern const struct group books_group, commands_group;
extern const struct group shares_2_group, shares_4_group, shares_8_group, shares_16_group;
extern const struct group cap_group, overhead_group, busy_group, smallest_group;
extern const struct group burst_group, devices_group, expiry_group, race_group;
extern const struct group hooks_group, memory_group, recovery_group, arbiter_group;
extern const struct group opencl_group, cuda_group, machine_group, plot_group;

/* Says what could not be measured, and why, and ends the bench. */
_Noreturn void die(const char *what, const char *why);

/* ---- place.c: what measurements are made of ---- */

uint64_t now_ns(void);  /* CLOCK_MONOTONIC */
uint64_t boot_ns(void); /* CLOCK_BOOTTIME, of which partitions' ends are */
void sleep_ms(unsigned ms);

/* A file of the results; the caller frees it. */
char *result_path(const struct bench *b, const char *name);

/* An index as chronos_create() wants it. */
struct index {
	char text[16];
};
struct index index_of(uint32_t device);

/* A partition; drop() ends it.  make() makes one of hundredths of the device, for an
 * hour. */
struct chronos_partition make_as(const struct bench *b, const struct chronos_request *r);
struct chronos_partition make(
	const struct bench *b, uint32_t device, uint32_t hundredths);
void drop(const struct bench *b, const struct chronos_partition *p);
/* In this process; the caller detaches.  Without a drain its launches are not real. */
struct chronos_attachment *join(const struct bench *b, const char *id, uint32_t device,
	void (*drain)(void *arg), void *arg);

/* Start and end the arbiter; start is back when it serves. */
void arbiter_start(struct bench *b);
void arbiter_end(struct bench *b);
