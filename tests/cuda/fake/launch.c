/* launch.c - kernels are intervals on their device's timeline. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "fake.h"

static void run_on_timeline(struct CUstream_st *s, uint64_t length_ns)
{
	uint64_t now = now_ns(), *free_at = &state->free_at_ns[visible[s->device]], end;
	uint64_t seen = __atomic_load_n(free_at, __ATOMIC_SEQ_CST);

	do {
		end = (seen > now ? seen : now) + length_ns;
	} while (!__atomic_compare_exchange_n(
		free_at, &seen, end, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
	__atomic_fetch_add(&me->ran_ns[visible[s->device]], length_ns, __ATOMIC_SEQ_CST);
	__atomic_fetch_add(&me->launches, 1, __ATOMIC_SEQ_CST);
	__atomic_store_n(&s->end_ns, end, __ATOMIC_RELEASE);
}

CUresult run_on(CUstream stream, uint64_t us)
{
	struct CUstream_st *s;
	CUresult rc = resolve(stream, &s);

	if (rc != CUDA_SUCCESS)
		return rc;
	if (s->capture) {
		s->capture->kernel_ns += us * 1000;
		return s->invalid ? CUDA_ERROR_STREAM_CAPTURE_INVALIDATED : CUDA_SUCCESS;
	}
	run_on_timeline(s, us * 1000);
	return CUDA_SUCCESS;
}

#define KERNEL_PARAMETERS                                                                \
	(CUfunction f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,  \
		unsigned bz, unsigned shared, CUstream on, void **params, void **extra)
#define COOPERATIVE_PARAMETERS                                                           \
	(CUfunction f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,  \
		unsigned bz, unsigned shared, CUstream on, void **params)

BOTH(cuLaunchKernel, cuLaunchKernel_ptsz, KERNEL_PARAMETERS, on, {
	(void)f, (void)gy, (void)gz, (void)bx, (void)by, (void)bz, (void)shared;
	(void)params, (void)extra;
	return run_on(stream, gx);
})
BOTH(cuLaunchCooperativeKernel, cuLaunchCooperativeKernel_ptsz, COOPERATIVE_PARAMETERS,
	on, {
		(void)f, (void)gy, (void)gz, (void)bx, (void)by, (void)bz, (void)shared;
		(void)params;
		return run_on(stream, gx);
	})
BOTH(cuLaunchKernelEx, cuLaunchKernelEx_ptsz,
	(const CUlaunchConfig *config, CUfunction f, void **params, void **extra),
	config->hStream, {
		(void)f, (void)params, (void)extra;
		return run_on(stream, config->gridDimX);
	})

CUresult cuLaunchCooperativeKernelMultiDevice(
	CUDA_LAUNCH_PARAMS *list, unsigned count, unsigned flags)
{
	(void)flags;
	MAY_FAIL();
	for (unsigned i = 0; i < count; i++) {
		CUresult rc = run_on(list[i].hStream, list[i].gridDimX);
		if (rc != CUDA_SUCCESS)
			return rc;
	}
	return CUDA_SUCCESS;
}

CUresult cuLaunch(CUfunction f)
{
	(void)f;
	MAY_FAIL();
	return run_on(CU_STREAM_LEGACY, 1);
}

CUresult cuLaunchGrid(CUfunction f, int width, int height)
{
	(void)f, (void)height;
	MAY_FAIL();
	return run_on(CU_STREAM_LEGACY, (uint64_t)width);
}

CUresult cuLaunchGridAsync(CUfunction f, int width, int height, CUstream on)
{
	(void)f, (void)height;
	MAY_FAIL();
	return run_on((on ? on : CU_STREAM_LEGACY), (uint64_t)width);
}
