"""test_cli.py - the command line: every command, every exit code, Ctrl-C, lost connections.

SPDX-License-Identifier: Apache-2.0
"""
import contextlib
import json
import os
import re
import signal
import subprocess
import time
import zipfile
from concurrent import futures
from pathlib import Path

import grpc
import pytest

from cli import (CANCELLED, COUNTER, CUMULUS, DONE, DURATION, EXAMPLES, FAILED, NO_ANSWER, NO_PLACE,
                 NOT_ALLOWED, NOT_FOUND, SLEEPER, UNKNOWN_JOB, USAGE, Cli, Following, Terminal,
                 environment)
from system import DEADLINE_S, ROOT, pb, rpc, until


# ---- jobs


def test_run_prints_output_states_and_result(cli):
    done = cli("run", "-g", "0.25", EXAMPLES / "hello", "--", "tester")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("Hello, tester, from job j-")
    assert json.loads(lines[1])["greeted"] == "tester"
    states = re.findall(r"^\d\d:\d\d:\d\d\.\d{3} +\+\d+\.\d{3}s  ([A-Z_]+)", done.stderr, re.M)
    assert states[0] == "SCHEDULING" and states[-1] == "COMPLETED"
    assert states.index("CREATING_PARTITION") < states.index("RUNNING")
    assert "\x1b" not in done.stdout + done.stderr


def test_run_tells_progress_on_a_pipe(cli):
    done = cli("run", EXAMPLES / "progress", "--", "2")
    assert "progress  50 %  step 1 of 2" in done.stderr
    assert "step 2 of 2" in done.stdout
    assert json.loads(done.stdout.splitlines()[-1]) == {"steps": 2, "sum": 5}


def test_quiet_leaves_only_output_and_result(cli, script):
    done = cli("run", "-q", script("def main():\n    print('x', end='')\n    return 0.1\n"))
    assert (done.stdout, done.stderr) == ("x\n0.1\n", "")


def test_a_failing_job_exits_with_1(cli):
    done = cli("run", EXAMPLES / "fails", code=FAILED)
    assert "FAILED" in done.stderr and "ZeroDivisionError: division by zero" in done.stderr
    job = cli.json("ps", "-a", "-f", "failed")[0]["job_id"]
    status = cli("status", job).stdout
    assert "CODE_FAILED" in status and "Traceback" in status
    assert "has no result" in cli("result", job, code=FAILED).stderr


def test_a_script_without_main_says_so(cli, script):
    done = cli("run", script("x = 1\n"), code=FAILED)
    assert "main()" in done.stderr


def test_an_exceeded_duration_exits_with_4(cli, script):
    done = cli("run", "-t", "1s", script(SLEEPER), code=DURATION)
    assert "duration of 1 s exceeded" in done.stderr


def test_a_cancelled_job_exits_with_3(cli, script):
    with Following(cli, "run", script(SLEEPER)) as run:
        run.until("up")
        cli("cancel", run.job())
        assert run.end() == CANCELLED
    assert cli("cancel", run.job()).stdout == f"{run.job()}  not cancelled: it is CANCELLED already\n"
    assert "has no result" in cli("result", run.job(), code=CANCELLED).stderr


def test_args_environment_name_and_labels_arrive(cli, script):
    path = script("import os, sys\ndef main():\n    return [sys.argv[1:], os.environ['A']]\n")
    job = cli.submit("-n", "named", "-e", "A=b=c", "--label", "team=x", path, "--", "-x", "--json")
    cli.until_state(job, "COMPLETED")
    assert json.loads(cli("result", job).stdout) == [["-x", "--json"], "b=c"]
    found = cli.json("ps", "-a", "--name", "name", "--label", "team=x")
    assert [j["job_id"] for j in found] == [job]
    assert cli.json("ps", "-a", "--label", "team=y") == []


