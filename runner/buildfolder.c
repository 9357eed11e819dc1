/* buildfolder.c - takes away the folder in which an environment was built. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "buildfolder.h"

#include <stdlib.h>
#include <unistd.h>

#include "cgroup.h"
#include "cleanup.h"
#include "file.h"
#include "runclean.h"
#include "str.h"

#define CGROUP_MAX ((size_t)65536)

/* Without a note there is no process: it comes first. */
int build_stop(int environments_fd, const char *id, struct err *e)
{
	CLEANUP(free_ptr) char *path = str_fmt("%s/" BUILD_CGROUP, id);
	CLEANUP(buf_fini) struct buf bytes = { 0 };
	CLEANUP(cgroup_fini) struct cgroup g = { 0 };
	struct err why = { 0 };

	if (file_read(environments_fd, path, CGROUP_MAX, &bytes, &why) < 0) {
		if (why.code == ERR_NOT_FOUND)
			return 0;
		*e = why;
		return -1;
	}
	CLEANUP(free_ptr) char *text = buf_take_str(&bytes);
	if (cgroup_parse(&g, text, id, e) < 0 ||
		cgroup_empty(&g, RUN_CLEAN_WAIT_MS, e) < 0)
		return -1;
	return cgroup_remove(&g, e);
}

int build_remove(int environments_fd, const char *id, struct err *e)
{
	struct err ignored;

	if (!e)
		e = &ignored;
	if (build_stop(environments_fd, id, e) < 0)
		return err_wrap(e, "build %s", id);
	return tree_remove(environments_fd, id, e);
}
