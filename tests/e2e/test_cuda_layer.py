"""The CUDA layer with real clients: Python that loads the driver late, NVIDIA's own runtime.

The driver is the fake of tests/cuda.  NVIDIA's packages are fetched once into
build/cuda-runtime; without a package registry the tests that need them are skipped.

SPDX-License-Identifier: Apache-2.0
"""
import json
import os
import subprocess
import sys

import pytest

from system import BIN, ROOT

BUILD = BIN.parent
LAYER = BUILD / "lib" / "cumulus" / "libchronos-cuda.so"
FAKES = BUILD / "tests" / "fake-cuda"
SOURCES = sorted((ROOT / "chronos" / "cuda").glob("*.c"))
# The runtime with cuda.h, and nvml.h.
PACKAGES = {"12": ["nvidia-cuda-runtime-cu12==12.9.79", "nvidia-nvml-dev-cu12==12.9.79"],
            "13": ["nvidia-cuda-runtime==13.5.37", "nvidia-nvml-dev==13.4.92"]}
BINDINGS = ["cuda-bindings==13.5.0", "cuda-pathfinder==1.9.1"]
MIB = 1 << 20

# A program that finds the driver as most of Python's do.
LATE = """
import ctypes, json
cuda = ctypes.CDLL("libcuda.so.1")
out = {"init": cuda.cuInit(0)}
context, at = ctypes.c_void_p(), ctypes.c_uint64()
free, total = ctypes.c_size_t(), ctypes.c_size_t()
out["context"] = cuda.cuCtxCreate_v2(ctypes.byref(context), 0, 0)
cuda.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total))
out["total"] = total.value
out["over"] = cuda.cuMemAlloc_v2(ctypes.byref(at), ctypes.c_size_t(total.value + 1))
out["fits"] = cuda.cuMemAlloc_v2(ctypes.byref(at), ctypes.c_size_t(free.value))
cuda.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total))
out["free"] = free.value
print(json.dumps(out))
"""

# Counts allocations, as programs' own preloaded libraries do.
INTERPOSER = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stddef.h>
int cuMemAlloc_v2(unsigned long long *at, size_t bytes);
int cuMemAlloc_v2(unsigned long long *at, size_t bytes)
{
	int (*next)(unsigned long long *, size_t) =
		(int (*)(unsigned long long *, size_t))dlsym(RTLD_NEXT, "cuMemAlloc_v2");
	fprintf(stderr, "allocates %zu\\n", bytes);
	return next(at, bytes);
}
"""


def run(args, env, **more):
    return subprocess.run([str(a) for a in args], env={**os.environ, **env}, text=True,
                          capture_output=True, timeout=300, **more)


@pytest.fixture
def half(tmp_path):
    """The environment of a program that is held to half of a device of 16 GiB."""
    chronos = [BIN / "chronos", "--dir", tmp_path / "chronos", "--json"]
    made = run([*chronos, "--devices", "simulated:1", "create", "0", "0.5", "600"], {})
    assert made.returncode == 0, made.stderr
    listed = json.loads(run([*chronos, "list"], {}).stdout)
    return {
        "CHRONOS_DIR": str(tmp_path / "chronos"),
        "CHRONOS_PARTITION": listed["partitions"][0]["id"],
        "FAKE_CUDA_STATE": str(tmp_path / "device"),
        "FAKE_CUDA_MIB": "16384",
        "LD_LIBRARY_PATH": str(FAKES),
        "LD_PRELOAD": str(LAYER),
    }


def assert_held(done):
    assert done.returncode == 0, done.stderr
    out = json.loads(done.stdout)
    assert out == {"init": 0, "context": 0, "total": 8192 * MIB, "over": 2, "fits": 0, "free": 0}


def test_a_program_that_loads_the_driver_late_is_held(half):
    assert_held(run([sys.executable, "-c", LATE], half))


def test_a_program_without_a_partition_is_left_alone(half):
    del half["CHRONOS_PARTITION"]
    out = json.loads(run([sys.executable, "-c", LATE], half).stdout)
    assert out["total"] == 16384 * MIB and out["over"] == 2 and out["fits"] == 0


def test_loaded_twice_it_charges_once(half, tmp_path):
    copy = tmp_path / "copy.so"
    copy.write_bytes(LAYER.read_bytes())
    assert_held(run([sys.executable, "-c", LATE], {**half, "LD_PRELOAD": f"{LAYER}:{copy}"}))


ELSEWHERE = """
import ctypes, sys
me = ctypes.CDLL(None)
me.dlmopen.restype = me.dlsym.restype = ctypes.c_void_p
me.dlmopen.argtypes = [ctypes.c_long, ctypes.c_char_p, ctypes.c_int]
me.dlsym.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
me.dlerror.restype = ctypes.c_char_p
copy = me.dlmopen(-1, b"libcuda.so.1", 2)
assert copy, me.dlerror()
found = me.dlsym(copy, b"cuMemAlloc_v2")
print("found" if found else me.dlerror().decode())
"""


def test_a_second_copy_of_the_driver_is_refused(half):
    done = run([sys.executable, "-c", ELSEWHERE], half)
    assert "chronos refuses a second copy of the driver" in done.stdout, done.stderr
    del half["CHRONOS_PARTITION"]
    assert run([sys.executable, "-c", ELSEWHERE], half).stdout == "found\n"


def test_the_c_librarys_dlsym_asked_for_by_name_is_ours(half):
    """As programs' own interposers do."""
    through = """
libc = ctypes.CDLL("libc.so.6")
address = ctypes.cast(libc.dlsym, ctypes.c_void_p).value
find = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)(address)
library = ctypes.CDLL("libcuda.so.1")
class cuda: pass
for name in ("cuInit", "cuCtxCreate_v2", "cuMemGetInfo_v2", "cuMemAlloc_v2"):
    setattr(cuda, name, ctypes.CFUNCTYPE(ctypes.c_int)(find(library._handle, name.encode())))
"""
    program = LATE.replace('cuda = ctypes.CDLL("libcuda.so.1")\n', through)
    assert "CFUNCTYPE" in program
    program = program.replace("cuda.cuInit(0)", "cuda.cuInit(ctypes.c_int(0))")
    assert_held(run([sys.executable, "-c", program], half))


