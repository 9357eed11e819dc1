/* test_chronos_shared.c - libchronos.so gives strangers its interface, and nothing more. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "chronos.h"

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* What chronos.h declares. */
static const char *const functions[] = { "chronos_arbiter_close", "chronos_arbiter_fd",
	"chronos_arbiter_open", "chronos_arbiter_partitions", "chronos_arbiter_serve",
	"chronos_arbiter_serves", "chronos_attach", "chronos_available", "chronos_charge",
	"chronos_close", "chronos_code_name", "chronos_create", "chronos_detach",
	"chronos_devices", "chronos_devices_discover", "chronos_devices_parse",
	"chronos_devices_register", "chronos_enforcement", "chronos_find",
	"chronos_has_ended", "chronos_hundredths", "chronos_kind_name", "chronos_launch",
	"chronos_launch_done", "chronos_launch_took", "chronos_list", "chronos_note_dmem",
	"chronos_open", "chronos_partitions_free", "chronos_prepare", "chronos_quota",
	"chronos_release", "chronos_renew", "chronos_settle", "chronos_share_bytes",
	"chronos_share_parse", "chronos_stats", "chronos_uncharge", "chronos_usage",
	"chronos_used", "chronos_version" };

enum { FUNCTIONS = sizeof functions / sizeof *functions };

static void everything_in_the_header_is_there(void **state)
{
	(void)state;
	void *library = dlopen(CHRONOS_SO, RTLD_NOW | RTLD_LOCAL);

	if (!library)
		fail_msg("%s", dlerror());
	for (int i = 0; i < FUNCTIONS; i++) {
		if (!dlsym(library, functions[i]))
			fail_msg("%s is missing", functions[i]);
	}
	assert_null(dlsym(library, "chronos_state_lock"));
	assert_null(dlsym(library, "chronos_fail"));
	dlclose(library);
}

/* Text of the header: what it marks as its interface is in the list above. */
static void the_header_declares_nothing_else(void **state)
{
	(void)state;
	FILE *f = fopen("chronos/chronos.h", "r");
	char line[256];
	int marked = 0;

	assert_non_null(f);
	while (fgets(line, sizeof line, f))
		marked += strncmp(line, "CHRONOS_API ", 12) == 0;
	fclose(f);
	assert_int_equal(marked, FUNCTIONS);
}

static void nothing_to_drain(void *arg)
{
	(void)arg;
}

static void remove_flat(const char *dir)
{
	DIR *d = opendir(dir);

	assert_non_null(d);
	for (struct dirent *f; (f = readdir(d));)
		(void)unlinkat(dirfd(d), f->d_name, 0);
	closedir(d);
	assert_int_equal(rmdir(dir), 0);
}

#define GET(library, name) __typeof__(&(name)) p_##name = dlsym(library, #name)

static char *join_and_leave(void *library, const char *dir, struct chronos_error *e)
{
	GET(library, chronos_open);
	GET(library, chronos_close);
	GET(library, chronos_devices_register);
	GET(library, chronos_create);
	GET(library, chronos_attach);
	GET(library, chronos_launch);
	GET(library, chronos_launch_done);
	GET(library, chronos_detach);
	GET(library, chronos_release);
	const struct chronos_device device = {
		.kind = CHRONOS_KIND_SIMULATED, .uuid = "sim-0", .memory_bytes = 1 << 20
	};
	const char *name = "0";
	const struct chronos_request r = { .devices = &name,
		.device_count = 1,
		.hundredths = 50,
		.duration_ns = UINT64_C(60000000000),
		.owner = CHRONOS_OWNER_CALLER };
	struct chronos_partition p;
	struct chronos *c = p_chronos_open(dir, e);

	if (!c || p_chronos_devices_register(c, &device, 1, e) < 0 ||
		p_chronos_create(c, &r, &p, NULL, e) < 0)
		return e->text;
	const struct chronos_joining j = {
		.dir = dir, .name = p.id, .drain = nothing_to_drain
	};
	struct chronos_attachment *a = p_chronos_attach(&j, e);
	if (!a || p_chronos_launch(a, e) < 0)
		return e->text;
	p_chronos_launch_done(a, 1);
	p_chronos_detach(a);
	if (p_chronos_release(c, p.id, e) < 0)
		return e->text;
	p_chronos_close(c);
	return NULL;
}

/* NULL, or what failed. */
static void *use_it(void *dir)
{
	static struct chronos_error e;
	void *library = dlopen(CHRONOS_SO, RTLD_NOW | RTLD_LOCAL);

	if (!library)
		return dlerror();
	char *failed = join_and_leave(library, dir, &e);
	if (dlclose(library) != 0)
		return dlerror();
	return failed;
}

/* A plugin may bring it when the program has threads and state of its own; and take it
 * away again, with all that it had open. */
static void a_thread_may_load_it_late_and_unload_it(void **state)
{
	(void)state;
	char dir[] = "/tmp/test_chronos.XXXXXX";
	pthread_t thread;
	void *failed;

	assert_non_null(mkdtemp(dir));
	int first = open("/dev/null", O_RDONLY | O_CLOEXEC);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(pthread_create(&thread, NULL, use_it, dir), 0);
		assert_int_equal(pthread_join(thread, &failed), 0);
		if (failed)
			fail_msg("%s", (char *)failed);
		/* A child of a program that had it is no worse off. */
		pid_t pid = fork();
		if (pid == 0)
			_exit(use_it(dir) ? 1 : 0);
		int status;
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
	}
	int last = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(last, first + 1);
	close(first);
	close(last);
	remove_flat(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_in_the_header_is_there),
		cmocka_unit_test(the_header_declares_nothing_else),
		cmocka_unit_test(a_thread_may_load_it_late_and_unload_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
