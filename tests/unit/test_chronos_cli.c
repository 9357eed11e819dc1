/* test_chronos_cli.c - the program chronos, as a person and as a script see it. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "share.h"
#include "test_chronos.h"

#include <jansson.h>
#include <limits.h>
#include <pty.h>
#include <termios.h>

/* One command's end. */
struct answer {
	int code;
	char out[16384];
	char err[4096];
};

static void read_all(const struct place *t, const char *name, char *text, size_t size)
{
	char path[128];

	snprintf(path, sizeof path, "%s/%s", t->base, name);
	FILE *f = fopen(path, "r");
	assert_non_null(f);
	text[fread(text, 1, size - 1, f)] = '\0';
	fclose(f);
	unlink(path);
}

/* Runs a line of the shell, in the test's directory. */
static void shell(struct place *t, struct answer *a, const char *env, const char *command)
{
	char line[4096];

	snprintf(line, sizeof line,
		"export CHRONOS_DIR=%s %s; { %s; } >%s/out 2>%s/err </dev/null", t->dir,
		env, command, t->base, t->base);
	int status = system(line);
	assert_true(WIFEXITED(status));
	a->code = WEXITSTATUS(status);
	read_all(t, "out", a->out, sizeof a->out);
	read_all(t, "err", a->err, sizeof a->err);
}

static void chronos_with(
	struct place *t, struct answer *a, const char *env, const char *args)
{
	char command[2048];

	snprintf(command, sizeof command, CHRONOS_BIN " %s", args);
	shell(t, a, env, command);
}

static void chronos(struct place *t, struct answer *a, const char *args)
{
	chronos_with(t, a, "", args);
}

static void assert_done(struct place *t, struct answer *a, const char *args)
{
	chronos(t, a, args);
	if (a->code != 0 || *a->err)
		fail_msg("chronos %s: exit %d: %s", args, a->code, a->err);
}

static void assert_fails(struct place *t, int code, const char *args, const char *text)
{
	struct answer a;

	chronos(t, &a, args);
	if (a.code != code || *a.out || !strstr(a.err, text))
		fail_msg("chronos %s: exit %d, out \"%s\", err \"%s\"", args, a.code,
			a.out, a.err);
	assert_memory_equal(a.err, "[ERROR] ", 8);
}

static json_t *json_answer(struct place *t, const char *args)
{
	struct answer a;

	assert_done(t, &a, args);
	json_t *value = json_loads(a.out, JSON_REJECT_DUPLICATES, NULL);
	if (!value)
		fail_msg("chronos %s: not JSON: %s", args, a.out);
	return value;
}

static const char *text_of(const json_t *value, const char *name)
{
	const char *text = json_string_value(json_object_get(value, name));

	return text ? text : "(none)";
}

static int64_t number_of(const json_t *value, const char *name)
{
	return json_integer_value(json_object_get(value, name));
}

/* ---- the way of a partition ---- */

static void a_partition_outlives_the_command_that_made_it(void **state)
{
	struct place *t = *state;
	struct answer a;
	char id[16], line[64];

	assert_done(t, &a, "create 0 0.25 3600");
	assert_int_equal(sscanf(a.out, "[OK] Created partition %15s", id), 1);
	assert_non_null(strstr(a.out, "\n[INFO] Device: GPU 0\n[INFO] Memory: 25%\n"
				      "[INFO] Duration: 1h 0m\n"));
	assert_non_null(strstr(a.out, "[INFO] Enforcement: off for programs that do not "
				      "join; start one that does: chronos run p-"));

	assert_done(t, &a, "available 0");
	assert_string_equal(a.out, "75.0%\n");
	assert_done(t, &a, "list");
	assert_memory_equal(a.out, "Active Partitions\n", 18);
	assert_non_null(strstr(a.out, id));
	assert_non_null(strstr(a.out, "[INFO] Total: 1 partition(s)\n"));

	snprintf(line, sizeof line, "renew %.5s 45", id);
	assert_done(t, &a, line);
	assert_non_null(strstr(a.out, "[INFO] Duration: 45s\n"));
	snprintf(line, sizeof line, "release %s", id);
	assert_done(t, &a, line);
	snprintf(line, sizeof line, "[OK] Released partition %s\n", id);
	assert_string_equal(a.out, line);
	snprintf(line, sizeof line, "release %s", id);
	assert_fails(t, 5, line, "already released");
	assert_done(t, &a, "list");
	assert_string_equal(a.out, "[INFO] No active partitions\n");
}

static void two_commands_at_once_cannot_both_have_nine_tenths(void **state)
{
	struct place *t = *state;
	struct answer a;

	for (int round = 0; round < 20; round++) {
		chronos(t, &a,
			"create 0 0.9 60 & A=$!; " CHRONOS_BIN " create 0 0.9 60; "
			"B=$?; wait $A; echo $((B + $?))");
		/* One is refused with 3, the other is done with 0. */
		assert_non_null(strstr(a.out, "\n3\n"));
		assert_done(
			t, &a, "release $(" CHRONOS_BIN " list | grep -o 'p-[0-9a-f]*')");
	}
}

static void a_key_finds_its_partition_again(void **state)
{
	struct place *t = *state;
	struct answer first, again;

	assert_done(t, &first, "create 0,1 0.3 600 --key w.j.1");
	assert_done(t, &again, "create --key=w.j.1 0,1 .30 600");
	assert_memory_equal(again.out, "[OK] Found partition p-", 23);
	assert_memory_equal(again.out + 21, first.out + 23, 10);
	assert_fails(t, 3, "create 0 0.3 600 --key w.j.1", "w.j.1");
	assert_done(t, &again, "release w.j.1");
	assert_done(t, &again, "available 1");
	assert_string_equal(again.out, "100.0%\n");
}

static void the_first_command_can_name_the_devices(void **state)
{
	struct place t;
	struct answer a;

	(void)state;
	place_init(&t);
	assert_done(&t, &a, "--devices simulated:3 available 2");
	assert_done(&t, &a, "available 2");
	assert_string_equal(a.out, "100.0%\n");
	assert_fails(&t, 5, "available 3", "Invalid device index: 3");
	assert_done(&t, &a, "stats --devices simulated:1");
	assert_non_null(strstr(a.out, "Device 2: Simulated GPU 2 (absent)\n"));
	place_fini(&t);
}

/* ---- what is wrong ---- */

