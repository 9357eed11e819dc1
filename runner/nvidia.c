/* nvidia.c - which nodes of /dev an NVIDIA GPU, or a MIG instance of one, is used by. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "nvidia.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "cleanup.h"
#include "file.h"
#include "str.h"

#define TEXT_MAX   ((size_t)65536)
#define VALUE_SIZE 96
#define MINOR_MAX  1048575 /* of the kernel's */
#define PROFILER   "/dev/nvidia-uvm-tools"

static void close_dir(DIR **d)
{
	if (*d)
		closedir(*d);
}

/* "Key:  value" of one of the driver's files; false where there is no such line. */
static bool find_value(const char *text, const char *key, char value[VALUE_SIZE])
{
	const char *at = strstr(text, key);

	if (!at)
		return false;
	at += strlen(key);
	at += strspn(at, ": \t");
	str_put(value, VALUE_SIZE, "%.*s", (int)strcspn(at, " \t\n"), at);
	return true;
}

static char *read_text(const char *path, struct err *e)
{
	CLEANUP(buf_fini) struct buf text = { 0 };

	return file_read(AT_FDCWD, path, TEXT_MAX, &text, e) < 0 ? NULL
								 : buf_take_str(&text);
}

/* ---- the GPU ---- */

/* Of an instance only the GPU is shown, by its place on PCI. */
static bool is_of(const struct chronos_device *d, const char *pci, const char *text)
{
	char uuid[VALUE_SIZE];

	if (d->kind == CHRONOS_KIND_MIG)
		return strcmp(d->pci, pci) == 0;
	return find_value(text, "GPU UUID", uuid) && strcmp(uuid, d->uuid) == 0;
}

static int find_minor(const char *folder, const struct chronos_device *d,
	uint64_t *number, struct err *e)
{
	CLEANUP(free_ptr) char *gpus = str_fmt("%s/gpus", folder);
	CLEANUP(close_dir) DIR *dir = opendir(gpus);
	char value[VALUE_SIZE];

	for (struct dirent *it; dir && (it = readdir(dir));) {
		CLEANUP(free_ptr)
		char *path = str_fmt("%s/%s/information", gpus, it->d_name);
		CLEANUP(free_ptr)
		char *text = it->d_name[0] == '.' ? NULL : read_text(path, NULL);

		if (text && is_of(d, it->d_name, text) &&
			find_value(text, "Device Minor", value))
			return parse_u64(value, 0, MINOR_MAX, number, e);
	}
	return err_set(e, ERR_NOT_FOUND,
		"%s does not show the device: is the driver loaded?", gpus);
}

/* ---- an instance ---- */

static int add_capability(struct device_nodes *n, const char *path, struct err *e)
{
	CLEANUP(free_ptr) char *text = read_text(path, e);
	char value[VALUE_SIZE];
	uint64_t number = 0;

	if (!text)
		return err_set(e, ERR_NOT_FOUND,
			"%s cannot be read: has the GPU been split anew?", path);
	if (!find_value(text, "DeviceFileMinor", value))
		return err_set(e, ERR_UNSUPPORTED, "%s has no DeviceFileMinor", path);
	if (parse_u64(value, 0, MINOR_MAX, &number, e) < 0)
		return err_wrap(e, "%s", path);
	device_nodes_add(n, "/dev/nvidia-caps/nvidia-cap%" PRIu64, number);
	return 0;
}

static int add_instance(struct device_nodes *n, const char *folder, uint64_t gpu,
	const char *instance, struct err *e)
{
	int gpu_instance = (int)strcspn(instance, "/");
	CLEANUP(free_ptr)
	char *mig = str_fmt("%s/capabilities/gpu%" PRIu64 "/mig", folder, gpu);
	CLEANUP(free_ptr)
	char *outer = str_fmt("%s/%.*s/access", mig, gpu_instance, instance);
	CLEANUP(free_ptr) char *inner = str_fmt("%s/%s/access", mig, instance);

	return add_capability(n, outer, e) < 0 || add_capability(n, inner, e) < 0 ? -1
										  : 0;
}

int nvidia_find(const char *folder, const struct chronos_device *d,
	struct device_nodes *out, struct err *e)
{
	struct device_nodes found = { 0 };
	bool split = d->kind == CHRONOS_KIND_MIG;
	uint64_t number = 0;

	if (split && !(*d->pci && *d->instance))
		return err_set(e, ERR_UNSUPPORTED,
			"NVML does not say which instance it is, and of which GPU");
	if (find_minor(folder, d, &number, e) < 0)
		return -1;
	device_nodes_add(&found, "/dev/nvidiactl");
	device_nodes_add(&found, "/dev/nvidia-uvm");
	if (access(PROFILER, F_OK) == 0)
		device_nodes_add(&found, PROFILER);
	device_nodes_add(&found, "/dev/nvidia%" PRIu64, number);
	if (split && add_instance(&found, folder, number, d->instance, e) < 0)
		return -1;
	*out = found;
	return 0;
}
