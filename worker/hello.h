/* hello.h - what the worker says about itself, its devices and its runs.
 *
 * Thread: loop.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "devices.h"
#include "distributions.h"
#include "err.h"
#include "home.h"
#include "runs.h"
#include "wire.h"

struct hello {
	const struct home *home;
	const struct devices *devices;
	const struct distributions *distributions;
	const struct runs *runs;
	int32_t cpus;
	int64_t memory_bytes;
	int32_t run_slots;
};

struct hello_figures { /* see Figures in proto/worker.proto */
	int64_t environments, environment_bytes;
	int64_t built, refused, broken, reused;
	int64_t package_bytes;
};

int hello_send_figures(
	const struct hello_figures *f, struct wire_call *call, struct err *e) MUST_CHECK;
int hello_send(const struct hello *h, struct wire_call *call, struct err *e) MUST_CHECK;
/* One device, as it is now. */
int hello_send_device(const struct devices *d, const struct device *device,
	struct wire_call *call, struct err *e) MUST_CHECK;
