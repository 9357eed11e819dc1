/* timeout.h - the header grpc-timeout: up to eight digits and a unit.
 *
 * Thread: any.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "err.h"

#define TIMEOUT_SIZE 16

/* Whole milliseconds, rounded down; ERR_INVALID when it is not a timeout. */
int timeout_parse(const char *text, size_t len, int64_t *ms, struct err *e) MUST_CHECK;

/* The finest unit that eight digits hold, rounded up. */
void timeout_format(char out[TIMEOUT_SIZE], uint64_t ms);
