#!/usr/bin/python3
"""manual.py - writes the manual from what the programs say of themselves.

    manual.py man BIN FOLDER      man pages of Cumulus' programs in BIN
    manual.py chronos BIN FOLDER  that of chronos
    manual.py reference BIN       docs/cli.md, on stdout

Commands, options, settings and exit codes come from `cumulus help --json` and from the --help
of the others, so they cannot disagree with the programs; the words around them are here.

SPDX-License-Identifier: Apache-2.0
"""
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

# "  --name ARGUMENT      what it says"; one without an argument has blanks there.
SETTING = re.compile(r"^  (--[a-z-]+)(?: (?! )(\S+))? +(\S.*)$")


def output(*words):
    return subprocess.run(words, check=True, capture_output=True, encoding="utf-8").stdout


# ---- what the programs say


def settings_of(program):
    """(flag, argument, what it says) of each line of --help."""
    found = [m.groups() for m in map(SETTING.match, output(program, "--help").splitlines()) if m]
    assert found, f"{program} --help lists no settings"
    return found


# ---- roff


def roff(text):
    """Text that means nothing to the formatter."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\n".join("\\&" + line if line[:1] in (".", "'") else line for line in text.split("\n"))


def page(name, section, title):
    """The same sources give the same pages where SOURCE_DATE_EPOCH says of when they are."""
    date = time.gmtime(float(os.environ.get("SOURCE_DATE_EPOCH", time.time())))
    return ['.\\" Made by scripts/manual.py.',
            f".TH {name.upper()} {section} {time.strftime('%Y-%m-%d', date)} Cumulus", ".ad l",
            ".SH NAME", f"{roff(name)} \\- {roff(title)}"]


def option(flag):
    letter = f"\\fB\\-{flag['letter']}\\fR, " if flag["letter"] else ""
    argument = f" \\fI{roff(flag['argument'])}\\fR" if flag["argument"] else ""
    return [".TP", f"{letter}\\fB\\-\\-{roff(flag['name'])}\\fR{argument}", roff(flag["help"])]


def exit_rows(codes):
    lines = []
    for row in codes:
        lines += [".TP", f"\\fB{row['code']}\\fR", roff(row["meaning"])]
    return lines


def verbatim(text, first=False):
    return [*([] if first else [".PP"]), ".nf", roff(text.rstrip("\n")), ".fi"]


CUMULUS_INTRO = """Cumulus runs Python jobs on shares of GPUs.  This program submits jobs to a server, follows
them, and looks at and looks after the system.  On a terminal it shows a live line and colours;
on a pipe it prints plain lines.  What a job writes goes to standard output and standard error
as it is; all that cumulus says of it goes to standard error."""

FILES = [("~/.config/cumulus/config.yaml", "the user's settings, see cumulus\\-config(5)")]
VARIABLES = [("CUMULUS_ADDRESS", "the server, HOST:PORT; --address wins"),
             ("CUMULUS_TOKEN", "as --token"),
             ("NO_COLOR", "when set and not empty, no colours"),
             ("TERM", "when dumb, plain lines as on a pipe"),
             ("XDG_CONFIG_HOME", "where cumulus/config.yaml is looked for instead of ~/.config")]


def cumulus_page(table):
    lines = page("cumulus", 1, "run jobs on shares of GPUs")
    lines += [".SH SYNOPSIS", ".B cumulus", "\\fICOMMAND\\fR [\\fIoptions\\fR] [\\fIoperands\\fR]",
              ".SH DESCRIPTION", roff(CUMULUS_INTRO), ".SH COMMANDS"]
    for c in table["commands"]:
        lines += [f".SS cumulus {c['name']} {roff(c['operands'])}".rstrip(),
                  roff(c["summary"][:1].upper() + c["summary"][1:])]
        if c["details"]:
            lines += verbatim(c["details"])
        for flag in c["options"]:
            lines += option(flag)
        codes = ", ".join(str(row["code"]) for row in c["exit_codes"])
        lines += [".PP", f"Exits with {codes}."]
    lines += [".SH OPTIONS", "Every command has these:"]
    for flag in table["common_options"]:
        lines += option(flag)
    lines += [".PP", "Ids of jobs and workers may be shortened while they are unique."]
    lines += [".SH EXIT STATUS", *exit_rows(table["exit_codes"]), ".SH ENVIRONMENT"]
    for name, what in VARIABLES:
        lines += [".TP", f".B {roff(name)}", roff(what)]
    lines += [".SH FILES"]
    for name, what in FILES:
        lines += [".TP", f".I {roff(name)}", what]
    lines += [".SH SEE ALSO", ".BR cumulus\\-config (5),", ".BR cumulusd (8),",
              ".BR cumulus\\-worker (8),", ".BR chronos (1)"]
    return lines


def setting_rows(settings):
    lines = []
    for flag, argument, what in settings:
        lines += [".TP", f"\\fB{roff(flag)}\\fR" + (f" \\fI{roff(argument)}\\fR" if argument else ""),
                  roff(what)]
    return lines


DAEMONS = {
    "cumulusd": ("take GPU jobs over gRPC and have them run", """The orchestrator of Cumulus.  It