def test_a_folder_a_zip_and_a_script_run_alike(cli, tmp_path, script):
    code = "def main():\n    return 7\n"
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "main.py").write_text(code)
    with zipfile.ZipFile(tmp_path / "job.zip", "w") as z:
        z.writestr("main.py", code)
    for path in folder, tmp_path / "job.zip", script(code):
        assert cli("run", path).stdout == "7\n"


def test_requirements_are_read_and_refused_by_line(cli, script, tmp_path):
    path = script("def main(): return 1\n")
    empty = script("# nothing\n\n", "empty.txt")
    assert cli("run", "-r", empty, path).stdout == "1\n"
    nested = script("-r other.txt\n", "nested.txt")
    assert f"{nested}:1" in cli("run", "-r", nested, path, code=USAGE).stderr
    cli("run", "-r", tmp_path / "absent.txt", path, code=USAGE)


def test_a_key_finds_the_same_job(cli, script):
    path = script("def main(): return 1\n")
    key = f"key-{time.time_ns()}"
    first = cli.submit("--key", key, path)
    assert cli.submit("--key", key, path) == first
    assert cli.submit(path) != first
    cli("submit", "--key", key, "-g", "0.3", path, code=USAGE)


def test_what_can_never_fit_exits_with_6(cli, script):
    done = cli("run", "-g", "8", script(SLEEPER), code=NO_PLACE)
    assert done.stderr.splitlines()[-1].startswith("cumulus: ")


def test_no_wait_refuses_rather_than_waits(cli, script):
    job = cli.submit("-g", "2", script(SLEEPER))
    cli.until_state(job, "RUNNING")
    cli("run", "--no-wait", "-g", "0.1", script(SLEEPER), code=NO_PLACE)


def test_limits_and_priority_are_sent(cli, script):
    cli("run", "--memory", "256M", "--cpus", "1", "--pids", "64", "--priority", "5",
        script("def main(): pass\n"))
    done = cli("run", "--priority", "101", script("def main(): pass\n"), code=USAGE)
    assert "priority" in done.stderr


# ---- looking at jobs


def test_every_view_of_a_finished_job(cli, script, tmp_path):
    path = script("import sys\ndef main():\n    print('out')\n"
                  "    print('err', file=sys.stderr)\n    return {'a': 1.5}\n")
    job = cli.submit("-n", "seen", path)
    cli.until_state(job, "COMPLETED")

    assert cli("logs", job).stdout == "out\n"
    assert cli("logs", job).stderr == "err\n"
    assert cli("logs", job, "--stream", "stderr").stdout == ""
    assert cli("logs", job, "-n", "1", "--stream", "stdout").stdout == "out\n"
    assert cli("logs", "-f", job).stdout == "out\n"
    assert [json.loads(line)["stream"] for line in cli("logs", job, "--json").stdout.splitlines()]

    assert json.loads(cli("result", job).stdout) == {"a": 1.5}
    cli("result", job, "-w", tmp_path / "result.json")
    assert json.loads((tmp_path / "result.json").read_text())["result"] == {"a": 1.5}
    assert cli.json("result", job)["result"]["result"] == {"a": 1.5}

    story = cli("attach", job)
    assert story.stdout == 'out\n{"a": 1.5}\n'
    assert "RUNNING" in story.stderr and "COMPLETED" in story.stderr
    events = [json.loads(line) for line in cli("attach", job, "--json").stdout.splitlines()]
    assert events[-1]["state"] == "COMPLETED"
    numbers = [e["sequence"] for e in events if e["sequence"]]
    assert numbers == list(range(1, len(numbers) + 1))

    shown = cli("status", job).stdout
    assert re.search(r"^name +seen$", shown, re.M) and re.search(r"^state +COMPLETED$", shown, re.M)
    row = next(line for line in cli("ps", "-a").stdout.splitlines() if job in line)
    assert "seen" in row and "COMPLETED" in row and "0.5" in row
    assert job not in cli("ps").stdout
    assert job in cli("ps", "-f", "completed,failed", "--since", "1h").stdout


