/* test_runner_parts.c - the runner's decisions without a container: exits, packets, groups. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "bundle.h"
#include "cgroup.h"
#include "channel.h"
#include "cleanup.h"
#include "device_filter.h"
#include "dmem.h"
#include "exits.h"
#include "file.h"
#include "nvidia.h"
#include "procs.h"
#include "render.h"
#include "str.h"

#define R(name) CUMULUS__ORCHESTRATOR__REASON__##name

/* ---- the verdict ---- */

static void every_ending_has_its_reason_and_line(void **state)
{
	(void)state;
	static const struct {
		struct ending in;
		Cumulus__Orchestrator__Reason reason;
		const char *message;
	} cases[] = {
		{ { .exit = { EXIT_EXITED, 0 }, .result = RESULT_SUCCESS },
			R(REASON_NONE), "" },
		{ { .exit = { EXIT_EXITED, 0 } }, R(EXITED),
			"exited with status 0 before main() returned" },
		{ { .exit = { EXIT_SIGNALED, SIGABRT } }, R(SIGNALED),
			"killed by SIGABRT (6)" },
		{ { .exit = { EXIT_SIGNALED, 40 } }, R(SIGNALED),
			"killed by signal 40 (40)" },
		{ { .exit = { EXIT_SIGNALED, SIGKILL },
			  .oom_kills = 1,
			  .memory_limit = INT64_C(4) << 30 },
			R(OUT_OF_MEMORY), "out of memory: limit 4 GiB" },
		{ { .exit = { EXIT_UNKNOWN, 0 }, .oom_kills = 1, .memory_limit = 100 },
			R(OUT_OF_MEMORY), "out of memory: limit 100 bytes" },
		{ { .exit = { EXIT_EXITED, 1 }, .oom_kills = 1 }, R(EXITED),
			"exited with status 1" },
		{ { .exit = { EXIT_UNKNOWN, 0 } }, R(CONTAINER_FAILED),
			"container: it was killed from outside the job" },
		{ { .exit = { EXIT_EXEC, 2 } }, R(CONTAINER_FAILED),
			"container: start /usr/bin/python3: No such file or directory" },
		{ { .exit = { EXIT_GUARD, 1 } }, R(CONTAINER_FAILED),
			"container: /sys in it is not its own; the job was not started" },
		{ { .exit = { EXIT_EXITED, 1 },
			  .result = RESULT_FAILURE,
			  .failure = "ValueError: a\nb" },
			R(CODE_FAILED), "ValueError: a b" },
		{ { .exit = { EXIT_EXITED, 0 },
			  .result = RESULT_TOO_LARGE,
			  .result_limit = 7 << 19 },
			R(RESULT_TOO_LARGE), "result is larger than 3.5 MiB" },
		/* Time beats a result, a cancellation too, a pause does not. */
		{ { .exit = { EXIT_EXITED, 0 },
			  .result = RESULT_SUCCESS,
			  .deadline = true,
			  .duration_s = 60 },
			R(DURATION_EXCEEDED), "duration of 60 s exceeded" },
		{ { .exit = { EXIT_EXITED, 0 },
			  .result = RESULT_SUCCESS,
			  .stopped = true },
			R(CANCELLED_BY_USER), "cancelled" },
		{ { .exit = { EXIT_EXITED, 0 },
			  .result = RESULT_SUCCESS,
			  .stopped = true,
			  .stop_why = CUMULUS__WORKER__STOP_WHY__STOP_PAUSE },
			R(REASON_NONE), "" },
		/* What was done without the share is done. */
		{ { .exit = { EXIT_EXITED, 1 },
			  .result = RESULT_FAILURE,
			  .failure = "no device",
			  .share_gone = true },
			R(PARTITION_FAILED),
			"partition: it was released by somebody else" },
		{ { .exit = { EXIT_EXITED, 0 },
			  .result = RESULT_SUCCESS,
			  .share_gone = true },
			R(REASON_NONE), "" },
		/* Behind a dead runner. */
		{ { .exit = { EXIT_LIFELINE, 0 }, .runner_lost = true }, R(RUNNER_LOST),
			"the job's runner was lost" },
		{ { .exit = { EXIT_EXITED, 0 }, .runner_lost = true }, R(RUNNER_LOST),
			"the job's runner was lost" },
		{ { .exit = { EXIT_EXITED, 0 }, .runner_lost = true, .has_result = true },
			R(REASON_NONE), "" },
		{ { .exit = { EXIT_SIGNALED, 11 }, .runner_lost = true }, R(SIGNALED),
			"killed by SIGSEGV (11)" },
		{ { .exit = { EXIT_LIFELINE, 0 }, .runner_lost = true, .stopped = true },
			R(CANCELLED_BY_USER), "cancelled" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct verdict v;

		verdict_of(&cases[i].in, &v);
		if (v.reason != cases[i].reason)
			fail_msg("case %zu: reason %d, %s", i, v.reason, v.message);
		assert_string_equal(v.message, cases[i].message);
		assert_int_equal(v.has_exit_code, cases[i].in.exit.kind == EXIT_EXITED);
	}
}

static void an_exit_record_is_its_first_whole_line(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		enum exit_kind kind;
		int n;
	} cases[] = {
		{ "exited 7\n", EXIT_EXITED, 7 },
		{ "signaled 9\n", EXIT_SIGNALED, 9 },
		{ "lifeline 0\n", EXIT_LIFELINE, 0 },
		{ "exec 2\nexited 126\n", EXIT_EXEC, 2 },
		{ "exited 7", EXIT_UNKNOWN, 0 },
		{ "exited\n", EXIT_UNKNOWN, 0 },
		{ "", EXIT_UNKNOWN, 0 },
		{ "nonsense 1\n", EXIT_UNKNOWN, 0 },
	};
	char base[] = "/tmp/test_runner_parts.XXXXXX";
	struct exit_record r;
	struct err e;

	assert_non_null(mkdtemp(base));
	CLEANUP(close_fd) int fd = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(exit_record_read(fd, &r, &e), 0);
	assert_int_equal(r.kind, EXIT_UNKNOWN);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		assert_int_equal(file_write(fd, RUN_FILE_EXIT, cases[i].text,
					 strlen(cases[i].text), 0600, false, &e),
			0);
		assert_int_equal(exit_record_read(fd, &r, &e), 0);
		assert_int_equal(r.kind, cases[i].kind);
		assert_int_equal(r.n, cases[i].n);
	}
	assert_int_equal(tree_remove(AT_FDCWD, base, &e), 0);
}

