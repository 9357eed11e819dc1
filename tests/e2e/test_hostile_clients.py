"""Clients that misbehave, each against a real cumulusd: others are served, memory stays, all is closed.

SPDX-License-Identifier: Apache-2.0
"""
import gzip
import os
import random
import resource
import socket
import ssl
import struct
import threading
import time

import grpc
import pytest

from client import Client
from raw import END_HEADERS, END_STREAM, frame, head, literal
from system import DEADLINE_S, System, channel_to, pb, rpc, until

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE, CONTINUATION = (
    0, 1, 2, 3, 4, 6, 8, 9)
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SERVICE = b"/cumulus.orchestrator.OrchestratorService/"
MIB = 1 << 20
MEMORY = 96 * MIB  # more than this no attack may cost


@pytest.fixture(scope="module")
def system():
    """One that all attacks share: whatever one of them left would show in the next."""
    one = System()
    client = Client(one)
    client.until_ready()
    client.channel.close()
    yield one
    one.close()


def status_of(system, name):
    with open(f"/proc/{system.process.pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith(name))


def sockets(system):
    """How many it has open."""
    folder, count = f"/proc/{system.process.pid}/fd", 0
    for number in os.listdir(folder):
        try:
            count += os.readlink(f"{folder}/{number}").startswith("socket:")
        except FileNotFoundError:
            pass  # closed while we looked
    return count


@pytest.fixture(autouse=True)
def a_good_client_goes_on(system):
    """Asks all the while; at the end the memory is that of before and every socket is closed."""
    with channel_to(system) as channel:
        stub = rpc.OrchestratorServiceStub(channel)
        stub.HealthCheck(pb.HealthCheckRequest(), timeout=DEADLINE_S)
        memory, open_before = status_of(system, "VmRSS"), sockets(system)
        stop, waits, failures = threading.Event(), [], []

        def ask():
            while True:
                began = time.monotonic()
                try:
                    assert stub.HealthCheck(pb.HealthCheckRequest(),
                                            timeout=DEADLINE_S).status == "healthy"
                    stub.ListJobs(pb.ListJobsRequest(), timeout=DEADLINE_S)
                except (grpc.RpcError, AssertionError) as failure:
                    failures.append(failure)
                waits.append(time.monotonic() - began)
                if stop.wait(0.02):
                    return

        asking = threading.Thread(target=ask)
        asking.start()

        def check_memory():
            grown = (status_of(system, "VmRSS") - memory) << 10
            assert grown < MEMORY, f"{grown >> 20} MiB more"

        yield check_memory
        stop.set()
        asking.join()
        assert not failures, failures[0]
        assert max(waits) < 20, max(waits)
        until(lambda: sockets(system) <= open_before, "its sockets are closed")
        check_memory()


class Attacker:
    """A socket that only writes, as long as it is let."""

    def __init__(self, system, *settings, greet=True):
        host, port = system.address.split(":")
        self.authority = system.address.encode()
        self.socket = socket.create_connection((host, int(port)), timeout=DEADLINE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.next = 1
        if greet:
            pairs = b"".join(struct.pack(">HI", *pair) for pair in settings)
            self.send(PREFACE + frame(SETTINGS, 0, 0, pairs))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, content):
        """False once the server has hung up."""
        try:
            self.socket.sendall(content)
            return True
        except (BrokenPipeError, ConnectionResetError):
            return False

    def head(self, method=b"GetJobStatus", *more):
        return head(SERVICE + method, self.authority) + b"".join(literal(n, v) for n, v in more)

    def open(self, method=b"GetJobStatus", flags=END_HEADERS, *more):
        stream, self.next = self.next, self.next + 2
        self.send(frame(HEADERS, flags, stream, self.head(method, *more)))
        return stream

    def flood(self, content, most=None):
        """Until the server hangs up, which it does a moment after its GOAWAY: then True."""
        end, sent = time.monotonic() + DEADLINE_S, 0
        while time.monotonic() < end and (most is None or sent < most):
            if not self.send(content):
                return True
            sent += len(content)
        return False

    def is_dropped(self):
        """Does the server close?  What it says before that is read."""
        self.socket.settimeout(DEADLINE_S)
        try:
            while self.socket.recv(1 << 16):
                pass
        except ConnectionResetError:
            pass
        return True


def reset_rapidly(attacker):
    """True when it was cut off."""
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end and attacker.next < 1 << 30:
        burst = b""
        for _ in range(50):
            stream, attacker.next = attacker.next, attacker.next + 2
            burst += frame(HEADERS, END_HEADERS, stream, attacker.head())
            burst += frame(RST_STREAM, 0, stream, struct.pack(">I", 8))
        if not attacker.send(burst):
            return True
    return False


# ---- floods

@pytest.mark.parametrize("connections", [1, 10])
def test_rapid_resets_are_cut_off(system, connections):
    attackers = [Attacker(system) for _ in range(connections)]
    cut = []
    threads = [threading.Thread(target=lambda a=a: cut.append(reset_rapidly(a))) for a in attackers]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert all(cut) and len(cut) == connections
    for a in attackers:
        a.socket.close()


FLOODS = {
    "pings": frame(PING, 0, 0, b"12345678") * 2000,
    "settings": frame(SETTINGS, 0, 0) * 4000,
    "settings of junk": frame(SETTINGS, 0, 0, struct.pack(">HI", 99, 1) * 2000),
    "unknown frames": frame(77, 0, 0, b"x" * 16000),
}


@pytest.mark.parametrize("kind", FLOODS)
def test_a_flood_of_control_frames_is_cut_off_or_costs_nothing(system, kind):
    with Attacker(system) as a:
        if kind in ("pings", "settings"):
            assert a.flood(FLOODS[kind])  # it answers each, and nobody reads that
        else:
            a.flood(FLOODS[kind], most=16 * MIB)


@pytest.mark.parametrize("kind", ["priorities", "windows of the connection", "windows of a stream",
                                  "empty data"])
def test_a_flood_on_a_stream_costs_no_memory(system, kind):
    with Attacker(system) as a:
        stream = a.open(b"SubmitJob")
        a.flood({
            "priorities": frame(PRIORITY, 0, stream, struct.pack(">IB", 0, 15)),
            "windows of the connection": frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1)),
            "windows of a stream": frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", 1)),
            "empty data": frame(DATA, 0, stream),
        }[kind] * 1000, most=8 * MIB)


