"""What an operator sees: configuration, signals, health, metrics and logs.

SPDX-License-Identifier: Apache-2.0
"""
import json
import os
import queue
import re
import signal
import socket
import subprocess
import threading
import urllib.error
import urllib.request
from functools import partial
from pathlib import Path

import pytest

from client import HELLO, SLEEP, Client
from system import BIN, DEADLINE_S, ROOT, System, pb, until
from test_environments import version_of, write_wheel

PROMTOOL = ROOT / "build" / "tools" / "promtool"
RAISES = "def main():\n    raise ValueError('a \"quoted\"\\n second = line \\x1b[31m \\u20ac')\n"
EXITS = "import os\ndef main():\n    os._exit(7)\n"


class Operated(System):
    """A system whose HTTP side is served, with a configuration file of its own."""

    def __init__(self, *flags, config="", **more):
        self.config_text = config
        super().__init__("--http", "127.0.0.1:0", *flags, **more)

    def start(self):
        self.config = self.parent / "cumulusd.yaml"
        self.configure(self.config_text)
        self.flags = [f for f in self.flags if f != "--config" and f != self.config]
        self.flags += ["--config", self.config]
        super().start()
        told = self.process.stdout.readline()
        self.http = re.search(r"http on port (\d+)", told).group(1)

    def configure(self, text):
        self.config.write_text(text)
        self.config.chmod(0o644)  # cumulusd's own user reads it again

    def get(self, path):
        """Status and text of one page."""
        try:
            with urllib.request.urlopen(
                    f"http://127.0.0.1:{self.http}{path}", timeout=DEADLINE_S) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metrics(self):
        status, text = self.get("/metrics")
        assert status == 200
        return Metrics(text)

    def log_lines(self):
        return (self.parent / "log").read_text().splitlines()


class Metrics:
    """One scrape, taken apart strictly."""

    SAMPLE = re.compile(r'([a-z_][a-z0-9_]*)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\.)*",?)+)\})? (\S+)')

    def __init__(self, text):
        self.text = text
        self.types, self.values = {}, {}
        for line in text.splitlines():
            if line.startswith("# TYPE "):
                _, _, name, kind = line.split(" ")
                assert name not in self.types, f"{name} stands twice"
                self.types[name] = kind
            elif not line.startswith("# HELP "):
                name, labels, value = self.SAMPLE.fullmatch(line).groups()
                key = (name, frozenset(re.findall(r'([a-z_]+)="((?:[^"\\]|\\.)*)"', labels or "")))
                assert key not in self.values, f"{line} stands twice"
                self.values[key] = float(value)

    def __call__(self, name, **labels):
        return self.values[name, frozenset(labels.items())]

    def grpc(self, name, method, **more):
        """The one sample of a method's metric."""
        found = [v for (n, labels), v in self.values.items() if n == name
                 and ("grpc_method", method) in labels and set(more.items()) <= labels]
        assert len(found) == 1, f"{name} {method} {more}: {found}"
        return found[0]


@pytest.fixture
def operated(new_system):
    return partial(new_system, kind=Operated)


def run(program, *flags, **env):
    return subprocess.run([BIN / program, *flags], capture_output=True, text=True,
                          timeout=DEADLINE_S, env={**os.environ, **env})


# ---- configuration


