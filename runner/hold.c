/* hold.c - what a job's container gets so that it is held to its partition. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "hold.h"

#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "cleanup.h"
#include "clock.h"
#include "file.h"
#include "layers.h"
#include "str.h"
#include "xalloc.h"

#define PRELOAD         "preload"
#define ENVIRONMENT     "chronos"

#define ARBITER_WAIT_NS (5 * NS_PER_S)
#define ARBITER_LOOK_MS 5

/* Takes over `at` and `source`. */
static void add_bind(struct hold *h, char *at, char *source, const char *options)
{
	h->binds = xreallocarray(h->binds, h->bind_count + 1, sizeof(*h->binds));
	h->binds[h->bind_count++] = (struct bundle_bind){ at, source, options };
}

void hold_fini(struct hold *h)
{
	for (size_t i = 0; i < h->bind_count; i++) {
		free((char *)(uintptr_t)h->binds[i].at);
		free((char *)(uintptr_t)h->binds[i].source);
	}
	free(h->binds);
	free(h->devices);
	free(h->uuids);
	*h = (struct hold){ 0 };
}

bool hold_variable(const struct hold *h, const struct chronos_partition *p, size_t i,
	const char **name, const char **value)
{
	const struct {
		const char *name, *value;
	} all[] = {
		{ "CHRONOS_DIR", HOLD_FOLDER },
		{ "CHRONOS_PARTITION", p->id },
		{ "CHRONOS_DEVICE", h->devices },
		{ "CHRONOS_DEVICE_UUID", h->uuids },
		{ "OPENCL_LAYERS", layer_path(LAYER_OPENCL) },
	};
	const size_t count = h->layers & 1U << LAYER_OPENCL ? 5 : 4;

	if (!h->layers || i >= count)
		return false;
	*name = all[i].name;
	*value = all[i].value;
	return true;
}

/* ---- the files ---- */

static void list_devices(struct hold *h, const struct gpus *g)
{
	CLEANUP(buf_fini) struct buf indexes = { 0 };
	CLEANUP(buf_fini) struct buf uuids = { 0 };

	for (size_t i = 0; i < g->count; i++) {
		buf_addf(&indexes, "%s%u", i ? "," : "", g->devices[i].index);
		buf_addf(&uuids, "%s%s", i ? "," : "", g->devices[i].uuid);
	}
	h->devices = buf_take_str(&indexes);
	h->uuids = buf_take_str(&uuids);
}

/* A file of the bundle's folder that the job sees, and cannot write. */
static int add_made(struct hold *h, const struct hold_source *from, const char *name,
	const char *at, struct buf *text, struct err *e)
{
	if (file_write(from->bundle, name, text->data, text->len, 0644, false, e) < 0)
		return -1;
	add_bind(h, xstrdup(at), str_fmt("%s/%s", from->bundle_path, name),
		"bind,ro,nosuid,nodev,noexec");
	return 0;
}

static int add_preload(struct hold *h, const struct hold_source *from, struct err *e)
{
	CLEANUP(buf_fini) struct buf text = { 0 };

	buf_addf(&text, "%s\n", layer_path(LAYER_JOB));
	if (h->layers & 1U << LAYER_CUDA)
		buf_addf(&text, "%s\n", layer_path(LAYER_CUDA));
	return add_made(h, from, PRELOAD, "/etc/ld.so.preload", &text, e);
}

static int add_environment(struct hold *h, const struct hold_source *from, struct err *e)
{
	CLEANUP(buf_fini) struct buf text = { 0 };
	const char *name, *value;

	for (size_t i = 0; hold_variable(h, from->partition, i, &name, &value); i++)
		buf_addf(&text, "%s=%s\n", name, value);
	return add_made(h, from, ENVIRONMENT, HOLD_FOLDER "/environment", &text, e);
}

/* ---- the partition ---- */

