/* bench_share.c - how exactly shares of time and memory hold, and what that costs. */
/* SPDX-License-Identifier: Apache-2.0 */
/* On a timed device: kernels are intervals on a timeline, and use no processor. */
#include "bench.h"
#include "timed_device.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	WORKERS_MAX = 16,
	WINDOW_MS = 3000,
	SOLO_MS = 1000,
	WARM_UP_MS = 300,
	CALLS = 200000,
};

#define MS UINT64_C(1000000)

struct board {
	struct timed_device device;
	uint32_t ready, go, stop;
	uint64_t got_ns[WORKERS_MAX];
};

struct worker {
	uint32_t hundredths;
	uint64_t kernel_ns;
};

static void sleep_ms(unsigned ms)
{
	const struct timespec t = { ms / 1000, (long)(ms % 1000) * 1000000 };

	nanosleep(&t, NULL);
}

static struct chronos_partition make(struct chronos *c, uint32_t hundredths)
{
	const char *devices[] = { "1" };
	struct chronos_request r = { .devices = devices,
		.device_count = 1,
		.hundredths = hundredths,
		.duration_ns = UINT64_C(3600000000000),
		.owner = CHRONOS_OWNER_CALLER };
	struct chronos_partition p;
	struct chronos_error e = { 0 };

	if (chronos_create(c, &r, &p, NULL, &e) < 0)
		die("create", e.text);
	return p;
}

static void drop(struct chronos *c, const struct chronos_partition *p)
{
	struct chronos_error e = { 0 };

	if (chronos_release(c, p->id, &e) < 0)
		die("release", e.text);
}

static void join(const char *dir, const char *id, struct timed_queue *q)
{
	const struct chronos_joining j = {
		.dir = dir, .name = id, .device = 1, .drain = timed_drain, .arg = q
	};
	struct chronos_error e = { 0 };

	q->a = chronos_attach(&j, &e);
	if (!q->a)
		die("join", e.text);
}

/* A kernel, a wait, and again.  Without an id nobody is asked. */
static _Noreturn void work(
	struct board *b, int me, const char *dir, const char *id, uint64_t kernel_ns)
{
	struct timed_queue q = { .device = &b->device };

	if (id)
		join(dir, id, &q);
	__atomic_fetch_add(&b->ready, 1, __ATOMIC_SEQ_CST);
	while (!__atomic_load_n(&b->go, __ATOMIC_SEQ_CST))
		sleep_ms(1);
	while (!__atomic_load_n(&b->stop, __ATOMIC_SEQ_CST)) {
		if (timed_launch(&q, kernel_ns, NULL) < 0)
			_exit(1);
		timed_wait(&q);
		__atomic_store_n(&b->got_ns[me], q.got_ns, __ATOMIC_SEQ_CST);
	}
	chronos_detach(q.a);
	_exit(0);
}

struct result {
	double lease[WORKERS_MAX]; /* of the window */
	double got[WORKERS_MAX];
};

static void look(struct chronos *c, const struct chronos_partition *p, size_t n,
	const struct board *b, bool controlled, uint64_t lease[], uint64_t got[])
{
	struct chronos_usage u = { 0 };

	for (size_t i = 0; i < n; i++) {
		if (controlled && chronos_usage(c, &p[i], 1, &u, NULL) < 0)
			die("usage", p[i].id);
		lease[i] = u.time_ns;
		got[i] = __atomic_load_n(&b->got_ns[i], __ATOMIC_SEQ_CST);
	}
}

