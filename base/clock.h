/* clock.h - the two times: since boot, for durations; of the calendar, for people.
 *
 * Thread: any.  The core never includes this: it is told the time.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

#include "err.h"

#define NS_PER_S  INT64_C(1000000000)
#define NS_PER_MS INT64_C(1000000)

int64_t clock_boot_ns(void); /* CLOCK_BOOTTIME: goes on through suspend, never jumps */
int64_t clock_wall_ns(void); /* CLOCK_REALTIME: since 1970, may jump */

/* The kernel's boot id, 36 characters and NUL. */
#define BOOT_ID_SIZE 37
int clock_boot_id(char out[BOOT_ID_SIZE], struct err *e) MUST_CHECK;
