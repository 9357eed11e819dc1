/* frame.c - the framed form of a job's output. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "frame.h"

#include <assert.h>
#include <string.h>

#include "crc32c.h"
#include "little.h"

#define CHECKED_SIZE 16 /* of the header: what the checksum covers besides the data */

static uint32_t checksum(const uint8_t *header, const void *data, size_t len)
{
	return crc32c(crc32c(0, header, CHECKED_SIZE), data, len);
}

enum frame_found frame_read(const void *bytes, size_t len, struct frame *out)
{
	const uint8_t *at = bytes;

	if (len < FRAME_HEADER_SIZE)
		return FRAME_SHORT;

	uint32_t data_len = get_le32(at);

	if (data_len < 1 || data_len > FRAME_DATA_MAX || at[4] > FRAME_SYSTEM || at[5] ||
		at[6] || at[7])
		return FRAME_BAD;
	if (len - FRAME_HEADER_SIZE < data_len)
		return FRAME_SHORT;
	if (checksum(at, at + FRAME_HEADER_SIZE, data_len) != get_le32(at + CHECKED_SIZE))
		return FRAME_BAD;
	*out = (struct frame){
		.stream = at[4],
		.wall_ns = (int64_t)get_le64(at + 8),
		.data = at + FRAME_HEADER_SIZE,
		.len = data_len,
		.size = FRAME_HEADER_SIZE + data_len,
	};
	return FRAME_OK;
}

void frame_header(uint8_t out[FRAME_HEADER_SIZE], enum frame_stream stream,
	int64_t wall_ns, const void *data, size_t len)
{
	assert(len >= 1 && len <= FRAME_DATA_MAX);
	memset(out, 0, FRAME_HEADER_SIZE);
	put_le32(out, (uint32_t)len);
	out[4] = (uint8_t)stream;
	put_le64(out + 8, (uint64_t)wall_ns);
	put_le32(out + CHECKED_SIZE, checksum(out, data, len));
}

struct frame_run frame_scan(const void *bytes, size_t len, size_t max)
{
	struct frame_run run = { 0 };
	struct frame frame;

	for (;;) {
		const uint8_t *at = (const uint8_t *)bytes + run.size;

		run.stop = frame_read(at, len - run.size, &frame);
		if (run.stop != FRAME_OK || frame.size > max - run.size)
			return run;
		run.size += frame.size;
		run.data += frame.len;
		run.count++;
	}
}