def test_ids_may_be_shortened_while_unique(cli, script):
    job = cli.submit(script("def main(): pass\n"))
    cli.until_state(job, "COMPLETED")
    assert cli.json("status", job[:12])["job_id"] == job
    assert cli.json("status", job[2:12])["job_id"] == job
    cli("status", "j-", code=USAGE)


def test_what_does_not_exist_exits_with_7(cli):
    for command in "status", "logs", "attach", "result", "cancel", "timing", "why":
        for job in UNKNOWN_JOB, "j-aaaaaaaaa":
            done = cli(command, job, code=NOT_FOUND)
            assert done.stderr.startswith("cumulus: ") and job in done.stderr
    for command in "workers", "drain", "undrain":
        assert "w-aaaaaaaaaaaa" in cli(command, "w-aaaaaaaaaaaa", code=NOT_FOUND).stderr


def test_cancel_goes_on_after_one_that_is_not_found(cli, script):
    job = cli.submit(script(SLEEPER))
    cli("cancel", UNKNOWN_JOB, job, code=NOT_FOUND)
    cli.until_state(job, "CANCELLED")


def test_workers_show_a_bar_for_each_gpu(cli, script):
    jobs = [cli.submit("-g", "0.5", script(SLEEPER)) for _ in range(2)]
    for job in jobs:
        cli.until_state(job, "RUNNING")
    shown = cli("workers").stdout
    assert "[####################] 1.00 of 1.00" in shown
    assert "[--------------------] 0.00 of 1.00" in shown
    assert all(job in shown for job in jobs)
    worker = cli.json("workers")[0]
    assert cli.json("workers", worker["id"][:10]) != []
    assert sum(d["allocated_amount"] for d in worker["gpu_devices"]) == pytest.approx(1)


def test_health_and_version(cli):
    assert cli("health").stdout.startswith("healthy")
    assert cli.json("health")["status"] == "healthy"
    assert re.fullmatch(r"cumulus \d+\.\d+\.\d+\n", cli("version").stdout)
    assert cli.json("version").keys() == {"version"}


def test_run_as_json_is_one_object_a_line(cli):
    done = cli("run", "--json", EXAMPLES / "progress", "--", "2")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.stderr == ""
    assert any(e["output"] for e in events) and any(e["progress"] for e in events)
    assert events[-1]["result"]["result"] == {"steps": 2, "sum": 5}


# ---- usage


def test_help_is_there_for_every_command_and_names_no_absent_one(no_server):
    listed = no_server("help").stdout
    names = re.findall(r"^  ([a-z]+) ", listed, re.M)
    assert {"run", "submit", "ps", "status", "why", "timing", "result", "logs", "attach", "cancel",
            "workers", "top", "drain", "undrain", "health", "doctor", "dev", "completion", "version",
            "help"} == set(names)
    for name in names:
        text = no_server(name, "--help").stdout
        assert text == no_server("help", name).stdout
        assert "--json" in text and "exit codes" in text
    for absent in "pause", "resume", "token", "env", "admin":
        done = no_server(absent, "x", code=USAGE)
        assert done.stderr.count("\n") == 1 and absent in done.stderr


def test_a_word_that_is_no_command_gets_the_one_that_was_meant(no_server):
    for word, meant in [("log", "logs"), ("stat", "status"), ("cancell", "cancel"), ("sumbit", "submit"),
                        ("squeue", "ps"), ("sbatch", "submit"), ("scancel", "cancel")]:
        for words in [word], ["help", word]:
            assert f"did you mean {meant}?" in no_server(*words, code=USAGE).stderr
    assert "see cumulus help" in no_server("frobnicate", code=USAGE).stderr
    assert "jobs cannot be paused yet" in no_server("help", "pause", code=USAGE).stderr


