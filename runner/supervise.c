/* supervise.c - stays with a running container: output, progress, time and `stop`. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "runner.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "disk.h"
#include "fault.h"
#include "log.h"
#include "procs.h"

#define CHUNK          65536
#define PROGRESS_EVERY (50 * NS_PER_MS)
#define DISK_FIRST     (2 * NS_PER_S) /* short jobs are not looked at */
#define DISK_EVERY     NS_PER_S
#define SHARE_EVERY    NS_PER_S
#define DISK_SHARE     50 /* looking takes at most one part in so many of the time */
#define NEVER          INT64_MAX
#define PAUSE_WORD     "pause"

enum { AT_OUT, AT_ERR, AT_CHANNEL, AT_INIT, AT_STOP, AT_TIMER, AT_COUNT };

/* What is to happen when; NEVER where it is not. */
struct watch {
	struct runner *r;
	int timer;
	int64_t end_at;      /* the duration is up */
	int64_t term_at;     /* SIGTERM, for `stop` */
	int64_t kill_at;     /* SIGKILL */
	int64_t progress_at; /* the next time that progress may be written */
	int64_t disk_at;     /* the next look at what its files take */
	int64_t share_at;    /* the next look at its GPU share */
	bool ending;         /* a reason to end it has been taken */
};

/* ---- output ---- */

/* Read once; closes the pipe at its end. */
static int take_output(struct runner *r, int *fd, enum frame_stream stream, struct err *e)
{
	static char chunk[CHUNK];
	ssize_t n = read(*fd, chunk, sizeof(chunk));

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : err_sys(e, "read output");
	if (n == 0) {
		close_fd(fd);
		return 0;
	}
	if (run_output_write(&r->output, stream, chunk, (size_t)n, e) < 0)
		return -1;
	fault_point("output");
	return 1;
}

/* Returns 1 when there may be more. */
static int take_packet(struct runner *r, struct err *e)
{
	static uint8_t packet[CHANNEL_PACKET_MAX];
	ssize_t n = recv(r->container.channel, packet, sizeof(packet), 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n < 0 &&
		errno != ECONNRESET) /* which says that it left a word of ours unread */
		return err_sys(e, "read the job's channel");
	if (n <= 0) {
		close_fd(&r->container.channel);
		return 0;
	}
	channel_take(&r->channel, packet, (size_t)n, clock_boot_ns());
	return 1;
}

/* What is still in the pipes.  All writers are dead, so this ends. */
static int drain(struct runner *r, struct err *e)
{
	int rc;

	do
		rc = r->container.out < 0
			     ? 0
			     : take_output(r, &r->container.out, FRAME_STDOUT, e);
	while (rc > 0);
	if (rc < 0)
		return -1;
	do
		rc = r->container.err < 0
			     ? 0
			     : take_output(r, &r->container.err, FRAME_STDERR, e);
	while (rc > 0);
	if (rc < 0)
		return -1;
	do
		rc = r->container.channel < 0 ? 0 : take_packet(r, e);
	while (rc > 0);
	return rc;
}

/* ---- time ---- */

static int64_t earliest(const struct watch *w)
{
	const int64_t times[] = { w->end_at, w->term_at, w->kill_at, w->disk_at,
		w->share_at, w->r->channel.progress_new ? w->progress_at : NEVER };
	int64_t first = NEVER;

	for (size_t i = 0; i < sizeof(times) / sizeof(*times); i++) {
		if (times[i] < first)
			first = times[i];
	}
	return first;
}

/* By CLOCK_BOOTTIME, which a wait of poll is not: it goes on while the machine sleeps. */
static int set_timer(const struct watch *w, struct err *e)
{
	int64_t at = earliest(w);
	struct itimerspec when = { 0 };

	if (at != NEVER) {
		at = at < 1 ? 1 : at; /* 0 would turn it off */
		when.it_value.tv_sec = at / NS_PER_S;
		when.it_value.tv_nsec = at % NS_PER_S;
	}
	if (timerfd_settime(w->timer, TFD_TIMER_ABSTIME, &when, NULL) < 0)
		return err_sys(e, "set the timer");
	return 0;
}

