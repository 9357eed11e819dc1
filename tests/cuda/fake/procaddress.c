/* procaddress.c - cuGetProcAddress, by the driver's rules. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "fake.h"

#include "symbols.h"

#include <dlfcn.h>

enum { NAMES_MAX = 1024 };

struct version {
	void *function;
	const char *exported;
	const char *base;
	int since;
	int zero; /* which stream 0: ANY, LEGACY or THREAD */
};

enum { ANY, LEGACY, THREAD };

static char of_the_future[1];

static const struct version versions[] = {
#define ROW(exported, base, since, zero)                                                 \
	{ (void *)exported, #exported, #base, since, zero },
	COVERED_CUDA_SYMBOLS(ROW)
#undef ROW
	/* An ABI that only a driver of later times has. */
	{ of_the_future, "cuMemAlloc_v3", "cuMemAlloc", FAKE_FUTURE_VERSION, ANY },
};

/* Addresses for what the fake does not have: each name has one, which is not to be called. */
static char unknown[NAMES_MAX];
static char *unknown_names[NAMES_MAX];

static void *unknown_address(const char *name)
{
	unsigned i = 0;

	pthread_mutex_lock(&lock);
	while (i < NAMES_MAX && unknown_names[i] && strcmp(unknown_names[i], name) != 0)
		i++;
	if (i < NAMES_MAX && !unknown_names[i])
		unknown_names[i] = strdup(name);
	pthread_mutex_unlock(&lock);
	return i < NAMES_MAX ? &unknown[i] : NULL;
}

static void log_request(const char *name, int version, cuuint64_t flags)
{
	const char *path = getenv("FAKE_CUDA_LOG");
	FILE *f = path ? fopen(path, "ae") : NULL;

	if (!f)
		return;
	fprintf(f, "%s %d %llu\n", name, version, (unsigned long long)flags);
	fclose(f);
}

/* The driver's rule; NULL where all ABIs of the name are newer than `version`. */
static const struct version *newest(const char *name, int version, cuuint64_t flags)
{
	const struct version *best = NULL;

	for (size_t i = 0; i < sizeof versions / sizeof *versions; i++) {
		const struct version *v = &versions[i];
		bool fits = v->zero == ANY || (v->zero == THREAD) == ((flags & 2) != 0);
		if (strcmp(v->base, name) == 0 && fits && v->since <= version &&
			(!best || v->since >= best->since))
			best = v;
	}
	return best;
}

static const struct version *by_export(const char *name)
{
	for (size_t i = 0; i < sizeof versions / sizeof *versions; i++) {
		if (strcmp(versions[i].exported, name) == 0)
			return &versions[i];
	}
	return NULL;
}

static bool is_known(const char *name)
{
	for (size_t i = 0; i < sizeof versions / sizeof *versions; i++) {
		if (strcmp(versions[i].base, name) == 0)
			return true;
	}
	return false;
}

static CUresult get_address(const char *name, void **pfn, int version, cuuint64_t flags,
	CUdriverProcAddressQueryResult *status)
{
	static void *self;

	*status = CU_GET_PROC_ADDRESS_SUCCESS;
	log_request(name, version, flags);
	if (!*name)
		return CUDA_ERROR_NOT_FOUND;
	if (!self)
		self = dlopen("libcuda.so.1", RTLD_NOLOAD | RTLD_LAZY);
	const struct version *v = newest(name, version, flags);
	if (!v && !is_known(name))
		v = by_export(name);
	if (v) {
		*pfn = v->function;
	} else if (is_known(name)) {
		*pfn = NULL;
		*status = CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT;
	} else {
		*pfn = dlsym(self, name);
		if (!*pfn)
			*pfn = unknown_address(name);
	}
	return *pfn ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
}

CUresult cuGetProcAddress_v2(const char *symbol, void **pfn, int version,
	cuuint64_t flags, CUdriverProcAddressQueryResult *status)
{
	CUdriverProcAddressQueryResult ignored;

	return get_address(symbol, pfn, version, flags, status ? status : &ignored);
}

/* The same, by a name that nobody stands in front of. */
CUresult fake_get_proc_address(const char *symbol, void **pfn, int version,
	cuuint64_t flags, CUdriverProcAddressQueryResult *status)
{
	return cuGetProcAddress_v2(symbol, pfn, version, flags, status);
}

CUresult cuGetProcAddress(const char *symbol, void **pfn, int version, cuuint64_t flags)
{
	CUdriverProcAddressQueryResult ignored;

	return get_address(symbol, pfn, version, flags, &ignored);
}

CUresult cuGetExportTable(const void **table, const CUuuid *id)
{
	(void)id;
	*table = NULL;
	return CUDA_ERROR_NOT_FOUND;
}