stores jobs durably, finds them workers, and streams what happens to them.  Started as root it
starts this machine's worker and then becomes an unprivileged user; it touches neither GPUs nor
containers itself.  Jobs that run go on when it ends or dies, and it goes on with them when it
starts again."""),
    "cumulus-worker": ("run the jobs of a cumulusd on this machine", """The hands of Cumulus on one
machine.  It fetches packages, builds environments, has each job's GPU share and container made
by a process of its own, and reports.  It must be root.  Jobs outlive it: started again it goes on
with those that it finds.  On the machine of cumulusd it is started by that."""),
}


def daemon_page(name, settings):
    title, text = DAEMONS[name]
    lines = page(name, 8, title)
    lines += [".SH SYNOPSIS", f".B {roff(name)}", "[\\fB\\-\\-\\fIsetting\\fR \\fIVALUE\\fR]...",
              ".SH DESCRIPTION", roff(text), ".SH SETTINGS", *setting_rows(settings),
              ".PP", "Each setting is also a variable and a key of the file, see",
              ".BR cumulus\\-config (5).", ".SH EXIT STATUS"]
    lines += exit_rows([{"code": 0, "meaning": "a clean end"},
                        {"code": 1, "meaning": "anything else"},
                        {"code": 2, "meaning": "a setting is wrong"}])
    lines += [".SH SEE ALSO", ".BR cumulus (1),", ".BR cumulus\\-config (5),",
              ".BR cumulusd (8)," if name != "cumulusd" else ".BR cumulus\\-worker (8),",
              ".BR chronos (1)"]
    return lines


CONFIG_INTRO = """The configuration files of cumulus, cumulusd and cumulus-worker are YAML, a line
for each setting: the name of the flag without its dashes, a colon, the value.  An unknown name
or a wrong value is an error that names the file and the line.  Sizes are written as 512M or 4G,
times as 90s, 10m, 2h or 1d."""

CONFIG_EXAMPLE = """# /etc/cumulus/cumulusd.yaml
listen: 127.0.0.1:50051
data: /var/lib/cumulus
max-duration: 12h
"""


def config_page(table, daemons):
    lines = page("cumulus-config", 5, "configuration files of Cumulus")
    lines += [".SH DESCRIPTION", roff(CONFIG_INTRO), ".PP",
              "By rising precedence: the default, the file, the variable, the flag.  The variable of",
              "a setting is its name in capitals, with underscores, behind CUMULUS_:",
              "max\\-duration is CUMULUS_MAX_DURATION.", ".SH EXAMPLE", *verbatim(CONFIG_EXAMPLE, True),
              ".SH CUMULUS", "The user's", ".IR ~/.config/cumulus/config.yaml ,",
              "or below", ".BR $XDG_CONFIG_HOME ."]
    for flag in table["common_options"]:
        if flag["name"] in ("address", "token"):
            lines += [".TP", f"\\fB{flag['name']}:\\fR \\fI{roff(flag['argument'])}\\fR",
                      roff(flag["help"])]
    for name, settings in daemons.items():
        lines += [f".SH {roff(name.upper())}", "The file that \\fB\\-\\-config\\fR names."]
        for flag, argument, what in settings:
            if flag[2:] in ("config", "check-config", "version", "help") or \
                    flag.startswith("--print-"):
                continue
            lines += [".TP", f"\\fB{roff(flag[2:])}:\\fR \\fI{roff(argument or 'yes|no')}\\fR",
                      roff(what)]
    lines += [".SH SEE ALSO", ".BR cumulus (1),", ".BR cumulusd (8),", ".BR cumulus\\-worker (8)"]
    return lines


CHRONOS_INTRO = """Chronos divides GPUs into partitions: a share of a device's memory and of its time,
for one owner and for a while.  Shares never add up to more than the device, whoever asks and however many
ask at once; a partition outlives the command that made it, and expires by itself."""

CHRONOS_NAMES = """A device is an index (0) or a uuid.  A partition is an id (p-3fa07c21), a prefix of one that
fits only one (p-3f), or the key that it was created with."""

CHRONOS_VARIABLES = [
    ("CHRONOS_DIR", "where the state is kept; --dir wins"),
    ("CHRONOS_PARTITION, CHRONOS_DEVICE, CHRONOS_DEVICE_UUID",
     "set by chronos run for the layers: the partition, its devices' indices and uuids"),
    ("NO_COLOR", "when set and not empty, no colours"),
    ("TERM", "when dumb, plain lines as on a pipe")]

CHRONOS_FILES = [
    ("/run/chronos/state", "the partitions, of this boot"),
    ("/run/chronos/device-N", "the turns on a device"),
    ("/run/chronos/partition-ID", "what the programs of a partition have"),
    ("/run/chronos/arbiter", "held by the arbiter that serves")]


def chronos_option(flag):
    argument = f" \\fI{roff(flag['argument'].strip('<>'))}\\fR" if flag["argument"] else ""
    return [".TP", f"\\fB{roff(flag['name'])}\\fR{argument}", roff(flag["purpose"])]


def chronos_page(program):
    table = json.loads(output(program, "help", "--json"))
    lines = page("chronos", 1, "shares of GPUs, their limits and their time")
    lines += [".SH SYNOPSIS", ".B chronos", "\\fIcommand\\fR [\\fIarguments\\fR] [\\fIoptions\\fR]",
              ".SH DESCRIPTION", roff(CHRONOS_INTRO), ".PP", roff(CHRONOS_NAMES), ".PP",
              "Enforcement is off for a program that does not join its partition;", ".B chronos run",
              "starts one that does.", ".B chronos doctor", "says what holds here.", ".SH COMMANDS"]
    for c in table["commands"]:
        lines += [f".SS chronos {c['name']} {roff(c['grammar'])}".rstrip(),
                  roff(c["purpose"][:1].upper() + c["purpose"][1:] + ".")]
        if c["details"]:
            lines += [".PP", roff(c["details"])]
        for flag in c["options"]:
            lines += chronos_option(flag)
    lines += [".SH OPTIONS", "Every command has these, and they may stand anywhere but behind the",
              "command of", ".BR \"chronos run\" :"]
    for flag in table["options"]:
        lines += chronos_option(flag)
    lines += [".SH EXIT STATUS", *exit_rows(table["exit_codes"]), ".SH ENVIRONMENT"]
    for name, what in CHRONOS_VARIABLES:
        lines += [".TP", f".B {roff(name)}", roff(what)]
    lines += [".SH FILES"]
    for name, what in CHRONOS_FILES:
        lines += [".TP", f".I {roff(name)}", what]
    lines += [".SH EXAMPLES", *verbatim("".join(c["examples"] for c in table["commands"]), True)]
    return lines + [".SH SEE ALSO", ".BR cumulus (1)"]


def write_pages(pages, folder):
    folder.mkdir(parents=True, exist_ok=True)
    for name, lines in pages.items():
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_man(programs, folder):
    table = json.loads(output(programs / "cumulus", "help", "--json"))
    daemons = {name: settings_of(programs / name) for name in DAEMONS}
    pages = {"cumulus.1": cumulus_page(table), "cumulus-config.5": config_page(table, daemons)}
    pages.update({f"{n}.8": daemon_page(n, s) for n, s in daemons.items()})
    write_pages(pages, folder)


# ---- docs/cli.md


REFERENCE = """# The command line

