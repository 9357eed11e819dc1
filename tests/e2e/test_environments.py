"""test_environments.py - requirements become environments: resolved, installed, shared, kept.

The wheels are made here, so nothing needs a network but the last test.

SPDX-License-Identifier: Apache-2.0
"""
import hashlib
import http.server
import os
import re
import signal
import socket
import subprocess
import threading
import zipfile
from pathlib import Path

import grpc
import pytest

from client import TERMINAL, Client, Story, pb, until, zip_of

HEX = re.compile(r"[0-9a-f]{64}$")


def write_wheel(folder, name, version, *, requires=(), body="", tag="py3-none-any", more=None):
    """The least that is a wheel: one module, its metadata and their list."""
    info = f"{name}-{version}.dist-info"
    metadata = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}"]
    metadata += [f"Requires-Dist: {line}" for line in requires]
    files = {f"{name}.py": f"VERSION = {version!r}\n{body}",
             f"{info}/METADATA": "\n".join(metadata) + "\n",
             f"{info}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n",
             **(more or {})}
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in files) + f"{info}/RECORD,,\n"
    with zipfile.ZipFile(folder / f"{name}-{version}-{tag}.whl", "w") as z:
        for path, content in files.items():
            z.writestr(path, content)


@pytest.fixture
def wheels(tmp_path):
    folder = tmp_path / "wheels"
    folder.mkdir()
    folder.chmod(0o755)
    write_wheel(folder, "alpha", "1.0")
    write_wheel(folder, "alpha", "2.0")
    write_wheel(folder, "beta", "1.5", requires=["alpha<2"])
    write_wheel(folder, "gamma", "3.0", requires=["alpha>=2"])
    write_wheel(folder, "elsewhere", "1.0", tag="cp27-cp27m-win32")
    return folder


@pytest.fixture
def start(new_system, monkeypatch):
    """Start a system whose worker has these settings; its client is closed with it."""
    clients = []

    def begin(*flags, **settings):
        for name, value in settings.items():
            monkeypatch.setenv(f"CUMULUS_{name.upper()}", str(value))
        clients.append(Client(new_system(*flags)))
        clients[-1].until_ready()
        return clients[-1]

    yield begin
    for client in clients:
        client.close()


@pytest.fixture
def deaf_index(monkeypatch):
    """An index that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.getsockname()[1]}/simple")
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.delenv(name, raising=False)
        yield server


class Index(http.server.ThreadingHTTPServer):
    """A package index of this folder of wheels; it remembers what was asked for."""

    def __init__(self, folder):
        self.folder, self.asked, self.hashes = folder, [], {}
        super().__init__(("127.0.0.1", 0), Answer)

    def page(self, name):
        """The links of a project; a hash is that of the file unless another was set."""
        return "".join(
            f'<a href="/files/{w.name}#sha256='
            f'{self.hashes.get(w.name) or hashlib.sha256(w.read_bytes()).hexdigest()}">{w.name}</a>'
            for w in sorted(self.folder.glob(f"{name}-*.whl")))


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        kind, name = self.path.strip("/").split("/")[:2]
        if kind == "files":
            body, of = (self.server.folder / name).read_bytes(), "application/octet-stream"
        else:
            body, of = self.server.page(name).encode(), "text/html"
        self.send_response(200)
        self.send_header("Content-Type", of)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def index(wheels, monkeypatch):
    """The operator's own index, and no other."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    with Index(wheels) as server:
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.server_port}/simple")
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        serving.start()
        yield server
        server.shutdown()
        serving.join()


def environments(client):
    folder = client.system.data / "worker" / "environments"
    return sorted(p.name for p in folder.glob("*") if HEX.match(p.name))


def leftovers(client):
    folder = client.system.data / "worker" / "environments"
    return [p.name for p in folder.glob("*") if not HEX.match(p.name) and p.name != "requests"]


def builds(client):
    log = (client.system.parent / "log").read_text(errors="replace")
    return len(re.findall("environment is being built", log))


def worker_pid(client):
    for pid in client.system.processes():
        try:
            if "cumulus-worker" in Path(f"/proc/{pid}/cmdline").read_text().split("\0")[0]:
                return pid
        except OSError:
            pass
    return None


