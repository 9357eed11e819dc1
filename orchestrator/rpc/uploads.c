/* uploads.c - packages ahead of their jobs: UploadPackage and MissingPackages.
 *
 * An upload is answered as soon as nothing more can be taken: the package is whole, the
 * client sends no more, or a piece does not join what is there.  The answer says how many
 * bytes are there, so a client goes on from that number, in this stream or a later one.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "internal.h"
#include "str.h"

/* ---- UploadPackage */

struct upload {
	struct asker asker; /* first */
	struct digest digest;
	char text[DIGEST_TEXT_SIZE]; /* "" before the first piece */
	int64_t size;
	int64_t there;  /* how many bytes are on disk, as far as was told */
	int64_t offset; /* of the piece at work */
	uint8_t *bytes; /* that piece while the store is asked; owned */
	size_t len;
	bool ended;    /* the client sends no more */
	bool answered; /* what else comes is dropped */
};

static void fini_upload(struct asker *a)
{
	free(((struct upload *)a)->bytes);
}

static void refuse(struct upload *u, const struct err *e)
{
	u->answered = true;
	rpc_fail(u->asker.call, e);
}

static void reply(struct upload *u, int64_t size)
{
	Cumulus__Orchestrator__PackageInfo m = CUMULUS__ORCHESTRATOR__PACKAGE_INFO__INIT;

	u->answered = true;
	m.digest = u->text;
	m.size = size;
	wire_call_reply(u->asker.call, &m);
}

static void on_known(void *ctx, const struct err *failed)
{
	struct upload *u = ctx;

	if (!asker_is_back(&u->asker))
		return;
	if (!failed) {
		reply(u, u->size);
		return;
	}

	struct err e = *failed;
	if (e.code == ERR_NOT_FOUND)
		err_set(&e, ERR_UNAVAILABLE,
			"package %s was removed at this moment: send it again", u->text);
	refuse(u, &e);
}

static void on_end(void *ctx, int64_t end, const struct err *failed)
{
	struct upload *u = ctx;

	if (!asker_is_back(&u->asker))
		return;
	if (failed) {
		refuse(u, failed);
		return;
	}
	u->there = end;
	if (end == u->size) {
		u->asker.asked = true;
		store_add_package(relay_store(u->asker.rpc->config.relay), &u->digest,
			u->size, on_known, u);
	} else if (u->offset > end || u->ended) {
		reply(u, end);
	} else {
		wire_call_resume(u->asker.call);
	}
}

static void append(struct upload *u)
{
	u->asker.asked = true;
	upload_append(relay_uploads(u->asker.rpc->config.relay), &u->digest, u->size,
		u->offset, take_ptr(&u->bytes), u->len, on_end, u);
}

/* Is it here already, perhaps from a submission? */
static void on_slice(void *ctx, struct store_slice *slice, const struct err *failed)
{
	struct upload *u = ctx;

	if (!asker_is_back(&u->asker))
		return;
	if (!failed)
		reply(u, slice->total);
	else if (failed->code == ERR_NOT_FOUND || failed->code == ERR_UNAVAILABLE)
		append(u); /* or known, but its file is gone: this one heals it */
	else
		refuse(u, failed);
}

/* The first piece says of what package all are. */
static int begin(
	struct upload *u, const Cumulus__Orchestrator__PackageChunk *m, struct err *e)
{
	int64_t most = u->asker.rpc->config.limits.upload_bytes;

	if (digest_parse(m->digest, &u->digest, e) < 0)
		return err_wrap(e, "digest");
	if (m->size < 1 || m->size > most)
		return err_set(e, ERR_INVALID,
			"size %lld is not allowed: 1 to %lld bytes", (long long)m->size,
			(long long)most);
	digest_format(u->text, &u->digest);
	u->size = m->size;
	return 0;
}

static int check(const struct upload *u, const Cumulus__Orchestrator__PackageChunk *m,
	struct err *e)
{
	if (*m->digest && strcmp(m->digest, u->text) != 0)
		return err_set(e, ERR_INVALID,
			"digest changes within the stream: it began with %s", u->text);
	if (m->size && m->size != u->size)
		return err_set(e, ERR_INVALID,
			"size changes within the stream: %lld after %lld",
			(long long)m->size, (long long)u->size);
	if (m->data.len > UPLOAD_PIECE_MAX)
		return err_set(e, ERR_INVALID, "data has %zu bytes, %d are allowed",
			m->data.len, UPLOAD_PIECE_MAX);
	if (m->offset < 0 || m->offset > u->size)
		return err_set(e, ERR_INVALID, "offset %lld lies outside of %lld bytes",
			(long long)m->offset, (long long)u->size);
	if (store_disk_low(relay_store(u->asker.rpc->config.relay)))
		return err_set(e, ERR_EXHAUSTED,
			"the orchestrator's disk is at its low-water mark");
	return 0;
}

