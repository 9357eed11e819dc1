"""Clients that are not ours: ten lines of Python, grpc-go, grpcurl.

SPDX-License-Identifier: Apache-2.0
"""
import base64
import json
import os
import subprocess
import sys

import golang
from client import HELLO, package
from system import DEADLINE_S, ROOT


def test_the_ten_line_client_runs_a_job(client):
    told = subprocess.run(
        [sys.executable, ROOT / "examples" / "ten_line_client.py"], capture_output=True, text=True,
        timeout=DEADLINE_S, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT),
             "CUMULUS_ADDRESS": f"localhost:{client.system.port}"})
    assert told.returncode == 0, told.stderr
    lines = told.stdout.splitlines()
    states = [line.split()[0] for line in lines if line.strip()]
    assert list(dict.fromkeys(states)) == ["SCHEDULING", "CREATING_PARTITION", "RUNNING", "COMPLETED"]
    assert "RUNNING hello" in told.stdout
    assert json.loads(lines[-1][lines[-1].index("{"):])["result"] == 45


def test_the_ten_line_client_has_ten_lines():
    assert len((ROOT / "examples" / "ten_line_client.py").read_text().splitlines()) == 10


def test_a_grpc_go_client_runs_a_job(client, tmp_path):
    program = golang.build("./client", tmp_path / "client")
    (tmp_path / "code.zip").write_bytes(package(HELLO))
    told = subprocess.run([program, client.system.address, tmp_path / "code.zip"],
                          capture_output=True, text=True, timeout=2 * DEADLINE_S)
    assert told.returncode == 0, told.stdout + told.stderr
    lines = [line for line in told.stdout.splitlines() if line]
    assert [line.split()[0] for line in lines if line[0].isupper()][0] == "SCHEDULING"
    assert lines[-1] == "OK"
    assert '"answer"' in lines[-2] and lines[-2].startswith("COMPLETED")


def grpcurl(address, method, request):
    golang.needed()
    return subprocess.run(
        [ROOT / "build" / "tools" / "grpcurl", "-plaintext", "-import-path", ROOT / "proto",
         "-proto", "orchestrator.proto", "-d", json.dumps(request), address,
         f"cumulus.orchestrator.OrchestratorService/{method}"],
        capture_output=True, text=True, timeout=DEADLINE_S)


def test_grpcurl_asks_for_health(client):
    told = grpcurl(client.system.address, "HealthCheck", {})
    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout)["status"] == "healthy"


def test_grpcurl_runs_a_job(client):
    told = grpcurl(client.system.address, "SubmitJob", {
        "code_package": base64.b64encode(package(HELLO)).decode(),
        "gpu_memory": 0.5, "duration": 60})
    assert told.returncode == 0, told.stderr
    assert '"state": "COMPLETED"' in told.stdout


def test_grpcurl_is_told_which_field_is_wrong(client):
    told = grpcurl(client.system.address, "SubmitJob", {"gpu_memory": 0.333, "duration": 60})
    assert told.returncode != 0
    assert "InvalidArgument" in told.stderr and "gpu_memory" in told.stderr
