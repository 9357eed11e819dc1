/* config.h - cumulusd's settings.
 *
 * Thread: any, before threads.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "settings.h"

struct config {
	char *listen;  /* HOST:PORT */
	char *http;    /* HOST:PORT or "off" */
	char *data;    /* absolute after config_check() */
	char *devices; /* auto, simulated:N, opencl-cpu, none */
	char *engine;  /* local */
	char *worker;  /* embedded, external */
	char *user;    /* whom to become when started as root */
	char *on_exit; /* leave, stop: what becomes of the embedded worker */
	char *log_level;
	bool log_json;
	char *log_file; /* NULL: stderr */
	int64_t drain_s;
	int64_t setup_limit_s;
	int64_t grace_s;
	int64_t duration_max_s;
	int64_t waiting_jobs_max;
	int64_t output_bytes;
	int64_t job_memory_bytes; /* 0 = the worker's default */
	int64_t job_pids;
	int64_t job_disk_bytes;
	int64_t history_s;
	int64_t history_jobs;
	int64_t history_bytes;
	int64_t disk_low_bytes;
	char *backup; /* NULL: no copies of the store */
	int64_t backup_every_s;
	int64_t backup_keep;
};

extern const struct setting config_table[];
/* The settings that SIGHUP changes; the others need a restart.  Ends with NULL. */
extern const char *const config_live[];

/* Refuse what cannot be served: an address that is not loopback, an unknown engine ... */
int config_check(struct config *c, struct err *e) MUST_CHECK;