def test_priorities_of_streams_that_are_not_there_cost_no_memory(system):
    with Attacker(system) as a:
        for first in range(1, 400_001, 4000):
            if not a.send(b"".join(frame(PRIORITY, 0, s, struct.pack(">IB", s + 2, 15))
                                   for s in range(first, first + 4000, 2))):
                break


def test_streams_without_end_are_refused_above_the_limit(system):
    with Attacker(system) as a:
        for _ in range(5000):
            a.open(b"UploadPackage")


# ---- headers

ENDLESS = {
    "a string of 1 GiB": (b"\x00\x01a\x7f\x81\xff\xff\xff\x03", b"x" * 8192),
    "a varint without end": (b"\x00\x01a\x7f", b"\xff" * 8192),
    "valid headers": (literal(b"a", b"b") * 100, literal(b"a", b"b" * 100) * 80),
    "nothing at all": (b"", b""),
}


@pytest.mark.parametrize("kind", ENDLESS)
def test_a_header_block_without_end_ends_the_connection(system, kind):
    start, more = ENDLESS[kind]
    with Attacker(system) as a:
        a.send(frame(HEADERS, 0, 1, start))
        assert a.flood(frame(CONTINUATION, 0, 1, more) * (1 if more else 2000))


def test_an_hpack_bomb_is_refused(system):
    """One long header in the table, then pointed at again and again: 4 KiB become 60 MiB."""
    with Attacker(system) as a:
        a.open(b"GetJobStatus", END_HEADERS | END_STREAM)
        name = b"\x40\x01x\x7f" + b"\xa1\x1e" + b"y" * 4000  # literal with indexing, 4,000 bytes
        a.send(frame(HEADERS, END_HEADERS | END_STREAM, 3, a.head() + name))
        for stream in range(5, 205, 2):
            if not a.send(frame(HEADERS, END_HEADERS | END_STREAM, stream,
                                a.head() + b"\xbe" * 15_000)):
                break