static void wrong_arguments_are_told_and_exit_with_2(void **state)
{
	struct place *t = *state;
	static const char *const shares[] = { "0.5x", "nan", "1e0", "0.105", "0", "1.01",
		"-1", "''", "abc", "1,0", "' 0.5'" };
	static const char *const durations[] = { "0", "-5", "1000000000000", "60s", "1.5",
		"''", "99999999999999999999999", "0x10" };
	char line[128];
	struct answer a;

	for (size_t i = 0; i < sizeof shares / sizeof *shares; i++) {
		snprintf(line, sizeof line, "create 0 %s 60", shares[i]);
		assert_fails(t, 2, line, "from 0.01 to 1");
	}
	for (size_t i = 0; i < sizeof durations / sizeof *durations; i++) {
		snprintf(line, sizeof line, "create 0 0.5 %s", durations[i]);
		assert_fails(t, 2, line, "whole number of seconds");
	}
	assert_fails(t, 2, "create 0 0.5",
		"'create' command requires device index, memory fraction, and duration");
	assert_fails(t, 2, "create 0 0.5 60 7", "'create' command requires");
	assert_fails(t, 2, "create ,0 0.5 60", "Invalid device index");
	assert_fails(t, 2, "create 0,0 0.5 60", "twice");
	assert_fails(t, 2, "create 0 0.5 60 --user no-such-user", "no-such-user");
	assert_fails(t, 2, "create 0 0.5 60 --key 'a b'", "Key");
	assert_fails(t, 2, "create 0 0.5 60 --key", "--key");
	assert_fails(t, 2, "list --user root", "--user");
	assert_fails(t, 2, "list --frob", "--frob");
	assert_fails(t, 2, "list --json=1", "--json");
	assert_fails(t, 2, "release", "requires partition id");
	assert_fails(t, 2, "release a b", "requires partition id");
	assert_fails(t, 2, "release p-xyz", "p-xyz");
	assert_fails(t, 2, "frobnicate", "Invalid command: frobnicate");
	assert_fails(t, 2, "stats --devices simulated:0", "simulated:N");
	assert_fails(t, 2, "list --dir=", "empty");
	chronos(t, &a, "");
	assert_int_equal(a.code, 2);
	assert_memory_equal(a.err, "Usage: chronos", 14);
	assert_int_equal(active(t), 0);
}

static void each_failure_has_its_exit_code(void **state)
{
	struct place *t = *state;
	struct answer a;
	char line[256];

	assert_done(t, &a, "create 0 0.6 60");
	assert_fails(t, 3, "create 0 0.5 60",
		"Not enough available on device 0: requested 50% (8192 MB), available "
		"40%");
	assert_fails(t, 5, "create 7 0.5 60", "No device 7");
	assert_fails(t, 5, "create x 0.5 60", "No device x");
	assert_fails(t, 5, "release p-00000000", "not found");
	assert_fails(t, 5, "renew nobody 60", "not found");
	assert_int_equal(mkdir(t->base, 0700), -1);
	snprintf(line, sizeof line, "list --dir /tmp");
	assert_fails(t, 4, line, "/tmp");
	snprintf(line, sizeof line, "list --dir %s/no/where", t->base);
	assert_fails(t, 6, line, "no/where");
	snprintf(line, sizeof line, "%s/state", t->dir);
	assert_int_equal(truncate(line, 100), 0);
	assert_fails(t, 6, "list", "cut off");
}

static void an_answer_that_cannot_be_written_is_a_failure(void **state)
{
	struct place *t = *state;
	struct answer a;

	chronos(t, &a, "stats >/dev/full");
	assert_int_equal(a.code, 6);
}

static void errors_are_json_too_where_it_was_asked_for(void **state)
{
	struct place *t = *state;
	struct answer a;

	chronos(t, &a, "release nobody --json");
	assert_int_equal(a.code, 5);
	assert_string_equal(a.out, "");
	json_t *value = json_loads(a.err, 0, NULL);
	json_t *error = json_object_get(value, "error");
	assert_string_equal(text_of(error, "code"), "not_found");
	assert_int_equal(number_of(error, "exit_code"), 5);
	json_decref(value);
}

static void wrong_words_are_answered_with_the_right_ones(void **state)
{
	struct place *t = *state;

	assert_fails(t, 2, "rm p-1", "did you mean release?");
	assert_fails(t, 2, "liste", "did you mean list?");
	assert_fails(t, 2, "list -x", "Unknown option: -x");
	assert_fails(t, 2, "help frobnicate", "Invalid command: frobnicate");
	assert_fails(t, 2, "help list list", "no more arguments");
	assert_fails(t, 2, "create 0", "chronos create <device>");
	assert_fails(t, 2, "release ''", "partition is empty");
	assert_fails(t, 2, "renew '' 5", "partition is empty");
	assert_fails(t, 2, "run '' true", "partition is empty");
	assert_fails(t, 5, "available 9", "there are 0 to 1");
}

static void an_error_is_json_wherever_json_was_asked_for(void **state)
{
	struct place *t = *state;
	struct answer a;

	chronos(t, &a, "list --frob --json");
	assert_int_equal(a.code, 2);
	json_t *value = json_loads(a.err, 0, NULL);
	assert_string_equal(text_of(json_object_get(value, "error"), "code"), "usage");
	json_decref(value);
	chronos(t, &a, "stats --json >/dev/full");
	assert_int_equal(a.code, 6);
	value = json_loads(a.err, 0, NULL);
	assert_string_equal(text_of(json_object_get(value, "error"), "code"), "system");
	json_decref(value);
}

/* Nobody else could release it: its id was never told. */
static void a_partition_whose_answer_is_lost_is_released(void **state)
{
	struct place *t = *state;
	struct answer a;

	chronos(t, &a, "create 0 0.5 60 >/dev/full");
	assert_int_equal(a.code, 6);
	assert_non_null(strstr(a.err, "was released"));
	assert_int_equal(active(t), 0);
	chronos(t, &a, "create 0 0.5 60 --json >&-");
	assert_int_equal(a.code, 6);
	assert_int_equal(active(t), 0);
	/* One that was there before stays. */
	assert_done(t, &a, "create 0 0.5 60 --key k");
	chronos(t, &a, "create 0 0.5 60 --key k >/dev/full");
	assert_int_equal(a.code, 6);
	assert_int_equal(active(t), 1);
}

