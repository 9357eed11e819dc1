"""test_install.py - make install gives a system that runs, a manual that is well-formed and true,
units that systemd takes; make uninstall takes it all away.

SPDX-License-Identifier: Apache-2.0
"""
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from cli import CUMULUS, DEADLINE_S, EXAMPLES, Cli
from system import BIN, ROOT, System, until

MANUAL = ROOT / "scripts" / "manual.py"
PAGES = ["cumulus.1", "chronos.1", "cumulus-config.5", "cumulusd.8", "cumulus-worker.8"]


def make(*words):
    build = os.environ.get("CUMULUS_BUILD", "build")
    done = subprocess.run(["make", "-s", f"BUILD={build}", *words], cwd=ROOT, capture_output=True,
                          encoding="utf-8", timeout=10 * DEADLINE_S)
    assert done.returncode == 0, done.stdout + done.stderr


def run(*words, **more):
    return subprocess.run(list(map(str, words)), capture_output=True, encoding="utf-8",
                          timeout=DEADLINE_S, **more)


def files_below(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir())


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    prefix = tmp_path_factory.mktemp("installed") / "usr"
    make("install", f"PREFIX={prefix}")
    return prefix


def test_what_was_installed_is_taken_away_again(tmp_path):
    kept = tmp_path / "usr/lib/somebody-elses"
    kept.parent.mkdir(parents=True)
    kept.write_text("")
    make("install", "PREFIX=/usr", f"DESTDIR={tmp_path}")
    there = files_below(tmp_path)
    assert {"usr/bin/cumulus", "usr/bin/chronos", "usr/lib/libchronos.so",
            "usr/include/chronos.h", "usr/share/man/man8/cumulusd.8"} <= set(there)
    # Staged for a package, everything names the place where it will be.
    unit = (tmp_path / "usr/lib/systemd/system/cumulusd.service").read_text()
    assert "ExecStart=/usr/bin/cumulusd --config /etc/cumulus/cumulusd.yaml " in unit
    changed = tmp_path / "etc/cumulus/cumulusd.yaml"
    changed.write_text("grace: 5s\n")
    make("install", "PREFIX=/usr", f"DESTDIR={tmp_path}")
    assert changed.read_text() == "grace: 5s\n"
    make("uninstall", "PREFIX=/usr", f"DESTDIR={tmp_path}")
    assert files_below(tmp_path) == ["etc/cumulus/cumulusd.yaml", "usr/lib/somebody-elses"]


def test_chronos_is_installed_alone(tmp_path):
    make("install-chronos", "PREFIX=/usr", f"DESTDIR={tmp_path}")
    there = files_below(tmp_path)
    assert {"usr/bin/chronos", "usr/lib/libchronos.so.0", "usr/share/man/man1/chronos.1",
            "usr/lib/cumulus/libchronos-cuda.so",
            "usr/share/bash-completion/completions/chronos"} <= set(there)
    assert not [f for f in there if "chronos" not in f]
    unit = (tmp_path / "usr/lib/systemd/system/chronos-arbiter.service").read_text()
    assert "ExecStart=/usr/bin/chronos arbiter\n" in unit
    # Its parts find each other where they are.
    said = run(tmp_path / "usr/bin/chronos", "doctor", "--json", "--devices", "simulated:1",
               env={"CHRONOS_DIR": str(tmp_path / "try")}).stdout
    holds = {f["means"]: f["holds"] for f in json.loads(said)["means"]}
    assert holds["OpenCL layer (cooperative)"] and holds["CUDA hook (cooperative)"], said
    make("uninstall", "PREFIX=/usr", f"DESTDIR={tmp_path}")
    assert [f for f in files_below(tmp_path) if not f.startswith("try/")] == []


@pytest.mark.skipif(os.geteuid() != 0, reason="jobs need root")
def test_an_installed_system_runs_jobs(tmp_path):
    """Apart from the sources: nothing may be looked for in the tree that was built."""
    folder = Path(f"/tmp/cumulus-e2e-installed-{os.getpid()}")
    folder.mkdir(mode=0o755)
    try:
        make("install", f"PREFIX={folder}/usr")

        class Installed(System):
            binaries = folder / "usr/bin"

        system = Installed()
        try:
            cli = Cli(system.address, tmp_path, system)
            until(lambda: any(w["status"] == "ready" for w in cli.json("workers")), "a worker")
            done = run(folder / "usr/bin/cumulus", "run", "-q", EXAMPLES / "hello", env=cli.env())
            cli.remember(done.stdout)
            assert done.returncode == 0 and done.stdout.startswith("Hello, world")
            doctor = run(folder / "usr/bin/cumulus", "doctor", "--json", env=cli.env())
            assert json.loads(doctor.stdout)["fit"], doctor.stdout
        finally:
            system.close()
    finally:
        subprocess.run(["rm", "-rf", folder], check=True)


def test_a_stranger_builds_against_the_library(installed, tmp_path):
    (tmp_path / "x.c").write_text("#include <chronos.h>\n#include <stdio.h>\n"
                                  "int main(void) { puts(chronos_version()); return 0; }\n")
    env = {**os.environ, "PKG_CONFIG_PATH": str(installed / "lib/pkgconfig")}
    flags = run("pkg-config", "--cflags", "--libs", "chronos", env=env).stdout.split()
    built = run("cc", "x.c", "-o", "x", *flags, cwd=tmp_path)
    assert built.returncode == 0, built.stderr
    done = run(tmp_path / "x", env={"LD_LIBRARY_PATH": str(installed / "lib")})
    assert done.stdout == run("pkg-config", "--modversion", "chronos", env=env).stdout


