/* metadata.c - keeps metadata in one run of bytes; percent-encodes status texts. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "metadata.h"

#include <nghttp2/nghttp2.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "str.h"
#include "xalloc.h"

void metadata_fini(struct metadata *m)
{
	if (m->pairs)
		buf_fini(m->pairs);
	free(m->pairs);
	m->pairs = NULL;
}

void metadata_add(struct metadata *m, const void *name, size_t name_len,
	const void *value, size_t value_len)
{
	if (!m->pairs)
		m->pairs = xcalloc(1, sizeof(*m->pairs));
	buf_add(m->pairs, name, name_len);
	buf_add(m->pairs, "", 1);
	buf_add(m->pairs, value, value_len);
	buf_add(m->pairs, "", 1);
}

bool metadata_next(const struct metadata *m, size_t *at, struct wire_pair *pair)
{
	if (!m->pairs || *at >= m->pairs->len)
		return false;
	pair->name = (const char *)m->pairs->data + *at;
	pair->value = pair->name + strlen(pair->name) + 1;
	*at += strlen(pair->name) + strlen(pair->value) + 2;
	return true;
}

const char *metadata_find(const struct metadata *m, const char *name)
{
	const char *found = NULL;
	struct wire_pair pair;

	for (size_t at = 0; metadata_next(m, &at, &pair);)
		if (strcmp(pair.name, name) == 0)
			found = pair.value;
	return found;
}

bool metadata_name_free(const void *name, size_t len)
{
	static const char *const taken[] = { "te", "content-type", "user-agent",
		"accept-encoding", "host", "connection", "transfer-encoding",
		"keep-alive", "upgrade", "proxy-connection", "content-length" };

	if (len >= 1 && *(const char *)name == ':')
		return false;
	if (len >= 5 && memcmp(name, "grpc-", 5) == 0)
		return false;
	for (size_t i = 0; i < sizeof(taken) / sizeof(*taken); i++)
		if (strlen(taken[i]) == len && memcmp(taken[i], name, len) == 0)
			return false;
	return true;
}

int metadata_check(const struct wire_pair *pair, struct err *e)
{
	char quoted[STR_QUOTE_SIZE];
	size_t name_len = strlen(pair->name);
	size_t value_len = strlen(pair->value);

	if (!name_len || !metadata_name_free(pair->name, name_len) ||
		!nghttp2_check_header_name((const uint8_t *)pair->name, name_len))
		return err_set(e, ERR_INVALID, "metadata name \"%s\" cannot be used",
			str_quote(quoted, pair->name, name_len));
	if (!nghttp2_check_header_value((const uint8_t *)pair->value, value_len))
		return err_set(e, ERR_INVALID,
			"the value of metadata \"%s\" cannot be sent",
			str_quote(quoted, pair->name, name_len));
	return 0;
}

static bool is_plain(unsigned char c)
{
	return c >= 0x20 && c <= 0x7e && c != '%';
}

char *status_text_encode(const char *text)
{
	static const char digits[] = "0123456789ABCDEF";
	size_t len = 0;
	CLEANUP(free_ptr) char *valid = utf8_replace(text, strlen(text), &len);
	struct buf out = { 0 };

	if (len > WIRE_STATUS_TEXT_MAX) {
		valid[WIRE_STATUS_TEXT_MAX] = '\0';
		str_trim_utf8(valid);
	}
	for (const char *s = valid; *s; s++) {
		unsigned char c = (unsigned char)*s;
		char hex[3] = { '%', digits[c >> 4], digits[c & 15] };

		if (is_plain(c))
			buf_add(&out, s, 1);
		else
			buf_add(&out, hex, 3);
	}
	return buf_take_str(&out);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* What is not an escape stays as it is: a text is never lost to a peer's mistake. */
char *status_text_decode(const void *text, size_t len)
{
	const char *in = text;
	CLEANUP(free_ptr) char *plain = xmalloc(len + 1);
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		bool escape = in[i] == '%' && len - i > 2 && hex_digit(in[i + 1]) >= 0 &&
			      hex_digit(in[i + 2]) >= 0;

		if (escape) {
			plain[n++] =
				(char)(hex_digit(in[i + 1]) << 4 | hex_digit(in[i + 2]));
			i += 2;
		} else {
			plain[n++] = in[i];
		}
	}
	return utf8_replace(plain, n, NULL);
}
