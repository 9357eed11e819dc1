/* figures.h - what a bench measured: the table for people, the JSON for programs. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A figure has a value in each round, in one or several columns.  The first column is what
 * it is measured beside; the others are ours.  What is shown is the median of the rounds
 * with the least and the greatest.
 *
 * Thread: one at a time.  Ends the program when memory is short or a limit is passed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "err.h"

enum { FIGURES_COLUMNS_MAX = 4, FIGURES_ROUNDS_MAX = 100 };

enum figure_aim { NO_AIM, AT_MOST, AT_LEAST, WITHIN };

/* What is measured; lives longer than the figures. */
struct figure {
	const char *what, *unit;
	enum figure_aim kind;
	double aim;
	double tolerance;   /* WITHIN: of the aim, to both sides */
	const char *beside; /* what the first column has; NULL: it is empty */
	const char
		*quoted; /* what is known of others and was not measured here, or NULL */
};

struct figures; /* opaque */

/* The names are those of the columns, and borrowed. */
struct figures *figures_new(const char *const names[], size_t columns);
void figures_free(struct figures *f); /* NULL is fine */

/* What is added from now on belongs to it.  Borrowed; NULL: to none. */
void figures_group(struct figures *f, const char *group);
/* One more value. */
void figures_add(
	struct figures *f, const struct figure *what, size_t column, double value);
/* A value that was measured and not believed: only counted. */
void figures_discard(struct figures *f, const struct figure *what, size_t column);

/* How many of ours miss their aim, and how many have no value but discarded ones. */
size_t figures_missed(const struct figures *f);
size_t figures_without_value(const struct figures *f);

void figures_print(const struct figures *f, FILE *out);
/* A list of rows, one for each column of ours: group, what, mode (where there are several
 * columns of ours), value, min, max, unit, rounds, discarded, beside, beside_value,
 * beside_min, beside_max, ratio, aim, aim_kind, tolerance, met, quoted; null where there
 * is none. */
int figures_write_json(
	const struct figures *f, const char *path, struct err *e) MUST_CHECK;