static struct result compete(struct chronos *c, const char *dir, const struct worker *w,
	size_t n, bool controlled, unsigned window_ms)
{
	struct board *b = mmap(NULL, sizeof *b, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint64_t lease[2][WORKERS_MAX], got[2][WORKERS_MAX], at_ns[2];
	struct chronos_partition p[WORKERS_MAX];
	pid_t pids[WORKERS_MAX];
	struct result r = { 0 };

	if (b == MAP_FAILED)
		die("map", "the board");
	for (size_t i = 0; i < n; i++) {
		p[i] = make(c, w[i].hundredths);
		pids[i] = fork();
		if (pids[i] < 0)
			die("fork", "a worker");
		if (pids[i] == 0)
			work(b, (int)i, dir, controlled ? p[i].id : NULL, w[i].kernel_ns);
	}
	while (__atomic_load_n(&b->ready, __ATOMIC_SEQ_CST) < n)
		sleep_ms(1);
	__atomic_store_n(&b->go, 1, __ATOMIC_SEQ_CST);
	sleep_ms(WARM_UP_MS);
	for (int k = 0; k < 2; k++) {
		at_ns[k] = timed_now_ns();
		look(c, p, n, b, controlled, lease[k], got[k]);
		if (k == 0)
			sleep_ms(window_ms);
	}
	__atomic_store_n(&b->stop, 1, __ATOMIC_SEQ_CST);
	double wall = (double)(at_ns[1] - at_ns[0]);
	for (size_t i = 0; i < n; i++) {
		int status;
		r.lease[i] = (double)(lease[1][i] - lease[0][i]) / wall;
		r.got[i] = (double)(got[1][i] - got[0][i]) / wall;
		if (waitpid(pids[i], &status, 0) != pids[i] || status != 0)
			die("a worker", "failed");
		drop(c, &p[i]);
	}
	munmap(b, sizeof *b);
	return r;
}

/* What the same program has alone, without chronos. */
static double solo(struct chronos *c, const char *dir, struct worker w)
{
	return compete(c, dir, &w, 1, false, SOLO_MS).got[0];
}

static double worst(const double *had, const struct worker *w, size_t n)
{
	double most = 0;

	for (size_t i = 0; i < n; i++) {
		double error = had[i] * 100 - w[i].hundredths;
		error = error < 0 ? -error : error;
		most = error > most ? error : most;
	}
	return most;
}

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

static const struct worker two[] = { { 70, 1 * MS }, { 30, 50 * MS } };
static const struct worker four[] = { { 40, 1 * MS }, { 30, 5 * MS }, { 20, 20 * MS },
	{ 10, 1 * MS } };
static const struct worker eight[] = { { 30, 1 * MS }, { 20, 5 * MS }, { 15, 1 * MS },
	{ 10, 1 * MS }, { 10, 5 * MS }, { 5, 1 * MS }, { 5, 5 * MS }, { 5, 1 * MS } };
static const struct worker sixteen[] = { { 10, 1 * MS }, { 10, 1 * MS }, { 10, 1 * MS },
	{ 10, 1 * MS }, { 8, 1 * MS }, { 8, 1 * MS }, { 8, 1 * MS }, { 8, 1 * MS },
	{ 5, 1 * MS }, { 5, 1 * MS }, { 5, 1 * MS }, { 5, 1 * MS }, { 2, 1 * MS },
	{ 2, 1 * MS }, { 2, 1 * MS }, { 2, 1 * MS } };

static double error_of(struct chronos *c, const char *dir, const struct worker *w,
	size_t n, bool controlled)
{
	struct result r = compete(c, dir, w, n, controlled, WINDOW_MS);

	return worst(controlled ? r.lease : r.got, w, n);
}

void measure_free(struct chronos *c, const char *dir, struct share_round *out)
{
	out->free_error_2 = error_of(c, dir, two, 2, false);
	out->free_error_4 = error_of(c, dir, four, 4, false);
	out->free_error_8 = error_of(c, dir, eight, 8, false);
	out->free_error_16 = error_of(c, dir, sixteen, 16, false);
}

static void measure_time(struct chronos *c, const char *dir, struct share_round *out)
{
	struct result held_2 = compete(c, dir, two, 2, true, WINDOW_MS);
	struct result held_4 = compete(c, dir, four, 4, true, WINDOW_MS);

	out->lease_error_2 = worst(held_2.lease, two, 2);
	out->lease_error_4 = worst(held_4.lease, four, 4);
	out->lease_error_8 = error_of(c, dir, eight, 8, true);
	out->lease_error_16 = error_of(c, dir, sixteen, 16, true);
	out->jain_4 = jain(held_4.lease, four, 4);
	for (size_t i = 0; i < 2; i++)
		held_2.got[i] /= solo(c, dir, two[i]);
	for (size_t i = 0; i < 4; i++)
		held_4.got[i] /= solo(c, dir, four[i]);
	out->throughput_error_2 = worst(held_2.got, two, 2);
	out->throughput_error_4 = worst(held_4.got, four, 4);
}

static double launch_ns(struct chronos *c, const char *dir, uint32_t hundredths)
{
	struct chronos_partition p = make(c, hundredths);
	struct timed_queue q = { 0 };
	struct chronos_error e = { 0 };

	join(dir, p.id, &q);
	uint64_t begun_ns = timed_now_ns();
	for (int i = 0; i < CALLS; i++) {
		if (chronos_launch(q.a, &e) < 0)
			die("launch", e.text);
		chronos_launch_done(q.a, 1);
	}
	double each = (double)(timed_now_ns() - begun_ns) / CALLS;
	chronos_detach(q.a);
	drop(c, &p);
	return each;
}

static void measure_memory(struct chronos *c, const char *dir, struct share_round *out)
{
	struct chronos_partition p = make(c, 33);
	const uint64_t blocks[] = { 4 << 20, 1000003, 65536, 1 };
	struct timed_queue q = { 0 };
	struct chronos_error e = { 0 };

	join(dir, p.id, &q);
	uint64_t quota = chronos_quota(q.a), begun_ns = timed_now_ns();
	for (int i = 0; i < CALLS; i++) {
		if (chronos_charge(q.a, 4096, &e) < 0)
			die("charge", e.text);
		chronos_uncharge(q.a, 4096);
	}
	out->charge_ns = (double)(timed_now_ns() - begun_ns) / CALLS;
	/* Ever smaller blocks, each size until it is refused. */
	for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
		while (chronos_charge(q.a, blocks[i], NULL) == 0)
			;
	}
	uint64_t used = chronos_used(q.a);
	out->memory_error_bytes = (double)(used > quota ? used - quota : quota - used);
	chronos_detach(q.a);
	drop(c, &p);
}