def test_metadata_above_the_limit_is_resource_exhausted(system):
    with channel_to(system) as channel:
        stub = rpc.OrchestratorServiceStub(channel)
        with pytest.raises(grpc.RpcError) as raised:
            stub.HealthCheck(pb.HealthCheckRequest(), timeout=DEADLINE_S,
                             metadata=[(f"x-{n}", "y" * 1000) for n in range(20)])
        assert raised.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "16384" in raised.value.details()


@pytest.mark.parametrize("timeout, status", [
    ("1n", b"4"), ("1S1", b"3"), ("-1S", b"3"), ("", b"3"), ("99999999999S", b"3"), ("1.5S", b"3"),
    ("876000H", None), ("99999999H", None)])
def test_deadlines_from_a_nanosecond_to_ten_thousand_years(system, timeout, status):
    with Attacker(system) as a:
        request = pb.JobStatusRequest(job_id="j-aaaaaaaaaaaaaaaa").SerializeToString()
        stream = a.open(b"GetJobStatus", END_HEADERS, (b"grpc-timeout", timeout.encode()))
        a.send(frame(DATA, END_STREAM, stream, struct.pack(">BI", 0, len(request)) + request))
        assert status_in(told_on(a, stream)) == (status or b"5")


# grpc-status as nghttp2 writes it, Huffman-coded; the number behind it is not.
STATUS = bytes.fromhex("9acac8b21234da8f")


def status_in(told):
    assert STATUS in told, told
    at = told.index(STATUS) + len(STATUS)
    return told[at + 1:at + 1 + told[at]]


def told_on(attacker, stream):
    """The header bytes that came for a stream up to its end, Huffman left as it is."""
    told, pending = b"", b""
    attacker.socket.settimeout(DEADLINE_S)
    while True:
        got = attacker.socket.recv(1 << 16)
        if not got:
            return told
        pending += got
        while len(pending) >= 9:
            size = int.from_bytes(pending[:3], "big")
            if len(pending) < 9 + size:
                break
            kind, flags, at = struct.unpack(">BBI", pending[3:9])
            if at == stream and kind == HEADERS:
                told += pending[9:9 + size]
                if flags & END_STREAM:
                    return told
            if at == stream and kind == RST_STREAM:
                return told
            pending = pending[9 + size:]


# ---- messages

def answer_to(system, *frames, method=b"GetJobStatus", more=()):
    """The status's number that a request of these DATA payloads gets."""
    with Attacker(system) as a:
        stream = a.open(method, END_HEADERS, *more)
        for n, payload in enumerate(frames):
            a.send(frame(DATA, END_STREAM if n == len(frames) - 1 else 0, stream, payload))
        return told_on(a, stream)


def message(content, flag=0, size=None):
    return struct.pack(">BI", flag, len(content) if size is None else size) + content


@pytest.mark.parametrize("name, frames, more", [
    ("two messages for a unary call", [message(b"") * 2], ()),
    ("no message", [b""], ()),
    ("half a prefix", [b"\0\0"], ()),
    ("a length that lies", [message(b"abc", size=100)], ()),
    ("4 GiB by its prefix", [message(b"abc", size=0xffffffff)], ()),
    ("an unknown flag", [message(b"", flag=9)], ()),
    ("compressed", [message(gzip.compress(bytes(8 * MIB)), flag=1)], ((b"grpc-encoding", b"gzip"),)),
    ("compressed, not said", [message(b"xx", flag=1)], ()),
    ("garbage", [message(random.Random(1).randbytes(3000))], ()),
    ("a group without end", [message(b"\x0b" * 4000)], ()),
    ("a string of 4 GiB", [message(b"\x0a\xff\xff\xff\xff\x0f" + b"x" * 100)], ()),
])
@pytest.mark.parametrize("method", [b"GetJobStatus", b"SubmitJob"])
def test_a_message_that_lies_gets_a_status(system, name, frames, more, method):
    told = answer_to(system, *frames, method=method, more=more)
    assert status_in(told) in (b"3", b"8", b"12", b"13"), told


