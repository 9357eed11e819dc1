/* labels.c - packed labels: checked as a whole, walked pair by pair. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "store.h"

/* The text that starts at *at; NULL when it has no end. */
static const char *next_text(const uint8_t *bytes, size_t len, size_t *at)
{
	const char *text = (const char *)bytes + *at;
	size_t length = strnlen(text, len - *at);

	if (length == len - *at)
		return NULL;
	*at += length + 1;
	return text;
}

bool labels_next(const uint8_t *bytes, size_t len, size_t *at, const char **key,
	const char **value)
{
	size_t end = *at;

	if (end >= len)
		return false;
	const char *first = next_text(bytes, len, &end);
	const char *second = first && end < len ? next_text(bytes, len, &end) : NULL;
	if (!second)
		return false;
	*key = first;
	*value = second;
	*at = end;
	return true;
}

bool labels_valid(const uint8_t *bytes, size_t len)
{
	const char *last = NULL, *key, *value;
	size_t at = 0;

	while (labels_next(bytes, len, &at, &key, &value)) {
		if (last && strcmp(last, key) >= 0)
			return false;
		last = key;
	}
	return at == len;
}