static void help_says_all_about_each_command(void **state)
{
	struct place *t = *state;
	struct answer asked, option;
	char line[64], usage[64];
	json_t *help = json_answer(t, "help --json");
	const json_t *commands = json_object_get(help, "commands");

	assert_true(json_array_size(commands) > 10);
	for (size_t i = 0; i < json_array_size(commands); i++) {
		const json_t *one = json_array_get(commands, i);
		snprintf(line, sizeof line, "help %s", text_of(one, "name"));
		snprintf(usage, sizeof usage, "Usage: chronos %s", text_of(one, "name"));
		assert_done(t, &asked, line);
		assert_memory_equal(asked.out, usage, strlen(usage));
		assert_non_null(strstr(asked.out, "\nExit codes:\n"));
		snprintf(line, sizeof line, "%s --help", text_of(one, "name"));
		assert_done(t, &option, line);
		assert_string_equal(option.out, asked.out);
	}
	json_decref(help);
	assert_done(t, &asked, "help");
	char *examples = strstr(asked.out, "\nExamples:\n");
	assert_non_null(examples);
	int n = 0;
	for (char *at = examples; (at = strstr(at, "\n  chronos ")); at++)
		n++;
	assert_true(n >= 6);
}

/* ---- JSON ---- */

static void every_verb_answers_in_json(void **state)
{
	struct place *t = *state;
	char line[64];

	json_t *made = json_answer(t, "create 0,1 0.5 600 --key k --json");
	assert_string_equal(text_of(made, "key"), "k");
	assert_int_equal(number_of(made, "hundredths"), 50);
	assert_true(number_of(made, "memory_bytes") == INT64_C(16) << 30);
	assert_int_equal(json_array_size(json_object_get(made, "devices")), 2);
	assert_true(json_is_false(json_object_get(made, "existed")));
	assert_string_equal(text_of(made, "enforcement"), "off");

	json_t *list = json_answer(t, "list --json");
	json_t *first = json_array_get(json_object_get(list, "partitions"), 0);
	assert_string_equal(text_of(first, "id"), text_of(made, "id"));
	json_decref(list);

	json_t *stats = json_answer(t, "--json stats");
	assert_string_equal(text_of(stats, "enforcement"), "off");
	json_t *device = json_array_get(json_object_get(stats, "devices"), 1);
	assert_string_equal(text_of(device, "kind"), "simulated");
	assert_int_equal(number_of(device, "free_hundredths"), 50);
	json_decref(stats);

	json_decref(json_answer(t, "renew k 60 --json"));
	json_t *available = json_answer(t, "available 1 --json");
	assert_int_equal(number_of(available, "free_hundredths"), 50);
	json_decref(available);
	snprintf(line, sizeof line, "release %s --json", text_of(made, "id"));
	json_t *released = json_answer(t, line);
	assert_string_equal(text_of(released, "id"), text_of(made, "id"));
	json_decref(released);
	json_decref(made);
	json_decref(json_answer(t, "help --json"));
	json_decref(json_answer(t, "--version --json"));
}

static void run_starts_a_program_in_its_partition(void **state)
{
	struct place *t = *state;
	struct answer a;
	char id[16], expected[400];
	char layer[PATH_MAX], dir[PATH_MAX];

	assert_non_null(realpath(CHRONOS_LAYER, layer));
	assert_done(t, &a, "create 1 0.25 3600 --key k --burst");
	assert_int_equal(sscanf(a.out, "[OK] Created partition %15s", id), 1);
	assert_non_null(realpath(t->dir, dir));
	assert_done(
		t, &a, "run k -- printenv CHRONOS_PARTITION CHRONOS_DEVICE CHRONOS_DIR");
	snprintf(expected, sizeof expected, "%s\n1\n%.300s\n", id, dir);
	assert_string_equal(a.out, expected);
	chronos_with(t, &a, "OPENCL_LAYERS=/another.so", "run k printenv OPENCL_LAYERS");
	assert_memory_equal(a.out, layer, strlen(layer));
	assert_string_equal(a.out + strlen(layer), ":/another.so\n");

	chronos(t, &a, "run k -- sh -c 'exit 9'");
	assert_int_equal(a.code, 9);
	assert_fails(t, 127, "run k -- /nonexistent", "No such file");
	assert_fails(t, 126, "run k -- /", "ermission denied");
	assert_fails(t, 5, "run p-00000000 -- true", "not found");
	assert_fails(t, 2, "run k", "requires");
	assert_done(t, &a, "create 0,1 0.25 3600 --key both");
	assert_done(t, &a, "create 0 0.25 3600 --key idle");
	assert_done(t, &a, "run both -- printenv CHRONOS_DEVICE");
	assert_string_equal(a.out, "0,1\n");
	assert_done(t, &a, "run k printenv LD_PRELOAD");
	assert_non_null(strstr(a.out, "/lib/cumulus/libchronos-cuda.so\n"));

	assert_done(t, &a, "list");
	assert_non_null(strstr(a.out, "| 0 of 4096 MB |"));
	assert_non_null(strstr(a.out, "| cooperative |"));
	assert_done(t, &a, "stats");
	assert_non_null(strstr(a.out, "  25% burst  0 of 4096 MB  "));
	assert_non_null(strstr(a.out, "  cooperative  "));
	assert_non_null(strstr(a.out, "  off  "));
}

static void what_a_command_takes_is_not_for_chronos(void **state)
{
	struct place *t = *state;
	struct answer a;

	assert_done(t, &a, "create 0 0.25 3600 --key k");
	assert_done(t, &a, "run k sh -c 'echo $0 $*' --json --help -- --version");
	assert_string_equal(a.out, "--json --help -- --version\n");
	assert_done(t, &a, "run k -- sh -c 'echo $0 $*' -- --json");
	assert_string_equal(a.out, "-- --json\n");
}

/* A sanitized program minds that a library is loaded before its sanitizer. */
#define TWICE "ASAN_OPTIONS=verify_asan_link_order=0"

static void a_program_started_twice_over_has_each_layer_once(void **state)
{
	struct place *t = *state;
	struct answer a;
	char layer[PATH_MAX], expected[PATH_MAX + 32];

	assert_non_null(realpath(CHRONOS_LAYER, layer));
	assert_done(t, &a, "create 0 0.25 3600 --key k");
	chronos_with(t, &a, TWICE " OPENCL_LAYERS=/another.so",
		"run k -- " CHRONOS_BIN " run k -- printenv OPENCL_LAYERS");
	snprintf(expected, sizeof expected, "%s:/another.so\n", layer);
	assert_string_equal(a.out, expected);
	chronos_with(
		t, &a, TWICE, "run k -- " CHRONOS_BIN " run k -- printenv LD_PRELOAD");
	assert_int_equal(a.code, 0);
	assert_null(strchr(a.out, ':'));
}

