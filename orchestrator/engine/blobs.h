/* blobs.h - packages down to workers, output of runs up from them.
 *
 * Thread: loop.  Part of the workers' service.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "relay.h"
#include "wire.h"

struct blobs;

/* Adds ReadBlob, WriteBlob and WriteOutput to the server. */
struct blobs *blobs_new(struct wire_server *server, struct relay *relay);
void blobs_free(struct blobs *b); /* after the server is closed */
