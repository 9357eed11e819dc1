/* config.h - where the server is: the user's file, then the environment, then flags.
 *
 * Thread: any, at start.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "err.h"
#include "options.h"

struct config {
	char *address; /* owned */
	char *token;   /* owned; NULL: none */
};

void config_fini(struct config *c);
/* Reads $XDG_CONFIG_HOME or ~/.config, cumulus/config.yaml, when it is there.  Unknown
 * keys are ERR_INVALID naming file and line.  A token is ERR_UNSUPPORTED until the server
 * has authentication: it must not look as if it protected anything. */
int config_load(const struct options *o, struct config *c, struct err *e) MUST_CHECK;
