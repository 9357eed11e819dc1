/* test_requirement.c - requirement lines are judged cautiously against installed versions. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "requirement.h"

static const char *version_of(void *ctx, const char *name)
{
	(void)ctx;
	if (strcmp(name, "numpy") == 0)
		return "1.24.2";
	if (strcmp(name, "foo-bar-baz") == 0)
		return "2";
	if (strcmp(name, "pre") == 0)
		return "1.0rc1";
	return NULL;
}

static void what_is_there_satisfies(void **state)
{
	(void)state;
	static const char *const good[] = { "numpy", "NumPy", "numpy>=1.20",
		"numpy >= 1.20, < 2", "numpy==1.24.*", "numpy==1.24.2",
		"numpy == 1.24.2.0", "numpy!=1.24.1", "numpy~=1.20", "numpy~=1.24.1",
		"numpy>1.9", "Foo_bar.-Baz", "foo.bar.baz==2.0", " numpy ", "pre" };

	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		assert_true(requirement_satisfied(good[i], version_of, NULL));
}

static void what_is_not_there_or_not_sure_does_not(void **state)
{
	(void)state;
	static const char *const bad[] = { "torch", "numpy>=2", "numpy<1.24.2",
		"numpy==1.25.*", "numpy!=1.24.*", "numpy~=2.0", "numpy~=1",
		"numpy===1.24.2", "numpy>=1.24.2rc1", "numpy[extra]",
		"numpy; python_version>'3'", "numpy>=", "numpy>=1.", "pre>=0.9",
		"numpy>1.*", "", "numpy (>=1.0)" };

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_false(requirement_satisfied(bad[i], version_of, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_there_satisfies),
		cmocka_unit_test(what_is_not_there_or_not_sure_does_not),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
