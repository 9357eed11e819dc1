/* id.c - makes and checks names of jobs and workers. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "id.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "str.h"

static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz234567";

void id_format(char out[ID_SIZE], char kind, const uint8_t random[ID_RANDOM])
{
	uint32_t bits = 0;
	int have = 0;
	char *at = out;

	*at++ = kind;
	*at++ = '-';
	for (int i = 0; i < ID_RANDOM; i++) {
		bits = bits << 8 | random[i];
		for (have += 8; have >= 5; have -= 5)
			*at++ = alphabet[bits >> (have - 5) & 31];
	}
	*at = '\0';
}

static void fill(uint8_t *random, size_t size)
{
	if (getrandom(random, size, 0) != (ssize_t)size)
		abort();
}

void id_make(char out[ID_SIZE], char kind)
{
	uint8_t random[ID_RANDOM];

	fill(random, sizeof(random));
	id_format(out, kind, random);
}

void id_make_at(char out[ID_SIZE], char kind, int64_t wall_ns)
{
	const uint64_t step = (uint64_t)wall_ns >> 23;
	uint8_t bits[ID_RANDOM] = { (uint8_t)(step >> 16), (uint8_t)(step >> 8),
		(uint8_t)step };

	fill(bits + 3, sizeof(bits) - 3);
	id_format(out, kind, bits);
}

bool id_valid(const char *text, char kind)
{
	return strlen(text) == ID_SIZE - 1 && text[0] == kind && text[1] == '-' &&
	       strspn(text + 2, alphabet) == ID_SIZE - 3;
}

void run_name(char out[RUN_NAME_SIZE], const char *job, int32_t attempt)
{
	snprintf(out, RUN_NAME_SIZE, "%s.%d", job, attempt);
}

bool run_name_parse(const char *name, char job[ID_SIZE], int32_t *attempt)
{
	char id[ID_SIZE] = "";
	uint64_t number;

	if (strlen(name) < ID_SIZE + 1 || name[ID_SIZE - 1] != '.')
		return false;
	memcpy(id, name, ID_SIZE - 1);
	if (!id_valid(id, 'j') || name[ID_SIZE] == '0' ||
		parse_u64(name + ID_SIZE, 1, INT32_MAX, &number, NULL) < 0)
		return false;
	memcpy(job, id, ID_SIZE);
	*attempt = (int32_t)number;
	return true;
}
