/* id.h - names of jobs and workers: a letter, a dash and 80 bits in base32.
 *
 * Thread: any.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define ID_SIZE   19 /* "j-" + 16 characters + NUL */
#define ID_RANDOM 10 /* bytes of randomness in one */

/* 'j' and ten random bytes to "j-abcdefghij234567". */
void id_format(char out[ID_SIZE], char kind, const uint8_t random[ID_RANDOM]);
/* The same with randomness from the kernel. */
void id_make(char out[ID_SIZE], char kind);
/* The same, for what is made in thousands: the first 24 bits count time in steps of 2^23 ns
 * (8.4 ms) and begin anew after 39 hours, 56 bits are random.  What is made together stands
 * together in an index of ids, which then writes a few pages at a commit instead of one for
 * each id.  Two of the same step are alike once in 2^56; no order is promised. */
void id_make_at(char out[ID_SIZE], char kind, int64_t wall_ns);
/* Is text exactly an id of this kind? */
bool id_valid(const char *text, char kind);

/* A run is (job, attempt); "j-....N" names its folder and its container. */
#define RUN_NAME_SIZE 32
void run_name(char out[RUN_NAME_SIZE], const char *job, int32_t attempt);
bool run_name_parse(const char *name, char job[ID_SIZE], int32_t *attempt);
