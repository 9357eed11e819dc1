/* message.c - walks over a message's bytes by its descriptor before they are unpacked. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "message.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include "str.h"

#define FIELDS_MAX 256 /* of one of our own messages; an assert */
/* What protobuf-c needs per field on the wire, per allocation and per unknown field. */
#define COST_FIELD   ((size_t)64)
#define COST_ALLOC   ((size_t)16)
#define COST_UNKNOWN ((size_t)64)
#define TAG_MAX      ((UINT64_C(1) << 32) - 1)

struct walk {
	size_t cost; /* bytes that unpacking would take so far */
	struct err *e;
};

struct cursor {
	const uint8_t *at, *end;
};

struct seen { /* which fields of one message came already */
	uint64_t bits[FIELDS_MAX / 64];
};

static int spend(struct walk *w, size_t bytes)
{
	w->cost += bytes;
	if (w->cost > WIRE_MESSAGE_MEMORY)
		return err_set(w->e, ERR_EXHAUSTED,
			"the message would take more than %zu bytes of memory",
			WIRE_MESSAGE_MEMORY);
	return 0;
}

static int malformed(
	struct walk *w, const ProtobufCMessageDescriptor *type, const char *what)
{
	return err_set(
		w->e, ERR_INVALID, "%s: malformed message: %s", type->short_name, what);
}

static bool read_varint(struct cursor *c, uint64_t *value)
{
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 70 && c->at < c->end; shift += 7) {
		uint8_t byte = *c->at++;

		if (shift < 64)
			v |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80)) {
			*value = v;
			return true;
		}
	}
	return false;
}

/* Step over one value of the wire type; of a length-prefixed one *inner is the content. */
static bool read_value(struct cursor *c, unsigned wire_type, struct cursor *inner)
{
	uint64_t n;

	*inner = *c;
	switch (wire_type) {
	case PROTOBUF_C_WIRE_TYPE_VARINT:
		if (!read_varint(c, &n))
			return false;
		break;
	case PROTOBUF_C_WIRE_TYPE_64BIT:
		if (c->end - c->at < 8)
			return false;
		c->at += 8;
		break;
	case PROTOBUF_C_WIRE_TYPE_32BIT:
		if (c->end - c->at < 4)
			return false;
		c->at += 4;
		break;
	case PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED:
		if (!read_varint(c, &n) || n > (uint64_t)(c->end - c->at))
			return false;
		inner->at = c->at;
		c->at += n;
		break;
	default: /* groups, and what does not exist */
		return false;
	}
	inner->end = c->at;
	return true;
}

static const unsigned wire_types[] = {
	[PROTOBUF_C_TYPE_INT32] = PROTOBUF_C_WIRE_TYPE_VARINT,
	[PROTOBUF_C_TYPE_SINT32] = PROTOBUF_C_WIRE_TYPE_VARINT,
	[PROTOBUF_C_TYPE_SFIXED32] = PROTOBUF_C_WIRE_TYPE_32BIT,
	[PROTOBUF_C_TYPE_INT64] = PROTOBUF_C_WIRE_TYPE_VARINT,
	[PROTOBUF_C_TYPE_SINT64] = PROTOBUF_C_WIRE_TYPE_VARINT,
	[PROTOBUF_C_TYPE_SFIXED64] = PROTOBUF_C_WIRE_TYPE_64BIT,
	[PROTOBUF_C_TYPE_UINT32] = PROTOBUF_C_WIRE_TYPE_VARINT,
	[PROTOBUF_C_TYPE_FIXED32] = PROTOBUF_C_WIRE_TYPE_32BIT,
	[PROTOBUF_C_TYPE_UINT64] = PROTOBUF_C_WIRE_TYPE_VARINT,
	[PROTOBUF_C_TYPE_FIXED64] = PROTOBUF_C_WIRE_TYPE_64BIT,
	[PROTOBUF_C_TYPE_FLOAT] = PROTOBUF_C_WIRE_TYPE_32BIT,
	[PROTOBUF_C_TYPE_DOUBLE] = PROTOBUF_C_WIRE_TYPE_64BIT,
	[PROTOBUF_C_TYPE_BOOL] = PROTOBUF_C_WIRE_TYPE_VARINT,
	[PROTOBUF_C_TYPE_ENUM] = PROTOBUF_C_WIRE_TYPE_VARINT,
	[PROTOBUF_C_TYPE_STRING] = PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED,
	[PROTOBUF_C_TYPE_BYTES] = PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED,
	[PROTOBUF_C_TYPE_MESSAGE] = PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED,
};

/* A repeated number may come packed, whatever the descriptor says. */
static bool is_packed(const ProtobufCFieldDescriptor *field, unsigned wire_type)
{
	return field->label == PROTOBUF_C_LABEL_REPEATED &&
	       wire_type == PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED &&
	       wire_types[field->type] != PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED;
}

/* Merging twice-sent messages and replacing oneofs is allowed by the format, done by no
 * encoder, and the part of protobuf-c that broke most often. */
