/* str.h - text: NUL-terminated UTF-8, built with checked lengths, parsed strictly.
 *
 * Thread: any.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

/* A heap string the caller frees. */
char *str_fmt(const char *format, ...) PRINTF_LIKE(1, 2);

/* snprintf into a fixed buffer that must fit: false when it was cut (still terminated). */
bool str_put(char *out, size_t size, const char *format, ...) PRINTF_LIKE(3, 4);

/* out = a + b + c, cut at a character boundary when it does not fit. */
void str_join(char *out, size_t size, const char *a, const char *b, const char *c);

/* Drop an incomplete UTF-8 sequence from the end of s. */
void str_trim_utf8(char *s);

bool str_starts(const char *s, const char *prefix);
bool str_ends(const char *s, const char *suffix);
static inline bool str_empty(const char *s)
{
	return !s || !*s;
}

/* Is this run of bytes valid UTF-8 (no surrogates, no overlong forms)? */
bool utf8_valid(const void *bytes, size_t len);

/* Copy len bytes to a heap string: what is not valid UTF-8, and NUL, become U+FFFD.
 * *out_len, when given, gets the length without the terminator. */
char *utf8_replace(const void *bytes, size_t len, size_t *out_len);

/* Make valid UTF-8 one line without terminal controls: C0, DEL and C1 become spaces. */
void utf8_one_line(char *text);

/* How many of the len bytes end in a whole character: the rest is the start of one that
 * more bytes may complete.  At least len - 3; invalid bytes count as whole. */
size_t utf8_whole(const void *bytes, size_t len);

/* A value for an error text: cut to 64 bytes, control characters and quotes escaped.
 * Returns out. */
#define STR_QUOTE_SIZE 200
char *str_quote(char out[STR_QUOTE_SIZE], const void *bytes, size_t len);

/* How many insertions, deletions and replacements of bytes make b of a. */
size_t str_distance(const char *a, const char *b);

/* Decimal numbers, whole text, no sign or spaces but a '-' for the signed one.
 * ERR_INVALID naming text when it is not one or lies outside min..max. */
int parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *n,
	struct err *e) MUST_CHECK;
int parse_i64(
	const char *text, int64_t min, int64_t max, int64_t *n, struct err *e) MUST_CHECK;

/* "90", "90s", "10m", "2h", "1d" to seconds. */
int parse_duration_s(const char *text, int64_t *seconds, struct err *e) MUST_CHECK;

/* "4096", "64K", "4M", "2G" (powers of 1024, an optional iB) to bytes. */
int parse_bytes(const char *text, int64_t *bytes, struct err *e) MUST_CHECK;

/* "0.25" or "2" to hundredths, exactly: at most two decimals, no exponent. */
int parse_hundredths(const char *text, uint32_t *hundredths, struct err *e) MUST_CHECK;

/* 25 -> "0.25", 50 -> "0.5", 200 -> "2".  out holds at least 16 bytes.  Returns out. */
char *format_hundredths(char *out, size_t size, uint32_t hundredths);

/* Lower-case hex of len bytes; out holds 2 * len + 1. */
void hex_encode(char *out, const void *bytes, size_t len);
int hex_decode(void *out, size_t len, const char *text, struct err *e) MUST_CHECK;
