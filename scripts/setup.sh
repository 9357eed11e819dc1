#!/bin/bash
# setup.sh - installs the Debian packages that Cumulus is built or tested with.
# SPDX-License-Identifier: Apache-2.0
#
#   scripts/setup.sh build    what `make` and `make demo` need (the default)
#   scripts/setup.sh chronos  what `make chronos` needs, a part of that
#   scripts/setup.sh test     that, and what `make test` needs
#   scripts/setup.sh proto    what `make proto` needs beside Go
#   scripts/setup.sh bench    what `make bench` measures beside ours
#
# Prints nothing when everything is there.  Otherwise it says what it installs and why,
# before it does, with sudo when not root.
set -euo pipefail

build=(
	'gcc|compiles the programs'
	'libc6-dev|headers of libc'
	'make|drives the build'
	'pkg-config|finds the libraries below'
	'protobuf-compiler|reads proto/*.proto'
	'protobuf-c-compiler|turns them into C'
	'libprotobuf-c-dev|messages'
	'libnghttp2-dev|HTTP/2 under gRPC'
	'libuv1-dev|the event loop'
	'libsqlite3-dev|the durable store'
	'libssl-dev|SHA-256'
	'libzip-dev|job packages'
	'libjansson-dev|JSON results'
	'libyaml-dev|configuration files'
	'libmicrohttpd-dev|health and metrics over HTTP'
	'libseccomp-dev|system call filters'
	'crun|runs the jobs'\'' containers'
	'python3|runs the jobs'\'' code'
	'python3-pip|builds their environments'
)
chronos=(
	'gcc|compiles the programs'
	'libc6-dev|headers of libc'
	'make|drives the build'
	'pkg-config|finds the library below'
	'libjansson-dev|JSON answers'
	'python3|writes the manual page'
)
test=(
	'clang|the second compiler'
	'libclang-rt-14-dev|its sanitizers'
	'clang-format|checks the style'
	'clang-tidy|looks for bugs'
	'libcmocka-dev|unit tests'
	'runc|the other container runtime'
	'git|lists the files that are checked'
	'python3-venv|the end to end tests'\'' own Python packages'
	'python3-numpy|a requirement that the host has'
	'opencl-headers|finding OpenCL devices'
	'ocl-icd-opencl-dev|finding OpenCL devices'
	'pocl-opencl-icd|an OpenCL device that every machine has'
	'sqlite3|looks into a store'
	'nghttp2-client|speaks HTTP/2 that is not ours'
	'curl|asks the HTTP side'
	'zip|makes packages that are not ours'
	'procps|looks at processes'
	'util-linux|looks at mounts and locks'
	'fish|a shell whose completion is tested'
	'zsh|another'
	'mandoc|checks the manual pages'
	'man-db|checks them as readers see them'
	'systemd|checks the units'
)
proto=(
	'protobuf-compiler|reads proto/*.proto'
	'protobuf-c-compiler|C bindings'
	'python3-venv|holds the pinned grpcio-tools'
)
bench=(
	'nghttp2-client|h2load makes the load'
	'libgrpc++-dev|a gRPC server of C++'
	'g++|compiles it'
	'python3-venv|a gRPC server of Python'
	'docker.io|docker run'
	'busybox-static|the image that docker runs'
	'slurm-wlm|srun and sbatch'
	'libslurm-dev|a client of Slurm without a process for each job'
	'munge|Slurm asks it who is who'
)

case "${1:-build}" in
build) wanted=("${build[@]}") ;;
chronos) wanted=("${chronos[@]}") ;;
test) wanted=("${build[@]}" "${test[@]}") ;;
proto) wanted=("${proto[@]}") ;;
bench) wanted=("${build[@]}" "${bench[@]}") ;;
*)
	echo "usage: scripts/setup.sh [build|chronos|test|proto|bench]" >&2
	exit 2
	;;
esac

# One question for all of them: on a machine that has everything this is all that runs.
installed=""
if command -v dpkg-query >/dev/null; then
	installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' 2>/dev/null |
		sed -n 's/^installed //p')
fi

missing=()
reasons=()
for line in "${wanted[@]}"; do
	name=${line%%|*}
	if ! grep -qxF "$name" <<<"$installed"; then
		missing+=("$name")
		reasons+=("$(printf '  %-22s %s' "$name" "${line#*|}")")
	fi
done
[ ${#missing[@]} -eq 0 ] && exit 0

if ! command -v apt-get >/dev/null; then
	echo "setup: no apt-get here. Install what these Debian packages hold, then try again:" >&2
	printf '%s\n' "${reasons[@]}" >&2
	exit 1
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
	if ! command -v sudo >/dev/null; then
		echo "setup: these packages are missing, and there is neither root nor sudo:" >&2
		printf '%s\n' "${reasons[@]}" >&2
		echo "setup: as root, type: apt-get install ${missing[*]}" >&2
		exit 1
	fi
	as_root=(sudo)
fi

echo "setup: installing ${#missing[@]} Debian packages${as_root:+ with sudo}:"
printf '%s\n' "${reasons[@]}"
apt() {
	"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get \
		-o DPkg::Lock::Timeout=120 -o Dpkg::Use-Pty=0 "$@"
}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { apt update -qq && apt install -qq -y --no-install-recommends "${missing[@]}"; } \
	>"$log" 2>&1 </dev/null; then
	tail -n 20 "$log" >&2
	echo "setup: apt-get failed (above); nothing else was tried" >&2
	exit 1
fi
echo "setup: done"