static void an_error_text_keeps_its_message_and_the_end_of_the_rest(void **state)
{
	(void)state;
	struct buf output = { 0 };

	for (int i = 0; i < 40000; i++)
		buf_add(&output, "\xc3\xa9", 2);
	buf_add(&output,
		"\xff"
		"end",
		4);
	CLEANUP(free_ptr) char *text = error_text("short", NULL, &output);
	assert_true(strlen(text) <= RUN_ERROR_MAX);
	assert_true(strlen(text) > RUN_ERROR_MAX - 8);
	assert_true(str_starts(text, "short\n\xc3\xa9"));
	assert_true(str_ends(text, "\xef\xbf\xbd"
				   "end"));
	assert_true(utf8_valid(text, strlen(text)));
	CLEANUP(free_ptr) char *trace = error_text("short", "trace", &output);
	assert_string_equal(trace, "short\ntrace");
	buf_clear(&output);
	CLEANUP(free_ptr) char *bare = error_text("short", "", &output);
	assert_string_equal(bare, "short");
	buf_fini(&output);
}

/* ---- the channel ---- */

static void take(struct channel *c, char kind, const char *text)
{
	CLEANUP(free_ptr) char *packet = str_fmt("%c%s", kind, text);

	channel_take(c, (uint8_t *)packet, strlen(packet), 1);
}

static struct channel_end finish(struct channel *c)
{
	struct channel_end end;

	channel_finish(c, &end);
	channel_fini(c);
	return end;
}

