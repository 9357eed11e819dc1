/* fetch.c - brings packages from cumulusd: resumed, checked, once however many wait. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "file.h"
#include "log.h"
#include "service.h"
#include "str.h"
#include "xalloc.h"

#define RETRY_MS 1000

enum fetch_state { FETCH_NONE = 0, FETCH_WAITING, FETCH_READING, FETCH_CHECKING };

struct fetch {
	struct list link; /* in fetcher.fetches */
	struct fetcher *fetcher;
	struct list waiters;
	struct digest digest;
	int64_t size;
	int64_t have; /* bytes in the .part */
	int64_t from; /* where this reading began; 0: nothing of before is in it */
	enum fetch_state state;
	struct wire_call *call; /* READING */
	int fd;                 /* READING: the .part */
	struct err why;         /* why reading was given up; ERR_NONE: it was not */
	uv_work_t work;         /* CHECKING */
	struct err checked;
};

struct fetcher {
	uv_loop_t *loop;
	struct packages *packages;  /* borrowed */
	struct wire_client *client; /* borrowed; NULL without a connection */
	struct list fetches;
	uv_timer_t retry;
	unsigned checks; /* on pool threads now */
	bool closing, timer_closed;
};

static void start(struct fetch *f);
static void on_retry(uv_timer_t *t);

static void free_when_done(struct fetcher *f)
{
	if (f->closing && f->timer_closed && f->checks == 0)
		free(f);
}

static void free_fetch(struct fetch *f)
{
	list_remove(&f->link);
	packages_unpin(f->fetcher->packages, &f->digest);
	close_fd(&f->fd);
	free(f);
}

/* Tell everybody; the fetch is gone then. */
static void finish(struct fetch *f, const struct err *why)
{
	char text[DIGEST_TEXT_SIZE];
	struct list told;

	digest_format(text, &f->digest);
	if (why)
		log_warn("package not fetched", "package", text, "why", why->text, NULL);
	else
		log_debug("package fetched", "package", text, NULL);

	/* A waiter may start another fetch of the same package. */
	list_init(&told);
	while (!list_empty(&f->waiters)) {
		struct list *it = list_first(&f->waiters);

		list_remove(it);
		list_append(&told, it);
		list_entry(it, struct fetch_wait, link)->fetch = NULL;
	}
	struct packages *packages = f->fetcher->packages;
	struct digest digest = f->digest;
	packages_pin(packages, &digest);
	free_fetch(f);
	while (!list_empty(&told)) {
		struct fetch_wait *w =
			list_entry(list_first(&told), struct fetch_wait, link);

		list_remove(&w->link);
		w->done(w, why);
	}
	packages_unpin(packages, &digest);
}

/* ---- checking */

static void check_on_pool(uv_work_t *work)
{
	struct fetch *f = work->data;

	if (packages_check_part(
		    packages_fd(f->fetcher->packages), &f->digest, &f->checked) == 0)
		f->checked.code = ERR_NONE;
}

static void on_checked(uv_work_t *work, int status)
{
	struct fetch *f = work->data;
	struct fetcher *owner = f->fetcher;
	struct err e = f->checked;

	(void)status;
	owner->checks--;
	if (owner->closing) {
		free_fetch(f);
		free_when_done(owner);
		return;
	}
	if (e.code == ERR_NONE && packages_keep(owner->packages, &f->digest, &e) == 0) {
		finish(f, NULL);
		return;
	}
	packages_part_remove(owner->packages, &f->digest);
	if (e.code == ERR_INVALID && f->from > 0) {
		/* The beginning was of an earlier life, perhaps torn by a power loss. */
		log_info("package is fetched again from its start", "why", e.text, NULL);
		start(f);
		return;
	}
	finish(f, &e);
}

static void check(struct fetch *f)
{
	close_fd(&f->fd);
	f->state = FETCH_CHECKING;
	f->checked = (struct err){ 0 };
	f->work.data = f;
	f->fetcher->checks++;
	uv_queue_work(f->fetcher->loop, &f->work, check_on_pool, on_checked);
}

/* ---- reading */

static int take_chunk(struct fetch *f, const Cumulus__Worker__BlobChunk *m, struct err *e)
{
	if (m->total != f->size)
		return err_set(e, ERR_INVALID,
			"the package has %" PRId64 " bytes and not %" PRId64, m->total,
			f->size);
	if (m->offset != f->have || (int64_t)m->data.len > f->size - f->have)
		return err_set(e, ERR_INVALID,
			"%zu bytes at %" PRId64 " came where %" PRId64 " was next",
			m->data.len, m->offset, f->have);
	if (write_all(f->fd, m->data.data, m->data.len) < 0)
		return err_sys(e, "write a package");
	f->have += (int64_t)m->data.len;
	return 0;
}

static void on_chunk(struct wire_call *call, ProtobufCMessage *message)
{
	struct fetch *f = wire_call_user(call);
	struct err e = { 0 };

	if (!f->why.code &&
		take_chunk(f, (const Cumulus__Worker__BlobChunk *)message, &e) < 0) {
		f->why = e;
		wire_call_cancel(call);
	}
	wire_message_free(message);
}