/* What the doctor says on a machine with two NVIDIA GPUs whose /sys/fs/cgroup (in which the
 * script begins) and /proc/driver the script makes. */
static void doctor_where(struct answer *a, const char *script)
{
	struct place t;
	char command[2048];

	if (geteuid() != 0) {
		print_message("skipped: only root has mount namespaces\n");
		skip();
	}
	place_init(&t);
	snprintf(command, sizeof command,
		"unshare --mount --propagation private sh -ec '"
		"mount -t tmpfs cgroup /sys/fs/cgroup; mount -t tmpfs driver /proc/driver; "
		"cd /sys/fs/cgroup; %s cd \"$1\"; exec " CHRONOS_BIN
		" doctor --devices auto' sh \"$PWD\"",
		script);
	shell(&t, a, "LD_LIBRARY_PATH=" FAKE_NVML_DIR " FAKE_NVML=2", command);
	place_fini(&t);
}

static void doctor_knows_what_of_the_kernel_could_hold(void **state)
{
	struct answer a;

	(void)state;
	doctor_where(&a, "");
	assert_non_null(strstr(a.out, "[INFO] Device control groups: none is mounted"));
	assert_non_null(
		strstr(a.out, "[INFO] cgroup dmem: control groups are of version 1"));
	assert_null(strstr(a.out, "NVIDIA driver"));

	doctor_where(&a, "mkdir devices;");
	assert_non_null(strstr(a.out, "[OK] Device control groups: version 1: "));

	doctor_where(&a,
		"echo cpu memory pids >cgroup.controllers; "
		"mkdir /proc/driver/nvidia; "
		"echo \"NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.65.06  Sun\" "
		">/proc/driver/nvidia/version;");
	assert_non_null(strstr(a.out, "Device control groups: version 2"));
	assert_non_null(strstr(a.out, "[OK] NVIDIA driver: release 580.65.06\n"));
	assert_non_null(strstr(a.out, " has no dmem controller here\n"));

	doctor_where(&a, "echo cpu memory dmem pids >cgroup.controllers; "
			 "echo drm/0000:03:00.0/vram0 1000 >dmem.capacity;");
	assert_non_null(strstr(a.out, "[INFO] cgroup dmem: the kernel could hold jobs"));
	assert_non_null(strstr(a.out, "release 615"));

	doctor_where(&a, "echo cpu memory dmem pids >cgroup.controllers; "
			 "echo nvidia/0000:3a:00.0/vidmem 1000 >dmem.capacity;");
	assert_non_null(
		strstr(a.out, "[OK] cgroup dmem: the memory of 1 device is counted"));
}

static void doctor_says_where_the_loader_takes_no_layers(void **state)
{
	struct place *t = *state;
	struct answer a;

	chronos_with(t, &a, "LD_LIBRARY_PATH=" FAKE_OPENCL_DIR, "doctor");
	assert_non_null(
		strstr(a.out, "[INFO] OpenCL layer (cooperative): the libOpenCL.so.1 "
			      "of this machine loads no layers\n"));
}

static void doctor_says_what_holds(void **state)
{
	struct place *t = *state;
	struct answer a;

	assert_done(t, &a, "doctor");
	assert_non_null(strstr(a.out, "[OK] OpenCL layer (cooperative): "));
	assert_non_null(strstr(a.out, "[OK] CUDA hook (cooperative): "));
	assert_non_null(
		strstr(a.out, "[OK] Devices: GPU 0, Simulated GPU 0 (simulated); "));
	assert_non_null(strstr(a.out, "\n       systemctl enable --now chronos-arbiter"));
	json_decref(json_answer(t, "doctor --json"));
	/* What it cannot look at keeps it from nothing else. */
	chronos(t, &a, "doctor --dir /tmp");
	assert_int_equal(a.code, 4);
	assert_non_null(
		strstr(a.out, "[INFO] Directory: /tmp can be written by everybody"));
	assert_non_null(strstr(a.out, "[OK] OpenCL layer (cooperative): "));
}

/* chronos as it is installed with these files beside it, in bin/ and lib/cumulus/. */
static void doctor_beside(struct place *t, struct answer *a, const char *files)
{
	char line[1024];

	snprintf(line, sizeof line,
		"cd %s; mkdir -p bin lib/cumulus; touch %s; cp $OLDPWD/" CHRONOS_BIN
		" bin/; bin/chronos doctor",
		t->base, files);
	shell(t, a, "", line);
	assert_int_equal(a->code, 0);
}

static void doctor_says_whether_jobs_can_be_held(void **state)
{
	struct place *t = *state;
	struct answer a;

	doctor_beside(t, &a, "lib/cumulus/libchronos-job.so");
	assert_null(strstr(a.out, "Jobs of Cumulus: "));
	doctor_beside(t, &a, "bin/cumulus-worker lib/cumulus/libchronos-cuda.so");
	assert_non_null(strstr(a.out,
		"[INFO] Jobs of Cumulus: ../lib/cumulus/libchronos-opencl.so is not "
		"beside this program: GPUs that take it are given to no job\n"));
	doctor_beside(t, &a, "lib/cumulus/libchronos-opencl.so");
	assert_non_null(strstr(a.out, "[OK] Jobs of Cumulus: "));
	shell(t, &a, "", "rm -r $CHRONOS_DIR/../bin $CHRONOS_DIR/../lib");
	assert_int_equal(a.code, 0);
}

static void no_work(void *arg)
{
	(void)arg;
}

/* A launch that goes on for longer than a lease is one that stays past its end. */
static void leases_that_are_overrun_are_shown(void **state)
{
	struct place *t = *state;
	const struct timespec kernel = { 0, 50000000 };
	struct chronos_joining j = { .dir = t->dir, .device = 0, .drain = no_work };
	struct chronos_partition p;
	struct answer a;

	assert_ok(t, create(t, "0", 50, SECONDS(600), NULL, &p));
	j.name = p.id;
	struct chronos_attachment *joined = chronos_attach(&j, &t->e);
	assert_non_null(joined);
	assert_ok(t, chronos_charge(joined, 3 << 20, &t->e));
	assert_ok(t, chronos_launch(joined, &t->e));
	nanosleep(&kernel, NULL);
	chronos_launch_done(joined, 1);
	chronos_settle(joined);
	static const char *const verbs[] = { "list --json", "stats --json" };
	for (int i = 0; i < 2; i++) {
		json_t *told = json_answer(t, verbs[i]);
		json_t *one = json_array_get(json_object_get(told, "partitions"), 0);
		assert_int_equal(number_of(one, "overruns"), 1);
		assert_true(number_of(one, "overrun_ns") > 0);
		assert_true(number_of(one, "time_ns") > number_of(one, "overrun_ns"));
		assert_int_equal(number_of(one, "used_bytes"), 3 << 20);
		assert_int_equal(number_of(one, "clients"), 1);
		json_decref(told);
	}
	assert_done(t, &a, "stats");
	assert_non_null(strstr(a.out, "  3 of 8192 MB  "));
	assert_non_null(strstr(a.out, "  1 (0."));
	chronos_detach(joined);
}

