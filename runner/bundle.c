/* bundle.c - writes config.json, what an OCI runtime is told about a job's container. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "bundle.h"

#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/sysmacros.h>

#include "buf.h"
#include "cleanup.h"
#include "file.h"
#include "str.h"
#include "xalloc.h"

#define COUNT(a)      (sizeof(a) / sizeof(*(a)))

#define FILES_SOFT    1024
#define FILES_HARD    4096
#define CPU_PERIOD_US 100000
#define MOUNTINFO_MAX ((size_t)(4 << 20))

static const char *const namespaces[] = { "user", "pid", "mount", "ipc", "uts", "network",
	"cgroup" };

static const char *const masked_paths[] = { "/proc/acpi", "/proc/asound",
	"/proc/config.gz", "/proc/kallsyms", "/proc/kcore", "/proc/keys", "/proc/kmsg",
	"/proc/kpagecgroup", "/proc/kpagecount", "/proc/kpageflags",
	"/proc/latency_stats", "/proc/sched_debug", "/proc/scsi", "/proc/slabinfo",
	"/proc/timer_list", "/proc/timer_stats", "/proc/vmallocinfo", "/proc/interrupts",
	"/sys/firmware", "/sys/fs", "/sys/power", "/sys/hypervisor",
	"/sys/devices/virtual/powercap", "/sys/devices/virtual/dmi", "/sys/class/dmi" };

static const char *const readonly_paths[] = { "/proc/bus", "/proc/fs", "/proc/irq",
	"/proc/sys", "/proc/sysrq-trigger", "/proc/dynamic_debug" };

/* Host paths below any of these are mounted where the job sees them; see add_mount(). */
struct mount {
	const char *at;
	const char *type;
	const char *source;
	const char *options; /* comma-separated */
};

static const struct mount system_mounts[] = {
	{ "/proc", "proc", "proc", "nosuid,nodev,noexec" },
	{ "/sys", "sysfs", "sysfs", "ro,nosuid,nodev,noexec" },
	{ "/dev", "tmpfs", "tmpfs", "nosuid,noexec,mode=755,size=64k,nr_inodes=64" },
	{ "/dev/pts", "devpts", "devpts",
		"nosuid,noexec,newinstance,ptmxmode=0666,mode=0620" },
	{ "/run", "tmpfs", "run", "nosuid,nodev,noexec,mode=755,size=64k,nr_inodes=64" },
};

static void json_undo(json_t **j)
{
	json_decref(*j);
}

/* Bytes that are not UTF-8 cannot stand in JSON; a job gets them replaced. */
static json_t *text_of(const char *text)
{
	CLEANUP(free_ptr) char *valid = utf8_replace(text, strlen(text), NULL);

	return json_string(valid);
}

static json_t *text_list(const char *const *texts, size_t count)
{
	json_t *list = json_array();

	for (size_t i = 0; i < count; i++)
		json_array_append_new(list, text_of(texts[i]));
	return list;
}

static size_t count_texts(const char *const *texts)
{
	size_t n = 0;

	while (texts[n])
		n++;
	return n;
}

/* ---- mounts ---- */

static void add_mount(json_t *mounts, const struct mount *m)
{
	CLEANUP(free_ptr) char *copy = xstrdup(m->options);
	json_t *options = json_array();
	char *rest = NULL;

	for (char *word = strtok_r(copy, ",", &rest); word;
		word = strtok_r(NULL, ",", &rest))
		json_array_append_new(options, json_string(word));
	json_array_append_new(mounts,
		json_pack("{s:s, s:s, s:o, s:o}", "destination", m->at, "type", m->type,
			"source", text_of(m->source), "options", options));
}

static void add_bind(
	json_t *mounts, const char *at, const char *source, const char *options)
{
	add_mount(mounts, &(struct mount){ at, "bind", source, options });
}

/* A part of the host's /usr that is a mount of its own: in a user namespace the runtimes
 * bind without what is mounted below, so each is named. */