def builder_pids(client):
    found = []
    for pid in client.system.processes():
        try:
            if "cumulus-builder" in Path(f"/proc/{pid}/cmdline").read_text().split("\0")[0]:
                found.append(pid)
        except OSError:
            pass
    return found


def version_of(name):
    return f"import {name}\ndef main():\n    return [{name}.VERSION, {name}.__file__]\n"


def failed(client, story, reason):
    assert story.last.state == pb.FAILED, story.text()
    status = client.status(story.job)
    assert status.reason == reason, status
    assert status.error.startswith(story.last.message)
    return status


# ---- what works

def test_a_requirement_is_installed_and_shown(start, wheels):
    client = start(wheels=wheels)
    story = client.run(version_of("alpha"), requirements=["alpha<2"])
    assert story.value == ["1.0", "/env/lib/python3.%d/site-packages/alpha.py" % minor()]
    said = [e for e in story.events if e.HasField("output") and e.output.stream == pb.SYSTEM]
    assert b"alpha" in story.output(pb.SYSTEM)
    assert {e.state for e in said} == {pb.CREATING_PARTITION}
    status = client.status(story.job)
    assert status.environment == f"sha256:{environments(client)[0]}"
    assert status.timing.environment_ns > 0


def minor():
    return int(os.readlink("/usr/bin/python3").rsplit(".", 1)[1])


def test_lines_of_the_submission_and_of_its_file_make_one_environment(start, wheels):
    client = start(wheels=wheels)
    code = {"main.py": version_of("beta") + "import alpha\n",
            "requirements.txt": "# ours\nbeta>=1  # newest\n\n"}
    story = client.run(code, requirements=["alpha"])
    assert story.value[0] == "1.5"
    lock = (client.system.data / "worker" / "environments" / environments(client)[0] /
            "lock").read_text()
    assert re.findall(r"^(\w+==\S+) --hash=sha256:[0-9a-f]{64}$", lock, re.M) == [
        "alpha==1.0", "beta==1.5"]


def test_extras_and_markers_are_the_resolvers_business(start, wheels):
    client = start(wheels=wheels)
    story = client.run(version_of("alpha"),
                       requirements=['alpha==2.0; python_version >= "3"',
                                     'surely-not-there; sys_platform == "win32"'])
    assert story.value[0] == "2.0"


def test_what_the_host_has_needs_no_environment(start, wheels):
    client = start(wheels=wheels)
    story = client.run("import numpy\ndef main():\n    return 1\n", requirements=["numpy"])
    assert story.value == 1
    assert builds(client) == 0 and client.status(story.job).environment == ""


def test_an_environment_is_read_only_and_roots(start, wheels):
    client = start(wheels=wheels)
    story = client.run("""
        import alpha, os
        def main():
            try:
                open(alpha.__file__, "a")
            except OSError as error:
                return [os.stat(alpha.__file__).st_uid, error.errno,
                        bool(os.statvfs("/env").f_flag & os.ST_RDONLY)]
        """, requirements=["alpha"])
    assert story.value == [65534, 13, True]  # nobody that a job could be; EACCES


def test_two_jobs_at_once_wait_for_one_build(start, wheels):
    client = start(wheels=wheels)
    calls = [client.submit(version_of("gamma"), requirements=["gamma"]) for _ in range(2)]
    stories = [Story(call) for call in calls]
    for story in stories:
        client.know(story.job)
        assert story.value[0] == "3.0"
        assert b"gamma" in story.output(pb.SYSTEM), story.text()
    assert builds(client) == 1 and len(environments(client)) == 1
    until(lambda: not leftovers(client), "the build's folder is gone")


def test_a_second_run_finds_it_in_the_cache_also_after_a_restart(start, wheels):
    client = start(wheels=wheels)
    first = client.run(version_of("alpha"), requirements=["alpha", "gamma"])
    second = client.run(version_of("alpha"), requirements=["gamma", "alpha"])
    assert first.value == second.value and not second.output(pb.SYSTEM)
    os.kill(worker_pid(client), signal.SIGKILL)
    client.until_ready()
    third = client.run(version_of("alpha"), requirements=["gamma", "alpha"])
    assert third.value == first.value
    assert builds(client) == 1
    assert client.status(third.job).environment == client.status(first.job).environment


