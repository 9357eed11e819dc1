/* fuzz_settings.c - any bytes as a configuration file: read, or refused with file and line. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "file.h"
#include "settings.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

struct options {
	char *text;
	int64_t number, bytes, duration;
	bool yes;
};

static const struct setting table[] = {
	{ "text", SETTING_TEXT, offsetof(struct options, text), "x", 0, 0, "T",
		"a text" },
	{ "number", SETTING_INT, offsetof(struct options, number), "1", 1, 9, "N",
		"one" },
	{ "bytes", SETTING_BYTES, offsetof(struct options, bytes), "1M", 0, 0, "B",
		"some" },
	{ "duration", SETTING_DURATION, offsetof(struct options, duration), "1m", 0, 0,
		"D", "a while" },
	{ "yes", SETTING_BOOL, offsetof(struct options, yes), "no", 0, 0, NULL, "or no" },
	{ 0 },
};

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct options o = { 0 };
	enum settings_ask ask;
	struct err e = { 0 };
	char path[64];
	int fd = memfd_create("config", MFD_CLOEXEC);

	if (fd < 0 || write_all(fd, bytes, len) < 0)
		abort();
	/* Not through /proc's link, which O_NOFOLLOW would refuse. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);

	char program[] = "fuzz", flag[] = "--config";
	char *argv[] = { program, flag, path, NULL };

	if (settings_load(table, 3, argv, &o, &ask, &e) < 0) {
		if (!*e.text)
			abort();
	} else {
		if (o.number < 1 || o.number > 9 || !o.text)
			abort();
		settings_fini(table, &o);
	}
	close(fd);
	return 0;
}
