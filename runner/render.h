/* render.h - which nodes of /dev a GPU that OpenCL shows is used by.
 *
 * Such a device is known by its place on PCI; sysfs says which render node is its own.  AMD's
 * computing interface is one node for all of its GPUs, /dev/kfd, through which a process
 * reaches those whose render node it may open.
 *
 * Thread: any.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "nodes.h"

#define RENDER_PCI_FOLDER "/sys/bus/pci/devices"

/* Look the GPU up in the folder: RENDER_PCI_FOLDER, but for tests.  ERR_UNSUPPORTED: its place
 * is not known (""); ERR_NOT_FOUND: no driver of the kernel's has it. */
int render_find(const char *folder, const char *pci, struct device_nodes *out,
	struct err *e) MUST_CHECK;
