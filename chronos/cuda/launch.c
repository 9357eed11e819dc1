/* launch.c - hooks: what makes the device work. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "graphs.h"
#include "partition.h"
#include "reach.h"
#include "streams.h"

/* `call`, when it is the stream's device's turn. */
#define LAUNCH(stream, call)                                                             \
	do {                                                                             \
		struct launch l;                                                         \
		CUresult rc = launch_begin(&l, stream);                                  \
		return rc == CUDA_SUCCESS ? launch_end(&l, call) : rc;                   \
	} while (0)

CUresult cuLaunchKernel(CUfunction f, unsigned gx, unsigned gy, unsigned gz, unsigned bx,
	unsigned by, unsigned bz, unsigned shared, CUstream stream, void **params,
	void **extra)
{
	LAUNCH(legacy(stream), REAL(cuLaunchKernel)(f, gx, gy, gz, bx, by, bz, shared,
				       stream, params, extra));
}

CUresult cuLaunchKernel_ptsz(CUfunction f, unsigned gx, unsigned gy, unsigned gz,
	unsigned bx, unsigned by, unsigned bz, unsigned shared, CUstream stream,
	void **params, void **extra)
{
	LAUNCH(per_thread(stream), REAL(cuLaunchKernel_ptsz)(f, gx, gy, gz, bx, by, bz,
					   shared, stream, params, extra));
}

CUresult cuLaunchKernelEx(
	const CUlaunchConfig *config, CUfunction f, void **params, void **extra)
{
	LAUNCH(legacy(config ? config->hStream : NULL),
		REAL(cuLaunchKernelEx)(config, f, params, extra));
}

CUresult cuLaunchKernelEx_ptsz(
	const CUlaunchConfig *config, CUfunction f, void **params, void **extra)
{
	LAUNCH(per_thread(config ? config->hStream : NULL),
		REAL(cuLaunchKernelEx_ptsz)(config, f, params, extra));
}

CUresult cuLaunchCooperativeKernel(CUfunction f, unsigned gx, unsigned gy, unsigned gz,
	unsigned bx, unsigned by, unsigned bz, unsigned shared, CUstream stream,
	void **params)
{
	LAUNCH(legacy(stream), REAL(cuLaunchCooperativeKernel)(f, gx, gy, gz, bx, by, bz,
				       shared, stream, params));
}

CUresult cuLaunchCooperativeKernel_ptsz(CUfunction f, unsigned gx, unsigned gy,
	unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared,
	CUstream stream, void **params)
{
	LAUNCH(per_thread(stream), REAL(cuLaunchCooperativeKernel_ptsz)(f, gx, gy, gz, bx,
					   by, bz, shared, stream, params));
}

CUresult cuLaunch(CUfunction f)
{
	LAUNCH(CU_STREAM_LEGACY, REAL(cuLaunch)(f));
}

CUresult cuLaunchGrid(CUfunction f, int width, int height)
{
	LAUNCH(CU_STREAM_LEGACY, REAL(cuLaunchGrid)(f, width, height));
}

CUresult cuLaunchGridAsync(CUfunction f, int width, int height, CUstream stream)
{
	LAUNCH(legacy(stream), REAL(cuLaunchGridAsync)(f, width, height, stream));
}

/* One kernel on each of several devices: it needs the turns of all, in the list's order.
 * Begun and not ended are those of the first `begun`. */
static CUresult launch_all(
	CUDA_LAUNCH_PARAMS *list, unsigned count, unsigned flags, struct launch *launches)
{
	CUresult rc = CUDA_SUCCESS;
	unsigned begun = 0;

	while (begun < count && rc == CUDA_SUCCESS) {
		rc = launch_begin(&launches[begun], legacy(list[begun].hStream));
		begun += rc == CUDA_SUCCESS;
	}
	if (rc == CUDA_SUCCESS)
		rc = REAL(cuLaunchCooperativeKernelMultiDevice)(list, count, flags);
	for (unsigned i = 0; i < begun; i++)
		(void)launch_end(&launches[i], rc);
	return rc;
}

CUresult cuLaunchCooperativeKernelMultiDevice(
	CUDA_LAUNCH_PARAMS *list, unsigned count, unsigned flags)
{
	struct launch launches[CHRONOS_DEVICES_MAX];

	/* More devices than there can be are the driver's to refuse. */
	if (!list || count > CHRONOS_DEVICES_MAX)
		return REAL(cuLaunchCooperativeKernelMultiDevice)(list, count, flags);
	return launch_all(list, count, flags, launches);
}

/* ---- graphs: one launch, however much is in them ---- */

static CUresult launch_graph(__typeof__(&cuGraphLaunch) call, CUgraphExec exec,
	CUstream stream, CUstream named)
{
	struct graph_claim c;
	struct launch l;
	CUresult rc = graphs_begin(&c, exec, named);

	if (rc != CUDA_SUCCESS)
		return rc;
	rc = launch_begin(&l, named);
	if (rc == CUDA_SUCCESS)
		rc = launch_end(&l, call(exec, stream));
	return graphs_end(&c, rc);
}

CUresult cuGraphLaunch(CUgraphExec exec, CUstream stream)
{
	return launch_graph(REAL(cuGraphLaunch), exec, stream, legacy(stream));
}

CUresult cuGraphLaunch_ptsz(CUgraphExec exec, CUstream stream)
{
	return launch_graph(REAL(cuGraphLaunch_ptsz), exec, stream, per_thread(stream));
}