@pytest.mark.parametrize("first", [True, False])
def test_a_library_with_the_layers_name_does_not_stop_it(half, tmp_path, first):
    source, other = tmp_path / "other.c", tmp_path / "other.so"
    source.write_text('const char *chronos_cuda_layer(void); '
                      'const char *chronos_cuda_layer(void) { return "0"; }')
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", other, source], check=True)
    order = [other, LAYER] if first else [LAYER, other]
    assert_held(run([sys.executable, "-c", LATE],
                    {**half, "LD_PRELOAD": ":".join(str(p) for p in order)}))


@pytest.mark.parametrize("first", ["theirs", "ours"])
def test_a_library_that_the_program_preloads_goes_on_working(half, tmp_path, first):
    source, theirs = tmp_path / "theirs.c", tmp_path / "theirs.so"
    source.write_text(INTERPOSER)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", theirs, source], check=True)
    order = [theirs, LAYER] if first == "theirs" else [LAYER, theirs]
    # As a program that is linked with the driver: its names are found in all libraries.
    program = ("import ctypes; ctypes.CDLL('libcuda.so.1', ctypes.RTLD_GLOBAL)\n"
               + LATE.replace('"libcuda.so.1"', "None"))
    done = run([sys.executable, "-c", program],
               {**half, "LD_PRELOAD": ":".join(str(p) for p in order)})
    assert_held(done)
    if first == "theirs":
        assert done.stderr.count("allocates") == 2


def test_a_program_that_chronos_run_starts_is_held(half):
    del half["LD_PRELOAD"]
    partition = half.pop("CHRONOS_PARTITION")
    assert_held(run([BIN / "chronos", "run", partition, "--", sys.executable, "-c", LATE], half))


def fetched(place, packages):
    """A folder with these packages, or a skip that says why they cannot be had."""
    if (place / "done").exists() and (place / "done").read_text() == repr(packages):
        return place
    got = subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--upgrade",
                          "--disable-pip-version-check", "--target", place, *packages],
                         capture_output=True, text=True)
    if got.returncode != 0:
        pytest.skip(f"{packages} cannot be had: {got.stderr.strip()[-200:]}")
    (place / "done").write_text(repr(packages))
    return place


@pytest.fixture(scope="session", params=sorted(PACKAGES))
def runtime(request):
    """The folder of NVIDIA's runtime and headers of one major version."""
    place = ROOT / "build" / "cuda-runtime" / request.param
    return request.param, fetched(place, PACKAGES[request.param])


