/* tape.c - reads a job's output in order. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "tape.h"

#include <stdlib.h>

#include "str.h"
#include "xalloc.h"

/* Most watchers have read all there is: what only a reader needs is made for it. */
struct tape_slice {
	struct list on_shelf;
	struct tape *tape;
	struct buf bytes; /* of the file, from `at` on */
	int64_t at;       /* absolute */
	struct buf data;  /* of the last piece */
};

void tape_shelf_init(struct tape_shelf *shelf)
{
	list_init(&shelf->slices);
	shelf->count = 0;
}

static void drop_slice(struct tape *t)
{
	struct tape_slice *s = t->slice;

	if (!s)
		return;
	list_remove(&s->on_shelf);
	t->shelf->count--;
	buf_fini(&s->bytes);
	buf_fini(&s->data);
	free(s);
	t->slice = NULL;
}

static void put_last(struct tape_slice *s)
{
	list_remove(&s->on_shelf);
	list_append(&s->tape->shelf->slices, &s->on_shelf);
}

/* Whoever has one may be held up by others on its connection before the first use of it: so
 * it counts from its reading on. */
static void keep_slice(struct tape *t, const uint8_t *bytes, size_t len)
{
	struct tape_shelf *shelf = t->shelf;
	struct tape_slice *oldest;

	drop_slice(t);
	t->slice = xcalloc(1, sizeof(*t->slice));
	t->slice->tape = t;
	t->slice->at = t->at;
	buf_add(&t->slice->bytes, bytes, len);
	list_append(&shelf->slices, &t->slice->on_shelf);
	oldest = list_entry(list_first(&shelf->slices), struct tape_slice, on_shelf);
	if (++shelf->count > TAPE_SLICES_MAX)
		drop_slice(oldest->tape);
}

void tape_init(struct tape *t, struct tape_shelf *shelf, struct relay *relay,
	const char *job, int64_t at)
{
	*t = (struct tape){ .relay = relay, .shelf = shelf, .at = at, .dry_end = -1 };
	str_put(t->job, sizeof(t->job), "%s", job);
	if (OUTPUT_ATTEMPT(t->at) == 0)
		t->at = OUTPUT_OFFSET(1, 0);
}

int64_t tape_live_end(struct relay *relay, const char *job, int32_t attempt)
{
	int64_t end = output_end(relay_output(relay), job, attempt);

	return OUTPUT_OFFSET(attempt, end < 0 ? OUTPUT_READ_MAX : end);
}

void tape_fini(struct tape *t)
{
	drop_slice(t);
}

/* The frame at `at`, if it lies whole in the slice and below the limit. */
static enum frame_found read_frame(const struct tape *t, int64_t limit, struct frame *f)
{
	const struct tape_slice *s = t->slice;
	size_t skip = s ? (size_t)(t->at - s->at) : 0;
	enum frame_found found;

	if (!s || skip >= s->bytes.len)
		return FRAME_SHORT;
	found = frame_read(s->bytes.data + skip, s->bytes.len - skip, f);
	if (found == FRAME_OK && t->at + (int64_t)f->size > limit)
		return FRAME_SHORT;
	return found;
}

/* Has the file not grown since nothing was found in it?  One of an earlier attempt than
 * the limit's never will; it is left behind instead. */
static bool is_dry(const struct tape *t, int64_t limit)
{
	return t->dry_end >= 0 && OUTPUT_ATTEMPT(t->at) == OUTPUT_ATTEMPT(limit) &&
	       output_end(relay_output(t->relay), t->job, OUTPUT_ATTEMPT(t->at)) ==
		       t->dry_end;
}

/* The times are a worker's, and its clock may jump: without arithmetic that could overflow. */
static bool is_same_moment(int64_t first_ns, int64_t ns)
{
	return ns >= first_ns && (uint64_t)ns - (uint64_t)first_ns < TAPE_PIECE_NS;
}

enum tape_found tape_next(struct tape *t, int64_t limit, struct tape_piece *out)
{
	struct frame f;
	struct buf *data;
	enum frame_found found;

	if (t->at >= limit)
		return TAPE_END;
	found = read_frame(t, limit, &f);
	if (found != FRAME_OK) {
		drop_slice(t);
		return is_dry(t, limit) ? TAPE_DRY : TAPE_MORE;
	}
	put_last(t->slice);
	data = &t->slice->data;

	*out = (struct tape_piece){
		.stream = f.stream, .offset = t->at, .wall_ns = f.wall_ns
	};
	buf_clear(data);
	do {
		buf_add(data, f.data, f.len);
		t->at += (int64_t)f.size;
		if (read_frame(t, limit, &f) != FRAME_OK)
			break;
	} while (f.stream == out->stream && is_same_moment(out->wall_ns, f.wall_ns) &&
		 data->len + f.len <= TAPE_PIECE_MAX);
	out->next_offset = t->at;
	out->data = data->data;
	out->len = data->len;
	return TAPE_PIECE;
}

void tape_fill(struct tape *t, int64_t limit, output_on_bytes *on_bytes, void *ctx)
{
	int64_t max = OUTPUT_READ_MAX;

	t->asked_limit = limit;
	if (OUTPUT_ATTEMPT(limit) == OUTPUT_ATTEMPT(t->at) && limit - t->at < max)
		max = limit - t->at;
	output_read(relay_output(t->relay), t->job, OUTPUT_ATTEMPT(t->at),
		OUTPUT_POSITION(t->at), (size_t)max, on_bytes, ctx);
}

void tape_filled(struct tape *t, const uint8_t *bytes, size_t len, int64_t end)
{
	int64_t limit = t->asked_limit;
	struct frame f;

	keep_slice(t, bytes, len);
	t->dry_end = -1;
	if (read_frame(t, limit, &f) == FRAME_OK)
		return;
	drop_slice(t);
	/* An earlier attempt's file is complete: at its end the next one goes on. */
	if (OUTPUT_ATTEMPT(t->at) < OUTPUT_ATTEMPT(limit))
		t->at = OUTPUT_OFFSET(OUTPUT_ATTEMPT(t->at) + 1, 0);
	else
		t->dry_end = end;
}
