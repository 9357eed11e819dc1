/* doctor.c - chronos doctor: which means hold programs to their shares on this machine. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <glob.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/bpf.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

struct finding {
	const char *means;
	bool holds;
	char detail[PATH_MAX + 256];
	const char *remedy; /* how to get it, or more; NULL: no word */
};

enum { FINDINGS_MAX = 16, LOAD_LIMIT_S = 20 };

struct doctor {
	struct chronos *c; /* borrowed; NULL: the directory could not be opened */
	struct chronos_device devices[CHRONOS_DEVICES_MAX];
	size_t device_count;
	struct finding found[FINDINGS_MAX];
	size_t count;
};

__attribute__((format(printf, 5, 6))) static void find(struct doctor *d,
	const char *means, bool holds, const char *remedy, const char *format, ...)
{
	struct finding *f = &d->found[d->count];
	va_list args;

	if (d->count == FINDINGS_MAX)
		return;
	d->count++;
	*f = (struct finding){ .means = means, .holds = holds, .remedy = remedy };
	va_start(args, format);
	vsnprintf(f->detail, sizeof f->detail, format, args);
	va_end(args);
}

/* ---- what the machine has ---- */

static bool file_has_word(const char *path, const char *word)
{
	char line[1024] = "", *rest = line, *one;
	FILE *f = fopen(path, "re");

	if (!f)
		return false;
	(void)!fgets(line, sizeof line, f);
	fclose(f);
	while ((one = strsep(&rest, " \n"))) {
		if (strcmp(one, word) == 0)
			return true;
	}
	return false;
}

static bool in_path(const char *program)
{
	const char *path = getenv("PATH");
	char *copy = strdup(path ? path : ""), *rest = copy, *dir;
	bool found = false;

	while (rest && !found && (dir = strsep(&rest, ":"))) {
		char file[PATH_MAX];
		snprintf(file, sizeof file, "%s/%s", dir, program);
		found = access(file, X_OK) == 0;
	}
	free(copy);
	return found;
}

/* Would a program find it?  In a child: a driver's library may do anything when it is
 * loaded. */
static bool can_load(const char *library)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(dlopen(library, RTLD_LAZY | RTLD_LOCAL) ? 0 : 1);
	return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
	       WEXITSTATUS(status) == 0;
}

static _Noreturn void load_layer_and_exit(const char *layer)
{
	void *library = dlopen("libOpenCL.so.1", RTLD_LAZY | RTLD_LOCAL);
	void *found = library ? dlsym(library, "clGetPlatformIDs") : NULL;
	int32_t (*platforms)(uint32_t, void **, uint32_t *);
	uint32_t count = 0;
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	if (!found || null < 0)
		_exit(1);
	alarm(LOAD_LIMIT_S);
	dup2(null, STDOUT_FILENO); /* drivers are talkative */
	dup2(null, STDERR_FILENO);
	memcpy(&platforms, &found, sizeof platforms);
	platforms(0, NULL, &count);
	_exit(dlopen(layer, RTLD_LAZY | RTLD_NOLOAD) ? 0 : 1);
}

/* Older loaders know nothing of layers, nor do some vendors'. */
static bool opencl_takes_layers(const char *layer)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		setenv("OPENCL_LAYERS", layer, 1);
		load_layer_and_exit(layer);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
	       WEXITSTATUS(status) == 0;
}

/* ---- one after the other ---- */

static void look_at_directory(struct doctor *d, const struct chronos_error *e)
{
	struct chronos_stats stats;

	if (!d->c || chronos_stats(d->c, &stats, NULL) < 0)
		find(d, "Directory", false, NULL, "%s", e->text);
	else
		find(d, "Directory", true, NULL,
			"%s, of this boot, with %" PRIu32 " partition%s", stats.dir,
			stats.partitions, stats.partitions == 1 ? "" : "s");
}

