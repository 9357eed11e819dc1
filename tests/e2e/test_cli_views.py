"""test_cli_views.py - what the command line shows of jobs, time, machines and itself.

SPDX-License-Identifier: Apache-2.0
"""
import json
import re
import socket
import subprocess

import pytest

from cli import DEADLINE_S, DONE, FAILED, NOT_FOUND, SLEEPER, UNKNOWN_JOB, USAGE, Cli
from system import BIN, until


def finished(cli, script, text="def main(): return 1\n", *words):
    job = cli.submit(*words, script(text))
    cli.until_state(job, "COMPLETED", "FAILED")
    return job


# ---- timing


def test_timing_shows_where_the_time_went(cli, script):
    job = finished(cli, script)
    shown = cli("timing", job).stdout
    for phase in "queued", "environment", "partition", "container", "python", "run", "total":
        assert re.search(rf"^{phase} +([\d.]+ m?s|-)", shown, re.M), shown
    told = cli.json("timing", job)
    assert told["job_id"] == job and told["state"] == "COMPLETED"
    assert told["total_ns"] == sum(told["timing"].values()) and told["timing"]["run_ns"] > 0


def test_timing_of_a_waiting_job_counts_so_far(cli, script):
    for _ in range(2):
        cli.until_state(cli.submit("-g", "1", script(SLEEPER)), "RUNNING")
    job = cli.submit("-g", "1", script(SLEEPER))
    until(lambda: re.search(r"^queued +[1-9][\d.]* s .*\n(.*\n)+total +\S+ s so far",
                            cli("timing", job).stdout, re.M), "seconds in the queue")


# ---- ps


def test_columns_are_those_that_are_asked_for(cli, script):
    job = finished(cli, script, "def main(): return 1\n", "--label", "team=x", "-n", "chosen")
    table = cli("ps", "-a", "-n", "chosen", "-o", "id,exit,LABELS,state").stdout.splitlines()
    assert table[0].split() == ["ID", "EXIT", "LABELS", "STATE"]
    assert table[1].split() == [job, "0", "team=x", "COMPLETED"]
    assert cli("ps", "-a", "-q", "-n", "chosen", "-o", "id").stdout == f"{job}\n"
    assert "colour" in cli("ps", "-o", "id,colour", code=USAGE).stderr


# ---- cancel


def test_cancel_all_leaves_no_job(cli, script):
    jobs = {cli.submit("-g", "1", script(SLEEPER)) for _ in range(4)}
    done = cli("cancel", "--all")
    assert set(re.findall(r"^(j-\S+)  to be cancelled", done.stdout, re.M)) == jobs
    for job in jobs:
        cli.until_state(job, "CANCELLED")
    assert cli("cancel", "--all").stderr == "no such jobs\n"


def test_cancel_by_state_name_and_label(cli, script):
    kept = cli.submit("-n", "keep", "-g", "1", script(SLEEPER))
    named = cli.submit("-n", "drop", "-g", "1", script(SLEEPER))
    for job in kept, named:
        cli.until_state(job, "RUNNING")
    waiting = cli.submit("-n", "keep", "--label", "a=b", "-g", "1", script(SLEEPER))
    assert cli("cancel", "-f", "waiting", "--label", "a=b").stdout.startswith(waiting)
    assert cli("cancel", "--name", "drop").stdout.startswith(named)
    for job in waiting, named:
        cli.until_state(job, "CANCELLED")
    assert cli.state(kept) == "RUNNING"


# ---- logs


def test_timestamps_stand_before_every_line(cli, script):
    job = finished(cli, script, "import sys, time\ndef main():\n"
                   "    print('one\\ntwo', flush=True)\n    time.sleep(0.1)\n"
                   "    print('thr', end='', flush=True)\n    time.sleep(0.1)\n    print('ee')\n"
                   "    print('four', file=sys.stderr)\n")
    done = cli("logs", "--timestamps", job)
    lines = done.stdout.splitlines()
    assert [line.split(" ", 1)[1] for line in lines] == ["one", "two", "three"]
    for line in lines + done.stderr.splitlines():
        assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ", line)
    assert lines == sorted(lines)
    told = [json.loads(line) for line in cli("logs", job, "--json").stdout.splitlines()]
    assert all(piece["timestamp_ns"] > 1e18 for piece in told)