def test_what_is_not_there_yet_comes_with_the_next_step(cli, script):
    running = cli.submit("-n", "by-name", script(SLEEPER))
    cli.until_state(running, "RUNNING")
    assert f"cumulus attach {running}" in cli("result", running, code=USAGE).stderr
    assert "cumulus ps -a, with -n NAME" in cli("status", "by-name", code=NOT_FOUND).stderr
    assert cli("cancel", running).stdout == f"{running}  to be cancelled\n"


def test_usage_errors_exit_with_2_and_one_line(no_server, script, tmp_path):
    path = script(SLEEPER)
    link = tmp_path / "folder"
    link.mkdir()
    (link / "main.py").write_text("")
    (link / "data").symlink_to("/etc/passwd")
    for words in [[], ["nonsense"], ["run"], ["run", path, "--epochs", "3"],
                  ["run", tmp_path / "absent"], ["run", tmp_path], ["run", link],
                  ["run", path, "-g", "x"], ["run", path, "-e", "novalue"],
                  ["status"], ["logs", UNKNOWN_JOB, "--stream", "x"],
                  ["ps", "-f", "sleeping"], ["ps", "-o", "id,colour"], ["ps", "-o", ""],
                  ["run", path, "--token", "secret"], ["cancel"], ["cancel", "-a", UNKNOWN_JOB],
                  ["cancel", "-f", "sleeping"], ["cancel", "-f", "completed"], ["drain"],
                  ["drain", "w-"], ["timing"], ["why", ""], ["completion"], ["completion", "csh"],
                  ["top", "x"], ["doctor", "x"], ["logs", "--timestamps"],
                  ["run", path, "--retries", "many"]]:
        done = no_server(*words, code=USAGE)
        assert done.stdout == ""
        assert words == [] or done.stderr.count("\n") == 1, words
        assert "secret" not in done.stderr


def test_the_server_names_what_it_refuses(cli, script):
    for words in ["-g", "0.95"], ["-t", "0"], ["-t", "2d"]:
        assert cli("run", *words, script(SLEEPER), code=USAGE).stderr.startswith("package")


def test_no_server_exits_with_5_and_says_what_to_do(no_server, script):
    for words in [["ps"], ["health"], ["workers"], ["run", script(SLEEPER)],
                  ["submit", script(SLEEPER)], ["attach", UNKNOWN_JOB], ["logs", "-f", UNKNOWN_JOB],
                  ["status", UNKNOWN_JOB], ["cancel", UNKNOWN_JOB], ["result", UNKNOWN_JOB],
                  ["why", UNKNOWN_JOB], ["timing", UNKNOWN_JOB], ["top"], ["drain", "w-aaaa"],
                  ["undrain", "w-aaaa"], ["cancel", "--all"]]:
        done = no_server(*words, code=NO_ANSWER)
        assert "sudo cumulus dev" in done.stderr and "127.0.0.1:1" in done.stderr
    assert no_server("ps", "--address", "nonsense", code=USAGE).stdout == ""


def test_settings_rise_from_file_to_variable_to_flag(shared_system, tmp_path):
    home = tmp_path / "home"
    (home / ".config/cumulus").mkdir(parents=True)
    file = home / ".config/cumulus/config.yaml"
    file.write_text(f"address: {shared_system.address}\n")

    def health(*words, **env):
        return subprocess.run([CUMULUS, "health", *words], env=environment(home, **env),
                              capture_output=True, encoding="utf-8", timeout=DEADLINE_S)

    assert health().returncode == DONE
    assert health(CUMULUS_ADDRESS="127.0.0.1:1").returncode == NO_ANSWER
    assert health("--address", shared_system.address,
                  CUMULUS_ADDRESS="127.0.0.1:1").returncode == DONE
    assert health(CUMULUS_TOKEN="secret").returncode == USAGE
    file.write_text("address: x:1\nadress: y\n")
    done = health()
    assert done.returncode == USAGE and f"{file}:2" in done.stderr and "adress" in done.stderr


