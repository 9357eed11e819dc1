/* gpu.c - which devices a run gets, and which nodes of /dev they take. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "gpu.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "buf.h"
#include "cleanup.h"
#include "file.h"
#include "render.h"
#include "str.h"
#include "xalloc.h"

#define NVIDIA_FOLDER   "/proc/driver/nvidia/gpus"
#define INFORMATION_MAX ((size_t)65536)

/* Nodes that every NVIDIA program opens, whichever its device is. */
static const char *const nvidia_nodes[] = { "/dev/nvidiactl", "/dev/nvidia-uvm",
	"/dev/nvidia-uvm-tools" };

static void close_dir(DIR **d)
{
	if (*d)
		closedir(*d);
}

/* Whom a node of everybody's lets in, it lets in anyway; root's group is nobody's to have. */
static void add_group(struct gpus *g, const struct stat *st)
{
	const mode_t all = S_IROTH | S_IWOTH, group = S_IRGRP | S_IWGRP;

	if ((st->st_mode & all) == all || (st->st_mode & group) != group || !st->st_gid)
		return;
	for (size_t i = 0; i < g->group_count; i++)
		if (g->groups[i] == st->st_gid)
			return;
	if (g->group_count < GPU_GROUPS_MAX)
		g->groups[g->group_count++] = st->st_gid;
}

/* A node that does not exist is left out: a driver without that part has none. */
static void add_node(struct gpus *g, const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0 || !S_ISCHR(st.st_mode))
		return;
	g->nodes = xreallocarray(g->nodes, g->node_count + 1, sizeof(*g->nodes));
	g->rules = xreallocarray(g->rules, g->node_count + 1, sizeof(*g->rules));
	g->nodes[g->node_count] = xstrdup(path);
	g->rules[g->node_count] =
		(struct cgroup_device){ major(st.st_rdev), minor(st.st_rdev) };
	g->node_count++;
	add_group(g, &st);
}

/* The same of one that a job cannot do without. */
static int need_node(struct gpus *g, const char *path, struct err *e)
{
	size_t before = g->node_count;

	add_node(g, path);
	return g->node_count > before
		       ? 0
		       : err_set(e, ERR_NOT_FOUND, "%s is not there", path);
}

/* "Key:  value" of a driver's information file, or NULL; ends the line in place. */
static char *find_value(char *text, const char *key)
{
	char *at = strstr(text, key);

	if (!at)
		return NULL;
	at += strlen(key);
	at += strspn(at, ": \t");
	at[strcspn(at, "\n")] = '\0';
	at[strcspn(at, " \t")] = '\0';
	return at;
}

/* The number in the name of a device's node, which is not its index. */
static int nvidia_minor(const char *uuid, uint64_t *number, struct err *e)
{
	CLEANUP(close_dir) DIR *dir = opendir(NVIDIA_FOLDER);

	for (struct dirent *it; dir && (it = readdir(dir));) {
		CLEANUP(free_ptr)
		char *path = str_fmt(NVIDIA_FOLDER "/%s/information", it->d_name);
		CLEANUP(buf_fini) struct buf text = { 0 };

		if (it->d_name[0] == '.' ||
			file_read(AT_FDCWD, path, INFORMATION_MAX, &text, NULL) < 0)
			continue;
		CLEANUP(free_ptr) char *first = buf_take_str(&text);
		CLEANUP(free_ptr) char *second = xstrdup(first);
		const char *its_uuid = find_value(first, "GPU UUID");
		const char *its_minor = find_value(second, "Device Minor");

		if (its_uuid && its_minor && strcmp(its_uuid, uuid) == 0)
			return parse_u64(its_minor, 0, 1023, number, e);
	}
	return err_set(e, ERR_NOT_FOUND, "the driver does not show device %s", uuid);
}

static int add_nvidia(struct gpus *g, const char *uuid, struct err *e)
{
	char path[64];
	uint64_t number = 0;

	if (nvidia_minor(uuid, &number, e) < 0)
		return -1;
	if (g->node_count == 0) {
		for (size_t i = 0; i < sizeof(nvidia_nodes) / sizeof(*nvidia_nodes); i++)
			add_node(g, nvidia_nodes[i]);
	}
	snprintf(path, sizeof(path), "/dev/nvidia%u", (unsigned int)number);
	return need_node(g, path, e);
}

static bool has_node(const struct gpus *g, const char *path)
{
	for (size_t i = 0; i < g->node_count; i++)
		if (strcmp(g->nodes[i], path) == 0)
			return true;
	return false;
}

static int add_opencl(struct gpus *g, const struct chronos_device *d, struct err *e)
{
	struct render_nodes nodes;

	if (render_find(RENDER_PCI_FOLDER, d->pci, &nodes, e) < 0 ||
		render_check(&nodes, e) < 0)
		return err_wrap(e, "device %s", d->uuid);
	for (size_t i = 0; i < nodes.count; i++)
		if (!has_node(g, nodes.paths[i]) && need_node(g, nodes.paths[i], e) < 0)
			return err_wrap(e, "device %s", d->uuid);
	return 0;
}

static int add_device(struct gpus *g, const struct chronos_device *d, struct err *e)
{
	if (!d->present)
		return err_set(e, ERR_NOT_FOUND, "device %s is gone", d->uuid);
	if (d->kind == CHRONOS_KIND_MIG)
		return err_set(e, ERR_UNSUPPORTED,
			"jobs cannot get devices of kind %s yet",
			chronos_kind_name(d->kind));
	if (d->kind == CHRONOS_KIND_NVIDIA && add_nvidia(g, d->uuid, e) < 0)
		return -1;
	if (d->kind == CHRONOS_KIND_OPENCL && add_opencl(g, d, e) < 0)
		return -1;
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
