/* shares.c - how exactly 2 to 16 programs at once get their shares of a device's time. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "contest.h"

enum { WINDOW_MS = 3000 };

#define BESIDE "without control"

static const struct worker two[] = { WORKER(70, 1), WORKER(30, 50) };
static const struct worker four[] = { WORKER(40, 1), WORKER(30, 5), WORKER(20, 20),
	WORKER(10, 1) };
static const struct worker eight[] = { WORKER(30, 1), WORKER(20, 5), WORKER(15, 1),
	WORKER(10, 1), WORKER(10, 5), WORKER(5, 1), WORKER(5, 5), WORKER(5, 1) };
static const struct worker sixteen[] = { WORKER(10, 1), WORKER(10, 1), WORKER(10, 1),
	WORKER(10, 1), WORKER(8, 1), WORKER(8, 1), WORKER(8, 1), WORKER(8, 1),
	WORKER(5, 1), WORKER(5, 1), WORKER(5, 1), WORKER(5, 1), WORKER(2, 1),
	WORKER(2, 1), WORKER(2, 1), WORKER(2, 1) };

#define LEASE_ERROR(WHO)                                                                 \
	{                                                                                \
		.what = "lease time, greatest error, " WHO, .unit = "pp",                \
		.kind = AT_MOST, .aim = 1, .beside = BESIDE                              \
	}
#define THROUGHPUT_ERROR                                                                 \
	{                                                                                \
		.what = "throughput against the same alone, greatest error",             \
		.unit = "pp", .kind = AT_MOST, .aim = 3, .beside = BESIDE                \
	}
#define JAIN                                                                             \
	{                                                                                \
		.what = "Jain index of time by share", .unit = "", .kind = AT_LEAST,     \
		.aim = 0.999, .beside = BESIDE                                           \
	}

static const struct figure lease_2 = LEASE_ERROR("0.7 of 1 ms, 0.3 of 50 ms"),
			   lease_4 = LEASE_ERROR(".4/.3/.2/.1 of 1/5/20/1 ms"),
			   lease_8 = LEASE_ERROR("8 of 0.3 to 0.05, 1 or 5 ms"),
			   lease_16 = LEASE_ERROR("16 of 0.1 to 0.02, 1 ms"),
			   throughput_2 = THROUGHPUT_ERROR,
			   throughput_4 = THROUGHPUT_ERROR, jain_2 = JAIN, jain_4 = JAIN,
			   jain_8 = JAIN, jain_16 = JAIN;

static double jain(const double *had, const struct worker *w, size_t n)
{
	double sum = 0, squares = 0;

	for (size_t i = 0; i < n; i++) {
		double x = had[i] / w[i].hundredths;
		sum += x;
		squares += x * x;
	}
	return squares > 0 ? sum * sum / ((double)n * squares) : 0;
}

struct field {
	const struct worker *workers;
	size_t n;
	const struct figure *lease, *throughput, *jain;
	double solo[4]; /* of each in this round, where throughput is asked for */
};

static void measure(struct bench *b, enum mode mode, struct field *field)
{
	const struct worker *w = field->workers;
	size_t n = field->n;

	struct result r = contest_run(b, w, n, mode, WINDOW_MS);
	const double *had = mode == FREE ? r.got : r.lease;
	figures_add(b->figures, field->lease, mode, greatest_error(had, w, n));
	figures_add(b->figures, field->jain, mode, jain(had, w, n));
	if (!field->throughput)
		return;
	for (size_t i = 0; i < n; i++) {
		if (mode == FREE)
			field->solo[i] = contest_solo(b, w[i]);
		r.got[i] /= field->solo[i];
	}
	/* The first has the shortest kernels, which a busy machine slows down most. */
	if (mode != FREE && contest_drifted(b, w[0], field->solo[0]))
		figures_discard(b->figures, field->throughput, mode);
	else
		figures_add(
			b->figures, field->throughput, mode, greatest_error(r.got, w, n));
}

static void measure_2(struct bench *b, enum mode mode)
{
	static struct field field = { two, 2, &lease_2, &throughput_2, &jain_2, { 0 } };

	measure(b, mode, &field);
}

static void measure_4(struct bench *b, enum mode mode)
{
	static struct field field = { four, 4, &lease_4, &throughput_4, &jain_4, { 0 } };

	measure(b, mode, &field);
}

static void measure_8(struct bench *b, enum mode mode)
{
	static struct field field = { eight, 8, &lease_8, NULL, &jain_8, { 0 } };

	measure(b, mode, &field);
}

static void measure_16(struct bench *b, enum mode mode)
{
	static struct field field = { sixteen, 16, &lease_16, NULL, &jain_16, { 0 } };

	measure(b, mode, &field);
}

#define SHARES_GROUP(N, WHAT)                                                            \
	{                                                                                \
		.name = "shares-" #N, .what = WHAT, .modes = { true, true, true },       \
		.measure = measure_##N                                                   \
	}

const struct group shares_2_group = SHARES_GROUP(2, "two programs at once, 1 and 50 ms"),
		   shares_4_group = SHARES_GROUP(4, "four programs at once, 1 to 20 ms"),
		   shares_8_group = SHARES_GROUP(8, "eight programs at once"),
		   shares_16_group = SHARES_GROUP(16, "sixteen programs at once");
