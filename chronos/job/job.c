/* job.c - in a job, what names its partition cannot be changed by its environment. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loader puts this library into every program of a job, by the job's own
 * /etc/ld.so.preload.  The ICD loader asks getenv() for the layers to load, and the layers
 * ask it for the partition: for those few names the answer is taken from a file that the
 * job cannot write, whatever the program did to its environment.
 *
 * Thread: any.  Takes no memory and opens nothing until one of the names is asked for.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#define FIXED_FILE "/run/chronos/environment" /* lines of NAME=value */
#define FIXED_MAX  8192

static const char *const fixed_names[] = { "CHRONOS_DEVICE", "CHRONOS_DEVICE_UUID",
	"CHRONOS_DIR", "CHRONOS_PARTITION", "OPENCL_LAYERS" };

static char fixed[FIXED_MAX + 1];
static pthread_once_t read_once = PTHREAD_ONCE_INIT;
static char *(*next_getenv)(const char *name);

extern char **environ;

static void find_next(void) __attribute__((constructor));

static void find_next(void)
{
	void *next = dlsym(RTLD_NEXT, "getenv");

	memcpy(&next_getenv, &next, sizeof(next));
}

/* Each line becomes a string of its own. */
static void read_fixed(void)
{
	int fd = open(FIXED_FILE, O_RDONLY | O_CLOEXEC);
	size_t len = 0;

	for (ssize_t n; fd >= 0 && len < FIXED_MAX; len += (size_t)n) {
		n = read(fd, fixed + len, FIXED_MAX - len);
		if (n <= 0)
			break;
	}
	if (fd >= 0)
		close(fd);
	for (size_t i = 0; i < len; i++)
		if (fixed[i] == '\n')
			fixed[i] = '\0';
}

static char *after_name(char *line, const char *name)
{
	size_t n = strlen(name);

	return strncmp(line, name, n) == 0 && line[n] == '=' ? line + n + 1 : NULL;
}

static char *find_fixed(const char *name)
{
	pthread_once(&read_once, read_fixed);
	for (char *line = fixed; *line; line += strlen(line) + 1) {
		char *value = after_name(line, name);

		if (value)
			return value;
	}
	return NULL;
}

static int is_fixed(const char *name)
{
	for (size_t i = 0; i < sizeof(fixed_names) / sizeof(*fixed_names); i++)
		if (strcmp(name, fixed_names[i]) == 0)
			return 1;
	return 0;
}

/* Before the constructors have run, a library's own may ask. */
static char *find_in_environ(const char *name)
{
	for (char **at = environ; at && *at; at++) {
		char *value = after_name(*at, name);

		if (value)
			return value;
	}
	return NULL;
}

__attribute__((visibility("default"))) char *getenv(const char *name)
{
	char *value = is_fixed(name) ? find_fixed(name) : NULL;

	if (value)
		return value;
	return next_getenv ? next_getenv(name) : find_in_environ(name);
}

__attribute__((visibility("default"))) char *secure_getenv(const char *name)
{
	return getauxval(AT_SECURE) ? NULL : getenv(name);
}