static void add_usr(json_t *mounts)
{
	CLEANUP(buf_fini) struct buf b = { 0 };
	char *rest = NULL;

	add_bind(mounts, "/usr", "/usr", "rbind,ro,nosuid,nodev");
	if (file_read(AT_FDCWD, "/proc/self/mountinfo", MOUNTINFO_MAX, &b, NULL) < 0)
		return;
	CLEANUP(free_ptr) char *text = buf_take_str(&b);
	for (char *line = strtok_r(text, "\n", &rest); line;
		line = strtok_r(NULL, "\n", &rest)) {
		char at[2048];

		if (sscanf(line, "%*d %*d %*s %*s %2047s", at) == 1 &&
			str_starts(at, "/usr/") && !strchr(at, '\\'))
			add_bind(mounts, at, at, "bind,ro,nosuid,nodev");
	}
}

static void add_tmpfs(json_t *mounts, const char *at, const char *extra, int64_t bytes)
{
	CLEANUP(free_ptr)
	char *options =
		str_fmt("nosuid,nodev,%smode=1777,size=%" PRId64 ",nr_inodes=65536",
			extra, bytes);

	add_mount(mounts, &(struct mount){ at, "tmpfs", "tmpfs", options });
}

static void add_scratch(json_t *mounts, const char *scratch)
{
	CLEANUP(free_ptr) char *src = str_fmt("%s/src", scratch);
	CLEANUP(free_ptr) char *work = str_fmt("%s/work", scratch);

	add_bind(mounts, "/job/src", src, "bind,rw,nosuid,nodev");
	add_bind(mounts, "/job/work", work, "bind,rw,nosuid,nodev");
}

static json_t *make_mounts(const struct bundle *b)
{
	json_t *mounts = json_array();

	for (size_t i = 0; i < COUNT(system_mounts); i++)
		if (!b->host_network || strcmp(system_mounts[i].at, "/sys") != 0)
			add_mount(mounts, &system_mounts[i]);
	add_tmpfs(mounts, "/dev/shm", "noexec,", b->tmp_bytes);
	add_tmpfs(mounts, "/tmp", "", b->tmp_bytes);
	add_usr(mounts);
	if (b->package)
		add_bind(mounts, "/job/code.zip", b->package,
			"bind,ro,nosuid,nodev,noexec");
	if (b->scratch)
		add_scratch(mounts, b->scratch);
	if (b->environment)
		add_bind(mounts, "/env", b->environment, "bind,ro,nosuid,nodev");
	for (size_t i = 0; i < b->bind_count; i++)
		add_bind(mounts, b->binds[i].at, b->binds[i].source, b->binds[i].options);
	for (size_t i = 0; i < b->node_count; i++)
		add_bind(mounts, b->nodes[i], b->nodes[i], "bind,rw,nosuid,noexec");
	return mounts;
}

/* ---- the process ---- */

/* Above our own hard limit nothing can be set without CAP_SYS_RESOURCE. */
static json_t *make_limit(
	const char *name, __rlimit_resource_t what, rlim_t soft, rlim_t hard)
{
	struct rlimit now;

	if (getrlimit(what, &now) == 0 && now.rlim_max < hard)
		hard = now.rlim_max;
	return json_pack("{s:s, s:I, s:I}", "type", name, "hard", (json_int_t)hard,
		"soft", (json_int_t)(hard < soft ? hard : soft));
}

static json_t *make_limits(const struct bundle *b)
{
	/* 1 and not 0, which a core_pattern that is a program does not heed. */
	json_t *limits = json_pack("[o, o]", make_limit("RLIMIT_CORE", RLIMIT_CORE, 1, 1),
		make_limit("RLIMIT_NOFILE", RLIMIT_NOFILE, FILES_SOFT, FILES_HARD));

	if (b->file_bytes)
		json_array_append_new(
			limits, make_limit("RLIMIT_FSIZE", RLIMIT_FSIZE,
					(rlim_t)b->file_bytes, (rlim_t)b->file_bytes));
	return limits;
}

/* The host's groups stand behind the job's own range. */
static json_t *make_user(const struct bundle *b)
{
	json_t *groups = json_array();

	for (size_t i = 0; i < b->group_count; i++)
		json_array_append_new(
			groups, json_integer(JOB_UID_COUNT + (json_int_t)i));
	return json_pack("{s:i, s:i, s:i, s:o}", "uid", JOB_UID, "gid", JOB_UID, "umask",
		022, "additionalGids", groups);
}

