"""gRPC's own interop cases: the client of grpc-go against wire/ serving the test service.

SPDX-License-Identifier: Apache-2.0
"""
import subprocess

import pytest

import golang
from system import BIN, DEADLINE_S, ROOT

CLIENT = ROOT / "build" / "tools" / "interop_client"

# Those that are left out need TLS and credentials of a cloud, or load reports in trailers.
CASES = [
    "empty_unary", "large_unary", "client_streaming", "server_streaming", "ping_pong",
    "empty_stream", "cancel_after_begin", "cancel_after_first_response",
    "timeout_on_sleeping_server", "special_status_message", "status_code_and_message",
    "custom_metadata", "unimplemented_method", "unimplemented_service", "pick_first_unary",
    "rpc_soak", "channel_soak",
]


def ask(port, case):
    return subprocess.run(
        [CLIENT, "--server_host", "127.0.0.1", "--server_port", str(port), "--test_case", case],
        capture_output=True, text=True, timeout=DEADLINE_S)


@pytest.fixture(scope="module")
def port():
    golang.needed()
    server = subprocess.Popen([BIN.parent / "tests" / "interop_server"], text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    try:
        yield int(server.stdout.readline().rpartition(":")[2])
        server.terminate()
        assert server.wait(timeout=DEADLINE_S) == 0
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


@pytest.mark.parametrize("case", CASES)
def test_interop(port, case):
    told = ask(port, case)
    assert told.returncode == 0, told.stderr


def test_the_interop_client_fails_where_the_test_service_is_missing(client):
    golang.needed()
    told = ask(client.system.port, "empty_unary")
    assert told.returncode != 0
    assert "Unimplemented" in told.stderr