/* As a hostile program could make it: the locks are too many to be looked through. */
static void what_cannot_be_counted_is_not_shown_as_none(void **state)
{
	enum { LOCKS = 20000 };
	struct place *t = *state;
	const uint32_t slots = SHARE_CLIENTS_MAX;
	const struct memory_client one = { .state = CLIENT_JOINED };
	struct chronos_partition p;
	struct answer a;
	char path[128];

	assert_ok(t, create(t, "0", 50, SECONDS(600), NULL, &p));
	assert_ok(t, chronos_prepare(t->c, p.id, NULL, &t->e));
	snprintf(path, sizeof path, "%s/partition-%s", t->dir, p.id);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, &slots, sizeof slots,
				 offsetof(struct partition_file, clients_used)),
		sizeof slots);
	for (uint32_t i = 0; i < slots; i++)
		assert_int_equal(
			pwrite(fd, &one, sizeof one,
				(off_t)(offsetof(struct partition_file, clients) +
					i * sizeof one)),
			sizeof one);
	for (off_t i = 0; i < LOCKS; i++) {
		struct flock lock = { .l_type = F_WRLCK,
			.l_start = SHARE_CLIENTS_MAX + 2 * i,
			.l_len = 1 };
		assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), 0);
	}
	assert_done(t, &a, "stats");
	assert_non_null(strstr(a.out, "  ? of 8192 MB  "));
	json_t *list = json_answer(t, "list --json");
	json_t *first = json_array_get(json_object_get(list, "partitions"), 0);
	assert_true(json_is_null(json_object_get(first, "used_bytes")));
	assert_true(json_is_null(json_object_get(first, "clients")));
	json_decref(list);
	close(fd);
}

/* ---- on a terminal ---- */

struct session {
	pid_t pid;
	int fd;
	struct termios before, after;
	int status;
	size_t bytes;
	char out[65536]; /* all that it showed */
};

/* Starts `chronos <args>`, a line for the shell, on a terminal of that size. */
static void start_on_terminal(struct place *t, struct session *s, unsigned short rows,
	unsigned short columns, const char *env, const char *args)
{
	const struct winsize size = { .ws_row = rows, .ws_col = columns };
	char line[1024];

	memset(s, 0, sizeof *s);
	snprintf(line, sizeof line,
		"export TERM=xterm CHRONOS_DIR=%s %s; exec " CHRONOS_BIN " %s", t->dir,
		env, args);
	s->pid = forkpty(&s->fd, NULL, NULL, &size);
	assert_true(s->pid >= 0);
	if (s->pid == 0) {
		execl("/bin/sh", "sh", "-c", line, NULL);
		_exit(99);
	}
	assert_int_equal(tcgetattr(s->fd, &s->before), 0);
}

/* False: it ended. */
static bool read_on(struct session *s)
{
	struct pollfd p = { .fd = s->fd, .events = POLLIN };

	if (poll(&p, 1, 60000) <= 0)
		fail_msg("nothing more than: %s", s->out);
	ssize_t n = read(s->fd, s->out + s->bytes, sizeof s->out - 1 - s->bytes);
	if (n > 0)
		s->bytes += (size_t)n;
	s->out[s->bytes] = '\0';
	return n > 0;
}

static void until_shown(struct session *s, const char *text)
{
	while (!strstr(s->out, text)) {
		if (!read_on(s))
			fail_msg("it ended without \"%s\": %s", text, s->out);
	}
}

static void forget_shown(struct session *s)
{
	s->bytes = 0;
	s->out[0] = '\0';
}

static void type(struct session *s, const char *keys)
{
	assert_int_equal(write(s->fd, keys, strlen(keys)), strlen(keys));
}

static void until_ended(struct session *s)
{
	while (waitpid(s->pid, &s->status, WNOHANG) == 0) {
		struct pollfd p = { .fd = s->fd, .events = POLLIN };
		if (poll(&p, 1, 10) > 0 && p.revents & POLLIN)
			read_on(s);
	}
	assert_int_equal(tcgetattr(s->fd, &s->after), 0);
	while (read_on(s))
		continue;
	close(s->fd);
}

static void assert_given_back(const struct session *s)
{
	assert_int_equal(s->after.c_lflag, s->before.c_lflag);
	const char *left = strstr(s->out, "\033[?25h\033[?1049l");
	assert_non_null(left);
	assert_null(strstr(left, "\033[?1049h"));
}

static void watch_gives_the_terminal_back_however_it_ends(void **state)
{
	struct place *t = *state;
	struct session s;
	static const struct {
		const char *keys;
		int signal_number;
		int status;
	} ends[] = { { "q", 0, 0 }, { "\003", 0, 0 }, { "", SIGTERM, SIGTERM },
		{ "", SIGHUP, SIGHUP } };

	for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
		start_on_terminal(t, &s, 24, 100, "", "watch");
		until_shown(&s, "q: quit");
		assert_memory_equal(s.out, "\033[?1049h\033[?25l", 14);
		type(&s, ends[i].keys);
		if (ends[i].signal_number)
			assert_int_equal(kill(s.pid, ends[i].signal_number), 0);
		until_ended(&s);
		assert_int_equal(s.status, ends[i].status);
		assert_given_back(&s);
	}
}

