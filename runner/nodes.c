/* nodes.c - which nodes of /dev a device is used by. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "nodes.h"

#include <assert.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

#include "nvidia.h"
#include "render.h"

void device_nodes_add(struct device_nodes *n, const char *format, ...)
{
	va_list args;

	assert(n->count < DEVICE_NODES_MAX);
	va_start(args, format);
	vsnprintf(n->paths[n->count++], sizeof(n->paths[0]), format, args);
	va_end(args);
}

static int find(const struct chronos_device *d, struct device_nodes *out, struct err *e)
{
	switch (d->kind) {
	case CHRONOS_KIND_NVIDIA:
	case CHRONOS_KIND_MIG:
		return nvidia_find(NVIDIA_FOLDER, d, out, e);
	case CHRONOS_KIND_OPENCL:
		return render_find(RENDER_PCI_FOLDER, d->pci, out, e);
	default:
		return 0;
	}
}

/* Root's group is nobody's to have. */
enum node_access node_access_of(const struct stat *st)
{
	mode_t owners = st->st_mode >> 6 & (S_IROTH | S_IWOTH);

	if (owners && (st->st_mode & owners) == owners)
		return NODE_ALL;
	if (owners && (st->st_mode >> 3 & owners) == owners && st->st_gid)
		return NODE_GROUP;
	return NODE_ROOT;
}

static int check(const struct chronos_device *d, const char *path, struct err *e)
{
	bool nvidias = d->kind != CHRONOS_KIND_OPENCL;
	struct stat st;

	if (stat(path, &st) < 0 || !S_ISCHR(st.st_mode))
		return err_set(e, ERR_NOT_FOUND,
			"%s is not there: it is made when the driver is loaded%s", path,
			nvidias ? ", or by nvidia-modprobe" : "");
	if (node_access_of(&st) == NODE_ROOT)
		return err_set(e, ERR_DENIED, "root alone can open %s%s", path,
			nvidias ? ""
				: "; udev gives such nodes to the group render, mode "
				  "0660");
	return 0;
}

int device_nodes_find(
	const struct chronos_device *d, struct device_nodes *out, struct err *e)
{
	struct device_nodes found = { 0 };

	if (find(d, &found, e) < 0)
		return -1;
	for (size_t i = 0; i < found.count; i++)
		if (check(d, found.paths[i], e) < 0)
			return -1;
	*out = found;
	return 0;
}