@pytest.mark.parametrize("program", ["cumulusd", "cumulus-worker"])
def test_a_checked_configuration_is_named_and_not_run(program, tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text("log-level: debug\n")
    checked = run(program, "--config", str(file), "--check-config")
    assert (checked.returncode, checked.stdout) == (0, f"{file}: configuration is fine\n")
    assert checked.stderr == ""


@pytest.mark.parametrize("program", ["cumulusd", "cumulus-worker"])
@pytest.mark.parametrize("line,complaint", [
    ("log-levl: info", 'unknown setting "log-levl"; did you mean log-level?'),
    ("log-level: loud", 'log-level: "loud" is not one of error|warn|info|debug'),
    ("log-json: perhaps", 'log-json: "perhaps" is neither yes nor no'),
    ("data: [a, b]", "data: expected one value"),
    ("data:", "data: has no value"),
])
def test_a_bad_configuration_is_refused_with_file_line_key_and_value(
        program, line, complaint, tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text(f"# first\n\n{line}\n")
    checked = run(program, "--config", str(file), "--check-config")
    assert (checked.returncode, checked.stdout) == (2, "")
    assert checked.stderr == f"{program}: {file}:3: {complaint}\n"


@pytest.mark.parametrize("program", ["cumulusd", "cumulus-worker"])
def test_the_example_file_in_deploy_is_what_the_program_prints(program):
    example = ROOT / "deploy" / f"{program}.yaml"
    assert run(program, "--print-config").stdout == example.read_text()
    checked = run(program, "--config", str(example), "--check-config")
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("program", ["cumulusd", "cumulus-worker"])
def test_every_setting_of_the_example_can_be_set_to_its_default(program, tmp_path):
    """Without the # in front of it, each line that has a default is accepted."""
    file = tmp_path / "c.yaml"
    lines = re.findall(r"^#([a-z-]+: .+)$", run(program, "--print-config").stdout, re.M)
    assert len(lines) > 5
    file.write_text("\n".join(lines) + "\n")
    checked = run(program, "--config", str(file), "--check-config")
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("program", ["cumulusd", "cumulus-worker"])
def test_the_reference_in_the_manual_is_generated_from_the_table(program):
    text = (ROOT / "docs" / "operate.md").read_text()
    begin, end = (f"<!-- {mark}: {program} --print-reference -->\n" for mark in ("begin", "end"))
    written = text.split(begin)[1].split(end)[0]
    assert written == run(program, "--print-reference").stdout


# ---- signals


def test_sighup_changes_what_may_change_and_warns_of_the_rest(operated):
    system = operated(config="max-duration: 1h\n")
    client = Client(system)
    client.until_ready()
    assert client.run(HELLO, duration=600).value
    code, _ = client.refused(duration=3700)
    assert code.name == "INVALID_ARGUMENT"

    system.configure("max-duration: 2h\nengine: local\nuser: somebody\nlog-json: yes\n")
    system.process.send_signal(signal.SIGHUP)
    until(lambda: "settings are read again" in system.log_text(), "the reload")
    log = system.log_text()
    assert 'msg="setting changed" setting=max-duration from=1h to=2h' in log
    assert 'msg="setting needs a restart to change" setting=user from=cumulus to=somebody' in log
    assert json.loads(system.log_lines()[-1])["msg"] == "settings are read again"
    assert client.run(HELLO, duration=3700).value
    client.close()


def test_a_bad_file_at_sighup_changes_nothing_and_says_why(operated):
    system = operated(config="max-duration: 1h\n")
    client = Client(system)
    client.until_ready()
    system.configure("max-duration: 2h\nmax-duratoin: 3h\n")
    system.process.send_signal(signal.SIGHUP)
    until(lambda: "nothing is changed" in system.log_text(), "the refusal")
    assert "cumulusd.yaml:2: unknown setting" in system.log_text()
    assert client.refused(duration=3700)[0].name == "INVALID_ARGUMENT"
    assert client.run(HELLO).value
    client.close()


def test_a_renamed_log_file_is_opened_again_at_sighup(operated):
    system = operated()
    system.stop()
    logs = system.parent / "logs"
    logs.mkdir()
    logs.chmod(0o777)  # cumulusd's own user makes the new file
    log = logs / "cumulusd.log"
    system.flags += ["--log-file", log]
    system.start()
    Client(system).until_ready()
    until(lambda: log.exists() and "msg=serving" in log.read_text(), "the log file")
    assert "cumulus-worker" in log.read_text()  # the worker that it started writes there too
    assert log.stat().st_mode & 0o777 == 0o640
    log.rename(log.with_suffix(".1"))
    system.process.send_signal(signal.SIGHUP)
    until(lambda: log.exists() and "settings are read again" in log.read_text(), "a new log file")
    assert log.stat().st_mode & 0o777 == 0o640  # whoever could read the old one


def test_the_first_sigterm_drains_and_the_second_is_at_once(operated):
    system = operated("--drain", "600s", on_exit="leave")
    client = Client(system)
    client.until_ready()
    job, stream = client.begin(SLEEP)
    system.process.send_signal(signal.SIGTERM)
    until(lambda: system.get("/readyz") == (503, "unhealthy: cumulusd is ending\n"), "draining")
    assert system.alive()
    system.process.send_signal(signal.SIGTERM)
    assert system.process.wait(timeout=DEADLINE_S) == 0
    assert "ending at once" in system.log_text()
    client.channel.close()

    # Nothing was lost, and the job ran on.
    system.bury()
    system.flags[system.flags.index("leave")] = "stop"
    system.start()
    client = Client(system)
    client.know(job)
    until(lambda: client.health().available_workers, "the worker is back")
    assert client.status(job).state == pb.RUNNING
    client.close()


def test_a_service_manager_is_told_of_ready_reload_and_stop(operated, monkeypatch):
    path = f"/tmp/cumulus-notify-{os.getpid()}"
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(path)
    os.chmod(path, 0o777)  # as systemd's: cumulusd has dropped root when it says most
    words, alive = queue.Queue(), threading.Event()

    def listen():
        """As a manager: read at once; the queue of the socket is short."""
        while (word := manager.recv(200).decode()) != "bye":
            if word == "WATCHDOG=1":
                alive.set()
            else:
                words.put(word)

    listener = threading.Thread(target=listen)
    listener.start()
    try:
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        monkeypatch.setenv("WATCHDOG_USEC", "200000")
        system = operated()
        monkeypatch.delenv("NOTIFY_SOCKET")

        def next_word():
            return words.get(timeout=DEADLINE_S)

        assert next_word() == "READY=1"
        for _ in range(3):
            alive.clear()
            assert alive.wait(DEADLINE_S)
        system.process.send_signal(signal.SIGHUP)
        assert re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=\d+", next_word())
        assert next_word() == "READY=1"
        # The worker that it starts may not speak in its name.
        Client(system).until_ready()
        workers = [pid for pid in system.processes()
                   if Path(f"/proc/{pid}/comm").read_text() == "cumulus-worker\n"]
        assert len(workers) == 1
        assert b"NOTIFY_SOCKET" not in Path(f"/proc/{workers[0]}/environ").read_bytes()
        system.process.send_signal(signal.SIGTERM)
        assert next_word() == "STOPPING=1"
        assert system.process.wait(timeout=DEADLINE_S) == 0
        system.bury()
    finally:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"bye", path)
        listener.join()
        manager.close()
        os.unlink(path)


def test_a_backup_is_made_while_jobs_run_and_can_be_restored(operated):
    system = operated("--backup-every", "1s", "--backup-keep", "2")
    system.stop()
    folder = system.data / "orchestrator" / "backups"
    system.flags += ["--backup", folder]
    system.start()
    client = Client(system)
    client.until_ready()
    job = client.run(HELLO).job
    ended = client.status(job).completed_at
    until(lambda: system.metrics()("cumulus_store_backup_timestamp_seconds") > ended + 1,
          "a backup")
    copy = system.parent / "copy.db"
    copy.write_bytes(sorted(folder.glob("*.db"))[-1].read_bytes())
    client.channel.close()
    for _ in range(3):  # the worker sees higher epochs than the copy's own
        system.stop()
        system.start()
        Client(system).until_ready()
    system.stop()
    copies = [c.name for c in folder.iterdir()]
    assert 1 <= len(copies) <= 2
    assert all(re.fullmatch(r"cumulus-\d{8}T\d{6}Z\.db", c) for c in copies)
    checked = subprocess.run(["sqlite3", copy, "PRAGMA integrity_check"], text=True,
                             capture_output=True, timeout=DEADLINE_S)
    assert checked.stdout == "ok\n", checked.stderr

    store = system.data / "orchestrator" / "cumulus.db"
    store.write_bytes(copy.read_bytes())
    (store.parent / "cumulus.db-wal").unlink(missing_ok=True)

    system.start()
    client = Client(system)
    client.until_ready()
    assert client.status(job).state == pb.COMPLETED
    assert json.loads(client.stub.GetJobResult(pb.JobResultRequest(job_id=job)).result)
    assert client.run(HELLO).value
    client.close()


# ---- health and metrics


def test_health_pages_say_alive_ready_and_why_not(operated):
    system = operated("--worker", "external")
    assert system.get("/healthz") == (200, "ok\n")
    assert system.get("/readyz") == (503, "unhealthy: no worker is ready\n")
    assert system.get("/nothing")[0] == 404
    assert system.metrics()("cumulus_health", status="unhealthy") == 1


def test_metrics_count_exactly_what_was_done(operated):
    system = operated()
    client = Client(system)
    client.until_ready()
    before = system.metrics()

    for _ in range(3):
        assert client.run(HELLO).value
    assert client.run(RAISES).last.reason == pb.CODE_FAILED
    assert client.run(EXITS).last.reason == pb.EXITED
    job, stream = client.begin(SLEEP, gpu=0.25)
    next(event for event in stream if event.HasField("output"))  # its Python has begun
    waiting = [client.begin(HELLO, gpu=2, state=pb.SCHEDULING) for _ in range(2)]

    during = system.metrics()
    assert during("cumulus_jobs", state="running") == 1
    assert during("cumulus_jobs", state="scheduling") == 2
    assert during("cumulus_jobs", state="creating_partition") == 0
    assert during("cumulus_jobs_waiting", reason="waiting_for_gpu") == 2
    assert during("cumulus_watchers") == 3
    assert during.grpc("cumulus_grpc_open_calls", "SubmitJob") == 3
    worker = client.workers()[0]
    shares = [during("cumulus_gpu_allocated_ratio", worker=worker.id, device=d.uuid)
              for d in worker.gpu_devices]
    assert sorted(shares) == [0, 0.25]
    assert [during("cumulus_gpu_capacity_ratio", worker=worker.id, device=d.uuid)
            for d in worker.gpu_devices] == [1, 1]

    for other, _ in waiting:
        client.cancel(other)
        client.until_terminal(other)
    client.cancel(job)
    client.until_terminal(job)
    for call in [stream] + [s for _, s in waiting]:
        with pytest.raises(Exception):
            list(call)
    until(lambda: system.metrics().grpc("cumulus_grpc_open_calls", "SubmitJob") == 0,
          "the streams are over")

    after = system.metrics()
    assert after("cumulus_jobs_submitted_total") - before("cumulus_jobs_submitted_total") == 8
    ended = {(dict(labels)["state"], dict(labels)["reason"]): value
             for (name, labels), value in after.values.items()
             if name == "cumulus_jobs_finished_total" and value}
    assert ended == {("completed", "none"): 3, ("failed", "code_failed"): 1,
                     ("failed", "exited"): 1, ("cancelled", "cancelled_by_user"): 3}
    assert after("cumulus_job_wait_seconds_count") == 6  # two were never placed
    assert after("cumulus_job_run_seconds_count") == 6
    for phase in ("partition", "container", "python"):
        assert after("cumulus_job_setup_seconds_count", phase=phase) == 6
    assert after("cumulus_job_setup_seconds_count", phase="environment") == 0
    for state in ("scheduling", "creating_partition", "running"):
        assert after("cumulus_jobs", state=state) == 0
    assert after("cumulus_workers", status="ready") == 1
    assert after.grpc("grpc_server_started_total", "SubmitJob") == 8
    assert after.grpc("grpc_server_handled_total", "SubmitJob", grpc_code="OK") == 5
    assert after.grpc("grpc_server_handled_total", "SubmitJob", grpc_code="Canceled") == 3
    assert after.grpc("grpc_server_handling_seconds_count", "SubmitJob") == 8
    assert after.grpc("grpc_server_handled_total", "CancelJob", grpc_code="OK") == 3
    assert after("cumulus_store_commit_records_sum") == after("cumulus_store_records_total")
    assert after("process_open_fds") > 10
    client.close()


def test_environments_are_counted_as_built_reused_and_refused(operated, tmp_path, monkeypatch):
    write_wheel(tmp_path, "alpha", "1.0")
    tmp_path.chmod(0o755)  # pip in its container is nobody's user
    monkeypatch.setenv("CUMULUS_WHEELS", str(tmp_path))
    system = operated()
    client = Client(system)
    client.until_ready()
    for _ in range(2):
        assert client.run(version_of("alpha"), requirements=["alpha"]).value[0] == "1.0"
    refused = client.run(version_of("alpha"), requirements=["nowhere"])
    assert refused.last.reason == pb.ENVIRONMENT_FAILED
    worker = client.workers()[0].id
    seen = until(lambda: (m := system.metrics())(
        "cumulus_worker_environment_builds_total", worker=worker, outcome="refused") and m,
        "the worker tells of it")
    assert seen("cumulus_worker_environment_builds_total", worker=worker, outcome="built") == 1
    assert seen("cumulus_worker_environment_builds_total", worker=worker, outcome="broken") == 0
    assert seen("cumulus_worker_environment_reuses_total", worker=worker) == 1
    assert seen("cumulus_worker_environments", worker=worker) == 1
    assert seen("cumulus_worker_environment_bytes", worker=worker) > 0
    assert seen("cumulus_worker_package_bytes", worker=worker) > 0
    assert seen("cumulus_job_setup_seconds_count", phase="environment") >= 1
    client.close()


def test_metrics_pass_promtool_and_the_manual_lists_each(operated):
    system = operated()
    client = Client(system)
    client.until_ready()
    client.run(HELLO)
    metrics = system.metrics()
    manual = (ROOT / "docs" / "operate.md").read_text()
    rows = re.findall(r"^\| `((?:cumulus|grpc|process)_[a-z_]+)` \| (\w+) \| (.*) \|$", manual, re.M)
    helps = dict(re.findall(r"^# HELP (\S+) (.*)$", metrics.text, re.M))
    assert {(name, kind, told) for name, kind, told in rows} == {
        (name, kind, helps[name]) for name, kind in metrics.types.items()}
    client.close()
    if not PROMTOOL.exists():
        pytest.skip("promtool is not there: make build/tools/promtool")
    checked = subprocess.run([PROMTOOL, "check", "metrics"], input=metrics.text, text=True,
                             capture_output=True, timeout=DEADLINE_S)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def names_in(text, metrics):
    """Metric names that an expression uses, histograms' suffixes taken off."""
    names = set(re.findall(r"\b((?:cumulus|grpc|process)_[a-z_]+)\b(?!\s*=)", text))
    labels = {label for _, pairs in metrics.values for label, _ in pairs}
    return {re.sub(r"_(bucket|sum|count)$", "", n)
            if n not in metrics.types else n for n in names - labels}


@pytest.mark.parametrize("count", [64, 300])
def test_connections_that_only_hold_a_place_keep_no_probe_out(operated, count):
    """Idle ones, half a request each, and such that do not read their answer."""
    system = operated()
    Client(system).until_ready()
    before = len(os.listdir(f"/proc/{system.process.pid}/fd"))
    for sent in b"", b"GET /metr", b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n":
        held = [socket.create_connection(("127.0.0.1", int(system.http))) for _ in range(count)]
        for connection in held:
            try:
                connection.sendall(sent)
            except OSError:
                pass  # it was the oldest
        assert system.get("/healthz") == (200, "ok\n")
        assert system.get("/readyz")[0] in (200, 503)
        for connection in held:
            connection.close()
    until(lambda: len(os.listdir(f"/proc/{system.process.pid}/fd")) <= before, "all are closed")
    assert system.get("/healthz") == (200, "ok\n")


def test_dashboard_and_alerts_use_only_metrics_that_exist(operated):
    metrics = operated().metrics()
    dashboard = json.loads((ROOT / "deploy/grafana/cumulus.json").read_text())
    expressions = [t["expr"] for p in dashboard["panels"] for t in p.get("targets", [])]
    assert len(expressions) > 10
    alerts = (ROOT / "deploy/prometheus/alerts.yml").read_text()
    used = names_in("\n".join(expressions + re.findall(r"expr: (.*)", alerts)), metrics)
    assert len(used) > 10
    assert used <= set(metrics.types), used - set(metrics.types)
    ids = [p["id"] for p in dashboard["panels"]]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("words", [("check", "rules", "alerts.yml"),
                                   ("check", "config", "--syntax-only", "prometheus.yml"),
                                   ("test", "rules", "alerts_test.yml")])
def test_promtool_takes_the_alerts_and_the_scrape_configuration(words):
    if not PROMTOOL.exists():
        pytest.skip("promtool is not there: make build/tools/promtool")
    checked = subprocess.run([PROMTOOL, *words], cwd=ROOT / "deploy/prometheus", text=True,
                             capture_output=True, timeout=DEADLINE_S)
    assert checked.returncode == 0, checked.stdout + checked.stderr


# ---- logs

PAIR = re.compile(r'([a-z_]+)=("(?:[^"\\]|\\.)*"|[^ "=\\]*)(?: |$)')


def fields_of(line):
    """A key=value line, read to its last byte."""
    found, at = {}, 0
    while at < len(line):
        pair = PAIR.match(line, at)
        assert pair, f"not key=value at {at}: {line!r}"
        key, value = pair.groups()
        assert key not in found, f"{key} twice: {line!r}"
        found[key] = json.loads(value) if value.startswith('"') else value
        at = pair.end()
    return found


@pytest.mark.parametrize("read,flags", [(fields_of, ()), (json.loads, ("--log-json",))],
                         ids=["key=value", "json"])
def test_every_line_of_the_log_can_be_read_whatever_a_user_says(operated, read, flags):
    system = operated("--log-level", "debug", *flags)
    client = Client(system)
    client.until_ready()
    name = 'n "q" = \\ \u20ac \U0001f600'
    assert client.run(HELLO, name=name).value
    story = client.run(RAISES, name=name, labels={"a": 'x="y"'})
    assert story.last.reason == pb.CODE_FAILED
    client.close()
    client.system.stop()

    lines = [read(line) for line in system.log_lines()]
    assert {line["program"] for line in lines} >= {"cumulusd", "cumulus-worker"}
    for line in lines:
        assert {"time", "level", "program", "msg"} <= set(line)
    moves = [(m.get("from", ""), m["to"], m["why"]) for m in lines
             if m["msg"] == "job moved" and m["job"] == story.job]
    assert [m[:2] for m in moves] == [("", "SCHEDULING"), ("SCHEDULING", "CREATING_PARTITION"),
                                      ("CREATING_PARTITION", "RUNNING"), ("RUNNING", "FAILED")]
    assert moves[-1][2] == story.last.message
    system.start()
