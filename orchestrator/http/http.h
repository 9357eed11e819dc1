/* http.h - health and metrics over HTTP/1.1, for probes and Prometheus.
 *
 * Thread: loop.  /healthz answers while the process lives, /readyz says whether jobs can
 * run, /metrics is Prometheus text.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <uv.h>

#include "err.h"
#include "metrics.h"

struct http;

struct http_config {
	uv_loop_t *loop;
	const char *address; /* HOST:PORT, numeric or localhost; port 0 picks one */
	struct figures figures;
	/* "healthy", "degraded" or "unhealthy", and why. */
	const char *(*health)(void *ctx, const char **why);
	void *ctx;
};

struct http *http_open(const struct http_config *config, struct err *e) MUST_CHECK;
uint16_t http_port(const struct http *h);
void http_close(struct http *h); /* NULL is fine */
