/* rpc.h - OrchestratorService: decoded messages in, requests to the core out, events back.
 *
 * Thread: loop.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "relay.h"
#include "package.h"
#include "submission.h"
#include "wire.h"

struct rpc;

struct rpc_config {
	struct relay *relay;
	struct submission_limits limits;
	struct package_limits package;
	const char *engine_name;
	bool (*engine_is_connected)(void *ctx);
	void *engine_ctx;
	/* What HealthCheck says when no worker is ready; NULL: just that.  Borrowed. */
	const char *no_worker_hint;
};

/* Adds its methods to the server, and the two services that every gRPC client knows:
 * grpc.health.v1 and reflection. */
struct rpc *rpc_new(struct wire_server *server, const struct rpc_config *config);
/* The longest duration that later submissions may ask for. */
void rpc_set_duration_max(struct rpc *r, int32_t seconds);
void rpc_free(struct rpc *r); /* after the server is closed; NULL is fine */

/* What HealthCheck answers, for /healthz too. */
struct rpc_health {
	const char *status; /* healthy, degraded, unhealthy */
	char message[256];
};
struct rpc_health rpc_health(const struct rpc *r);
