/* test_runner_container.c - real jobs in real containers, and what is reported of them. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "runner_world.h"

#define R(name) CUMULUS__ORCHESTRATOR__REASON__##name

static struct world world;

static struct trial trial_of(const char *main_py)
{
	return (struct trial){ .w = &world, .main_py = main_py };
}

static void hello_comes_back_with_output_and_result(void **state)
{
	(void)state;
	struct trial t =
		trial_of("def main():\n    print('hello')\n    return {'n': 42}\n");

	trial_run(&t);
	assert_reason(&t, R(REASON_NONE), "");
	assert_string_equal((char *)t.out.data, "hello\n");

	CLEANUP(free_ptr)
	char *result = strndup(
		(char *)trial_ended(&t)->result.data, trial_ended(&t)->result.len);
	assert_contains(result, "{\"status\": \"success\", \"result\": {\"n\": 42}");
	assert_contains(result, "\"execution_time\": ");
	assert_int_equal(trial_ended(&t)->exit_code, 0);
	assert_true(trial_ended(&t)->timing->python_ns > 0);
	trial_fini(&t);
}

/* ---- how code fails ---- */

static void an_exception_is_named_with_its_traceback(void **state)
{
	(void)state;
	struct trial t = trial_of("def f():\n    raise ValueError('bad \\u00e9')\n"
				  "def main():\n    f()\n");

	trial_run(&t);
	assert_reason(&t, R(CODE_FAILED), "ValueError: bad \xc3\xa9");
	assert_true(strncmp(trial_ended(&t)->error, "ValueError: bad", 15) == 0);
	assert_contains(
		trial_ended(&t)->error, "File \"/job/src/main.py\", line 2, in f");
	assert_null(strstr(trial_ended(&t)->error, "harness"));
	assert_contains((char *)t.out.data, "Traceback (most recent call last)");
	assert_int_equal(trial_ended(&t)->exit_code, 1);
	assert_int_equal(trial_ended(&t)->result.len, 0);
	trial_fini(&t);
}

static void a_syntax_error_names_the_line(void **state)
{
	(void)state;
	struct trial t = trial_of("def main():\n    return (\n");

	trial_run(&t);
	assert_reason(&t, R(CODE_FAILED),
		"SyntaxError: '(' was never closed (main.py, line 2)");
	assert_null(strstr(trial_ended(&t)->error, "harness"));
	trial_fini(&t);
}

static void a_missing_main_is_said_so(void **state)
{
	(void)state;
	struct trial t = trial_of("x = 1\n");

	trial_run(&t);
	assert_reason(&t, R(CODE_FAILED),
		"AttributeError: main.py does not define a function main()");
	trial_fini(&t);
}

static void sys_exit_before_main_returns_is_a_failure_whatever_the_status(void **state)
{
	(void)state;
	struct trial seven = trial_of("import sys\ndef main():\n    sys.exit(7)\n");
	struct trial zero = trial_of("def main():\n    exit(0)\n");
	struct trial hard = trial_of("import os\ndef main():\n    os._exit(3)\n");

	trial_run(&seven);
	assert_reason(&seven, R(EXITED), "exited with status 7");
	assert_int_equal(trial_ended(&seven)->exit_code, 7);
	trial_fini(&seven);
	trial_run(&zero);
	assert_reason(&zero, R(EXITED), "exited with status 0 before main() returned");
	assert_int_equal(
		trial_ended(&zero)->exit_case, CUMULUS__WORKER__ENDED__EXIT_EXIT_CODE);
	trial_fini(&zero);
	trial_run(&hard);
	assert_reason(&hard, R(EXITED), "exited with status 3");
	trial_fini(&hard);
}

static void a_death_by_signal_is_named(void **state)
{
	(void)state;
	struct trial segv =
		trial_of("import ctypes\ndef main():\n    ctypes.string_at(0)\n");
	struct trial self =
		trial_of("import os, signal\n"
			 "def main():\n    os.kill(os.getpid(), signal.SIGKILL)\n");

	trial_run(&segv);
	assert_reason(&segv, R(SIGNALED), "killed by SIGSEGV (11)");
	assert_int_equal(
		trial_ended(&segv)->exit_case, CUMULUS__WORKER__ENDED__EXIT__NOT_SET);
	trial_fini(&segv);
	trial_run(&self);
	assert_reason(&self, R(SIGNALED), "killed by SIGKILL (9)");
	trial_fini(&self);
}

static void the_last_output_explains_a_death_without_traceback(void **state)
{
	(void)state;
	struct trial t = trial_of("import os\ndef main():\n    print('about to go')\n"
				  "    os._exit(9)\n");

	trial_run(&t);
	assert_string_equal(
		trial_ended(&t)->error, "exited with status 9\nabout to go\n");
	trial_fini(&t);
}

/* ---- results ---- */

