"""cumulusd itself: how it starts, refuses to start, ends, and comes back.

SPDX-License-Identifier: Apache-2.0
"""
import os
import signal
import subprocess
from pathlib import Path

import grpc
import pytest

from client import HELLO, SLEEP, Client
from system import BIN, DEADLINE_S, pb, until

SLOW = "import time\ndef main():\n    print('on', flush=True)\n    time.sleep(3)\n    return 'over'\n"


def cumulusd(*flags, **env):
    return subprocess.run([BIN / "cumulusd", *flags], capture_output=True, text=True,
                          timeout=DEADLINE_S, env={**os.environ, **env})


def test_a_clean_end_stops_what_runs_and_leaves_nothing(new_system):
    system = new_system()
    client = Client(system)
    client.until_ready()
    job, _ = client.begin(SLEEP)
    assert system.cgroups()
    client.channel.close()
    system.stop()
    until(lambda: not system.left_behind(), "nothing is left", 10)


def test_a_clean_end_is_over_only_when_the_workers_keeper_is(new_system):
    """Else a cumulusd that is started right then waits for a worker that nobody starts."""
    system = new_system()
    Client(system).until_ready()
    keeper = next(pid for pid in system.processes()
                  if Path(f"/proc/{pid}/comm").read_text() == "cumulus-keeper\n")
    os.kill(keeper, signal.SIGSTOP)
    try:
        system.process.send_signal(signal.SIGTERM)
        until(lambda: "worker's stream is over" in system.log_text(), "the worker ends")
        with pytest.raises(subprocess.TimeoutExpired):
            system.process.wait(timeout=0.5)
    finally:
        os.kill(keeper, signal.SIGCONT)
    assert system.process.wait(timeout=DEADLINE_S) == 0
    system.bury()
    system.start()
    Client(system).until_ready()


def test_a_machine_that_can_run_no_job_is_unhealthy_and_says_why(new_system, monkeypatch):
    monkeypatch.setenv("CUMULUS_HARNESS", "/nonexistent")
    system = new_system()
    client = Client(system)
    until(lambda: client.health().available_workers, "a worker")
    assert client.health().status == "unhealthy"
    assert "healthy device" in client.health().message
    code, details = client.refused()
    assert code == grpc.StatusCode.UNAVAILABLE and "healthy device" in details
    assert "/nonexistent" in system.log_text()
    client.close()


def test_a_job_outlives_a_restart_of_cumulusd(new_system):
    system = new_system(on_exit="leave")
    client = Client(system)
    client.until_ready()
    job, _ = client.begin(SLOW)
    client.channel.close()
    system.stop()
    system.start()
    client = Client(system)
    client.know(job)
    story = client.watch(job)
    assert story.value == "over", story.text()
    assert story.output(pb.STDOUT) == b"on\n"
    assert client.status(job).attempt == 1
    client.close()
    system.stop()
    system.flags[-1] = "stop"  # so that the end takes the worker too
    system.start()
    client = Client(system)
    client.until_ready()
    client.close()


def test_a_job_outlives_a_crash_of_cumulusd(new_system):
    system = new_system()
    client = Client(system)
    client.until_ready()
    job, _ = client.begin(SLOW)
    client.channel.close()
    system.kill()
    system.start()
    client = Client(system)
    client.know(job)
    assert client.watch(job).value == "over"
    client.close()


def test_a_submission_before_the_worker_is_there_waits_for_it(new_system):
    client = Client(new_system())
    assert client.run(HELLO).value == {"answer": 42}
    client.close()


def test_a_second_cumulusd_on_the_same_data_is_refused_by_pid(new_system):
    system = new_system()
    told = cumulusd("--listen", "127.0.0.1:0", "--http", "off", "--data", str(system.data),
                    "--devices", "simulated:1")
    assert told.returncode == 1
    assert str(system.process.pid) in told.stderr


@pytest.mark.parametrize("flags", [
    ["--listen", "0.0.0.0:50051"], ["--listen", "nonsense"], ["--devices", "simulated:0"],
    ["--devices", "many"], ["--engine", "magic"], ["--nonsense"], ["--grace", "-1s"]])
def test_a_bad_setting_is_status_2_and_named(flags):
    told = cumulusd(*flags, "--check-config")
    assert told.returncode == 2
    assert flags[0].lstrip("-") in told.stderr


@pytest.mark.parametrize("mode, said", [(0o777, "changed by others"), (0o700, "cannot pass")])
def test_a_folder_that_was_there_before_is_left_as_it_is(tmp_path, mode, said):
    folder = tmp_path / "data"
    folder.mkdir()
    folder.chmod(mode)
    done = cumulusd("--listen", "127.0.0.1:0", "--http", "off", "--data", str(folder))
    assert done.returncode == 1 and said in done.stderr
    assert folder.stat().st_mode & 0o777 == mode and not list(folder.iterdir())


def test_a_good_setting_is_status_0():
    assert cumulusd("--listen", "127.0.0.1:0", "--check-config").returncode == 0


def test_flags_precede_environment_precedes_file(tmp_path):
    config = tmp_path / "c.yaml"
    config.write_text("devices: nonsense\n")
    assert cumulusd("--config", str(config), "--check-config").returncode == 2
    assert cumulusd("--config", str(config), "--check-config",
                    CUMULUS_DEVICES="simulated:2").returncode == 0
    assert cumulusd("--config", str(config), "--devices", "none", "--check-config",
                    CUMULUS_DEVICES="nonsense").returncode == 0


def test_an_unknown_key_is_named_with_file_and_line(tmp_path):
    config = tmp_path / "c.yaml"
    config.write_text("devices: none\nnonsense: 1\n")
    told = cumulusd("--config", str(config), "--check-config")
    assert told.returncode == 2
    assert f"{config}:2" in told.stderr and "nonsense" in told.stderr


def test_a_port_that_is_taken_is_said(shared_system):
    told = cumulusd("--listen", shared_system.address, "--http", "off", "--data",
                    str(shared_system.parent / "other"), "--devices", "none", "--on-exit", "stop")
    assert told.returncode == 1
    assert str(shared_system.port) in told.stderr


def test_the_default_leaves_the_worker_which_ends_when_idle(new_system):
    system = new_system(on_exit="leave")
    client = Client(system)
    client.until_ready()
    assert client.run(HELLO).value == {"answer": 42}
    client.close()
    system.stop()
    assert system.processes(), "the worker outlives cumulusd"
    until(lambda: not system.processes(), "the idle worker ends", 60)
