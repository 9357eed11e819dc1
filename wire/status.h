/* status.h - what other protocols' codes are in gRPC.
 *
 * Thread: any.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "wire.h"

enum wire_status status_of_http(int http);          /* without a grpc-status */
enum wire_status status_of_reset(uint32_t h2_code); /* of RST_STREAM */
