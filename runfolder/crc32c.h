/* crc32c.h - the Castagnoli checksum, as records and frames carry it.
 *
 * Thread: any.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Go on from crc, which is 0 at first: crc32c(crc32c(0, a), b) is that of a and b. */
uint32_t crc32c(uint32_t crc, const void *bytes, size_t len);
