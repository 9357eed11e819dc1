/* json.c - walks a message by its descriptor. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "json.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "str.h"
#include "terminal.h"
#include "xalloc.h"

static json_t *of_text(const void *bytes, size_t len)
{
	size_t valid_len = 0;
	CLEANUP(free_ptr) char *valid = utf8_replace(bytes, len, &valid_len);

	return json_stringn(valid, valid_len);
}

static json_t *of_float(float f)
{
	char text[32];

	/* 0.3, not 0.30000001192092896: what the sender meant. */
	snprintf(text, sizeof(text), "%.7g", (double)f);
	return json_real(strtod(text, NULL));
}

static json_t *of_enum(const ProtobufCEnumDescriptor *type, int value)
{
	const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(type, value);

	return v ? json_string(v->name) : json_integer(value);
}

static json_t *of_value(const ProtobufCFieldDescriptor *f, const void *at)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
		return json_integer(*(const int32_t *)at);
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
		return json_integer(*(const uint32_t *)at);
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		return json_integer((json_int_t) * (const int64_t *)at);
	case PROTOBUF_C_TYPE_FLOAT:
		return of_float(*(const float *)at);
	case PROTOBUF_C_TYPE_DOUBLE:
		return json_real(*(const double *)at);
	case PROTOBUF_C_TYPE_BOOL:
		return json_boolean(*(const protobuf_c_boolean *)at);
	case PROTOBUF_C_TYPE_ENUM:
		return of_enum(f->descriptor, *(const int *)at);
	case PROTOBUF_C_TYPE_STRING: {
		const char *text = *(char *const *)at;
		return of_text(text, strlen(text));
	}
	case PROTOBUF_C_TYPE_MESSAGE: {
		const ProtobufCMessage *m = *(ProtobufCMessage *const *)at;
		return m ? json_of_message(m) : json_null();
	}
	case PROTOBUF_C_TYPE_BYTES:
		break;
	}
	return json_null();
}

static void add_bytes(json_t *out, const char *name, const ProtobufCBinaryData *b)
{
	if (strcmp(name, "result") == 0) {
		json_t *value =
			json_loadb((const char *)b->data, b->len, JSON_DECODE_ANY, NULL);

		json_object_set_new(out, name, value ? value : json_null());
		return;
	}
	json_object_set_new(out, name, of_text(b->data, b->len));
	if (utf8_valid(b->data, b->len) &&
		!memchr(b->data ? b->data : (uint8_t *)"", 0, b->len))
		return;

	CLEANUP(free_ptr) char *key = str_fmt("%s_base64", name);
	CLEANUP(free_ptr) char *text = xmalloc(4 * (b->len / 3 + 1) + 1);

	EVP_EncodeBlock((unsigned char *)text, b->data, (int)b->len);
	json_object_set_new(out, key, json_string(text));
}

static size_t size_of(const ProtobufCFieldDescriptor *f)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_FLOAT:
	case PROTOBUF_C_TYPE_ENUM:
		return 4;
	case PROTOBUF_C_TYPE_BOOL:
		return sizeof(protobuf_c_boolean);
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_MESSAGE:
		return sizeof(void *);
	case PROTOBUF_C_TYPE_BYTES:
		return sizeof(ProtobufCBinaryData);
	default:
		return 8;
	}
}

/* protoc-c gives a map as repeated messages of key and value. */
static bool is_map(const ProtobufCFieldDescriptor *f)
{
	if (f->type != PROTOBUF_C_TYPE_MESSAGE)
		return false;

	const ProtobufCMessageDescriptor *entry = f->descriptor;

	return str_ends(entry->name, "Entry") && entry->n_fields == 2 &&
	       strcmp(entry->fields[0].name, "key") == 0 &&
	       strcmp(entry->fields[1].name, "value") == 0;
}

static json_t *of_repeated(
	const ProtobufCFieldDescriptor *f, const char *items, size_t count)
{
	bool map = is_map(f);
	json_t *out = map ? json_object() : json_array();

	for (size_t i = 0; i < count; i++) {
		json_t *item = of_value(f, items + i * size_of(f));

		if (!map) {
			json_array_append_new(out, item);
			continue;
		}
		json_object_set(out, json_string_value(json_object_get(item, "key")),
			json_object_get(item, "value"));
		json_decref(item);
	}
	return out;
}

json_t *json_of_message(const ProtobufCMessage *message)
{
	const char *base = (const char *)message;
	json_t *out = json_object();

	for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &message->descriptor->fields[i];
		const char *at = base + f->offset;

		if (f->label == PROTOBUF_C_LABEL_REPEATED) {
			size_t count = *(const size_t *)(base + f->quantifier_offset);

			json_object_set_new(
				out, f->name, of_repeated(f, *(char *const *)at, count));
		} else if ((f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) &&
			   *(const uint32_t *)(base + f->quantifier_offset) != f->id) {
			continue;
		} else if (f->type == PROTOBUF_C_TYPE_BYTES) {
			add_bytes(out, f->name, (const ProtobufCBinaryData *)at);
		} else {
			json_object_set_new(out, f->name, of_value(f, at));
		}
	}
	return out;
}

/* The shortest digits that give the same numbers again: 0.1, not 0.10000000000000001. */
char *json_text(const json_t *value, bool pretty)
{
	size_t flags = JSON_ENCODE_ANY | (pretty ? JSON_INDENT(2) : 0);

	for (size_t digits = 15; digits < 17; digits++) {
		CLEANUP(free_ptr)
		char *text = json_dumps(value, flags | JSON_REAL_PRECISION(digits));
		json_t *again = text ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;
		bool same = json_equal(value, again);

		json_decref(again);
		if (same)
			return take_ptr(&text);
	}

	char *text = json_dumps(value, flags);
	return text ? text : xstrdup("null");
}

void json_print(json_t *value, bool pretty)
{
	CLEANUP(free_ptr)
	char *text = json_text(value, pretty);
	CLEANUP(free_ptr) char *line = str_fmt("%s\n", text);

	json_decref(value);
	put_text(STDOUT_FILENO, line);
}

void json_print_message(const ProtobufCMessage *message)
{
	json_print(json_of_message(message), false);
}
