"""A directory is a test, one idea each.

    cmd      what is typed, run by bash in a folder of its own, with the captures of examples/ beside it
    stdout   what comes out; without the file: nothing
    stderr   the same for errors
    exit     the exit status; without the file: 0
    NAME     any other file lies beside the captures as well; NAME.hex is written there as the bytes it spells
    out.*    what a file must hold afterwards, as text or, with .hex, as bytes

`GOLDEN=write` has stdout, stderr and exit written from what came out, for review.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.source import ROOT

HERE = Path(__file__).parent
CASES = sorted(path.parent for path in HERE.glob("*/cmd"))
OWN = {"cmd", "stdout", "stderr", "exit"}
ENVIRONMENT = {
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    "PYTHONPATH": str(ROOT),  # the program that stands beside these tests, whichever is installed
    "LC_ALL": "C.UTF-8",
    "TERM": "dumb",
}


def spelled(path: Path) -> bytes:
    """Return the bytes that a hex file spells; # begins a comment."""
    return bytes.fromhex(re.sub(r"#.*", "", path.read_text()))


def furnish(case: Path, room: Path) -> None:
    for capture in (ROOT / "examples").glob("*.pcap*"):
        shutil.copy(capture, room)
    for path in case.iterdir():
        if path.name in OWN or path.name.startswith("out."):
            continue
        if path.suffix == ".hex":
            (room / path.stem).write_bytes(spelled(path))
        else:
            shutil.copy(path, room)


def expected(case: Path, name: str, otherwise: str) -> str:
    path = case / name
    return path.read_text() if path.exists() else otherwise


def write_down(case: Path, came: dict[str, str]) -> None:
    for name, text in came.items():
        if text.strip() not in ("", "0"):
            (case / name).write_text(text)
        else:
            (case / name).unlink(missing_ok=True)


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.name)
def test_case(case: Path, tmp_path: Path) -> None:
    furnish(case, tmp_path)
    command = ["bash", "-o", "pipefail", "-c", (case / "cmd").read_text()]
    ended = subprocess.run(
        command, cwd=tmp_path, env=ENVIRONMENT, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False
    )
    came = {
        "stdout": ended.stdout.decode(errors="backslashreplace"),
        "stderr": ended.stderr.decode(errors="backslashreplace"),
        "exit": f"{ended.returncode}\n",
    }
    if os.environ.get("GOLDEN") == "write":
        write_down(case, came)
    assert came == {
        "stdout": expected(case, "stdout", ""),
        "stderr": expected(case, "stderr", ""),
        "exit": expected(case, "exit", "0\n"),
    }
    for path in case.glob("out.*"):
        if path.suffix == ".hex":
            assert (tmp_path / path.stem).read_bytes() == spelled(path)
        else:
            assert (tmp_path / path.name).read_text() == path.read_text()
