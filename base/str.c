/* str.c - builds and parses text with checked lengths. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "str.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "xalloc.h"

char *str_fmt(const char *format, ...)
{
	va_list args;
	char *text = NULL;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		abort();
	va_end(args);
	return text;
}

bool str_put(char *out, size_t size, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	int n = vsnprintf(out, size, format, args);
	va_end(args);
	return n >= 0 && (size_t)n < size;
}

static size_t append_cut(char *out, size_t size, size_t at, const char *text)
{
	size_t room = size - 1 - at;
	size_t len = strnlen(text, room);

	memmove(out + at, text, len);
	out[at + len] = '\0';
	return at + len;
}

void str_join(char *out, size_t size, const char *a, const char *b, const char *c)
{
	size_t at = append_cut(out, size, 0, a);

	at = append_cut(out, size, at, b);
	append_cut(out, size, at, c);
	str_trim_utf8(out);
}

bool str_starts(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool str_ends(const char *s, const char *suffix)
{
	size_t n = strlen(s), m = strlen(suffix);

	return n >= m && memcmp(s + n - m, suffix, m) == 0;
}

/* The length of the valid character at s, 0 when there is none, -1 when the bytes end
 * inside what could become one. */
static int character(const unsigned char *s, size_t len)
{
	unsigned char lo = 0x80, hi = 0xbf;
	int need;

	if (s[0] < 0x80)
		return 1;
	if (s[0] >= 0xc2 && s[0] <= 0xdf)
		need = 2;
	else if (s[0] >= 0xe0 && s[0] <= 0xef)
		need = 3;
	else if (s[0] >= 0xf0 && s[0] <= 0xf4)
		need = 4;
	else
		return 0;
	if (s[0] == 0xe0)
		lo = 0xa0; /* overlong */
	else if (s[0] == 0xed)
		hi = 0x9f; /* surrogates */
	else if (s[0] == 0xf0)
		lo = 0x90;
	else if (s[0] == 0xf4)
		hi = 0x8f; /* past U+10FFFF */
	for (int i = 1; i < need; i++) {
		if ((size_t)i >= len)
			return -1;
		if (s[i] < lo || s[i] > hi)
			return 0;
		lo = 0x80;
		hi = 0xbf;
	}
	return need;
}

bool utf8_valid(const void *bytes, size_t len)
{
	const unsigned char *s = bytes;

	for (size_t i = 0; i < len;) {
		int n = character(s + i, len - i);

		if (n <= 0)
			return false;
		i += (size_t)n;
	}
	return true;
}

char *utf8_replace(const void *bytes, size_t len, size_t *out_len)
{
	const unsigned char *s = bytes;
	char *out = xmalloc(len * 3 + 1);
	size_t at = 0;

	for (size_t i = 0; i < len;) {
		int n = character(s + i, len - i);

		if (n > 0 && s[i]) {
			memcpy(out + at, s + i, (size_t)n);
			at += (size_t)n;
			i += (size_t)n;
		} else {
			memcpy(out + at, "\xef\xbf\xbd", 3);
			at += 3;
			i++;
		}
	}
	out[at] = '\0';
	if (out_len)
		*out_len = at;
	return out;
}

void utf8_one_line(char *text)
{
	for (unsigned char *at = (unsigned char *)text; *at; at++) {
		if (*at < ' ' || *at == 0x7f)
			*at = ' ';
		else if (at[0] == 0xc2 && at[1] >= 0x80 &&
			 at[1] < 0xa0) /* U+0080 to U+009F */
			at[0] = at[1] = ' ';
	}
}

size_t utf8_whole(const void *bytes, size_t len)
{
	const unsigned char *s = bytes;

	for (size_t back = 1; back <= 3 && back <= len; back++) {
		unsigned char c = s[len - back];

		if (c >= 0xc0)
			return character(s + len - back, back) < 0 ? len - back : len;
		if (c < 0x80)
			break;
	}
	return len;
}

void str_trim_utf8(char *s)
{
	s[utf8_whole(s, strlen(s))] = '\0';
}

char *str_quote(char out[STR_QUOTE_SIZE], const void *bytes, size_t len)
{
	const unsigned char *s = bytes;
	size_t shown = len > 64 ? utf8_whole(s, 64) : len;
	size_t at = 0;

	for (size_t i = 0; i < shown && at < STR_QUOTE_SIZE - 9;) {
		int n = character(s + i, shown - i);

		if (n > 0 && s[i] >= 0x20 && s[i] != 0x7f && s[i] != '"') {
			memcpy(out + at, s + i, (size_t)n);
			at += (size_t)n;
			i += (size_t)n;
		} else {
			at += (size_t)snprintf(out + at, 5, "\\x%02x", s[i]);
			i++;
		}
	}
	snprintf(out + at, STR_QUOTE_SIZE - at, "%s", len > shown ? "..." : "");
	return out;
}

size_t str_distance(const char *a, const char *b)
{
	size_t n = strlen(b);
	CLEANUP(free_ptr) size_t *row = xcalloc(n + 1, sizeof(*row));

	for (size_t k = 0; k <= n; k++)
		row[k] = k;
	for (size_t i = 0; a[i]; i++) {
		size_t diagonal = row[0];

		row[0] = i + 1;
		for (size_t k = 0; k < n; k++) {
			size_t replaced = diagonal + (a[i] != b[k]);
			size_t least = row[k] < row[k + 1] ? row[k] : row[k + 1];

			diagonal = row[k + 1];
			row[k + 1] = replaced < least + 1 ? replaced : least + 1;
		}
	}
	return row[n];
}

