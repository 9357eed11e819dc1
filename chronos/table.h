/* table.h - finding and showing devices in a locked state. */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "state.h"

/* The slot of the device that `name` is, an index or a uuid; absent ones are found too. */
int chronos_device_find(
	const struct state *s, const char *name, uint32_t *slot, struct chronos_error *e);

/* Live hundredths and partitions of each device. */
struct device_use {
	uint32_t hundredths[CHRONOS_DEVICES_MAX];
	uint32_t partitions[CHRONOS_DEVICES_MAX];
};
void chronos_device_use_count(
	const struct state *s, uint64_t now_ns, struct device_use *use);