/* One that was killed is started again at once. */
static int wait_for_arbiter(const struct chronos *c, struct err *e)
{
	const int64_t until = clock_boot_ns() + ARBITER_WAIT_NS;

	while (!chronos_arbiter_serves(c)) {
		if (clock_boot_ns() > until)
			return err_set(e, ERR_UNAVAILABLE,
				"no arbiter serves: nobody would give the job its turns");
		poll(NULL, 0, ARBITER_LOOK_MS);
	}
	return 0;
}

static int add_chronos(struct hold *h, const struct hold_source *from, struct err *e)
{
	const struct chronos_partition *p = from->partition;
	struct chronos_error ce;
	struct chronos_stats stats;
	char dir[PATH_MAX];

	if (wait_for_arbiter(from->chronos, e) < 0)
		return -1;
	if (chronos_prepare(from->chronos, p->id, NULL, &ce) < 0 ||
		chronos_stats(from->chronos, &stats, &ce) < 0)
		return err_set(e, ERR_UNAVAILABLE, "chronos: %s", ce.text);
	if (!realpath(stats.dir, dir))
		return err_sys(e, "chronos: %s", stats.dir);
	add_bind(h, str_fmt(HOLD_FOLDER "/partition-%s", p->id),
		str_fmt("%s/partition-%s", dir, p->id), "bind,rw,nosuid,nodev,noexec");
	for (size_t i = 0; i < from->gpus->count; i++) {
		const uint32_t index = from->gpus->devices[i].index;

		add_bind(h, str_fmt(HOLD_FOLDER "/device-%u", index),
			str_fmt("%s/device-%u", dir, index),
			"bind,ro,nosuid,nodev,noexec");
	}
	return 0;
}

/* Those of all its devices, which may be of several kinds. */
static int find_layers(struct hold *h, const struct hold_source *from, struct err *e)
{
	for (size_t i = 0; i < from->gpus->count; i++) {
		const char *missing;

		h->layers |= layers_for(
			from->root_folder, from->gpus->devices[i].kind, &missing);
		if (missing)
			return err_set(e, ERR_UNAVAILABLE,
				"%s is missing: nothing would hold the job to its share",
				missing);
	}
	return 0;
}

int hold_make(struct hold *h, const struct hold_source *from, struct err *e)
{
	CLEANUP(hold_fini) struct hold made = { 0 };

	*h = (struct hold){ 0 };
	if (find_layers(&made, from, e) < 0)
		return -1;
	if (!made.layers)
		return 0;
	list_devices(&made, from->gpus);
	if (add_chronos(&made, from, e) < 0 || add_preload(&made, from, e) < 0 ||
		add_environment(&made, from, e) < 0)
		return -1;
	*h = made;
	made = (struct hold){ 0 };
	return 0;
}

/* ---- what came of it ---- */

bool hold_is_gone(struct chronos *c, const struct chronos_partition *p)
{
	struct chronos_partition now;
	struct chronos_error why = { 0 };

	return chronos_find(c, p->id, &now, &why) < 0 && why.code == CHRONOS_NOT_FOUND;
}

void hold_measure(const struct hold *h, struct chronos *c,
	const struct chronos_partition *p, struct hold_usage *u)
{
	struct hold_usage now = { .peak_bytes = u->peak_bytes };
	uint64_t used = 0;

	for (size_t i = 0; h->layers && i < p->device_count; i++) {
		struct chronos_usage part;
		struct chronos_error ignored;

		/* Its file is gone once somebody else has released the partition. */
		if (chronos_usage(c, p, p->devices[i], &part, &ignored) < 0 ||
			strcmp(part.enforcement, "off") == 0)
			return;
		now.quota_bytes += part.quota_bytes;
		now.time_ns += part.time_ns;
		now.refusals += part.refusals;
		now.overruns += part.overruns;
		now.overrun_ns += part.overrun_ns;
		used += part.used_bytes;
	}
	if (used > now.peak_bytes)
		now.peak_bytes = used;
	*u = now;
}
