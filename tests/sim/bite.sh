#!/bin/bash
# bite.sh - takes one mechanism after another out of the core: the simulator must notice.
# SPDX-License-Identifier: Apache-2.0
#
# Usage: tests/sim/bite.sh [SEEDS]      from the root, after `make build/tests/sim`
set -eu -o pipefail

seeds=${1:-3000}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
escaped=0

# what is taken out | file | sed expression
mutations=$(cat <<'LIST'
the gate|gate.c|s/en->rests_on > c->committed/false/
the gate of records of an input: no wait for the first one|gate.c|s/en->rests_on > c->committed/en->rests_on > c->committed + 1/
fencing by attempt|report.c|s/job->facts.attempt != r->attempt/false/
waiting for output|report.c|s/run->output_durable < output_before(run, .k->report)/false/
a lease kept while the outcome is unknown|life.c|s/job_end(c, job, &end, xstrdup(text), gone)/job_end(c, job, \&end, xstrdup(text), true)/
the release of a late lease|hello.c|s/job_release_late(c, job);/;/
no second start of what may have run|hello.c|s/job->facts.state != JOB_CREATING_PARTITION || job->run->taken/false/
the second start of what cannot have run|hello.c|s/run_tell(c, job, EFFECT_START, STOP_WHY_CANCEL);/;/
the limit of retries|life.c|s/job->facts.retries < job->submission->max_retries/true/
CANCELLED after a promise|life.c|s/if (job->facts.cancel_requested) {/if (false) {/
the record of a cancel request|life.c|s/job->facts.cancel_requested = true;/;/
one job for one key|core.c|s/s->key ? find_key(c, s) : NULL/NULL/
the key of a stored job|core.c|s/!(job || known->found)/!job/
the identity behind a key|core.c|s/memcmp(identity, &s->identity, sizeof(\*identity)) != 0/false/
the fate shared by all who wait for a new job|core.c|s/gate_refuse_waiters(job, why);/;/
the release of what no_wait held|core.c|s/if (job->run)$/if (false)/
run slots|fleet.c|s/w->lease_count + w->stray_count < w->said.run_slots/true/
the backstop|life.c|s/run_tell(c, job, EFFECT_STOP, STOP_WHY_BACKSTOP);/;/
the deadline after the backstop|life.c|s/job_outcome_unknown(c, job, "the worker did not come back", false);/;/
the end of a back-off|life.c|s/^	enqueue(c, job);$/;/
forgetting of folders|report.c|s/tell_forget(c, w, r, job->last_record);/;/
the stop of what is given up, at its Hello|hello.c|s/return stop ? WANT_STOPPED : WANT_RUN_ON;/(void)stop; return WANT_RUN_ON;/
RUNNING before COMPLETED|life.c|s/ev == EV_ENDED_WELL \&\& job->facts.state == JOB_CREATING_PARTITION/false/
entirely free devices|scheduler.c|s/device_free(w->devices\[i\]) == 100 \&\&/device_free(w->devices[i]) \&\&/
leases over a restart|core.c|s/job->facts.leased \&\& restore_lease/false \&\& restore_lease/
nothing new on a draining worker|fleet.c|s/w->present \&\& !w->down \&\& !w->draining/w->present \&\& !w->down/
a drain that came before the start that no_wait promised|life.c|s/ \&\& !job->run->worker->draining//
draining over a restart|core.c|s/fleet_get(c, id)->draining = draining;/(void)draining;/
the record of a drain|drain.c|s/^	record_worker(c, w);$/(void)record_worker;/
what a forgotten worker held|drain.c|s/^	job_release_late(c, job);$/;/
no retry of what a forgotten worker may run still|drain.c|s/"the worker was forgotten", false/"the worker was forgotten", true/
whose run it is|hello.c|s/return r->ours ? WANT_STOPPED : WANT_LEFT_ALONE;/return WANT_STOPPED;/
LIST
)

while IFS='|' read -r what file expression; do
	rm -rf "$work/core"
	cp -r orchestrator/core "$work/core"
	sed -i "$expression" "$work/core/$file"
	if cmp -s "$work/core/$file" "orchestrator/core/$file"; then
		echo "cannot take out: $what ($file has changed)"
		escaped=1
		continue
	fi
	gcc -std=gnu17 -O1 -w -D_GNU_SOURCE -iquote base -iquote "$work/core" -iquote tests/sim \
		-o "$work/sim" tests/sim/*.c "$work"/core/*.c build/lib/libbase.a -lcrypto -lyaml
	# A limit of CPU time: what never comes to an end is caught, what has to share the
	# machine is not.
	ended=0
	{ (ulimit -c 0 && ulimit -S -t 120 && "$work/sim" --seeds "$seeds") || ended=$?; } >"$work/out" 2>&1
	case $ended in
	0)
		echo "ESCAPED  $what"
		escaped=1
		;;
	1) echo "caught   $what: $(grep -m1 'sim: seed' "$work/out" | cut -c1-110)" ;;
	*) echo "caught   $what: SIG$(kill -l "$ended") $(grep -m1 -o 'Assert.*' "$work/out" | cut -c1-100)" ;;
	esac
done <<<"$mutations"
exit $escaped
