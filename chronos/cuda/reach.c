/* reach.c - the ways by which a program gets at the driver's functions, and gets ours. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program is linked with libcuda and finds ours first, or asks dlsym, dlvsym or
 * cuGetProcAddress, and is given ours in place of what the driver would have given.  What
 * is not in the table, or is not the driver's, is left alone, and in a process that no
 * partition holds nothing is replaced.  dlsym answers by who calls it, so calls that do
 * not concern us are handed on by a jump: the real one sees the program as its caller.
 *
 * The library is loaded into every process of a job, the shell too: until a function of
 * the driver is asked for it loads nothing, starts nothing and holds nothing.
 */
#include "reach.h"

#include "next_symbol.h"
#include "partition.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define HIDDEN_FUNCTION __attribute__((visibility("hidden"), used))

enum stream_zero { ANY, LEGACY, THREAD };

struct symbol_info {
	const char *exported;
	const char *base; /* NULL: it is used, and has no hook */
	void *hook;
	int since;
	enum stream_zero zero;
};

static const struct symbol_info symbols[SYMBOL_COUNT] = {
#define ROW(exported, base, since, zero)                                                 \
	[SYMBOL_##exported] = { #exported, #base, (void *)exported, since, zero },
	COVERED_SYMBOLS(ROW)
#undef ROW
#define ROW(exported) [SYMBOL_##exported] = { #exported, NULL, NULL, 0, ANY },
		USED_SYMBOLS(ROW)
#undef ROW
};

static CUresult missing(void)
{
	return CUDA_ERROR_NOT_FOUND;
}

/* ---- the C library's dlsym and dlvsym, and our stand-ins ---- */

HIDDEN_FUNCTION void *(*chronos_real_dlsym)(void *handle, const char *name);
HIDDEN_FUNCTION void *(*chronos_real_dlvsym)(
	void *handle, const char *name, const char *version);

/* Comes back in two registers. */
struct answer {
	void *address;
	long decided; /* 0: the real one answers */
};

HIDDEN_FUNCTION struct answer chronos_replace_dlsym(void *handle, const char *name);
HIDDEN_FUNCTION struct answer chronos_replace_dlvsym(void *handle, const char *name);

/* Ask what stands in for it; where that is left to the real one, jump there, with the
 * caller's registers and return address. */
#if defined(__x86_64__)
#define STAND_IN(function)                                                               \
	__asm__(".pushsection .text\n"                                                   \
		".type chronos_" #function ", @function\n"                               \
		"chronos_" #function ":\n"                                               \
		"	endbr64\n"                                                             \
		"	pushq %rdi\n"                                                          \
		"	pushq %rsi\n"                                                          \
		"	pushq %rdx\n"                                                          \
		"	call chronos_replace_" #function "\n"                            \
		"	movq %rdx, %rcx\n"                                                     \
		"	popq %rdx\n"                                                           \
		"	popq %rsi\n"                                                           \
		"	popq %rdi\n"                                                           \
		"	testq %rcx, %rcx\n"                                                    \
		"	jnz 1f\n"                                                              \
		"	jmp *chronos_real_" #function "(%rip)\n"                         \
		"1:	ret\n"                                                               \
		".size chronos_" #function ", .-chronos_" #function "\n"                 \
		".popsection\n")
#define FIRST_VERSION "GLIBC_2.2.5"
#elif defined(__aarch64__)
#define STAND_IN(function)                                                               \
	__asm__(".pushsection .text\n"                                                   \
		".type chronos_" #function ", %function\n"                               \
		"chronos_" #function ":\n"                                               \
		"	bti c\n"                                                               \
		"	stp x29, x30, [sp, #-48]!\n"                                           \
		"	stp x0, x1, [sp, #16]\n"                                               \
		"	str x2, [sp, #32]\n"                                                   \
		"	bl chronos_replace_" #function "\n"                              \
		"	mov x16, x0\n"                                                         \
		"	mov x17, x1\n"                                                         \
		"	ldr x2, [sp, #32]\n"                                                   \
		"	ldp x0, x1, [sp, #16]\n"                                               \
		"	ldp x29, x30, [sp], #48\n"                                             \
		"	cbnz x17, 1f\n"                                                        \
		"	adrp x16, chronos_real_" #function "\n"                          \
		"	ldr x16, [x16, :lo12:chronos_real_" #function "]\n"              \
		"	br x16\n"                                                              \
		"1:	mov x0, x16\n"                                                       \
		"	ret\n"                                                                 \
		".size chronos_" #function ", .-chronos_" #function "\n"                 \
		".popsection\n")
#define FIRST_VERSION "GLIBC_2.17"
#else
#error "the jump to the real dlsym is not written for this processor"
#endif

STAND_IN(dlsym);
STAND_IN(dlvsym);

/* Programs ask for either version of the C library's. */
__asm__(".globl chronos_dlsym, chronos_dlvsym\n"
	".globl chronos_dlsym_first, chronos_dlvsym_first\n"
	".hidden chronos_our_dlsym, chronos_our_dlvsym\n"
	".globl chronos_our_dlsym, chronos_our_dlvsym\n"
	".set chronos_our_dlsym, chronos_dlsym\n"
	".set chronos_our_dlvsym, chronos_dlvsym\n"
	".set chronos_dlsym_first, chronos_dlsym\n"
	".set chronos_dlvsym_first, chronos_dlvsym\n"
	".symver chronos_dlsym, dlsym@@GLIBC_2.34\n"
	".symver chronos_dlvsym, dlvsym@@GLIBC_2.34\n"
	".symver chronos_dlsym_first, dlsym@" FIRST_VERSION "\n"
	".symver chronos_dlvsym_first, dlvsym@" FIRST_VERSION "\n");

HIDDEN_FUNCTION void chronos_our_dlsym(void);
HIDDEN_FUNCTION void chronos_our_dlvsym(void);

/* Before the first jump.  Two threads find the same.  Where the program has a second copy
 * of this library, the first passes it over: it would charge once more. */
static void find_real(void)
{
	if (__atomic_load_n(&chronos_real_dlsym, __ATOMIC_ACQUIRE))
		return;
	void *versioned = next_symbol("dlvsym", "chronos_cuda_layer");
	void *plain = next_symbol("dlsym", "chronos_cuda_layer");
	__atomic_store_n((void **)&chronos_real_dlvsym, versioned, __ATOMIC_RELEASE);
	__atomic_store_n((void **)&chronos_real_dlsym, plain, __ATOMIC_RELEASE);
}

/* ---- the driver ---- */

void *driver_found[SYMBOL_COUNT];

static bool is_nvml(const char *name)
{
	return name[0] == 'n' && name[1] == 'v' && name[2] == 'm' && name[3] == 'l';
}

/* NULL where it is not loaded, and `load` is false, or not there. */
static void *library_of(const char *name, bool load)
{
	const char *file = is_nvml(name) ? "libnvidia-ml.so.1" : "libcuda.so.1";

	return dlopen(file, RTLD_LAZY | RTLD_LOCAL | (load ? 0 : RTLD_NOLOAD));
}

/* In the driver, NULL where it is not loaded or has none. */
static void *find_in_driver(enum symbol s, bool load)
{
	void *found = __atomic_load_n(&driver_found[s], __ATOMIC_ACQUIRE);

	if (found)
		return found;
	find_real();
	/* Once held it stays: what we found points into it. */
	void *library = library_of(symbols[s].exported, load);
	found = library ? chronos_real_dlsym(library, symbols[s].exported) : NULL;
	if (found)
		__atomic_store_n(&driver_found[s], found, __ATOMIC_RELEASE);
	return found;
}

void *driver_find(enum symbol s)
{
	void *found = find_in_driver(s, true);

	return found ? found : (void *)missing;
}

int driver_has(enum symbol s)
{
	return find_in_driver(s, true) != NULL;
}

/* ---- what a program is given ---- */

static enum symbol covered_by_name(const char *name)
{
	for (enum symbol s = 0; s < SYMBOL_COUNT; s++) {
		if (symbols[s].base && strcmp(symbols[s].exported, name) == 0)
			return s;
	}
	return SYMBOL_COUNT;
}

__attribute__((visibility("default"))) const char *chronos_cuda_layer(void)
{
	return CUMULUS_VERSION;
}

static bool may_concern_us(const char *name)
{
	return (name[0] == 'c' && name[1] == 'u') || is_nvml(name);
}

/* A sanitizer has its own strcmp, which cannot be called while it asks for names. */
static bool is_same(const char *a, const char *b)
{
	for (; *a && *a == *b; a++)
		b++;
	return *a == *b;
}

static const struct answer undecided = { NULL, 0 };

static struct answer decide(void *address)
{
	return (struct answer){ address, 1 };
}

/* Our own exported name is no reason to believe that there is a driver. */
static struct answer without_driver(void *handle, const char *name, enum symbol s)
{
	if (chronos_real_dlsym(handle, name) != symbols[s].hook)
		return undecided;
	/* Not found, and dlerror() says so. */
	return decide(chronos_real_dlsym(RTLD_NEXT, name));
}

/* The C library's own, asked for by name, would hand out the driver. */
static struct answer stand_in_for_itself(void *handle, const char *name)
{
	if (!partition_is_set())
		return undecided;
	void *found = chronos_real_dlsym(handle, name);
	if (found && found == (void *)chronos_real_dlsym)
		return decide((void *)chronos_our_dlsym);
	if (found && found == (void *)chronos_real_dlvsym)
		return decide((void *)chronos_our_dlvsym);
	return undecided;
}

/* A second copy of the driver, which knows nothing of the first and is not held. */
static bool is_elsewhere(void *handle)
{
	Lmid_t space;

	return handle != RTLD_DEFAULT && handle != RTLD_NEXT &&
	       dlinfo(handle, RTLD_DI_LMID, &space) == 0 && space != LM_ID_BASE;
}

static struct answer refuse_elsewhere(void *handle)
{
	/* Not found, and dlerror() says this. */
	return decide(chronos_real_dlsym(
		handle, "(chronos refuses a second copy of the driver)"));
}

static struct answer stand_in(void *handle, const char *name)
{
	if (!name)
		return undecided;
	if (is_same(name, "dlsym") || is_same(name, "dlvsym"))
		return stand_in_for_itself(handle, name);
	if (!may_concern_us(name))
		return undecided;
	enum symbol s = covered_by_name(name);
	if (s == SYMBOL_COUNT)
		return undecided;
	if (partition_is_set() && is_elsewhere(handle))
		return refuse_elsewhere(handle);
	if (!library_of(name, false))
		return without_driver(handle, name, s);
	if (!partition_is_set())
		return undecided;
	/* Whoever asks for what comes after us: the driver comes after us. */
	if (handle == RTLD_NEXT)
		return find_in_driver(s, false) ? decide(symbols[s].hook) : undecided;
	void *found = chronos_real_dlsym(handle, name);
	return found && found == find_in_driver(s, false) ? decide(symbols[s].hook)
							  : undecided;
}

struct answer chronos_replace_dlsym(void *handle, const char *name)
{
	find_real();
	return stand_in(handle, name);
}

struct answer chronos_replace_dlvsym(void *handle, const char *name)
{
	find_real();
	return stand_in(handle, name);
}

/* ---- cuGetProcAddress ---- */

static bool fits_flags(enum symbol s, cuuint64_t flags)
{
	bool thread = flags & CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM;

	return symbols[s].zero == ANY || thread == (symbols[s].zero == THREAD);
}

/* By the driver's rule: the newest that is not newer than `version`; but what is given
 * counts, where it can be recognised. */
static enum symbol covered_by_request(
	const char *base, const void *given, int version, cuuint64_t flags)
{
	enum symbol best = SYMBOL_COUNT, same = SYMBOL_COUNT;

	for (enum symbol s = 0; s < SYMBOL_COUNT; s++) {
		const struct symbol_info *i = &symbols[s];
		if (!i->base || strcmp(i->base, base) != 0 || !fits_flags(s, flags))
			continue;
		if (find_in_driver(s, false) == given &&
			(same == SYMBOL_COUNT || i->since <= version))
			same = s;
		if (i->since <= version &&
			(best == SYMBOL_COUNT || i->since >= symbols[best].since))
			best = s;
	}
	return same < SYMBOL_COUNT ? same : best;
}

/* An ABI that came after this library: its hook would be of another one. */
static bool is_unknown_abi(const char *name, const void *given, cuuint64_t flags)
{
	CUdriverProcAddressQueryResult status;
	void *known = NULL;

	return REAL(cuGetProcAddress_v2)(name, &known, KNOWN_CUDA_VERSION, flags,
		       &status) != CUDA_SUCCESS ||
	       known != given;
}

static void tell_unknown_abi(const char *name, int version)
{
	static bool told;

	if (!__atomic_exchange_n(&told, true, __ATOMIC_RELAXED))
		fprintf(stderr,
			"chronos: %s of CUDA %d.%d is newer than this version of Chronos, "
			"which refuses it\n",
			name, version / 1000, version % 1000 / 10);
}

/* NULL: it is refused. */
static void *given_instead(const char *name, void *given, int version, cuuint64_t flags)
{
	if (!partition_is_set())
		return given;
	enum symbol s = covered_by_request(name, given, version, flags);
	if (s == SYMBOL_COUNT)
		s = covered_by_name(name);
	if (s == SYMBOL_COUNT)
		return given;
	if (version > KNOWN_CUDA_VERSION && is_unknown_abi(name, given, flags)) {
		tell_unknown_abi(name, version);
		return NULL;
	}
	/* A driver may give what it does not export. */
	if (!find_in_driver(s, false))
		__atomic_store_n(&driver_found[s], given, __ATOMIC_RELEASE);
	return symbols[s].hook;
}

/* The driver answered `rc`. */
static CUresult replace_given(const char *symbol, void **pfn, int version,
	cuuint64_t flags, CUresult rc, CUdriverProcAddressQueryResult *status)
{
	if (rc != CUDA_SUCCESS || !symbol || !pfn || !*pfn)
		return rc;
	*pfn = given_instead(symbol, *pfn, version, flags);
	if (*pfn)
		return CUDA_SUCCESS;
	if (status)
		*status = CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
	return CUDA_ERROR_NOT_FOUND;
}

CUresult cuGetProcAddress(const char *symbol, void **pfn, int version, cuuint64_t flags)
{
	CUresult rc = REAL(cuGetProcAddress)(symbol, pfn, version, flags);

	return replace_given(symbol, pfn, version, flags, rc, NULL);
}

CUresult cuGetProcAddress_v2(const char *symbol, void **pfn, int version,
	cuuint64_t flags, CUdriverProcAddressQueryResult *status)
{
	CUresult rc = REAL(cuGetProcAddress_v2)(symbol, pfn, version, flags, status);

	return replace_given(symbol, pfn, version, flags, rc, status);
}