static void a_result_that_json_cannot_hold_names_its_type(void **state)
{
	(void)state;
	struct trial nan = trial_of("def main():\n    return [float('nan')]\n");
	struct trial object =
		trial_of("class Foo: pass\ndef main():\n    return {'a': Foo()}\n");
	struct trial key = trial_of("def main():\n    return {(1, 2): 3}\n");
	struct trial loop =
		trial_of("def main():\n    a = []\n    a.append(a)\n    return a\n");

	trial_run(&nan);
	assert_reason(&nan, R(RESULT_INVALID),
		"main() returned a value that JSON cannot hold: a float that is NaN or "
		"infinite");
	trial_fini(&nan);
	trial_run(&object);
	assert_reason(&object, R(RESULT_INVALID),
		"main() returned a value that JSON cannot hold: main.Foo");
	trial_fini(&object);
	trial_run(&key);
	assert_reason(&key, R(RESULT_INVALID),
		"main() returned a dict with a key that JSON cannot hold: keys must be "
		"str, int, "
		"float, bool or None, not tuple");
	trial_fini(&key);
	trial_run(&loop);
	assert_reason(&loop, R(RESULT_INVALID),
		"main() returned a value that JSON cannot hold: it contains itself");
	trial_fini(&loop);
}

static void a_result_may_be_as_large_as_its_limit(void **state)
{
	(void)state;
	struct trial fits = trial_of("def main():\n    return 'x' * 3000000\n");
	struct trial large = trial_of("def main():\n    return 'x' * 4000000\n");

	trial_run(&fits);
	assert_reason(&fits, R(REASON_NONE), "");
	assert_true(trial_ended(&fits)->result.len > 3000000);
	trial_fini(&fits);
	trial_run(&large);
	assert_reason(&large, R(RESULT_TOO_LARGE), "result is larger than 3.5 MiB");
	trial_fini(&large);
}

/* ---- time ---- */

static void a_job_that_ignores_sigterm_is_killed_when_its_time_is_up(void **state)
{
	(void)state;
	struct trial t = trial_of("import signal, time\ndef main():\n"
				  "    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
				  "    print('in')\n    time.sleep(600)\n");

	t.duration = 1;
	t.grace = 1;
	trial_run(&t);
	assert_reason(&t, R(DURATION_EXCEEDED), "duration of 1 s exceeded");
	assert_string_equal((char *)t.out.data, "in\n");
	trial_fini(&t);
}

static void sigterm_reaches_a_job_whose_time_is_up(void **state)
{
	(void)state;
	struct trial t = trial_of("import signal, time, sys\n"
				  "def bye(*_):\n    print('bye')\n    sys.exit(4)\n"
				  "def main():\n    signal.signal(signal.SIGTERM, bye)\n"
				  "    time.sleep(600)\n");

	t.duration = 1;
	t.grace = 20;
	trial_run(&t);
	assert_reason(&t, R(DURATION_EXCEEDED), "duration of 1 s exceeded");
	assert_string_equal((char *)t.out.data, "bye\n");
	assert_int_equal(trial_ended(&t)->exit_code, 4);
	trial_fini(&t);
}

/* Wait until the output holds something. */
static void wait_for_output(const struct trial *t)
{
	int64_t end = 0;

	for (int i = 0; i < WORLD_WAIT_MS / 10 && end == 0; i++) {
		assert_ok(run_output_end(t->dirfd, 0, &end, e));
		poll(NULL, 0, 10);
	}
	assert_true(end > 0);
}

static void ask_to_stop(
	const struct trial *t, Cumulus__Worker__StopWhy why, int32_t grace)
{
	Cumulus__Worker__StopRequest stop = CUMULUS__WORKER__STOP_REQUEST__INIT;

	stop.why = why;
	stop.grace = grace;
	assert_ok(runfolder_write_stop(t->dirfd, &stop, e));
}

static void a_cancelled_job_ends_and_says_that_it_was_asked_to(void **state)
{
	(void)state;
	struct trial t = trial_of(
		"import time\ndef main():\n    print('x')\n    time.sleep(600)\n");

	trial_create(&t);
	trial_start(&t);
	wait_for_output(&t);
	ask_to_stop(&t, CUMULUS__WORKER__STOP_WHY__STOP_CANCEL, 1);
	trial_wait(&t);
	trial_read(&t);
	assert_reason(&t, R(CANCELLED_BY_USER), "cancelled");
	assert_true(trial_ended(&t)->stopped);
	trial_fini(&t);
}

static void a_run_cancelled_before_its_start_gets_no_container(void **state)
{
	(void)state;
	struct trial t = trial_of("def main():\n    print('x')\n");

	trial_create(&t);
	ask_to_stop(&t, CUMULUS__WORKER__STOP_WHY__STOP_CANCEL, 1);
	trial_start(&t);
	trial_wait(&t);
	trial_read(&t);
	assert_reason(&t, R(CANCELLED_BY_USER), "cancelled");
	assert_string_equal((char *)t.out.data, "");
	assert_int_equal(t.report->number, 2);
	trial_fini(&t);
}

