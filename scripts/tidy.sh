#!/bin/bash
# tidy.sh - clang-tidy on some files; prints only what it finds.
# SPDX-License-Identifier: Apache-2.0
#
#   scripts/tidy.sh FOLDER FILE...     FOLDER holds compile_commands.json
set -euo pipefail
folder=$1
shift
# It counts the warnings of system headers on stderr: noise, unless it failed.
if ! output=$(clang-tidy --quiet -p "$folder" "$@" 2>&1); then
	printf '%s\n' "$output" >&2
	exit 1
fi