def test_sets_that_resolve_to_the_same_lock_share_it(start, wheels):
    client = start(wheels=wheels)
    client.run(version_of("alpha"), requirements=["alpha"])
    client.run(version_of("alpha"), requirements=["alpha==2.0"])
    assert builds(client) == 2 and len(environments(client)) == 1


# ---- what cannot work

def test_a_name_that_nobody_knows_fails_with_pips_words(start, wheels):
    client = start(wheels=wheels)
    story = client.run(requirements=["surely-not-installed-here"])
    status = failed(client, story, pb.ENVIRONMENT_FAILED)
    assert "surely-not-installed-here" in story.last.message
    assert "No matching distribution" in status.error
    assert environments(client) == []


def test_versions_that_contradict_each_other_fail(start, wheels):
    client = start(wheels=wheels)
    story = client.run(requirements=["beta", "gamma"])
    status = failed(client, story, pb.ENVIRONMENT_FAILED)
    assert "conflict" in status.error and "alpha" in status.error


def test_a_wheel_for_another_machine_is_no_match(start, wheels):
    client = start(wheels=wheels)
    story = client.run(requirements=["elsewhere"])
    failed(client, story, pb.ENVIRONMENT_FAILED)
    assert "elsewhere" in story.last.message


def test_a_source_distribution_is_never_built(start, wheels):
    (wheels / "sourceful-1.0.zip").write_bytes(zip_of({
        "sourceful-1.0/setup.py": "raise SystemExit('setup.py was run')\n",
        "sourceful-1.0/PKG-INFO": "Metadata-Version: 1.0\nName: sourceful\nVersion: 1.0\n"}))
    client = start(wheels=wheels)
    status = failed(client, client.run(requirements=["sourceful"]), pb.ENVIRONMENT_FAILED)
    assert "setup.py was run" not in status.error


def test_names_are_asked_of_the_operators_index_alone(start, index):
    """A name that PyPI has too comes from here: what is not on the operator's index is not there."""
    write_wheel(index.folder, "requests", "0.0.1")
    client = start()
    assert client.run(version_of("requests"), requirements=["requests==0.0.1"]).value[0] == "0.0.1"
    assert "/simple/requests/" in index.asked
    status = failed(client, client.run(requirements=["numpy<1"]), pb.ENVIRONMENT_FAILED)
    assert "numpy" in status.message and "/simple/numpy/" in index.asked


def test_a_wheel_that_is_not_what_its_index_says_fails(start, index):
    index.hashes["alpha-2.0-py3-none-any.whl"] = "0" * 64
    client = start()
    status = failed(client, client.run(requirements=["alpha"]), pb.ENVIRONMENT_FAILED)
    assert "HASH" in status.error.upper() and "000000" in status.error
    assert environments(client) == []


def test_a_wheel_that_is_cut_fails_with_pips_words(start, wheels):
    wheel = wheels / "alpha-2.0-py3-none-any.whl"
    wheel.write_bytes(wheel.read_bytes()[:-100])
    client = start(wheels=wheels)
    status = failed(client, client.run(requirements=["alpha==2.0"]), pb.ENVIRONMENT_FAILED)
    assert "alpha" in status.error
    until(lambda: not leftovers(client), "the build's folder is gone")


def test_a_wheel_that_climbs_out_of_its_folder_writes_nothing_there(start, wheels):
    write_wheel(wheels, "climber", "1.0", more={
        "../../../../../../../../../../../../usr/local/climbed": "x", "../../../../climbed": "y"})
    client = start(wheels=wheels)
    story = client.run(version_of("alpha"), requirements=["climber", "alpha"])
    assert not Path("/usr/local/climbed").exists()
    assert not [p for p in client.system.data.rglob("climbed")], story.text()
    assert story.last.state in TERMINAL


def test_the_limits_of_a_build_are_named(start, wheels):
    write_wheel(wheels, "large", "1.0", more={"large.bin": os.urandom(8 << 20)})
    client = start(wheels=wheels, environment_disk="2M")
    story = client.run(requirements=["large"])
    failed(client, story, pb.ENVIRONMENT_FAILED)
    assert "2 MiB" in story.last.message and "environment-disk" in story.last.message


