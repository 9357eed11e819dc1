/* amount.c - shares, bytes and counts as exact integers. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "amount.h"

#include "error.h"

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

bool chronos_digits_parse(const char *text, uint64_t max, uint64_t *n)
{
	uint64_t value = 0;

	if (!*text)
		return false;
	for (; *text; text++) {
		if (!is_digit(*text))
			return false;
		uint64_t digit = (uint64_t)(*text - '0');
		if (digit > max || value > (max - digit) / 10)
			return false;
		value = value * 10 + digit;
	}
	*n = value;
	return true;
}

/* [0|1] [. digit [digit]], with at least one digit: false for anything else. */
static bool read_decimal(const char *p, uint32_t *hundredths)
{
	uint32_t value = 0;
	bool digits = *p == '0' || *p == '1';

	if (digits)
		value = (uint32_t)(*p++ - '0') * 100;
	if (*p == '.') {
		digits = is_digit(p[1]);
		if (!digits)
			return false;
		value += (uint32_t)(p[1] - '0') * 10;
		p += 2;
		if (is_digit(*p))
			value += (uint32_t)(*p++ - '0');
	}
	if (!digits || *p)
		return false;
	*hundredths = value;
	return true;
}

int chronos_share_parse(const char *text, uint32_t *hundredths, struct chronos_error *e)
{
	uint32_t value;

	if (!read_decimal(text, &value) || value < 1 || value > CHRONOS_WHOLE)
		return chronos_fail(e, CHRONOS_INVALID,
			"share \"%.32s\" is not a number from 0.01 to 1 with at most two "
			"decimals",
			text);
	*hundredths = value;
	return 0;
}

uint64_t chronos_share_bytes(uint64_t memory_bytes, uint32_t hundredths)
{
	return (uint64_t)((unsigned __int128)memory_bytes * hundredths / CHRONOS_WHOLE);
}
