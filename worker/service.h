/* service.h - the calls of cumulus.worker.WorkerService, as the worker makes them.
 *
 * Thread: any; constants.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "wire.h"
#include "worker.pb-c.h"

extern const struct wire_method service_work;
extern const struct wire_method service_read_blob;
extern const struct wire_method service_write_output;
