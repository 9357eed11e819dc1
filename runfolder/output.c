/* output.c - appends to a run's output within its limit, and reads it back. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "runfolder.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"

#define WINDOW (4 * FRAME_MAX) /* bytes looked at in one read */

/* Read up to len bytes at a position; short only at the file's end. -1 with errno. */
static ssize_t read_at(int fd, void *out, size_t len, int64_t at)
{
	size_t have = 0;

	while (have < len) {
		ssize_t n = pread(fd, (uint8_t *)out + have, len - have,
			(off_t)(at + (int64_t)have));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		have += (size_t)n;
	}
	return (ssize_t)have;
}

/* Append whole frames from offset to *frames; none when there are none. */
static int read_frames(
	int fd, int64_t offset, size_t max, struct buf *frames, struct err *e)
{
	uint8_t *to = buf_reserve(frames, max);
	ssize_t n = read_at(fd, to, max, offset);

	if (n < 0)
		return err_sys(e, "read output");
	buf_added(frames, frame_scan(to, (size_t)n, max).size);
	return 0;
}

/* The end of the last whole frame that can be reached from a boundary. */
static int find_end(int fd, int64_t from, int64_t *end, struct err *e)
{
	CLEANUP(buf_fini) struct buf window = { 0 };

	for (;;) {
		buf_clear(&window);
		if (read_frames(fd, from, WINDOW, &window, e) < 0)
			return -1;
		if (!window.len)
			break;
		from += (int64_t)window.len;
	}
	*end = from;
	return 0;
}

int run_output_open(int dirfd, int64_t limit, struct run_output *out, struct err *e)
{
	int64_t end;
	CLEANUP(close_fd)
	int fd = openat(
		dirfd, RUN_FILE_OUTPUT, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return err_sys(e, "open output");
	if (find_end(fd, 0, &end, e) < 0)
		return -1;
	if (ftruncate(fd, (off_t)end) < 0)
		return err_sys(e, "cut the output's torn tail");
	*out = (struct run_output){ .end = end, .limit = limit };
	out->fd = take_fd(&fd);
	return 0;
}

void run_output_close(struct run_output *o)
{
	close_fd(&o->fd);
}

/* Write header and data at the end.  -1 with errno; the file may then hold a torn frame,
 * which the next one overwrites and every reader stops at. */
static int put_frame(
	struct run_output *o, enum frame_stream stream, const uint8_t *data, size_t len)
{
	uint8_t header[FRAME_HEADER_SIZE];
	struct iovec parts[] = {
		{ header, sizeof(header) },
		{ (void *)(uintptr_t)data, len },
	};
	size_t size = FRAME_HEADER_SIZE + len;
	ssize_t n;

	frame_header(header, stream, clock_wall_ns(), data, len);
	do
		n = pwritev(o->fd, parts, 2, (off_t)o->end);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -1;
	if ((size_t)n < size) { /* a disk that filled up in the middle */
		errno = ENOSPC;
		return -1;
	}
	o->end += (int64_t)size;
	o->kept += (int64_t)len;
	return 0;
}

/* Bytes of data that the next frame may have. */
static size_t room_for(const struct run_output *o, enum frame_stream stream, size_t len)
{
	int64_t limit = o->limit + (stream == FRAME_SYSTEM ? RUN_OUTPUT_RESERVE : 0);
	int64_t room = limit - o->end - (int64_t)FRAME_HEADER_SIZE;

	if (room <= 0 || (o->full && stream != FRAME_SYSTEM))
		return 0;
	if (len > FRAME_DATA_MAX)
		len = FRAME_DATA_MAX;
	return (int64_t)len > room ? (size_t)room : len;
}

int run_output_write(struct run_output *o, enum frame_stream stream, const void *bytes,
	size_t len, struct err *e)
{
	const uint8_t *at = bytes;

	while (len) {
		size_t n = room_for(o, stream, len);

		if (!n)
			break;
		if (put_frame(o, stream, at, n) < 0) {
			if (errno != ENOSPC && errno != EDQUOT && errno != EFBIG)
				return err_sys(e, "write output");
			break;
		}
		at += n;
		len -= n;
	}
	if (len) {
		o->lost += (int64_t)len;
		o->full = true;
	}
	return 0;
}

int run_output_sync(struct run_output *o, struct err *e)
{
	return fdatasync(o->fd) < 0 ? err_sys(e, "sync output") : 0;
}

static int open_output(int dirfd, struct err *e)
{
	int fd = openat(dirfd, RUN_FILE_OUTPUT, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	return fd < 0 ? err_sys(e, "open output") : fd;
}

int run_output_read(
	int dirfd, int64_t offset, size_t max, struct buf *frames, struct err *e)
{
	CLEANUP(close_fd) int fd = open_output(dirfd, e);

	if (fd < 0)
		return -1;
	if (offset < 0)
		return err_set(
			e, ERR_INVALID, "offset %lld of an output", (long long)offset);
	return read_frames(fd, offset, max < FRAME_MAX ? FRAME_MAX : max, frames, e);
}

int run_output_end(int dirfd, int64_t from, int64_t *end, struct err *e)
{
	CLEANUP(close_fd) int fd = open_output(dirfd, e);

	return fd < 0 ? -1 : find_end(fd, from, end, e);
}

/* Append the job's own data in these frames, keeping little more than the last max. */
static void add_tail(const struct buf *frames, size_t max, struct buf *data)
{
	struct frame frame;

	for (size_t at = 0; at < frames->len; at += frame.size) {
		if (frame_read(frames->data + at, frames->len - at, &frame) != FRAME_OK)
			return;
		if (frame.stream != FRAME_SYSTEM)
			buf_add(data, frame.data, frame.len);
	}
	if (data->len > max)
		buf_drop(data, data->len - max);
}

int run_output_tail(int dirfd, size_t max, struct buf *data, struct err *e)
{
	CLEANUP(close_fd) int fd = open_output(dirfd, e);
	CLEANUP(buf_fini) struct buf window = { 0 };
	CLEANUP(buf_fini) struct buf tail = { 0 };
	int64_t at = 0;

	if (fd < 0)
		return -1;
	for (;;) {
		buf_clear(&window);
		if (read_frames(fd, at, WINDOW, &window, e) < 0)
			return -1;
		if (!window.len)
			break;
		at += (int64_t)window.len;
		add_tail(&window, max, &tail);
	}
	buf_add(data, tail.data, tail.len);
	return 0;
}