static int not_a(struct err *e, const char *what, const char *text)
{
	char quoted[STR_QUOTE_SIZE];

	return err_set(e, ERR_INVALID, "\"%s\" is not %s",
		str_quote(quoted, text, strlen(text)), what);
}

int parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *n, struct err *e)
{
	char *end = NULL;

	if (!isdigit((unsigned char)*text))
		return not_a(e, "a whole number", text);
	errno = 0;
	unsigned long long value = strtoull(text, &end, 10);
	if (*end)
		return not_a(e, "a whole number", text);
	if (errno || value < min || value > max)
		return err_set(e, ERR_INVALID, "%.40s is not in %" PRIu64 "..%" PRIu64,
			text, min, max);
	*n = value;
	return 0;
}

int parse_i64(const char *text, int64_t min, int64_t max, int64_t *n, struct err *e)
{
	char *end = NULL;

	if (!isdigit((unsigned char)text[*text == '-']))
		return not_a(e, "a whole number", text);
	errno = 0;
	long long value = strtoll(text, &end, 10);
	if (*end)
		return not_a(e, "a whole number", text);
	if (errno || value < min || value > max)
		return err_set(e, ERR_INVALID, "%.40s is not in %" PRId64 "..%" PRId64,
			text, min, max);
	*n = value;
	return 0;
}

struct unit {
	const char *suffix;
	int64_t factor;
};

/* A whole number with one of the units after it; the list ends with a NULL suffix. */
static int parse_with_unit(const char *text, const struct unit *units, const char *what,
	int64_t *n, struct err *e)
{
	char *end = NULL;

	if (!isdigit((unsigned char)*text))
		return not_a(e, what, text);
	errno = 0;
	long long value = strtoll(text, &end, 10);
	for (const struct unit *u = units; u->suffix; u++) {
		if (strcmp(end, u->suffix) != 0)
			continue;
		if (errno || value > INT64_MAX / u->factor)
			return err_set(e, ERR_INVALID, "%.40s is too large", text);
		*n = value * u->factor;
		return 0;
	}
	return not_a(e, what, text);
}

int parse_duration_s(const char *text, int64_t *seconds, struct err *e)
{
	static const struct unit units[] = { { "", 1 }, { "s", 1 }, { "m", 60 },
		{ "h", 3600 }, { "d", 86400 }, { NULL, 0 } };

	return parse_with_unit(
		text, units, "a duration such as 90s, 10m or 2h", seconds, e);
}

int parse_bytes(const char *text, int64_t *bytes, struct err *e)
{
	static const struct unit units[] = { { "", 1 }, { "K", 1 << 10 },
		{ "KiB", 1 << 10 }, { "M", 1 << 20 }, { "MiB", 1 << 20 },
		{ "G", 1 << 30 }, { "GiB", 1 << 30 }, { "T", 1LL << 40 },
		{ "TiB", 1LL << 40 }, { NULL, 0 } };

	return parse_with_unit(text, units, "a size such as 512M or 4G", bytes, e);
}

int parse_hundredths(const char *text, uint32_t *hundredths, struct err *e)
{
	static const char what[] =
		"a number with at most two decimals, such as 0.25 or 2";
	uint32_t value = 0;
	const char *s = text;
	int digits = 0, decimals = 0;

	for (; isdigit((unsigned char)*s); s++, digits++) {
		if (digits >= 6)
			return not_a(e, what, text);
		value = value * 10 + (uint32_t)(*s - '0');
	}
	if (*s == '.') {
		for (s++; isdigit((unsigned char)*s) && decimals < 2; s++, decimals++)
			value = value * 10 + (uint32_t)(*s - '0');
		if (!decimals)
			return not_a(e, what, text);
	}
	if (*s || digits + decimals == 0)
		return not_a(e, what, text);
	for (; decimals < 2; decimals++)
		value *= 10;
	*hundredths = value;
	return 0;
}

char *format_hundredths(char *out, size_t size, uint32_t hundredths)
{
	uint32_t whole = hundredths / 100, rest = hundredths % 100;

	if (!rest)
		snprintf(out, size, "%u", whole);
	else if (rest % 10 == 0)
		snprintf(out, size, "%u.%u", whole, rest / 10);
	else
		snprintf(out, size, "%u.%02u", whole, rest);
	return out;
}

void hex_encode(char *out, const void *bytes, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *s = bytes;

	for (size_t i = 0; i < len; i++) {
		out[2 * i] = digits[s[i] >> 4];
		out[2 * i + 1] = digits[s[i] & 15];
	}
	out[2 * len] = '\0';
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int hex_decode(void *out, size_t len, const char *text, struct err *e)
{
	unsigned char *bytes = out;

	if (strlen(text) != 2 * len)
		return err_set(e, ERR_INVALID, "expected %zu hex digits", 2 * len);
	for (size_t i = 0; i < 2 * len; i++)
		if (hex_digit(text[i]) < 0)
			return not_a(e, "lower-case hex", text);
	for (size_t i = 0; i < len; i++)
		bytes[i] = (unsigned char)(hex_digit(text[2 * i]) * 16 +
					   hex_digit(text[2 * i + 1]));
	return 0;
}
