/* submission.c - the limits of a submission, and the checks of its single values. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "submission.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "str.h"

const struct submission_limits submission_defaults = {
	.duration_min_s = 1,
	.duration_max_s = 86400,
	.package_bytes = INT64_C(4) << 20,
	.upload_bytes = INT64_C(2) << 30,
	.env_bytes = INT64_C(64) << 10,
	.name_bytes = 256,
	.labels = 64,
	.args = 256,
	.args_bytes = INT64_C(64) << 10,
	.requirements = 256,
	.requirement_bytes = 512,
	.retries = 10,
};

/* A float as a person wrote it, also one that is no number. */
static const char *float_text(char out[32], float value)
{
	if (isnan(value))
		return "NaN";
	if (isinf(value))
		return value > 0 ? "Inf" : "-Inf";
	snprintf(out, 32, "%g", (double)value);
	return out;
}

int amount_from_float(float gpu_memory, struct amount *out, struct err *e)
{
	/* NaN fails every comparison, so it falls through to the refusal. */
	bool in_range = gpu_memory > 0 && gpu_memory < 9;
	double scaled = in_range ? (double)gpu_memory * 100 : 0;
	uint32_t nearest = (uint32_t)(scaled + 0.5);
	bool exact = fabs(scaled - nearest) <= 0.01;
	char text[32];

	if (exact && nearest >= 10 && nearest <= 90) {
		*out = (struct amount){ 1, nearest };
		return 0;
	}
	if (exact && nearest >= 100 && nearest <= 800 && nearest % 100 == 0) {
		*out = (struct amount){ nearest / 100, 100 };
		return 0;
	}
	return err_set(e, ERR_INVALID,
		"gpu_memory %s is not allowed: 0.1 to 0.9 of one GPU in hundredths, or "
		"1 to 8 whole ones",
		float_text(text, gpu_memory));
}

float amount_to_float(struct amount a)
{
	return (float)(a.devices * a.hundredths) / 100;
}

static int range_check(
	const char *field, int32_t value, int32_t min, int32_t max, struct err *e)
{
	if (value >= min && value <= max)
		return 0;
	return err_set(e, ERR_INVALID,
		"%s %" PRId32 " is not allowed: %" PRId32 " to %" PRId32, field, value,
		min, max);
}

int duration_check(const struct submission_limits *l, int32_t seconds, struct err *e)
{
	if (seconds >= l->duration_min_s && seconds <= l->duration_max_s)
		return 0;
	return err_set(e, ERR_INVALID,
		"duration %" PRId32 " is not allowed: %" PRId32 " to %" PRId32 " seconds",
		seconds, l->duration_min_s, l->duration_max_s);
}

int priority_check(int32_t priority, struct err *e)
{
	return range_check("priority", priority, -100, 100, e);
}

int retries_check(const struct submission_limits *l, int32_t n, struct err *e)
{
	return range_check("max_retries", n, 0, l->retries, e);
}

/* C0, DEL, and the C1 controls in UTF-8. */
static bool has_control(const char *s)
{
	const unsigned char *at = (const unsigned char *)s;

	for (; *at; at++)
		if (*at < 0x20 || *at == 0x7f ||
			(*at == 0xc2 && at[1] >= 0x80 && at[1] <= 0x9f))
			return true;
	return false;
}

int name_check(const struct submission_limits *l, const char *field, const char *value,
	struct err *e)
{
	size_t len = strlen(value);
	char quoted[STR_QUOTE_SIZE];

	if ((int64_t)len > l->name_bytes)
		return err_set(e, ERR_INVALID,
			"%s \"%s\" is not allowed: it has %zu bytes, at most %" PRId64
			" are allowed",
			field, str_quote(quoted, value, len), len, l->name_bytes);
	if (has_control(value))
		return err_set(e, ERR_INVALID,
			"%s \"%s\" is not allowed: it has control characters", field,
			str_quote(quoted, value, len));
	return 0;
}

static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";
static const char letters_and_digits[] =
	"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";

int env_name_check(const char *name, struct err *e)
{
	size_t len = strlen(name);
	char quoted[STR_QUOTE_SIZE];

	if (*name && strchr(letters, *name) && strspn(name, letters_and_digits) == len)
		return 0;
	return err_set(e, ERR_INVALID,
		"env \"%s\" is not allowed: a name is a letter or _, then letters, "
		"digits "
		"and _",
		str_quote(quoted, name, len));
}
