/* question.h - what all questions share: how they are made, and how they fail.
 *
 * Thread: as op.h says.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "op.h"

/* A zeroed struct of this size that begins with its struct op. */
void *question_new(size_t size, const struct op_type *type);

/* What the asker did wrong, or what is not there, is the answer (0); the rest is the
 * store's failure (-1). */
int question_answer_failed(
	struct op *op, const struct err *why, struct err *e) MUST_CHECK;

/* What the callback is told; NULL when all went well. */
const struct err *question_failed(const struct op *op);