static void a_job_can_see_that_it_is_to_pause(void **state)
{
	(void)state;
	struct trial t =
		trial_of("import cumulus, time\ndef main():\n"
			 "    print(cumulus.should_pause())\n"
			 "    while not cumulus.should_pause(): time.sleep(0.01)\n"
			 "    return 'saved'\n");

	t.duration = 50;
	trial_create(&t);
	trial_start(&t);
	wait_for_output(&t);
	ask_to_stop(&t, CUMULUS__WORKER__STOP_WHY__STOP_PAUSE, 40);
	trial_wait(&t);
	trial_read(&t);
	assert_reason(&t, R(REASON_NONE), "");
	assert_true(trial_ended(&t)->stopped);
	assert_string_equal((char *)t.out.data, "False\n");
	trial_fini(&t);
}

/* ---- output ---- */

static void output_past_its_limit_is_counted(void **state)
{
	(void)state;
	struct trial t = trial_of("import os\ndef main():\n    b = b'x' * 1000000\n"
				  "    for i in range(100):\n"
				  "        n = 0\n"
				  "        while n < len(b): n += os.write(1, b[n:])\n");

	t.output = 1 << 20;
	trial_run(&t);
	assert_reason(&t, R(REASON_NONE), "");
	assert_int_equal(
		t.left[FRAME_STDOUT] + trial_ended(&t)->output_dropped, 100000000);
	assert_true(t.left[FRAME_STDOUT] <= 1 << 20);
	assert_true(t.left[FRAME_STDOUT] > (1 << 20) - 65536);
	assert_true(t.left[FRAME_SYSTEM] > 0);
	assert_int_equal(trial_ended(&t)->output_end, ({
		int64_t end;
		assert_ok(run_output_end(t.dirfd, 0, &end, e));
		end;
	}));
	trial_fini(&t);
}

static void bytes_that_are_no_text_are_kept_as_they_are(void **state)
{
	(void)state;
	struct trial t =
		trial_of("import os\ndef main():\n    os.write(1, b'\\xff\\xfe\\x80a')\n"
			 "    os.write(2, b'\\xc3')\n    raise SystemExit(1)\n");

	trial_run(&t);
	assert_int_equal(t.left[FRAME_STDOUT], 4);
	assert_int_equal(t.left[FRAME_STDERR], 1);
	assert_true(utf8_valid(trial_ended(&t)->error, strlen(trial_ended(&t)->error)));
	trial_fini(&t);
}

static void progress_is_what_was_said_last(void **state)
{
	(void)state;
	struct trial t = trial_of(
		"import cumulus\ndef main():\n"
		"    for i in range(101): cumulus.progress(i / 100, 'step %d' % i)\n");
	struct err e;

	trial_run(&t);
	assert_reason(&t, R(REASON_NONE), "");
	Cumulus__Worker__ProgressFile *p = runfolder_read_progress(t.dirfd, &e);
	assert_non_null(p);
	assert_true(p->fraction == 1.0f);
	assert_string_equal(p->text, "step 100");
	cumulus__worker__progress_file__free_unpacked(p, NULL);
	trial_fini(&t);
}

/* ---- limits ---- */

static void a_memory_hog_is_out_of_memory(void **state)
{
	(void)state;
	struct trial t = trial_of(
		"def main():\n    x = bytearray(300 << 20)\n    return len(x)\n");

	t.memory = 64 << 20;
	trial_run(&t);
	assert_reason(&t, R(OUT_OF_MEMORY), "out of memory: limit 64 MiB");
	trial_fini(&t);
}

static void a_childs_death_by_memory_is_not_the_jobs(void **state)
{
	(void)state;
	struct trial t =
		trial_of("import os\ndef main():\n    p = os.fork()\n    if p == 0:\n"
			 "        x = bytearray(300 << 20)\n        os._exit(0)\n"
			 "    return os.waitpid(p, 0)[1]\n");

	t.memory = 64 << 20;
	trial_run(&t);
	assert_reason(&t, R(REASON_NONE), "");
	assert_contains((char *)t.out.data, "killed for want of memory");
	trial_fini(&t);
}

static void a_fork_bomb_stays_within_its_limit(void **state)
{
	(void)state;
	struct trial t = trial_of(
		"import os, time\ndef main():\n    n = 0\n"
		"    try:\n        while True:\n"
		"            if os.fork() == 0:\n                time.sleep(600)\n"
		"            n += 1\n"
		"    except BlockingIOError:\n        return n\n");

	t.pids = 32;
	trial_run(&t);
	assert_reason(&t, R(REASON_NONE), "");
	assert_contains((char *)t.out.data, "the limit of 32 processes was reached");
	trial_fini(&t);
}

