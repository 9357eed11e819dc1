/* timeout.c - reads and writes the header grpc-timeout. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "timeout.h"

#include <inttypes.h>
#include <stdio.h>

#include "str.h"

#define DIGITS_MAX 8
#define VALUE_MAX  UINT64_C(99999999)

/* Coarser units last; the largest value, 99999999 hours, is 3.6e14 ms: nothing overflows. */
static const struct unit {
	char name;
	int64_t ms;     /* in one unit, or 0 */
	int64_t per_ms; /* units in one millisecond, for the finer ones */
} units[] = {
	{ 'n', 0, 1000000 },
	{ 'u', 0, 1000 },
	{ 'm', 1, 1 },
	{ 'S', 1000, 1 },
	{ 'M', 60 * 1000, 1 },
	{ 'H', 60 * 60 * 1000, 1 },
};

static int malformed(const char *text, size_t len, struct err *e)
{
	char quoted[STR_QUOTE_SIZE];

	return err_set(e, ERR_INVALID, "malformed grpc-timeout \"%s\"",
		str_quote(quoted, text, len));
}

int timeout_parse(const char *text, size_t len, int64_t *ms, struct err *e)
{
	int64_t value = 0;

	if (len < 2 || len > DIGITS_MAX + 1)
		return malformed(text, len, e);
	for (size_t i = 0; i < len - 1; i++) {
		if (text[i] < '0' || text[i] > '9')
			return malformed(text, len, e);
		value = value * 10 + (text[i] - '0');
	}
	for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++) {
		if (units[i].name != text[len - 1])
			continue;
		*ms = units[i].ms ? value * units[i].ms : value / units[i].per_ms;
		return 0;
	}
	return malformed(text, len, e);
}

void timeout_format(char out[TIMEOUT_SIZE], uint64_t ms)
{
	const struct unit *u = &units[2];
	const struct unit *last = &units[sizeof(units) / sizeof(*units) - 1];

	while (u < last && ms / (uint64_t)u->ms >= VALUE_MAX)
		u++;

	uint64_t value = ms / (uint64_t)u->ms + (ms % (uint64_t)u->ms != 0);

	if (value > VALUE_MAX)
		value = VALUE_MAX;
	snprintf(out, TIMEOUT_SIZE, "%" PRIu64 "%c", value, u->name);
}
