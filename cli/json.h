/* json.h - any message of the protocol as JSON, by its descriptor.
 *
 * Thread: any.  Fields have their proto names and are always there, oneofs only when set.
 * Enums are names, int64s numbers, maps objects.  Bytes are text, with a sibling
 * `<name>_base64` when they are not UTF-8; the field `result`, which holds JSON, is that
 * JSON (null while empty).
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <jansson.h>
#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>

/* The caller's reference.  Never NULL. */
json_t *json_of_message(const ProtobufCMessage *message);
/* The value as text, exact, for the caller to free; indented when pretty. */
char *json_text(const json_t *value, bool pretty);
/* Write the value and a line end to stdout; indented when pretty.  Takes the reference. */
void json_print(json_t *value, bool pretty);
/* One line for one message. */
void json_print_message(const ProtobufCMessage *message);