@pytest.mark.parametrize("content", [
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"POST /x HTTP/1.1\r\nUpgrade: h2c\r\n\r\n" * 100,
    b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", b"\0" * 100_000, random.Random(2).randbytes(100_000)],
    ids=["HTTP/1.1", "an upgrade", "half a preface", "zeros", "noise"])
def test_another_protocol_is_hung_up_on(system, content):
    with Attacker(system, greet=False) as a:
        a.send(content)
        assert a.is_dropped()


def test_a_tls_hello_is_hung_up_on(system):
    host, port = system.address.split(":")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((host, int(port)), timeout=DEADLINE_S) as raw:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            context.wrap_socket(raw)


def test_noise_at_every_layer_is_survived(system):
    dice = random.Random(3)
    for _ in range(150):
        with Attacker(system) as a:
            stream = a.open(dice.choice([b"SubmitJob", b"WatchJob", b"UploadPackage", b"None"]))
            for _ in range(dice.randrange(6)):
                a.send(frame(dice.randrange(12), dice.randrange(256), dice.choice([0, 1, stream, 7]),
                             dice.randbytes(dice.randrange(200))))


# ---- those who are slow

def test_three_thousand_stalled_uploads_cost_what_they_sent(system, a_good_client_goes_on):
    attackers = [Attacker(system) for _ in range(30)]
    for a in attackers:
        for _ in range(100):
            stream = a.open(b"SubmitJob")
            a.send(frame(DATA, 0, stream, struct.pack(">BI", 0, 4 * MIB - 5) + b"x" * 1000))
    until(lambda: sockets(system) > len(attackers), "they are connected")
    time.sleep(1)  # the good client asks meanwhile
    a_good_client_goes_on()
    for a in attackers:
        a.socket.close()


def test_headers_that_come_byte_by_byte_hold_nobody_up(system):
    attackers = [Attacker(system, greet=False) for _ in range(200)]
    content = PREFACE + frame(SETTINGS, 0, 0) + frame(HEADERS, 0, 1, attackers[0].head())
    for n in range(40):
        for a in attackers:
            a.send(content[n:n + 1])
    for a in attackers:
        a.socket.close()


def test_watchers_with_no_window_cost_one_message_each(system, a_good_client_goes_on):
    client = Client(system)
    job, stream = client.begin("""
        import sys, time
        def main():
            for _ in range(4096):
                sys.stdout.write("x" * 1023 + "\\n")
            sys.stdout.flush()
            time.sleep(600)
        """)
    until(lambda: client.status(job).output_bytes > 3 * MIB, "its output is there")
    attackers = [Attacker(system, (4, 0)) for _ in range(10)]
    request = pb.WatchJobRequest(job_id=job).SerializeToString()
    for a in attackers:
        for _ in range(100):
            s = a.open(b"WatchJob")
            a.send(frame(DATA, END_STREAM, s, message(request)))
    for _ in range(5):
        client.health()
        time.sleep(0.2)
    a_good_client_goes_on()
    for a in attackers:
        a.socket.close()
    client.cancel(job)
    client.close()


def test_more_connections_than_descriptors_and_the_listener_accepts_again(new_system):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, hard))
    try:
        small = new_system()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    client = Client(small)
    client.until_ready()
    client.channel.close()
    host, port = small.address.split(":")
    many = [socket.create_connection((host, int(port)), timeout=DEADLINE_S) for _ in range(200)]
    time.sleep(0.5)
    for s in many:
        s.close()
    again = Client(small)
    until(lambda: again.health().status == "healthy", "it accepts again")
    again.close()
