/* nvidia.h - which nodes of /dev an NVIDIA GPU, or a MIG instance of one, is used by.
 *
 * Every program needs the driver's own and the GPU's, whose number is not its index.  An
 * instance is reached by the right to open two more, in /dev/nvidia-caps: of its GPU
 * instance and of its compute instance.  The driver says which in /proc.
 *
 * Thread: any.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "nodes.h"

#define NVIDIA_FOLDER "/proc/driver/nvidia"

/* Look the device up in the folder: NVIDIA_FOLDER, but for tests.  ERR_NOT_FOUND: the driver
 * does not show it; ERR_UNSUPPORTED: which instance it is, is not known. */
int nvidia_find(const char *folder, const struct chronos_device *d,
	struct device_nodes *out, struct err *e) MUST_CHECK;