# ---- terminals


def test_a_terminal_gets_a_live_line_and_colours(cli):
    with Terminal(cli, "run", EXAMPLES / "progress", "--", "2") as terminal:
        assert terminal.end() == DONE
    assert "\x1b[32m" in terminal.seen and "[##########..........]  50 %" in terminal.seen
    with Terminal(cli, "run", EXAMPLES / "hello", NO_COLOR="1") as terminal:
        assert terminal.end() == DONE
    assert not re.search(r"\x1b\[\d*m", terminal.seen)


def test_one_interrupt_detaches_and_the_job_goes_on(cli, script):
    with Terminal(cli, "run", script(SLEEPER)) as terminal:
        terminal.until("up")
        terminal.interrupt()
        assert terminal.end() == DONE
    job = re.search(r"later: cumulus attach (j-[a-z2-7]{16})", terminal.seen).group(1)
    assert cli.state(job) == "RUNNING"
    with Terminal(cli, "attach", job) as again:
        again.until("up")
        again.interrupt()
        again.until("detaching")
        again.interrupt()
        assert again.end() == CANCELLED
    assert cli.state(job) == "CANCELLED"


def test_two_interrupts_cancel(cli, script):
    with Terminal(cli, "run", script(SLEEPER)) as terminal:
        terminal.until("up")
        terminal.interrupt()
        terminal.until("detaching")
        terminal.interrupt()
        assert terminal.end() == CANCELLED
    job = re.search(r"j-[a-z2-7]{16}", terminal.seen).group()
    assert cli.state(job) == "CANCELLED"


def test_watching_redraws_until_interrupted(cli):
    with Terminal(cli, "workers", "-w") as terminal:
        until(lambda: terminal.read() and terminal.seen.count("GPU 0") >= 2, "two pictures")
        terminal.interrupt()
        assert terminal.end() == -signal.SIGINT


def test_escapes_are_the_jobs_own_in_output_and_dead_in_tables(cli, script):
    path = script("def main():\n    print('\\x1b[31mred')\n    raise ValueError('\\x1b[2J')\n")
    done = cli("run", "-n", "red", path, code=FAILED)
    assert "\x1b[31mred\n" == done.stdout
    ours = [line for line in done.stderr.splitlines() if re.match(r"\d\d:\d\d:\d\d\.", line)]
    assert ours and not any("\x1b" in line for line in ours)
    job = cli.json("ps", "-a", "--name", "red")[0]["job_id"]
    assert "\x1b" not in cli("status", job).stdout + cli("ps", "-a").stdout


def test_a_reader_that_goes_away_ends_it_quietly(cli, script):
    path = script("def main():\n    for _ in range(20000):\n        print('x' * 100)\n")
    job = cli.submit(path)
    cli.until_state(job, "COMPLETED")
    process = subprocess.Popen([CUMULUS, "logs", job], env=cli.env(), stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)
    process.stdout.read(10)
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(timeout=DEADLINE_S) == -signal.SIGPIPE


# ---- the server goes away, and refuses


def test_a_story_survives_a_restart_of_the_server(new_system, script, tmp_path):
    system = new_system()
    cli = Cli(system.address, tmp_path / "home", system)
    until(lambda: cli.json("workers") and cli.json("workers")[0]["status"] == "ready", "a worker")
    with Following(cli, "run", script(COUNTER)) as run:
        run.until("line 5\n")
        system.flags += ["--listen", system.address]
        system.kill()
        run.until("connection lost")
        system.start()
        assert run.end() == DONE
    assert run.out == "".join(f"line {n}\n" for n in range(60)) + "59\n"
    assert run.err.count("COMPLETED") == 1