static void orphans_do_not_outlive_the_job(void **state)
{
	(void)state;
	struct trial t = trial_of("import os, time\ndef main():\n    for i in range(5):\n"
				  "        if os.fork() == 0:\n            os.setsid()\n"
				  "            if os.fork() == 0: time.sleep(600)\n      "
				  "      os._exit(0)\n"
				  "    return 1\n");

	trial_run(&t);
	assert_reason(&t, R(REASON_NONE), "");
	trial_fini(&t);
}

static void a_forked_child_that_comes_back_does_not_speak_for_the_job(void **state)
{
	(void)state;
	struct trial t = trial_of("import os\ndef main():\n    p = os.fork()\n"
				  "    if p == 0: raise ValueError('child')\n"
				  "    os.waitpid(p, 0)\n    return 'parent'\n");

	trial_run(&t);
	assert_reason(&t, R(REASON_NONE), "");
	CLEANUP(free_ptr)
	char *result = strndup(
		(char *)trial_ended(&t)->result.data, trial_ended(&t)->result.len);
	assert_contains(result, "\"parent\"");
	trial_fini(&t);
}

static void a_job_that_fills_the_disk_is_ended(void **state)
{
	(void)state;
	struct trial t = trial_of("import time\ndef main():\n    for i in range(40):\n"
				  "        with open('/job/work/%d' % i, 'wb') as f: "
				  "f.write(bytes(1 << 20))\n"
				  "    time.sleep(600)\n");

	t.disk = 20 << 20;
	t.duration = 50;
	trial_run(&t);
	assert_reason(&t, R(DISK_LIMIT), "disk limit of 20 MiB exceeded");
	trial_fini(&t);
}

static void one_file_cannot_pass_the_disk_limit(void **state)
{
	(void)state;
	struct trial t =
		trial_of("def main():\n    with open('x', 'wb') as f:\n"
			 "        for i in range(30): f.write(bytes(1 << 20))\n");

	t.disk = 20 << 20;
	trial_run(&t);
	assert_reason(&t, R(CODE_FAILED), "OSError: [Errno 27] File too large");
	trial_fini(&t);
}

static void a_tree_deeper_than_any_path_is_taken_away(void **state)
{
	(void)state;
	struct trial t =
		trial_of("import os\ndef main():\n    os.chdir('/job/work')\n"
			 "    for i in range(3000):\n"
			 "        os.mkdir('d')\n        os.mkdir('e')\n"
			 "        open('f', 'w').close()\n        os.chdir('d')\n");

	trial_run(&t);
	assert_reason(&t, R(REASON_NONE), "");
	trial_fini(&t);
}

/* ---- what a job sees ---- */

static void a_job_sees_its_world_and_no_more(void **state)
{
	(void)state;
	static const char *const args[] = { "one", "two words", NULL };
	struct trial t = trial_of(
		"import os, sys\ndef can(f, *a):\n    try:\n        f(*a)\n        "
		"return 'yes'\n"
		"    except OSError as e:\n        return e.strerror\n"
		"def main():\n"
		"    e = os.environ\n"
		"    assert sys.argv == ['/job/src/main.py', 'one', 'two words'], "
		"sys.argv\n"
		"    assert e['HOME'] == e['CUMULUS_JOB_DIR'] == '/job/work'\n"
		"    assert e['GPU_DEVICE'] == '0' and e['GPU_UUID'] and e['JOB_ID']\n"
		"    assert e['CHRONOS_PARTITION_ID'].startswith('p-')\n"
		"    assert sys.path[0] == '/job/src'\n"
		"    assert sys.path[-1] == '/usr/lib/python3/dist-packages'\n"
		"    assert os.getcwd() == '/job/src' and os.getuid() == 1000\n"
		"    open('made.txt', 'w').close()\n"
		"    open('/job/work/made.txt', 'w').close()\n"
		"    open('/tmp/made.txt', 'w').close()\n"
		"    assert open('/job/code.zip', 'rb').read(2) == b'PK'\n"
		"    for p in ('/usr/x', '/etc/x', '/x', '/job/x', '/opt/cumulus/x'):\n"
		"        assert can(open, p, 'w') == 'Read-only file system', p\n"
		"    assert can(open, '/job/code.zip', 'r+') == 'Permission denied'\n"
		"    assert not os.path.exists('/etc/shadow') and not "
		"os.path.exists('/root')\n"
		"    assert sorted(os.listdir('/proc/self/fd'))[:4] == ['0', '1', '2', "
		"'3']\n"
		"    assert [p for p in os.listdir('/proc') if p.isdigit()] in (\n"
		"        ['1', '2'], ['1', '6'], ['1', '7']), os.listdir('/proc')\n"
		"    st = dict(l.split(':\\t', 1) for l in open('/proc/self/status') if "
		"':\\t' in l)\n"
		"    assert st['NoNewPrivs'] == '1\\n' and st['Seccomp'] == '2\\n'\n"
		"    for c in ('Inh', 'Prm', 'Eff', 'Bnd', 'Amb'):\n"
		"        assert int(st['Cap' + c], 16) == 0\n"
		"    assert can(os.listdir, '/proc/1/fd') == 'Permission denied'\n"
		"    import ctypes\n"
		"    libc = ctypes.CDLL(None, use_errno=True)\n"
		"    for call in ((libc.unshare, 0x10000000), (libc.chroot, b'/'),\n"
		"                 (libc.mount, b'x', b'/tmp', b'tmpfs', 0, None)):\n"
		"        assert call[0](*call[1:]) == -1 and ctypes.get_errno() == 1, "
		"call\n"
		"    import socket\n"
		"    s = socket.socket()\n"
		"    assert can(s.connect, ('192.0.2.1', 80)) == 'Network is "
		"unreachable'\n"
		"    assert can(socket.socket, 40, 1, 0).startswith('Address family')\n"
		"    assert can(os.mknod, '/tmp/n', 0o20666, os.makedev(1, 1)) == "
		"'Operation not permitted'\n"
		"    flags = {l.split()[4]: l.split()[5] for l in "
		"open('/proc/self/mountinfo')}\n"
		"    for m in ('/job/src', '/job/work'):\n"
		"        assert 'nosuid' in flags[m] and 'nodev' in flags[m], "
		"flags[m]\n");

	t.args = args;
	trial_run(&t);
	assert_reason(&t, R(REASON_NONE), "");
	trial_fini(&t);
}

