/* message.h - protobuf messages from untrusted bytes, checked before protobuf-c sees them.
 *
 * Thread: any.  For messages of the wire and of files alike.  protobuf-c takes invalid
 * UTF-8, cuts strings at NUL, recurses as deep as the sender likes, merges messages that
 * come twice and may need a hundred times the message's size; so a walk over the bytes
 * by descriptor refuses all of that first.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"

#define WIRE_MESSAGE_DEPTH  16                 /* messages inside messages */
#define WIRE_MESSAGE_MEMORY ((size_t)64 << 20) /* what one may take unpacked */

/* Would wire_message_read() take these bytes?  ERR_INVALID naming message and field for
 * a string that is not UTF-8 or holds NUL, a field that may come once and comes twice, a
 * malformed or too deep structure; ERR_EXHAUSTED when it would take too much memory. */
int wire_message_check(const ProtobufCMessageDescriptor *type, const void *bytes,
	size_t len, struct err *e) MUST_CHECK;

/* Check and unpack; NULL on failure.  The caller owns the result. */
ProtobufCMessage *wire_message_read(const ProtobufCMessageDescriptor *type,
	const void *bytes, size_t len, struct err *e) MUST_CHECK;

void wire_message_free(void *message); /* any generated message; NULL is fine */

/* Append the message's bytes to *out. */
void wire_message_write(const void *message, struct buf *out);
