/* metrics.h - the daemon's figures as Prometheus text.
 *
 * Thread: loop.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "buf.h"
#include "relay.h"

void metrics_write(struct relay *relay, struct buf *out);
