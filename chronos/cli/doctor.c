/* doctor.c - chronos doctor: which means hold programs to their shares on this machine. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct finding {
	const char *means;
	bool holds;
	char detail[PATH_MAX + 160];
};

enum { FINDINGS = 6 };

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

static void look_at_opencl(struct finding *f)
{
	char layer[PATH_MAX];

	f->means = "OpenCL layer (cooperative)";
	f->holds = find_layer(LAYER_OPENCL, layer, sizeof layer);
	if (f->holds)
		snprintf(f->detail, sizeof f->detail,
			"memory and time of OpenCL programs that chronos run starts: "
			"%.*s",
			PATH_MAX - 1, layer);
	else
		snprintf(f->detail, sizeof f->detail,
			"libchronos-opencl.so is not in ../lib beside this program; "
			"install it there");
}

static void look_at_arbiter(const struct chronos *c, struct finding *f)
{
	f->means = "Arbiter";
	f->holds = chronos_arbiter_serves(c);
	snprintf(f->detail, sizeof f->detail, "%s",
		f->holds ? "programs that join need not trust each other"
			 : "programs that join take turns by themselves and must trust "
			   "each other; chronos arbiter gives the turns instead");
}

static void look_at_cuda(struct finding *f)
{
	char layer[PATH_MAX];

	f->means = "CUDA hook (cooperative)";
	f->holds = find_layer(LAYER_CUDA, layer, sizeof layer);
	if (f->holds)
		snprintf(f->detail, sizeof f->detail,
			"memory and time of CUDA programs that chronos run starts: %.*s",
			PATH_MAX - 1, layer);
	else
		snprintf(f->detail, sizeof f->detail,
			"libchronos-cuda.so is not in ../lib/cumulus beside this "
			"program; install it there");
}

static void look_at_dmem(struct finding *f)
{
	bool there = file_has_word("/sys/fs/cgroup/cgroup.controllers", "dmem");

	f->means = "cgroup dmem";
	snprintf(f->detail, sizeof f->detail, "%s",
		there ? "the kernel has it; this version does not set it"
		      : "this kernel has no dmem controller: it takes Linux 6.14, cgroup "
			"v2 and a driver that supports it");
}

static void look_at_mps(struct finding *f)
{
	f->means = "NVIDIA MPS limits";
	snprintf(f->detail, sizeof f->detail, "%s",
		in_path("nvidia-cuda-mps-control")
			? "MPS is installed; this version does not set its limits"
			: "MPS is not installed; it comes with the NVIDIA driver");
}

static void look_at_mig(
	const struct chronos_device *devices, size_t count, struct finding *f)
{
	size_t instances = 0;

	for (size_t i = 0; i < count; i++)
		instances += devices[i].present && devices[i].kind == CHRONOS_KIND_MIG;
	f->means = "MIG instances";
	f->holds = instances > 0;
	if (f->holds)
		snprintf(f->detail, sizeof f->detail,
			"%zu, cut off by the hardware: whole ones (share 1) hold",
			instances);
	else
		snprintf(f->detail, sizeof f->detail,
			"none; GPUs that can be split are split by nvidia-smi mig, then "
			"--devices auto lists the instances");
}

static enum exit_code show_findings_json(const struct finding *f)
{
	json_t *list = json_array();

	for (size_t i = 0; i < FINDINGS; i++)
		json_array_append_new(
			list, json_pack("{s:s, s:b, s:s}", "means", f[i].means, "holds",
				      (int)f[i].holds, "detail", f[i].detail));
	return show_json(json_pack("{s:o}", "means", list));
}

enum exit_code run_doctor(const struct cli *cli)
{
	struct chronos_device devices[CHRONOS_DEVICES_MAX];
	struct finding f[FINDINGS] = { 0 };
	struct chronos_error e = { 0 };
	size_t count;

	CHRONOS_GUARD c = open_with_devices(cli, &e);
	if (!c || chronos_devices(c, devices, CHRONOS_DEVICES_MAX, &count, &e) < 0)
		return show_failure(cli, &e);
	look_at_opencl(&f[0]);
	look_at_cuda(&f[1]);
	look_at_dmem(&f[2]);
	look_at_mps(&f[3]);
	look_at_mig(devices, count, &f[4]);
	look_at_arbiter(c, &f[5]);
	if (cli->json)
		return show_findings_json(f);
	for (size_t i = 0; i < FINDINGS; i++)
		show(f[i].holds ? BADGE_OK : BADGE_INFO, "%s: %s%s", f[i].means,
			f[i].holds ? "" : "does not hold: ", f[i].detail);
	return EXIT_DONE;
}