static void watch_scrolls_and_follows_the_size(void **state)
{
	struct place *t = *state;
	struct chronos_partition p;
	struct session s;

	for (int i = 0; i < 20; i++)
		assert_ok(t, create(t, "0", 1, SECONDS(600), NULL, &p));
	start_on_terminal(t, &s, 8, 70, "", "watch");
	until_shown(&s, "lines 1 to 6 of 24");
	type(&s, "j");
	until_shown(&s, "lines 2 to 7 of 24");
	type(&s, "\033[6~");
	until_shown(&s, "lines 7 to 12 of 24");
	type(&s, "G");
	until_shown(&s, p.id);
	until_shown(&s, "lines 19 to 24 of 24");
	type(&s, "\033[5~k");
	until_shown(&s, "lines 14 to 19 of 24");
	forget_shown(&s);
	const struct winsize larger = { .ws_row = 30, .ws_col = 200 };
	assert_int_equal(ioctl(s.fd, TIOCSWINSZ, &larger), 0);
	until_shown(&s, "Simulated GPU 1");
	until_shown(&s, "Owner");
	type(&s, "q");
	until_ended(&s);
	assert_int_equal(s.status, 0);
}

/* As it takes the place of chronos. */
static void a_signal_reaches_the_program_that_was_started(void **state)
{
	struct place *t = *state;
	struct session s;
	struct answer a;

	assert_done(t, &a, "create 0 0.25 3600 --key k");
	start_on_terminal(t, &s, 24, 80, "",
		"run k -- sh -c 'trap \"exit 7\" TERM; echo ready; while :; do sleep 0.01; done'");
	until_shown(&s, "ready");
	assert_int_equal(kill(s.pid, SIGTERM), 0);
	until_ended(&s);
	assert_true(WIFEXITED(s.status));
	assert_int_equal(WEXITSTATUS(s.status), 7);
}

/* Ends by a signal of the test's when nothing else ends it. */
#define FOR_EVER "sh -c 'echo ready; while :; do sleep 0.01; done'"

static void a_command_is_ended_with_its_partition_where_that_is_wanted(void **state)
{
	struct place *t = *state;
	static const struct {
		const char *args;
		int status; /* as wait() has it */
	} ways[] = {
		{ "run k --on-expire term -- " FOR_EVER, SIGTERM },
		{ "run --on-expire=kill k -- " FOR_EVER, SIGKILL },
		{ "run k --on-expire term -- sh -c 'trap \"exit 7\" TERM; echo ready; while "
		  ":; do sleep 0.01; done'",
			7 << 8 },
	};
	struct session s;
	struct answer a;

	for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
		assert_done(t, &a, "create 0 0.25 3600 --key k");
		start_on_terminal(t, &s, 24, 80, "", ways[i].args);
		until_shown(&s, "ready");
		/* Released by somebody, or it runs out. */
		assert_done(t, &a, i == 0 ? "release k" : "renew k 1");
		until_ended(&s);
		assert_int_equal(s.status, ways[i].status);
		assert_non_null(strstr(s.out, " has ended: SIG"));
	}
}

static void beside_a_command_signals_and_codes_are_passed_on(void **state)
{
	struct place *t = *state;
	struct session s;
	struct answer a;

	assert_done(t, &a, "create 0 0.25 3600 --key k");
	chronos(t, &a, "run k --on-expire term -- sh -c 'exit 9'");
	assert_int_equal(a.code, 9);
	assert_fails(t, 127, "run k --on-expire term -- /nonexistent", "No such file");
	assert_fails(t, 2, "run k --on-expire never -- true", "refuse, term and kill");
	assert_fails(t, 2, "list --on-expire term", "takes no --on-expire");
	start_on_terminal(t, &s, 24, 80, "",
		"run k --on-expire term -- sh -c 'trap \"exit 7\" USR1; echo ready; while :; "
		"do sleep 0.01; done'");
	until_shown(&s, "ready");
	assert_int_equal(kill(s.pid, SIGUSR1), 0);
	until_ended(&s);
	assert_int_equal(s.status, 7 << 8);
	start_on_terminal(t, &s, 24, 80, "", "run k --on-expire term -- " FOR_EVER);
	until_shown(&s, "ready");
	type(&s, "\003");
	until_ended(&s);
	assert_int_equal(s.status, SIGINT);
}

/* No line is wider than the terminal, not counting what is not shown. */
static void assert_fits(const char *out, size_t columns)
{
	size_t at = 0;

	for (; *out; out++) {
		if (*out == '\033')
			out = strchr(out, 'm');
		else if (*out == '\n')
			at = 0;
		else if (*out != '\r' && (*out & 0xc0) != 0x80)
			at++;
		if (at > columns)
			fail_msg("wider than %zu: %s", columns, out);
	}
}

static void tables_fit_the_terminal(void **state)
{
	struct place *t = *state;
	struct chronos_partition p;
	struct session s;
	char key[100];

	memset(key, 'k', sizeof key - 1);
	key[sizeof key - 1] = '\0';
	assert_ok(t, create(t, "0,1", 50, SECONDS(600), key, &p));
	for (unsigned short columns = 50; columns < 220; columns += 10) {
		start_on_terminal(t, &s, 24, columns, "", "list");
		until_ended(&s);
		assert_int_equal(s.status, 0);
		assert_fits(s.out, columns);
		assert_non_null(strstr(s.out, p.id));
		assert_non_null(strstr(s.out, "GPU 0,1"));
		/* The widest goes before what is needed more. */
		assert_true((strstr(s.out, key) != NULL) == (columns >= 180));
	}
}

static void colours_are_for_terminals_that_want_them(void **state)
{
	struct place *t = *state;
	struct session s;
	struct answer a;

	start_on_terminal(t, &s, 24, 80, "", "available 0");
	until_ended(&s);
	assert_string_equal(s.out, "\033[32m100.0%\033[0m available on GPU 0\r\n");
	start_on_terminal(t, &s, 24, 80, "NO_COLOR=1", "available 0");
	until_ended(&s);
	assert_string_equal(s.out, "100.0% available on GPU 0\r\n");
	start_on_terminal(t, &s, 24, 80, "TERM=dumb", "list");
	until_ended(&s);
	assert_string_equal(s.out, "[INFO] No active partitions\r\n");
	start_on_terminal(t, &s, 24, 80, "", "list");
	until_ended(&s);
	assert_string_equal(s.out, "\033[34mℹ\033[0m No active partitions\r\n");
	assert_done(t, &a, "available 0");
	assert_string_equal(a.out, "100.0%\n");
}

static void help_and_stats_say_that_nothing_is_enforced(void **state)
{
	struct place *t = *state;
	struct answer a;

	assert_done(t, &a, "help");
	assert_non_null(strstr(a.out, "Enforcement is off"));
	assert_done(t, &a, "create --help");
	assert_memory_equal(a.out, "Usage: chronos", 14);
	assert_done(t, &a, "stats");
	assert_memory_equal(a.out, "GPU Device Statistics\n", 22);
	assert_non_null(strstr(a.out, "\nEnforcement: off "));
	assert_non_null(strstr(a.out, "\n  Type: simulated\n"));
}

