#!/bin/bash
# check_proto.sh - says whether the committed bindings are those of proto/orchestrator.proto.
# SPDX-License-Identifier: Apache-2.0
#
# Run by `make check-proto`.  Go is only compared where a new enough Go is.
set -euo pipefail
cd "$(dirname "$0")/.."

fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
stale=0

compare() { # folder of the committed files, folder of the fresh ones
	if ! diff -r -q --exclude=__pycache__ "$1" "$2" >&2; then
		echo "check-proto: $1 is stale: run \`make proto\` and commit what it writes" >&2
		stale=1
	fi
}

make --no-print-directory -s proto-python PYTHON_PROTO="$fresh/python"
compare sdk/proto "$fresh/python"

if scripts/new_enough_go.sh; then
	make --no-print-directory -s proto-go GO_PROTO="$fresh/go"
	compare orchestrator/proto "$fresh/go"
else
	echo "SKIPPED check-proto of Go: no Go 1.24 or newer"
fi
exit $stale
