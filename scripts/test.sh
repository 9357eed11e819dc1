#!/bin/bash
# test.sh - every stage of `make test`, with its time; stops at the first that fails.
# SPDX-License-Identifier: Apache-2.0
#
# Each stage's output goes to build/test/STAGE.log too.  The last line adds up what cmocka and
# pytest counted, with one for each other stage: "N passed, N failed, N skipped".
set -uo pipefail
cd "$(dirname "$0")/.."

passed=0
failed=0
skipped=0

# Add the counts that stand in the log $1; status 1 when it holds none.
add_counts() {
	local sums
	sums=$(sed -E 's/\x1b\[[0-9;]*m//g' "$1" | awk '
		/^\[  PASSED  \] [0-9]+ test/  { p += $4; found = 1 }
		/^\[  FAILED  \] [0-9]+ test/  { f += $4; found = 1 }
		/^\[  SKIPPED \] [0-9]+ test/  { s += $4; found = 1 }
		/^=+ .* in [0-9.]+s.* =+$/ || /^[0-9]+ (passed|failed|skipped|error).* in [0-9.]+s/ {
			for (i = 2; i <= NF; i++) {
				if ($i ~ /^passed/)  { p += $(i - 1); found = 1 }
				if ($i ~ /^(failed|errors?),?$/)  { f += $(i - 1); found = 1 }
				if ($i ~ /^skipped/) { s += $(i - 1); found = 1 }
			}
		}
		/^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$/ {
			p += $1; f += $3; s += $5; found = 1
		}
		END { if (!found) exit 1; print p + 0, f + 0, s + 0 }') || return 1
	read -r p f s <<<"$sums"
	passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
}

finish() {
	local skips
	skips=$(sed -nE 's/^(SKIPPED .*|\[  SKIPPED \] [a-z].*)$/  \1/p' build/test/*.log | sort -u)
	[ -z "$skips" ] || printf '\nskipped:\n%s\n' "$skips"
	echo
	echo "$passed passed, $failed failed, $skipped skipped"
	exit "$1"
}

stage() { # name, command...
	local name=$1 log=build/test/$1.log began=$SECONDS status=0 before=$failed
	shift
	echo "==== $name"
	"$@" 2>&1 </dev/null | tee "$log"
	status=${PIPESTATUS[0]}
	if ! add_counts "$log"; then
		if [ "$status" -eq 0 ]; then
			if grep -q '^SKIPPED ' "$log"; then
				skipped=$((skipped + 1))
			else
				passed=$((passed + 1))
			fi
		fi
	fi
	if [ "$status" -ne 0 ]; then
		[ "$failed" -ne "$before" ] || failed=$((failed + 1))
		echo "==== $name FAILED after $((SECONDS - began)) s (build/test/$name.log)"
		finish 1
	fi
	echo "==== $name: $((SECONDS - began)) s"
}

make() {
	command "${MAKE:-make}" --no-print-directory "$@"
}

mkdir -p build/test
rm -f build/test/*.log
stage setup scripts/setup.sh test
stage build make -j"$(nproc)" all
stage check-proto make check-proto
stage format make lint-format
stage clang make lint-clang
stage unit make unit
stage tsan make tsan
stage sim make sim
stage e2e make e2e
stage crash make crash
stage fuzz make fuzz
stage tidy make lint-tidy
finish 0