class Refusing(rpc.OrchestratorServiceServicer):
    """A server that answers everything with one status."""

    def __init__(self, code):
        self.code = code

    def HealthCheck(self, request, context):
        if self.code is None:
            return pb.HealthStatus(status="degraded", message="the disk is nearly full")
        context.abort(self.code, "so it is\x1b[2J")

    ListWorkers = ListJobs = GetJobStatus = SubmitJob = HealthCheck


@contextlib.contextmanager
def serving(servicer):
    server = grpc.server(futures.ThreadPoolExecutor(4))
    rpc.add_OrchestratorServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(0).wait()


@pytest.mark.parametrize("status, code", [
    (grpc.StatusCode.PERMISSION_DENIED, NOT_ALLOWED),
    (grpc.StatusCode.UNAUTHENTICATED, NOT_ALLOWED),
    (grpc.StatusCode.RESOURCE_EXHAUSTED, NO_PLACE),
    (grpc.StatusCode.INTERNAL, NO_ANSWER),
    (grpc.StatusCode.UNAVAILABLE, NO_ANSWER),
    (grpc.StatusCode.UNIMPLEMENTED, USAGE),
])
def test_each_status_has_its_exit_code(status, code, script, tmp_path):
    with serving(Refusing(status)) as address:
        cli = Cli(address, tmp_path)
        for words in [["health"], ["workers"], ["ps"], ["status", UNKNOWN_JOB],
                      ["run", script(SLEEPER)]]:
            assert "so it is" in cli(*words, code=code).stderr


def test_a_degraded_system_is_a_warning(tmp_path):
    with serving(Refusing(None)) as address:
        done = Cli(address, tmp_path)("health")
    assert "degraded: the disk is nearly full" in done.stdout and "warning" in done.stderr


# ---- dev and the demo


def left_of(name):
    """Processes that name this."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if name.encode() in (folder / "cmdline").read_bytes():
                found.append(folder.name)
    return found


@pytest.mark.skipif(os.geteuid() != 0, reason="jobs need root")
def test_dev_is_a_whole_system_until_it_is_interrupted(tmp_path):
    data = Path(f"/tmp/cumulus-e2e-dev-{os.getpid()}")
    data.mkdir(mode=0o711)
    cli = Cli("", tmp_path)
    try:
        with Terminal(cli, "dev", "--listen", "127.0.0.1:0", "--http", "off", "--data",
                      data / "data", "--devices", "simulated:1") as dev:
            until(lambda: dev.read() and re.search(r"listening on (\S+)\r\n", dev.seen),
                  "the line that it listens")
            cli.address = re.search(r"listening on (\S+)\r\n", dev.seen).group(1)
            until(lambda: dev.read() and cli.json("workers"), "a worker")
            cli("run", "-q", EXAMPLES / "hello")
            dev.interrupt()
            assert dev.end() == DONE
        until(lambda: left_of(data.name) == [], "all processes gone")
    finally:
        subprocess.run(["rm", "-rf", data], check=True)


def demo_folders():
    return {str(p) for p in Path("/tmp").glob("cumulus-demo.*")}


@pytest.mark.skipif(os.geteuid() != 0, reason="jobs need root")
@pytest.mark.parametrize("moment", ["two simulated GPUs", "SCHEDULING", "step 2", "side by side",
                                    "$ cumulus ps", "nobody interrupts"])
def test_the_demo_leaves_nothing_behind(tmp_path, moment):
    before = demo_folders()
    with Terminal(Cli("", tmp_path), program=ROOT / "scripts/demo.sh",
                  BUILD=os.environ.get("CUMULUS_BUILD", "build")) as demo:
        if moment == "nobody interrupts":
            assert demo.end(3 * DEADLINE_S) == 0, demo.seen
            assert "ZeroDivisionError" in demo.seen and "[####################] 1.00" in demo.seen
        else:
            demo.until(moment)
            demo.interrupt()
            assert demo.end() == 130, demo.seen
    assert demo_folders() == before
    assert left_of("cumulus-demo.") == []
