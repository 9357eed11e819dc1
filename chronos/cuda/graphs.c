/* graphs.c - hooks: what makes graphs, and the memory that they have. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "graphs.h"

#include "pools.h"
#include "reach.h"
#include "streams.h"
#include "table.h"

#include <pthread.h>
#include <stdlib.h>

#define PAGE_BYTES UINT64_C(2097152)

/* A graph that can be launched, and has memory of its own. */
struct exec {
	struct table_entry entry;            /* key: the handle */
	uint64_t bytes[CHRONOS_DEVICES_MAX]; /* at most, by partition_nth_device() */
	bool keeps;                          /* some of it outlives a run */
	bool ran;                            /* and had it then */
	uint64_t trims; /* as of its last run: since then it has it unless this changed */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct table execs;
static bool some_allocate; /* a graph of this process has memory of its own */

static bool none_allocates(void)
{
	return !__atomic_load_n(&some_allocate, __ATOMIC_ACQUIRE);
}

void graphs_note_captured(void)
{
	__atomic_store_n(&some_allocate, true, __ATOMIC_RELEASE);
}

/* ---- how much a graph takes ---- */

struct range {
	size_t device;
	CUdeviceptr from, to;
};

struct ranges {
	struct range *list;
	size_t count, room;
	size_t frees; /* of count allocations, as many end in the graph */
};

static bool add_range(struct ranges *r, const struct range *one)
{
	if (r->count == r->room) {
		size_t room = r->room ? 2 * r->room : 16;
		struct range *list = reallocarray(r->list, room, sizeof *list);
		if (!list)
			return false;
		r->list = list;
		r->room = room;
	}
	r->list[r->count++] = *one;
	return true;
}

/* In whole pages. */
static bool add_node(struct ranges *r, CUgraphNode node)
{
	CUDA_MEM_ALLOC_NODE_PARAMS params;
	struct device *d;
	struct range one = { 0 };
	CUresult rc;

	if (REAL(cuGraphMemAllocNodeGetParams)(node, &params) != CUDA_SUCCESS)
		return false;
	CUdevice number = partition_number_of(&params.poolProps.location);
	d = number < 0 ? NULL : partition_device(number, &rc);
	if (!d)
		return true;
	while (partition_nth_device(one.device) != d)
		one.device++;
	one.from = params.dptr / PAGE_BYTES * PAGE_BYTES;
	one.to = (params.dptr + params.bytesize + PAGE_BYTES - 1) / PAGE_BYTES *
		 PAGE_BYTES;
	return add_range(r, &one);
}

static bool add_graph(struct ranges *r, CUgraph graph, unsigned depth);

static bool add_any_node(struct ranges *r, CUgraphNode node, unsigned depth)
{
	CUgraphNodeType type;
	CUgraph child;

	if (REAL(cuGraphNodeGetType)(node, &type) != CUDA_SUCCESS)
		return false;
	switch ((int)type) {
	case CU_GRAPH_NODE_TYPE_MEM_ALLOC:
		return add_node(r, node);
	case CU_GRAPH_NODE_TYPE_MEM_FREE:
		r->frees++;
		return true;
	case CU_GRAPH_NODE_TYPE_GRAPH:
		return REAL(cuGraphChildGraphNodeGetGraph)(node, &child) ==
			       CUDA_SUCCESS &&
		       add_graph(r, child, depth + 1);
	default:
		return true;
	}
}

static bool add_graph(struct ranges *r, CUgraph graph, unsigned depth)
{
	enum { DEPTH_MAX = 64 };
	CUgraphNode *nodes = NULL;
	size_t count = 0;

	bool all = depth < DEPTH_MAX &&
		   REAL(cuGraphGetNodes)(graph, NULL, &count) == CUDA_SUCCESS;
	if (!all || !count)
		return all;
	nodes = calloc(count, sizeof(CUgraphNode));
	all = nodes && REAL(cuGraphGetNodes)(graph, nodes, &count) == CUDA_SUCCESS;
	for (size_t i = 0; all && i < count; i++)
		all = add_any_node(r, nodes[i], depth);
	free(nodes);
	return all;
}

static int compare_ranges(const void *x, const void *y)
{
	const struct range *a = x, *b = y;

	if (a->device != b->device)
		return a->device < b->device ? -1 : 1;
	return (a->from > b->from) - (a->from < b->from);
}

/* What lives at different times may have the same address: that counts once. */
static void sum_up(struct exec *e, struct ranges *r)
{
	const struct range *before = NULL;
	CUdeviceptr end = 0;

	if (r->count)
		qsort(r->list, r->count, sizeof *r->list, compare_ranges);
	for (size_t i = 0; i < r->count; i++) {
		const struct range *one = &r->list[i];
		if (!before || before->device != one->device)
			end = 0;
		CUdeviceptr from = one->from > end ? one->from : end;
		if (one->to > from)
			e->bytes[one->device] += one->to - from;
		if (one->to > end)
			end = one->to;
		before = one;
	}
}

/* NULL: it has no memory of its own, or, with false, that cannot be found out. */
static bool measure(CUgraph graph, struct exec **measured)
{
	struct ranges r = { 0 };
	struct exec *e = NULL;
	bool all = add_graph(&r, graph, 0);

	if (all && r.count) {
		e = calloc(1, sizeof *e);
		all = e != NULL;
	}
	if (e) {
		e->keeps = r.count > r.frees;
		sum_up(e, &r);
	}
	free(r.list);
	*measured = e;
	return all;
}

/* ---- making one that can be launched ---- */

static void free_stale(struct table_entry *e)
{
	free(e);
}

/* It may have been uploaded at once. */
static CUresult check_upload(const struct exec *e)
{
	CUresult rc = CUDA_SUCCESS;
	struct device *d;

	for (size_t i = 0; rc == CUDA_SUCCESS && (d = partition_nth_device(i)); i++) {
		if (e->bytes[i])
			rc = pools_settle_graphs(d, 0);
	}
	return rc;
}

/* The driver answered `rc` to its making. */
static CUresult made(CUresult rc, CUgraph graph, const CUgraphExec *exec)
{
	struct exec *e = NULL;

	if (rc != CUDA_SUCCESS || none_allocates())
		return rc;
	rc = measure(graph, &e) ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
	if (e)
		rc = check_upload(e);
	if (rc != CUDA_SUCCESS) {
		free(e);
		REAL(cuGraphExecDestroy)(*exec);
		return rc;
	}
	if (!e)
		return rc;
	e->entry.key = (uintptr_t)*exec;
	pthread_mutex_lock(&lock);
	free_stale(table_add(&execs, &e->entry));
	pthread_mutex_unlock(&lock);
	return rc;
}

CUresult cuGraphInstantiate(
	CUgraphExec *exec, CUgraph graph, CUgraphNode *at, char *log, size_t size)
{
	return made(REAL(cuGraphInstantiate)(exec, graph, at, log, size), graph, exec);
}

CUresult cuGraphInstantiate_v2(
	CUgraphExec *exec, CUgraph graph, CUgraphNode *at, char *log, size_t size)
{
	return made(REAL(cuGraphInstantiate_v2)(exec, graph, at, log, size), graph, exec);
}

CUresult cuGraphInstantiateWithFlags(
	CUgraphExec *exec, CUgraph graph, unsigned long long flags)
{
	return made(REAL(cuGraphInstantiateWithFlags)(exec, graph, flags), graph, exec);
}

CUresult cuGraphInstantiateWithParams(
	CUgraphExec *exec, CUgraph graph, CUDA_GRAPH_INSTANTIATE_PARAMS *params)
{
	return made(REAL(cuGraphInstantiateWithParams)(exec, graph, params), graph, exec);
}

CUresult cuGraphInstantiateWithParams_ptsz(
	CUgraphExec *exec, CUgraph graph, CUDA_GRAPH_INSTANTIATE_PARAMS *params)
{
	return made(REAL(cuGraphInstantiateWithParams_ptsz)(exec, graph, params), graph,
		exec);
}

CUresult cuGraphExecDestroy(CUgraphExec exec)
{
	if (none_allocates())
		return REAL(cuGraphExecDestroy)(exec);
	pthread_mutex_lock(&lock);
	free(table_take(&execs, (uintptr_t)exec));
	pthread_mutex_unlock(&lock);
	CUresult rc = REAL(cuGraphExecDestroy)(exec);
	pools_settle();
	return rc;
}

/* ---- running it ---- */

/* What it may still need of each device; false: it has no memory of its own. */
static bool needs(struct graph_claim *c, CUgraphExec exec, bool *may_have_it)
{
	pthread_mutex_lock(&lock);
	const struct exec *e = (const struct exec *)table_find(&execs, (uintptr_t)exec);
	if (e) {
		c->exec = exec;
		c->trims = pools_graph_trims();
		*may_have_it = e->ran && e->keeps;
		for (size_t i = 0; i < CHRONOS_DEVICES_MAX; i++)
			c->bytes[i] = e->ran && e->trims == c->trims ? 0 : e->bytes[i];
	}
	pthread_mutex_unlock(&lock);
	return e != NULL;
}

static CUresult claim(
	struct device *d, uint64_t *bytes, CUstream stream, bool may_have_it)
{
	CUresult rc = pools_claim_graphs(d, *bytes);

