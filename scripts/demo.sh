#!/bin/bash
# demo.sh - runs the examples on a system of its own and leaves nothing behind.
# SPDX-License-Identifier: Apache-2.0
#
# Everything lives in one folder under /tmp that root owns, also when a user with sudo runs
# this: a worker keeps what it does as root only where nobody else can rename things.  For
# that user sudo starts cumulusd, which starts cumulus-worker (the one part that needs
# root) and becomes an unprivileged user before it listens.  The programs are in a session
# of their own, so Ctrl-C reaches this script alone, at any moment; it then ends them in
# order: cumulusd stops the jobs and the worker, then the folder goes.
set -euo pipefail
umask 022 # sudo keeps a stricter one, and then we could not read what cumulusd prints
cd "$(dirname "$0")/.."

bin=$(realpath "${BUILD:-build}")/bin
patience_s=30
sudo=()
top=
child=
began=$SECONDS

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
[ -t 1 ] && [ -z "${NO_COLOR:-}" ] || say() { printf '\n%s\n' "$*"; }

complain() { printf 'demo: %s\n' "$*" >&2; }

# Signal what root has started.  With the shell's own kill: a small Debian has no other.
send() { "${sudo[@]}" sh -c 'kill -s "$1" "$2"' send "$1" "$2"; }

# Is there a process $1 that has not ended?  A zombie has.
alive() { grep -qs '^State:[[:space:]]*[^ZX]' "/proc/$1/status"; }

# Pids that name our folder: cumulusd, the worker, runners, containers.
left() { grep -lsF -f <(printf '%s\n' "$top") /proc/[0-9]*/cmdline | cut -d/ -f3 || true; }

# Until the command $2... succeeds, for at most $1 seconds.
until_within() {
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		[ "$SECONDS" -lt "$end" ] || return 1
		sleep 0.05
	done
}

is_up_or_dead() {
	grep -qs '^listening on ' "$top/out" && return
	[ -s "$top/pid" ] && ! alive "$(cat "$top/pid")"
}
is_gone() { ! alive "$pid"; }
nothing_left() { [ -z "$(left)" ]; }
is_ready() { "$bin/cumulus" health -q >/dev/null 2>&1; }
both_run() { "$bin/cumulus" ps -q -f running --name half- | wc -l | grep -qx 2; }

start() {
	local shell='echo $$ >"$1/pid"; exec "$2" --listen 127.0.0.1:0 --http off \
		--data "$1/data" --devices simulated:2 --on-exit stop \
		>"$1/out" 2>"$1/log" </dev/null'

	# Between making the folder and knowing its name nothing may stop us.
	trap '' INT TERM HUP
	top=$("${sudo[@]}" mktemp -d /tmp/cumulus-demo.XXXXXX)
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
	"${sudo[@]}" chmod 0711 "$top"
	"${sudo[@]}" setsid --fork sh -c "$shell" sh "$top" "$bin/cumulusd"
	until_within "$patience_s" is_up_or_dead || true
	if ! grep -qs '^listening on ' "$top/out"; then
		complain "cumulusd does not listen; its log:"
		cat "$top/log" >&2
		exit 1
	fi
	CUMULUS_ADDRESS=$(sed -n 's/^listening on //p' "$top/out")
	export CUMULUS_ADDRESS
	if ! until_within "$patience_s" is_ready; then
		complain "no worker comes; the log:"
		tail -n 20 "$top/log" >&2
		exit 1
	fi
}

# Runs at every end, whatever led to it.
stop() {
	local status=$?
	trap '' INT TERM HUP PIPE
	# What fails from here on must not keep the rest from being taken down.
	set +e
	[ -z "$child" ] || kill "$child" 2>/dev/null
	[ -n "$top" ] || exit "$status"
	[ "$status" -lt 128 ] || printf '\ndemo: interrupted; taking everything down\n'

	# Interrupted between the start and its file: it comes in a moment or never.
	until_within 2 test -s "$top/pid"
	if [ -s "$top/pid" ]; then
		pid=$(cat "$top/pid")
		alive "$pid" && send TERM "$pid"
		until_within "$patience_s" is_gone || complain "cumulusd does not end"
	fi
	if ! until_within "$patience_s" nothing_left; then
		complain "these do not end and are killed:"
		for pid in $(left); do
			complain "  $pid $(tr '\0' ' ' <"/proc/$pid/cmdline")"
			send KILL "$pid"
		done
		status=1
	fi
	"${sudo[@]}" rm -rf --one-file-system "$top"
	exit "$status"
}

# cumulus with these words, shown first.  In a session of its own: Ctrl-C is ours.
cumulus() {
	printf '$ cumulus'
	printf ' %q' "$@"
	printf '\n'
	setsid "$bin/cumulus" "$@" &
	child=$!
	local status=0
	wait "$child" || status=$?
	child=
	return "$status"
}

# The same, which must end with exit code $1.
expect() {
	local want=$1 status=0
	shift
	cumulus "$@" || status=$?
	[ "$status" -eq "$want" ] && return
	complain "exit code $status instead of $want"
	exit 1
}

trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

if [ "$EUID" -ne 0 ]; then
	sudo=(sudo)
	if ! command -v sudo >/dev/null; then
		complain "needs root or sudo: cumulus-worker makes containers, which takes root"
		exit 1
	fi
	echo "sudo: cumulus-worker makes containers and GPU partitions, which takes root"
	sudo -v
fi
start
say "A system with two simulated GPUs"
expect 0 health
expect 0 workers

say "A job, from its folder to its result"
expect 0 run -g 0.25 -t 1m examples/hello -- demo

say "A job that says how far it is"
expect 0 run -g 0.5 -t 1m examples/progress

say "A job that fails: exit code 1, and the reason"
expect 1 run -g 0.1 -t 1m examples/fails

say "Two halves of one GPU, side by side"
# Backquotes: bash 5.2 runs a trap that is due in the middle of reading $(...), and fails for
# want of its last bracket.
one=`"$bin/cumulus" submit --parsable -g 0.5 -t 1m -n half-one examples/half_gpu -- 3`
two=`"$bin/cumulus" submit --parsable -g 0.5 -t 1m -n half-two examples/half_gpu -- 3`
until_within "$patience_s" both_run || complain "they did not run at the same time"
expect 0 ps
expect 0 workers
expect 0 attach "$one"
expect 0 attach "$two"

say "What was done"
expect 0 ps -a
printf '\nThat took %d s.  Now it is taken down: no process, no folder, no partition stays.\n' \
	$((SECONDS - began))
