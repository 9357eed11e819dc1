/* frame.h - the framed form of a job's output: who wrote which bytes, and when. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An output file is a run of frames, the same bytes in a run folder, on the wire and in
 * cumulusd's copy.  A position in it is always a frame boundary: 0, or what one of these
 * functions gave.  A frame is, little-endian:
 *
 *     u32 length   bytes of data, 1 to FRAME_DATA_MAX
 *     u8  stream   enum frame_stream
 *     u8  zero[3]
 *     i64 wall_ns  CLOCK_REALTIME when it was read
 *     u32 crc32c   of the 16 bytes above and of the data
 *     u8  data[length]
 *
 * Thread: any; nothing here allocates or keeps state.  Bytes may come from a crash or
 * from another machine: nothing is believed before its checksum.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum frame_stream { FRAME_STDOUT = 0, FRAME_STDERR = 1, FRAME_SYSTEM = 2 };

#define FRAME_HEADER_SIZE ((size_t)20)
#define FRAME_DATA_MAX    ((size_t)65536)
#define FRAME_MAX         (FRAME_HEADER_SIZE + FRAME_DATA_MAX)

struct frame {
	enum frame_stream stream;
	int64_t wall_ns;
	const uint8_t *data; /* borrowed from the bytes that were read */
	size_t len;
	size_t size; /* of the whole frame: the next one is this far on */
};

enum frame_found {
	FRAME_OK,
	FRAME_SHORT, /* the bytes end before the frame does: more may complete it */
	FRAME_BAD,   /* no frame begins here, and more bytes will not change that */
};

/* Look at the frame at bytes; *out is filled for FRAME_OK only. */
enum frame_found frame_read(const void *bytes, size_t len, struct frame *out);

/* The header of a frame that holds data; len is 1 to FRAME_DATA_MAX. */
void frame_header(uint8_t out[FRAME_HEADER_SIZE], enum frame_stream stream,
	int64_t wall_ns, const void *data, size_t len);

struct frame_run {
	size_t size;           /* bytes of whole, valid frames at the front */
	size_t count;          /* how many frames that is */
	size_t data;           /* bytes of data in them */
	enum frame_found stop; /* what came then: FRAME_SHORT also at the very end */
};

/* How many whole valid frames do these bytes begin with?  Stops before the frame that
 * would take the run past max bytes. */
struct frame_run frame_scan(const void *bytes, size_t len, size_t max);
