"""harness.py - rows of figures: ours beside a peer's, their medians, the table, the JSON.

SPDX-License-Identifier: Apache-2.0
"""
import json
import os
import signal
import statistics
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / os.environ.get("CUMULUS_BUILD", "build")
QUICK = os.environ.get("BENCH_QUICK", "") not in ("", "0")
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "2" if QUICK else "5"))
sys.path[:0] = [str(ROOT / "bench" / "lib"), str(ROOT / "tests" / "e2e")]


class Missing(Exception):
    """This peer is not installed or does not start; the text says which and why."""


class Row:
    """One figure: a value of ours a round, and as many of each peer."""

    def __init__(self, what, unit, aim, less_is_better):
        self.what, self.unit, self.aim, self.less = what, unit, aim, less_is_better
        self.ours = []
        self.peers = {}    # name: values
        self.missing = {}  # name: reason

    def beside(self, name, value):
        self.peers.setdefault(name, []).append(value)

    def met(self):
        if self.aim is None:
            return None
        value = statistics.median(self.ours)
        return value <= self.aim if self.less else value >= self.aim

    def _row(self, name):
        value = statistics.median(self.ours)
        row = {"what": self.what, "value": value, "min": min(self.ours), "max": max(self.ours),
               "unit": self.unit, "beside": name, "beside_value": None, "ratio": None,
               "aim": self.aim, "met": self.met()}
        if name in self.missing:
            row["missing"] = self.missing[name]
        elif name is not None:
            peer = self.peers[name]
            row["beside_value"] = statistics.median(peer)
            row["beside_min"], row["beside_max"] = min(peer), max(peer)
            row["ratio"] = value / row["beside_value"] if row["beside_value"] else None
        return row

    def rows(self):
        return [self._row(name) for name in [*self.peers, *self.missing] or [None]]


def figure(value):
    """Three digits that mean something, and no more."""
    if value is None:
        return "-"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if 0.99 <= value < 1:
        return f"{value:.4g}"
    return f"{value:.3g}" if value else "0"


def spread(row, prefix=""):
    value = figure(row[prefix + "value"])
    low, high = (figure(row.get(f"{prefix}{end}")) for end in ("min", "max"))
    return value if low == high else f"{value} ({low}..{high})"


class Bench:
    """The rows of one bench; say() what goes on, report() at the end."""

    def __init__(self, name, title):
        self.name = name
        self.rows = []
        self.began = time.monotonic()
        # Ended from outside it still takes its systems and peers down.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        print(f"bench-{name}: {title}; load average before: {os.getloadavg()[0]:.1f}", flush=True)

    def row(self, what, unit, aim=None, less_is_better=False):
        self.rows.append(Row(what, unit, aim, less_is_better))
        return self.rows[-1]

    def say(self, text):
        print(f"  {time.monotonic() - self.began:6.1f} s  {text}", file=sys.stderr, flush=True)

    def rounds(self, count=ROUNDS):
        for i in range(count):
            self.say(f"round {i + 1} of {count}")
            yield i

    def report(self):
        rows = [line for row in self.rows if row.ours for line in row.rows()]
        path = BUILD / "bench" / f"{self.name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
        print_table(rows)
        print(f"written: {path.relative_to(ROOT)}", flush=True)


def cells(row, first):
    """The row of a table; what is measured stands only in the first of several peers."""
    aim = theirs = ""
    if row.get("aim") is not None:
        aim = f"{figure(row['aim'])} {'met' if row['met'] else '**missed**'}"
    if "missing" in row:
        theirs = f"missing: {row['missing']}"
    elif row.get("beside_value") is not None:
        theirs = spread(row, "beside_")
    ours = [row["what"], f"{spread(row)} {row['unit']}", aim] if first else ["", "", ""]
    ratio = figure(row["ratio"]) if row.get("ratio") else ""
    return [*ours, row.get("beside") or "", theirs, ratio]


def print_table(rows):
    print("| what | ours | aim | beside | theirs | ratio |")
    print("|---|---|---|---|---|---|")
    last = None
    for row in rows:
        print("| " + " | ".join(cells(row, row["what"] != last)) + " |")
        last = row["what"]


def main():
    """Print the tables of all benches that were run, for docs/performance.md.

    That of chronos has two columns of ours, and is bench/chronos/tables.py's."""
    for path in sorted((BUILD / "bench").glob("*.json")):
        if path.stem == "chronos":
            continue
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(path.stat().st_mtime))
        print(f"\n### bench-{path.stem} ({when})\n")
        print_table(json.loads(path.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
