/* fuzz_channel.c - whatever a job says to its runner: bounded, and its end is text. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "channel.h"
#include "exits.h"
#include "str.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

#define RESULT_MAX 200

static void check_text(const char *text)
{
	if (text && !utf8_valid(text, strlen(text)))
		abort();
}

/* How it would be reported. */
static void judge(const struct channel *c, struct channel_end *end)
{
	const struct ending ending = {
		.exit = { EXIT_EXITED, 0 },
		.result = end->kind,
		.failure = end->message,
		.traceback = end->traceback,
		.result_limit = RESULT_MAX,
	};
	const struct buf none = { 0 };
	struct verdict v;

	verdict_of(&ending, &v);
	check_text(v.message);
	if (strpbrk(v.message, "\r\n\x1b\x7f") || strstr(v.message, "\xc2\x9b"))
		abort();

	char *error = error_text(v.message, end->traceback, &none);

	check_text(error);
	if (strlen(error) > RUN_ERROR_MAX)
		abort();
	free(error);
	if (end->kind == RESULT_SUCCESS &&
		(c->document.len > RESULT_MAX ||
			!utf8_valid(c->document.data, c->document.len)))
		abort();
}

/* Packets of a byte's length, then their bytes. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	const uint8_t *last = bytes + len;
	struct channel_end end;
	struct channel c;

	channel_init(&c, RESULT_MAX);
	while (bytes < last) {
		size_t want = *bytes++;
		size_t have = (size_t)(last - bytes);
		size_t take = want < have ? want : have;

		channel_take(&c, bytes, take, 1);
		check_text(c.text);
		if (c.fraction < 0 || c.fraction > 1)
			abort();
		bytes += take;
	}
	channel_finish(&c, &end);
	judge(&c, &end);
	free(end.traceback);
	channel_fini(&c);
	return 0;
}