def test_retries_are_asked_for(cli, script):
    job = cli.submit("--retries", "1", script("def main(): raise ValueError('again')\n"))
    cli.until_state(job, "FAILED")
    assert cli.json("status", job)["attempt"] == 2
    assert "max_retries" in cli("submit", "--retries", "1000", script(SLEEPER), code=USAGE).stderr


# ---- top, version, doctor


def test_top_on_a_pipe_is_one_picture(cli, script):
    job = cli.submit("-n", "shown", "-g", "0.5", script(SLEEPER))
    cli.until_state(job, "RUNNING")
    shown = cli("top").stdout
    assert shown.startswith("healthy ") and "[##########----------] 0.50 of 1.00" in shown
    assert re.search(rf"^{job}  shown  RUNNING", shown, re.M)
    told = cli.json("top")
    assert told.keys() == {"health", "workers", "jobs"}
    assert [j["job_id"] for j in told["jobs"]] == [job] and told["workers"][0]["gpu_devices"]


def test_the_version_is_told_wherever_it_is_asked_for(no_server):
    version = no_server("version").stdout
    assert re.fullmatch(r"cumulus \d+\.\d+\.\d+\n", version)
    for words in ["--version"], ["-V"], ["run", "--version"], ["ps", "-V"]:
        assert no_server(*words).stdout == version


def test_doctor_finds_a_fit_system(cli):
    shown = cli("doctor").stdout
    assert not re.search(r"^problem", shown, re.M)
    for check in "server", "health", "version", "worker", "gpu", "containers", "python", "disk":
        assert re.search(rf"^(ok|warning) +{check} ", shown, re.M), shown
    told = cli.json("doctor")
    assert told["fit"] is True
    assert {"check", "verdict", "message", "remedy"} == told["findings"][0].keys()