static void a_job_can_use_processes_threads_and_the_standard_library(void **state)
{
	(void)state;
	struct trial t = trial_of(
		"import multiprocessing, subprocess, threading, sqlite3, ssl, json, "
		"tempfile\n"
		"def square(x): return x * x\n"
		"def main():\n"
		"    out = []\n"
		"    for how in ('fork', 'spawn'):\n"
		"        with multiprocessing.get_context(how).Pool(2) as p:\n"
		"            out.append(p.map(square, [1, 2, 3]))\n"
		"    out.append(subprocess.run(['sh', '-c', 'echo hi'], "
		"stdout=subprocess.PIPE).stdout.decode())\n"
		"    th = threading.Thread(target=out.append, args=('thread',))\n"
		"    th.start()\n    th.join()\n"
		"    sqlite3.connect(':memory:').execute('select 1')\n"
		"    assert len(ssl.create_default_context().get_ca_certs()) > 0\n"
		"    return out\n");

	t.duration = 50;
	trial_run(&t);
	assert_reason(&t, R(REASON_NONE), "");
	CLEANUP(free_ptr)
	char *result = strndup(
		(char *)trial_ended(&t)->result.data, trial_ended(&t)->result.len);
	assert_contains(result, "[[1, 4, 9], [1, 4, 9], \"hi\\n\", \"thread\"]");
	trial_fini(&t);
}

static void a_job_finds_what_the_hosts_python_has(void **state)
{
	(void)state;
	struct trial t =
		trial_of("import yaml\ndef main():\n    return yaml.safe_load('a: 1')\n");

	if (access("/usr/lib/python3/dist-packages/yaml", F_OK) < 0) {
		print_message("skipped: this machine has no python3-yaml\n");
		skip();
	}
	trial_run(&t);
	assert_reason(&t, R(REASON_NONE), "");
	trial_fini(&t);
}

static void a_plain_job_imports_nothing_dear(void **state)
{
	(void)state;
	struct trial t = trial_of("import sys\nDEAR = {'json', 're', 'os', 'traceback', "
				  "'zipfile', 'site', 'enum',\n"
				  "        'typing', 'collections', 'functools', "
				  "'threading', 'struct', 'signal'}\n"
				  "def main():\n    assert not DEAR & set(sys.modules), "
				  "DEAR & set(sys.modules)\n");

	trial_run(&t);
	assert_reason(&t, R(REASON_NONE), "");
	trial_fini(&t);
}

/* ---- packages ---- */

static void run_package(const char *path, const char *message)
{
	struct trial t = trial_of(NULL);

	t.package = path;
	trial_run(&t);
	assert_reason(&t, R(CONTAINER_FAILED), message);
	trial_fini(&t);
}