static void a_result_comes_in_parts_and_counts_once_it_is_whole(void **state)
{
	(void)state;
	struct channel c;

	channel_init(&c, 10);
	take(&c, 'S', "{}");
	take(&c, 'S', "  ");
	assert_int_equal(c.document.len, 4);
	struct channel_end half;
	channel_finish(&c, &half);
	assert_int_equal(half.kind, RESULT_NONE);
	take(&c, 'E', "");
	/* What comes after is not the job's. */
	take(&c, 'F', "{}");
	take(&c, 'S', "more");
	take(&c, 'I', "");
	assert_int_equal(c.document.len, 4);
	assert_int_equal(finish(&c).kind, RESULT_SUCCESS);
}

static void a_result_past_its_limit_is_dropped(void **state)
{
	(void)state;
	struct channel c;

	channel_init(&c, 10);
	take(&c, 'S', "1234567890");
	assert_int_equal(c.kind, RESULT_SUCCESS);
	take(&c, 'S', "1");
	take(&c, 'S', "1");
	take(&c, 'E', "");
	assert_int_equal(c.document.len, 0);
	assert_int_equal(finish(&c).kind, RESULT_TOO_LARGE);
}

static void a_failure_becomes_one_line_and_a_traceback(void **state)
{
	(void)state;
	struct channel c;
	struct channel_end end;

	channel_init(&c, 10);
	take(&c, 'F', "{\"error_type\": \"KeyError\", \"error\": \"'a\\u0000'\",");
	take(&c, 'F', " \"traceback\": \"Tr\"}");
	take(&c, 'E', "");
	end = finish(&c);
	assert_int_equal(end.kind, RESULT_FAILURE);
	assert_string_equal(end.message, "KeyError: 'a\xef\xbf\xbd'");
	assert_string_equal(end.traceback, "Tr");
	free(end.traceback);

	channel_init(&c, 10);
	take(&c, 'F', "{broken");
	take(&c, 'E', "");
	end = finish(&c);
	assert_int_equal(end.kind, RESULT_FAILURE);
	assert_string_equal(end.message, "the job failed, but how it did cannot be read");
	free(end.traceback);

	channel_init(&c, 10);
	take(&c, 'I', "");
	take(&c, 'F', "{\"error\": \"NaN\", \"error_type\": \"TypeError\"}");
	take(&c, 'E', "");
	end = finish(&c);
	assert_int_equal(end.kind, RESULT_INVALID);
	assert_string_equal(end.message, "NaN");
	free(end.traceback);
}

static void noise_on_the_channel_changes_nothing(void **state)
{
	(void)state;
	struct channel c;
	uint32_t seed = 7;

	channel_init(&c, 1000);
	for (int i = 0; i < 100000; i++) {
		uint8_t packet[24];

		for (size_t at = 0; at < sizeof packet; at++) {
			seed = seed * 1664525 + 1013904223;
			packet[at] = (uint8_t)(seed >> 24);
		}
		packet[0] = (uint8_t) "MPSFIExx"[seed >> 16 & 7];
		channel_take(&c, packet, (seed >> 8) % (sizeof packet + 1), i);
		assert_true(c.document.len <= CHANNEL_FAILURE_MAX);
		assert_true(c.fraction >= 0 && c.fraction <= 1);
		assert_true(utf8_valid(c.text, strlen(c.text)));
	}
	struct channel_end end = finish(&c);
	free(end.traceback);
}

/* ---- control groups and processes ---- */

static void a_group_comes_back_from_its_text_and_no_other_does(void **state)
{
	(void)state;
	struct cgroup g, again;
	struct err e;

	if (cgroup_plan(&g, "j-x.1", true, &e) < 0) {
		print_message("skipped: %s\n", e.text);
		skip();
	}
	CLEANUP(free_ptr) char *text = cgroup_format(&g);
	assert_int_equal(cgroup_parse(&again, text, "j-x.1", &e), 0);
	CLEANUP(free_ptr) char *text_again = cgroup_format(&again);
	assert_string_equal(text, text_again);
	cgroup_fini(&g);
	cgroup_fini(&again);

	static const char *const wrong[] = { "memory /sys/fs/cgroup/memory\n",
		"memory relative/cumulus/j-x.1\n", "memory\n",
		"nothing /sys/fs/cgroup/cumulus/j-x.1\n",
		"memory /sys/fs/cgroup/cumulus/j-x.2\n" };
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		assert_int_equal(cgroup_parse(&again, wrong[i], "j-x.1", &e), -1);
}