static json_t *make_process(const struct bundle *b)
{
	return json_pack("{s:b, s:s, s:o, s:o, s:o,"
			 " s:{s:[], s:[], s:[], s:[], s:[]}, s:b, s:o}",
		"terminal", 0, "cwd", b->cwd, "user", make_user(b), "args",
		text_list(b->args, count_texts(b->args)), "env",
		text_list(b->env, count_texts(b->env)), "capabilities", "bounding",
		"effective", "inheritable", "permitted", "ambient", "noNewPrivileges", 1,
		"rlimits", make_limits(b));
}

/* ---- linux ---- */

static json_t *id_range(uint32_t in_container, uint32_t on_host, int size)
{
	return json_pack("{s:I, s:I, s:i}", "containerID", (json_int_t)in_container,
		"hostID", (json_int_t)on_host, "size", size);
}

static json_t *uid_map(const struct bundle *b)
{
	return json_pack("[o]", id_range(0, b->uid_base, JOB_UID_COUNT));
}

static json_t *gid_map(const struct bundle *b)
{
	json_t *map = uid_map(b);

	for (uint32_t i = 0; i < b->group_count; i++)
		json_array_append_new(map, id_range(JOB_UID_COUNT + i, b->groups[i], 1));
	return map;
}

static json_t *device_rule(const struct cgroup_device *d)
{
	json_t *rule = json_pack("{s:b, s:s, s:I, s:s}", "allow", 1, "type", "c", "major",
		(json_int_t)d->major, "access", "rwm");

	if (d->minor != UINT32_MAX)
		json_object_set_new(rule, "minor", json_integer(d->minor));
	return rule;
}

/* For a runtime that makes the control groups itself.  The usual devices it adds. */
static json_t *make_resources(const struct cgroup_limits *l)
{
	json_t *rules = json_pack("[{s:b, s:s}]", "allow", 0, "access", "rwm");

	for (size_t i = 0; i < l->device_count; i++)
		json_array_append_new(rules, device_rule(&l->devices[i]));

	json_t *resources = json_pack("{s:o}", "devices", rules);
	if (l->memory_bytes)
		json_object_set_new(resources, "memory",
			json_pack("{s:I, s:I}", "limit", (json_int_t)l->memory_bytes,
				"swap", (json_int_t)l->memory_bytes));
	if (l->pids)
		json_object_set_new(
			resources, "pids", json_pack("{s:i}", "limit", l->pids));
	if (l->cpus > 0)
		json_object_set_new(resources, "cpu",
			json_pack("{s:I, s:i}", "quota",
				(json_int_t)(l->cpus * CPU_PERIOD_US), "period",
				CPU_PERIOD_US));
	if (l->dmem)
		json_object_set_new(
			resources, "unified", json_pack("{s:s}", "dmem.max", l->dmem));
	return resources;
}

static json_t *make_linux(const struct bundle *b)
{
	json_t *list = json_array();

	for (size_t i = 0; i < COUNT(namespaces); i++)
		if (!b->host_network || strcmp(namespaces[i], "network") != 0)
			json_array_append_new(
				list, json_pack("{s:s}", "type", namespaces[i]));

	json_t *l = json_pack("{s:s, s:[], s:o, s:o, s:o, s:o, s:o}", "rootfsPropagation",
		"private", "devices", "namespaces", list, "uidMappings", uid_map(b),
		"gidMappings", gid_map(b), "maskedPaths",
		text_list(masked_paths, COUNT(masked_paths)), "readonlyPaths",
		text_list(readonly_paths, COUNT(readonly_paths)));
	if (b->cgroup_path) {
		json_object_set_new(l, "cgroupsPath", text_of(b->cgroup_path));
		json_object_set_new(l, "resources", make_resources(b->limits));
	}
	return l;
}

int bundle_write(int folder, const struct bundle *b, struct err *e)
{
	CLEANUP(json_undo)
	json_t *config = json_pack("{s:s, s:s, s:{s:o, s:b}, s:o, s:o, s:o}",
		"ociVersion", "1.0.2", "hostname", "job", "root", "path",
		text_of(b->root), "readonly", 1, "process", make_process(b), "mounts",
		make_mounts(b), "linux", make_linux(b));
	CLEANUP(free_ptr) char *text = config ? json_dumps(config, JSON_COMPACT) : NULL;

	if (!text)
		return err_set(
			e, ERR_INTERNAL, "the container's config cannot be written");
	return file_write(folder, "config.json", text, strlen(text), 0600, false, e);
}
