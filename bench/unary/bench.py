"""bench.py - GetJobStatus a second and what each costs the server, beside other gRPC servers.

Ours looks a job up and packs its status; the others answer the same bytes to everything.

SPDX-License-Identifier: Apache-2.0
"""
import re
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
from harness import QUICK, Bench, Missing  # noqa: E402
import ours  # noqa: E402
import peers  # noqa: E402
import servers  # noqa: E402

CONNECTIONS, AT_A_TIME = 4, 32
CALLS = 40_000 if QUICK else 300_000
PATH = "/cumulus.orchestrator.OrchestratorService/GetJobStatus"
# Slow servers get fewer calls, so that each takes seconds.
SHARE = {"bare nghttp2, a fixed answer": 1, "grpc-go": 0.5, "gRPC C++": 0.25, "grpcio (aio)": 0.04}


def h2load(port, body, calls, connections=CONNECTIONS, at_a_time=AT_A_TIME):
    """Calls a second; every one must have been answered."""
    peers.need("h2load")
    told = peers.quietly(
        "h2load", "-t1", "-c", connections, "-m", at_a_time, "-n", calls, "-d", body,
        "-H", "content-type: application/grpc", "-H", "te: trailers",
        f"http://127.0.0.1:{port}{PATH}")
    if f"{calls} succeeded, 0 failed, 0 errored" not in told:
        raise Missing(f"not every call succeeded: {told[-300:]}")
    found = re.search(r"finished in [^,]+, ([\d.]+) req/s", told)
    return float(found.group(1))


def measure(port, pid, body, calls):
    """(calls a second, microseconds of the server's CPU for each)."""
    before = ours.cpu_seconds(pid)
    rate = h2load(port, body, calls)
    return rate, (ours.cpu_seconds(pid) - before) / calls * 1e6


def body_file(folder, job):
    path = Path(folder) / job
    path.write_bytes(servers.framed(ours.pb.JobStatusRequest(job_id=job).SerializeToString()))
    return path


def measure_others(others, body, rate, cpu):
    for name, (port, pid, why) in others.items():
        try:
            if why:
                raise Missing(why)
            value, each = measure(port, pid, body, int(CALLS * SHARE[name]))
        except Missing as reason:
            rate.missing[name] = cpu.missing[name] = str(reason)
            continue
        rate.beside(name, value)
        cpu.beside(name, each)


def main():
    bench = Bench("unary", f"{CONNECTIONS} connections of {AT_A_TIME} calls at a time, h2load")
    rate = bench.row("GetJobStatus of a live job", "1/s", aim=150_000)
    cpu = bench.row("the same, CPU of the server for each", "us", 6, less_is_better=True)
    one = bench.row("the same, one call at a time", "1/s")
    stored = bench.row("GetJobStatus of a finished job, which is read from the store", "1/s")
    with ours.system() as (system, client), tempfile.TemporaryDirectory() as folder:
        finished = body_file(folder, client.run().job)
        live = ours.hold(client, 1)
        body = body_file(folder, live)
        answer = Path(folder) / "answer"
        answer.write_bytes(servers.framed(client.status(live).SerializeToString()))
        with servers.all_of(answer) as others:
            for _ in bench.rounds():
                value, each = measure(system.port, system.process.pid, body, CALLS)
                rate.ours.append(value)
                cpu.ours.append(each)
                one.ours.append(h2load(system.port, body, CALLS // 20, 1, 1))
                stored.ours.append(h2load(system.port, finished, CALLS // 4))
                measure_others(others, body, rate, cpu)
    bench.report()


main()