static int check_once(struct walk *w, const ProtobufCMessageDescriptor *type,
	const ProtobufCFieldDescriptor *field, struct seen *seen)
{
	bool oneof = field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF;

	if (field->label == PROTOBUF_C_LABEL_REPEATED ||
		(!oneof && field->type != PROTOBUF_C_TYPE_MESSAGE))
		return 0;
	for (unsigned i = 0; i < type->n_fields; i++) {
		const ProtobufCFieldDescriptor *other = &type->fields[i];
		bool same = other == field ||
			    (oneof && other->flags & PROTOBUF_C_FIELD_FLAG_ONEOF &&
				    other->quantifier_offset == field->quantifier_offset);

		if (same && seen->bits[i / 64] & UINT64_C(1) << (i % 64))
			return err_set(w->e, ERR_INVALID,
				"%s.%s: comes after %s, only one may be there",
				type->short_name, field->name, other->name);
	}
	size_t index = (size_t)(field - type->fields);

	seen->bits[index / 64] |= UINT64_C(1) << (index % 64);
	return 0;
}

static int check_string(struct walk *w, const ProtobufCMessageDescriptor *type,
	const ProtobufCFieldDescriptor *field, const struct cursor *text)
{
	size_t len = (size_t)(text->end - text->at);

	if (memchr(text->at, '\0', len))
		return err_set(w->e, ERR_INVALID, "%s.%s: a string must not hold NUL",
			type->short_name, field->name);
	if (!utf8_valid(text->at, len))
		return err_set(w->e, ERR_INVALID, "%s.%s: a string must be valid UTF-8",
			type->short_name, field->name);
	return 0;
}

static int check_message(struct walk *w, const ProtobufCMessageDescriptor *type,
	struct cursor c, unsigned depth);

static int check_content(struct walk *w, const ProtobufCMessageDescriptor *type,
	const ProtobufCFieldDescriptor *field, struct cursor content, unsigned depth)
{
	size_t len = (size_t)(content.end - content.at);

	switch (field->type) {
	case PROTOBUF_C_TYPE_MESSAGE:
		return check_message(w, field->descriptor, content, depth + 1);
	case PROTOBUF_C_TYPE_STRING:
		if (check_string(w, type, field, &content) < 0)
			return -1;
		return spend(w, len + COST_ALLOC);
	case PROTOBUF_C_TYPE_BYTES:
		return spend(w, len + COST_ALLOC);
	default: /* packed: one byte on the wire may become eight */
		return spend(w, 8 * len);
	}
}

static int check_field(struct walk *w, const ProtobufCMessageDescriptor *type,
	struct cursor *c, struct seen *seen, unsigned depth)
{
	uint64_t tag;
	struct cursor value;

	if (!read_varint(c, &tag) || tag > TAG_MAX || tag >> 3 == 0)
		return malformed(w, type, "no such field number");

	unsigned wire_type = tag & 7;
	const ProtobufCFieldDescriptor *field =
		protobuf_c_message_descriptor_get_field(type, (unsigned)(tag >> 3));

	if (!read_value(c, wire_type, &value))
		return malformed(w, type, field ? field->name : "unknown field");
	if (spend(w, COST_FIELD) < 0)
		return -1;
	if (!field)
		return spend(w, COST_UNKNOWN + (size_t)(value.end - value.at));
	if (wire_type != wire_types[field->type] && !is_packed(field, wire_type))
		return malformed(w, type, field->name);
	if (check_once(w, type, field, seen) < 0)
		return -1;
	if (wire_type != PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED)
		return 0;
	return check_content(w, type, field, value, depth);
}

static int check_message(struct walk *w, const ProtobufCMessageDescriptor *type,
	struct cursor c, unsigned depth)
{
	struct seen seen = { 0 };

	assert(type->n_fields <= FIELDS_MAX);
	if (depth >= WIRE_MESSAGE_DEPTH)
		return malformed(w, type, "too many messages inside messages");
	if (spend(w, type->sizeof_message + COST_ALLOC) < 0)
		return -1;
	while (c.at < c.end)
		if (check_field(w, type, &c, &seen, depth) < 0)
			return -1;
	return 0;
}

int wire_message_check(const ProtobufCMessageDescriptor *type, const void *bytes,
	size_t len, struct err *e)
{
	struct walk w = { .e = e };
	const uint8_t *start = bytes ? bytes : (const uint8_t *)"";
	struct cursor c = { start, start + len };

	return check_message(&w, type, c, 0);
}

ProtobufCMessage *wire_message_read(const ProtobufCMessageDescriptor *type,
	const void *bytes, size_t len, struct err *e)
{
	if (wire_message_check(type, bytes, len, e) < 0)
		return NULL;

	ProtobufCMessage *m = protobuf_c_message_unpack(type, NULL, len, bytes);

	if (!m)
		err_set(e, ERR_INVALID, "%s: malformed message", type->short_name);
	return m;
}

void wire_message_free(void *message)
{
	protobuf_c_message_free_unpacked(message, NULL);
}

void wire_message_write(const void *message, struct buf *out)
{
	size_t len = protobuf_c_message_get_packed_size(message);

	protobuf_c_message_pack(message, buf_reserve(out, len));
	buf_added(out, len);
}
