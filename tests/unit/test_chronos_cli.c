/* test_chronos_cli.c - the program chronos, as a person and as a script see it. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "test_chronos.h"

#include <jansson.h>
#include <limits.h>

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

/* Runs `chronos <args>`, a line for the shell, in the test's directory. */
static void chronos_with(
	struct place *t, struct answer *a, const char *env, const char *args)
{
	char line[2048];

	snprintf(line, sizeof line,
		"export CHRONOS_DIR=%s %s; { " CHRONOS_BIN
		" %s; } >%s/out 2>%s/err </dev/null",
		t->dir, env, args, t->base, t->base);
	int status = system(line);
	assert_true(WIFEXITED(status));
	a->code = WEXITSTATUS(status);
	read_all(t, "out", a->out, sizeof a->out);
	read_all(t, "err", a->err, sizeof a->err);
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
	assert_non_null(strstr(a.out, "[INFO] Enforcement: off\n"));

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
	assert_fails(t, 2, "create 0 0.5 60 --key 'a b'", "key");
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
		"not enough available on device 0: requested 50% (8192 MB), available "
		"40%");
	assert_fails(t, 5, "create 7 0.5 60", "no device 7");
	assert_fails(t, 5, "create x 0.5 60", "no device x");
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
	assert_non_null(strstr(a.out, "25% burst, 0 of 4096 MB"));
	assert_non_null(strstr(a.out, "enforce: cooperative\n"));
	assert_non_null(strstr(a.out, "enforce: off\n"));
}

static void doctor_says_what_holds(void **state)
{
	struct place *t = *state;
	struct answer a;

	assert_done(t, &a, "doctor");
	assert_non_null(strstr(a.out, "[OK] OpenCL layer (cooperative): "));
	assert_non_null(strstr(a.out, "[OK] CUDA hook (cooperative): "));
	json_decref(json_answer(t, "doctor --json"));
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
	assert_int_equal(json_array_size(devices), 3);
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
		with_devices(doctor_says_what_holds),
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
