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
"""What `ip -j -d route get` printed, or the name of an errno, or the tool's own complaint."""

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


def ask(lookups: Sequence[Lookup]) -> list[Answer]:
    """Return the answers of the namespace this thread is in, one for each lookup."""
    answers: list[Answer] = []
    while len(answers) < len(lookups):
        answers += _ask_some(lookups[len(answers) :])
    return answers


def _ask_some(lookups: Sequence[Lookup]) -> list[Answer]:
    """Return the answers up to the first lookup that makes the tool give up altogether."""
    text = "".join(f"route get {lookup.words()}\n" for lookup in lookups)
    done = subprocess.run(
        ["ip", "-j", "-d", "-force", "-batch", "-"], input=text, capture_output=True, text=True, check=False
    )
    failed: dict[int, str] = {}
    complaint = ""
    for line in done.stderr.splitlines():
        if match := FAILED_LINE.match(line):
            failed[int(match[1]) - 1] = complaint
        else:
            complaint = _errno_name(line)
    found = iter([json.loads(line)[0] for line in done.stdout.splitlines() if line.startswith("[{")])
    answers: list[Answer] = []
    for number in range(len(lookups)):
        if number in failed:
            answers.append(failed[number])
        elif (answer := next(found, None)) is not None:
            answers.append(answer)
        else:
            return [*answers, complaint or "no answer"]
    return answers


def _errno_name(complaint: str) -> str:
    return ERRNO_NAMES.get(complaint.removeprefix("RTNETLINK answers: "), complaint)