static int send_signal(struct runner *r, int signal, struct err *e)
{
	if (process_signal(r->container.pidfd, signal) < 0 && errno != ESRCH)
		return err_sys(e, "signal the container's init");
	return 0;
}

static int terminate(struct watch *w, int64_t grace_ns, struct err *e)
{
	w->term_at = NEVER;
	w->kill_at = clock_boot_ns() + grace_ns;
	return send_signal(w->r, SIGTERM, e);
}

static int write_progress(struct watch *w, int64_t now, struct err *e)
{
	struct channel *c = &w->r->channel;

	c->progress_new = false;
	w->progress_at = now + PROGRESS_EVERY;
	return runfolder_write_progress(w->r->dirfd, c->fraction, c->text, e);
}

/* Without its folder a run has no way to say anything; see runner_abandon(). */
static int look_at_folder(const struct watch *w, struct err *e)
{
	return runfolder_gone(w->r->dirfd)
		       ? err_set(e, ERR_NOT_FOUND, "the run's folder was removed")
		       : 0;
}

/* Nothing but a quota of the file system could stop a job at its limit; this ends it soon
 * after. */
static int look_at_disk(struct watch *w, int64_t now, struct err *e)
{
	struct runner *r = w->r;
	const int64_t limit = r->limits.disk_bytes;
	int64_t used = disk_used(r->dirfd, RUN_FOLDER_SCRATCH, limit);

	if (used <= limit)
		used += disk_nameless(&r->cgroup, r->dirfd, limit - used);

	int64_t after = clock_boot_ns();
	int64_t rest = (after - now) * DISK_SHARE;

	w->disk_at = after + (rest > DISK_EVERY ? rest : DISK_EVERY);
	if (look_at_folder(w, e) < 0)
		return -1;
	if (used <= limit || w->ending)
		return 0;
	w->ending = r->disk_full = true;
	w->disk_at = NEVER;
	w->kill_at = after;
	return send_signal(r, SIGKILL, e);
}

/* A job that is held launches nothing more, whatever it does with its grace.  Of another's
 * share nobody may get some before the container is gone. */
static void end_partition(struct runner *r)
{
	struct chronos_error ce;

	if (!r->hold.layers)
		return;
	hold_measure(&r->hold, r->chronos, &r->partition, &r->usage);
	if (chronos_release(r->chronos, r->partition.id, &ce) < 0 &&
		ce.code != CHRONOS_NOT_FOUND)
		log_warn("the partition cannot be ended", "run", r->name, "error",
			ce.text, NULL);
}

/* Whoever may release partitions can take one away.  What it was of the device may be
 * another's by now, so the job cannot have it any longer. */
static int look_at_share(struct watch *w, int64_t now, struct err *e)
{
	struct runner *r = w->r;

	w->share_at = now + SHARE_EVERY;
	if (w->ending || !hold_is_gone(r->chronos, &r->partition)) {
		hold_measure(&r->hold, r->chronos, &r->partition, &r->usage);
		return 0;
	}
	log_warn("the partition was released by somebody else, ending the job", "run",
		r->name, "partition", r->partition.id, NULL);
	w->ending = r->share_gone = true;
	w->share_at = NEVER;
	return terminate(w, r->grace_ns, e);
}

static int act_on_time(struct watch *w, struct err *e)
{
	int64_t now = clock_boot_ns();

	if (now >= w->end_at) {
		w->end_at = NEVER;
		if (!w->ending) {
			w->ending = w->r->deadline = true;
			end_partition(w->r);
			if (terminate(w, w->r->grace_ns, e) < 0)
				return -1;
		}
	}
	if (now >= w->term_at && terminate(w, w->r->grace_ns, e) < 0)
		return -1;
	if (now >= w->disk_at && look_at_disk(w, now, e) < 0)
		return -1;
	if (now >= w->share_at && look_at_share(w, now, e) < 0)
		return -1;
	if (now >= w->kill_at) {
		/* Not once: again each second, should it be stuck in the kernel. */
		w->kill_at = now + NS_PER_S;
		if (send_signal(w->r, SIGKILL, e) < 0)
			return -1;
	}
	if (w->r->channel.progress_new && now >= w->progress_at)
		return write_progress(w, now, e);
	return 0;
}

