"""Questions to the routing tables, and the kernel's answers as `ip route get` gives them."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, TypeAlias

Answer: TypeAlias = dict[str, Any] | str
"""What `ip route get` printed (a line, or in JSON an object), or the name of an errno, or the tool's own complaint."""

ERRNO_NAMES: Final = {os.strerror(number): name for number, name in errno.errorcode.items()}
FAILED_LINE: Final = re.compile(r"^Command failed -:(\d+)$")


class Lookup(NamedTuple):
    """One lookup; with `iif` it is an input lookup."""

    dst: str
    src: str | None = None
    iif: str | None = None
    oif: str | None = None
    tos: int = 0
    mark: int = 0
    ipproto: str | None = None
    sport: int = 0
    dport: int = 0
    fibmatch: int = 0

    def words(self) -> str:
        """Return it as `ip route get` takes it."""
        given = (
            ("from", self.src), ("iif", self.iif), ("oif", self.oif),
            ("tos", hex(self.tos) if self.tos else None), ("mark", self.mark), ("ipproto", self.ipproto),
            ("sport", self.sport), ("dport", self.dport),
        )  # fmt: skip
        words = [self.dst, *(f"{name} {value}" for name, value in given if value)]
        return " ".join(["fibmatch", *words] if self.fibmatch else words)


FORGET: Final = "route flush cache\n"
"""Lets every learnt or cached route go. Routes with the same next hop share a cache, and an answer found there may be
of another type: without this, an answer depends on what was asked before."""


def ask(lookups: Sequence[Lookup]) -> list[Answer]:
    """Return the answers of the namespace this thread is in as `ip -j -d route get` gives them, one for each lookup."""
    return [line if error else json.loads(line)[0] for line, error in _ask_all(lookups, ("-j", "-d"), "")]


def ask_anew(lookups: Sequence[Lookup]) -> list[str]:
    """Return the lines of `ip -oneline route get`, each as if it were the first that was ever asked."""
    return [line for line, _ in _ask_all(lookups, ("-o",), FORGET)]


def ask_lines(lookups: Sequence[Lookup]) -> list[str]:
    """Return the lines of `ip -oneline route get`, with all that was learnt and kept."""
    return [line for line, _ in _ask_all(lookups, ("-o",), "")]


def _ask_all(lookups: Sequence[Lookup], options: Sequence[str], before_each: str) -> list[tuple[str, bool]]:
    answers: list[tuple[str, bool]] = []
    while len(answers) < len(lookups):
        answers += _ask_some(lookups[len(answers) :], options, before_each)
    return answers


def _ask_some(lookups: Sequence[Lookup], options: Sequence[str], before_each: str) -> list[tuple[str, bool]]:
    """Return the answers up to the first lookup that makes the tool give up altogether, and which are errors."""
    text = "".join(f"{before_each}route get {lookup.words()}\n" for lookup in lookups)
    tool = ["ip", *options, "-force", "-batch", "-"]
    done = subprocess.run(tool, input=text, capture_output=True, text=True, check=False)
    failed: dict[int, str] = {}
    complaint = ""
    for line in done.stderr.splitlines():
        if match := FAILED_LINE.match(line):
            failed[(int(match[1]) - 1) // (2 if before_each else 1)] = complaint
        else:
            complaint = errno_name(line)
    found = iter([line for line in done.stdout.splitlines() if line not in ("", "[ ]")])
    answers: list[tuple[str, bool]] = []
    for number in range(len(lookups)):
        if number in failed:
            answers.append((failed[number], True))
        elif (printed := next(found, None)) is not None:
            answers.append((printed, False))
        else:
            return [*answers, (complaint or "no answer", True)]
    return answers


def errno_name(complaint: str) -> str:
    """Return the name of the errno that a complaint of the tool's puts into words, or the complaint."""
    return ERRNO_NAMES.get(complaint.removeprefix("RTNETLINK answers: "), complaint)
