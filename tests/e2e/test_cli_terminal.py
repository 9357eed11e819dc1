"""test_cli_terminal.py - what a person at a terminal sees, types and survives.

SPDX-License-Identifier: Apache-2.0
"""
import os
import re
import signal
import subprocess

import pytest
from wcwidth import wcswidth

from cli import (COUNTER, CUMULUS, DEADLINE_S, DONE, EXAMPLES, FAILED, NO_ANSWER, SLEEPER, USAGE,
                 Terminal)
from system import BIN, until

WIDE = "漢字かな交じりの長い名前" * 4  # 96 columns in 48 characters

TICKER = """
import time
import cumulus
def main():
    for n in range(400):
        cumulus.progress(n / 400, "a message that is much longer than a narrow terminal is wide")
        time.sleep(0.05)
"""


def plain(text):
    return re.sub(r"\x1b\[[?\d;]*[A-Za-z]|\r", "", text)


def fits(terminal, columns):
    return all(wcswidth(line) <= columns for line in terminal.lines())


def job_of(text):
    return re.search(r"j-[a-z2-7]{16}", text).group()


# ---- widths


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_tables_fit_the_terminal(cli, script, columns):
    job = cli.submit("-n", WIDE, "-g", "0.5", script(SLEEPER))
    cli.until_state(job, "RUNNING")
    for words in ["ps"], ["top"], ["workers"], ["timing", job], ["ps", "-o", "id,name,reason"]:
        with Terminal(cli, *words, columns=columns, rows=40) as terminal:
            if words == ["top"]:
                terminal.until_lines(lambda lines: any("RUNNING" in s for s in lines), "a picture")
                terminal.interrupt()
            terminal.end()
        assert all(wcswidth(line) <= columns for line in plain(terminal.seen).split("\n"))
        if "ps" in words[:1] and len(words) == 1:
            row = next(s for s in terminal.lines() if job in s)
            assert "RUNNING" in row and ("0.5" in row or columns == 40)


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_the_live_line_is_never_folded(cli, script, columns):
    with Terminal(cli, "run", script(TICKER), columns=columns) as terminal:
        terminal.until_lines(lambda lines: any("RUNNING  [" in s for s in lines), "a bar")
        # Folded, its beginnings would pile up.
        shown = [s for s in terminal.lines() if s.startswith("RUNNING  [")]
        assert len(shown) == 1 and wcswidth(shown[0]) < columns
        terminal.interrupt()
        terminal.until("detaching")
        terminal.interrupt()
        terminal.end()


def test_a_run_follows_the_size_of_its_terminal(cli, script):
    with Terminal(cli, "run", script(TICKER), columns=120) as terminal:
        terminal.until_lines(lambda lines: any(wcswidth(s) > 80 and "RUNNING  [" in s
                                               for s in lines), "a wide line")
        terminal.resize(50, 24)
        terminal.until_lines(lambda lines: any("RUNNING  [" in s for s in lines[-1:])
                             and wcswidth(lines[-1]) < 50, "a narrow line")
        # The old line had been folded in three: what stood above it is taken away, too.
        assert "\r\x1b[2A\x1b[J" in terminal.seen
        terminal.interrupt()
        terminal.until("detaching")
        terminal.interrupt()
        terminal.end()


def test_top_follows_the_size_of_its_terminal(cli, script):
    for _ in range(6):
        cli.submit("-g", "0.1", script(SLEEPER))
    with Terminal(cli, "top", columns=100, rows=30) as terminal:
        terminal.until_lines(lambda lines: sum("j-" in s for s in lines) >= 12, "all jobs")
        terminal.resize(40, 8)
        terminal.until_lines(lambda lines: lines[0].startswith("healthy") and lines[-1] == "...",
                             "the upper part")
        assert fits(terminal, 40) and len(terminal.lines()) <= 8
        terminal.interrupt()
        assert terminal.end() == -signal.SIGINT


# ---- what a terminal can do


def test_a_dumb_terminal_gets_plain_lines(cli):
    with Terminal(cli, "run", EXAMPLES / "progress", "--", "2", TERM="dumb") as terminal:
        assert terminal.end() == DONE
    assert "\x1b" not in terminal.seen
    assert "progress  50 %  step 1 of 2" in terminal.seen
    with Terminal(cli, "workers", "-w", TERM="dumb") as terminal:
        until(lambda: terminal.read() and terminal.seen.count("GPU 0") >= 2, "two pictures")
        terminal.interrupt()
        assert terminal.end() == -signal.SIGINT
    assert "\x1b" not in terminal.seen