/* ---- stop ---- */

/* Told to pause, a job gets its grace before the first signal; told to end, after it. */
static int act_on_stop(struct watch *w, struct err *e)
{
	struct runner *r = w->r;
	bool was_stopped = r->stopped;
	Cumulus__Worker__StopWhy was = r->stop_why;

	if (!runner_look_for_stop(r) || r->deadline || r->disk_full ||
		(was_stopped && was == r->stop_why))
		return 0;
	w->ending = true;
	if (r->stop_why != CUMULUS__WORKER__STOP_WHY__STOP_PAUSE)
		return terminate(w, r->stop_grace_ns, e);
	w->term_at = clock_boot_ns() + r->stop_grace_ns;
	/* A job that does not read loses nothing: SIGTERM follows. */
	if (r->container.channel >= 0 &&
		send(r->container.channel, PAUSE_WORD, strlen(PAUSE_WORD),
			MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		log_debug("the job cannot be told to pause", "run", r->name, NULL);
	return 0;
}

/* ---- the loop ---- */

static int act(struct watch *w, const struct pollfd *polled, struct err *e)
{
	struct runner *r = w->r;
	uint64_t expirations;

	if (polled[AT_OUT].revents &&
		take_output(r, &r->container.out, FRAME_STDOUT, e) < 0)
		return -1;
	if (polled[AT_ERR].revents &&
		take_output(r, &r->container.err, FRAME_STDERR, e) < 0)
		return -1;
	if (polled[AT_CHANNEL].revents && take_packet(r, e) < 0)
		return -1;
	if ((polled[AT_STOP].revents || r->stop_unseen) && act_on_stop(w, e) < 0)
		return -1;
	if (polled[AT_TIMER].revents &&
		read(w->timer, &expirations, sizeof(expirations)) < 0 && errno != EAGAIN)
		return err_sys(e, "read the timer");
	return act_on_time(w, e);
}

/* Init, and what the runtime left to us. */
static void reap(void)
{
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
}

static int step(struct watch *w, bool *gone, struct err *e)
{
	const struct container *c = &w->r->container;
	struct pollfd polled[AT_COUNT] = {
		[AT_OUT] = { c->out, POLLIN, 0 },
		[AT_ERR] = { c->err, POLLIN, 0 },
		[AT_CHANNEL] = { c->channel, POLLIN, 0 },
		[AT_INIT] = { c->pidfd, POLLIN, 0 },
		[AT_STOP] = { w->r->inotify, POLLIN, 0 },
		[AT_TIMER] = { w->timer, POLLIN, 0 },
	};

	if (set_timer(w, e) < 0)
		return -1;
	if (poll(polled, AT_COUNT, -1) < 0)
		return errno == EINTR ? 0 : err_sys(e, "poll");
	*gone = polled[AT_INIT].revents != 0;
	reap();
	return act(w, polled, e);
}

int runner_supervise(struct runner *r, struct err *e)
{
	CLEANUP(close_fd)
	int timer = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	struct watch w = {
		.r = r,
		.timer = timer,
		.end_at = r->started_ns + r->start->duration * NS_PER_S,
		.term_at = NEVER,
		.kill_at = NEVER,
		.disk_at = r->started_ns + DISK_FIRST,
		.share_at = r->started_ns + SHARE_EVERY,
	};
	bool gone = false;

	if (timer < 0)
		return err_sys(e, "make a timer");
	while (!gone) {
		if (step(&w, &gone, e) < 0)
			return -1;
	}
	fault_point("exit");
	r->ended_ns = clock_boot_ns();
	if (drain(r, e) < 0)
		return -1;
	return r->channel.progress_new ? write_progress(&w, r->ended_ns, e) : 0;
}
