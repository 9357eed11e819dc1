/* test_chronos_shared.c - libchronos.so gives strangers its interface, and nothing more. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* What chronos.h declares. */
static const char *const functions[] = { "chronos_arbiter_close", "chronos_arbiter_fd",
	"chronos_arbiter_open", "chronos_arbiter_partitions", "chronos_arbiter_serve",
	"chronos_arbiter_serves", "chronos_attach", "chronos_available", "chronos_charge",
	"chronos_close", "chronos_code_name", "chronos_create", "chronos_detach",
	"chronos_devices", "chronos_devices_discover", "chronos_devices_parse",
	"chronos_devices_register", "chronos_enforcement", "chronos_find",
	"chronos_hundredths", "chronos_kind_name", "chronos_launch",
	"chronos_launch_done", "chronos_launch_took", "chronos_list", "chronos_open",
	"chronos_partitions_free", "chronos_prepare", "chronos_quota", "chronos_release",
	"chronos_renew", "chronos_settle", "chronos_share_bytes", "chronos_share_parse",
	"chronos_stats", "chronos_uncharge", "chronos_usage", "chronos_used",
	"chronos_version" };

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_in_the_header_is_there),
		cmocka_unit_test(the_header_declares_nothing_else),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
