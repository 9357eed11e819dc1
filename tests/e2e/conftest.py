"""conftest.py - one system for all tests that can share it, others on demand.

SPDX-License-Identifier: Apache-2.0
"""
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))

from cli import Cli  # noqa: E402
from client import Client  # noqa: E402
from system import System, until  # noqa: E402


def pytest_collection_modifyitems(items):
    if os.geteuid() != 0:
        for item in items:
            if {"shared_system", "new_system"} & set(item.fixturenames):
                item.add_marker(pytest.mark.skip(reason="jobs need root"))


@pytest.fixture(scope="session")
def shared_system():
    system = System()
    try:
        first = Client(system)
        first.until_ready()
        first.close()
    except BaseException:
        system.remove()
        raise
    yield system
    system.close()


@pytest.fixture
def client(shared_system):
    client = Client(shared_system)
    try:
        yield client
        if shared_system.alive():
            client.close()
    finally:
        # A test that kills cumulusd fails by itself; those after it start from a new one.
        if not shared_system.alive():
            told = shared_system.bury()
            shared_system.start()
            pytest.fail(told)


@pytest.fixture
def new_system():
    """A function that starts a system of the test's own, of a class that it may name; each is
    closed and checked."""
    systems = []

    def start(*flags, kind=System, **more):
        systems.append(kind(*flags, **more))
        return systems[-1]

    yield start
    failures = []
    for system in systems:
        try:
            system.close()
        except AssertionError as failure:
            failures.append(str(failure))
    assert not failures, "\n".join(failures)


# ---- the command line


@pytest.fixture
def cli(shared_system, tmp_path):
    cli = Cli(shared_system.address, tmp_path / "home", shared_system)
    yield cli
    for job in cli.json("ps"):
        cli("cancel", job["job_id"])
    until(lambda: cli.json("ps") == [], "no job is left")


@pytest.fixture
def no_server(tmp_path):
    return Cli("127.0.0.1:1", tmp_path / "home")


@pytest.fixture
def script(tmp_path):
    def write(text, name="job.py"):
        path = tmp_path / name
        path.write_text(text)
        return path
    return write
