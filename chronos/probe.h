/* probe.h - what the drivers' probes fill, in a process of their own. */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "chronos.h"

struct probe {
	uint32_t count;
	struct chronos_device devices[CHRONOS_DEVICES_MAX];
};

/* The next free entry, zeroed but for its kind; NULL when the list is full. */
struct chronos_device *chronos_probe_add(struct probe *p, enum chronos_kind kind);

struct probe_pci {
	uint32_t domain, bus, device, function;
};
/* Note where it is on PCI, as the kernel writes it. */
void chronos_probe_place(struct chronos_device *d, const struct probe_pci *at);

/* The two below load a driver's library into this process, where it stays.  No library
 * or no device is success without devices; a driver that fails is CHRONOS_UNAVAILABLE. */

/* NVIDIA GPUs, or their MIG instances where they are split. */
int chronos_probe_nvml(struct probe *p, struct chronos_error *e);

/* OpenCL devices: the processor, or else GPUs, less NVIDIA's if they are known already. */
struct probe_opencl_want {
	bool cpus;
	bool skip_nvidia;
};
int chronos_probe_opencl(
	struct probe *p, struct probe_opencl_want want, struct chronos_error *e);
