/* account.h - what a partition may still have of a device's time, and whose turn is next. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pure: no clock, no lock, no file.  Whoever gives turns, a process of a cooperative
 * device or the arbiter, keeps the accounts by these and holds what guards them.
 */
#pragma once

#include "share.h"

/* The share of a span of time. */
int64_t account_share_of(const struct seat *s, uint64_t ns);
/* A new account, with a quantum's share in it. */
void account_open(struct seat *s, uint64_t now_ns);
void account_refill(struct seat *s, uint64_t now_ns);
/* It had so much until now.  What was borrowed, nobody else wanted: it is free.  What is beyond the
 * budget is a debt, paid by waiting, for a turn or away: time passes the same.  It has a
 * floor of a minute of the device, a long kernel several times over: past that it is work
 * that was never reported, as of a process that was stopped, or a machine that slept, and
 * its partition shall get over it. */
void account_charge(struct seat *s, uint64_t had_ns, bool borrowed, uint64_t now_ns);
/* From since_ns to until_ns it had work in flight, of a lease that ended at end_ns.  Time
 * that follows is told in spans that follow each other; what is over within the grace is
 * none.  Thread: any, its counters are atomic. */
void account_overrun(
	struct seat *s, uint64_t since_ns, uint64_t until_ns, uint64_t end_ns);
/* How long until an exhausted account can have a turn again; 0: at once. */
uint64_t account_wait_ns(const struct seat *s);
/* It wants a turn.  Who comes after a pause gets nothing for it: its account is moved up
 * to the least of the other active ones. */
void account_be_active(
	struct seat seats[SHARE_SEATS_MAX], struct seat *s, uint64_t now_ns);