/* ---- devices of other kinds ---- */

/* The devices that a fresh directory gets, by `env` and --devices; NULL on failure. */
static json_t *discover(struct answer *a, const char *env, const char *spec)
{
	struct place t;
	char args[64];

	place_init(&t);
	snprintf(args, sizeof args, "stats --json --devices %s", spec);
	chronos_with(&t, a, env, args);
	place_fini(&t);
	json_t *stats = json_loads(a->out, 0, NULL);
	json_t *devices = json_incref(json_object_get(stats, "devices"));
	json_decref(stats);
	return devices;
}

static json_t *discover_fake(struct answer *a, const char *fake)
{
	char env[256];

	snprintf(env, sizeof env, "LD_LIBRARY_PATH=" FAKE_NVML_DIR " FAKE_NVML=%s", fake);
	return discover(a, env, "auto");
}

static void nvidia_gpus_are_found_and_their_driver_stays_quiet(void **state)
{
	struct answer a;

	(void)state;
	json_t *devices = discover_fake(&a, "2");
	assert_int_equal(a.code, 0);
	assert_string_equal(a.err, "");
	assert_int_equal(json_array_size(devices), 2);
	json_t *second = json_array_get(devices, 1);
	assert_string_equal(text_of(second, "kind"), "nvidia");
	assert_string_equal(text_of(second, "uuid"), "GPU-00000001");
	assert_string_equal(text_of(second, "name"), "Fake H100");
	assert_true(number_of(second, "memory_bytes") == INT64_C(80) << 30);
	assert_string_equal(text_of(second, "pci"), "10000:3b:00.0");
	json_decref(devices);
}

static void a_split_gpu_is_listed_as_its_instances(void **state)
{
	struct answer a;

	(void)state;
	json_t *devices = discover_fake(&a, "mig");
	assert_int_equal(json_array_size(devices), 3);
	assert_string_equal(text_of(json_array_get(devices, 0), "kind"), "nvidia");
	assert_string_equal(text_of(json_array_get(devices, 1), "kind"), "mig");
	assert_string_equal(text_of(json_array_get(devices, 2), "uuid"), "MIG-00000003");
	assert_string_equal(text_of(json_array_get(devices, 0), "pci"), "0000:3a:00.0");
	assert_string_equal(text_of(json_array_get(devices, 2), "pci"), "10000:3b:00.0");
	assert_string_equal(text_of(json_array_get(devices, 0), "instance"), "");
	assert_string_equal(text_of(json_array_get(devices, 2), "instance"), "gi8/ci1");
	json_decref(devices);
}

static void a_gpu_that_does_not_answer_hides_no_other(void **state)
{
	struct answer a;

	(void)state;
	json_t *devices = discover_fake(&a, "lost");
	assert_int_equal(json_array_size(devices), 1);
	assert_string_equal(text_of(json_array_get(devices, 0), "uuid"), "GPU-00000001");
	json_decref(devices);
}

static void a_driver_that_fails_is_not_mistaken_for_no_gpu(void **state)
{
	struct answer a;

	(void)state;
	assert_null(discover_fake(&a, "mismatch"));
	assert_int_equal(a.code, 6);
	assert_non_null(strstr(a.err, "Driver/library version mismatch"));
	assert_null(discover_fake(&a, "crash"));
	assert_int_equal(a.code, 6);
	assert_non_null(strstr(a.err, "crashed"));

	json_t *none = discover_fake(&a, "unloaded");
	assert_int_equal(a.code, 0);
	assert_int_equal(json_array_size(none), 0);
	json_decref(none);
}

static void opencl_gpus_are_found_with_their_places_on_pci(void **state)
{
	struct answer a;

	(void)state;
	json_t *devices = discover(&a, "LD_LIBRARY_PATH=" FAKE_OPENCL_DIR, "auto");
	assert_int_equal(a.code, 0);
	assert_int_equal(json_array_size(devices), 4);
	json_t *first = json_array_get(devices, 0);
	assert_string_equal(text_of(first, "kind"), "opencl");
	assert_string_equal(text_of(first, "name"), "Fake Arc");
	assert_string_equal(text_of(first, "pci"), "0001:3a:00.1");
	assert_string_equal(text_of(json_array_get(devices, 1), "pci"), "0000:c3:1f.0");
	assert_string_equal(text_of(json_array_get(devices, 2), "pci"), "");
	json_decref(devices);
}

static void the_processor_is_a_device_only_when_asked_for(void **state)
{
	struct answer a;

	(void)state;
	json_t *devices = discover(&a, "", "opencl-cpu");
	assert_int_equal(a.code, 0);
	for (size_t i = 0; i < json_array_size(devices); i++)
		assert_string_equal(
			text_of(json_array_get(devices, i), "kind"), "opencl-cpu");
	json_decref(devices);
	devices = discover(&a, "", "auto");
	assert_int_equal(a.code, 0);
	for (size_t i = 0; i < json_array_size(devices); i++)
		assert_string_not_equal(
			text_of(json_array_get(devices, i), "kind"), "opencl-cpu");
	json_decref(devices);
}

static void watch_goes_on_until_it_is_stopped(void **state)
{
	struct place *t = *state;
	struct answer a;
	struct chronos_partition p;

	assert_ok(t, create(t, "0", 50, SECONDS(600), NULL, &p));
	/* Two looks, then the reader goes. */
	chronos(t, &a, "watch | grep -m 2 'GPU 0'");
	assert_non_null(strstr(a.out, "[####################....................]  50%"));
	chronos(t, &a, "watch --json | head -n 2 | tail -n 1");
	json_t *value = json_loads(a.out, 0, NULL);
	assert_non_null(value);
	assert_int_equal(json_array_size(json_object_get(value, "devices")), 2);
	assert_int_equal(json_array_size(json_object_get(value, "partitions")), 1);
	json_decref(value);
}

static bool arbiter_serves(struct place *t)
{
	json_t *stats = json_answer(t, "stats --json");
	bool serves = json_is_true(json_object_get(stats, "arbiter"));

	json_decref(stats);
	return serves;
}