static void a_hostile_package_is_refused_naming_the_entry(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		const char *message;
	} cases[] = {
		{ "../evil", "package: entry \"../evil\": its path has an empty part, . "
			     "or .." },
		{ "/etc/evil",
			"package: entry \"/etc/evil\": its path is empty or absolute" },
		{ "a/../../evil", "package: entry \"a/../../evil\": its path has an "
				  "empty part, . or .." },
	};
	CLEANUP(free_ptr) char *path = str_fmt("%s/hostile.zip", world.base);

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		zip_t *z = zip_begin(path);

		zip_put(z, "main.py", "", 0);
		zip_put(z, cases[i].name, "x", 1);
		assert_int_equal(zip_close(z), 0);
		run_package(path, cases[i].message);
	}

	zip_t *bad = zip_begin(path);
	zip_source_t *source = zip_source_buffer(bad, "x", 1, 0);
	assert_true(zip_file_add(bad, "a\xff\n/../b", source, ZIP_FL_ENC_RAW) >= 0 ||
		    zip_file_add(bad, "a\xff\n/../b", source, ZIP_FL_ENC_GUESS) >= 0);
	assert_int_equal(zip_close(bad), 0);
	struct trial t = trial_of(NULL);
	t.package = path;
	trial_run(&t);
	const Cumulus__Worker__Ended *ended = trial_ended(&t);
	assert_int_equal(ended->reason, R(CONTAINER_FAILED));
	assert_true(utf8_valid(ended->message, strlen(ended->message)));
	assert_true(utf8_valid(ended->error, strlen(ended->error)));
	assert_null(strchr(ended->message, '\n'));
	trial_fini(&t);

	zip_t *z = zip_begin(path);
	zip_int64_t link = zip_put(z, "link", "/etc", 4);
	zip_file_set_external_attributes(
		z, (zip_uint64_t)link, 0, ZIP_OPSYS_UNIX, (S_IFLNK | 0777u) << 16);
	zip_put(z, "link/passwd", "x", 1);
	assert_int_equal(zip_close(z), 0);
	run_package(path, "package: entry \"link\": it is a symlink");
	unlink(path);
}

static void a_zip_bomb_is_refused(void **state)
{
	(void)state;
	CLEANUP(free_ptr) char *path = str_fmt("%s/bomb.zip", world.base);
	CLEANUP(free_ptr) char *zeros = calloc(1, 100 << 20);
	zip_t *z = zip_begin(path);

	zip_put(z, "bomb", zeros, 100 << 20);
	assert_int_equal(zip_close(z), 0);
	run_package(
		path, "package: entry \"bomb\": the package unpacks to too many bytes");
	unlink(path);
}

/* Change one byte of the content, whose checksum then does not fit. */
static void a_damaged_entry_is_refused(void **state)
{
	(void)state;
	static const char text[] = "def main(): return 'some text that is stored'\n";
	CLEANUP(free_ptr) char *path = str_fmt("%s/damaged.zip", world.base);
	zip_t *z = zip_begin(path);
	zip_int64_t i = zip_put(z, "main.py", text, sizeof text - 1);
	char bytes[4096];

	zip_set_file_compression(z, (zip_uint64_t)i, ZIP_CM_STORE, 0);
	assert_int_equal(zip_close(z), 0);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	ssize_t n = read(fd, bytes, sizeof bytes);
	char *at = memmem(bytes, (size_t)n, "some text", 9);
	assert_non_null(at);
	assert_int_equal(pwrite(fd, "S", 1, at - bytes), 1);
	close(fd);
	run_package(path, "package: entry \"main.py\": CRC error");
	unlink(path);
}

static void what_is_no_zip_is_refused(void **state)
{
	(void)state;
	CLEANUP(free_ptr) char *path = str_fmt("%s/no.zip", world.base);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_int_equal(write(fd, "not a zip", 9), 9);
	close(fd);
	run_package(path, "package: Not a zip archive");
	unlink(path);
}

static void folders_and_modes_of_a_package_are_kept(void **state)
{
	(void)state;
	static const char main_py[] =
		"import os, sub.deep.mod\n"
		"def main():\n    assert os.access('run.sh', os.X_OK)\n"
		"    assert not os.access('main.py', os.X_OK)\n"
		"    assert os.path.isdir('empty')\n    return sub.deep.mod.x\n";
	CLEANUP(free_ptr) char *path = str_fmt("%s/folders.zip", world.base);
	zip_t *z = zip_begin(path);
	struct trial t = trial_of(NULL);

	zip_put(z, "main.py", main_py, sizeof main_py - 1);
	zip_put(z, "sub/deep/mod.py", "x = 5\n", 6);
	zip_dir_add(z, "empty/", 0);
	zip_int64_t i = zip_put(z, "run.sh", "#!/bin/sh\n", 10);
	zip_file_set_external_attributes(
		z, (zip_uint64_t)i, 0, ZIP_OPSYS_UNIX, (S_IFREG | 0755u) << 16);
	assert_int_equal(zip_close(z), 0);
	t.package = path;
	trial_run(&t);
	assert_reason(&t, R(REASON_NONE), "");
	trial_fini(&t);
	unlink(path);
}