def test_the_sources_agree_with_nvidias_headers(runtime):
    _, place = runtime
    headers = next(place.rglob("cuda.h")).parent
    for source in SOURCES:
        done = run(["gcc", "-std=gnu17", "-fsyntax-only", "-Wall", "-Wextra", "-Wconversion",
                    "-Wmissing-prototypes", "-Werror", "-Wno-deprecated-declarations",
                    "-D_GNU_SOURCE", '-DCUMULUS_VERSION=""', "-DCHRONOS_OFFICIAL_CUDA_H",
                    "-isystem", headers, "-iquote", ROOT / "chronos", "-iquote",
                    ROOT / "chronos" / "cuda", source], {})
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("header", ["cuda", "nvml"])
def test_structures_and_values_are_those_of_nvidias_headers(runtime, tmp_path, header):
    _, place = runtime
    headers = next(place.rglob(f"{header}.h")).parent
    source = ROOT / "tests" / "cuda" / {"cuda": "layout.c", "nvml": "layout_nvml.c"}[header]
    theirs = [f"-DCHRONOS_OFFICIAL_{header.upper()}_H", "-isystem", headers]
    said = []
    for name, flags in (("ours", []), ("theirs", theirs)):
        program = tmp_path / name
        done = run(["gcc", "-std=gnu17", "-D_GNU_SOURCE", "-w", *flags, "-iquote",
                    ROOT / "chronos" / "cuda", "-o", program, source], {})
        assert done.returncode == 0, done.stderr
        said.append(run([program], {}).stdout)
    assert said[0] == said[1] and said[0].count("\n") > 20


def test_the_runtime_asks_the_driver_for_what_was_recorded(runtime, half, tmp_path):
    """NVIDIA's libcudart starts as far as the fake lets it: it has no private tables."""
    _, place = runtime
    library = next(place.rglob("libcudart.so.*"))
    log = tmp_path / "requests"
    program = ("import ctypes, sys; n = ctypes.c_int(); "
               "ctypes.CDLL(sys.argv[1]).cudaGetDeviceCount(ctypes.byref(n))")
    done = run([sys.executable, "-c", program, library], {**half, "FAKE_CUDA_LOG": str(log)})
    assert done.returncode == 0, done.stderr
    asked = {line for line in log.read_text().splitlines() if not line.startswith(" ")}
    recorded = (ROOT / "tests" / "cuda" / "runtime_requests.txt").read_text().splitlines()
    assert len(asked) > 300
    assert not asked - set(recorded), "record them: scripts/record_cuda_requests.sh"


# What cuda-python's users write.
BOUND = """
import json, sys
from cuda.bindings import driver as cuda
def ok(answer):
    assert int(answer[0]) == 0, answer
    return answer[1] if len(answer) == 2 else answer[1:]
ok(cuda.cuInit(0))
ok(cuda.cuCtxSetCurrent(ok(cuda.cuDevicePrimaryCtxRetain(0))))
free, total = ok(cuda.cuMemGetInfo())
over, _ = cuda.cuMemAlloc(total + 1)
all = ok(cuda.cuMemAlloc(free))
left, _ = ok(cuda.cuMemGetInfo())
ok(cuda.cuMemFree(all))
stream = ok(cuda.cuStreamCreate(0))
some = ok(cuda.cuMemAllocAsync(100 << 20, stream))
with_pool, _ = ok(cuda.cuMemGetInfo())
ok(cuda.cuMemFreeAsync(some, stream))
ok(cuda.cuStreamSynchronize(stream))
print(json.dumps({"total": total, "over": int(over), "left": left, "pool": free - with_pool}))
"""


def test_cuda_python_is_held(half):
    place = fetched(ROOT / "build" / "cuda-bindings", BINDINGS)
    done = run([sys.executable, "-c", BOUND], {**half, "PYTHONPATH": str(place)})
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"total": 8192 * MIB, "over": 2, "left": 0, "pool": 100 * MIB}


def test_gpu_check_says_loudly_when_there_is_no_gpu():
    done = run([sys.executable, ROOT / "scripts" / "gpu_check.py", BUILD],
               {"LD_LIBRARY_PATH": "/nonexistent"})
    if "no NVIDIA GPU here" not in done.stderr and "no PyTorch" not in done.stderr:
        pytest.skip("this machine has a GPU: run make gpu-check")
    assert done.returncode == 3 and "NOTHING WAS CHECKED" in done.stderr and not done.stdout


def test_gpu_check_makes_its_report_with_the_fake_driver():
    """Its shares are a matter of how busy this machine is; the rest is not."""
    done = run([sys.executable, ROOT / "scripts" / "gpu_check.py", BUILD, "--fake"], {})
    rows = [line for line in done.stdout.splitlines() if line.startswith("| ")][1:]
    assert len(rows) == 20, done.stdout + done.stderr
    for row in rows:
        if row.startswith(("| memory", "| after kill", "| charged")):
            assert row.endswith("| ok |"), row