static void look_at_devices(struct doctor *d)
{
	char list[PATH_MAX] = "", name[sizeof d->devices->name];
	size_t at = 0, present = 0;

	for (size_t i = 0; i < d->device_count && at < sizeof list - 1; i++) {
		const struct chronos_device *one = &d->devices[i];
		if (!one->present)
			continue;
		int n = snprintf(list + at, sizeof list - at,
			"%sGPU %" PRIu32 ", %s (%s)", present++ ? "; " : "", one->index,
			printable(name, sizeof name, one->name),
			chronos_kind_name(one->kind));
		at += n > 0 ? (size_t)n : 0;
	}
	if (present == 0)
		find(d, "Devices", false,
			"chronos stats --devices auto looks again; --devices simulated:2 "
			"makes two to try it out",
			"no GPU is known");
	else
		find(d, "Devices", true, NULL, "%s", list);
}

static void look_at_arbiter(struct doctor *d)
{
	if (d->c && chronos_arbiter_serves(d->c))
		find(d, "Arbiter", true, NULL,
			"gives the turns, so programs that join need not trust each "
			"other");
	else
		find(d, "Arbiter", false,
			"systemctl enable --now chronos-arbiter (for /run/chronos), or chronos arbiter "
			"--background",
			"none serves: programs that join take turns by themselves and "
			"must trust each other");
}

static void look_at_layer(struct doctor *d, enum layer layer, const char *means,
	const char *file, const char *programs, const char *library)
{
	char path[PATH_MAX];

	if (!find_layer(layer, path, sizeof path))
		find(d, means, false, "make install puts it there",
			"%s is not beside this program", file);
	else if (layer == LAYER_OPENCL && can_load(library) && !opencl_takes_layers(path))
		find(d, means, false, "ocl-icd 2.3 or later, or Khronos' loader",
			"the %s of this machine loads no layers", library);
	else if (can_load(library))
		find(d, means, true, NULL,
			"memory and time of %s programs that chronos run starts, by %.*s",
			programs, PATH_MAX - 1, path);
	else
		find(d, means, true, NULL,
			"%s programs that chronos run starts, but %s, which they need, is "
			"not installed",
			programs, library);
}

/* What a worker puts into jobs' containers, if there is one beside this program: a device
 * for which one of them is missing takes no jobs. */
static void look_at_jobs(struct doctor *d)
{
	static const char *const means = "Jobs of Cumulus";
	static const char *const libraries[] = { "../lib/cumulus/libchronos-job.so",
		"../lib/cumulus/libchronos-opencl.so",
		"../lib/cumulus/libchronos-cuda.so" };
	char path[PATH_MAX];

	if (!find_beside("cumulus-worker", path, sizeof path))
		return;
	for (size_t i = 0; i < sizeof libraries / sizeof *libraries; i++) {
		if (find_beside(libraries[i], path, sizeof path))
			continue;
		find(d, means, false,
			"make install puts it there; then start cumulus-worker again",
			"%s is not beside this program: GPUs that take it are given to no "
			"job",
			libraries[i]);
		return;
	}
	find(d, means, true, "cumulus doctor says it of each device of each worker",
		"all programs in their containers are held by the layers");
}

/* Who can open a GPU can use it without asking anybody. */
static void look_at_nodes(struct doctor *d)
{
	static const char *const patterns[] = { "/dev/nvidia[0-9]*", "/dev/dri/renderD*",
		"/dev/kfd" };
	const char *means = "Device nodes";
	const char *remedy = "give the nodes to those who start programs by chronos run; "
			     "jobs of Cumulus get their own device's only";
	size_t nodes = 0;

	for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
		glob_t g;
		if (glob(patterns[i], 0, NULL, &g) != 0)
			continue;
		for (size_t n = 0; n < g.gl_pathc; n++) {
			struct stat st;
			nodes++;
			if (stat(g.gl_pathv[n], &st) == 0 && st.st_mode & S_IWOTH) {
				find(d, means, false, remedy,
					"everybody can open %s: a program that was not "
					"started by chronos run is held to nothing",
					g.gl_pathv[n]);
				globfree(&g);
				return;
			}
		}
		globfree(&g);
	}
	if (nodes == 0)
		find(d, means, false, NULL, "there are none of a GPU");
	else
		find(d, means, true, NULL, "not everybody can open them");
}

