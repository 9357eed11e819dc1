/* clock.h - the time that everybody on the machine has. */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "chronos.h"

/* CLOCK_BOOTTIME of the machine, whatever time namespace this process is in. */
uint64_t chronos_now_ns(void);

/* Can the machine's time be told here?  A forked child may be in another namespace than its
 * parent. */
int chronos_clock_check(struct chronos_error *e);
