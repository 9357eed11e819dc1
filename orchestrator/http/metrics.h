/* metrics.h - the daemon's figures as Prometheus text.
 *
 * Thread: loop.  Everything is read from counters: a scrape costs the same however many jobs
 * there are, and grows only with workers and their devices.  docs/operate.md lists the
 * metrics; a test compares.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "buf.h"
#include "relay.h"
#include "wire.h"
#include "workers.h"

struct figures { /* where they come from; all borrowed */
	struct relay *relay;
	const struct wire_server *clients, *worker_server;
	const struct workers *workers;
	int64_t began_wall_ns; /* of the process */
};

/* status: what HealthCheck says, "healthy" ... */
void metrics_write(const struct figures *f, const char *status, struct buf *out);