static void look_at_mig(struct doctor *d)
{
	const char *means = "MIG instances";
	size_t instances = 0;

	for (size_t i = 0; i < d->device_count; i++)
		instances +=
			d->devices[i].present && d->devices[i].kind == CHRONOS_KIND_MIG;
	if (instances > 0)
		find(d, means, true, NULL,
			"%zu, cut off by the hardware: whole ones (share 1) hold against "
			"anybody",
			instances);
	else
		find(d, means, false,
			"split a GPU that can be by nvidia-smi mig; then chronos stats "
			"--devices auto",
			"none");
}

/* Not set for jobs: MPS has one server for one user at a time, a fault of one program ends the
 * others', and its memory limit of a program is kept by that program.  docs/chronos.md. */
static void look_at_mps(struct doctor *d)
{
	find(d, "NVIDIA MPS", false,
		"it shares a device's units among programs that trust each other; dmem and "
		"MIG hold against those that do not",
		"%s, and neither chronos run nor jobs of Cumulus use it",
		in_path("nvidia-cuda-mps-control") ? "installed" : "not installed");
}

/* ---- the kernel's own ---- */

#define CGROUP "/sys/fs/cgroup/"

static bool first_line(const char *path, char *line, size_t size)
{
	FILE *f = fopen(path, "re");
	bool read = f && fgets(line, (int)size, f);

	if (f)
		fclose(f);
	if (read)
		line[strcspn(line, "\n")] = '\0';
	return read;
}

static void look_at_nvidia(struct doctor *d)
{
	char line[256], version[32];
	const char *at = NULL;

	if (!first_line("/proc/driver/nvidia/version", line, sizeof line))
		return;
	/* "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.65.06  Sun ..." */
	for (const char *word = line; !at && (word = strchr(word, ' ')); word++)
		if (sscanf(word, " %31[0-9.]", version) == 1 && strchr(version, '.'))
			at = version;
	find(d, "NVIDIA driver", true, NULL, "release %s", at ? at : "unknown");
}

