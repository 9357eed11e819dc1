"""h2spec's cases of HTTP/2 and HPACK, strict ones too, against cumulusd's port.

Its requests are GETs without gRPC's headers: cumulusd answers 405 without a body, and at
once.  So a bridge between the two passes on what h2spec says only when it has fallen silent:
then a case's frames are in before its answer is out, however busy the machine is.

SPDX-License-Identifier: Apache-2.0
"""
import socket
import subprocess
import threading
import xml.etree.ElementTree as ElementTree

import pytest

import golang
from system import DEADLINE_S, ROOT

H2SPEC = ROOT / "build" / "tools" / "h2spec"
SILENCE_S = 0.02
TIMEOUT_S = 3  # what h2spec waits for an answer
PARTS = ["generic", "hpack", "http2/3", "http2/4", "http2/5", "http2/6", "http2/7", "http2/8"]

NO_BODY = "it wants a body in the answer to a GET; test_wire_hostile.c asks it of a gRPC call"
CANNOT_APPLY = {
    ("generic/2", "Sends a WINDOW_UPDATE frame on half-closed (remote) stream"): NO_BODY,
    ("generic/2", "Sends a PRIORITY frame on half-closed (remote) stream"): NO_BODY,
    ("http2/6.5.3", "Sends multiple values of SETTINGS_INITIAL_WINDOW_SIZE"): NO_BODY,
    ("http2/6.9.1", "Sends SETTINGS frame to set the initial window size to 1 and sends HEADERS "
                    "frame"): NO_BODY,
    ("http2/6.9.2", "Changes SETTINGS_INITIAL_WINDOW_SIZE after sending HEADERS frame"): NO_BODY,
    ("http2/6.9.2", "Sends a SETTINGS frame for window size to be negative"): NO_BODY,
    ("http2/5.1.1", "Sends stream identifier that is numerically smaller than previous"):
        "nghttp2 ignores such HEADERS: they may be trailers that crossed a reset of ours",
}


def forward(source, target, silence_s):
    """Until the end of one side; what comes without such a silence goes on in one write."""
    try:
        while data := source.recv(65536):
            source.settimeout(silence_s)
            try:
                while silence_s and (more := source.recv(65536)):
                    data += more
            except TimeoutError:
                pass
            source.settimeout(None)
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:  # a reset goes on as one
        for side in (source, target):
            try:
                side.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def connect(port, here):
    there = socket.create_connection(("127.0.0.1", port))
    threads = [threading.Thread(target=forward, args=args, daemon=True)
               for args in ((here, there, SILENCE_S), (there, here, None))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    here.close()
    there.close()


@pytest.fixture
def bridge(client):
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)

    def serve():
        while True:
            try:
                here, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=connect, args=(client.system.port, here), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def test_h2spec_passes_but_for_what_cannot_apply(bridge, tmp_path):
    golang.needed()
    runs = []
    for part in PARTS:  # side by side: they mostly wait
        report = tmp_path / part.replace("/", "-")
        runs.append((report, subprocess.Popen(
            [H2SPEC, "--strict", "--host", "127.0.0.1", "--port", str(bridge), "--timeout",
             str(TIMEOUT_S), "--junit-report", report, part],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)))
    passed, failed = set(), {}
    for report, run in runs:
        run.wait(timeout=DEADLINE_S)
        for case in ElementTree.parse(report).iter("testcase"):
            name = (case.get("package"), case.get("classname"))
            if len(case):
                failed[name] = case[0].tag, case[0].text
            else:
                passed.add(name)
    assert len(passed) + len(failed) > 140, "h2spec did not run to its end"
    unexpected = {name: why for name, why in failed.items() if name not in CANNOT_APPLY}
    assert not unexpected, unexpected
    assert not passed & set(CANNOT_APPLY), "these do apply, take them off the list"
