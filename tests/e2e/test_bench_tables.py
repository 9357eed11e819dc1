"""The figures of bench_chronos as they get into the docs.

SPDX-License-Identifier: Apache-2.0
"""
import json
import subprocess
import sys
from pathlib import Path

import pytest

TABLES = Path(__file__).resolve().parents[2] / "bench" / "chronos" / "tables.py"
DOC = ("before\n<!-- bench-chronos: books -->\nold\n<!-- bench-chronos: end -->\nbetween\n"
       "<!-- bench-chronos: cap hooks -->\n<!-- bench-chronos: end -->\nafter\n")


def row(group, what, mode="cooperative", value=1.0, **more):
    return {"group": group, "what": what, "mode": mode, "value": value, "min": value, "max": value,
            "unit": "ms", "rounds": 3, "discarded": 0, "beside": None, "beside_value": None,
            "beside_min": None, "beside_max": None, "ratio": None, "aim": None, "met": None,
            "quoted": None, **more}


@pytest.fixture
def tables(tmp_path):
    """Writes rows into a file with DOC in it: the process that did, and the file."""
    def run(rows, text=DOC):
        source, doc = tmp_path / "chronos.json", tmp_path / "doc.md"
        source.write_text(json.dumps(rows), encoding="utf-8")
        doc.write_text(text, encoding="utf-8")
        done = subprocess.run([sys.executable, "-B", str(TABLES), str(source), str(doc)],
                              capture_output=True, text=True, check=False)
        return done, doc.read_text(encoding="utf-8")

    return run


ALL = [row("books", "create"), row("cap", "half"), row("hooks", "launch")]


def test_only_what_is_between_the_marks_is_written_anew(tables):
    done, text = tables(ALL)
    assert done.returncode == 0, done.stderr
    assert "\nold\n" not in text and text.startswith("before\n<!-- bench-chronos: books -->\n")
    assert "\n<!-- bench-chronos: end -->\nbetween\n" in text and text.endswith("end -->\nafter\n")
    assert text.index("create, ms") < text.index("between") < text.index("launch, ms")


def test_writing_twice_changes_nothing(tables):
    _, once = tables(ALL)
    done, twice = tables(ALL, once)
    assert done.returncode == 0 and once == twice


def test_both_modes_are_one_line_and_what_misses_its_aim_is_bold(tables):
    aim = {"aim": 2.0, "aim_kind": "at most"}
    _, text = tables([*ALL[1:], row("books", "create", value=1.5, met=True, **aim),
                      row("books", "create", "arbitrated", 2.5, met=False, **aim)])
    assert "| `books` | create, ms | 1.5 | **2.5** | ≤ 2 |  |" in text


def test_discarded_rounds_are_told(tables):
    _, text = tables([*ALL[1:], row("books", "create", discarded=1),
                      row("books", "create", "arbitrated", None, discarded=3, rounds=0)])
    assert "| 1; discarded 1 of 4 rounds | **not known**: discarded 3 of 3 rounds |" in text


def test_a_busy_machine_is_told_above_the_table(tables):
    machine = [row("machine", what, value=value) for what, value in
               (("load", 1000.0), ("p50", 60.0), ("p99", 900.0))]
    _, text = tables([*machine, *ALL])
    assert "load average 1,000 at the start" in text and "The machine was busy" in text
    _, text = tables([{**machine[0], "value": 0.0, "min": 0.0}, *machine[1:], *ALL])
    assert "The machine was busy" not in text


def test_a_group_that_was_not_measured_leaves_the_file_as_it_was(tables):
    done, text = tables(ALL[:2])
    assert done.returncode != 0 and "not measured: hooks" in done.stderr
    assert text == DOC


def test_a_group_that_no_file_shows_is_an_error(tables):
    done, _ = tables([*ALL, row("burst", "gets")])
    assert done.returncode != 0 and "no file has a mark for: burst" in done.stderr
