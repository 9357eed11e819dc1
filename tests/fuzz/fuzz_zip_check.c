/* fuzz_zip_check.c - any bytes as a package: refused, or sound enough to be read on. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "package.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct buf text = { 0 };
	struct err e = { 0 };

	if (package_check(bytes, len, &package_defaults, &e) < 0) {
		/* A refusal says what is wrong. */
		if (e.code != ERR_INVALID || !*e.text)
			abort();
		return 0;
	}
	if (package_requirements(bytes, len, 4096, &text, &e) == 0 && text.len > 4096)
		abort();
	buf_fini(&text);
	return 0;
}
