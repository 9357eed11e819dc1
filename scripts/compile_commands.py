"""compile_commands.py - turns what `make -n` would compile into a compile_commands.json.

SPDX-License-Identifier: Apache-2.0
"""
import json
import os
import shlex
import sys


def main():
    text = sys.stdin.read().replace("\\\n", " ")
    entries = []
    for line in text.splitlines():
        if " -c " not in line:
            continue
        words = shlex.split(line)
        source = words[words.index("-c") + 1]
        if source.endswith(".c"):
            entries.append({"directory": os.getcwd(), "file": source, "arguments": words})
    if not entries:
        sys.exit("compile_commands: make -n compiles nothing")
    json.dump(entries, sys.stdout, indent=0)


main()
