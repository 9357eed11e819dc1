/* dmem.c - what a control group of version 2 may take of devices' memory (dmem.max). */
/* SPDX-License-Identifier: Apache-2.0 */
#include "dmem.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "cleanup.h"
#include "file.h"
#include "str.h"
#include "xalloc.h"

#define FILE_MAX ((size_t)65536)
#define REGIONS  "dmem.capacity"

static char *read_text(const char *dir, const char *file, struct err *e)
{
	CLEANUP(free_ptr) char *path = str_fmt("%s/%s", dir, file);
	CLEANUP(buf_fini) struct buf text = { 0 };

	return file_read(AT_FDCWD, path, FILE_MAX, &text, e) < 0 ? NULL
								 : buf_take_str(&text);
}

/* Is dmem among the words of the group's file? */
static bool lists_dmem(const char *group, const char *file)
{
	struct err none;
	CLEANUP(free_ptr) char *text = read_text(group, file, &none);
	char *rest = NULL;

	for (char *word = text ? strtok_r(text, " \n", &rest) : NULL; word;
		word = strtok_r(NULL, " \n", &rest))
		if (strcmp(word, "dmem") == 0)
			return true;
	return false;
}

static bool counts_any(const char *root)
{
	struct err none;
	CLEANUP(free_ptr) char *regions = read_text(root, REGIONS, &none);

	return !str_empty(regions);
}

int dmem_hand_down(const char *root, const char *group, struct err *e)
{
	if (!lists_dmem(group, "cgroup.controllers"))
		return counts_any(root)
			       ? err_set(e, ERR_UNAVAILABLE,
					 "the groups above %s do not hand the controller "
					 "dmem down to it: +dmem into the "
					 "cgroup.subtree_control of each does",
					 group)
			       : err_set(e, ERR_UNSUPPORTED,
					 "the kernel counts no device's memory");
	return file_tell(group, "cgroup.subtree_control", "+dmem", e);
}

char *dmem_regions(const char *root, const char *group)
{
	struct err none;

	return lists_dmem(group, "cgroup.subtree_control")
		       ? read_text(root, REGIONS, &none)
		       : NULL;
}

/* ---- regions ---- */

struct place {
	unsigned int domain, bus, device, function;
};

/* Drivers write the domain with four digits or eight. */
static bool read_place(const char *text, size_t len, struct place *out)
{
	char copy[32];
	int end = 0;

	if (len >= sizeof(copy))
		return false;
	memcpy(copy, text, len);
	copy[len] = '\0';
	return sscanf(copy, "%8x:%2x:%2x.%1x%n", &out->domain, &out->bus, &out->device,
		       &out->function, &end) == 4 &&
	       (size_t)end == len;
}

/* Is the region "DRIVER/PLACE/NAME" one of the device's? */
static bool is_of(const char *region, const struct chronos_device *device)
{
	const char *at = strchr(region, '/');
	const char *end = at ? strchr(at + 1, '/') : NULL;
	struct place its, wanted;

	return end && device->kind != CHRONOS_KIND_MIG &&
	       read_place(at + 1, (size_t)(end - at) - 1, &its) &&
	       read_place(device->pci, strlen(device->pci), &wanted) &&
	       memcmp(&its, &wanted, sizeof(its)) == 0;
}

/* The next line's region, ended in place, and its size; NULL at the end.  A line that has no
 * number is passed over. */
static char *next_region(char *text, char **rest, uint64_t *bytes)
{
	for (char *line = strtok_r(text, "\n", rest); line;
		line = strtok_r(NULL, "\n", rest)) {
		struct err none;
		char *gap = strchr(line, ' ');

		if (!gap)
			continue;
		*gap = '\0';
		if (parse_u64(gap + 1, 0, UINT64_MAX, bytes, &none) == 0)
			return line;
	}
	return NULL;
}

bool dmem_shows(const char *regions, const struct chronos_device *device)
{
	CLEANUP(free_ptr) char *copy = xstrdup(regions);
	char *rest = NULL;
	uint64_t bytes;

	for (char *it = next_region(copy, &rest, &bytes); it;
		it = next_region(NULL, &rest, &bytes))
		if (is_of(it, device))
			return true;
	return false;
}

char *dmem_limits(const char *regions, const struct dmem_share *shares, size_t count)
{
	CLEANUP(free_ptr) char *copy = xstrdup(regions);
	CLEANUP(buf_fini) struct buf lines = { 0 };
	char *rest = NULL;
	uint64_t bytes;

	for (char *it = next_region(copy, &rest, &bytes); it;
		it = next_region(NULL, &rest, &bytes))
		for (size_t i = 0; i < count; i++)
			if (is_of(it, shares[i].device))
				buf_addf(&lines, "%s %" PRIu64 "\n", it,
					chronos_share_bytes(bytes, shares[i].hundredths));
	return lines.len ? buf_take_str(&lines) : NULL;
}

/* The kernel takes all lines of one write. */
int dmem_write(const char *group, const char *limits, struct err *e)
{
	return file_tell(group, "dmem.max", limits, e);
}
