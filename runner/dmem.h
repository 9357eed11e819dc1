/* dmem.h - what a control group of version 2 may take of devices' memory (dmem.max).
 *
 * A driver that has the kernel count its memory (Linux 6.14 and later) registers regions by
 * names such as drm/0000:03:00.0/vram0 or nvidia/0000:03:00.0/vidmem.  The root's file
 * dmem.capacity lists them with their sizes; every other group whose parent hands the
 * controller down has a dmem.max.
 *
 * Thread: any.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chronos.h"
#include "err.h"

struct dmem_share {
	const struct chronos_device *device; /* borrowed */
	uint32_t hundredths;
};

/* Let the group's children be limited.  root: where the hierarchy is mounted.
 * ERR_UNSUPPORTED: nothing is counted on this machine; ERR_UNAVAILABLE: something is, but the
 * groups above do not hand the controller down. */
int dmem_hand_down(const char *root, const char *group, struct err *e) MUST_CHECK;

/* The regions and their sizes, for the functions below; the caller frees it.  NULL: there are
 * none, or group's children cannot be limited. */
char *dmem_regions(const char *root, const char *group);
/* Has the device a region among them?  It is found by its place on PCI; a MIG instance has
 * none, as its GPU's is not its own. */
bool dmem_shows(const char *regions, const struct chronos_device *device);
/* Lines for a dmem.max that hold each region of these devices to the device's share of it,
 * rounded down; the caller frees them.  NULL: none of them has one. */
char *dmem_limits(
	const char *regions, const struct dmem_share *shares, size_t count) MUST_CHECK;

/* Write such lines to the group's dmem.max. */
int dmem_write(const char *group, const char *limits, struct err *e) MUST_CHECK;
