/* graphs.c - graphs, which take their memory when they run. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "fake.h"

static uint64_t graph_reserved[FAKE_DEVICES_MAX];

CUresult cuGraphCreate(CUgraph *graph, unsigned flags)
{
	(void)flags;
	MAY_FAIL();
	*graph = calloc(1, sizeof **graph);
	return CUDA_SUCCESS;
}

static CUresult add_alloc_node(CUgraph graph, CUDA_MEM_ALLOC_NODE_PARAMS *params)
{
	graph->alloc_bytes += params->bytesize;
	params->dptr = new_address(params->bytesize);
	return CUDA_SUCCESS;
}

CUresult cuGraphAddMemAllocNode(CUgraphNode *node, CUgraph graph,
	const CUgraphNode *after, size_t count, CUDA_MEM_ALLOC_NODE_PARAMS *params)
{
	(void)node, (void)after, (void)count;
	MAY_FAIL();
	return add_alloc_node(graph, params);
}

CUresult cuGraphAddNode(CUgraphNode *node, CUgraph graph, const CUgraphNode *after,
	size_t count, CUgraphNodeParams *params)
{
	(void)node, (void)after, (void)count;
	MAY_FAIL();
	return params->type == CU_GRAPH_NODE_TYPE_MEM_ALLOC
		       ? add_alloc_node(graph, &params->alloc)
		       : CUDA_SUCCESS;
}

CUresult cuGraphAddNode_v2(CUgraphNode *node, CUgraph graph, const CUgraphNode *after,
	const CUgraphEdgeData *edges, size_t count, CUgraphNodeParams *params)
{
	(void)edges;
	return cuGraphAddNode(node, graph, after, count, params);
}

CUresult cuGraphAddNode_v3(CUgraphNode *node, CUgraph graph, const CUgraphNode *after,
	const CUgraphEdgeData *edges, size_t count, CUgraphNodeParams *params)
{
	(void)edges;
	return cuGraphAddNode(node, graph, after, count, params);
}

CUresult cuGraphInstantiateWithFlags(
	CUgraphExec *exec, CUgraph graph, unsigned long long flags)
{
	CUcontext context;

	(void)flags;
	MAY_FAIL();
	CUresult rc = current(&context);
	if (rc != CUDA_SUCCESS)
		return rc;
	*exec = calloc(1, sizeof **exec);
	(*exec)->graph = *graph;
	(*exec)->device = context->device;
	return CUDA_SUCCESS;
}

static CUresult launch_graph(CUgraphExec exec, CUstream stream)
{
	struct CUstream_st *s;
	CUresult rc = resolve(stream, &s);

	if (rc != CUDA_SUCCESS)
		return rc;
	pthread_mutex_lock(&lock);
	uint64_t want = (exec->graph.alloc_bytes + POOL_PAGE - 1) / POOL_PAGE * POOL_PAGE;
	if (want > graph_reserved[s->device]) {
		rc = take(s->device, want - graph_reserved[s->device]);
		if (rc == CUDA_SUCCESS)
			graph_reserved[s->device] = want;
	}
	pthread_mutex_unlock(&lock);
	return rc == CUDA_SUCCESS ? run_on(stream, exec->graph.kernel_ns / 1000) : rc;
}

BOTH(cuGraphLaunch, cuGraphLaunch_ptsz, (CUgraphExec exec, CUstream on), on,
	{ return launch_graph(exec, stream); })

CUresult cuDeviceGetGraphMemAttribute(
	CUdevice device, CUgraphMem_attribute what, void *value)
{
	MAY_FAIL();
	(void)what;
	pthread_mutex_lock(&lock);
	memcpy(value, &graph_reserved[device], sizeof(uint64_t));
	pthread_mutex_unlock(&lock);
	return CUDA_SUCCESS;
}

CUresult cuDeviceGraphMemTrim(CUdevice device)
{
	MAY_FAIL();
	pthread_mutex_lock(&lock);
	give(device, graph_reserved[device]);
	graph_reserved[device] = 0;
	pthread_mutex_unlock(&lock);
	return CUDA_SUCCESS;
}
