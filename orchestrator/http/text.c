/* text.c - writes Prometheus's text format. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "str.h"

void text_family(struct buf *out, const char *name, const char *type, const char *help)
{
	buf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void add_escaped(struct buf *out, const char *value)
{
	for (;;) {
		size_t plain = strcspn(value, "\"\\\n");

		buf_add(out, value, plain);
		value += plain;
		if (!*value)
			return;
		buf_add(out, *value == '\n' ? "\\n" : *value == '"' ? "\\\"" : "\\\\", 2);
		value++;
	}
}

static void add_value(struct buf *out, const char *value)
{
	size_t len = strlen(value);

	if (utf8_valid(value, len)) {
		add_escaped(out, value);
		return;
	}

	CLEANUP(free_ptr) char *valid = utf8_replace(value, len, NULL);
	add_escaped(out, valid);
}

static void add_text(struct buf *out, const char *text)
{
	buf_add(out, text, strlen(text));
}

/* The name and its labels; le is one more, NULL for none. */
static void add_name(struct buf *out, const char *name, const char *suffix,
	text_labels labels, const char *le)
{
	const char *before = "{";

	add_text(out, name);
	add_text(out, suffix);
	for (; labels && *labels; labels += 2) {
		add_text(out, before);
		add_text(out, labels[0]);
		add_text(out, "=\"");
		add_value(out, labels[1]);
		buf_add(out, "\"", 1);
		before = ",";
	}
	if (le)
		buf_addf(out, "%sle=\"%s\"", before, le);
	if (le || *before == ',')
		buf_add(out, "}", 1);
}

void text_sample(struct buf *out, const char *name, text_labels labels, double value)
{
	add_name(out, name, "", labels, NULL);
	buf_addf(out, " %.15g\n", value);
}

void text_count(struct buf *out, const char *name, text_labels labels, uint64_t value)
{
	add_name(out, name, "", labels, NULL);
	buf_addf(out, " %" PRIu64 "\n", value);
}

void text_histogram(
	struct buf *out, const char *name, text_labels labels, const struct histogram *h)
{
	uint64_t below = 0;

	for (size_t i = 0; i <= h->bound_count; i++) {
		char bound[32] = "+Inf";

		below += h->in[i];
		if (i < h->bound_count)
			str_put(bound, sizeof(bound), "%.15g", h->bounds[i]);
		add_name(out, name, "_bucket", labels, bound);
		buf_addf(out, " %" PRIu64 "\n", below);
	}
	add_name(out, name, "_sum", labels, NULL);
	buf_addf(out, " %.15g\n", h->sum);
	add_name(out, name, "_count", labels, NULL);
	buf_addf(out, " %" PRIu64 "\n", below);
}

void text_gauge(struct buf *out, const char *name, const char *help, double value)
{
	text_family(out, name, "gauge", help);
	text_sample(out, name, NULL, value);
}

void text_counter(struct buf *out, const char *name, const char *help, uint64_t value)
{
	text_family(out, name, "counter", help);
	text_count(out, name, NULL, value);
}
