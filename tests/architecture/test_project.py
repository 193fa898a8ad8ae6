"""What lies beside the code is true, can be made again, is installed, and speaks of the project alone."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from ipkit import __version__
from tests.golden.test_cases import ENVIRONMENT
from tests.support.source import ROOT

INSTALLED = {
    **{f"share/man/man1/{path.name}": path for path in (ROOT / "man").glob("*.1")},
    "share/bash-completion/completions/ipkit": ROOT / "completions" / "ipkit.bash",
    "share/zsh/site-functions/_ipkit": ROOT / "completions" / "_ipkit",
    "share/fish/vendor_completions.d/ipkit.fish": ROOT / "completions" / "ipkit.fish",
}

FOREIGN = re.compile(
    r"/(?:home|root|Users|work)/\w"  # someone's machine
    r"|\b(?:index|extra-index)-url\b|\bpypi\.org\b|\bpythonhosted\b|\bregistry\.\w+\.\w+"  # someone's network
)

DISPLAY = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    return [ROOT / name for name in listed.stdout.split("\0") if name and name != "tests/architecture/test_project.py"]


def test_the_project_names_no_machine_and_no_network() -> None:
    found = []
    for path in tracked():
        try:
            text = path.read_text()
        except (UnicodeDecodeError, FileNotFoundError):
            continue
        found += [f"{path.relative_to(ROOT)}: {match.group()}" for match in FOREIGN.finditer(text)]
    assert not found


def test_the_example_captures_are_what_their_script_makes() -> None:
    script = runpy.run_path(str(ROOT / "examples" / "make_captures.py"))
    assert (ROOT / "examples" / "web.pcap").read_bytes() == script["pcap"](script["web"]())
    assert (ROOT / "examples" / "mixed.pcapng").read_bytes() == script["mixed"]()


@pytest.mark.parametrize("place", INSTALLED)
def test_manual_and_completions_are_installed(place: str) -> None:
    assert (Path(sys.prefix) / place).read_text() == INSTALLED[place].read_text()


def displayed() -> list[tuple[str, str]]:
    """Return the commands of the README's console displays, each with the output shown under it."""
    shown: list[tuple[str, str]] = []
    for display in DISPLAY.findall((ROOT / "README.md").read_text()):
        for part in re.split(r"^\$ ", display, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            shown.append((command, output))
    return shown


def test_the_readme_shows_real_output(tmp_path: Path) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    assert displayed()
    for command, output in displayed():
        ended = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            cwd=tmp_path,
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        assert ended.stdout.strip("\n") == output.strip("\n"), command


def test_the_version_has_its_place_in_the_changelog() -> None:
    headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == "Unreleased" or headings[0].startswith(__version__)


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "adr").glob("*.md")), ids=lambda path: path.stem)
def test_a_decision_says_why_and_what_follows(path: Path) -> None:
    text = path.read_text()
    assert text.startswith(f"# {path.name[:4]} ")
    for part in ("Context:", "Decision:", "Consequences:"):
        assert f"\n{part}" in text
    assert len(text.splitlines()) <= 25
