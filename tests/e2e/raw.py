"""raw.py - many gRPC streams over sockets of our own, which read only when they are told to.

SPDX-License-Identifier: Apache-2.0
"""
import selectors
import socket
import struct
import time

from system import DEADLINE_S, pb

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, ACK, END_HEADERS = 1, 1, 4


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def literal(name, value):
    """A header that no table remembers."""
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


def head(path, authority):
    return b"".join(literal(n, v) for n, v in (
        (b":method", b"POST"), (b":scheme", b"http"), (b":path", path), (b":authority", authority),
        (b"content-type", b"application/grpc"), (b"te", b"trailers")))


class Connection:
    """Streams of WatchJob on one socket.  What is not read stays with the server."""

    def __init__(self, address, receive_buffer=None):
        host, port = address.split(":")
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect((host, int(port)))
        self.socket.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0))
        self.authority = address.encode()
        self.bytes = b""
        self.streams = {}  # id: bytes of messages that are not whole yet
        self.events = {}
        self.over = set()

    def watch(self, job, after=0, offset=0):
        """Begin; returns the stream's id."""
        stream = 2 * len(self.events) + 1
        request = pb.WatchJobRequest(job_id=job, after_sequence=after,
                                     output_offset=offset).SerializeToString()
        message = struct.pack(">BI", 0, len(request)) + request
        path = b"/cumulus.orchestrator.OrchestratorService/WatchJob"
        self.socket.sendall(frame(HEADERS, END_HEADERS, stream, head(path, self.authority)) +
                            frame(DATA, END_STREAM, stream, message))
        self.streams[stream] = b""
        self.events[stream] = []
        return stream

    @property
    def open(self):
        return len(self.over) < len(self.events)

    def read(self, most=1 << 18):
        got = self.socket.recv(most)
        assert got, "the server hung up"
        self.bytes += got
        at = 0
        while len(self.bytes) - at >= 9:
            size = int.from_bytes(self.bytes[at:at + 3], "big")
            if len(self.bytes) - at < 9 + size:
                break
            kind, flags, stream = struct.unpack(">BBI", self.bytes[at + 3:at + 9])
            self.take(kind, flags, stream, self.bytes[at + 9:at + 9 + size])
            at += 9 + size
        self.bytes = self.bytes[at:]

    def take(self, kind, flags, stream, payload):
        assert kind not in (GOAWAY, RST_STREAM), (kind, stream, payload)
        if kind == SETTINGS and not flags & ACK:
            self.socket.sendall(frame(SETTINGS, ACK, 0))
        if kind == PING and not flags & ACK:
            self.socket.sendall(frame(PING, ACK, 0, payload))
        if kind == DATA and payload:
            update = struct.pack(">I", len(payload))
            self.socket.sendall(frame(WINDOW_UPDATE, 0, 0, update) +
                                frame(WINDOW_UPDATE, 0, stream, update))
            self.add(stream, payload)
        if kind in (DATA, HEADERS) and flags & END_STREAM:
            self.over.add(stream)

    def add(self, stream, payload):
        content = self.streams[stream] + payload
        while len(content) >= 5:
            size = int.from_bytes(content[1:5], "big")
            if len(content) < 5 + size:
                break
            self.events[stream].append(pb.JobEvent.FromString(content[5:5 + size]))
            content = content[5 + size:]
        self.streams[stream] = content

    def close(self):
        self.socket.close()


def read_all(connections):
    """Read until every stream has ended."""
    end = time.monotonic() + DEADLINE_S
    with selectors.DefaultSelector() as selector:
        for c in connections:
            selector.register(c.socket, selectors.EVENT_READ, c)
        while any(c.open for c in connections):
            assert time.monotonic() < end, "streams that do not end"
            for key, _ in selector.select(timeout=1):
                key.data.read()
