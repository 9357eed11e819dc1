"""test_chronos_completion.py - shells complete the command line of chronos.

SPDX-License-Identifier: Apache-2.0
"""
import json
import subprocess

import pytest

from cli import DEADLINE_S
from system import BIN, ROOT

FOLDER = ROOT / "chronos/completion"
FILES = ["chronos.bash", "_chronos", "chronos.fish"]

SHELLS = {
    "bash": """
source {folder}/chronos.bash
COMP_WORDS=({line}) COMP_CWORD={last}
_chronos chronos
printf '%s\\n' "${{COMPREPLY[@]}}"
""",
    "fish": "source {folder}/chronos.fish\ncomplete -C '{text}'\n",
}

ZSH = r"""
zmodload zsh/zpty
zpty z zsh -f -i
zpty -w z 'PS1="ready> "; fpath+=('"$3"'); autoload -U compinit; compinit -u -D'
zpty -w z 'zstyle ":completion:*" list-prompt ""; LISTMAX=1000; echo is"-"set'
zpty -r -m z seen '*is-set*'
zpty -w -n z "$1"$'\t\t'
zpty -r -m z seen "*$2*" && print -r -- found
zpty -d z
"""


def run(env, *words):
    done = subprocess.run(words, env=env, capture_output=True, encoding="utf-8",
                          timeout=DEADLINE_S, stdin=subprocess.DEVNULL)
    assert done.returncode == 0 and done.stderr == "", done
    return done.stdout


@pytest.fixture
def env(tmp_path):
    return {"CHRONOS_DIR": str(tmp_path / "chronos"), "PATH": f"{BIN}:/usr/bin:/bin",
            "HOME": str(tmp_path), "TERM": "xterm", "LANG": "C.UTF-8"}


@pytest.fixture
def partition(env):
    made = run(env, "chronos", "create", "0", "0.5", "600", "--json", "--devices", "simulated:1")
    return json.loads(made)["id"]


@pytest.mark.parametrize("name", FILES)
def test_each_file_has_all_that_help_has(name, env):
    text = (FOLDER / name).read_text()
    table = json.loads(run(env, "chronos", "help", "--json"))
    options = table["options"] + [o for c in table["commands"] for o in c["options"]]
    for word in [c["name"] for c in table["commands"]] + [o["name"] for o in options]:
        assert word in text or f"-l {word[2:]} " in text, word


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_completes_chronos(shell, env, partition):
    def tab(*words):
        line = " ".join(f"'{w}'" for w in ("chronos", *words))
        code = SHELLS[shell].format(folder=FOLDER, line=line, last=len(words),
                                    text=" ".join(("chronos", *words)))
        return {line.split("\t")[0] for line in run(env, shell, "-c", code).splitlines()}

    assert tab("re") == {"renew", "release"}
    assert tab("help", "wa") == {"watch"}
    assert tab("create", "--b") == {"--burst"} and tab("list", "--bu") <= {""}
    assert tab("--dev") == {"--devices"}
    assert tab("release", "p-") == {partition}
    assert partition in tab("run", "")


def test_zsh_completes_chronos(env, partition):
    for typed, wanted in (("chronos rel", "release"), ("chronos create --us", "--user"),
                          (f"chronos release {partition[:4]}", partition)):
        assert "found" in run(env, "zsh", "-f", "-c", ZSH, "zsh", typed, wanted, str(FOLDER)), typed
