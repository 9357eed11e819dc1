#!/usr/bin/python3
"""write_reference.py - writes what the programs say of themselves into docs/operate.md and deploy/.

SPDX-License-Identifier: Apache-2.0

The settings come from --print-reference and --print-config, the metrics from a scrape of a
cumulusd that is started for it.  tests/e2e/test_operations.py compares.
"""
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BIN = ROOT / "build" / "bin"
PROGRAMS = ("cumulusd", "cumulus-worker")
LAST_FAMILY = "cumulus_store_disk_free_bytes"  # known once the store has looked at its disk


def ask(program, flag):
    return subprocess.run([BIN / program, flag], check=True, capture_output=True, text=True).stdout


def scrape():
    with tempfile.TemporaryDirectory(prefix="cumulus-reference-") as folder:
        Path(folder).chmod(0o711)  # the user that cumulusd becomes must pass it
        daemon = subprocess.Popen(
            [BIN / "cumulusd", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--worker",
             "external", "--data", folder + "/data", "--log-level", "error"],
            stdout=subprocess.PIPE, text=True)
        try:
            told = daemon.stdout.readline() + daemon.stdout.readline()
            port = re.search(r"http on port (\d+)", told).group(1)
            for _ in range(600):
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as page:
                    text = page.read().decode()
                if LAST_FAMILY in text:
                    return text
                time.sleep(0.05)
            raise SystemExit(f"write_reference: {LAST_FAMILY} does not come")
        finally:
            daemon.terminate()
            daemon.wait()


def metrics_table(text):
    rows = ["| metric | type | what it says |", "|---|---|---|"]
    for name, told, kind in re.findall(r"# HELP (\S+) (.*)\n# TYPE \S+ (\S+)", text):
        rows.append(f"| `{name}` | {kind} | {told} |")
    return "\n".join(rows) + "\n"


def replace(text, mark, content):
    begin, end = f"<!-- begin: {mark} -->\n", f"<!-- end: {mark} -->\n"
    if begin not in text or end not in text:
        raise SystemExit(f"write_reference: docs/operate.md has no marks for {mark}")
    head, rest = text.split(begin)
    return head + begin + content + end + rest.split(end)[1]


def main():
    manual = ROOT / "docs" / "operate.md"
    text = manual.read_text()
    for program in PROGRAMS:
        text = replace(text, f"{program} --print-reference", ask(program, "--print-reference"))
        (ROOT / "deploy" / f"{program}.yaml").write_text(ask(program, "--print-config"))
    manual.write_text(replace(text, "/metrics", metrics_table(scrape())))


if __name__ == "__main__":
    sys.exit(main())
