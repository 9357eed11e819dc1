/* bench.h - the parts of bench_chronos. */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "chronos.h"

/* What one round of bench_share.c measured. */
struct share_round {
	/* Greatest error of a process, in hundredths of the device; `free_` without
	 * chronos, its share being what it should have had. */
	double lease_error_2, free_error_2;
	double lease_error_4, free_error_4;
	double lease_error_8, free_error_8;
	double lease_error_16, free_error_16;
	double throughput_error_2,
		throughput_error_4; /* against the same program alone */
	double jain_4;              /* index of time had by share asked */
	double launch_capped_ns;    /* a launch and its end, holding the lease */
	double launch_whole_ns;     /* of a whole device */
	double charge_ns;           /* an allocation and its end */
	double memory_error_bytes;
	double recovery_ms; /* from kill -9 of the holder to another's launch */
};

/* In the directory of c, which has two simulated devices with nothing on device 1: without
 * control, and with it. */
void measure_free(struct chronos *c, const char *dir, struct share_round *out);
void measure_shares(struct chronos *c, const char *dir, struct share_round *out);
/* Draw the shares of four programs over time, one of which is killed and one's partition
 * ends, as SVG. */
void plot_shares(struct chronos *c, const char *dir, const char *path);

_Noreturn void die(const char *what, const char *why);