def test_a_build_that_takes_too_long_fails(start, deaf_index):
    client = start(environment_time="2s")
    story = client.run(requirements=["alpha"])
    failed(client, story, pb.ENVIRONMENT_FAILED)
    assert "2 s" in story.last.message and "environment-time" in story.last.message
    until(lambda: not leftovers(client), "the build's folder is gone")


def test_the_set_up_limit_holds_during_a_build(start, deaf_index):
    client = start("--setup-limit", "1s")
    story = client.run(requirements=["alpha"])
    failed(client, story, pb.SETUP_TIMED_OUT)
    until(lambda: not leftovers(client), "the build's folder is gone")


def test_a_job_is_cancelled_while_its_environment_is_built(start, deaf_index):
    client = start()
    job, call = client.begin(state=pb.CREATING_PARTITION, requirements=["alpha"])
    until(lambda: builder_pids(client), "a builder runs")
    assert client.cancel(job).cancelled
    assert Story(call).last.state == pb.CANCELLED
    until(lambda: not builder_pids(client) and not leftovers(client), "nothing is left of it")


def test_a_line_too_many_in_the_file_is_invalid(start, wheels):
    client = start(wheels=wheels)
    code, details = client.refused(code={"main.py": "def main(): pass\n",
                                         "requirements.txt": "alpha\n" * 200},
                                   requirements=["alpha"] * 100)
    assert code == grpc.StatusCode.INVALID_ARGUMENT and "256" in details


# ---- crashes, and the cache's limit

@pytest.mark.parametrize("victim", ["worker", "builder"])
def test_a_kill_during_the_build_leaves_no_half_and_the_job_goes_on(start, wheels, victim):
    client = start(wheels=wheels)
    call = client.submit(version_of("gamma"), requirements=["gamma"])
    pids = until(lambda: builder_pids(client), "a builder runs")
    os.kill(worker_pid(client) if victim == "worker" else pids[0], signal.SIGKILL)
    story = Story(call)
    client.know(story.job)
    assert story.value[0] == "3.0"
    assert len(environments(client)) == 1
    until(lambda: not leftovers(client), "the build's folders are gone")


@pytest.mark.parametrize("moment", ["resolve", "locked", "install", "installed", "synced"])
def test_a_builder_killed_at_each_moment_leaves_nothing(start, wheels, monkeypatch, moment):
    monkeypatch.setenv("CUMULUS_FAULT", moment)
    client = start(wheels=wheels)
    job, call = client.begin(state=pb.CREATING_PARTITION, requirements=["alpha"])
    log = client.system.parent / "log"
    until(lambda: "a builder died" in log.read_text(errors="replace"), "the builder dies")
    assert environments(client) == []
    client.cancel(job)
    assert Story(call).last.state in TERMINAL
    until(lambda: not builder_pids(client) and not leftovers(client), "nothing is left of it")


def test_the_least_recently_used_go_when_there_are_too_many(start, wheels):
    client = start(wheels=wheels, environment_cache="1")
    assert client.run(version_of("alpha"), requirements=["alpha"]).value[0] == "2.0"
    until(lambda: not environments(client) and not leftovers(client), "nothing is kept")
    assert client.run(version_of("alpha"), requirements=["alpha"]).value[0] == "2.0"
    assert builds(client) == 2


# ---- with a network

def test_numpy_comes_from_the_index(start, tmp_path):
    there = subprocess.run(
        ["/usr/bin/python3", "-m", "pip", "download", "--quiet", "--no-deps", "--dest", tmp_path,
         "--timeout", "10", "--retries", "0", "six"],
        env={k: v for k, v in os.environ.items() if k not in ("PIP_FIND_LINKS", "VIRTUAL_ENV")},
        capture_output=True)
    if there.returncode:
        pytest.skip("no package index can be reached")
    client = start()
    story = client.run("""
        import numpy
        def main():
            return [int(numpy.__version__.split(".")[0]), float(numpy.ones((64, 64)).sum())]
        """, requirements=["numpy>=2"])
    assert story.value[0] >= 2 and story.value[1] == 4096
