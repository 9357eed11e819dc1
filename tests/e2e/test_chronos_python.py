"""The Python module chronos, on simulated devices and the real library."""

import ctypes
import decimal
import importlib
import json
import os
import pickle
import shutil
import subprocess
import sys
import threading
import time

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


def test_usage_tells_what_a_partition_has_of_each_device(partitioner):
    with partitioner.create([0, 1], 0.5, 60) as p:
        first, second = p.usage()
        assert (first.device, second.device) == (0, 1)
        assert (first.quota_bytes, first.used_bytes, first.enforcement) == (8 << 30, 0, "off")
        with p.attach(1) as a:
            a.charge(5)
            second = p.usage()[1]
            assert (second.used_bytes, second.processes) == (5, 1)
            assert second.enforcement == "cooperative"


def test_an_attachment_is_held_to_the_quota(partitioner, chronos):
    with partitioner.create(0, 0.25, 60) as p, p.attach() as a:
        assert (a.share, a.quota_bytes, a.used_bytes) == (0.25, 4 << 30, 0)
        a.charge(a.quota_bytes)
        refused(chronos, "exhausted", a.charge, 1)
        a.uncharge(1)
        a.charge(1)
        refused(chronos, "invalid", a.charge, -1)
        refused(chronos, "invalid", a.charge, 2**64)
        assert p.usage()[0].refusals == 1
    refused(chronos, "invalid", a.charge, 1)
    a.detach()


def test_threads_take_turns_and_their_work_is_counted(partitioner):
    def work():
        for _ in range(5):
            with a.launch():
                time.sleep(0.002)

    with partitioner.create(0, 0.5, 60) as p, p.attach() as a:
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive()
        a.settle()
        assert p.usage()[0].time >= 0.01


def test_work_that_fails_is_done_all_the_same(partitioner, chronos):
    with partitioner.create(0, 0.5, 60) as p, p.attach() as a:
        with pytest.raises(ZeroDivisionError):
            with a.launch():
                refused(chronos, "invalid", a.launch().__enter__)
                refused(chronos, "invalid", a.detach)
                1 / 0
        a.settle()
        with a.launch():
            pass


def test_what_has_ended_launches_nothing_more(partitioner, chronos):
    p = partitioner.create(0, 0.5, 60)
    with p.attach() as a:
        p.release()
        refused(chronos, "not_found", a.launch().__enter__)
        refused(chronos, "not_found", a.charge, 1)
    refused(chronos, "not_found", p.attach)
    with partitioner.create(0, 0.5, 60) as q:
        refused(chronos, "not_found", q.attach, 1)


def test_detaching_waits_for_the_work_of_other_threads(partitioner):
    began, done = threading.Event(), []

    def work():
        with a.launch():
            began.set()
            time.sleep(0.05)
            done.append(True)

    with partitioner.create(0, 0.5, 60) as p:
        a = p.attach()
        thread = threading.Thread(target=work)
        thread.start()
        assert began.wait(60)
        a.detach()
        assert done == [True]
        thread.join(60)


def in_child(call):
    """What a forked child says; it ends as Python ends."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(write, json.dumps(call()).encode())
            os._exit(0)
        finally:
            os._exit(1)
    os.close(write)
    with os.fdopen(read) as said:
        text = said.read()
    assert os.waitpid(pid, 0)[1] == 0
    return json.loads(text)


def test_a_forked_child_shares_the_books_and_not_the_attachment(partitioner, chronos):
    def child():
        with partitioner.create(1, 0.25, 60):
            said = [partitioner.get_available(1)]
        for call in (lambda: a.charge(1), a.launch().__enter__):
            try:
                call()
            except chronos.ChronosError as e:
                said.append(e.code)
        a.detach()
        with p.attach() as own:
            own.charge(3)
            said.append(own.used_bytes)
        return said

    with partitioner.create(0, 0.5, 60) as p, p.attach() as a:
        a.charge(4)
        assert in_child(child) == [75.0, "not_found", "not_found", 7]
        a.charge(1)
        assert a.used_bytes == 5


def test_threads_may_share_a_partitioner(partitioner, chronos):
    failed = []

    def churn(device):
        try:
            for _ in range(50):
                with partitioner.create(device, 0.1, 60):
                    partitioner.stats()
        except chronos.ChronosError as e:
            failed.append(e)

    threads = [threading.Thread(target=churn, args=(i % 2,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failed == [] and partitioner.list() == []


def test_numbers_of_every_kind_are_taken(partitioner):
    class Float64(float):  # as NumPy's
        def __repr__(self):
            return f"np.float64({float(self)!r})"

    for share in (Float64(0.07), decimal.Decimal("0.07"), "0.07", 0.07):
        with partitioner.create(1, share, 60) as p:
            assert (p.devices, p.memory) == ([1], 0.07)
    with partitioner.create((d for d in (0, 1)), 1, 60.5) as p:
        assert p.devices == [0, 1]


def test_an_error_survives_being_pickled(chronos):
    e = pickle.loads(pickle.dumps(chronos.ChronosError("exhausted", "not enough")))
    assert (e.code, str(e)) == ("exhausted", "not enough")


def test_the_package_installs_without_a_build_step(tmp_path):
    source = tmp_path / "python"
    shutil.copytree(os.path.join(ROOT, "chronos", "python"), source)
    site = tmp_path / "site"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps",
         "--no-build-isolation", "--target", site, source],
        check=True,
    )  # fmt: skip
    assert (site / "chronos" / "py.typed").exists()
    use = "import chronos\ntry: chronos.Partitioner()\nexcept chronos.ChronosError as e: print(e)"
    said = subprocess.run(
        [sys.executable, "-c", use],
        env={"PYTHONPATH": str(site), "CHRONOS_LIBRARY": "libnone.so.0"},
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    assert "libnone.so.0" in said and "CHRONOS_LIBRARY" in said, said


def test_the_structures_are_those_of_the_header(chronos, tmp_path):
    """What ctypes believes, and what the compiler does."""
    source = tmp_path / "sizes.c"
    source.write_text(
        '#include "chronos.h"\n#include <stdio.h>\n'
        'int main(void){printf("%zu %zu %zu %zu %zu %zu", sizeof(struct chronos_error),'
        "sizeof(struct chronos_request), sizeof(struct chronos_partition),"
        "sizeof(struct chronos_device), sizeof(struct chronos_usage),"
        "sizeof(struct chronos_joining));}\n"
    )
    program = tmp_path / "sizes"
    subprocess.run(
        ["cc", "-I", os.path.join(ROOT, "chronos"), source, "-o", program], check=True
    )
    sizes = subprocess.run([program], capture_output=True, check=True, text=True).stdout
    import ctypes

    lib = chronos._library
    ours = (lib.Error, lib.Request, lib.RawPartition, lib.RawDevice, lib.RawUsage, lib.Joining)
    assert sizes == " ".join(str(ctypes.sizeof(s)) for s in ours)
