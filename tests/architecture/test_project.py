"""What lies beside the code is true, can be made again, is installed, and speaks of the project alone."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from ipkit import __version__
from tests.golden.test_cases import ENVIRONMENT
from tests.support.manual import pages
from tests.support.source import ROOT

INSTALLED = {
    **{f"share/man/man{path.suffix[1:]}/{path.name}": path for path in pages()},
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


def output_of(command: str, room: Path) -> str:
    ended = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=room,
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    return ended.stdout.strip("\n")


def test_the_readme_shows_real_output(tmp_path: Path) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")

    def as_it_is(display: re.Match[str]) -> str:
        commands = [line for line in display[1].splitlines() if line.startswith("$ ")]
        shown = [f"{line}\n{output_of(line[2:], tmp_path)}".rstrip("\n") for line in commands]
        return "```console\n" + "\n".join(shown) + "\n```"

    readme = ROOT / "README.md"
    text = readme.read_text()
    real = DISPLAY.sub(as_it_is, text)
    if os.environ.get("GOLDEN") == "write":
        readme.write_text(real)
    assert DISPLAY.search(text)
    assert text == real


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
