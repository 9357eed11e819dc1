/* render.c - which nodes of /dev a GPU that OpenCL shows is used by. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "render.h"

#include <dirent.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "str.h"

#define AMD_DRIVER "amdgpu"
#define AMD_NODE   "/dev/kfd"

static void close_dir(DIR **d)
{
	if (*d)
		closedir(*d);
}

/* The kernel's driver of the device is a link to the driver's folder. */
static bool is_amds(const char *device)
{
	CLEANUP(free_ptr) char *path = str_fmt("%s/driver", device);
	char target[PATH_MAX];
	ssize_t n = readlink(path, target, sizeof(target) - 1);

	target[n > 0 ? n : 0] = '\0';
	return str_ends(target, "/" AMD_DRIVER);
}

int render_find(
	const char *folder, const char *pci, struct device_nodes *out, struct err *e)
{
	struct device_nodes found = { 0 };

	if (!*pci)
		return err_set(e, ERR_UNSUPPORTED,
			"its driver does not say where it is on PCI, so which nodes of "
			"/dev it has is not known");
	CLEANUP(free_ptr) char *device = str_fmt("%s/%s", folder, pci);
	CLEANUP(free_ptr) char *drm = str_fmt("%s/drm", device);
	CLEANUP(close_dir) DIR *dir = opendir(drm);
	for (struct dirent *it; dir && (it = readdir(dir));)
		if (str_starts(it->d_name, "renderD") && !found.count)
			device_nodes_add(&found, "/dev/dri/%s", it->d_name);
	if (!found.count)
		return err_set(e, ERR_NOT_FOUND,
			"%s has no render node: is its driver loaded?", drm);
	if (is_amds(device))
		device_nodes_add(&found, AMD_NODE);
	*out = found;
	return 0;
}
