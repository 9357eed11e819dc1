/* served.h - what reflection tells, from orchestrator.proto and its neighbours.
 *
 * Thread: any.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

/* A FileDescriptorSet; it ends where the other begins. */
extern const uint8_t rpc_served[] __attribute__((visibility("hidden")));
extern const uint8_t rpc_served_end[] __attribute__((visibility("hidden")));