/* On version 2 a program decides, which may be switched off. */
static bool may_filter_devices(void)
{
	struct bpf_insn yes[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 1 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	union bpf_attr load;

	memset(&load, 0, sizeof load);
	load.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
	load.insns = (uintptr_t)yes;
	load.insn_cnt = sizeof yes / sizeof *yes;
	load.license = (uintptr_t) "Apache-2.0";
	int fd = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &load, sizeof load);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static bool is_version_2(void)
{
	return access(CGROUP "cgroup.controllers", R_OK) == 0;
}

static void look_at_device_groups(struct doctor *d)
{
	static const char *const means = "Device control groups";
	static const char *const holds = "jobs of Cumulus open their own devices' nodes "
					 "and no others";

	if (!is_version_2() && access(CGROUP "devices/devices.allow", F_OK) < 0 &&
		access(CGROUP "devices", X_OK) < 0)
		find(d, means, false, "mount the controller devices, or use version 2",
			"none is mounted: of other devices jobs of Cumulus lack the nodes "
			"only");
	else if (!is_version_2())
		find(d, means, true, NULL, "version 1: %s", holds);
	else if (may_filter_devices())
		find(d, means, true, NULL, "version 2: %s", holds);
	else
		find(d, means, false,
			geteuid() ? "ask as root" : "a kernel with CONFIG_CGROUP_BPF",
			"version 2, and %s: of other devices jobs of Cumulus lack the nodes only",
			geteuid() ? "who is not root may not filter them"
				  : "the kernel takes no filter of them");
}

/* Has the device's memory a region, "nvidia/0000:3b:00.0/vidmem 85899345920"? */
static bool is_counted(const struct chronos_device *device, FILE *capacity)
{
	char line[256], place[sizeof device->pci + 2];

	snprintf(place, sizeof place, "/%s/", device->pci);
	rewind(capacity);
	/* A MIG instance has none: its GPU's is not its own. */
	while (*device->pci && device->kind != CHRONOS_KIND_MIG &&
		fgets(line, sizeof line, capacity))
		if (strstr(line, place))
			return true;
	return false;
}

static size_t count_counted(const struct doctor *d)
{
	FILE *f = fopen(CGROUP "dmem.capacity", "re");
	size_t n = 0;

	for (size_t i = 0; f && i < d->device_count; i++)
		n += d->devices[i].present && is_counted(&d->devices[i], f);
	if (f)
		fclose(f);
	return n;
}

/* Set by whoever starts the programs: Cumulus' runner for jobs. */
static void look_at_dmem(struct doctor *d)
{
	static const char *const means = "cgroup dmem";
	struct utsname kernel = { 0 };
	size_t counted = count_counted(d);

	uname(&kernel);
	if (!is_version_2())
		find(d, means, false,
			"boot with systemd.unified_cgroup_hierarchy=1, or without what "
			"mounts version 1",
			"control groups are of version 1 here (or mixed), dmem is of 2");
	else if (!file_has_word(CGROUP "cgroup.controllers", "dmem"))
		find(d, means, false,
			"Linux 6.14 or later, built with CONFIG_CGROUP_DMEM",
			"Linux %s has no dmem controller here", kernel.release);
	else if (counted == 0)
		find(d, means, false,
			"amdgpu, xe, or NVIDIA's driver from release 615 on",
			"the kernel could hold jobs of Cumulus to their memory, but no "
			"driver has it count a device that is known here");
	else
		find(d, means, true,
			"chronos list says arbitrated+dmem of what is held by it",
			"the memory of %zu device%s is counted by the kernel, which holds "
			"jobs of Cumulus to theirs whatever they do; chronos run starts no "
			"control group",
			counted, counted == 1 ? "" : "s");
}

/* ---- the whole ---- */

static enum exit_code show_findings_json(const struct doctor *d)
{
	json_t *list = json_array();

	for (size_t i = 0; i < d->count; i++) {
		const struct finding *f = &d->found[i];
		json_array_append_new(
			list, json_pack("{s:s, s:b, s:s, s:s}", "means", f->means,
				      "holds", (int)f->holds, "detail", f->detail,
				      "remedy", f->remedy ? f->remedy : ""));
	}
	return show_json(json_pack("{s:o}", "means", list));
}

static void show_findings(const struct doctor *d)
{
	for (size_t i = 0; i < d->count; i++) {
		const struct finding *f = &d->found[i];
		show(f->holds ? BADGE_OK : BADGE_INFO, "%s: %s", f->means, f->detail);
		if (f->remedy)
			printf("       %s\n", f->remedy);
	}
}

/* What cannot be opened is one of the findings, and what this ends with. */
enum exit_code run_doctor(const struct cli *cli)
{
	struct doctor d = { 0 };
	struct chronos_error e = { 0 };
	enum exit_code rc = EXIT_DONE;

	CHRONOS_GUARD c = open_with_devices(cli, &e);
	if (!c || chronos_devices(
			  c, d.devices, CHRONOS_DEVICES_MAX, &d.device_count, &e) < 0)
		rc = exit_code_of(&e);
	d.c = c;
	look_at_directory(&d, &e);
	if (c)
		look_at_devices(&d);
	look_at_arbiter(&d);
	look_at_layer(&d, LAYER_OPENCL, "OpenCL layer (cooperative)",
		"../lib/libchronos-opencl.so", "OpenCL", "libOpenCL.so.1");
	look_at_layer(&d, LAYER_CUDA, "CUDA hook (cooperative)",
		"../lib/cumulus/libchronos-cuda.so", "CUDA", "libcuda.so.1");
	look_at_jobs(&d);
	look_at_nodes(&d);
	look_at_nvidia(&d);
	look_at_mig(&d);
	look_at_mps(&d);
	look_at_device_groups(&d);
	look_at_dmem(&d);
	if (cli->json) {
		enum exit_code shown = show_findings_json(&d);
		return rc == EXIT_DONE ? shown : rc;
	}
	show_findings(&d);
	return rc;
}
