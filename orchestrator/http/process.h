/* process.h - what every process tells Prometheus of itself: CPU, memory, descriptors.
 *
 * Thread: loop.  Reads /proc/self.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

#include "buf.h"

/* began_wall_ns: when this process began. */
void process_write(struct buf *out, int64_t began_wall_ns);
