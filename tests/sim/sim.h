/* sim.h - a whole cluster in one process, driven by one seed.
 *
 * The core is the real one.  Store, workers, runners, clients, clocks and the links
 * between them are simulated and fail as the seed says: the core's process dies between
 * any two effects and loses what was not committed; commits are slow and refuse new jobs;
 * links break; workers reboot, vanish and return; reports come twice; runs hang, die and
 * are refused; strangers take shares; wall clocks jump.  After a while all heals, and
 * then everything that can run must have run and nothing may be left.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "core.h"
#include "table.h"

#define S       INT64_C(1000000000)
#define MS      INT64_C(1000000)
#define WORKERS 4
#define DEVICES 4 /* at most, of a worker */

/* ---- randomness: splitmix64 */

struct rng {
	uint64_t state;
};

uint64_t rng_next(struct rng *r);
uint32_t rng_below(struct rng *r, uint32_t n); /* 0 .. n - 1 */
bool rng_chance(struct rng *r, uint32_t per_thousand);
int64_t rng_time(struct rng *r, int64_t min, int64_t max); /* mostly near min */

/* ---- the store */

struct row {
	struct table_entry by_id;
	char id[ID_SIZE];
	struct job_facts facts;
	struct submission *submission;
	bool acknowledged;      /* a client has seen it */
	bool cancel_promised;   /* a client was told that it is cancelled */
	int64_t last_output_at; /* of its last event */
	int64_t output_durable; /* of its present attempt's output */
	int32_t output_attempt;
	uint64_t placed; /* the record of its present lease; 0 = of an earlier process */
	uint32_t starts; /* of its code, by all workers */
};

struct op { /* a record, or a look-up of a key, in the order in which they were posted */
	struct record *record;
	core_token token;
	char id[ID_SIZE];
	struct submission *submission;
};

struct store {
	struct table rows;
	struct row **all;
	size_t row_count;
	struct op *ops;
	size_t op_count;
	char (*draining)[ID_SIZE]; /* workers */
	size_t draining_count;
	size_t published; /* of them: those of whole inputs */
	uint64_t applied; /* journal number, of this process of the core */
	bool full;        /* new jobs are refused */
	bool committing;
};

/* ---- workers */

struct folder {
	char job[ID_SIZE];
	int32_t attempt;
	bool ours;
	enum run_phase phase;
	struct core_report reports[4];
	int report_count;
	int64_t acknowledged;
	int64_t output;
	size_t devices[DEVICES];
	uint32_t device_count, hundredths;
	int32_t duration_s;
	bool stopping, hangs;
	bool given_up; /* cancelled or finished in the store, when its worker said Hello */
	uint64_t life; /* events of an earlier life are void */
};

struct sim_device {
	uint32_t foreign;
	bool healthy;
};

struct sim_worker {
	size_t index;
	char id[ID_SIZE];
	bool up;
	bool connected;   /* its Hello has arrived */
	uint64_t session; /* 0 = none under way */
	uint32_t boots, disks;
	uint32_t slots;
	struct sim_device devices[DEVICES];
	size_t device_count;
	struct folder **folders;
	size_t folder_count;
	int64_t to_at, from_at; /* when the last message on its way arrives */
};

/* ---- clients */

struct ask {
	core_token token;
	bool cancel;
	bool operates; /* wish is for worker `job` */
	enum worker_wish wish;
	uint64_t issued; /* the last record when it was granted */
	bool answered;
	bool known; /* the job to cancel was stored when that was asked */
	char job[ID_SIZE];
	char key[16]; /* "" = none */
	uint8_t identity;
};

struct key_seen {          /* what clients were told about a key */
	char job[ID_SIZE]; /* "" = nothing yet */
	uint8_t identity;
};

#define KEYS 8

struct clients {
	struct ask *asks; /* of this process of the core */
	size_t count;
	struct key_seen keys[KEYS];
	char (*refused)[ID_SIZE]; /* ids that must never appear */
	size_t refused_count;
	char (*accepted)[ID_SIZE];
	size_t accepted_count;
	uint32_t to_do;           /* actions left */
	char (*retired)[ID_SIZE]; /* workers that never come back, not forgotten yet */
	size_t retired_count;
	uint64_t tokens;
	uint32_t ids;
};

/* ---- the world */

struct sim;
struct event;
typedef void event_fn(struct sim *sim, struct event *ev);

struct event {
	int64_t at;
	uint64_t order;
	event_fn *run;
	uint64_t process; /* of the core; 0 = any */
	struct sim_worker *worker;
	uint64_t session;
	struct folder *folder; /* only with life */
	uint64_t life;
	int64_t number;
	struct core_report report;
	struct effect effect; /* owned */
};

struct sim {
	uint64_t seed;
	bool trace;
	struct rng rng;
	struct core *core; /* NULL while it is down */
	uint64_t process;
	struct core_time now;
	bool healing;
	int64_t wake_at;
	int64_t setup_limit; /* of the core; a short one strikes between two crashes */
	uint64_t sessions, lives, orders;
	uint64_t inputs, crashes;
	struct event **heap; /* heap[0] is not used */
	size_t event_count, event_room;
	struct store store;
	struct sim_worker workers[WORKERS];
	struct clients clients;
};

/* ---- sim.c */

/* A promise is broken: says how to replay it, and ends the program. */
void sim_fail(const struct sim *sim, const char *format, ...) PRINTF_LIKE(2, 3)
	__attribute__((noreturn));
void sim_trace(const struct sim *sim, const char *format, ...) PRINTF_LIKE(2, 3);
/* A new event, to be filled by the caller, that happens in `delay`. */
struct event *sim_after(struct sim *sim, int64_t delay, event_fn *run);
/* Take out all effects of the input just given; the core may die between any two. */
void sim_drain(struct sim *sim);
void sim_crash(struct sim *sim);
void sim_start_core(struct sim *sim);
void sim_check(struct sim *sim);

/* ---- store.c */

void store_fini(struct sim *sim);
struct row *store_row(const struct sim *sim, const char *id);
void store_post(struct sim *sim, struct record *r);
void store_look_up(
	struct sim *sim, core_token token, const char *id, struct submission *s);
/* All effects of an input are taken: what was posted may be committed. */
void store_publish(struct sim *sim);
/* The process dies: some of what is on its way is on disk, the rest never. */
void store_crash(struct sim *sim);
void store_restore(struct sim *sim);
struct submission *submission_dup(const struct submission *s);

bool store_is_draining(const struct sim *sim, const char *worker);

/* ---- workers.c */

void workers_init(struct sim *sim);
void workers_fini(struct sim *sim);
/* The core's process died: all streams are closed. */
void workers_disconnect(struct sim *sim);
/* It is back: they dial it again. */
void workers_connect(struct sim *sim);
void worker_receive(struct sim *sim, struct effect *ef); /* taken */
void workers_heal(struct sim *sim);
struct sim_worker *sim_worker_find(struct sim *sim, const char *id);

/* ---- clients.c */

void clients_init(struct sim *sim);
void clients_fini(struct sim *sim);
/* This worker never comes back: an operator will forget it. */
void clients_retire(struct sim *sim, const char *worker);
void client_answer(struct sim *sim, const struct effect *ef);
void clients_heal(struct sim *sim);
void clients_crash(struct sim *sim);
void clients_check_end(struct sim *sim);