static void a_process_is_its_pid_and_start_time(void **state)
{
	(void)state;
	uint64_t start = process_start_time(getpid());
	int fd = process_open(getpid(), start);

	assert_true(start > 0);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(process_open(getpid(), start + 1), -1);
	assert_int_equal(process_start_time(INT32_MAX), 0);
}

/* ---- devices of a version 2 group ---- */

#define V2_GROUP "/sys/fs/cgroup/unified/cumulus-test"

/* errno of opening a node from within the group, 0 when it opened. */
static int open_in_group(const char *node)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		int procs = open(V2_GROUP "/cgroup.procs", O_WRONLY | O_CLOEXEC);

		if (procs < 0 || write(procs, "0", 1) != 1)
			_exit(255);
		int fd = open(node, O_RDONLY | O_CLOEXEC);
		_exit(fd < 0 ? errno : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void a_filtered_group_opens_no_other_device(void **state)
{
	(void)state;
	static const struct cgroup_device allowed[] = { { 1, 3 }, { 136, UINT32_MAX } };
	struct err e;

	if (mkdir(V2_GROUP, 0755) < 0) {
		print_message("skipped: no version 2 hierarchy of our own beside v1\n");
		skip();
	}
	CLEANUP(close_fd) int group = open(V2_GROUP, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = device_filter_attach(group, allowed, 2, &e);
	int null = rc < 0 ? -1 : open_in_group("/dev/null");
	int zero = rc < 0 ? -1 : open_in_group("/dev/zero");
	int none = rc < 0 ? -1 : device_filter_attach(group, NULL, 0, &e);
	int after = rc < 0 ? -1 : open_in_group("/dev/null");

	assert_int_equal(rmdir(V2_GROUP), 0);
	if (rc < 0 && e.code == ERR_DENIED) {
		print_message("skipped: %s\n", e.text);
		skip();
	}
	if (rc < 0)
		fail_msg("%s", e.text);
	assert_int_equal(null, 0);
	assert_int_equal(zero, EPERM);
	assert_int_equal(none, 0);
	assert_int_equal(after, EPERM);
}

/* ---- devices' memory ---- */

/* Kernel's own, NVIDIA's with another way to write the place, and lines that are none. */
static const char capacity[] = "drm/0000:03:00.0/vram0 1000\n"
			       "drm/0000:03:00.0/vram1 555\n"
			       "nvidia/00000000:3B:00.0/vidmem 85899345920\n"
			       "drm/card0/vram 7\n"
			       "noise\n"
			       "drm/0000:05:00.0/vram0 max\n"
			       "drm/0000:13:00.0/vram0 100\n";

static struct chronos_device gpu_at(const char *pci)
{
	struct chronos_device d = { .kind = CHRONOS_KIND_NVIDIA };

	str_put(d.pci, sizeof(d.pci), "%s", pci);
	return d;
}

static void each_region_of_a_device_is_held_to_the_share(void **state)
{
	(void)state;
	const struct chronos_device two = gpu_at("0000:03:00.0"), none = gpu_at(""),
				    one = gpu_at("0000:3b:00.0");
	const struct dmem_share shares[] = { { &two, 30 }, { &none, 50 }, { &one, 1 } };
	CLEANUP(free_ptr) char *limits = dmem_limits(capacity, shares, 3);

	assert_string_equal(limits, "drm/0000:03:00.0/vram0 300\n"
				    "drm/0000:03:00.0/vram1 166\n"
				    "nvidia/00000000:3B:00.0/vidmem 858993459\n");
}

static void assert_not_held(const struct chronos_device *device)
{
	const struct dmem_share share = { device, 50 };

	assert_false(dmem_shows(capacity, device));
	assert_null(dmem_limits(capacity, &share, 1));
}

static void a_device_without_a_region_is_not_held(void **state)
{
	(void)state;
	static const char *const others[] = { "", "0000:04:00.0", "0000:03:00", "3:00.0",
		"0001:03:00.0", "0000:05:00.0", "card0", "0000:03:00.0/vram0" };
	struct chronos_device device = gpu_at("0000:3b:00.0");

	assert_true(dmem_shows(capacity, &device));
	assert_false(dmem_shows("", &device));
	assert_null(dmem_limits("", NULL, 0));
	/* The region is its GPU's, which is larger. */
	device.kind = CHRONOS_KIND_MIG;
	assert_not_held(&device);
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
		device = gpu_at(others[i]);
		assert_not_held(&device);
	}
}

static void put_group_file(const char *folder, const char *file, const char *text)
{
	struct err e;
	CLEANUP(close_fd) int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_int_equal(file_write(fd, file, text, strlen(text), 0600, false, &e), 0);
}

static void assert_group_file(const char *folder, const char *file, const char *text)
{
	struct err e;
	CLEANUP(free_ptr) char *path = str_fmt("%s/%s", folder, file);
	CLEANUP(buf_fini) struct buf found = { 0 };

	assert_int_equal(file_read(AT_FDCWD, path, 4096, &found, &e), 0);
	CLEANUP(free_ptr) char *its = buf_take_str(&found);
	assert_string_equal(its, text);
}

/* Folders as the kernel would show them: no kernel here need have the controller. */
static void a_group_is_limited_once_its_parent_hands_the_controller_down(void **state)
{
	(void)state;
	char root[] = "/tmp/test_runner_parts.XXXXXX";
	struct err e;

	assert_non_null(mkdtemp(root));
	CLEANUP(free_ptr) char *group = str_fmt("%s/cumulus", root);
	assert_int_equal(mkdir(group, 0700), 0);
	put_group_file(root, "dmem.capacity", capacity);

	put_group_file(group, "cgroup.controllers", "cpu memory dmemory pids\n");
	put_group_file(group, "cgroup.subtree_control", "cpu memory\n");
	assert_int_equal(dmem_hand_down(root, group, &e), -1);
	assert_int_equal(e.code, ERR_UNAVAILABLE);
	put_group_file(root, "dmem.capacity", "");
	assert_int_equal(dmem_hand_down(root, group, &e), -1);
	assert_int_equal(e.code, ERR_UNSUPPORTED);
	put_group_file(root, "dmem.capacity", capacity);
	assert_null(dmem_regions(root, group));
	assert_int_equal(dmem_write(group, "x 1\n", &e), -1);
	assert_int_equal(e.code, ERR_NOT_FOUND);

	put_group_file(group, "cgroup.controllers", "cpu memory dmem\n");
	put_group_file(group, "cgroup.subtree_control", "");
	assert_null(dmem_regions(root, group));
	assert_int_equal(dmem_hand_down(root, group, &e), 0);
	assert_group_file(group, "cgroup.subtree_control", "+dmem");
	put_group_file(
		group, "cgroup.subtree_control", "cpu dmem\n"); /* the kernel's answer */
	CLEANUP(free_ptr) char *regions = dmem_regions(root, group);
	assert_string_equal(regions, capacity);

	put_group_file(group, "dmem.max", "");
	assert_int_equal(dmem_write(group, "drm/0000:03:00.0/vram0 300\n", &e), 0);
	assert_group_file(group, "dmem.max", "drm/0000:03:00.0/vram0 300\n");
	put_group_file(root, "dmem.capacity", "");
	CLEANUP(free_ptr) char *none = dmem_regions(root, group);
	assert_string_equal(none, "");
	assert_int_equal(tree_remove(AT_FDCWD, root, &e), 0);
}

/* ---- what a runtime is told of them */

static json_t *written_bundle(const struct bundle *b)
{
	char folder[] = "/tmp/test_runner_parts.XXXXXX";
	struct err e;

	assert_non_null(mkdtemp(folder));
	CLEANUP(close_fd) int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(bundle_write(fd, b, &e), 0);
	CLEANUP(close_fd) int config = openat(fd, "config.json", O_RDONLY | O_CLOEXEC);
	json_t *told = json_loadfd(config, 0, NULL);
	assert_non_null(told);
	assert_int_equal(tree_remove(AT_FDCWD, folder, &e), 0);
	return told;
}

static void a_runtime_is_told_of_groups_and_of_devices_memory(void **state)
{
	(void)state;
	static const char *const none[] = { NULL };
	const uint32_t groups[] = { 105, 44 };
	const struct cgroup_limits limits = { .dmem = "drm/0000:03:00.0/vram0 300\n" };
	struct bundle b = { .root = "/",
		.uid_base = 1000000,
		.args = none,
		.env = none,
		.groups = groups,
		.group_count = 2,
		.cwd = "/",
		.cgroup_path = "cumulus/x",
		.limits = &limits };
	json_t *told = written_bundle(&b);
	int more[2], in[3], on[3], size[3];
	const char *dmem;

	/* Of the host's ids the job gets its own range, and these two groups. */
	assert_int_equal(
		json_unpack(told,
			"{s:{s:{s:[i,i!]}}, s:{s:[{s:i}!], s:[{s:i,s:i,s:i},"
			"{s:i,s:i,s:i},{s:i,s:i,s:i}!], s:{s:{s:s}}}}",
			"process", "user", "additionalGids", &more[0], &more[1], "linux",
			"uidMappings", "hostID", &on[0], "gidMappings", "containerID",
			&in[0], "hostID", &on[0], "size", &size[0], "containerID", &in[1],
			"hostID", &on[1], "size", &size[1], "containerID", &in[2],
			"hostID", &on[2], "size", &size[2], "resources", "unified",
			"dmem.max", &dmem),
		0);
	assert_int_equal(on[0], 1000000);
	assert_int_equal(in[1], in[0] + size[0]);
	assert_int_equal(in[2], in[1] + 1);
	assert_int_equal(on[1], 105);
	assert_int_equal(on[2], 44);
	assert_int_equal(size[1] + size[2], 2);
	assert_int_equal(more[0], in[1]);
	assert_int_equal(more[1], in[2]);
	assert_string_equal(dmem, limits.dmem);
	json_decref(told);
}

/* ---- nodes of OpenCL's GPUs */

/* A device as sysfs would show it; drm: its nodes' folder has them. */
static void put_pci(const char *folder, const char *pci, const char *driver, bool drm)
{
	static const char *const names[] = { "card3", "renderD131", "controlD64" };
	CLEANUP(free_ptr) char *device = str_fmt("%s/%s", folder, pci);
	CLEANUP(free_ptr) char *link = str_fmt("%s/driver", device);
	CLEANUP(free_ptr) char *target = str_fmt("../../../bus/pci/drivers/%s", driver);
	struct err e;

	assert_int_equal(mkdir(device, 0755), 0);
	assert_int_equal(symlink(target, link), 0);
	for (size_t i = 0; drm && i < sizeof(names) / sizeof(*names); i++) {
		CLEANUP(free_ptr) char *node = str_fmt("%s/drm/%s", device, names[i]);
		assert_int_equal(dir_make_path(node, 0755, &e), 0);
	}
}

static void a_job_can_open_what_others_can_as_the_owner_can(void **state)
{
	static const struct {
		mode_t mode;
		gid_t group;
		enum node_access access;
	} cases[] = { { 0666, 0, NODE_ALL }, { 0444, 0, NODE_ALL },
		{ 0660, 44, NODE_GROUP }, { 0440, 44, NODE_GROUP },
		{ 0660, 0, NODE_ROOT }, { 0600, 44, NODE_ROOT }, { 0664, 0, NODE_ROOT },
		{ 0640, 44, NODE_ROOT }, { 0400, 44, NODE_ROOT }, { 0, 44, NODE_ROOT } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct stat st = { .st_mode = S_IFCHR | cases[i].mode,
			.st_gid = cases[i].group };

		assert_int_equal(node_access_of(&st), cases[i].access);
	}
}

static void a_gpu_is_used_by_its_own_render_node(void **state)
{
	(void)state;
	char folder[] = "/tmp/test_runner_parts.XXXXXX";
	struct device_nodes nodes;
	struct err e;

	assert_non_null(mkdtemp(folder));
	put_pci(folder, "0000:03:00.0", "xe", true);
	put_pci(folder, "0000:13:00.0", "amdgpu", true);
	put_pci(folder, "0000:23:00.0", "vfio-pci", false);

	assert_int_equal(render_find(folder, "0000:03:00.0", &nodes, &e), 0);
	assert_int_equal(nodes.count, 1);
	assert_string_equal(nodes.paths[0], "/dev/dri/renderD131");
	assert_int_equal(render_find(folder, "0000:13:00.0", &nodes, &e), 0);
	assert_int_equal(nodes.count, 2);
	assert_string_equal(nodes.paths[0], "/dev/dri/renderD131");
	assert_string_equal(nodes.paths[1], "/dev/kfd");

	assert_int_equal(render_find(folder, "0000:23:00.0", &nodes, &e), -1);
	assert_int_equal(e.code, ERR_NOT_FOUND);
	assert_int_equal(render_find(folder, "0000:33:00.0", &nodes, &e), -1);
	assert_int_equal(e.code, ERR_NOT_FOUND);
	assert_int_equal(render_find(folder, "", &nodes, &e), -1);
	assert_int_equal(e.code, ERR_UNSUPPORTED);
	assert_int_equal(tree_remove(AT_FDCWD, folder, &e), 0);
}

/* A file of NVIDIA's driver, in a folder that stands for /proc/driver/nvidia. */
static void put_file(const char *folder, const char *path, const char *text)
{
	CLEANUP(free_ptr) char *parent = str_fmt("%s/%s", folder, path);
	char *name = strrchr(parent, '/');
	struct err e;

	*name++ = '\0';
	assert_int_equal(dir_make_path(parent, 0755, &e), 0);
	put_group_file(parent, name, text);
}

/* In the order of PCI, in which the numbers are not. */
static void put_nvidia(char *folder)
{
	assert_non_null(mkdtemp(folder));
	put_file(folder, "gpus/0000:3a:00.0/information",
		"Model: \t\t Fake GPU\nGPU UUID: \t GPU-1\nDevice Minor: \t 1\n");
	put_file(folder, "gpus/0000:3b:00.0/information",
		"Model: \t\t Fake GPU\nGPU UUID: \t GPU-11\nDevice Minor: \t 0\n");
	put_file(folder, "capabilities/gpu0/mig/gi7/access",
		"DeviceFileMinor: 66\nDeviceFileMode: 292\nDeviceFileModify: 1\n");
	put_file(folder, "capabilities/gpu0/mig/gi7/ci0/access", "DeviceFileMinor: 67\n");
	put_file(folder, "capabilities/gpu0/mig/gi8/access", "DeviceFileMinor: 75\n");
	put_file(folder, "capabilities/gpu0/mig/gi9/access", "DeviceFileMinor: -1\n");
	put_file(folder, "capabilities/gpu0/mig/gi10/access", "nothing\n");
}

static bool has(const struct device_nodes *nodes, const char *path)
{
	for (size_t i = 0; i < nodes->count; i++)
		if (strcmp(nodes->paths[i], path) == 0)
			return true;
	return false;
}

static void an_nvidia_gpu_is_used_by_the_node_of_its_number(void **state)
{
	(void)state;
	char folder[] = "/tmp/test_runner_parts.XXXXXX";
	struct chronos_device gpu = { .kind = CHRONOS_KIND_NVIDIA, .uuid = "GPU-1" };
	struct device_nodes nodes;
	struct err e;

	put_nvidia(folder);
	assert_int_equal(nvidia_find(folder, &gpu, &nodes, &e), 0);
	assert_true(has(&nodes, "/dev/nvidiactl") && has(&nodes, "/dev/nvidia-uvm"));
	assert_true(has(&nodes, "/dev/nvidia1") && !has(&nodes, "/dev/nvidia0"));
	snprintf(gpu.uuid, sizeof gpu.uuid, "GPU-11");
	assert_int_equal(nvidia_find(folder, &gpu, &nodes, &e), 0);
	assert_true(has(&nodes, "/dev/nvidia0") && !has(&nodes, "/dev/nvidia1"));
	snprintf(gpu.uuid, sizeof gpu.uuid, "GPU-2");
	assert_int_equal(nvidia_find(folder, &gpu, &nodes, &e), -1);
	assert_int_equal(e.code, ERR_NOT_FOUND);
	assert_int_equal(tree_remove(AT_FDCWD, folder, &e), 0);
}

static void an_instance_is_used_by_its_gpus_node_and_two_of_its_own(void **state)
{
	(void)state;
	static const struct {
		const char *pci, *instance;
		enum err_code code;
	} wrong[] = { { "", "gi7/ci0", ERR_UNSUPPORTED },
		{ "0000:3b:00.0", "", ERR_UNSUPPORTED },
		{ "0000:3c:00.0", "gi7/ci0", ERR_NOT_FOUND },
		{ "0000:3a:00.0", "gi7/ci0", ERR_NOT_FOUND },
		{ "0000:3b:00.0", "gi8/ci0", ERR_NOT_FOUND },
		{ "0000:3b:00.0", "gi9/ci0", ERR_INVALID },
		{ "0000:3b:00.0", "gi10/ci0", ERR_UNSUPPORTED } };
	char folder[] = "/tmp/test_runner_parts.XXXXXX";
	struct chronos_device mig = { .kind = CHRONOS_KIND_MIG,
		.uuid = "MIG-1",
		.pci = "0000:3b:00.0",
		.instance = "gi7/ci0" };
	struct device_nodes nodes;
	struct err e;

	put_nvidia(folder);
	assert_int_equal(nvidia_find(folder, &mig, &nodes, &e), 0);
	assert_true(has(&nodes, "/dev/nvidiactl") && has(&nodes, "/dev/nvidia-uvm"));
	assert_true(has(&nodes, "/dev/nvidia0") && !has(&nodes, "/dev/nvidia1"));
	assert_true(has(&nodes, "/dev/nvidia-caps/nvidia-cap66"));
	assert_true(has(&nodes, "/dev/nvidia-caps/nvidia-cap67"));
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		snprintf(mig.pci, sizeof mig.pci, "%s", wrong[i].pci);
		snprintf(mig.instance, sizeof mig.instance, "%s", wrong[i].instance);
		assert_int_equal(nvidia_find(folder, &mig, &nodes, &e), -1);
		assert_int_equal(e.code, wrong[i].code);
	}
	assert_int_equal(tree_remove(AT_FDCWD, folder, &e), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_ending_has_its_reason_and_line),
		cmocka_unit_test(an_exit_record_is_its_first_whole_line),
		cmocka_unit_test(an_error_text_keeps_its_message_and_the_end_of_the_rest),
		cmocka_unit_test(a_result_comes_in_parts_and_counts_once_it_is_whole),
		cmocka_unit_test(a_result_past_its_limit_is_dropped),
		cmocka_unit_test(a_failure_becomes_one_line_and_a_traceback),
		cmocka_unit_test(noise_on_the_channel_changes_nothing),
		cmocka_unit_test(a_group_comes_back_from_its_text_and_no_other_does),
		cmocka_unit_test(a_process_is_its_pid_and_start_time),
		cmocka_unit_test(a_filtered_group_opens_no_other_device),
		cmocka_unit_test(a_runtime_is_told_of_groups_and_of_devices_memory),
		cmocka_unit_test(a_job_can_open_what_others_can_as_the_owner_can),
		cmocka_unit_test(a_gpu_is_used_by_its_own_render_node),
		cmocka_unit_test(an_nvidia_gpu_is_used_by_the_node_of_its_number),
		cmocka_unit_test(an_instance_is_used_by_its_gpus_node_and_two_of_its_own),
		cmocka_unit_test(each_region_of_a_device_is_held_to_the_share),
		cmocka_unit_test(a_device_without_a_region_is_not_held),
		cmocka_unit_test(
			a_group_is_limited_once_its_parent_hands_the_controller_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
