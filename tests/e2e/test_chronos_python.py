"""The Python module chronos, on simulated devices and the real library."""

import importlib
import os
import subprocess
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, "build")


@pytest.fixture(scope="module")
def chronos():
    os.environ["CHRONOS_LIBRARY"] = os.path.join(BUILD, "lib", "libchronos.so.0")
    sys.path.insert(0, os.path.join(ROOT, "chronos", "python"))
    try:
        yield importlib.import_module("chronos")
    finally:
        sys.path.pop(0)
        del os.environ["CHRONOS_LIBRARY"]


@pytest.fixture
def partitioner(chronos, tmp_path):
    with chronos.Partitioner(tmp_path / "chronos", devices="simulated:2") as p:
        yield p


def refused(chronos, code, call, *args, **kwargs):
    with pytest.raises(chronos.ChronosError) as failure:
        call(*args, **kwargs)
    assert failure.value.code == code, failure.value
    assert str(failure.value)


def test_a_partition_is_released_at_the_end_of_its_block(partitioner):
    with partitioner.create(device=0, memory=0.5, duration=60) as p:
        assert partitioner.get_available(0) == 50.0
        assert 59 < p.time_remaining <= 60
        assert [q.partition_id for q in partitioner.list()] == [p.partition_id]
        assert (p.memory, p.devices, p.memory_bytes) == (0.5, [0], 8 << 30)
    assert partitioner.get_available(0) == 100.0
    assert partitioner.list() == []
    assert p.time_remaining == 0.0


def test_a_partition_released_in_its_block_is_no_error(partitioner, chronos):
    with partitioner.create(0, 0.1, 60) as p:
        p.release()
        refused(chronos, "not_found", p.release)


def test_an_error_in_the_block_releases_too_and_comes_through(partitioner):
    with pytest.raises(ZeroDivisionError):
        with partitioner.create(0, 1, 60):
            1 / 0
    assert partitioner.get_available(0) == 100.0


def test_what_one_process_takes_another_sees(partitioner, tmp_path):
    p = partitioner.create([0, 1], "0.25", 60, key="nightly", burst=True)
    out = subprocess.run(
        [os.path.join(BUILD, "bin", "chronos"), "list", "--json", "--dir", tmp_path / "chronos"],
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    assert p.partition_id in out and "nightly" in out
    assert partitioner.find("nightly").devices == [0, 1]
    assert partitioner.create([0, 1], 0.25, 60, key="nightly").partition_id == p.partition_id
    p.renew(5)
    assert p.time_remaining <= 5
    partitioner.release("nightly")


def test_what_cannot_be_is_refused_with_its_reason(partitioner, chronos):
    create = partitioner.create
    for share in (0, 1.01, -1, 0.105, float("nan"), float("inf"), "0.5x", "1e0", None, ""):
        with pytest.raises((chronos.ChronosError, ValueError)):
            create(0, share, 60)
    for duration in (0, -1, float("nan"), float("inf"), "x", 10**12, None):
        refused(chronos, "invalid", create, 0, 0.5, duration)
    refused(chronos, "not_found", create, 7, 0.5, 60)
    refused(chronos, "not_found", create, "GPU-x", 0.5, 60)
    refused(chronos, "invalid", create, [], 0.5, 60)
    refused(chronos, "invalid", create, [0, 0], 0.5, 60)
    refused(chronos, "invalid", create, 0, 0.5, 60, user="no-such-user")
    refused(chronos, "invalid", create, 0, 0.5, 60, key="a\0b")
    with create(0, 0.9, 60):
        refused(chronos, "exhausted", create, 0, 0.2, 60)
    refused(chronos, "not_found", partitioner.release, "p-00000000")
    refused(chronos, "not_found", partitioner.get_available, 9)


def test_stats_tell_the_devices(partitioner):
    with partitioner.create(1, 0.3, 60):
        devices = partitioner.stats()
        assert [d.index for d in devices] == [0, 1]
        assert [d.available for d in devices] == [1.0, 0.7]
        assert devices[1].kind == "simulated" and devices[1].partitions == 1


def test_a_closed_partitioner_says_so(chronos, tmp_path):
    p = chronos.Partitioner(tmp_path / "chronos", devices="simulated:1")
    p.close()
    refused(chronos, "invalid", p.list)


def test_the_structures_are_those_of_the_header(chronos, tmp_path):
    """What ctypes believes, and what the compiler does."""
    source = tmp_path / "sizes.c"
    source.write_text(
        '#include "chronos.h"\n#include <stdio.h>\n'
        'int main(void){printf("%zu %zu %zu %zu", sizeof(struct chronos_error),'
        "sizeof(struct chronos_request), sizeof(struct chronos_partition),"
        "sizeof(struct chronos_device));}\n"
    )
    program = tmp_path / "sizes"
    subprocess.run(
        ["cc", "-I", os.path.join(ROOT, "chronos"), source, "-o", program], check=True
    )
    sizes = subprocess.run([program], capture_output=True, check=True, text=True).stdout
    import ctypes

    ours = (chronos._Error, chronos._Request, chronos._Partition, chronos._Device)
    assert sizes == " ".join(str(ctypes.sizeof(s)) for s in ours)
