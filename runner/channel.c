/* channel.c - what a job says over its channel: progress, a result, or a failure. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "channel.h"

#include <endian.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "str.h"
#include "xalloc.h"

#define PROGRESS_HEAD 8 /* a double, little-endian */

void channel_init(struct channel *c, size_t result_limit)
{
	*c = (struct channel){ .result_limit = result_limit };
}

void channel_fini(struct channel *c)
{
	buf_fini(&c->document);
}

static void take_progress(struct channel *c, const uint8_t *data, size_t len)
{
	uint64_t bits;
	double fraction;

	if (len < PROGRESS_HEAD)
		return;
	memcpy(&bits, data, sizeof(bits));
	bits = le64toh(bits);
	memcpy(&fraction, &bits, sizeof(fraction));
	if (!isfinite(fraction) || fraction < 0 || fraction > 1)
		return;

	CLEANUP(free_ptr)
	char *text = utf8_replace(data + PROGRESS_HEAD, len - PROGRESS_HEAD, NULL);
	str_join(c->text, sizeof(c->text), text, "", "");
	utf8_one_line(c->text);
	c->fraction = (float)fraction;
	c->progress_new = true;
}

static void take_part(
	struct channel *c, enum result_kind kind, const uint8_t *data, size_t len)
{
	size_t limit = kind == RESULT_SUCCESS ? c->result_limit : CHANNEL_FAILURE_MAX;

	if (c->complete || c->kind == RESULT_TOO_LARGE)
		return;
	if (c->kind != kind)
		buf_clear(&c->document);
	c->kind = kind;
	if (len > limit - c->document.len) {
		buf_fini(&c->document);
		c->kind = RESULT_TOO_LARGE;
		return;
	}
	buf_add(&c->document, data, len);
}

void channel_take(struct channel *c, const uint8_t *packet, size_t len, int64_t boot_ns)
{
	if (!len)
		return;

	const uint8_t *data = packet + 1;
	len--;
	switch (packet[0]) {
	case 'M':
		if (!c->main_boot_ns)
			c->main_boot_ns = boot_ns;
		return;
	case 'P':
		take_progress(c, data, len);
		return;
	case 'S':
		take_part(c, RESULT_SUCCESS, data, len);
		return;
	case 'F':
		take_part(c, RESULT_FAILURE, data, len);
		return;
	case 'I':
		c->invalid = !c->complete;
		return;
	case 'E':
		c->complete = c->kind != RESULT_NONE;
		return;
	default: /* noise of the job's own making */
		return;
	}
}

static void json_undo(json_t **j)
{
	json_decref(*j);
}

/* A string of the document as valid UTF-8 without NUL, "" where there is none. */
static char *member(const json_t *document, const char *name)
{
	const json_t *value = json_object_get(document, name);

	if (!json_is_string(value))
		return xstrdup("");
	return utf8_replace(json_string_value(value), json_string_length(value), NULL);
}

static void finish_failure(const struct channel *c, struct channel_end *out)
{
	CLEANUP(json_undo)
	json_t *document = json_loadb(
		(const char *)c->document.data, c->document.len, JSON_ALLOW_NUL, NULL);
	CLEANUP(free_ptr) char *type = member(document, "error_type");
	CLEANUP(free_ptr) char *text = member(document, "error");

	if (!document)
		str_put(out->message, sizeof(out->message),
			"the job failed, but how it did cannot be read");
	else if (c->invalid || !*type)
		str_join(out->message, sizeof(out->message), text, "", "");
	else
		str_join(out->message, sizeof(out->message), type, *text ? ": " : "",
			text);
	out->traceback = member(document, "traceback");
	out->kind = c->invalid ? RESULT_INVALID : RESULT_FAILURE;
}

void channel_finish(const struct channel *c, struct channel_end *out)
{
	*out = (struct channel_end){ .kind = c->kind };
	if (c->kind == RESULT_TOO_LARGE)
		return;
	/* Half a document says that the job died while it spoke. */
	if (!c->complete) {
		out->kind = RESULT_NONE;
		return;
	}
	if (c->kind == RESULT_FAILURE)
		finish_failure(c, out);
	else if (!utf8_valid(c->document.data, c->document.len)) {
		out->kind = RESULT_INVALID;
		str_put(out->message, sizeof(out->message),
			"the result is not valid UTF-8");
	}
}
