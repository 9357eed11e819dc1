#!/bin/bash
# new_enough_go.sh - succeeds where `go` is as new as orchestrator/go.mod asks.
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
wanted=$(sed -n 's/^go //p' "$(dirname "$0")/../orchestrator/go.mod")
have=$(GOTOOLCHAIN=local go env GOVERSION 2>/dev/null | sed 's/^go//') || exit 1
[ -n "$have" ] && [ "$(printf '%s\n%s\n' "$wanted" "$have" | sort -V | head -n 1)" = "$wanted" ]