static void until_arbiter_serves(struct place *t, bool wanted)
{
	const struct timespec pause = { 0, 10000000 };

	for (int i = 0; i < 6000 && arbiter_serves(t) != wanted; i++)
		nanosleep(&pause, NULL);
	assert_int_equal(arbiter_serves(t), wanted);
}

static void an_arbiter_in_the_background_outlives_the_command(void **state)
{
	struct place *t = *state;

	json_t *answer = json_answer(t, "arbiter --background --json");
	pid_t pid = (pid_t)json_integer_value(json_object_get(answer, "pid"));
	json_decref(answer);
	assert_true(pid > 0);
	assert_true(arbiter_serves(t));
	assert_fails(t, 3, "arbiter --background", "serves");
	assert_fails(t, 3, "arbiter", "serves");
	assert_int_equal(kill(pid, SIGTERM), 0);
	until_arbiter_serves(t, false);
}

/* It is the answer that is waited for, not the first line. */
static void an_arbiter_without_devices_serves_all_the_same(void **state)
{
	struct place t;
	struct answer a;
	char cwd[PATH_MAX] = "", link[64];
	int pid;

	(void)state;
	place_init(&t);
	chronos_with(&t, &a, "LD_LIBRARY_PATH=" FAKE_NVML_DIR " FAKE_NVML=unloaded",
		"arbiter --background");
	assert_int_equal(a.code, 0);
	assert_non_null(strstr(a.err, "[WARNING] No GPU was found"));
	assert_int_equal(sscanf(a.out, "[OK] Arbiter serves, process %d", &pid), 1);
	assert_true(arbiter_serves(&t));
	/* It keeps no folder of who started it. */
	snprintf(link, sizeof link, "/proc/%d/cwd", pid);
	assert_int_equal(readlink(link, cwd, sizeof cwd - 1), 1);
	assert_string_equal(cwd, "/");
	assert_int_equal(kill(pid, SIGTERM), 0);
	until_arbiter_serves(&t, false);
	place_fini(&t);
}

static void an_arbiter_says_why_it_ends(void **state)
{
	struct place *t = *state;
	struct answer a;

	chronos(t, &a,
		"arbiter & P=$!; until " CHRONOS_BIN
		" stats | grep -q 'Arbiter: serves'; do :; done; kill $P; wait $P");
	assert_int_equal(a.code, 0);
	assert_non_null(strstr(a.out, "[INFO] Arbiter ends: it was told to\n"));
	chronos(t, &a, "arbiter --idle-exit 1");
	assert_int_equal(a.code, 0);
	assert_non_null(
		strstr(a.out, "[INFO] Arbiter ends: no partition can be joined\n"));
	chronos(t, &a,
		"arbiter & P=$!; until " CHRONOS_BIN
		" stats | grep -q 'Arbiter: serves'; do :; done; rm $CHRONOS_DIR/state; "
		"wait $P");
	assert_int_equal(a.code, 6);
	assert_non_null(strstr(a.err, "removed or replaced"));
}

static void an_arbiter_ends_by_itself_when_it_may(void **state)
{
	struct place *t = *state;
	struct answer a;

	assert_done(t, &a, "arbiter --background --idle-exit 1");
	assert_non_null(strstr(a.out, "[OK] Arbiter serves"));
	until_arbiter_serves(t, false);
	assert_fails(t, 2, "arbiter --idle-exit 0", "--idle-exit");
	assert_fails(t, 2, "arbiter --idle-exit 1h", "--idle-exit");
	assert_fails(t, 2, "list --background", "--background");
	assert_fails(t, 2, "list --idle-exit 5", "--idle-exit");
}

int main(void)
{
#define with_devices(test) cmocka_unit_test_setup_teardown(test, two_devices, no_place)
	const struct CMUnitTest tests[] = {
		with_devices(a_partition_outlives_the_command_that_made_it),
		with_devices(two_commands_at_once_cannot_both_have_nine_tenths),
		with_devices(a_key_finds_its_partition_again),
		cmocka_unit_test(the_first_command_can_name_the_devices),
		with_devices(wrong_arguments_are_told_and_exit_with_2),
		with_devices(each_failure_has_its_exit_code),
		with_devices(an_answer_that_cannot_be_written_is_a_failure),
		with_devices(errors_are_json_too_where_it_was_asked_for),
		with_devices(every_verb_answers_in_json),
		with_devices(run_starts_a_program_in_its_partition),
		with_devices(wrong_words_are_answered_with_the_right_ones),
		with_devices(an_error_is_json_wherever_json_was_asked_for),
		with_devices(a_partition_whose_answer_is_lost_is_released),
		with_devices(help_says_all_about_each_command),
		with_devices(what_a_command_takes_is_not_for_chronos),
		with_devices(a_program_started_twice_over_has_each_layer_once),
		with_devices(a_signal_reaches_the_program_that_was_started),
		with_devices(a_command_is_ended_with_its_partition_where_that_is_wanted),
		with_devices(beside_a_command_signals_and_codes_are_passed_on),
		with_devices(doctor_says_what_holds),
		with_devices(doctor_says_whether_jobs_can_be_held),
		with_devices(doctor_says_where_the_loader_takes_no_layers),
		cmocka_unit_test(doctor_knows_what_of_the_kernel_could_hold),
		with_devices(leases_that_are_overrun_are_shown),
		with_devices(what_cannot_be_counted_is_not_shown_as_none),
		with_devices(watch_gives_the_terminal_back_however_it_ends),
		with_devices(watch_scrolls_and_follows_the_size),
		with_devices(tables_fit_the_terminal),
		with_devices(colours_are_for_terminals_that_want_them),
		cmocka_unit_test(an_arbiter_without_devices_serves_all_the_same),
		with_devices(an_arbiter_says_why_it_ends),
		with_devices(watch_goes_on_until_it_is_stopped),
		with_devices(an_arbiter_in_the_background_outlives_the_command),
		with_devices(an_arbiter_ends_by_itself_when_it_may),
		with_devices(help_and_stats_say_that_nothing_is_enforced),
		cmocka_unit_test(nvidia_gpus_are_found_and_their_driver_stays_quiet),
		cmocka_unit_test(a_split_gpu_is_listed_as_its_instances),
		cmocka_unit_test(a_gpu_that_does_not_answer_hides_no_other),
		cmocka_unit_test(a_driver_that_fails_is_not_mistaken_for_no_gpu),
		cmocka_unit_test(opencl_gpus_are_found_with_their_places_on_pci),
		cmocka_unit_test(the_processor_is_a_device_only_when_asked_for),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