	if (rc != CUDA_ERROR_OUT_OF_MEMORY)
		return rc;
	/* What other graphs have is given back when they have run. */
	streams_wait(stream);
	pools_give_back(d);
	rc = pools_claim_graphs(d, *bytes);
	if (rc != CUDA_ERROR_OUT_OF_MEMORY || !may_have_it)
		return rc;
	/* What the last run left is among what is charged already. */
	*bytes = 0;
	return pools_claim_graphs(d, 0);
}

CUresult graphs_begin(struct graph_claim *c, CUgraphExec exec, CUstream stream)
{
	bool may_have_it = false;
	struct device *d;
	CUresult rc = CUDA_SUCCESS;
	size_t i;

	c->exec = NULL;
	/* In a capture it does not run. */
	if (none_allocates() || !needs(c, exec, &may_have_it))
		return CUDA_SUCCESS;
	if (streams_is_capturing(stream)) {
		c->exec = NULL;
		return CUDA_SUCCESS;
	}
	for (i = 0; rc == CUDA_SUCCESS && (d = partition_nth_device(i)); i++) {
		if (c->bytes[i])
			rc = claim(d, &c->bytes[i], stream, may_have_it);
	}
	if (rc == CUDA_SUCCESS)
		return rc;
	/* The last one failed. */
	for (i--; i-- > 0;)
		(void)pools_settle_graphs(partition_nth_device(i), c->bytes[i]);
	return rc;
}

static void note_run(const struct graph_claim *c)
{
	pthread_mutex_lock(&lock);
	struct exec *e = (struct exec *)table_find(&execs, (uintptr_t)c->exec);
	if (e) {
		e->ran = true;
		e->trims = c->trims;
	}
	pthread_mutex_unlock(&lock);
}

CUresult graphs_end(const struct graph_claim *c, CUresult rc)
{
	struct device *d;

	if (!c->exec)
		return rc;
	for (size_t i = 0; (d = partition_nth_device(i)); i++)
		(void)pools_settle_graphs(d, c->bytes[i]);
	if (rc == CUDA_SUCCESS)
		note_run(c);
	return rc;
}

#define UPLOAD(exec, stream, call)                                                       \
	do {                                                                             \
		struct graph_claim c;                                                    \
		CUresult rc = graphs_begin(&c, exec, stream);                            \
		return rc == CUDA_SUCCESS ? graphs_end(&c, call) : rc;                   \
	} while (0)

CUresult cuGraphUpload(CUgraphExec exec, CUstream stream)
{
	UPLOAD(exec, legacy(stream), REAL(cuGraphUpload)(exec, stream));
}

CUresult cuGraphUpload_ptsz(CUgraphExec exec, CUstream stream)
{
	UPLOAD(exec, per_thread(stream), REAL(cuGraphUpload_ptsz)(exec, stream));
}

/* ---- nodes ---- */

static CUresult check_node(const CUDA_MEM_ALLOC_NODE_PARAMS *params)
{
	CUresult rc;
	struct device *d;

	CUdevice number = partition_number_of(&params->poolProps.location);
	if (number < 0)
		return CUDA_SUCCESS;
	d = partition_device(number, &rc);
	if (!d)
		return rc;
	graphs_note_captured();
	/* Alone it would be too much already. */
	if (params->bytesize > chronos_quota(d->attachment))
		return CUDA_ERROR_OUT_OF_MEMORY;
	return device_check(d);
}

CUresult cuGraphAddMemAllocNode(CUgraphNode *node, CUgraph graph,
	const CUgraphNode *after, size_t count, CUDA_MEM_ALLOC_NODE_PARAMS *params)
{
	CUresult rc = params ? check_node(params) : CUDA_SUCCESS;

	if (rc != CUDA_SUCCESS)
		return rc;
	return REAL(cuGraphAddMemAllocNode)(node, graph, after, count, params);
}

static CUresult check_any_node(const CUgraphNodeParams *params)
{
	return params && (int)params->type == CU_GRAPH_NODE_TYPE_MEM_ALLOC
		       ? check_node((const void *)&params->alloc)
		       : CUDA_SUCCESS;
}

CUresult cuGraphAddNode(CUgraphNode *node, CUgraph graph, const CUgraphNode *after,
	size_t count, CUgraphNodeParams *params)
{
	CUresult rc = check_any_node(params);

	return rc == CUDA_SUCCESS
		       ? REAL(cuGraphAddNode)(node, graph, after, count, params)
		       : rc;
}

CUresult cuGraphAddNode_v2(CUgraphNode *node, CUgraph graph, const CUgraphNode *after,
	const CUgraphEdgeData *edges, size_t count, CUgraphNodeParams *params)
{
	CUresult rc = check_any_node(params);

	return rc == CUDA_SUCCESS
		       ? REAL(cuGraphAddNode_v2)(node, graph, after, edges, count, params)
		       : rc;
}

CUresult cuGraphAddNode_v3(CUgraphNode *node, CUgraph graph, const CUgraphNode *after,
	const CUgraphEdgeData *edges, size_t count, CUgraphNodeParams *params)
{
	CUresult rc = check_any_node(params);

	return rc == CUDA_SUCCESS
		       ? REAL(cuGraphAddNode_v3)(node, graph, after, edges, count, params)
		       : rc;
}

void graphs_in_child(void)
{
	pthread_mutex_init(&lock, NULL);
	execs = (struct table){ 0 };
	some_allocate = false;
}
