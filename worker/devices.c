/* devices.c - the machine's GPUs, and who holds which share of them by Chronos. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "devices.h"

#include <stdlib.h>
#include <string.h>

#include "cgroup.h"
#include "cleanup.h"
#include "clock.h"
#include "dmem.h"
#include "layers.h"
#include "log.h"
#include "nodes.h"
#include "str.h"
#include "xalloc.h"

static const enum err_code code_of[] = {
	[CHRONOS_OK] = ERR_NONE,
	[CHRONOS_INVALID] = ERR_INVALID,
	[CHRONOS_NOT_FOUND] = ERR_NOT_FOUND,
	[CHRONOS_CONFLICT] = ERR_CONFLICT,
	[CHRONOS_EXHAUSTED] = ERR_EXHAUSTED,
	[CHRONOS_DENIED] = ERR_DENIED,
	[CHRONOS_UNAVAILABLE] = ERR_UNAVAILABLE,
	[CHRONOS_TIMEOUT] = ERR_TIMEOUT,
	[CHRONOS_SYSTEM] = ERR_SYSTEM,
	[CHRONOS_INTERNAL] = ERR_INTERNAL,
};

static int err_chronos(struct err *e, const struct chronos_error *why)
{
	return err_set(e, code_of[why->code], "%s", why->text);
}

/* Names come from drivers. */
static void make_printable(char *s)
{
	for (; *s; s++)
		if (*s < ' ' || *s > '~')
			*s = '?';
}

static void discover(struct devices *d, const struct chronos_device_spec *spec,
	char problem[DEVICE_HEALTH_SIZE])
{
	struct chronos_device *found = xcalloc(CHRONOS_DEVICES_MAX, sizeof(*found));
	struct chronos_error why = { 0 };
	size_t count = 0;

	if (chronos_devices_discover(spec, found, CHRONOS_DEVICES_MAX, &count, &why) <
		0) {
		str_put(problem, DEVICE_HEALTH_SIZE, "cannot find devices: %s", why.text);
		count = 0;
	}
	if (count > CHRONOS_DEVICES_MAX)
		count = CHRONOS_DEVICES_MAX;
	d->list = xcalloc(count + 1, sizeof(*d->list));
	d->count = count;
	for (size_t i = 0; i < count; i++) {
		d->list[i].facts = found[i];
		make_printable(d->list[i].facts.name);
	}
	free(found);
	devices_set_health(d, NULL);
}

static int tell_chronos(struct devices *d, struct err *e)
{
	struct chronos_error why = { 0 };

	d->chronos = chronos_open(d->chronos_dir, &why);
	if (!d->chronos)
		return err_chronos(e, &why);

	struct chronos_device *facts = xcalloc(d->count + 1, sizeof(*facts));
	for (size_t i = 0; i < d->count; i++)
		facts[i] = d->list[i].facts;
	int rc = chronos_devices_register(d->chronos, facts, d->count, &why);
	free(facts);
	return rc < 0 ? err_chronos(e, &why) : 0;
}

static bool no_run_known(void *user, const char *job, int32_t attempt)
{
	(void)user;
	(void)job;
	(void)attempt;
	return true;
}

int devices_open(struct devices *d, const struct chronos_device_spec *spec,
	const char *chronos_dir, const char *worker_id, char problem[DEVICE_HEALTH_SIZE],
	struct err *e)
{
	*d = (struct devices){ 0 };
	*problem = '\0';
	if (spec->source == CHRONOS_DEVICES_NONE)
		return 0;
	d->chronos_dir = chronos_dir ? xstrdup(chronos_dir) : NULL;
	str_put(d->worker_id, sizeof(d->worker_id), "%s", worker_id);
	discover(d, spec, problem);
	if (tell_chronos(d, e) < 0) {
		devices_close(d);
		return err_wrap(e, "open Chronos");
	}

	/* The numbers that Chronos gave, and what is held now. */
	struct devices_look look;
	devices_look_begin(d, &look, no_run_known, NULL);
	devices_look_do(&look);
	if (look.why.code) {
		*e = look.why;
		devices_look_end(d, &look, no_run_known, NULL);
		devices_close(d);
		return err_wrap(e, "look at Chronos");
	}
	devices_look_end(d, &look, no_run_known, NULL);
	return 0;
}

