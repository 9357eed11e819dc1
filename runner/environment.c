/* environment.c - the environment variables that a job sees. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "environment.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "cleanup.h"
#include "runner.h"
#include "str.h"
#include "xalloc.h"

/* Of the user's variables: they would change how other code than the job's runs, or speak
 * for the driver. */
static const char *const dropped_prefixes[] = { "LD_", "NVIDIA_", "CUDA_MPS_", "CHRONOS_",
	"OPENCL_", "OCL_ICD_" };

static bool is_dropped(const char *name)
{
	for (size_t i = 0; i < sizeof(dropped_prefixes) / sizeof(*dropped_prefixes);
		i++) {
		if (str_starts(name, dropped_prefixes[i]))
			return true;
	}
	return !*name || strchr(name, '=');
}

/* Set one variable, replacing an earlier one of that name. */
static void set(struct environment *env, const char *name, const char *value)
{
	CLEANUP(free_ptr) char *prefix = str_fmt("%s=", name);
	size_t at = 0;

	while (at < env->count && !str_starts(env->texts[at], prefix))
		at++;
	if (at < env->count) {
		free(env->texts[at]);
	} else {
		env->texts =
			xreallocarray(env->texts, env->count + 2, sizeof(*env->texts));
		env->texts[++env->count] = NULL;
	}
	env->texts[at] = str_fmt("%s%s", prefix, value);
}

static void set_defaults(struct environment *env, const struct runner *r)
{
	char threads[16];

	/* A quota does not change how many CPUs a program sees. */
	str_put(threads, sizeof(threads), "%d", (int)ceil(r->limits.cpus));
	set(env, "PATH", "/usr/local/bin:/usr/bin:/bin");
	set(env, "TMPDIR", "/tmp");
	set(env, "LANG", "C.UTF-8");
	set(env, "USER", "job");
	set(env, "LOGNAME", "job");
	set(env, "XDG_CACHE_HOME", "/tmp/cache");
	set(env, "POCL_CACHE_DIR", "/tmp/pocl");
	if (r->limits.cpus > 0) {
		set(env, "OMP_NUM_THREADS", threads);
		set(env, "OPENBLAS_NUM_THREADS", threads);
	}
}

static void add_word(struct buf *list, const char *word)
{
	buf_addf(list, "%s%s", list->len ? "," : "", word);
}

static void set_list(struct environment *env, const char *name, struct buf *list)
{
	CLEANUP(free_ptr) char *text = buf_take_str(list);

	set(env, name, text);
}

static void set_gpus(struct environment *env, const struct runner *r)
{
	CLEANUP(buf_fini) struct buf numbers = { 0 };
	CLEANUP(buf_fini) struct buf uuids = { 0 };
	CLEANUP(buf_fini) struct buf cuda = { 0 };

	for (size_t i = 0; i < r->gpus.count; i++) {
		const struct chronos_device *d = &r->gpus.devices[i];
		char number[8];

		str_put(number, sizeof(number), "%zu", i);
		add_word(&numbers, number);
		add_word(&uuids, d->uuid);
		if (d->kind == CHRONOS_KIND_NVIDIA || d->kind == CHRONOS_KIND_MIG)
			add_word(&cuda, d->uuid);
	}
	if (cuda.len) {
		CLEANUP(free_ptr) char *text = buf_take_str(&cuda);

		set(env, "CUDA_VISIBLE_DEVICES", text);
		set(env, "NVIDIA_VISIBLE_DEVICES", text);
	}
	set_list(env, "GPU_DEVICE", &numbers);
	set_list(env, "GPU_UUID", &uuids);
}

static void set_hold(struct environment *env, const struct runner *r)
{
	const char *name, *value;

	for (size_t i = 0; hold_variable(&r->hold, &r->partition, i, &name, &value); i++)
		set(env, name, value);
}

void environment_fill(struct environment *env, const struct runner *r)
{
	set_defaults(env, r);
	for (size_t i = 0; i < r->start->n_env; i++) {
		if (!is_dropped(r->start->env[i]->key))
			set(env, r->start->env[i]->key, r->start->env[i]->value);
	}
	set(env, "HOME", "/job/work");
	set(env, "CUMULUS_JOB_DIR", "/job/work");
	set(env, "CUMULUS_RESULT_FD", "3");
	set(env, "JOB_ID", r->start->job_id);
	set(env, "CHRONOS_PARTITION_ID", r->partition.id);
	set_gpus(env, r);
	set_hold(env, r);
}

bool environment_has(const struct environment *env, const char *name, const char *value)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < env->count; i++)
		if (strncmp(env->texts[i], name, len) == 0 && env->texts[i][len] == '=')
			return strcmp(env->texts[i] + len + 1, value) == 0;
	return false;
}

void environment_fini(struct environment *env)
{
	for (size_t i = 0; i < env->count; i++)
		free(env->texts[i]);
	free(env->texts);
	*env = (struct environment){ 0 };
}
