/* gpu.c - which devices a run gets, and which nodes of /dev they take. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "gpu.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "cleanup.h"
#include "nodes.h"
#include "str.h"
#include "xalloc.h"

static void add_group(struct gpus *g, const struct stat *st)
{
	if (node_access_of(st) != NODE_GROUP)
		return;
	for (size_t i = 0; i < g->group_count; i++)
		if (g->groups[i] == st->st_gid)
			return;
	if (g->group_count < GPU_GROUPS_MAX)
		g->groups[g->group_count++] = st->st_gid;
}

static bool has_node(const struct gpus *g, const char *path)
{
	for (size_t i = 0; i < g->node_count; i++)
		if (strcmp(g->nodes[i], path) == 0)
			return true;
	return false;
}

/* Devices of a job may have some in common. */
static int add_node(struct gpus *g, const char *path, struct err *e)
{
	struct stat st;

	if (has_node(g, path))
		return 0;
	if (stat(path, &st) < 0)
		return err_sys(e, "%s", path);
	g->nodes = xreallocarray(g->nodes, g->node_count + 1, sizeof(*g->nodes));
	g->rules = xreallocarray(g->rules, g->node_count + 1, sizeof(*g->rules));
	g->nodes[g->node_count] = xstrdup(path);
	g->rules[g->node_count] =
		(struct cgroup_device){ major(st.st_rdev), minor(st.st_rdev) };
	g->node_count++;
	add_group(g, &st);
	return 0;
}

static int add_device(struct gpus *g, const struct chronos_device *d, struct err *e)
{
	struct device_nodes nodes;

	if (!d->present)
		return err_set(e, ERR_NOT_FOUND, "device %s is gone", d->uuid);
	if (device_nodes_find(d, &nodes, e) < 0)
		return err_wrap(e, "device %s", d->uuid);
	for (size_t i = 0; i < nodes.count; i++)
		if (add_node(g, nodes.paths[i], e) < 0)
			return err_wrap(e, "device %s", d->uuid);
	g->devices[g->count++] = *d;
	return 0;
}

static const struct chronos_device *find(
	const struct chronos_device *known, size_t count, const char *uuid)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(known[i].uuid, uuid) == 0)
			return &known[i];
	}
	return NULL;
}

int gpus_find(struct gpus *g, struct chronos *c, char *const *uuids, size_t count,
	struct err *e)
{
	static struct chronos_device known[CHRONOS_DEVICES_MAX];
	struct chronos_error ce;
	size_t known_count;

	*g = (struct gpus){ 0 };
	if (chronos_devices(c, known, CHRONOS_DEVICES_MAX, &known_count, &ce) < 0)
		return err_set(e, ERR_UNAVAILABLE, "chronos: %s", ce.text);
	for (size_t i = 0; i < count && i < GPUS_MAX; i++) {
		const struct chronos_device *d = find(known, known_count, uuids[i]);

		if (!d) {
			gpus_fini(g);
			return err_set(
				e, ERR_NOT_FOUND, "there is no device %s", uuids[i]);
		}
		if (add_device(g, d, e) < 0) {
			gpus_fini(g);
			return -1;
		}
	}
	return 0;
}

void gpus_fini(struct gpus *g)
{
	for (size_t i = 0; i < g->node_count; i++)
		free(g->nodes[i]);
	free(g->nodes);
	free(g->rules);
	*g = (struct gpus){ 0 };
}