void devices_close(struct devices *d)
{
	chronos_close(d->chronos);
	chronos_partitions_free(d->partitions);
	free(d->uses);
	free(d->root_folder);
	free(d->chronos_dir);
	free(d->list);
	*d = (struct devices){ 0 };
}

/* ---- what holds jobs to their shares */

/* NULL: none is missing, or there is no root folder, which is a matter of all devices. */
static const char *missing_library(const struct devices *d, const struct device *it)
{
	const char *missing = NULL;

	if (d->root_folder)
		layers_for(d->root_folder, it->facts.kind, &missing);
	return missing;
}

static void name_enforcement(const struct devices *d, const struct device *it,
	char text[DEVICE_ENFORCEMENT_SIZE])
{
	const char *missing = missing_library(d, it);

	if (it->facts.kind == CHRONOS_KIND_SIMULATED)
		str_join(text, DEVICE_ENFORCEMENT_SIZE, "off: simulated", "", "");
	else if (!d->root_folder || missing)
		str_join(text, DEVICE_ENFORCEMENT_SIZE, "off: no ",
			missing ? missing : "root folder", "");
	else if (!chronos_arbiter_serves(d->chronos))
		str_join(text, DEVICE_ENFORCEMENT_SIZE, "arbitrated: no arbiter serves",
			"", "");
	else
		str_join(text, DEVICE_ENFORCEMENT_SIZE, "arbitrated",
			it->dmem ? "+dmem" : "", "");
}

/* The runner looks for both for each job: a device that it would refuse is not offered. */
static void name_health(
	const struct devices *d, const struct device *it, char text[DEVICE_HEALTH_SIZE])
{
	const char *missing = missing_library(d, it);

	if (strcmp(d->problem, "ok") != 0)
		str_join(text, DEVICE_HEALTH_SIZE, d->problem, "", "");
	else if (missing)
		str_put(text, DEVICE_HEALTH_SIZE,
			"nothing would hold jobs to their shares: %s is missing; it is "
			"installed beside harness.py, then the worker is started again",
			missing);
	else
		str_join(text, DEVICE_HEALTH_SIZE, *it->no_nodes ? it->no_nodes : "ok",
			"", "");
}

/* True when it is not as before. */
static bool set_text(struct device *it, char *text, size_t size, const char *now)
{
	if (strcmp(text, now) == 0)
		return false;
	str_join(text, size, now, "", "");
	it->changed = true;
	return true;
}

static bool set_health(struct device *it, const char *health)
{
	return set_text(it, it->health, sizeof(it->health), health);
}

/* What holds jobs there, and whether there can be any; true when it is not as before. */
static bool judge(const struct devices *d, struct device *it)
{
	char enforcement[DEVICE_ENFORCEMENT_SIZE], health[DEVICE_HEALTH_SIZE];

	name_enforcement(d, it, enforcement);
	name_health(d, it, health);
	bool other = set_text(it, it->enforcement, sizeof(it->enforcement), enforcement);
	return set_health(it, health) || other;
}

static void judge_all(struct devices *d)
{
	for (size_t i = 0; i < d->count; i++)
		judge(d, &d->list[i]);
}

void devices_set_root(struct devices *d, const char *root_folder)
{
	free(d->root_folder);
	d->root_folder = root_folder ? xstrdup(root_folder) : NULL;
	judge_all(d);
}

void devices_set_health(struct devices *d, const char *problem)
{
	const char *text = problem ? problem : "ok";
	/* It may name a path, and a message takes nothing but UTF-8. */
	CLEANUP(free_ptr) char *clean = utf8_replace(text, strlen(text), NULL);

	str_join(d->problem, sizeof(d->problem), clean, "", "");
	judge_all(d);
}

static void log_device(const struct device *it)
{
	log_info("device", "uuid", it->facts.uuid, "kind",
		chronos_kind_name(it->facts.kind), "name", it->facts.name, "enforcement",
		it->enforcement, "health", it->health, NULL);
}

void devices_log(const struct devices *d)
{
	for (size_t i = 0; i < d->count; i++)
		log_device(&d->list[i]);
}

bool devices_need_arbiter(const struct devices *d)
{
	for (size_t i = 0; i < d->count; i++)
		if (!str_starts(d->list[i].enforcement, "off"))
			return true;
	return false;
}

