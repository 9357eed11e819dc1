/* symbols.h - which .proto file declares a name: an index over a descriptor set.
 *
 * Thread: loop.  Never changes once it is made.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>

#include "err.h"

struct symbols;
struct symbol_file;

/* From a FileDescriptorSet, which is copied.  ERR_INVALID when the bytes are none. */
struct symbols *symbols_new(const void *set, size_t len, struct err *e) MUST_CHECK;
void symbols_free(struct symbols *s); /* NULL is fine */

/* By the name it is imported with; NULL = there is none. */
const struct symbol_file *symbols_file(const struct symbols *s, const char *name);
/* That declares a message, enum, service, method, field, oneof or enum value of this full
 * name; NULL = none does. */
const struct symbol_file *symbols_declaring(const struct symbols *s, const char *name);
bool symbols_is_message(const struct symbols *s, const char *name);

/* The file and all that it imports, each once and the file first, as FileDescriptorProtos
 * that s owns.  Returns how many; out has room for symbols_file_count(). */
size_t symbols_with_imports(const struct symbols *s, const struct symbol_file *file,
	ProtobufCBinaryData *out);
size_t symbols_file_count(const struct symbols *s);