def test_no_color_leaves_the_live_line(cli):
    with Terminal(cli, "run", EXAMPLES / "progress", "--", "2", NO_COLOR="1") as terminal:
        assert terminal.end() == DONE
    assert "[##########..........]  50 %" in terminal.seen
    assert not re.search(r"\x1b\[[\d;]*m", terminal.seen)


def test_names_are_the_same_whatever_the_locale(cli, script):
    job = cli.submit("-n", "日本語", script("def main(): return 'é'\n"))
    cli.until_state(job, "COMPLETED")
    for env in {"LANG": "C", "LC_ALL": "C"}, {"LANG": "xx_XX.wrong"}, {"LC_ALL": "C.UTF-8"}:
        row = cli("ps", "-a", "-n", "日本", **env).stdout.splitlines()[1]
        assert row.split()[1] == "日本語"
        # Its six columns are counted, as those of the heading are.
        head = cli("ps", "-a", "-n", "日本", **env).stdout.splitlines()[0]
        assert wcswidth(row[:row.index("COMPLETED")]) == head.index("STATE")
        assert cli("result", job, **env).stdout == '"é"\n'


# ---- Ctrl-C and Ctrl-Z


@pytest.mark.parametrize("words", [["logs", "-f"], ["ps", "-w"], ["workers", "-w"], ["top"]])
def test_an_interrupt_ends_what_only_looks(cli, script, words):
    job = cli.submit(script(SLEEPER))
    cli.until_state(job, "RUNNING")
    if words[0] == "logs":
        words = words + [job]
    with Terminal(cli, *words) as terminal:
        terminal.until("up" if words[0] == "logs" else "0.5")
        terminal.interrupt()
        assert terminal.end() == -signal.SIGINT
    assert cli.state(job) == "RUNNING"


@pytest.mark.parametrize("words", ["top", "workers -w", "ps -w"])
@pytest.mark.parametrize("key, code", [("xq", DONE), ("\x03", 128 + signal.SIGINT)])
def test_what_is_drawn_anew_ends_at_q_and_leaves_the_terminal_as_it_was(cli, words, key, code):
    shell = f"trap : INT; {CUMULUS} {words}; echo =$?=; stty -a"
    with Terminal(cli, "-c", shell, program="/bin/sh") as terminal:
        terminal.until("GPU 0" if words != "ps -w" else "STATE")
        terminal.type(key)
        assert terminal.end() == DONE
    assert f"={code}=" in terminal.seen
    assert "x" not in terminal.seen.split("=")[0].rsplit("\n", 1)[-1]
    modes = terminal.seen.split(f"={code}=")[1].split()
    assert {"echo", "icanon", "isig"} <= set(modes), modes


def test_top_goes_on_after_a_stop_and_still_knows_its_key(cli):
    with Terminal(cli, "--norc", "--noprofile", "-i", program="/bin/bash", PS1="ready> ",
                  rows=40) as shell:
        shell.until("ready> ")
        shell.type(f"{CUMULUS} top\r")
        shell.until("GPU 0")
        shell.type("\x1a")
        shell.until("Stopped")
        shell.seen = ""
        shell.type("fg; echo it ended with $?\n")
        shell.until("GPU 0")
        shell.type("q")
        shell.until("it ended with 0")
        shell.type("exit\n")
        assert shell.end() == DONE


def test_interrupts_more_than_two_seconds_apart_do_not_cancel(cli, script):
    with Terminal(cli, "run", script(SLEEPER)) as terminal:
        terminal.until("up")
        terminal.interrupt()
        assert terminal.end() == DONE  # the two seconds went by
    assert cli.state(job_of(terminal.seen)) == "RUNNING"


def test_a_run_goes_on_after_a_stop(cli, script):
    with Terminal(cli, "--norc", "--noprofile", "-i", program="/bin/bash", PS1="ready> ",
                  PATH=f"{BIN}:/usr/bin:/bin") as shell:
        shell.until("ready> ")
        shell.type(f"cumulus run {script(COUNTER)}\n")
        shell.until("line 3")
        os.write(shell.fd, b"\x1a")
        shell.until("Stopped")
        shell.type("fg; echo it ended with $?\n")
        shell.until("it ended with 0")
        told = re.findall(r"line (\d+)$", plain(shell.seen), re.M)
        assert told == [str(n) for n in range(60)]
        shell.type("exit\n")
        shell.end()


# ---- readers and terminals that go away


def shell(cli, line):
    return subprocess.run(["bash", "-c", f"set -o pipefail; {line}"], capture_output=True,
                          encoding="utf-8", timeout=DEADLINE_S, stdin=subprocess.DEVNULL,
                          env=cli.env(PATH=f"{BIN}:/usr/bin:/bin"))


