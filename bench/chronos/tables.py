"""tables.py - the figures of bench_chronos as Markdown, on stdout or in place in the docs.

SPDX-License-Identifier: Apache-2.0

    tables.py chronos.json             prints the table of all groups
    tables.py chronos.json DOC...      writes it between the marks of these files, of which
                                       each names groups:

    <!-- bench-chronos: shares-2 shares-4 -->
    <!-- bench-chronos: end -->
"""
import json
import os
import re
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

from harness import figure, spread  # pylint: disable=wrong-import-position

MODES = ("cooperative", "arbitrated")
BLOCK = re.compile(r"<!-- bench-chronos: (?!end\b)([a-z0-9 -]+?) -->\n.*?"
                   r"<!-- bench-chronos: end -->\n", re.DOTALL)
# What the table leaves out: it is told in a sentence.
MACHINE = "machine"


def fail(text):
    sys.exit(f"tables.py: {text}")


def aim(row):
    if row["aim"] is None:
        return ""
    value = f"{row['aim']:g}"
    return {"at most": f"≤ {value}", "at least": f"≥ {value}",
            "within": f"{value} ± {row.get('tolerance') or 0:g}"}[row["aim_kind"]]


def cell(row):
    """A value with its rounds; bold where it misses its aim."""
    if row is None:
        return ""
    if row["value"] is None:
        return f"**not known**: discarded {row['discarded']} of {row['discarded']} rounds"
    text = spread(row)
    if row["met"] is False:
        text = f"**{text}**"
    if row["discarded"]:
        text += f"; discarded {row['discarded']} of {row['rounds'] + row['discarded']} rounds"
    return text


def beside(row):
    parts = []
    if row["beside_value"] is not None:
        parts.append(f"{spread(row, 'beside_')} {row['beside'] or ''}".strip())
    if row["quoted"]:
        parts.append(f"{row['quoted']} (not measured here)")
    return "; ".join(parts)


def lines_of(rows, groups):
    """The table; both modes of a figure are one line."""
    figures = {}
    for row in rows:
        if row["group"] in groups:
            figures.setdefault((row["group"], row["what"]), {})[row["mode"]] = row
    yield "| `--only` | what | cooperative | arbitrated | aim | beside |"
    yield "|---|---|---|---|---|---|"
    last = None
    for (group, what), modes in figures.items():
        row = modes.get("cooperative") or modes["arbitrated"]
        unit = f", {row['unit'].replace('us', 'µs')}" if row["unit"] else ""
        cells = ["" if group == last else f"`{group}`", what + unit,
                 *(cell(modes.get(mode)) for mode in MODES), aim(row), beside(row)]
        yield "| " + " | ".join(cells) + " |"
        last = group


def circumstances(rows, when):
    """What the figures were made on and how quiet it was."""
    rounds = max(row["rounds"] for row in rows)
    parts = [f"{time.strftime('%Y-%m-%d', when)}, {os.cpu_count()} processors, Linux "
             f"{os.uname().release.split('-')[0]}, "
             + (f"medians of {rounds} rounds (least..greatest)" if rounds > 1 else "one round")]
    busy = False
    if machine := [row for row in rows if row["group"] == MACHINE]:
        load, p50, p99 = machine
        parts[0] += (f"; load average {figure(load['min'])} at the start, a sleep of 1 ms late by "
                     f"{figure(p50['value'])} µs (p99 {figure(p99['value'])} µs)")
        busy = load["min"] > os.cpu_count() / 4
    if busy:
        parts.append("**The machine was busy with other work: these figures are rough, "
                     "and worse than they need be**")
    parts.append("Bold: misses its aim")
    return ". ".join(parts) + "."


def in_place(path, rows, when):
    """Write the blocks of a file anew; the groups that it has."""
    text = path.read_text(encoding="utf-8")
    measured = {row["group"] for row in rows}
    shown = set()

    def block(found):
        groups = found.group(1).split()
        missing = [group for group in groups if group not in measured]
        if missing:
            fail(f"{path}: not measured: {', '.join(missing)}")
        shown.update(groups)
        body = "\n".join([circumstances(rows, when), "", *lines_of(rows, groups)])
        return f"<!-- bench-chronos: {found.group(1)} -->\n{body}\n<!-- bench-chronos: end -->\n"

    changed = BLOCK.sub(block, text)
    if not shown:
        fail(f"{path} has no marks")
    path.write_text(changed, encoding="utf-8")
    return shown


def main():
    if len(sys.argv) < 2:
        fail("usage: tables.py chronos.json [DOC...]")
    source = Path(sys.argv[1])
    if not source.exists():
        fail(f"{source} is not there: make bench-chronos")
    rows = json.loads(source.read_text(encoding="utf-8"))
    when = time.localtime(source.stat().st_mtime)
    groups = list(dict.fromkeys(row["group"] for row in rows if row["group"] != MACHINE))
    if len(sys.argv) == 2:
        print(f"\n### bench-chronos ({time.strftime('%Y-%m-%d %H:%M', when)})\n")
        print(circumstances(rows, when), "", *lines_of(rows, groups), sep="\n")
        return
    shown = set()
    for path in sys.argv[2:]:
        shown |= in_place(Path(path), rows, when)
    if unshown := [group for group in groups if group not in shown]:
        fail(f"no file has a mark for: {', '.join(unshown)}")


if __name__ == "__main__":
    main()
