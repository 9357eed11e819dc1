"""Bad packages and bad code: each a precise status or event; nothing lost, nothing left.

SPDX-License-Identifier: Apache-2.0
"""
import io
import stat
import struct
import zipfile

import grpc
import pytest

from client import HELLO, zip_of
from system import pb, until

INVALID = grpc.StatusCode.INVALID_ARGUMENT


def zip_with(*entries, compression=zipfile.ZIP_DEFLATED):
    """main.py and then (ZipInfo or name, content)."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as z:
        z.writestr("main.py", "def main():\n    return 1\n")
        for name, content in entries:
            z.writestr(name, content)
    return out.getvalue()


def link(name, target, kind=stat.S_IFLNK):
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = (kind | 0o777) << 16
    return zip_with((info, target))


def many_entries():
    return zip_with(*((f"f{i}", b"") for i in range(10_001)))


def encrypted():
    raw = bytearray(zip_with())
    for signature, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        flags = raw.index(signature) + at
        raw[flags] |= 1
    return bytes(raw)


def declares(size):
    """One small entry that says of itself that it expands to size."""
    raw = bytearray(zip_with())
    struct.pack_into("<I", raw, raw.index(b"PK\3\4") + 22, size)
    struct.pack_into("<I", raw, raw.index(b"PK\1\2") + 24, size)
    return bytes(raw)


@pytest.mark.parametrize("name, code, said", [
    ("nothing", b"", "main.py"),
    ("text", b"def main(): pass", "ZIP"),
    ("zeros", bytes(1000), "ZIP"),
    ("the end alone", b"PK\5\6" + bytes(18), "main.py"),
    ("half a ZIP", zip_of({"main.py": HELLO, "x": "y" * 5000})[:150], "ZIP"),
    ("no main.py", zip_of({"other.py": HELLO}), "main.py"),
    ("main.py in a folder", zip_of({"a/main.py": HELLO}), "main.py"),
    ("a folder main.py", zip_of({"main.py/": b"", "a": b""}), "main.py"),
    ("dots", zip_with(("../evil", b"x")), "evil"),
    ("dots within", zip_with(("a/../../evil", b"x")), "evil"),
    ("an absolute path", zip_with(("/etc/evil", b"x")), "evil"),
    ("a backslash", zip_with(("..\\evil", b"x")), "evil"),
    ("a symlink", link("evil", b"/etc/passwd"), "evil"),
    ("a device", link("evil", b"", stat.S_IFCHR), "evil"),
    ("a fifo", link("evil", b"", stat.S_IFIFO), "evil"),
    ("too deep", zip_with(("d/" * 33 + "evil", b"x")), "deep"),
    ("too many entries", many_entries(), "10000"),
    ("encrypted", encrypted(), "encrypted"),
    ("a bomb", zip_with(("bomb", bytes(100 << 20))), "200"),
    ("over 1 GiB by its own word", declares((1 << 30) + 1), "1 GiB"),
])
def test_a_bad_package_is_invalid_and_says_why(client, name, code, said):
    status, details = client.refused(code=code)
    assert status == INVALID, details
    assert "code_package" in details
    assert said in details.replace(",", ""), details


def test_an_entry_that_is_there_twice_is_invalid(client):
    with pytest.warns(UserWarning):
        code = zip_with(("twice", b"1"), ("twice", b"2"))
    status, details = client.refused(code=code)
    assert status == INVALID and "code_package" in details


def test_no_package_and_an_empty_submission_are_invalid(client):
    status, _ = client.refused(pb.JobSubmission())
    assert status == INVALID


def test_damage_that_only_extraction_finds_fails_the_job(client):
    raw = bytearray(zip_with(("data", b"x" * 1000), compression=zipfile.ZIP_STORED))
    raw[raw.index(b"x" * 1000) + 500] ^= 1  # its CRC no longer holds
    story = client.run(bytes(raw))
    assert story.last.state == pb.FAILED, story.text()
    assert story.last.reason == pb.CONTAINER_FAILED
    assert "data" in story.last.message
    client.until_free()


BAD_CODE = [
    ("no main", "x = 1\n", pb.CODE_FAILED, "main()"),
    ("main is no function", "main = 3\n", pb.CODE_FAILED, "main"),
    ("a syntax error", "def main(:\n", pb.CODE_FAILED, "SyntaxError"),
    ("an import that is not there", "import nothing_here\ndef main(): pass\n", pb.CODE_FAILED,
     "ModuleNotFoundError: No module named 'nothing_here'"),
    ("an exception", "def main():\n    {}['k']\n", pb.CODE_FAILED, "KeyError: 'k'"),
    ("an exception at import", "raise RuntimeError('early')\n", pb.CODE_FAILED, "RuntimeError: early"),
    ("many lines", "def main():\n    raise ValueError('one\\ntwo')\n", pb.CODE_FAILED, "ValueError: one"),
    ("sys.exit(7)", "import sys\ndef main():\n    sys.exit(7)\n", pb.EXITED, "exited with status 7"),
    ("sys.exit(0)", "import sys\ndef main():\n    sys.exit(0)\n", pb.EXITED,
     "exited with status 0 before main() returned"),
    ("os._exit(9)", "import os\ndef main():\n    os._exit(9)\n", pb.EXITED, "exited with status 9"),
    ("os._exit(0)", "import os\ndef main():\n    os._exit(0)\n", pb.EXITED, "exited with status 0"),
    ("SIGSEGV", "import os\ndef main():\n    os.kill(os.getpid(), 11)\n", pb.SIGNALED,
     "killed by SIGSEGV (11)"),
    ("SIGKILL", "import os\ndef main():\n    os.kill(os.getpid(), 9)\n", pb.SIGNALED,
     "killed by SIGKILL (9)"),
    ("abort", "import os\ndef main():\n    os.abort()\n", pb.SIGNALED, "killed by SIGABRT (6)"),
    ("a result that JSON cannot hold", "def main():\n    return object()\n", pb.RESULT_INVALID, "object"),
    ("NaN", "def main():\n    return float('nan')\n", pb.RESULT_INVALID, "float"),
    ("a set within", "def main():\n    return {'a': {1}}\n", pb.RESULT_INVALID, "set"),
    ("a large result", "def main():\n    return 'x' * (4 << 20)\n", pb.RESULT_TOO_LARGE, "3.5 MiB"),
]


@pytest.mark.parametrize("name, code, reason, said", BAD_CODE, ids=[b[0] for b in BAD_CODE])
def test_bad_code_fails_with_its_reason(client, name, code, reason, said):
    story = client.run(code)
    assert story.code == grpc.StatusCode.OK, story.text()
    assert story.last.state == pb.FAILED, story.text()
    assert pb.Reason.Name(story.last.reason) == pb.Reason.Name(reason), story.text()
    assert said in story.last.message
    assert "\n" not in story.last.message
    assert not story.last.result
    status = client.status(story.job)
    assert status.error.splitlines()[0] == story.last.message
    assert len(status.error.encode()) <= 64 << 10


def test_a_job_that_ignores_sigterm_is_killed_after_the_grace(client):
    story = client.run("""
        import signal, time
        def main():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            print("deaf", flush=True)
            while True:
                time.sleep(1)
        """, duration=1)
    assert story.last.state == pb.FAILED
    assert story.last.reason == pb.DURATION_EXCEEDED
    assert story.output() == b"deaf\n"


def test_a_job_that_tidies_up_on_sigterm_has_its_last_words(client):
    story = client.run("""
        import signal, sys, time
        def bye(*_):
            print("bye", flush=True)
            sys.exit(0)
        def main():
            signal.signal(signal.SIGTERM, bye)
            while True:
                time.sleep(1)
        """, duration=2)
    assert story.last.reason == pb.DURATION_EXCEEDED
    assert story.output() == b"bye\n"


def test_processes_that_a_job_leaves_behind_are_gone(client):
    story = client.run("""
        import os, time, signal
        def main():
            for _ in range(3):
                if os.fork() == 0:
                    os.setsid()
                    signal.signal(signal.SIGTERM, signal.SIG_IGN)
                    if os.fork() == 0:
                        time.sleep(600)
                    os._exit(0)
            return "left three"
        """)
    assert story.value == "left three"
    until(lambda: not [c for c in client.system.cgroups() if story.job in c], "its cgroup is gone")
    client.until_free()


def test_a_job_is_not_root_and_has_no_network(client):
    story = client.run("""
        import os, socket
        def main():
            opened = []
            for path, mode in (("/etc/shadow", "r"), ("/sys/kernel/x", "w"), ("/usr/x", "w"),
                               ("/proc/sysrq-trigger", "w"), ("/dev/mem", "r")):
                try:
                    open(path, mode).close()
                    opened.append(path)
                except OSError:
                    pass
            with open("/proc/self/status") as f:
                caps = [l.split()[1] for l in f if l.startswith("CapEff")][0]
            return {"opened": opened, "caps": int(caps, 16),
                    "net": [n for _, n in socket.if_nameindex() if n != "lo"]}
        """)
    assert story.value == {"opened": [], "caps": 0, "net": []}


def test_much_output_is_kept_up_to_its_end(client):
    story = client.run("def main():\n    for i in range(20000):\n        print(i, 'x' * 40)\n")
    assert story.last.state == pb.COMPLETED
    expected = b"".join(b"%d %s\n" % (i, b"x" * 40) for i in range(20000))
    assert story.output(pb.STDOUT) == expected


def test_after_all_that_nothing_is_taken(client):
    client.until_free()
    assert client.health().status == "healthy"
    until(lambda: not client.system.cgroups(), "no cgroup is left")