This page is made by `make docs` from the table that `cumulus --help` prints. To learn by doing, read
[tour.md](tour.md).

Settings, by rising precedence: `~/.config/cumulus/config.yaml`, `CUMULUS_ADDRESS` and `CUMULUS_TOKEN`, flags.
Ids of jobs and workers may be shortened while they are unique. Every command takes these, too:

{common}

## What it prints, and where

- What a job writes goes to stdout and stderr as it is, escapes and all, so that a progress bar in colour works: look
  at the output of code that you do not trust with `cumulus logs ID | less`. All that cumulus itself prints of names,
  messages and errors is escaped: no terminal obeys it.
- What cumulus says of a job (states, progress) goes to stderr; the result goes to stdout, after the output.
- A terminal gets a live line, colours and tables that fit its width; narrow ones leave out the least important
  columns. `NO_COLOR` leaves out colours, `TERM=dumb` all that moves. A pipe gets plain lines, `--json` an
  object, or one a line where there are several. Text is UTF-8 whatever the locale.
- Ctrl-C while a job is followed leaves it running; twice within two seconds it cancels it. All else just ends.
- A closed pipe ends it quietly, a full disk with a message and exit code 2.

## Exit codes

{exits}

{commands}

## Not in this version

They say so, and exit with 2:

{absent}
"""


def option_cell(flag):
    letter = f"-{flag['letter']}, " if flag["letter"] else ""
    argument = f" {flag['argument']}" if flag["argument"] else ""
    return f"{letter}--{flag['name']}{argument}".replace("|", "\\|")


def table_of(head, rows):
    return "\n".join([f"| {' | '.join(head)} |", "|---" * len(head) + "|",
                      *(f"| {' | '.join(row)} |" for row in rows)])


def options_table(flags):
    return table_of(("option", "does"),
                    [(f"`{option_cell(f)}`", f["help"].replace("|", "\\|")) for f in flags])


def command_section(c):
    parts = [f"## cumulus {c['name']}", f"`cumulus {c['name']} {c['operands']}`".replace(" `", "`"),
             c["summary"][:1].upper() + c["summary"][1:] + ("" if c["summary"].endswith("?") else ".")]
    if c["details"]:
        parts.append("```text\n" + c["details"].rstrip("\n") + "\n```")
    if c["options"]:
        parts.append(options_table(c["options"]))
    parts.append("Exits with " + ", ".join(str(row["code"]) for row in c["exit_codes"]) + ".")
    return "\n\n".join(parts)


def write_reference(programs):
    table = json.loads(output(programs / "cumulus", "help", "--json"))
    sys.stdout.write(REFERENCE.format(
        common=options_table(table["common_options"]),
        exits=table_of(("code", "meaning"),
                       [(str(r["code"]), r["meaning"]) for r in table["exit_codes"]]),
        commands="\n\n".join(map(command_section, table["commands"])),
        absent=table_of(("command", "because"), [(f"`{r['name']}`", r["why"]) for r in table["absent"]])))


def main():
    if len(sys.argv) == 4 and sys.argv[1] == "man":
        write_man(Path(sys.argv[2]), Path(sys.argv[3]))
    elif len(sys.argv) == 4 and sys.argv[1] == "chronos":
        write_pages({"chronos.1": chronos_page(Path(sys.argv[2]) / "chronos")}, Path(sys.argv[3]))
    elif len(sys.argv) == 3 and sys.argv[1] == "reference":
        write_reference(Path(sys.argv[2]))
    else:
        sys.exit(__doc__)


main()