/* ---- who runs ---- */

static void a_second_runner_leaves_without_a_trace(void **state)
{
	(void)state;
	struct trial t =
		trial_of("import time\ndef main():\n    print('x')\n    time.sleep(1)\n"
			 "    return 1\n");

	trial_create(&t);
	trial_start(&t);
	wait_for_output(&t);
	pid_t first = t.runner;
	trial_start(&t);
	trial_wait(&t);
	assert_int_equal(t.status, 0);
	t.runner = first;
	trial_wait(&t);
	trial_start(&t);
	trial_wait(&t);
	assert_int_equal(t.status, 0);
	trial_read(&t);
	assert_reason(&t, R(REASON_NONE), "");
	assert_string_equal((char *)t.out.data, "x\n");
	assert_int_equal(t.report->number, 3);
	trial_fini(&t);
}

static void a_full_device_refuses_the_run(void **state)
{
	(void)state;
	struct trial t = trial_of("def main(): pass\n");
	struct chronos_error ce;
	struct chronos_partition p;
	const char *device = "0";
	const struct chronos_request all = { .devices = &device,
		.device_count = 1,
		.hundredths = 60,
		.duration_ns = UINT64_C(60) * 1000000000,
		.owner = CHRONOS_OWNER_CALLER };
	struct chronos *c = chronos_open(world.chronos_dir, &ce);

	assert_non_null(c);
	assert_int_equal(chronos_create(c, &all, &p, NULL, &ce), 0);
	trial_run(&t);
	assert_int_equal(t.report->kind_case, CUMULUS__WORKER__REPORT__KIND_REFUSED);
	assert_int_equal(
		t.report->refused->kind, CUMULUS__WORKER__REFUSED_KIND__REFUSED_NO_ROOM);
	assert_int_equal(chronos_release(c, p.id, &ce), 0);
	chronos_close(c);
	trial_fini(&t);
}

/* ---- the machine ---- */