# ---- the manual


@pytest.mark.parametrize("page", PAGES)
def test_a_manual_page_is_well_formed(installed, page):
    path = installed / f"share/man/man{page[-1]}/{page}"
    lint = run("mandoc", "-Tlint", "-Wwarning", path)
    assert lint.returncode == 0, lint.stdout
    groff = run("man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", path,
                env={**os.environ, "LC_ALL": "C.UTF-8", "MANROFFSEQ": ""})
    assert groff.returncode == 0 and groff.stderr == ""


def read_page(installed, page):
    text = run("mandoc", "-Tutf8", "-Owidth=200", installed / f"share/man/man{page[-1]}/{page}")
    return re.sub(r".\x08", "", text.stdout)


def test_the_manual_names_every_command_and_setting(installed):
    cumulus = read_page(installed, "cumulus.1")
    table = json.loads(run(CUMULUS, "help", "--json").stdout)
    for command in table["commands"]:
        assert re.search(rf"^ +cumulus {command['name']}( |$)", cumulus, re.M)
        for flag in command["options"] + table["common_options"]:
            assert f"--{flag['name']}" in cumulus and flag["help"].split(",")[0] in cumulus
    config = read_page(installed, "cumulus-config.5")
    for program in "cumulusd", "cumulus-worker":
        page = read_page(installed, f"{program}.8")
        for name in re.findall(r"^  --([a-z-]+)", run(BIN / program, "--help").stdout, re.M):
            assert f"--{name}" in page
            if name not in ("config", "check-config", "version", "help") and \
                    not name.startswith("print-"):
                assert re.search(rf"^ +{name}: ", config, re.M), name


def test_the_manual_of_chronos_has_all_that_its_help_has(installed):
    shown = read_page(installed, "chronos.1")
    told = json.loads(run(BIN / "chronos", "help", "--json").stdout)
    assert {"create", "run", "arbiter", "doctor"} <= {c["name"] for c in told["commands"]}
    for command in told["commands"]:
        assert re.search(rf"^ +chronos {command['name']}\b", shown, re.M), command["name"]
        for option in command["options"]:
            assert re.search(rf"^ +{option['name']}\b", shown, re.M), option["name"]
        for line in command["examples"].splitlines():
            assert line.strip() in shown
    for option in told["options"]:
        assert re.search(rf"^ +{option['name']}\b", shown, re.M), option["name"]
    for row in told["exit_codes"]:
        assert re.search(rf"^ +{row['code']} +{row['meaning']}", shown, re.M), row


def test_the_reference_is_what_the_table_says():
    """When this fails: make docs."""
    assert (ROOT / "docs/cli.md").read_text() == run(MANUAL, "reference", BIN).stdout


# ---- systemd


def test_systemd_takes_the_units(installed):
    units = sorted((installed / "lib/systemd/system").glob("*.service"))
    assert len(units) == 3
    done = run("systemd-analyze", "verify", *units,
               env={**os.environ, "MANPATH": str(installed / "share/man")})
    assert done.returncode == 0 and done.stderr == "", done.stderr


def test_the_worker_unit_leaves_jobs_running(installed):
    unit = (installed / "lib/systemd/system/cumulus-worker.service").read_text()
    assert re.search(r"^KillMode=process$", unit, re.M) and re.search(r"^Delegate=yes$", unit, re.M)


@pytest.mark.skipif(os.geteuid() != 0, reason="jobs need root")
def test_the_units_commands_make_a_system(installed):
    """As the units start them: cumulusd as nobody of importance, the worker apart from it."""
    folder = Path(f"/tmp/cumulus-e2e-units-{os.getpid()}")
    folder.mkdir(mode=0o711)
    unit = {name: re.search(r"^ExecStart=(.*)$", (
        installed / f"lib/systemd/system/{name}.service").read_text(), re.M).group(1).split()
        for name in ("cumulusd", "cumulus-worker")}
    words = {name: [w.replace("/var/lib/", f"{folder}/") for w in line]
             for name, line in unit.items()}
    # cumulusd's own user has to pass to its program and its settings.
    shutil.copytree(installed, folder / "usr")
    words = {name: [w.replace(str(installed), f"{folder}/usr") for w in line]
             for name, line in words.items()}
    uid = 64000
    (folder / "cumulus").mkdir(mode=0o711)
    os.chown(folder / "cumulus", uid, uid)
    (folder / "cumulus-worker").mkdir(mode=0o711)
    processes = []
    try:
        daemon = subprocess.Popen(
            ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", *words["cumulusd"],
             "--listen", "127.0.0.1:0", "--http", "off"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, encoding="utf-8", umask=0o077)
        processes.append(daemon)
        line = daemon.stdout.readline()
        processes.append(subprocess.Popen([*words["cumulus-worker"], "--devices", "simulated:1"],
                                          stderr=subprocess.DEVNULL))
        cli = Cli(re.search(r"listening on (\S+)", line).group(1), folder)
        until(lambda: any(w["status"] == "ready" for w in cli.json("workers")), "a worker")
        assert cli("run", "-q", EXAMPLES / "hello").stdout.startswith("Hello, world")
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait(timeout=DEADLINE_S)
        if processes:
            processes[0].stdout.close()
        subprocess.run(["rm", "-rf", folder], check=True)
