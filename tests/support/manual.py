"""The manual pages as the tests read them: which options they name, which examples they show."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tests.support.source import ROOT

PAGES = ROOT / "man"
DELIMITERS = {",", "|", ".", ";", ":", "(", ")"}


def page(name: str) -> str:
    """Return the text of a page, by the name of its command or file."""
    return next(path for path in pages() if path.stem == name.replace(" ", "-")).read_text()


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
    found = []
    for display in displays(text.partition(".Sh EXAMPLES")[2].partition("\n.Sh")[0]):
        lines = display.replace("\\\n", "").splitlines()
        found.append("\n".join(line.removeprefix("$ ") for line in lines if line.startswith("$ ")))
    return list(filter(None, found))


def displays(text: str) -> list[str]:
    """Return what is shown as it is typed or stands in a file."""
    shown = re.findall(r"^\.Dl ([^\n]*)$|^\.Bd -literal[^\n]*\n(.*?)^\.Ed$", text, re.MULTILINE | re.DOTALL)
    return [(line or block).replace("\\&", "").replace("\\e", "\\") for line, block in shown]


def pages() -> list[Path]:
    """Return every page there is."""
    return sorted(PAGES.glob("*.[15]"))
