/* render.c - which nodes of /dev a GPU that OpenCL shows is used by. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "render.h"

#include <dirent.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
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

static void add(struct render_nodes *n, const char *folder, const char *name)
{
	if (n->count < RENDER_NODES_MAX)
		str_put(n->paths[n->count++], sizeof(n->paths[0]), "%s%s", folder, name);
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
	const char *folder, const char *pci, struct render_nodes *out, struct err *e)
{
	struct render_nodes found = { 0 };

	if (!*pci)
		return err_set(e, ERR_UNSUPPORTED,
			"its driver does not say where it is on PCI, so which nodes of "
			"/dev it has is not known");
	CLEANUP(free_ptr) char *device = str_fmt("%s/%s", folder, pci);
	CLEANUP(free_ptr) char *drm = str_fmt("%s/drm", device);
	CLEANUP(close_dir) DIR *dir = opendir(drm);
	for (struct dirent *it; dir && (it = readdir(dir));)
		if (str_starts(it->d_name, "renderD"))
			add(&found, "/dev/dri/", it->d_name);
	if (!found.count)
		return err_set(e, ERR_NOT_FOUND,
			"%s has no render node: is its driver loaded?", drm);
	if (is_amds(device))
		add(&found, AMD_NODE, "");
	*out = found;
	return 0;
}

static bool is_for_jobs(const struct stat *st)
{
	const mode_t all = S_IROTH | S_IWOTH, group = S_IRGRP | S_IWGRP;

	return (st->st_mode & all) == all ||
	       ((st->st_mode & group) == group && st->st_gid);
}

int render_check(const struct render_nodes *n, struct err *e)
{
	for (size_t i = 0; i < n->count; i++) {
		struct stat st;

		if (stat(n->paths[i], &st) < 0 || !S_ISCHR(st.st_mode))
			return err_set(e, ERR_NOT_FOUND, "%s is not there", n->paths[i]);
		if (!is_for_jobs(&st))
			return err_set(e, ERR_DENIED,
				"root alone can open %s; udev gives such nodes to the group "
				"render, mode 0660",
				n->paths[i]);
	}
	return 0;
}