static void the_check_of_a_machine_passes_or_gives_its_reason(void **state)
{
	(void)state;
	CLEANUP(free_ptr) char *runner = str_fmt("%s/bin/cumulus-runner", world.bin);
	CLEANUP(free_ptr) char *closed = str_fmt("%s/closed", world.base);
	CLEANUP(free_ptr) char *nowhere = str_fmt("%s/nowhere", world.base);
	CLEANUP(free_ptr) char *init = str_fmt("%s/bin/cumulus-init", world.bin);
	const struct rootfs_sources no_harness = {
		.init = init, .start = nowhere, .harness = nowhere, .job_lib = nowhere
	};
	struct err e;

	if (rootfs_check(runner, world.root, world.runtime, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(rootfs_check(runner, world.root, "other", &e), -1);
	assert_string_equal(e.text,
		"no container can run here: no OCI runtime: other is not "
		"installed (apt install crun)");
	assert_int_equal(rootfs_check(runner, nowhere, world.runtime, &e), -1);
	assert_true(str_starts(e.text, "no container can run here: container: "));

	assert_int_equal(mkdir(closed, 0700), 0);
	assert_null(rootfs_build(closed, &no_harness, &e));
	assert_contains(e.text, "(mode 0700) cannot be passed by a job's user");
	assert_int_equal(chmod(closed, 0711), 0);
	assert_null(rootfs_build(closed, &no_harness, &e));
	assert_contains(e.text, "nowhere");
}

static void a_root_folder_is_built_once_and_again_when_its_sources_change(void **state)
{
	(void)state;
	CLEANUP(free_ptr) char *init = str_fmt("%s/bin/cumulus-init", world.bin);
	CLEANUP(free_ptr) char *harness = str_fmt("%s/other.py", world.base);
	CLEANUP(free_ptr) char *lib = str_fmt("%s/lib/cumulus/cumulus.py", world.bin);
	CLEANUP(free_ptr) char *start = str_fmt("%s/lib/cumulus/start.py", world.bin);
	const struct rootfs_sources sources = {
		.init = init, .start = start, .harness = harness, .job_lib = lib
	};
	struct err why;
	struct stat first, second;
	CLEANUP(close_fd) int base = open(world.base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_ok(file_write(base, "other.py", "pass", 4, 0644, false, e));
	CLEANUP(free_ptr) char *one = rootfs_build(world.base, &sources, &why);
	assert_non_null(one);
	assert_int_equal(stat(one, &first), 0);
	CLEANUP(free_ptr) char *same = rootfs_build(world.base, &sources, &why);
	assert_string_equal(one, same);
	assert_int_equal(stat(same, &second), 0);
	assert_int_equal(first.st_ino, second.st_ino);
	assert_ok(file_write(base, "other.py", "pass\n", 5, 0644, false, e));
	CLEANUP(free_ptr) char *other = rootfs_build(world.base, &sources, &why);
	assert_string_not_equal(one, other);
	/* A job may stand in it still. */
	assert_int_equal(stat(one, &first), 0);
}

static void a_harness_compiled_by_another_python_is_compiled_anew(void **state)
{
	(void)state;
	CLEANUP(free_ptr) char *init = str_fmt("%s/bin/cumulus-init", world.bin);
	CLEANUP(free_ptr) char *start = str_fmt("%s/lib/cumulus/start.py", world.bin);
	CLEANUP(free_ptr) char *harness = str_fmt("%s/lib/cumulus/harness.py", world.bin);
	CLEANUP(free_ptr) char *lib = str_fmt("%s/lib/cumulus/cumulus.py", world.bin);
	CLEANUP(free_ptr) char *foreign = str_fmt("%s/foreign.pyc", world.base);
	const struct rootfs_sources sources = {
		.init = init,
		.start = start,
		.harness = harness,
		.compiled = foreign,
		.job_lib = lib,
	};
	CLEANUP(close_fd) int base = open(world.base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct trial t = trial_of("def main():\n    return 42\n");
	char *root = world.root;
	struct err why;

	assert_ok(file_write(base, "foreign.pyc", "\1\2\r\nnothing", 11, 0644, false, e));
	world.root = rootfs_build(world.base, &sources, &why);
	assert_non_null(world.root);
	trial_run(&t);
	free(world.root);
	world.root = root;
	assert_reason(&t, R(REASON_NONE), "");
	trial_fini(&t);
}

static int set_up(void **state)
{
	(void)state;
	world_init(&world);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	world_fini(&world);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hello_comes_back_with_output_and_result),
		cmocka_unit_test(an_exception_is_named_with_its_traceback),
		cmocka_unit_test(a_syntax_error_names_the_line),
		cmocka_unit_test(a_missing_main_is_said_so),
		cmocka_unit_test(
			sys_exit_before_main_returns_is_a_failure_whatever_the_status),
		cmocka_unit_test(a_death_by_signal_is_named),
		cmocka_unit_test(the_last_output_explains_a_death_without_traceback),
		cmocka_unit_test(a_result_that_json_cannot_hold_names_its_type),
		cmocka_unit_test(a_result_may_be_as_large_as_its_limit),
		cmocka_unit_test(
			a_job_that_ignores_sigterm_is_killed_when_its_time_is_up),
		cmocka_unit_test(sigterm_reaches_a_job_whose_time_is_up),
		cmocka_unit_test(a_cancelled_job_ends_and_says_that_it_was_asked_to),
		cmocka_unit_test(a_run_cancelled_before_its_start_gets_no_container),
		cmocka_unit_test(a_job_can_see_that_it_is_to_pause),
		cmocka_unit_test(output_past_its_limit_is_counted),
		cmocka_unit_test(bytes_that_are_no_text_are_kept_as_they_are),
		cmocka_unit_test(progress_is_what_was_said_last),
		cmocka_unit_test(a_memory_hog_is_out_of_memory),
		cmocka_unit_test(a_childs_death_by_memory_is_not_the_jobs),
		cmocka_unit_test(a_fork_bomb_stays_within_its_limit),
		cmocka_unit_test(orphans_do_not_outlive_the_job),
		cmocka_unit_test(
			a_forked_child_that_comes_back_does_not_speak_for_the_job),
		cmocka_unit_test(a_job_that_fills_the_disk_is_ended),
		cmocka_unit_test(one_file_cannot_pass_the_disk_limit),
		cmocka_unit_test(a_tree_deeper_than_any_path_is_taken_away),
		cmocka_unit_test(a_job_sees_its_world_and_no_more),
		cmocka_unit_test(
			a_job_can_use_processes_threads_and_the_standard_library),
		cmocka_unit_test(a_job_finds_what_the_hosts_python_has),
		cmocka_unit_test(a_plain_job_imports_nothing_dear),
		cmocka_unit_test(a_hostile_package_is_refused_naming_the_entry),
		cmocka_unit_test(a_zip_bomb_is_refused),
		cmocka_unit_test(a_damaged_entry_is_refused),
		cmocka_unit_test(what_is_no_zip_is_refused),
		cmocka_unit_test(folders_and_modes_of_a_package_are_kept),
		cmocka_unit_test(a_second_runner_leaves_without_a_trace),
		cmocka_unit_test(a_full_device_refuses_the_run),
		cmocka_unit_test(the_check_of_a_machine_passes_or_gives_its_reason),
		cmocka_unit_test(
			a_root_folder_is_built_once_and_again_when_its_sources_change),
		cmocka_unit_test(a_harness_compiled_by_another_python_is_compiled_anew),
	};

	if (geteuid() != 0) {
		printf("skipped: containers are made by root\n");
		return 0;
	}
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
