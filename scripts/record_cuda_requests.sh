#!/bin/bash
# record_cuda_requests.sh - writes tests/cuda/runtime_requests.txt anew: what NVIDIA's runtime
# asks its driver for, as a fake driver hears it.  Build first.
# SPDX-License-Identifier: Apache-2.0
#
#   scripts/record_cuda_requests.sh      after raising the versions in test_cuda_layer.py
set -euo pipefail
cd "$(dirname "$0")/.."
build=${CUMULUS_BUILD:-build}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The tests fetch the runtimes that they name.
"$build/venv/bin/python" -B -m pytest -q tests/e2e/test_cuda_layer.py -k nvidias_headers
for library in $(find build/cuda-runtime -name 'libcudart.so.*'); do
	FAKE_CUDA_LOG="$work/log" FAKE_CUDA_STATE="$work/device" \
	LD_LIBRARY_PATH="$build/tests/fake-cuda" "$build/venv/bin/python" -c '
import ctypes, sys
ctypes.CDLL(sys.argv[1]).cudaGetDeviceCount(ctypes.byref(ctypes.c_int()))' "$PWD/$library"
done
grep -v '^ ' "$work/log" | LC_ALL=C sort -u > tests/cuda/runtime_requests.txt
