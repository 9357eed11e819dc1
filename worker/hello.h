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

int hello_send(const struct hello *h, struct wire_call *call, struct err *e) MUST_CHECK;
/* One device, as it is now. */
int hello_send_device(const struct devices *d, const struct device *device,
	struct wire_call *call, struct err *e) MUST_CHECK;