const char *devices_enforcement(const struct devices *d)
{
	for (size_t i = 0; i < d->count; i++)
		if (!str_starts(d->list[i].enforcement, "off"))
			return d->list[i].enforcement;
	return "off";
}

bool devices_know(const struct devices *d, const char *uuid)
{
	for (size_t i = 0; i < d->count; i++)
		if (strcmp(d->list[i].facts.uuid, uuid) == 0)
			return true;
	return false;
}

bool devices_partition_run(const struct devices *d, const struct chronos_partition *p,
	char job[ID_SIZE], int32_t *attempt)
{
	size_t len = strlen(d->worker_id);

	return len && strncmp(p->key, d->worker_id, len) == 0 && p->key[len] == '.' &&
	       run_name_parse(p->key + len + 1, job, attempt);
}

/* A partition of this worker whose run has no folder any more. */
static bool is_left_over(const struct devices *d, const struct chronos_partition *p,
	devices_run_known known, void *user)
{
	char job[ID_SIZE];
	int32_t attempt;

	return devices_partition_run(d, p, job, &attempt) && !known(user, job, attempt);
}

void devices_look_begin(const struct devices *d, struct devices_look *look,
	devices_run_known known, void *user)
{
	*look = (struct devices_look){ .chronos = d->chronos };
	look->releases = xcalloc(d->partition_count + 1, sizeof(*look->releases));
	for (size_t i = 0; i < d->partition_count; i++) {
		const struct chronos_partition *p = &d->partitions[i];

		if (!is_left_over(d, p, known, user))
			continue;
		struct devices_release *it = &look->releases[look->release_count++];
		memcpy(it->id, p->id, sizeof(it->id));
		memcpy(it->key, p->key, sizeof(it->key));
	}
}

static bool look_at_uses(struct devices_look *look, struct chronos_error *why)
{
	size_t count = 0;

	for (size_t i = 0; i < look->partition_count; i++)
		count += look->partitions[i].device_count;
	look->uses = xcalloc(count + 1, sizeof(*look->uses));
	for (size_t i = 0; i < look->partition_count; i++) {
		const struct chronos_partition *p = &look->partitions[i];

		for (size_t k = 0; k < p->device_count; k++) {
			struct device_use *it = &look->uses[look->use_count++];

			it->partition = p;
			if (chronos_usage(
				    look->chronos, p, p->devices[k], &it->usage, why) < 0)
				return false;
		}
	}
	return true;
}

static void look_at_nodes(struct devices_look *look)
{
	look->no_nodes = xcalloc(look->device_count + 1, sizeof(*look->no_nodes));
	for (size_t i = 0; i < look->device_count; i++) {
		struct device_nodes nodes;
		struct err e;

		if (device_nodes_find(&look->devices[i], &nodes, &e) < 0)
			look->no_nodes[i] = e;
	}
}

void devices_look_do(struct devices_look *look)
{
	struct chronos_error why = { 0 };

	if (!look->chronos)
		return;
	look->began_ns = clock_boot_ns();
	look->dmem = cgroup_dmem_regions();
	for (size_t i = 0; i < look->release_count; i++) {
		struct devices_release *it = &look->releases[i];

		it->done = chronos_release(look->chronos, it->id, &why) == 0;
		if (!it->done && why.code != CHRONOS_NOT_FOUND) {
			err_chronos(&look->why, &why);
			return;
		}
	}

	look->devices = xcalloc(CHRONOS_DEVICES_MAX, sizeof(*look->devices));
	if (chronos_devices(look->chronos, look->devices, CHRONOS_DEVICES_MAX,
		    &look->device_count, &why) < 0 ||
		chronos_list(look->chronos, &look->partitions, &look->partition_count,
			&why) < 0 ||
		!look_at_uses(look, &why)) {
		look->device_count = 0;
		err_chronos(&look->why, &why);
		return;
	}
	if (look->device_count > CHRONOS_DEVICES_MAX)
		look->device_count = CHRONOS_DEVICES_MAX;
	look_at_nodes(look);
}

static const struct chronos_device *find_facts(
	const struct devices_look *look, const char *uuid)
{
	for (size_t i = 0; i < look->device_count; i++)
		if (strcmp(look->devices[i].uuid, uuid) == 0)
			return &look->devices[i];
	return NULL;
}

