"""golang.py - builds the Go programs of tests/e2e/go, where a new enough Go is.

SPDX-License-Identifier: Apache-2.0
"""
import subprocess

import pytest

from system import ROOT

FOLDER = ROOT / "tests" / "e2e" / "go"


def needed():
    if subprocess.run([ROOT / "scripts" / "new_enough_go.sh"]).returncode != 0:
        pytest.skip("no Go as new as orchestrator/go.mod asks")


def build(package, program):
    needed()
    fetched = subprocess.run(["go", "mod", "download"], cwd=FOLDER, capture_output=True, text=True)
    if fetched.returncode != 0:
        pytest.skip(f"Go modules cannot be had: {fetched.stderr.strip()[-200:]}")
    built = subprocess.run(["go", "build", "-o", program, package], cwd=FOLDER,
                           capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return program
