"""Completion in the shells themselves: commands, options, values, files."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ipkit.cli import COMMANDS
from tests.support.source import ROOT
from tests.support.terminal import Terminal

SCRIPTS = ROOT / "completions"
PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
PROMPT = "ready> "

CASES = [
    pytest.param("ipkit ", set(COMMANDS), id="commands"),
    pytest.param("ipkit cs", {"csum"}, id="command"),
    pytest.param("ipkit csum --expl", {"--explain"}, id="option"),
    pytest.param("ipkit csum --f", {"--fix", "--format"}, id="options"),
    pytest.param("ipkit csum --format json", {"json", "jsonl"}, id="value"),
    pytest.param("ipkit csum -f ts", {"tsv"}, id="short-value"),
    pytest.param("ipkit csum -qq --no-p", {"--no-progress"}, id="second-name"),
]


def needs(program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"needs {program}")


def run(command: list[str], cwd: Path = ROOT) -> str:
    ended = subprocess.run(
        command, cwd=cwd, env={**os.environ, "PATH": PATH}, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.stderr == ""
    return ended.stdout


def asked_of_bash(words: list[str]) -> list[str]:
    """Return what bash would offer: the function is called as bash calls it, with the words as bash cuts them."""
    quoted = " ".join(f"'{word}'" for word in words)
    script = (
        f'source {SCRIPTS}/ipkit.bash; compopt() {{ echo "shell $*"; }}; '
        f"COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; _ipkit ipkit; "
        '[ ${#COMPREPLY[@]} = 0 ] || printf "%s\\n" "${COMPREPLY[@]}"'
    )
    return run(["bash", "--norc", "-c", script]).splitlines()


@pytest.mark.parametrize(("line", "offered"), CASES)
def test_bash_offers(line: str, offered: set[str]) -> None:
    assert set(asked_of_bash(line.split(" "))) == offered


def test_bash_joins_what_it_cut() -> None:
    assert asked_of_bash(["ipkit", "csum", "--format", "=", "json"]) == ["jsonl", "json"]
    assert set(asked_of_bash(["ipkit", "csum", "--format", "="])) > {"table", "jsonl", "csv"}


def test_bash_completes_file_names_itself() -> None:
    assert asked_of_bash(["ipkit", "csum", "-w", "x"]) == ["shell -o default"]
    assert asked_of_bash(["ipkit", "csum", "x"]) == ["shell -o default"]


def test_bash_on_a_terminal(tmp_path: Path) -> None:
    (tmp_path / "some-capture.pcap").touch()
    with Terminal(["bash", "--norc", "--noprofile"], tmp_path, {"PATH": PATH, "PS1": PROMPT}) as shell:
        shell.wait_for(PROMPT)
        shell.type(f"source {SCRIPTS}/ipkit.bash\n")
        shell.type("ipkit csum some\t")
        shell.wait_for("some-capture.pcap")
        shell.type("--expl\t")
        shell.wait_for("--explain")


@pytest.mark.parametrize(("line", "offered"), CASES)
def test_fish_offers(line: str, offered: set[str], tmp_path: Path) -> None:
    needs("fish")
    script = f"source {SCRIPTS}/ipkit.fish; complete -C '{line}'"
    answer = run(["fish", "--no-config", "-c", script], tmp_path)
    assert {shown.split("\t")[0] for shown in answer.splitlines()} == offered


def test_fish_completes_values_behind_the_sign_and_files(tmp_path: Path) -> None:
    needs("fish")
    (tmp_path / "some-capture.pcap").touch()
    source = f"source {SCRIPTS}/ipkit.fish; complete -C "
    assert run(["fish", "--no-config", "-c", f"{source}'ipkit csum --format=ts'"], tmp_path) == "--format=tsv\n"
    assert "some-capture.pcap" in run(["fish", "--no-config", "-c", f"{source}'ipkit csum some'"], tmp_path)


@pytest.mark.parametrize(
    ("typed", "completed"),
    [("ipkit cs\t", "csum"), ("ipkit csum --expl\t", "--explain"), ("ipkit csum some\t", "some-capture.pcap")],
)
def test_zsh_on_a_terminal(typed: str, completed: str, tmp_path: Path) -> None:
    needs("zsh")
    (tmp_path / "some-capture.pcap").touch()
    home = {"PATH": PATH, "HOME": str(tmp_path), "ZDOTDIR": str(tmp_path), "PS1": PROMPT}
    with Terminal(["zsh", "-f", "-i"], tmp_path, home) as shell:
        shell.wait_for(PROMPT)
        shell.type(f"fpath=({SCRIPTS} $fpath); autoload -U compinit; compinit -u -D; echo don''e\n")
        shell.wait_for("done")
        shell.type(typed)
        shell.wait_for(completed)


def test_a_shell_that_nobody_knows_is_no_finding() -> None:
    env = {**os.environ, "_IPKIT_COMPLETE": "junk"}
    assert (
        subprocess.run([Path(sys.executable).with_name("ipkit")], env=env, capture_output=True, check=False).returncode
        == 2
    )
