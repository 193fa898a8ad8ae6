"""The manual pages as the tests read them: which options they name, which examples they show."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tests.support.source import ROOT

PAGES = ROOT / "man"
DELIMITERS = {",", "|", ".", ";", ":", "(", ")"}


def page(name: str) -> str:
    """Return the text of a page, by the name of its command."""
    return (PAGES / f"{name.replace(' ', '-')}.1").read_text()


def names_in_line(line: str) -> Iterator[str]:
    """Yield the options that one line of mdoc names: `Fl w`, `Fl -write`, `Fl ajq`, `Fl -color | -no-color`."""
    flags = False
    for word in line.lstrip(".").split():
        if re.fullmatch(r"[A-Z][a-z]", word):
            flags = word == "Fl"
        elif flags and word == ",":
            flags = False
        elif flags and word not in DELIMITERS:
            yield from [f"-{word}"] if word.startswith("-") else [f"-{letter}" for letter in word]


def named_options(text: str) -> set[str]:
    """Return every option that a page mentions."""
    return {name for line in text.splitlines() if line.startswith(".") for name in names_in_line(line)}


def described_options(text: str) -> set[str]:
    """Return the options that have an entry of their own."""
    return {name for line in text.splitlines() if line.startswith(".It Fl") for name in names_in_line(line)}


def examples(text: str) -> list[str]:
    """Return the command lines of a page's EXAMPLES, each display as one script."""
    section = text.split(".Sh EXAMPLES", 1)[-1].split("\n.Sh", 1)[0] if ".Sh EXAMPLES" in text else ""
    displays = re.findall(r"^\.Dl (\$ [^\n]*)$|^\.Bd -literal[^\n]*\n(.*?)^\.Ed$", section, re.MULTILINE | re.DOTALL)
    found = []
    for line, block in displays:
        commands = [shown[2:] for shown in (line or block).splitlines() if shown.startswith("$ ")]
        found.append("\n".join(commands).replace("\\&", "").replace("\\e", "\\"))
    return found


def pages() -> list[Path]:
    """Return every page there is."""
    return sorted(PAGES.glob("*.1"))