static void measure_recovery(struct chronos *c, const char *dir, struct share_round *out)
{
	struct board *b = mmap(NULL, sizeof *b, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct chronos_partition p = make(c, 50), o = make(c, 50);
	int begun[2];
	char byte;

	if (b == MAP_FAILED || pipe(begun) < 0)
		die("map", "the board");
	pid_t pid = fork();
	if (pid == 0) {
		struct timed_queue q = { .device = &b->device };
		join(dir, p.id, &q);
		/* Never done, as far as chronos can tell. */
		if (timed_launch(&q, 1, NULL) < 0 || write(begun[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	struct timed_queue q = { .device = &b->device };
	join(dir, o.id, &q);
	if (pid < 0 || read(begun[0], &byte, 1) != 1)
		die("the holder", "did not start");
	uint64_t killed_ns = timed_now_ns();
	kill(pid, SIGKILL);
	if (timed_launch(&q, MS, NULL) < 0)
		die("launch", "after a kill");
	out->recovery_ms = (double)(timed_now_ns() - killed_ns) / 1e6;
	timed_wait(&q);
	waitpid(pid, NULL, 0);
	close(begun[0]);
	close(begun[1]);
	chronos_detach(q.a);
	drop(c, &p);
	drop(c, &o);
	munmap(b, sizeof *b);
}

void measure_shares(struct chronos *c, const char *dir, struct share_round *out)
{
	measure_time(c, dir, out);
	out->launch_capped_ns = launch_ns(c, dir, 99);
	out->launch_whole_ns = launch_ns(c, dir, 100);
	measure_memory(c, dir, out);
	measure_recovery(c, dir, out);
}

/* ---- the plot ---- */

enum {
	PLOTTED = 4,
	SAMPLE_MS = 250,
	SAMPLES = 48,
	KILL_AT = SAMPLES / 3,    /* the second is killed */
	END_AT = SAMPLES * 2 / 3, /* and the third's partition ends */
	WIDTH = 720,
	HEIGHT = 320,
	LEFT = 50,
	TOP = 20,
};

static const struct worker plotted[PLOTTED] = { { 40, 1 * MS }, { 30, 1 * MS },
	{ 20, 1 * MS }, { 10, 1 * MS } };
static const char *const colours[PLOTTED] = { "#1b6ca8", "#c4472b", "#2e8b57",
	"#8a5fb0" };
static const char *const fates[PLOTTED] = { "", ", killed", ", partition ended", "" };

static double plot_x(double sample)
{
	return LEFT + sample * (WIDTH - LEFT - 20) / SAMPLES;
}

static double plot_y(double share)
{
	return TOP + (0.5 - share) * (HEIGHT - TOP - 40) / 0.5;
}

static void draw_frame(FILE *f)
{
	fprintf(f,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" "
		"font-family=\"sans-serif\" font-size=\"12\">\n"
		"<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n",
		WIDTH, HEIGHT);
	for (int i = 0; i <= 5; i++)
		fprintf(f,
			"<path d=\"M%d %.1fH%d\" stroke=\"#ddd\"/>"
			"<text x=\"8\" y=\"%.1f\">%d %%</text>\n",
			LEFT, plot_y(i * 0.1), WIDTH - 20, plot_y(i * 0.1) + 4, i * 10);
	for (int i = 0; i <= SAMPLES; i += 8)
		fprintf(f, "<text x=\"%.1f\" y=\"%d\">%d s</text>\n", plot_x(i) - 6,
			HEIGHT - 22, i * SAMPLE_MS / 1000);
}

static void draw(const char *path, double share[SAMPLES][PLOTTED])
{
	FILE *f = fopen(path, "w");

	if (!f)
		die("write", path);
	draw_frame(f);
	for (int i = 0; i < PLOTTED; i++) {
		fprintf(f,
			"<polyline fill=\"none\" stroke-width=\"2\" stroke=\"%s\" points=\"",
			colours[i]);
		for (int n = 0; n < SAMPLES; n++)
			fprintf(f, "%.1f,%.1f ", plot_x(n + 0.5), plot_y(share[n][i]));
		fprintf(f,
			"\"/>\n<text x=\"%.1f\" y=\"%.1f\" fill=\"%s\">share %u %%%s</text>\n",
			plot_x(0.5), plot_y(plotted[i].hundredths / 100.0) - 6,
			colours[i], plotted[i].hundredths, fates[i]);
	}
	fprintf(f,
		"<text x=\"%d\" y=\"%d\">Device time of each program, of every %d ms"
		"</text>\n</svg>\n",
		LEFT, HEIGHT - 6, SAMPLE_MS);
	if (fclose(f) != 0)
		die("write", path);
}

void plot_shares(struct chronos *c, const char *dir, const char *path)
{
	static double share[SAMPLES][PLOTTED];
	struct board *b = mmap(NULL, sizeof *b, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct chronos_partition p[PLOTTED];
	uint64_t before[PLOTTED] = { 0 };
	pid_t pids[PLOTTED];

	if (b == MAP_FAILED)
		die("map", "the board");
	for (int i = 0; i < PLOTTED; i++) {
		p[i] = make(c, plotted[i].hundredths);
		pids[i] = fork();
		if (pids[i] == 0)
			work(b, i, dir, p[i].id, plotted[i].kernel_ns);
	}
	while (__atomic_load_n(&b->ready, __ATOMIC_SEQ_CST) < PLOTTED)
		sleep_ms(1);
	__atomic_store_n(&b->go, 1, __ATOMIC_SEQ_CST);
	sleep_ms(WARM_UP_MS);
	uint64_t since_ns = timed_now_ns();
	for (int i = 0; i < PLOTTED; i++)
		before[i] = __atomic_load_n(&b->got_ns[i], __ATOMIC_SEQ_CST);
	for (int n = 0; n < SAMPLES; n++) {
		sleep_ms(SAMPLE_MS);
		uint64_t now_ns = timed_now_ns();
		for (int i = 0; i < PLOTTED; i++) {
			uint64_t got = __atomic_load_n(&b->got_ns[i], __ATOMIC_SEQ_CST);
			share[n][i] =
				(double)(got - before[i]) / (double)(now_ns - since_ns);
			before[i] = got;
		}
		since_ns = now_ns;
		if (n + 1 == KILL_AT)
			kill(pids[1], SIGKILL);
		if (n + 1 == END_AT && chronos_renew(c, p[2].id, 1, NULL, NULL) < 0)
			die("end", p[2].id);
	}
	__atomic_store_n(&b->stop, 1, __ATOMIC_SEQ_CST);
	for (int i = 0; i < PLOTTED; i++) {
		waitpid(pids[i], NULL, 0);
		if (i != 2)
			drop(c, &p[i]);
	}
	munmap(b, sizeof *b);
	draw(path, share);
}