/* One piece at a time: what is at work holds the next one back. */
static int take(struct upload *u, Cumulus__Orchestrator__PackageChunk *m, struct err *e)
{
	bool first = !*u->text;

	if ((first && begin(u, m, e) < 0) || check(u, m, e) < 0)
		return -1;
	wire_call_pause(u->asker.call);
	u->offset = m->offset;
	u->bytes = m->data.data;
	u->len = m->data.len;
	m->data = (ProtobufCBinaryData){ 0 };
	if (!first) {
		append(u);
		return 0;
	}
	u->asker.asked = true;
	store_read_package(
		relay_store(u->asker.rpc->config.relay), &u->digest, 0, 0, on_slice, u);
	return 0;
}

static void on_open(struct wire_call *call)
{
	asker_new(call, sizeof(struct upload), fini_upload);
}

static void on_chunk(struct wire_call *call, ProtobufCMessage *message)
{
	struct upload *u = wire_call_data(call);
	struct err e = { 0 };

	if (!u->answered && take(u, (void *)message, &e) < 0)
		refuse(u, &e);
	wire_message_free(message);
}

static void on_chunks_end(struct wire_call *call)
{
	struct upload *u = wire_call_data(call);
	struct err e = { 0 };

	u->ended = true;
	if (u->answered || u->asker.asked)
		return;
	if (*u->text) {
		reply(u, u->there);
	} else {
		err_set(&e, ERR_INVALID, "no piece of a package was sent");
		refuse(u, &e);
	}
}

const struct wire_handlers rpc_upload_package = {
	.open = on_open,
	.message = on_chunk,
	.end = on_chunks_end,
	.gone = asker_on_gone,
};

/* ---- MissingPackages */

struct missing {
	struct asker asker; /* first */
	struct digest *digests;
	size_t count;
};

static void fini_missing(struct asker *a)
{
	free(((struct missing *)a)->digests);
}

static void on_missing(void *ctx, const bool *missing, size_t count)
{
	struct missing *q = ctx;
	Cumulus__Orchestrator__PackageDigests m =
		CUMULUS__ORCHESTRATOR__PACKAGE_DIGESTS__INIT;

	if (!asker_is_back(&q->asker))
		return;

	char(*texts)[DIGEST_TEXT_SIZE] = xcalloc(count + 1, sizeof(*texts));
	m.digests = xcalloc(count + 1, sizeof(*m.digests));
	for (size_t i = 0; i < count; i++) {
		if (!missing[i])
			continue;
		digest_format(texts[m.n_digests], &q->digests[i]);
		m.digests[m.n_digests] = texts[m.n_digests];
		m.n_digests++;
	}
	wire_call_reply(q->asker.call, &m);
	free(m.digests);
	free(texts);
}

static int ask_missing(
	struct missing *q, const Cumulus__Orchestrator__PackageDigests *m, struct err *e)
{
	if (m->n_digests > STORE_DIGESTS_MAX)
		return err_set(e, ERR_INVALID, "digests has %zu entries, %d are allowed",
			m->n_digests, STORE_DIGESTS_MAX);
	q->count = m->n_digests;
	q->digests = xcalloc(q->count + 1, sizeof(*q->digests));
	for (size_t i = 0; i < q->count; i++)
		if (digest_parse(m->digests[i], &q->digests[i], e) < 0)
			return err_wrap(e, "digests");
	q->asker.asked = true;
	store_missing_packages(relay_store(q->asker.rpc->config.relay), q->digests,
		q->count, on_missing, q);
	return 0;
}

static void on_ask_missing(struct wire_call *call, ProtobufCMessage *message)
{
	struct missing *q = asker_new(call, sizeof(*q), fini_missing);
	struct err e = { 0 };

	if (ask_missing(q, (void *)message, &e) < 0)
		rpc_fail(call, &e);
	wire_message_free(message);
}

const struct wire_handlers rpc_missing_packages = {
	.message = on_ask_missing,
	.gone = asker_on_gone,
};
