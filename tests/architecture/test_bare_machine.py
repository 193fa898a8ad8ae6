"""On a machine without a fit Python, one line says which package to install."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.source import ROOT

WITHOUT_VENV = '#!/bin/sh\ncase "$2" in *ensurepip*) exit 1;; *print*) echo 3.12;; esac\n'
TOO_OLD = "#!/bin/sh\nexit 1\n"
FIT = "#!/bin/sh\nexit 0\n"


def chosen(folder: Path, pythons: dict[str, str]) -> subprocess.CompletedProcess[str]:
    for name, script in pythons.items():
        (folder / name).write_text(script)
        (folder / name).chmod(0o755)
    shell = shutil.which("sh") or "/bin/sh"
    command = [shell, str(ROOT / ".ci" / "python")]
    return subprocess.run(command, env={"PATH": str(folder)}, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("pythons", "package"),
    [
        ({}, "the package python3 "),
        ({"python3": TOO_OLD, "python3.11": TOO_OLD}, "the package python3 "),
        ({"python3": TOO_OLD, "python3.12": WITHOUT_VENV}, "the package python3.12-venv"),
    ],
)
def test_one_line_names_the_package(tmp_path: Path, pythons: dict[str, str], package: str) -> None:
    ended = chosen(tmp_path, pythons)
    assert ended.returncode != 0
    assert ended.stdout == ""
    assert len(ended.stderr.splitlines()) == 1
    assert package in ended.stderr


def test_the_newest_fit_one_is_taken(tmp_path: Path) -> None:
    pythons = {"python3": FIT, "python3.11": FIT, "python3.13": FIT, "python3.14": WITHOUT_VENV}
    assert chosen(tmp_path, pythons).stdout == "python3.13\n"
