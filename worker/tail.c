/* tail.c - what of a growing output file goes up now: in order, in time, not too soon. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "tail.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "frame.h"
#include "runfolder.h"

void tail_init(struct tail *t, int dirfd)
{
	*t = (struct tail){ .dirfd = dirfd, .sent_ms = INT64_MIN / 2 };
}

void tail_begin(struct tail *t, int64_t durable)
{
	t->at = t->durable = durable;
}

void tail_durable(struct tail *t, int64_t durable)
{
	if (durable > t->durable)
		t->durable = durable;
	if (t->at < t->durable)
		t->at = t->durable;
}

int64_t tail_file_end(const struct tail *t)
{
	struct stat st;

	return fstatat(t->dirfd, RUN_FILE_OUTPUT, &st, AT_SYMLINK_NOFOLLOW) < 0
		       ? 0
		       : st.st_size;
}

int tail_next(struct tail *t, int64_t end, int64_t now_ms, enum tail_now *what,
	int64_t *wait_ms, struct buf *frames, struct err *e)
{
	int64_t file_end = tail_file_end(t);
	int64_t waiting = (end < file_end ? end : file_end) - t->at;
	int64_t quiet = now_ms - t->sent_ms;

	buf_clear(frames);
	*what = TAIL_NOTHING;
	if (waiting <= 0)
		return 0;
	if (waiting < TAIL_PIECE && quiet < TAIL_PACE_MS) {
		*wait_ms = TAIL_PACE_MS - quiet;
		*what = TAIL_LATER;
		return 0;
	}
	if (run_output_read(t->dirfd, t->at, TAIL_MESSAGE_MAX, frames, e) < 0)
		return -1;
	frames->len = frame_scan(frames->data, frames->len, (size_t)waiting).size;
	*what = frames->len ? TAIL_SEND : TAIL_NOTHING;
	return 0;
}

void tail_sent(struct tail *t, int64_t len, int64_t now_ms)
{
	t->at += len;
	t->sent_ms = now_ms;
}