def test_a_closed_pipe_ends_it_quietly(cli, script):
    job = cli.submit(script("def main(): pass\n"))
    cli.until_state(job, "COMPLETED")
    for command in "cumulus ps -a", "cumulus help", "cumulus run --help", "cumulus workers", \
            "cumulus completion bash":
        done = shell(cli, f"{command} | head -1")
        assert done.stderr == "" and done.returncode in (0, 128 + signal.SIGPIPE), command
        done = shell(cli, f"{command} | true")
        assert done.stderr == "" and done.returncode in (0, 128 + signal.SIGPIPE), command


def test_a_full_or_closed_stdout_is_told(cli, script):
    job = cli.submit(script("def main(): print('x')\n"))
    cli.until_state(job, "COMPLETED")
    for words in ["ps -a", f"status {job}", f"logs {job}", f"result {job}", f"attach {job}",
                  f"timing {job}", "workers", "top", "health", "doctor", "version", "help",
                  "ps --help", "completion fish", "ps --json", f"run {EXAMPLES}/hello"]:
        for to, why in (">/dev/full", "No space left on device"), (">&-", "Bad file descriptor"):
            done = shell(cli, f"cumulus {words} {to}")
            assert done.returncode == USAGE, (words, to, done)
            assert f"cumulus: write the output: {why}" in done.stderr, (words, to, done)


def test_a_terminal_that_goes_away_leaves_the_job(cli, script):
    for words in ["run", script(SLEEPER)], ["top"]:
        terminal = Terminal(cli, *words)
        terminal.until("up" if words[0] == "run" else "GPU 0")
        os.close(terminal.fd)
        terminal.fd = -1
        cli.remember(terminal.seen)
        ended = until(lambda: os.waitpid(terminal.pid, os.WNOHANG)[1:] if
                      os.waitid(os.P_PID, terminal.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
                      else None, "its end")
        # What it writes before the signal comes has nowhere to go either.
        assert os.waitstatus_to_exitcode(ended[0]) in (-signal.SIGHUP, USAGE)
        if words[0] == "run":
            assert cli.state(job_of(terminal.seen)) == "RUNNING"


# ---- what a job writes


EVIL = "\x1b]0;title\x07\x1b[2J\x1b[31m\x9b5A\u202e"


def test_escapes_in_our_own_lines_are_dead(cli, script):
    path = script(f"""
import cumulus
def main():
    cumulus.progress(0.5, {EVIL!r})
    import time; time.sleep(0.5)
    raise ValueError({EVIL!r})
""")
    with Terminal(cli, "run", path) as terminal:
        assert terminal.end() == FAILED
    job = job_of(terminal.seen)
    shown = terminal.seen + "".join(cli(*words).stdout for words in (
        ["status", job], ["ps", "-a"], ["timing", job]))
    # What Python wrote of the error is the job's own output.
    shown = "\n".join(line for line in shown.split("\n") if "ValueError" not in line
                      or re.search(r"FAILED|^error", line))
    for sequence in "\x1b]", "\x07", "\x1b[2J", "\x1b[31m\x9b", "\x9b", "\u202e":
        assert sequence not in shown, ascii(sequence)
    # The runner has made blanks of the controls; what turns text around is shown as what it is.
    assert r"  5A\u{202e}" in shown
    job = cli.submit("-n", "\u202eevil", path)
    assert r"\u{202e}evil" in cli("status", job).stdout
    assert r"\u{202e}evil" in cli("ps", "-a").stdout


def test_a_colour_that_a_job_left_does_not_stain_our_lines(cli, script):
    with Terminal(cli, "run", script("def main():\n    print('\\x1b[31mred')\n")) as terminal:
        assert terminal.end() == DONE
    assert "\x1b[31mred" in terminal.seen  # its output is its own
    assert re.search(r"\x1b\[31mred\r\n(\r\x1b\[J)?\x1b\[0m", terminal.seen)
    assert terminal.screen.cursor.attrs.fg == "default"


def test_output_without_a_line_end_keeps_its_line(cli, script):
    path = script("import time\ndef main():\n    print('no end', end='', flush=True)\n"
                  "    time.sleep(1.5)\n    print(' but more', flush=True)\n    print('half', end='')\n"
                  "    return 1\n")
    with Terminal(cli, "run", path) as terminal:
        assert terminal.end() == DONE
    lines = terminal.lines()
    assert "no end but more" in lines and "half" in lines and lines[-1] == "1"


def test_a_server_that_is_not_there_is_told_on_a_terminal_too(no_server):
    with Terminal(no_server, "top") as terminal:
        assert terminal.end() == NO_ANSWER
    assert terminal.lines()[-1].endswith("sudo cumulus dev") or "cumulusd" in terminal.seen
