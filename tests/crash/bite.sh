#!/bin/bash
# bite.sh - takes one mechanism after another out of the programs: the crash test must notice.
# SPDX-License-Identifier: Apache-2.0
#
# Usage: tests/crash/bite.sh [PATTERN]      as root, from the root, after `make build/venv/.made`
#
# Each one is built in a copy of what is committed and gets up to three seeds of 60 cycles.
set -eu -o pipefail

pattern=${1:-.}
python=$PWD/build/venv/bin/python
work=$(mktemp -d)
chmod 0711 "$work"
trap 'rm -rf "$work"' EXIT
escaped=0

# promise and what is taken out @ files @ sed expression
mutations=$(cat <<'LIST'
1 the gate@orchestrator/core/gate.c@s/en->rests_on > c->committed/false/
1 one job for one key@orchestrator/core/core.c@s/!s->key || !(job || known->found)/true/
2 a run begins once@worker/run.c runner/runner.c@s/log.records\[i\].type != RUN_RECORD_SETTING_UP/false/
3 what a watcher knows already@orchestrator/rpc/watch.c@s/w->resumed = after;/w->resumed = 0;/
3 output comes before the event behind it@orchestrator/rpc/watch.c@s/if (go_on_with_output(w, /if (!next \&\& go_on_with_output(w, /
4 the control group of a dead runner's job@runner/runclean.c@s/return cgroup_remove(&g, e);/return 0;/
4 forgetting of folders@orchestrator/core/report.c@s/tell_forget(c, w, r, job->last_record);/;/
5 what is leased already@orchestrator/core/fleet.c@s/d->leased + d->info.foreign;/d->leased \/ 2;/;s/assert(d->leased <= 100);/;/
6 waiting for output@orchestrator/core/report.c@s/run->output_durable < output_before(run, &k->report)/false/
6 the lock of a run@runfolder/folder.c@s/lock_file(dirfd, RUN_FILE_LOCK, e)/openat(dirfd, RUN_FILE_LOCK, O_RDWR | O_CREAT | O_CLOEXEC, 0600)/
LIST
)

try() { # what, files, expression
	local what=$1 files=$2 expression=$3 tree=$work/tree seed
	rm -rf "$tree"
	cp -a "$work/whole" "$tree"
	for file in $files; do
		sed -i "$expression" "$tree/$file"
		if cmp -s "$work/whole/$file" "$tree/$file"; then
			echo "cannot take out: $what ($file has changed)"
			return 1
		fi
	done
	if ! make -C "$tree" -j2 all >"$work/build" 2>&1; then
		echo "cannot take out: $what: $(grep -m1 error "$work/build")"
		return 1
	fi
	for seed in 1 2 3; do
		if ! CUMULUS_BUILD=$tree/build SEED=$seed CYCLES=60 timeout 400 \
			"$python" -m pytest tests/crash >"$work/out" 2>&1; then
			echo "caught   $what (seed $seed): $(grep -m1 WRONG "$work/out" | cut -c1-150)"
			return 0
		fi
	done
	echo "ESCAPED  $what"
	return 1
}

mkdir "$work/whole"
git archive HEAD | tar -x -C "$work/whole"
make -C "$work/whole" -j2 all >"$work/build" 2>&1 || { cat "$work/build"; exit 1; }

while IFS=@ read -r what files expression; do
	[[ $what =~ $pattern ]] || continue
	try "$what" "$files" "$expression" </dev/null || escaped=1
done <<<"$mutations"
exit "$escaped"