static void on_read_end(struct wire_call *call)
{
	struct fetch *f = wire_call_user(call);
	enum wire_over over = wire_call_over(call);
	struct err e = f->why;

	f->call = NULL;
	f->state = FETCH_WAITING;
	close_fd(&f->fd);
	if (f->fetcher->closing)
		return;
	if (over == WIRE_OVER_LOST || over == WIRE_OVER_REFUSED)
		return; /* fetcher_use() goes on with it */
	if (!e.code && wire_call_err(call, &e) == 0 && f->have < f->size)
		err_set(&e, ERR_UNAVAILABLE,
			"the package ended at %" PRId64 " of %" PRId64, f->have, f->size);
	if (!e.code) {
		check(f);
		return;
	}
	packages_part_remove(f->fetcher->packages, &f->digest);
	finish(f, &e);
}

static const struct wire_handlers read_handlers = {
	.message = on_chunk,
	.gone = on_read_end,
};

static int ask(struct fetch *f, struct err *e)
{
	char text[DIGEST_TEXT_SIZE];
	Cumulus__Worker__ReadBlobRequest m = CUMULUS__WORKER__READ_BLOB_REQUEST__INIT;
	const struct wire_request request = {
		.method = &service_read_blob,
		.on = &read_handlers,
		.user = f,
		.message = &m,
	};

	digest_format(text, &f->digest);
	m.kind = CUMULUS__WORKER__BLOB_KIND__BLOB_PACKAGE;
	m.digest = text;
	m.offset = f->have;
	f->call = wire_client_call(f->fetcher->client, &request, e);
	return f->call ? 0 : -1;
}

/* Read what is missing, where there is a connection. */
static void start(struct fetch *f)
{
	struct packages *packages = f->fetcher->packages;
	struct err e = { 0 };

	f->state = FETCH_WAITING;
	f->why = (struct err){ 0 };
	f->fd = packages_part_open(packages, &f->digest, &f->have, &e);
	if (f->fd >= 0 && f->have > f->size) {
		close_fd(&f->fd);
		packages_part_remove(packages, &f->digest);
		f->fd = packages_part_open(packages, &f->digest, &f->have, &e);
	}
	if (f->fd < 0) {
		log_warn("cannot keep a package; trying again", "why", e.text, NULL);
		uv_timer_start(&f->fetcher->retry, on_retry, RETRY_MS, 0);
		return;
	}
	f->from = f->have;
	if (f->have == f->size) {
		check(f);
		return;
	}
	if (f->fetcher->client && ask(f, &e) == 0) {
		f->state = FETCH_READING;
		return;
	}
	close_fd(&f->fd);
}

static void start_all(struct fetcher *f)
{
	list_each_safe(at, &f->fetches)
	{
		struct fetch *it = list_entry(at, struct fetch, link);

		if (it->state == FETCH_WAITING)
			start(it);
	}
}

static void on_retry(uv_timer_t *t)
{
	start_all(t->data);
}

/* ---- life */

struct fetcher *fetcher_new(uv_loop_t *loop, struct packages *packages)
{
	struct fetcher *f = xcalloc(1, sizeof(*f));

	f->loop = loop;
	f->packages = packages;
	list_init(&f->fetches);
	uv_timer_init(loop, &f->retry);
	f->retry.data = f;
	return f;
}

static void on_timer_closed(uv_handle_t *h)
{
	struct fetcher *f = h->data;

	f->timer_closed = true;
	free_when_done(f);
}

void fetcher_close(struct fetcher *f)
{
	if (!f)
		return;
	f->closing = true;
	list_each_safe(at, &f->fetches)
	{
		struct fetch *it = list_entry(at, struct fetch, link);

		while (!list_empty(&it->waiters))
			fetcher_leave(list_entry(
				list_first(&it->waiters), struct fetch_wait, link));
		if (it->state != FETCH_CHECKING)
			free_fetch(it);
	}
	uv_close((uv_handle_t *)&f->retry, on_timer_closed);
}

static struct fetch *find(const struct fetcher *f, const struct digest *d)
{
	list_each(at, &f->fetches)
	{
		struct fetch *it = list_entry(at, struct fetch, link);

		if (memcmp(&it->digest, d, sizeof(*d)) == 0)
			return it;
	}
	return NULL;
}

void fetcher_want(
	struct fetcher *f, const struct digest *d, int64_t size, struct fetch_wait *w)
{
	struct fetch *it = find(f, d);
	bool fresh = !it;

	if (fresh) {
		it = xcalloc(1, sizeof(*it));
		it->fetcher = f;
		it->digest = *d;
		it->size = size;
		it->fd = -1;
		list_init(&it->waiters);
		list_append(&f->fetches, &it->link);
		packages_pin(f->packages, d);
	}
	w->fetch = it;
	list_append(&it->waiters, &w->link);
	if (fresh)
		start(it);
}

void fetcher_leave(struct fetch_wait *w)
{
	list_remove(&w->link);
	w->fetch = NULL;
}

void fetcher_use(struct fetcher *f, struct wire_client *client)
{
	f->client = client;
	if (client)
		start_all(f);
}
