/* tape.c - reads a job's output in order. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "tape.h"

#include "str.h"

void tape_shelf_init(struct tape_shelf *shelf)
{
	list_init(&shelf->tapes);
	shelf->count = 0;
}

static void drop_slice(struct tape *t)
{
	if (!list_empty(&t->on_shelf)) {
		list_remove(&t->on_shelf);
		t->shelf->count--;
	}
	buf_fini(&t->slice);
	buf_fini(&t->data);
	t->slice_at = t->at;
}

/* Whoever has one may be held up by others on its connection before the first use of it: so
 * it counts from its reading on. */
static void keep_slice(struct tape *t)
{
	struct tape_shelf *shelf = t->shelf;

	if (list_empty(&t->on_shelf))
		shelf->count++;
	list_remove(&t->on_shelf);
	list_append(&shelf->tapes, &t->on_shelf);
	if (shelf->count > TAPE_SLICES_MAX)
		drop_slice(list_entry(list_first(&shelf->tapes), struct tape, on_shelf));
}

void tape_init(struct tape *t, struct tape_shelf *shelf, struct relay *relay,
	const char *job, int64_t at)
{
	*t = (struct tape){ .relay = relay, .shelf = shelf, .at = at, .dry_end = -1 };
	list_init(&t->on_shelf);
	str_put(t->job, sizeof(t->job), "%s", job);
	if (OUTPUT_ATTEMPT(t->at) == 0)
		t->at = OUTPUT_OFFSET(1, 0);
	t->slice_at = t->at;
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
	size_t skip = (size_t)(t->at - t->slice_at);
	enum frame_found found;

	if (skip >= t->slice.len)
		return FRAME_SHORT;
	found = frame_read(t->slice.data + skip, t->slice.len - skip, f);
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
	enum frame_found found;

	if (t->at >= limit)
		return TAPE_END;
	found = read_frame(t, limit, &f);
	if (found != FRAME_OK) {
		drop_slice(t);
		return is_dry(t, limit) ? TAPE_DRY : TAPE_MORE;
	}
	keep_slice(t);

	*out = (struct tape_piece){
		.stream = f.stream, .offset = t->at, .wall_ns = f.wall_ns
	};
	buf_clear(&t->data);
	do {
		buf_add(&t->data, f.data, f.len);
		t->at += (int64_t)f.size;
		if (read_frame(t, limit, &f) != FRAME_OK)
			break;
	} while (f.stream == out->stream && is_same_moment(out->wall_ns, f.wall_ns) &&
		 t->data.len + f.len <= TAPE_PIECE_MAX);
	out->next_offset = t->at;
	out->data = t->data.data;
	out->len = t->data.len;
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

	buf_clear(&t->slice);
	buf_add(&t->slice, bytes, len);
	t->slice_at = t->at;
	t->dry_end = -1;
	keep_slice(t);
	if (read_frame(t, limit, &f) == FRAME_OK)
		return;
	/* An earlier attempt's file is complete: at its end the next one goes on. */
	if (OUTPUT_ATTEMPT(t->at) < OUTPUT_ATTEMPT(limit)) {
		t->at = t->slice_at = OUTPUT_OFFSET(OUTPUT_ATTEMPT(t->at) + 1, 0);
		buf_clear(&t->slice);
	} else {
		t->dry_end = end;
	}
}
