"""The command line sends a large package ahead by itself, and goes on where it was cut off.

SPDX-License-Identifier: Apache-2.0
"""
import random
import socket
import threading

import pytest

from cli import DONE, NO_ANSWER, USAGE, Cli, Terminal

MIB = 1 << 20

MAIN = """
import os
def main():
    return os.path.getsize("blob")
"""


@pytest.fixture
def folder(tmp_path):
    def make(seed, size=6 * MIB):
        path = tmp_path / f"job{seed}"
        path.mkdir()
        (path / "main.py").write_text(MAIN)
        (path / "blob").write_bytes(random.Random(seed).randbytes(size))
        return path
    return make


class Scissors:
    """Passes one connection on and cuts it after so many bytes of the client's; passes on
    all later ones whole.  Counts what the client sent."""

    def __init__(self, address, cut_after):
        host, port = address.split(":")
        self.to, self.cut_after = (host, int(port)), cut_after
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.sent, self.connections = 0, 0
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            left = self.cut_after if self.connections == 1 else 1 << 40
            server = socket.create_connection(self.to)
            for ends in ((client, server, left), (server, client, 1 << 40)):
                threading.Thread(target=self.carry, args=ends, daemon=True).start()

    def carry(self, source, target, left):
        try:
            while left > 0 and (got := source.recv(min(left, 65536))):
                target.sendall(got)
                left -= len(got)
                if target.getpeername() == self.to:
                    self.sent += len(got)
        except OSError:
            pass
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self.listener.close()


def test_a_large_folder_is_uploaded_and_runs(cli, folder):  # noqa: F811
    path = folder(101)
    assert cli("run", path).stdout == f"{6 * MIB}\n"
    job = cli.submit(path)
    cli.until_state(job, "COMPLETED")


def test_a_terminal_sees_how_far_an_upload_is_but_only_when_there_is_one(cli, folder):  # noqa: F811
    path = folder(102)
    for uploads in (True, False):
        with Terminal(cli, "run", path) as terminal:
            assert terminal.end() == DONE
        assert ("uploading" in terminal.seen) == uploads
        assert ("100 %  6.0 MiB of 6.0 MiB" in terminal.seen) == uploads
        assert f"{6 * MIB}" in terminal.seen


def test_an_upload_is_silent_on_a_pipe(cli, folder):  # noqa: F811
    done = cli("run", "-q", folder(103))
    assert (done.stdout, done.stderr) == (f"{6 * MIB}\n", "")


def test_an_upload_that_is_cut_off_goes_on_where_it_was(cli, folder):  # noqa: F811
    scissors = Scissors(cli.address, 5 * MIB)
    through = Cli(scissors.address, cli.home, cli.system)
    try:
        assert through("run", folder(104, 8 * MIB)).stdout == f"{8 * MIB}\n"
    finally:
        scissors.close()
    assert scissors.connections >= 2
    # What was there was not sent again: at most what was under way when it was cut.
    assert scissors.sent < 13 * MIB


def test_a_zip_of_the_users_own_is_uploaded_too(cli, folder, tmp_path):  # noqa: F811
    import zipfile
    path = folder(105)
    with zipfile.ZipFile(tmp_path / "own.zip", "w") as z:
        for name in ("main.py", "blob"):
            z.write(path / name, name)
    assert cli("run", tmp_path / "own.zip").stdout == f"{6 * MIB}\n"


def test_a_large_file_that_is_no_package_is_refused(cli, tmp_path):  # noqa: F811
    path = tmp_path / "no.zip"
    path.write_bytes(b"PK" + random.Random(106).randbytes(5 * MIB))
    assert "ZIP" in cli("run", path, code=USAGE).stderr


def test_without_a_server_an_upload_says_so(no_server, folder):  # noqa: F811
    assert "cumulus dev" in no_server("run", folder(107), code=NO_ANSWER).stderr
