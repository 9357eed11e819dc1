/* amount.h - reading numbers from text, without the leniency of strtol. */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Decimal digits only, at least one and at most max; false and *n untouched else. */
bool chronos_digits_parse(const char *text, uint64_t max, uint64_t *n);