static bool holds(const struct chronos_partition *p, uint32_t index)
{
	for (size_t i = 0; i < p->device_count; i++)
		if (p->devices[i] == index)
			return true;
	return false;
}

static uint32_t foreign_of(const struct devices *d, uint32_t index)
{
	uint32_t sum = 0;
	char job[ID_SIZE];
	int32_t attempt;

	for (size_t i = 0; i < d->partition_count; i++)
		if (holds(&d->partitions[i], index) &&
			!devices_partition_run(d, &d->partitions[i], job, &attempt))
			sum += d->partitions[i].hundredths;
	return sum;
}

static const struct device_use *find_use(
	const struct device_use *uses, size_t count, const struct device_use *like)
{
	for (size_t i = 0; i < count; i++)
		if (uses[i].usage.device == like->usage.device &&
			strcmp(uses[i].partition->id, like->partition->id) == 0)
			return &uses[i];
	return NULL;
}

static bool same_use(const struct device_use *a, const struct device_use *b)
{
	return a->usage.used_bytes == b->usage.used_bytes &&
	       a->usage.time_ns == b->usage.time_ns &&
	       a->usage.refusals == b->usage.refusals &&
	       a->usage.overrun_ns == b->usage.overrun_ns &&
	       a->usage.clients == b->usage.clients;
}

static void mark_changed(struct devices *d, uint32_t index)
{
	for (size_t i = 0; i < d->count; i++)
		if (d->list[i].facts.index == index)
			d->list[i].changed = true;
}

/* Mark the devices of which somebody had more or less than at the look before. */
static void compare_uses(struct devices *d, struct devices_look *look)
{
	const int64_t span_ns = look->began_ns - d->looked_ns;

	for (size_t i = 0; i < look->use_count; i++) {
		struct device_use *it = &look->uses[i];
		const struct device_use *before = find_use(d->uses, d->use_count, it);
		uint64_t time_ns = it->usage.time_ns;

		if (before && time_ns >= before->usage.time_ns && span_ns > 0)
			it->time_share =
				(float)(time_ns - before->usage.time_ns) / (float)span_ns;
		if (!before || !same_use(before, it) ||
			it->time_share != before->time_share)
			mark_changed(d, it->usage.device);
	}
	for (size_t i = 0; i < d->use_count; i++)
		if (!find_use(look->uses, look->use_count, &d->uses[i]))
			mark_changed(d, d->uses[i].usage.device);
}

static void update(struct devices *d, struct device *it, const struct devices_look *look)
{
	const struct chronos_device *facts = find_facts(look, it->facts.uuid);
	uint32_t foreign;

	if (!facts || !facts->present) {
		if (set_health(it, "the device is gone"))
			log_device(it);
		return;
	}
	it->facts = *facts;
	make_printable(it->facts.name);
	str_join(it->no_nodes, sizeof(it->no_nodes),
		look->no_nodes[facts - look->devices].text, "", "");
	it->dmem = look->dmem && dmem_shows(look->dmem, facts);
	if (judge(d, it))
		log_device(it);
	foreign = foreign_of(d, facts->index);
	if (foreign != it->foreign_hundredths)
		it->changed = true;
	it->foreign_hundredths = foreign;
}

bool devices_look_end(
	struct devices *d, struct devices_look *look, devices_run_known known, void *user)
{
	bool again = false;

	for (size_t i = 0; i < look->release_count; i++)
		if (look->releases[i].done)
			log_info("partition released: its run is gone", "partition",
				look->releases[i].id, "key", look->releases[i].key, NULL);
	if (!look->why.code && look->chronos) {
		compare_uses(d, look);
		free(d->uses);
		d->uses = look->uses;
		d->use_count = look->use_count;
		d->looked_ns = look->began_ns;
		look->uses = NULL;
		chronos_partitions_free(d->partitions);
		d->partitions = look->partitions;
		d->partition_count = look->partition_count;
		look->partitions = NULL;
		for (size_t i = 0; i < d->count; i++)
			update(d, &d->list[i], look);
		for (size_t i = 0; i < d->partition_count && !again; i++)
			again = is_left_over(d, &d->partitions[i], known, user);
	}
	chronos_partitions_free(look->partitions);
	free(look->devices);
	free(look->no_nodes);
	free(look->uses);
	free(look->releases);
	free(look->dmem);
	*look = (struct devices_look){ 0 };
	return again;
}
