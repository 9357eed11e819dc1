/* upload.c - asks what is there, sends the rest, and again until all of it is there. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "upload.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "str.h"
#include "text.h"

#define CARRIED_MAX (4 << 20) /* what a submission can carry */
#define PIECE_BYTES (1 << 20)
#define RETRY_MS    500
#define LOST_MOST_S 60

struct upload {
	struct remote *remote;
	const struct terminal *terminal; /* NULL: nothing is shown */
	const uint8_t *bytes;
	size_t len;
	char *digest;
	size_t at;  /* the next byte to send */
	size_t end; /* send so far */
	bool sent;  /* a piece of this call, if only an empty one */
	int shown;  /* per cent; -1 = no line is drawn */
};

/* ---- the line */

static void show(struct upload *u)
{
	int percent = (int)(u->at * 100 / u->len);
	char at[SPAN_SIZE], len[SPAN_SIZE];

	if (!u->terminal || percent == u->shown)
		return;
	u->shown = percent;
	text_bytes(at, (int64_t)u->at);
	text_bytes(len, (int64_t)u->len);

	CLEANUP(free_ptr)
	char *line = str_fmt("uploading  %3d %%  %s of %s", percent, at, len);
	size_t columns = terminal_columns(STDERR_FILENO);
	if (columns > 1)
		line[text_fit(line, columns - 1)] = '\0';

	CLEANUP(free_ptr) char *drawn = str_fmt("\r\033[K%s", line);
	put_text(STDERR_FILENO, drawn);
}

static void hide(struct upload *u)
{
	if (u->shown >= 0)
		put_text(STDERR_FILENO, "\r\033[K");
	u->shown = -1;
}

/* ---- one call */

static void on_pull(struct wire_call *call)
{
	struct upload *u = wire_call_user(call);
	Cumulus__Orchestrator__PackageChunk m =
		CUMULUS__ORCHESTRATOR__PACKAGE_CHUNK__INIT;
	size_t left = u->end - u->at;
	struct err e = { 0 };

	if (u->sent && left == 0) {
		wire_call_end(call);
		return;
	}
	m.digest = u->digest;
	m.size = (int64_t)u->len;
	m.offset = (int64_t)u->at;
	m.data.data = (uint8_t *)(uintptr_t)u->bytes + u->at;
	m.data.len = left < PIECE_BYTES ? left : PIECE_BYTES;
	if (wire_call_send(call, &m, &e) < 0) {
		wire_call_cancel(call);
		return;
	}
	u->sent = true;
	u->at += m.data.len;
	if (left > 0)
		show(u);
}

static const struct wire_handlers handlers = { .pull = on_pull };

/* Send from `from` up to `end`; *there is how many bytes the server has then. */
static int send_part(struct upload *u, size_t from, size_t end, size_t *there,
	enum exit_code *code, struct err *e)
{
	u->at = from;
	u->end = end;
	u->sent = false;

	CLEANUP(free_message)
	Cumulus__Orchestrator__PackageInfo *info = (void *)remote_send(
		u->remote, REMOTE_UPLOAD_PACKAGE, &handlers, u, code, e);
	if (!info)
		return -1;
	if (info->size < 0 || (uint64_t)info->size > u->len) {
		*code = EXIT_NO_ANSWER;
		return err_set(e, ERR_INTERNAL,
			"the server has %lld bytes of a package of %zu",
			(long long)info->size, u->len);
	}
	*there = (size_t)info->size;
	return 0;
}

/* ---- until all is there */

/* Is it worth another try?  Waits a little when it is. */
static bool may_try_again(struct upload *u, enum exit_code code, int64_t since_ns)
{
	if (code != EXIT_NO_ANSWER || clock_boot_ns() - since_ns > LOST_MOST_S * NS_PER_S)
		return false;
	remote_wait(u->remote, RETRY_MS);
	return true;
}

static int send_all(struct upload *u, enum exit_code *code, struct err *e)
{
	int64_t since_ns = clock_boot_ns();
	size_t there = 0, most = 0;

	for (;;) {
		bool known = send_part(u, there, there, &there, code, e) == 0;

		if (known && there == u->len)
			return 0;
		if (there > most) {
			most = there;
			since_ns = clock_boot_ns();
		}
		if (known && send_part(u, there, u->len, &there, code, e) == 0) {
			if (there == u->len)
				return 0;
			/* Cut short by another upload of the same package. */
			*code = EXIT_NO_ANSWER;
			err_set(e, ERR_UNAVAILABLE, "the package does not get whole");
		}
		if (!may_try_again(u, *code, since_ns))
			return -1;
	}
}

static int is_missing(struct remote *r, char *digest, bool *missing, enum exit_code *code,
	struct err *e)
{
	Cumulus__Orchestrator__PackageDigests ask =
		CUMULUS__ORCHESTRATOR__PACKAGE_DIGESTS__INIT;

	ask.digests = &digest;
	ask.n_digests = 1;

	CLEANUP(free_message)
	Cumulus__Orchestrator__PackageDigests *reply =
		(void *)remote_ask(r, REMOTE_MISSING_PACKAGES, &ask, code, e);
	if (!reply)
		return -1;
	*missing = reply->n_digests > 0;
	return 0;
}

int upload_if_large(struct remote *r, struct submission *s,
	const struct terminal *terminal, bool quiet, enum exit_code *code, struct err *e)
{
	const struct buf *zip = &s->bundle.zip;
	bool missing = false;

	if (zip->len <= CARRIED_MAX)
		return 0;

	struct digest digest = digest_of(zip->data, zip->len);
	digest_format(s->digest, &digest);
	if (is_missing(r, s->digest, &missing, code, e) < 0)
		return -1;

	struct upload u = {
		.remote = r,
		.terminal = quiet || !terminal->err_moves ? NULL : terminal,
		.bytes = zip->data,
		.len = zip->len,
		.digest = s->digest,
		.shown = -1,
	};
	int rc = missing ? send_all(&u, code, e) : 0;
	hide(&u);
	s->message.code_package = (ProtobufCBinaryData){ 0 };
	s->message.package_digest = s->digest;
	return rc;
}