def test_doctor_names_what_keeps_jobs_from_running(no_server, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = Cli(f"127.0.0.1:{port}", tmp_path)("doctor", "--json", code=FAILED)
        told = json.loads(done.stdout)
    assert told["fit"] is False
    problems = [f["check"] for f in told["findings"] if f["verdict"] == "problem"]
    assert {"server", "port"} <= set(problems)
    assert all(f["remedy"] for f in told["findings"] if f["verdict"] == "problem")
    free = no_server("doctor", code=FAILED).stdout
    assert re.search(r"^problem +server .*127\.0\.0\.1:1", free, re.M)


def test_doctor_wants_a_worker(new_system, tmp_path):
    system = new_system("--worker", "external")
    shown = Cli(system.address, tmp_path)("doctor", code=FAILED).stdout
    assert re.search(r"^problem +worker +there is none", shown, re.M)


# ---- completion


def offered(cli, *words):
    lines = cli("__complete", "--", *words).stdout.splitlines()
    return [line.split("\t")[0] for line in lines]


def test_what_is_offered_fits_the_place(cli, script):
    job = cli.submit("-n", "a name", script(SLEEPER))
    cli.until_state(job, "RUNNING")
    ended = finished(cli, script)
    worker = cli.json("workers")[0]["id"]
    assert {"run", "ps", "why", "doctor"} <= set(offered(cli, ""))
    assert not {"pause", "token", "__complete"} & set(offered(cli, ""))
    assert offered(cli, "comp") == ["completion"]
    assert offered(cli, "--json", "undr") == ["undrain"]
    assert {"--gpu", "--retries", "--json"} <= set(offered(cli, "run", "-"))
    assert offered(cli, "ps", "--fi") == ["--filter"]
    assert offered(cli, "ps", "-f", "run") == ["running"]
    assert offered(cli, "ps", "-f", "running,wa") == ["running,waiting"]
    assert offered(cli, "ps", "--filter=running,wa") == ["--filter=running,waiting"]
    assert offered(cli, "ps", "--filter", "=", "wa") == ["waiting"]
    assert offered(cli, "logs", "--stream", "s") == ["stdout", "stderr", "system"]
    assert {job, ended} <= set(offered(cli, "status", ""))
    assert offered(cli, "status", job[:10]) == [job]
    assert offered(cli, "cancel", "") == [job]
    assert offered(cli, "drain", "w-") == [worker]
    assert offered(cli, "run", "") == [":files"] and offered(cli, "run", "-r", "") == [":files"]
    assert offered(cli, "run", "x", "--", "--a") == [":files"]
    assert offered(cli, "dev", "--data", "") == [":folders"]
    assert offered(cli, "completion", "") == ["bash", "zsh", "fish"]
    assert offered(cli, "run", "-t", "") == [] and offered(cli, "nonsense", "") == []


def test_the_server_that_is_named_on_the_line_is_asked(cli, no_server, script):
    job = cli.submit(script(SLEEPER))
    for words in (["--address", cli.address], ["--address=" + cli.address]):
        assert job in offered(no_server, *words, "status", "")
        assert job in offered(no_server, "status", *words, "")
    assert offered(no_server, "status", "") == []


SHELLS = {
    # What a person's shell does at the Tab, without a terminal where the shell allows it.
    "bash": """
source <(cumulus completion bash)
COMP_WORDS=({line}) COMP_CWORD={last}
_cumulus cumulus
printf '%s\\n' "${{COMPREPLY[@]}}"
""",
    "fish": "cumulus completion fish | source\ncomplete -C '{text}'\n",
}


def tab(cli, shell, *words):
    line = " ".join(f"'{w}'" for w in ("cumulus", *words))
    code = SHELLS[shell].format(line=line, last=len(words), text=" ".join(("cumulus", *words)))
    path = f"{BIN}:/usr/bin:/bin"
    done = subprocess.run([shell, "-c", code], env=cli.env(PATH=path), capture_output=True,
                          encoding="utf-8", timeout=DEADLINE_S, stdin=subprocess.DEVNULL)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return [line.split("\t")[0] for line in done.stdout.splitlines()]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_completes(cli, script, tmp_path, shell):
    job = cli.submit(script(SLEEPER))
    (tmp_path / "some-file").write_text("")
    assert tab(cli, shell, "comp") == ["completion"]
    assert {"status", "submit"} == set(tab(cli, shell, "s"))
    assert "--gpu" in tab(cli, shell, "run", "--")
    assert job in tab(cli, shell, "status", "j-")
    assert tab(cli, shell, "run", f"{tmp_path}/some-f") == [f"{tmp_path}/some-file"]


ZSH = r"""
zmodload zsh/zpty
zpty z zsh -f -i
zpty -w z 'PS1="ready> "; autoload -U compinit; compinit -u -D'
zpty -w z 'source <(cumulus completion zsh)'
zpty -w z 'zstyle ":completion:*" list-prompt ""; LISTMAX=1000; echo is"-"set'
zpty -r -m z seen '*is-set*'
zpty -w -n z "$1"$'\t\t'
zpty -r -m z seen "*$2*" && print -r -- found
zpty -d z
"""


def test_zsh_completes(cli, script):
    job = cli.submit(script(SLEEPER))
    for typed, wanted in (("cumulus comp", "completion"), ("cumulus ps --fil", "--filter"),
                          (f"cumulus status {job[:8]}", job)):
        done = subprocess.run(["zsh", "-f", "-c", ZSH, "zsh", typed, wanted],
                              env=cli.env(PATH=f"{BIN}:/usr/bin:/bin"), capture_output=True,
                              encoding="utf-8", timeout=DEADLINE_S, stdin=subprocess.DEVNULL)
        assert "found" in done.stdout, (typed, done)
