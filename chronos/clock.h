/* clock.h - the time that everybody on the machine has. */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "chronos.h"

/* CLOCK_BOOTTIME of the machine, whatever time namespace this process is in. */
uint64_t chronos_now_ns(void);

/* A clock that is read in a fifth of the time: it moves with the kernel's ticks, of which
 * there are 100 a second at least, starts anywhere and stands still while the machine
 * sleeps. */
uint64_t chronos_ticks_ns(void);
#define CHRONOS_TICK_MAX_NS UINT64_C(10000000)

/* Can the machine's time be told here?  A forked child may be in another namespace than its
 * parent. */
int chronos_clock_check(struct chronos_error *e);
