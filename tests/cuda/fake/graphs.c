/* graphs.c - graphs, which take their memory when they run. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "fake.h"

static uint64_t graph_reserved[FAKE_DEVICES_MAX];
static uint64_t graph_left[FAKE_DEVICES_MAX]; /* by the last run, not freed yet */

CUresult cuGraphCreate(CUgraph *graph, unsigned flags)
{
	(void)flags;
	MAY_FAIL();
	*graph = calloc(1, sizeof **graph);
	return CUDA_SUCCESS;
}

/* ---- nodes ---- */

static CUgraphNode add_node(CUgraph graph, int type)
{
	CUgraphNode n = calloc(1, sizeof *n);

	if (!n)
		abort();
	n->type = type;
	n->next = graph->nodes;
	graph->nodes = n;
	return n;
}

/* What was freed before gives its address to what is as large. */
static CUdeviceptr graph_address(CUgraph graph, uint64_t bytes)
{
	for (CUgraphNode n = graph->nodes; n; n = n->next) {
		if (n->type == CU_GRAPH_NODE_TYPE_MEM_ALLOC && n->freed && !n->reused &&
			n->alloc.bytesize == bytes) {
			n->reused = true;
			return n->alloc.dptr;
		}
	}
	return (new_address(bytes + POOL_PAGE) + POOL_PAGE - 1) / POOL_PAGE * POOL_PAGE;
}

void graph_alloc(CUgraph graph, CUDA_MEM_ALLOC_NODE_PARAMS *params)
{
	params->dptr = graph_address(graph, params->bytesize);
	add_node(graph, CU_GRAPH_NODE_TYPE_MEM_ALLOC)->alloc = *params;
}

void graph_free(CUgraph graph, CUdeviceptr at)
{
	add_node(graph, CU_GRAPH_NODE_TYPE_MEM_FREE);
	for (CUgraphNode n = graph->nodes; n; n = n->next) {
		if (n->type == CU_GRAPH_NODE_TYPE_MEM_ALLOC && n->alloc.dptr == at)
			n->freed = true;
	}
}

/* What all of it needs at once, or what is left of that after a run. */
static uint64_t graph_bytes(CUgraph graph, bool left)
{
	uint64_t sum = 0;

	for (CUgraphNode n = graph->nodes; n; n = n->next) {
		if (n->type == CU_GRAPH_NODE_TYPE_GRAPH)
			sum += graph_bytes(n->child, left);
		if (n->type == CU_GRAPH_NODE_TYPE_MEM_ALLOC && !n->reused &&
			!(left && n->freed))
			sum += (n->alloc.bytesize + POOL_PAGE - 1) / POOL_PAGE *
			       POOL_PAGE;
	}
	return sum;
}

static CUresult add_alloc_node(CUgraph graph, CUDA_MEM_ALLOC_NODE_PARAMS *params)
{
	graph_alloc(graph, params);
	return CUDA_SUCCESS;
}

CUresult cuGraphAddMemFreeNode(CUgraphNode *node, CUgraph graph, const CUgraphNode *after,
	size_t count, CUdeviceptr at)
{
	(void)node, (void)after, (void)count;
	MAY_FAIL();
	graph_free(graph, at);
	return CUDA_SUCCESS;
}

CUresult cuGraphAddChildGraphNode(CUgraphNode *node, CUgraph graph,
	const CUgraphNode *after, size_t count, CUgraph child)
{
	(void)node, (void)after, (void)count;
	MAY_FAIL();
	add_node(graph, CU_GRAPH_NODE_TYPE_GRAPH)->child = child;
	return CUDA_SUCCESS;
}

CUresult cuGraphGetNodes(CUgraph graph, CUgraphNode *nodes, size_t *count)
{
	size_t n = 0;

	MAY_FAIL();
	for (CUgraphNode node = graph->nodes; node; node = node->next, n++) {
		if (nodes && n < *count)
			nodes[n] = node;
	}
	*count = n;
	return CUDA_SUCCESS;
}

CUresult cuGraphNodeGetType(CUgraphNode node, CUgraphNodeType *type)
{
	MAY_FAIL();
	*type = node->type;
	return CUDA_SUCCESS;
}

CUresult cuGraphChildGraphNodeGetGraph(CUgraphNode node, CUgraph *graph)
{
	MAY_FAIL();
	*graph = node->child;
	return CUDA_SUCCESS;
}

CUresult cuGraphMemAllocNodeGetParams(
	CUgraphNode node, CUDA_MEM_ALLOC_NODE_PARAMS *params)
{
	MAY_FAIL();
	*params = node->alloc;
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

CUresult cuGraphInstantiate(
	CUgraphExec *exec, CUgraph graph, CUgraphNode *at, char *log, size_t size)
{
	(void)at, (void)log, (void)size;
	return cuGraphInstantiateWithFlags(exec, graph, 0);
}

CUresult cuGraphInstantiate_v2(
	CUgraphExec *exec, CUgraph graph, CUgraphNode *at, char *log, size_t size)
{
	return cuGraphInstantiate(exec, graph, at, log, size);
}

CUresult cuGraphInstantiateWithParams(
	CUgraphExec *exec, CUgraph graph, CUDA_GRAPH_INSTANTIATE_PARAMS *params)
{
	(void)params;
	return cuGraphInstantiateWithFlags(exec, graph, 0);
}

CUresult cuGraphInstantiateWithParams_ptsz(
	CUgraphExec *exec, CUgraph graph, CUDA_GRAPH_INSTANTIATE_PARAMS *params)
{
	return cuGraphInstantiateWithParams(exec, graph, params);
}

CUresult cuGraphExecDestroy(CUgraphExec exec)
{
	MAY_FAIL();
	free(exec);
	return CUDA_SUCCESS;
}

/* ---- running them ---- */

static CUresult back_with_memory(CUgraphExec exec, int device)
{
	CUresult rc = CUDA_SUCCESS;

	pthread_mutex_lock(&lock);
	uint64_t want = graph_bytes(&exec->graph, false);
	if (want > graph_reserved[device]) {
		rc = take(device, want - graph_reserved[device]);
		if (rc == CUDA_SUCCESS)
			graph_reserved[device] = want;
	}
	pthread_mutex_unlock(&lock);
	return rc;
}

static CUresult launch_graph(CUgraphExec exec, CUstream stream)
{
	struct CUstream_st *s;
	CUresult rc = resolve(stream, &s);

	if (rc == CUDA_SUCCESS)
		rc = back_with_memory(exec, s->device);
	if (rc != CUDA_SUCCESS)
		return rc;
	graph_left[s->device] = graph_bytes(&exec->graph, true);
	return run_on(stream, exec->graph.kernel_ns / 1000);
}

BOTH(cuGraphUpload, cuGraphUpload_ptsz, (CUgraphExec exec, CUstream on), on, {
	struct CUstream_st *s;
	CUresult rc = resolve(stream, &s);
	return rc == CUDA_SUCCESS ? back_with_memory(exec, s->device) : rc;
})
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
	give(device, graph_reserved[device] - graph_left[device]);
	graph_reserved[device] = graph_left[device];
	pthread_mutex_unlock(&lock);
	return CUDA_SUCCESS;
}
