/* forks.h - what a forked child does not have in common with its parent. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Locks of open files are had by parent and child alike, and would outlive the parent:
 * a child closes those files first thing.
 */
#pragma once

/* A member of what it is about. */
struct fork_watch {
	/* In the child, before anything else runs there: only what a signal handler may. */
	void (*in_child)(struct fork_watch *w);
	struct fork_watch *next, **link; /* all of this process */
};

/* Until chronos_forks_unwatch(), each child of this process begins with in_child(w). */
void chronos_forks_watch(struct fork_watch *w, void (*in_child)(struct fork_watch *w));
void chronos_forks_unwatch(struct fork_watch *w);
